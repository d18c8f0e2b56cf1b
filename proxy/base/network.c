/* IP addresses and networks as values; text forms through inet_pton and inet_ntop. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/network.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void
set_ipv4(struct ip_address *address, const void *bytes)
{
	*address = (struct ip_address){.family = 4};
	memcpy(address->bytes, bytes, 4);
}

static void
set_ipv6(struct ip_address *address, const uint8_t *bytes)
{
	if (memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0) {
		set_ipv4(address, bytes + 12);
		return;
	}
	*address = (struct ip_address){.family = 6};
	memcpy(address->bytes, bytes, 16);
}

bool
ip_address_parse(const char *text, struct ip_address *address)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		set_ipv4(address, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		set_ipv6(address, bytes);
	else
		return false;
	return true;
}

const char *
ip_address_format(const struct ip_address *address, char *text)
{
	if (address->family == 0)
		snprintf(text, IP_ADDRESS_TEXT_SIZE, "unknown");
	else
		inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, text, IP_ADDRESS_TEXT_SIZE);
	return text;
}

bool
ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool
ip_address_from_sockaddr(const struct sockaddr *from, struct ip_address *address, uint16_t *port)
{
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		set_ipv4(address, &in->sin_addr);
		*port = ntohs(in->sin_port);
		return true;
	}
	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		set_ipv6(address, in6->sin6_addr.s6_addr);
		*port = ntohs(in6->sin6_port);
		return true;
	}
	*address = (struct ip_address){0};
	*port = 0;
	return false;
}

socklen_t
ip_address_to_sockaddr(const struct ip_address *address, uint16_t port, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof *to);
	if (address->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)to;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, address->bytes, 4);
		return sizeof *in;
	}
	ASSERT(address->family == 6);
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, address->bytes, 16);
	return sizeof *in6;
}

const char *
ip_address_reverse_name(const struct ip_address *address, char *text)
{
	const uint8_t *b = address->bytes;
	char *at = text;

	if (address->family == 4) {
		snprintf(text, IP_ADDRESS_REVERSE_SIZE, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
		return text;
	}
	for (int i = 15; i >= 0; i--)
		at += sprintf(at, "%x.%x.", b[i] & 15u, (unsigned)b[i] >> 4);
	strcpy(at, "ip6.arpa");
	return text;
}

static bool
bit_is_set(const uint8_t *bytes, unsigned bit)
{
	return bytes[bit / 8] >> (7 - bit % 8) & 1;
}

bool
ip_network_parse(const char *text, struct ip_network *network)
{
	char address[IP_ADDRESS_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);

	if (length >= sizeof address)
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (!ip_address_parse(address, &network->address))
		return false;
	unsigned bits = network->address.family == 4 ? 32 : 128;

	network->prefix_length = (uint8_t)bits;
	if (slash == NULL)
		return true;
	size_t digits = strspn(slash + 1, "0123456789");

	if (digits == 0 || digits > 3 || slash[1 + digits] != '\0')
		return false;
	unsigned long prefix = strtoul(slash + 1, NULL, 10);

	if (prefix > bits || (prefix > 0 && slash[1] == '0') || (prefix == 0 && digits > 1))
		return false;
	network->prefix_length = (uint8_t)prefix;
	for (unsigned bit = (unsigned)prefix; bit < bits; bit++)
		if (bit_is_set(network->address.bytes, bit))
			return false;
	return true;
}

bool
ip_network_contains(const struct ip_network *network, const struct ip_address *address)
{
	unsigned whole = network->prefix_length / 8;
	unsigned rest = network->prefix_length % 8;

	if (network->address.family != address->family)
		return false;
	if (memcmp(network->address.bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 || (network->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

/* FNV-1a with a final mix. Counting sessions by it needs no secret: a client that makes its own address collide with another one
 * gains nothing but a stricter limit for itself. */
uint64_t
ip_address_hash(const struct ip_address *address, unsigned ipv6_prefix_length)
{
	unsigned length = address->family == 6 ? ipv6_prefix_length / 8 : 4;
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ address->family;

	for (unsigned i = 0; i < length && i < sizeof address->bytes; i++)
		hash = (hash ^ address->bytes[i]) * UINT64_C(0x100000001b3);
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	hash ^= hash >> 29;
	return hash != 0 ? hash : 1;
}
