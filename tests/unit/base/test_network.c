#include <string.h>

#include "base/network.h"
#include "suite.h"

static bool
in_network(const char *network_text, const char *address_text)
{
	struct ip_network network;
	struct ip_address address;

	ck_assert_msg(ip_network_parse(network_text, &network), "%s", network_text);
	ck_assert_msg(ip_address_parse(address_text, &address), "%s", address_text);
	return ip_network_contains(&network, &address);
}

START_TEST(networks_contain_what_they_say)
{
	ck_assert(in_network("192.0.2.0/24", "192.0.2.255"));
	ck_assert(!in_network("192.0.2.0/24", "192.0.3.0"));
	ck_assert(in_network("203.0.113.16/28", "203.0.113.31"));
	ck_assert(!in_network("203.0.113.16/28", "203.0.113.32"));
	ck_assert(in_network("0.0.0.0/0", "255.255.255.255"));
	ck_assert(!in_network("0.0.0.0/0", "::1"));
	ck_assert(in_network("2001:db8::/33", "2001:db8:7fff::1"));
	ck_assert(!in_network("2001:db8::/33", "2001:db8:8000::1"));
	ck_assert(in_network("10.0.0.0/8", "::ffff:10.1.2.3"));
	ck_assert(in_network("127.0.0.1", "127.0.0.1"));
}
END_TEST

START_TEST(bad_networks_are_refused)
{
	static const char *const bad[] = {"", "192.0.2.0/33", "192.0.2.1/24", "192.0.2.0/", "192.0.2.0/024", "192.0.2.0/2x", "192.0.2.0/-1",
		"2001:db8::/129", "2001:db8::1/32", "example.org", "192.0.2.0/24/8", "1.2.3"};
	struct ip_network network;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!ip_network_parse(bad[i], &network), "%s", bad[i]);
}
END_TEST

START_TEST(reverse_names)
{
	struct ip_address address;
	char text[IP_ADDRESS_REVERSE_SIZE];

	ck_assert(ip_address_parse("192.0.2.7", &address));
	ck_assert_str_eq(ip_address_reverse_name(&address, text), "7.2.0.192.in-addr.arpa");
	ck_assert(ip_address_parse("2001:db8::1:f", &address));
	ck_assert_str_eq(ip_address_reverse_name(&address, text),
	    "f.0.0.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}
END_TEST

START_TEST(socket_addresses_go_both_ways)
{
	struct ip_address address, back;
	struct sockaddr_storage storage;
	uint16_t port;

	ck_assert(ip_address_parse("2001:db8::25", &address));
	ip_address_to_sockaddr(&address, 2525, &storage);
	ck_assert(ip_address_from_sockaddr((struct sockaddr *)&storage, &back, &port));
	ck_assert(ip_address_equal(&address, &back));
	ck_assert_uint_eq(port, 2525);
}
END_TEST

START_TEST(hash_of_ipv6_covers_the_prefix)
{
	struct ip_address a, b, c;

	ip_address_parse("2001:db8:0:1::1", &a);
	ip_address_parse("2001:db8:0:1:ffff::2", &b);
	ip_address_parse("2001:db8:0:2::1", &c);
	ck_assert(ip_address_hash(&a, 64) == ip_address_hash(&b, 64));
	ck_assert(ip_address_hash(&a, 64) != ip_address_hash(&c, 64));
}
END_TEST

SUITE_MAIN("network", networks_contain_what_they_say, bad_networks_are_refused, reverse_names, socket_addresses_go_both_ways,
    hash_of_ipv6_covers_the_prefix)
