/* IP addresses and CIDR networks as values. IPv4-mapped IPv6 addresses are turned into IPv4 on entry. */
#ifndef POSTERN_BASE_NETWORK_H
#define POSTERN_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip_address {
	uint8_t family; /* 0 none, 4 or 6 */
	uint8_t bytes[16]; /* network order; IPv4 uses the first four */
};

struct ip_network {
	struct ip_address address;
	uint8_t prefix_length; /* bits: 0..32 or 0..128 */
};

#define IP_ADDRESS_TEXT_SIZE 48

bool ip_address_parse(const char *text, struct ip_address *address);
/* "192.0.2.7" or "2001:db8::1" into text (IP_ADDRESS_TEXT_SIZE bytes); returns text. */
const char *ip_address_format(const struct ip_address *address, char *text);
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);
bool ip_address_from_sockaddr(const struct sockaddr *from, struct ip_address *address, uint16_t *port);
/* Fills `to`; returns its length. */
socklen_t ip_address_to_sockaddr(const struct ip_address *address, uint16_t port, struct sockaddr_storage *to);
/* "4.3.2.1.in-addr.arpa" or the ip6.arpa form; text has room for IP_ADDRESS_REVERSE_SIZE. */
#define IP_ADDRESS_REVERSE_SIZE 80
const char *ip_address_reverse_name(const struct ip_address *address, char *text);
/* "10.0.0.0/8", "2001:db8::/32" or a bare address. Host bits set, bad lengths: false. */
bool ip_network_parse(const char *text, struct ip_network *network);
bool ip_network_contains(const struct ip_network *network, const struct ip_address *address);
/* A 64-bit keyed hash of the address (for IPv6: of its first `ipv6_prefix_length` bits); never 0. */
uint64_t ip_address_hash(const struct ip_address *address, unsigned ipv6_prefix_length);

#endif
