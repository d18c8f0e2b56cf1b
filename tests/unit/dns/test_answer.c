/* Answers out of hand-made packets: every kind of record, the CNAME chain, and lies of every kind. */
#include "suite.h"

#include <string.h>

#include "dns/answer.h"
#include "dns/name.h"
#include "dns/system_files.h"

struct packet {
	uint8_t bytes[70000];
	size_t length;
};

static void
put(struct packet *packet, const void *bytes, size_t length)
{
	memcpy(packet->bytes + packet->length, bytes, length);
	packet->length += length;
}

static void
put_u16(struct packet *packet, unsigned value)
{
	put(packet, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void
put_name(struct packet *packet, const char *text)
{
	struct dns_name name;
	ck_assert(dns_name_from_text(text, &name));
	put(packet, name.bytes, name.length);
}

/* Header and question; answers are counted by put_record. */
static void
begin(struct packet *packet, unsigned rcode, const char *name, uint16_t type)
{
	packet->length = 0;
	put_u16(packet, 0x1234);
	put_u16(packet, 0x8180 | rcode);
	put_u16(packet, 1);
	put(packet, "\0\0\0\0\0\0", 6);
	put_name(packet, name);
	put_u16(packet, type);
	put_u16(packet, 1);
}

/* `name` NULL: a pointer to the question's name. */
static void
put_record(struct packet *packet, const char *name, uint16_t type, uint32_t ttl, const void *data, size_t length)
{
	if (name == NULL)
		put_u16(packet, 0xc00c);
	else
		put_name(packet, name);
	put_u16(packet, type);
	put_u16(packet, 1);
	put_u16(packet, ttl >> 16);
	put_u16(packet, ttl & 0xffff);
	put_u16(packet, (unsigned)length);
	put(packet, data, length);
	unsigned count = (unsigned)(packet->bytes[6] << 8 | packet->bytes[7]) + 1;
	packet->bytes[6] = (uint8_t)(count >> 8);
	packet->bytes[7] = (uint8_t)count;
}

static void
put_alias(struct packet *packet, const char *name, const char *target, uint32_t ttl)
{
	struct dns_name wire;
	ck_assert(dns_name_from_text(target, &wire));
	put_record(packet, name, DNS_TYPE_CNAME, ttl, wire.bytes, wire.length);
}

/* Parsed from a heap copy of exact length, so that ASan sees any read outside. */
static struct dns_answer
parse(const struct packet *packet, const char *name, uint16_t type)
{
	struct dns_answer answer;
	uint8_t *copy = malloc(packet->length > 0 ? packet->length : 1);
	memcpy(copy, packet->bytes, packet->length);
	dns_answer_parse(copy, packet->length, name, type, &answer);
	free(copy);
	return answer;
}

#define TEXT(answer, index) ((const char *)(answer).records[index].data)

static struct packet packet; /* too large for the stack of a test */

START_TEST(address_records)
{
	begin(&packet, 0, "mx.example.org", DNS_TYPE_A);
	put_record(&packet, NULL, DNS_TYPE_A, 300, "\xc0\x00\x02\x01", 4);
	put_record(&packet, "MX.Example.ORG", DNS_TYPE_A, 60, "\xc0\x00\x02\x02", 4);
	put_record(&packet, "other.example.org", DNS_TYPE_A, 1, "\xc0\x00\x02\x03", 4); /* nobody asked */
	struct dns_answer answer = parse(&packet, "mx.example.org.", DNS_TYPE_A);
	ck_assert_int_eq(answer.status, DNS_STATUS_OK);
	ck_assert_uint_eq(answer.count, 2);
	ck_assert_uint_eq(answer.ttl, 60);
	ck_assert_mem_eq(answer.records[1].data, "\xc0\x00\x02\x02", 4);
	ck_assert_str_eq(answer.name, "mx.example.org.");

	struct dns_answer copy;
	dns_answer_copy(&copy, &answer);
	dns_answer_clear(&answer);
	ck_assert_ptr_null(answer.records);
	ck_assert_uint_eq(copy.count, 2);
	ck_assert_mem_eq(copy.records[0].data, "\xc0\x00\x02\x01", 4);
	dns_answer_clear(&copy);

	begin(&packet, 0, "mx.example.org", DNS_TYPE_AAAA);
	put_record(&packet, NULL, DNS_TYPE_AAAA, 300, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	answer = parse(&packet, "mx.example.org", DNS_TYPE_AAAA);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_uint_eq(answer.records[0].length, 16);
	dns_answer_clear(&answer);
}
END_TEST

START_TEST(mail_exchangers)
{
	begin(&packet, 0, "example.org", DNS_TYPE_MX);
	/* "mx1" and a pointer to the question's name: compressed as servers do. */
	put_record(&packet, NULL, DNS_TYPE_MX, 300, "\x00\x0a\x03mx1\xc0\x0c", 8);
	put_record(&packet, NULL, DNS_TYPE_MX, 300, "\x00\x00\x00", 3); /* null MX */
	struct dns_answer answer = parse(&packet, "example.org", DNS_TYPE_MX);
	ck_assert_uint_eq(answer.count, 2);
	ck_assert_uint_eq(answer.records[0].preference, 10);
	ck_assert_str_eq(TEXT(answer, 0), "mx1.example.org");
	ck_assert_str_eq(TEXT(answer, 1), "");
	dns_answer_clear(&answer);
}
END_TEST

START_TEST(text_strings_joined)
{
	begin(&packet, 0, "example.org", DNS_TYPE_TXT);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\x04v=sp\x00\x07\x66\x31 -all", 14);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\x03" "a\0b", 4);
	struct dns_answer answer = parse(&packet, "example.org", DNS_TYPE_TXT);
	ck_assert_int_eq(answer.status, DNS_STATUS_OK);
	ck_assert_str_eq(TEXT(answer, 0), "v=spf1 -all");
	ck_assert_uint_eq(answer.records[1].length, 3);
	ck_assert_mem_eq(answer.records[1].data, "a\0b\0", 4);
	dns_answer_clear(&answer);
}
END_TEST

/* As one empty string, as no string at all, and beside a text that counts. */
START_TEST(empty_texts)
{
	begin(&packet, 0, "example.org", DNS_TYPE_TXT);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "", 0);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\x00", 1);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\x0bv=spf1 -all", 12);
	struct dns_answer answer = parse(&packet, "example.org", DNS_TYPE_TXT);
	ck_assert_int_eq(answer.status, DNS_STATUS_OK);
	ck_assert_uint_eq(answer.count, 3);
	ck_assert_uint_eq(answer.records[0].length, 0);
	ck_assert_str_eq(TEXT(answer, 0), "");
	ck_assert_uint_eq(answer.records[1].length, 0);
	ck_assert_str_eq(TEXT(answer, 2), "v=spf1 -all");
	struct dns_answer copy;
	dns_answer_copy(&copy, &answer);
	ck_assert_str_eq(TEXT(copy, 0), "");
	dns_answer_clear(&copy);
	dns_answer_clear(&answer);
}
END_TEST

START_TEST(alias_chain)
{
	/* In any order, and the smallest TTL of the chain counts. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	put_record(&packet, "c.example", DNS_TYPE_A, 500, "\x0a\0\0\x01", 4);
	put_alias(&packet, "b.example", "C.example", 20);
	put_alias(&packet, "a.example", "b.example", 100);
	struct dns_answer answer = parse(&packet, "a.example", DNS_TYPE_A);
	ck_assert_int_eq(answer.status, DNS_STATUS_OK);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_uint_eq(answer.ttl, 20);
	dns_answer_clear(&answer);
	/* Asked for itself it is not followed. */
	begin(&packet, 0, "a.example", DNS_TYPE_CNAME);
	put_alias(&packet, "a.example", "b.example", 100);
	answer = parse(&packet, "a.example", DNS_TYPE_CNAME);
	ck_assert_str_eq(TEXT(answer, 0), "b.example");
	dns_answer_clear(&answer);
	/* A circle ends. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	put_alias(&packet, "a.example", "b.example", 100);
	put_alias(&packet, "b.example", "a.example", 100);
	answer = parse(&packet, "a.example", DNS_TYPE_A);
	ck_assert_int_eq(answer.status, DNS_STATUS_MALFORMED);
	dns_answer_clear(&answer);
}
END_TEST

START_TEST(rcodes)
{
	static const struct { unsigned rcode; enum dns_status status; } cases[] = {
		{0, DNS_STATUS_OK}, {1, DNS_STATUS_SERVER_FAILURE}, {2, DNS_STATUS_SERVER_FAILURE}, {3, DNS_STATUS_NAME_ERROR},
		{5, DNS_STATUS_SERVER_FAILURE}, {15, DNS_STATUS_SERVER_FAILURE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin(&packet, cases[i].rcode, "example.org", DNS_TYPE_TXT);
		struct dns_answer answer = parse(&packet, "example.org", DNS_TYPE_TXT);
		ck_assert_int_eq(answer.status, cases[i].status);
		ck_assert_uint_eq(answer.count, 0);
		ck_assert_ptr_null(answer.records);
		dns_answer_clear(&answer);
	}
	ck_assert_str_eq(dns_status_text(DNS_STATUS_TIMEOUT), "timeout");
	ck_assert_str_eq(dns_status_text((enum dns_status)99), "unknown");
}
END_TEST

static void
expect_status(const char *name, uint16_t type, enum dns_status status)
{
	struct dns_answer answer = parse(&packet, name, type);
	ck_assert_int_eq(answer.status, status);
	ck_assert_uint_eq(answer.count, 0);
	dns_answer_clear(&answer);
}

START_TEST(lies)
{
	/* Another question, another type, no question, a query instead of a response. */
	begin(&packet, 0, "evil.example", DNS_TYPE_A);
	expect_status("good.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	expect_status("evil.example", DNS_TYPE_MX, DNS_STATUS_MALFORMED);
	packet.bytes[2] &= 0x7f;
	expect_status("evil.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	/* More answers promised than there are. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	packet.bytes[7] = 7;
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	packet.bytes[6] = 0xff;
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_TOO_LARGE);
	/* Record data longer than the packet; addresses of a wrong size. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	put_record(&packet, NULL, DNS_TYPE_A, 300, "\x0a\0\0\x01", 4);
	packet.bytes[packet.length - 5] = 200;
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	put_record(&packet, NULL, DNS_TYPE_A, 300, "\x0a\0\0", 3);
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	/* Text strings that run out of their record; a name that ends before its record does. */
	begin(&packet, 0, "a.example", DNS_TYPE_TXT);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\x09v=spf1", 7);
	expect_status("a.example", DNS_TYPE_TXT, DNS_STATUS_MALFORMED);
	begin(&packet, 0, "a.example", DNS_TYPE_PTR);
	put_record(&packet, NULL, DNS_TYPE_PTR, 300, "\xc0\x0c\x00", 3);
	expect_status("a.example", DNS_TYPE_PTR, DNS_STATUS_MALFORMED);
	/* Truncated. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	packet.bytes[2] |= 0x02;
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_TOO_LARGE);
	/* Another class is not an answer. */
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	put_record(&packet, NULL, DNS_TYPE_A, 300, "\x0a\0\0\x01", 4);
	packet.bytes[packet.length - 11] = 3;
	expect_status("a.example", DNS_TYPE_A, DNS_STATUS_OK);
}
END_TEST

START_TEST(every_prefix)
{
	begin(&packet, 0, "example.org", DNS_TYPE_MX);
	put_record(&packet, NULL, DNS_TYPE_MX, 300, "\x00\x0a\x03mx1\xc0\x0c", 8);
	size_t whole = packet.length;
	for (packet.length = 0; packet.length < whole; packet.length++)
		expect_status("example.org", DNS_TYPE_MX, DNS_STATUS_MALFORMED);
}
END_TEST

START_TEST(pointer_loops)
{
	static const uint16_t pointers[] = {0xc000 | 100, 0xc000 | 29, 0xc000 | 31, 0xffff};
	for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
		begin(&packet, 0, "a.example", DNS_TYPE_A);
		size_t at = packet.length;
		put_record(&packet, NULL, DNS_TYPE_A, 300, "\x0a\0\0\x01", 4);
		packet.bytes[at] = (uint8_t)(pointers[i] >> 8);
		packet.bytes[at + 1] = (uint8_t)pointers[i];
		expect_status("a.example", DNS_TYPE_A, DNS_STATUS_MALFORMED);
	}
}
END_TEST

START_TEST(too_many_records)
{
	begin(&packet, 0, "a.example", DNS_TYPE_A);
	for (uint8_t i = 0; i < 200; i++)
		put_record(&packet, NULL, DNS_TYPE_A, 300, (uint8_t[]){10, 0, 0, i}, 4);
	struct dns_answer answer = parse(&packet, "a.example", DNS_TYPE_A);
	ck_assert_int_eq(answer.status, DNS_STATUS_OK);
	ck_assert_uint_eq(answer.count, DNS_ANSWER_RECORDS_MAX);
	ck_assert_uint_eq(answer.records[127].data[3], 127);
	dns_answer_clear(&answer);
	/* Of texts every one may be the one that counts. */
	begin(&packet, 0, "a.example", DNS_TYPE_TXT);
	for (int i = 0; i < DNS_ANSWER_RECORDS_MAX; i++)
		put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\1x", 2);
	answer = parse(&packet, "a.example", DNS_TYPE_TXT);
	ck_assert_uint_eq(answer.count, DNS_ANSWER_RECORDS_MAX);
	dns_answer_clear(&answer);
	put_record(&packet, NULL, DNS_TYPE_TXT, 300, "\1x", 2);
	expect_status("a.example", DNS_TYPE_TXT, DNS_STATUS_TOO_LARGE);
}
END_TEST

START_TEST(names_of_all_bytes)
{
	/* Dot and backslash inside a label, a control byte, a high byte: escaped, and read back the same. */
	begin(&packet, 0, "a.example", DNS_TYPE_PTR);
	put_record(&packet, NULL, DNS_TYPE_PTR, 300, "\x05" "a.b\\\x01\x02\xff" "c\x00", 10);
	struct dns_answer answer = parse(&packet, "a.example", DNS_TYPE_PTR);
	ck_assert_str_eq(TEXT(answer, 0), "a\\.b\\\\\\001.\\255c");
	struct dns_name name;
	ck_assert(dns_name_from_text(TEXT(answer, 0), &name));
	ck_assert_uint_eq(name.length, 10);
	ck_assert(!dns_name_is_hostname(&name));
	dns_answer_clear(&answer);
}
END_TEST

START_TEST(name_limits)
{
	struct dns_name name;
	char text[600];
	static const char *const bad[] = {"", "..", ".a", "a..b", "a\\", "a\\25", "a\\256", "a\\2x5"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!dns_name_from_text(bad[i], &name), "%s", bad[i]);
	ck_assert(dns_name_from_text(".", &name));
	ck_assert_uint_eq(name.length, 1);
	memset(text, 'a', sizeof text);
	text[63] = '\0';
	ck_assert(dns_name_from_text(text, &name));
	ck_assert(dns_name_is_hostname(&name));
	text[63] = 'a';
	text[64] = '\0';
	ck_assert(!dns_name_from_text(text, &name));
	/* 63.63.63.61 is the longest name: 255 bytes of wire form. */
	memset(text, 'a', sizeof text);
	text[63] = text[127] = text[191] = '.';
	text[253] = '\0';
	ck_assert(dns_name_from_text(text, &name));
	ck_assert_uint_eq(name.length, 255);
	text[253] = '.';
	text[254] = '\0';
	ck_assert(dns_name_from_text(text, &name));
	text[253] = 'a';
	ck_assert(!dns_name_from_text(text, &name));
	strcpy(text + 252, ".b");
	ck_assert(!dns_name_from_text(text, &name) || name.length <= 255);
	strcpy(text + 253, ".b");
	ck_assert(!dns_name_from_text(text, &name));
}
END_TEST

START_TEST(resolv_conf)
{
	struct ip_address servers[NAMESERVERS_MAX];
	char text[IP_ADDRESS_TEXT_SIZE];
	const char *file = "# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1 \r\n"
			   "nameserver\t2001:db8::53 ; a comment\nnameserver nonsense\nnameserver fe80::1%eth0\n"
			   "nameservers 192.0.2.7\nnameserver\n  nameserver 192.0.2.3";
	ck_assert_uint_eq(resolv_conf_servers(file, servers, NAMESERVERS_MAX), 3);
	ck_assert_str_eq(ip_address_format(&servers[0], text), "192.0.2.1");
	ck_assert_str_eq(ip_address_format(&servers[1], text), "2001:db8::53");
	ck_assert_str_eq(ip_address_format(&servers[2], text), "192.0.2.3");
	ck_assert_uint_eq(resolv_conf_servers(file, servers, 1), 1);
	ck_assert_uint_eq(resolv_conf_servers("", servers, NAMESERVERS_MAX), 0);
}
END_TEST

START_TEST(hosts_file)
{
	struct hosts_table table;
	struct ip_address addresses[4];
	char text[IP_ADDRESS_TEXT_SIZE];
	hosts_table_parse("127.0.0.1\tlocalhost  localhost.localdomain # loop\n\n::1 localhost\nbad.line here\n"
			  "192.0.2.5 Mail.example.org. mail\n# 192.0.2.6 mail\n192.0.2.7", &table);
	ck_assert_uint_eq(table.count, 5);
	ck_assert_uint_eq(hosts_table_find(&table, "LOCALHOST", addresses, 4), 2);
	ck_assert_str_eq(ip_address_format(&addresses[1], text), "::1");
	ck_assert_uint_eq(hosts_table_find(&table, "mail.EXAMPLE.org", addresses, 4), 1);
	ck_assert_uint_eq(hosts_table_find(&table, "loop", addresses, 4), 0);
	ck_assert_uint_eq(hosts_table_find(&table, "localhost", addresses, 1), 1);
	hosts_table_clear(&table);
	hosts_table_parse("", &table);
	ck_assert_uint_eq(hosts_table_find(&table, "x", addresses, 4), 0);
	hosts_table_clear(&table);
}
END_TEST

SUITE_MAIN("dns/answer", address_records, mail_exchangers, text_strings_joined, empty_texts, alias_chain, rcodes, lies, every_prefix, pointer_loops,
    too_many_records, names_of_all_bytes, name_limits, resolv_conf, hosts_file)
