/* Macro strings: the examples of RFC 7208 section 7.4, transformers at their edges, escapes, and each way to write one wrong. */
#include "suite.h"

#include <string.h>

#include "base/memory.h"
#include "dns/name.h"
#include "filters/spf/macro.h"

static bool
name_known(void *context, char *name)
{
	(void)context;
	strcpy(name, "mx.example.org");
	return true;
}

static bool
name_unknown(void *context, char *name)
{
	(void)context;
	(void)name;
	return false;
}

static struct spf_macro_values
example_values(const char *client)
{
	struct spf_macro_values values = {
		.local_part = "strong-bad",
		.sender_domain = "email.example.com",
		.domain = "email.example.com",
		.helo = "mail.example.com",
		.receiver = "receiver.example.org",
		.now_s = 1234567890,
		.validated_name = name_known,
	};
	ck_assert(ip_address_parse(client, &values.client));
	return values;
}

static void
expect_in(const char *text, const struct spf_macro_values *values, enum spf_macro_place place, const char *expected)
{
	struct buffer out = {0};

	ck_assert_int_eq(spf_macro_check(span_of(text), place), SPF_SYNTAX_OK);
	ck_assert(spf_macro_expand(span_of(text), place, values, &out));
	ck_assert_str_eq(buffer_text(&out), expected);
	buffer_free(&out);
}

static void
expect(const char *text, const char *expected)
{
	struct spf_macro_values values = example_values("192.0.2.3");

	expect_in(text, &values, SPF_MACRO_IN_DOMAIN, expected);
}

START_TEST(examples_of_the_rfc)
{
	expect("%{s}", "strong-bad@email.example.com");
	expect("%{o}", "email.example.com");
	expect("%{d}", "email.example.com");
	expect("%{d4}", "email.example.com");
	expect("%{d3}", "email.example.com");
	expect("%{d2}", "example.com");
	expect("%{d1}", "com");
	expect("%{dr}", "com.example.email");
	expect("%{d2r}", "example.email");
	expect("%{l}", "strong-bad");
	expect("%{l-}", "strong.bad");
	expect("%{lr}", "strong-bad");
	expect("%{lr-}", "bad.strong");
	expect("%{l1r-}", "strong");
	expect("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com");
	expect("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com");
	expect("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com");
	expect("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com");
	expect("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net");
}
END_TEST

START_TEST(ipv6_is_nibbles)
{
	struct spf_macro_values values = example_values("2001:db8::cb01");

	expect_in("%{ir}.%{v}._spf.%{d2}", &values, SPF_MACRO_IN_DOMAIN,
	    "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com");
	expect_in("%{c} %{i4r}", &values, SPF_MACRO_IN_EXPLANATION, "2001:db8::cb01 1.0.0.2");
}
END_TEST

START_TEST(other_letters)
{
	struct spf_macro_values values = example_values("192.0.2.3");

	expect("%{h}", "mail.example.com");
	expect("%{p}", "mx.example.org");
	expect("%{P2R}", "example.mx");
	expect("%%%_%-", "% %20");
	expect_in("%{c} seen by %{r} at %{t}: 100%%", &values, SPF_MACRO_IN_EXPLANATION,
	    "192.0.2.3 seen by receiver.example.org at 1234567890: 100%");
}
END_TEST

START_TEST(transformers_at_their_edges)
{
	struct spf_macro_values values = example_values("192.0.2.3");

	values.local_part = "a-b+c.d,e/f_g=h";
	expect_in("%{l.-+,/_=}", &values, SPF_MACRO_IN_DOMAIN, "a.b.c.d.e.f.g.h");
	expect_in("%{l1}", &values, SPF_MACRO_IN_DOMAIN, "d,e/f_g=h");
	expect_in("%{l127-}", &values, SPF_MACRO_IN_DOMAIN, "a.b+c.d,e/f_g=h");
	expect_in("%{l99999999999999999999r-}", &values, SPF_MACRO_IN_DOMAIN, "b+c.d,e/f_g=h.a");
	expect_in("%{l01r-+}", &values, SPF_MACRO_IN_DOMAIN, "a");
	values.local_part = "-x-";
	expect_in("[%{l-}] [%{lr-}] [%{l2-}] [%{l2r-}] [%{l1-}]", &values, SPF_MACRO_IN_EXPLANATION, "[.x.] [.x.] [x.] [x.] []");
	values.local_part = "";
	expect_in("[%{l}] [%{lr}] [%{l1r-}]", &values, SPF_MACRO_IN_EXPLANATION, "[] [] []");
}
END_TEST

START_TEST(upper_case_is_escaped_for_urls)
{
	struct spf_macro_values values = example_values("192.0.2.3");

	values.local_part = "~jack&jill=up-a_b3.c \xc3\xa9";
	expect_in("%{L}", &values, SPF_MACRO_IN_DOMAIN, "~jack%26jill%3Dup-a_b3.c%20%C3%A9");
	expect_in("%{LR.}", &values, SPF_MACRO_IN_DOMAIN, "c%20%C3%A9.~jack%26jill%3Dup-a_b3");
	expect_in("%{S}", &values, SPF_MACRO_IN_DOMAIN, "~jack%26jill%3Dup-a_b3.c%20%C3%A9%40email.example.com");
}
END_TEST

START_TEST(unknown_name_is_said)
{
	struct spf_macro_values values = example_values("192.0.2.3");
	struct buffer out = {0};

	values.validated_name = name_unknown;
	ck_assert(!spf_macro_expand(span_of("%{p}.example.org"), SPF_MACRO_IN_DOMAIN, &values, &out));
	ck_assert(spf_macro_expand(span_of("%{d}.example.org"), SPF_MACRO_IN_DOMAIN, &values, &out));
	buffer_free(&out);
}
END_TEST

START_TEST(long_names_keep_their_end)
{
	struct spf_macro_values values = example_values("192.0.2.3");
	struct buffer text = {0}, out = {0};

	for (int i = 0; i < 5000; i++)
		buffer_append_string(&text, "%{d}.");
	buffer_append_string(&text, "end.example.com");
	ck_assert(spf_macro_expand(span_make(text.data, text.length), SPF_MACRO_IN_DOMAIN, &values, &out));
	ck_assert_uint_le(out.length, 2000);
	ck_assert_uint_ge(out.length, 254);
	ck_assert_str_eq(out.data + out.length - strlen(".email.example.com.end.example.com"), ".email.example.com.end.example.com");
	buffer_clear(&out);
	ck_assert(spf_macro_expand(span_make(text.data, text.length), SPF_MACRO_IN_EXPLANATION, &values, &out));
	ck_assert_uint_gt(out.length, SPF_EXPLANATION_MAX);
	ck_assert_uint_lt(out.length, SPF_EXPLANATION_MAX + 1000);
	buffer_free(&text);
	buffer_free(&out);
}
END_TEST

START_TEST(syntax_errors)
{
	static const struct {
		const char *text;
		enum spf_macro_place place;
		enum spf_syntax error;
	} cases[] = {
		{"", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_OK},
		{"%", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_PERCENT},
		{"%a", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_PERCENT},
		{"%(ir)", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_PERCENT},
		{"a%%%", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_PERCENT},
		{"%{", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{d", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{d2", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{dr2}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{d:}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{d-r}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_MACRO},
		{"%{}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_UNKNOWN_MACRO},
		{"%{x}", SPF_MACRO_IN_EXPLANATION, SPF_SYNTAX_UNKNOWN_MACRO},
		{"%{4}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_UNKNOWN_MACRO},
		{"%{d0}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_ZERO_PARTS},
		{"%{d00r}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_ZERO_PARTS},
		{"%{c}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_MACRO_FOR_EXPLANATIONS},
		{"%{R}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_MACRO_FOR_EXPLANATIONS},
		{"%{t}", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_MACRO_FOR_EXPLANATIONS},
		{"%{t}", SPF_MACRO_IN_MODIFIER, SPF_SYNTAX_OK},
		{"a b", SPF_MACRO_IN_DOMAIN, SPF_SYNTAX_BAD_CHARACTER},
		{"a b", SPF_MACRO_IN_MODIFIER, SPF_SYNTAX_BAD_CHARACTER},
		{"a b", SPF_MACRO_IN_EXPLANATION, SPF_SYNTAX_OK},
		{"a\tb", SPF_MACRO_IN_EXPLANATION, SPF_SYNTAX_BAD_CHARACTER},
		{"\x7f", SPF_MACRO_IN_EXPLANATION, SPF_SYNTAX_BAD_CHARACTER},
		{"caf\xc3\xa9", SPF_MACRO_IN_EXPLANATION, SPF_SYNTAX_BAD_CHARACTER},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(spf_macro_check(span_of(cases[i].text), cases[i].place) == cases[i].error, "\"%s\": %s", cases[i].text,
		    spf_syntax_text(spf_macro_check(span_of(cases[i].text), cases[i].place)));
	ck_assert_int_eq(spf_macro_check(span_make("a\0b", 3), SPF_MACRO_IN_EXPLANATION), SPF_SYNTAX_BAD_CHARACTER);
	ck_assert_int_eq(spf_macro_check(span_make("%{\0}", 4), SPF_MACRO_IN_DOMAIN), SPF_SYNTAX_UNKNOWN_MACRO);
}
END_TEST

START_TEST(ends_of_domain_specs)
{
	static const char *const good[] = {"a.b", "example.com", "example.com.", ".com", "a..b.com", "%{d}", "x%{d}", "a%%", "%{d}.com", "a.b-c", "a.1-2",
	    "a.xn--zckzah", "a.9b", "foo:bar/baz.com", NULL};
	static const char *const bad[] = {"com", "com.", "%{d}com", "_spf.%{d}.", "a.-b", "a.b-", "a.123", "a.b..", "a._b", "a.b:80", "a.b/24", ".", "..", NULL};

	for (size_t i = 0; good[i] != NULL; i++)
		ck_assert_msg(spf_domain_spec_check(span_of(good[i])) == SPF_SYNTAX_OK, "%s", good[i]);
	for (size_t i = 0; bad[i] != NULL; i++)
		ck_assert_msg(spf_domain_spec_check(span_of(bad[i])) == SPF_SYNTAX_BAD_DOMAIN, "%s", bad[i]);
	ck_assert_int_eq(spf_domain_spec_check(span_of("")), SPF_SYNTAX_NO_DOMAIN);
	ck_assert_int_eq(spf_domain_spec_check(span_of("192.0.2.1")), SPF_SYNTAX_DOMAIN_IS_ADDRESS);
	ck_assert_int_eq(spf_domain_spec_check(span_of("%{x}.com")), SPF_SYNTAX_UNKNOWN_MACRO);
}
END_TEST

SUITE_MAIN("spf macros", examples_of_the_rfc, ipv6_is_nibbles, other_letters, transformers_at_their_edges, upper_case_is_escaped_for_urls,
    unknown_name_is_said, long_names_keep_their_end, syntax_errors, ends_of_domain_specs)
