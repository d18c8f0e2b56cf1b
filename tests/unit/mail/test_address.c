/* Paths, mailboxes, domains and literals: pairs of input and expected result. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "mail/address.h"

#define X10 "xxxxxxxxxx"
#define X63 X10 X10 X10 X10 X10 X10 "xxx"
#define X64 X63 "x"
#define E_ACUTE "\xc3\xa9"
#define BYTES(literal) {literal, sizeof literal - 1} /* with the NULs in it */

/* Options by letter: n null, p postmaster, u UTF-8, l lenient, t tolerant. */
static struct address_options
options_of(const char *letters)
{
	return (struct address_options){
	    .null_allowed = strchr(letters, 'n') != NULL,
	    .postmaster_allowed = strchr(letters, 'p') != NULL,
	    .utf8_allowed = strchr(letters, 'u') != NULL,
	    .lenient = strchr(letters, 'l') != NULL,
	    .tolerant = strchr(letters, 't') != NULL,
	};
}

START_TEST(paths_accepted)
{
	static const struct {
		const char *text, *options, *local_part, *domain;
		size_t taken;
	} rows[] = {
		{"<a@example.org>", "", "a", "example.org", 15},
		{"<a@example.org> SIZE=10", "", "a", "example.org", 15},
		{"<A.b+c=d@Example.ORG>", "", "A.b+c=d", "Example.ORG", 21},
		{"<>", "n", "", "", 2},
		{"<> BODY=7BIT", "n", "", "", 2},
		{"<postmaster>", "p", "postmaster", "", 12},
		{"<PostMaster>", "p", "PostMaster", "", 12},
		{"<postmaster@example.org>", "", "postmaster", "example.org", 24},
		/* quoted local parts keep their quotes */
		{"<\"a b\"@c.example>", "", "\"a b\"", "c.example", 17},
		{"<\"a>b@c\"@d.example>", "", "\"a>b@c\"", "d.example", 19},
		{"<\"a\\\"b\\\\\"@d.example>", "", "\"a\\\"b\\\\\"", "d.example", 20},
		{"<\"\"@d.example>", "", "\"\"", "d.example", 14},
		{"<\"\\ \"@d.example>", "", "\"\\ \"", "d.example", 16},
		/* source routes are dropped */
		{"<@one.example:a@b.example>", "", "a", "b.example", 26},
		{"<@one.example,@two.example:a@b.example>", "", "a", "b.example", 39},
		{"<@one.example:\"x,y:z\"@b.example>", "", "\"x,y:z\"", "b.example", 32},
		/* literals */
		{"<a@[192.0.2.1]>", "", "a", "[192.0.2.1]", 15},
		{"<a@[IPv6:2001:db8::1]>", "", "a", "[IPv6:2001:db8::1]", 22},
		{"<a@[x-tag:one>two]>", "", "a", "[x-tag:one>two]", 19},
		/* UTF-8 */
		{"<" E_ACUTE "@d.example>", "u", E_ACUTE, "d.example", 14},
		{"<\"" E_ACUTE " x\"@d.example>", "u", "\"" E_ACUTE " x\"", "d.example", 18},
		{"<a@" E_ACUTE "t" E_ACUTE ".example>", "u", "a", E_ACUTE "t" E_ACUTE ".example", 17},
		{"<\xf0\x9f\x90\xa2@d.example>", "u", "\xf0\x9f\x90\xa2", "d.example", 16},
		/* without brackets */
		{"a@b.example SIZE=1", "l", "a", "b.example", 11},
		{"\"a b\"@c.example", "l", "\"a b\"", "c.example", 15},
		{"postmaster", "lp", "postmaster", "", 10},
		{"<a@b.example>", "l", "a", "b.example", 13},
		/* what is not in the grammar but in the mail */
		{"<a..b@c>", "t", "a..b", "c", 8},
		{"<.a@c>", "t", ".a", "c", 6},
		{"<a.@c>", "t", "a.", "c", 6},
		{"<" X64 "x@d>", "t", X64 "x", "d", 69},
		{"<a@mail_out.example>", "t", "a", "mail_out.example", 20},
		/* the limits themselves */
		{"<" X64 "@d>", "", X64, "d", 68},
		{"<a@" X63 ">", "", "a", X63, 67},
		{"<a@" X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 ">", "", "a", X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10, 256},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct address_options options = options_of(rows[i].options);
		struct address address;
		size_t taken;
		enum address_error error = address_parse_path(span_of(rows[i].text), &options, &address, &taken);
		ck_assert_msg(error == ADDRESS_OK, "%s: %s", rows[i].text, address_error_text(error));
		ck_assert_str_eq(address.local_part, rows[i].local_part);
		ck_assert_str_eq(address.domain, rows[i].domain);
		ck_assert_msg(taken == rows[i].taken, "%s: took %zu", rows[i].text, taken);
		address_clear(&address);
		ck_assert_ptr_null(address.local_part);
	}
}
END_TEST

START_TEST(paths_refused)
{
	static const struct {
		const char *text, *options;
		enum address_error error;
	} rows[] = {
		{"", "npul", ADDRESS_EMPTY},
		{" <a@b>", "npul", ADDRESS_EMPTY},
		{"<>", "p", ADDRESS_EMPTY},
		{"a@b", "", ADDRESS_NO_BRACKETS},
		{"<a@b", "", ADDRESS_NO_BRACKETS},
		{"<", "n", ADDRESS_BAD_LOCAL_PART},
		{"<<a@b>>", "l", ADDRESS_BAD_LOCAL_PART},
		{"< a@b>", "l", ADDRESS_BAD_LOCAL_PART},
		{"<a@b >", "l", ADDRESS_BAD_DOMAIN},
		{"<a b@c>", "l", ADDRESS_BAD_LOCAL_PART},
		{"<a@b>>", "", ADDRESS_TRAILING_BYTES},
		{"<a@b>SIZE=1", "", ADDRESS_TRAILING_BYTES},
		{"<a@b>\t", "", ADDRESS_TRAILING_BYTES},
		{"<a@b>\r", "", ADDRESS_TRAILING_BYTES},
		{"<>x", "n", ADDRESS_TRAILING_BYTES},
		{"a@b>", "l", ADDRESS_BAD_DOMAIN},
		{"a@b,c@d", "l", ADDRESS_BAD_DOMAIN},
		/* no domain */
		{"<a>", "p", ADDRESS_NO_DOMAIN},
		{"<a@>", "", ADDRESS_NO_DOMAIN},
		{"<postmaster>", "n", ADDRESS_NO_DOMAIN},
		{"<postmaster@>", "p", ADDRESS_NO_DOMAIN},
		{"<\"postmaster\">", "p", ADDRESS_NO_DOMAIN},
		{"<@one.example:postmaster>", "p", ADDRESS_NO_DOMAIN},
		/* local part */
		{"<@b>", "t", ADDRESS_BAD_ROUTE},
		{"<a b@c>", "t", ADDRESS_BAD_LOCAL_PART},
		{"<a@b..c>", "t", ADDRESS_BAD_DOMAIN},
		{"<" X64 X64 X64 X64 "@d>", "t", ADDRESS_TOO_LONG},
		{"<.a@b>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a.@b>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a..b@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a,b@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a\\@b@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a\x7f@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a\x01@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<a(comment)@c>", "", ADDRESS_BAD_LOCAL_PART},
		{"<" X64 "x@d>", "", ADDRESS_LOCAL_PART_TOO_LONG},
		{"<\"" X63 "\"@d>", "", ADDRESS_LOCAL_PART_TOO_LONG},
		{"<\"a@b>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\\\"@b>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\\", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\"b@c>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\".b@c>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\x01\"@c>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"a\\\x7f\"@c>", "", ADDRESS_BAD_QUOTED_STRING},
		{"<\"\\" E_ACUTE "\"@c>", "u", ADDRESS_BAD_QUOTED_STRING},
		/* domain */
		{"<a@b@c>", "", ADDRESS_BAD_DOMAIN},
		{"<a@-b>", "", ADDRESS_BAD_DOMAIN},
		{"<a@b->", "", ADDRESS_BAD_DOMAIN},
		{"<a@b..c>", "", ADDRESS_BAD_DOMAIN},
		{"<a@.b>", "", ADDRESS_BAD_DOMAIN},
		{"<a@b.>", "", ADDRESS_BAD_DOMAIN},
		{"<a@b_c>", "", ADDRESS_BAD_DOMAIN},
		{"<a@b\x01" "c>", "", ADDRESS_BAD_DOMAIN},
		{"<a@" X64 ">", "", ADDRESS_BAD_DOMAIN},
		{"<a@" X63 "." X63 "." X63 "." X63 ".x>", "", ADDRESS_DOMAIN_TOO_LONG},
		{"<a@" X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 "x>", "", ADDRESS_TOO_LONG},
		{"a@" X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 "x", "l", ADDRESS_TOO_LONG},
		{"<@" X63 "." X63 "." X63 ":" X63 "@d>", "", ADDRESS_TOO_LONG},
		/* literals */
		{"<a@[192.0.2.1>", "", ADDRESS_BAD_LITERAL},
		{"<a@[192.0.2.256]>", "", ADDRESS_BAD_LITERAL},
		{"<a@[192.0.2.1]x>", "", ADDRESS_BAD_LITERAL},
		{"<a@[]>", "", ADDRESS_BAD_LITERAL},
		/* source routes */
		{"<@b>", "", ADDRESS_BAD_ROUTE},
		{"<@:a@b>", "", ADDRESS_BAD_ROUTE},
		{"<@one.example,:a@b>", "", ADDRESS_BAD_ROUTE},
		{"<@one.example,two.example:a@b>", "", ADDRESS_BAD_ROUTE},
		{"<@one.example,@two.example>", "", ADDRESS_BAD_ROUTE},
		{"<@-:a@b>", "", ADDRESS_BAD_ROUTE},
		{"<@one.example:>", "n", ADDRESS_BAD_LOCAL_PART},
		/* encoding */
		{"<" E_ACUTE "@d>", "", ADDRESS_NEEDS_SMTPUTF8},
		{"<a@" E_ACUTE ">", "", ADDRESS_NEEDS_SMTPUTF8},
		{"<@" E_ACUTE ":a@b>", "", ADDRESS_NEEDS_SMTPUTF8},
		{"<\xe9@d>", "", ADDRESS_BAD_UTF8},
		{"<\xe9@d>", "u", ADDRESS_BAD_UTF8},
		{"<a@\xc3>", "u", ADDRESS_BAD_UTF8},
		{"<@\xff:a@b>", "u", ADDRESS_BAD_UTF8},
		{"<\"\xc0\xaf\"@d>", "u", ADDRESS_BAD_UTF8},
		{"<\xc2\x85@d>", "u", ADDRESS_BAD_UTF8},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct address_options options = options_of(rows[i].options);
		struct address address;
		size_t taken;
		enum address_error error = address_parse_path(span_of(rows[i].text), &options, &address, &taken);
		ck_assert_msg(error == rows[i].error, "%s (%s): %s, not %s", rows[i].text, rows[i].options, address_error_text(error),
		    address_error_text(rows[i].error));
		ck_assert_ptr_null(address.local_part);
		ck_assert_uint_eq(taken, 0);
	}
}
END_TEST

START_TEST(nul_is_refused_everywhere)
{
	static const struct span rows[] = {
		BYTES("<a\0b@c>"), BYTES("<\"a\0\"@c>"), BYTES("<\"a\\\0\"@c>"), BYTES("<a@b\0c>"), BYTES("<a@[x:\0]>"),
		BYTES("<@b\0:a@c>"), BYTES("<a@c>\0"), BYTES("<\0>"), BYTES("\0"), BYTES("a@b\0"),
	};
	struct address_options options = options_of("npul");

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct address address;
		size_t taken;
		ck_assert_msg(address_parse_path(rows[i], &options, &address, &taken) != ADDRESS_OK, "row %zu", i);
	}
}
END_TEST

START_TEST(mailbox_is_the_whole_text)
{
	static const struct {
		const char *text;
		enum address_error error;
	} rows[] = {
		{"a@b.example", ADDRESS_OK},
		{"\"a b\"@c.example", ADDRESS_OK},
		{"a@b.example c", ADDRESS_TRAILING_BYTES},
		{"a@b.example ", ADDRESS_TRAILING_BYTES},
		{"a@[192.0.2.1] ", ADDRESS_TRAILING_BYTES},
		{"<a@b.example>", ADDRESS_BAD_LOCAL_PART},
		{"@one.example:a@b.example", ADDRESS_BAD_LOCAL_PART},
		{"postmaster", ADDRESS_NO_DOMAIN},
		{"", ADDRESS_EMPTY},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct address address;
		enum address_error error = address_parse_mailbox(span_of(rows[i].text), false, &address);
		ck_assert_msg(error == rows[i].error, "%s: %s", rows[i].text, address_error_text(error));
		ck_assert((address.local_part != NULL) == (error == ADDRESS_OK));
		address_clear(&address);
	}
}
END_TEST

START_TEST(domain_lower_and_text)
{
	static const struct {
		const char *text, *domain_lower, *string;
	} rows[] = {
		{"<User@EXAMPLE.Org>", "example.org", "User@EXAMPLE.Org"},
		{"<@relay.example:User@[IPv6:2001:DB8::A]>", "[ipv6:2001:db8::a]", "User@[IPv6:2001:DB8::A]"},
		{"<x@\xc3\x89.Example>", "\xc3\x89.example", "x@\xc3\x89.Example"},
		{"<>", "", ""},
		{"<PostMaster>", "", "postmaster"},
	};
	struct address_options options = options_of("npu");

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct address address;
		size_t taken;
		ck_assert_int_eq(address_parse_path(span_of(rows[i].text), &options, &address, &taken), ADDRESS_OK);
		ck_assert_str_eq(address.domain_lower, rows[i].domain_lower);
		char *string = address_to_string(&address);
		ck_assert_str_eq(string, rows[i].string);
		memory_free(&string);
		address_clear(&address);
	}
}
END_TEST

START_TEST(domains)
{
	static const struct {
		const char *domain;
		bool valid, valid_underscore, valid_utf8;
	} rows[] = {
		{"example.org", true, true, true},
		{"localhost", true, true, true},
		{"192.0.2.1", true, true, true},
		{"xn--caf-dma.example", true, true, true},
		{"my_pc.example", false, true, false},
		{"_", false, true, false},
		{"caf" E_ACUTE ".example", false, false, true},
		{"caf\xe9.example", false, false, false},
		{"\xed\xa0\x80.example", false, false, false},
		{"", false, false, false},
		{".", false, false, false},
		{"a.", false, false, false},
		{"a..b", false, false, false},
		{"a b", false, false, false},
		{"-a.b", false, false, false},
		{"a-.b", false, false, false},
		{X64, false, false, false},
		{X63 "." X63 "." X63 "." X63, true, true, true},
		{X63 "." X63 "." X63 "." X63 ".a", false, false, false},
		/* a U-label may be longer in octets than its A-label */
		{X63 E_ACUTE, false, false, true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct span domain = span_of(rows[i].domain);
		ck_assert_msg(domain_is_valid(domain, false, false) == rows[i].valid, "%s", rows[i].domain);
		ck_assert_msg(domain_is_valid(domain, false, true) == rows[i].valid_underscore, "%s underscore", rows[i].domain);
		ck_assert_msg(domain_is_valid(domain, true, false) == rows[i].valid_utf8, "%s utf8", rows[i].domain);
	}
}
END_TEST

START_TEST(literals)
{
	static const struct {
		const char *literal;
		bool valid;
	} rows[] = {
		{"[192.0.2.1]", true},
		{"[0.0.0.0]", true},
		{"[255.255.255.255]", true},
		{"[010.001.002.003]", true},
		{"[256.0.0.1]", false},
		{"[1.2.3]", false},
		{"[1.2.3.4.5]", false},
		{"[1.2.3.]", false},
		{"[1..2.3]", false},
		{"[1.2.3.0004]", false},
		{"[ 1.2.3.4]", false},
		{"[]", false},
		{"[", false},
		{"", false},
		{"1.2.3.4", false},
		{"[IPv6:2001:db8::1]", true},
		{"[ipv6:::1]", true},
		{"[IPv6:::]", true},
		{"[IPv6:1:2:3:4:5:6:7:8]", true},
		{"[IPv6:1:2:3:4:5:6::]", true},
		{"[IPv6:::ffff:192.0.2.1]", true},
		{"[IPv6:1:2:3:4:5:6:192.0.2.1]", true},
		{"[IPv6:1:2:3:4::192.0.2.1]", true},
		{"[IPv6:::1.2.3.4]", true},
		/* "::" for a single group: fine for RFC 4291, not for RFC 5321 */
		{"[IPv6:1:2:3:4:5:6::8]", false},
		{"[IPv6:1:2:3:4:5::192.0.2.1]", false},
		{"[IPv6:1:2:3:4:5:6:7]", false},
		{"[IPv6:1:2:3:4:5:6:7:8:9]", false},
		{"[IPv6:1::2::3]", false},
		{"[IPv6:1:::2]", false},
		{"[IPv6::1]", false},
		{"[IPv6:1:]", false},
		{"[IPv6:1::2:]", false},
		{"[IPv6:12345::]", false},
		{"[IPv6:g::]", false},
		{"[IPv6:]", false},
		{"[IPv6:fe80::1%eth0]", false},
		{"[IPv6:1.2.3.4]", false},
		{"[x-new:content!]", true},
		{"[x:a:b]", true},
		{"[x-:a]", false},
		{"[x:]", false},
		{"[:a]", false},
		{"[x_y:a]", false},
		{"[x:a b]", false},
		{"[x:a\\b]", false},
		{"[x:a[b]", false},
		{"[x:a]b]", false},
		{"[x:" E_ACUTE "]", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		ck_assert_msg(address_literal_is_valid(span_of(rows[i].literal)) == rows[i].valid, "%s", rows[i].literal);
}
END_TEST

START_TEST(utf8)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{"", true},
		{"plain", true},
		{"\xc2\xa0", true},
		{"\xe2\x82\xac", true},
		{"\xef\xbf\xbd", true},
		{"\xf4\x8f\xbf\xbf", true},
		{"\xc2\x9f", false}, /* C1 control */
		{"\xc1\xbf", false}, /* overlong */
		{"\xe0\x9f\xbf", false},
		{"\xf0\x8f\xbf\xbf", false},
		{"\xed\xa0\x80", false}, /* surrogate */
		{"\xf4\x90\x80\x80", false}, /* beyond U+10FFFF */
		{"\xf5\x80\x80\x80", false},
		{"\x80", false},
		{"\xc3", false}, /* cut off */
		{"\xe2\x82", false},
		{"\xf0\x9f\x90", false},
		{"\xc3(", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		ck_assert_msg(utf8_is_valid(span_of(rows[i].text)) == rows[i].valid, "row %zu", i);
}
END_TEST

SUITE_MAIN("mail/address", paths_accepted, paths_refused, nul_is_refused_everywhere, mailbox_is_the_whole_text, domain_lower_and_text, domains,
    literals, utf8)
