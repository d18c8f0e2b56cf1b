/* SPF records: golden terms, and each syntax error of RFC 7208 with the term it is found in. */
#include "suite.h"

#include <string.h>

#include "base/buffer.h"
#include "filters/spf/record.h"

static const char *
mechanism_name(enum spf_mechanism mechanism)
{
	static const char *const names[] = {
#define X(id, name, argument, asks) [id] = name,
		SPF_MECHANISMS(X)
#undef X
	};
	return names[mechanism];
}

/* "result mechanism argument; ..." */
static void
record_describe(const struct spf_record *record, struct buffer *out)
{
	char address[IP_ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *term = &record->terms[i];
		buffer_printf(out, "%s %s", spf_result_text(term->qualifier), mechanism_name(term->mechanism));
		if (term->domain_spec.length > 0)
			buffer_printf(out, " %.*s", (int)term->domain_spec.length, term->domain_spec.at);
		if (term->prefix_length_6 > 0 || term->prefix_length_4 > 0)
			buffer_printf(out, " /%u//%u", term->prefix_length_4, term->prefix_length_6);
		if (term->network.address.family != 0)
			buffer_printf(out, " %s/%u", ip_address_format(&term->network.address, address), term->network.prefix_length);
		buffer_append_string(out, "; ");
	}
	if (record->redirect.length > 0)
		buffer_printf(out, "redirect %.*s; ", (int)record->redirect.length, record->redirect.at);
	if (record->explanation.length > 0)
		buffer_printf(out, "exp %.*s; ", (int)record->explanation.length, record->explanation.at);
}

START_TEST(golden)
{
	static const char *const cases[][2] = {
		{"v=spf1", ""},
		{"v=spf1    ", ""},
		{"V=SpF1 +all", "pass all; "},
		{"v=spf1  -ALL  ", "fail all; "},
		{"v=spf1 a mx ptr ~all", "pass a /32//128; pass mx /32//128; pass ptr; softfail all; "},
		{"v=spf1 a/24 a//64 a/0//0 ?a:b.example/8//96",
		 "pass a /24//128; pass a /32//64; pass a; neutral a b.example /8//96; "},
		{"v=spf1 a:foo:bar/baz.example.com mx:%{d/}/24", "pass a foo:bar/baz.example.com /32//128; pass mx %{d/} /24//128; "},
		{"v=spf1 include:x.example exists:%{ir}.y.example -ptr:z.example.",
		 "pass include x.example; pass exists %{ir}.y.example; fail ptr z.example.; "},
		{"v=spf1 ip4:192.0.2.7 ip4:192.0.2.7/0 ip6:2001:DB8::/32 IP6:::1", /* host bits may be set */
		 "pass ip4 192.0.2.7/32; pass ip4 192.0.2.7/0; pass ip6 2001:db8::/32; pass ip6 ::1/128; "},
		{"v=spf1 ip6:::ffff:192.0.2.7/96", "pass ip6 ::ffff:192.0.2.7/96; "},
		{"v=spf1 exp=e.example Redirect=r.example -all", "fail all; redirect r.example; exp e.example; "},
		{"v=spf1 moo.cow-far_out=man:dog/cat m= x=%{c} m=again", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct spf_record record;
		struct span faulty;
		struct buffer text = {0};
		enum spf_syntax error = spf_record_parse(span_of(cases[i][0]), &record, &faulty);

		ck_assert_msg(error == SPF_SYNTAX_OK, "%s: %s", cases[i][0], spf_syntax_text(error));
		record_describe(&record, &text);
		ck_assert_str_eq(buffer_text(&text), cases[i][1]);
		buffer_free(&text);
		spf_record_clear(&record);
	}
}
END_TEST

START_TEST(syntax_errors)
{
	static const struct {
		const char *term;
		enum spf_syntax error;
	} cases[] = {
		{"moo", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"ip:192.0.2.1", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"-", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"--all", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"redirect:x.example", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"-exp=x.example", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"1up=foo", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"=all", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"moo.cow/far=man", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"all.", SPF_SYNTAX_UNKNOWN_MECHANISM},
		{"\x96" "all", SPF_SYNTAX_BAD_CHARACTER},
		{"a\tmx", SPF_SYNTAX_BAD_CHARACTER},
		{"m=\xc3\xa9", SPF_SYNTAX_BAD_CHARACTER},
		{"all:x.example", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"all/8", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"ptr/8", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"a/24/64", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"a/24/32", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"a/", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"a//", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"mx///24", SPF_SYNTAX_UNEXPECTED_ARGUMENT},
		{"include", SPF_SYNTAX_NO_DOMAIN},
		{"include:", SPF_SYNTAX_NO_DOMAIN},
		{"exists", SPF_SYNTAX_NO_DOMAIN},
		{"a:", SPF_SYNTAX_NO_DOMAIN},
		{"a:/24", SPF_SYNTAX_NO_DOMAIN},
		{"ptr:", SPF_SYNTAX_NO_DOMAIN},
		{"redirect=", SPF_SYNTAX_NO_DOMAIN},
		{"exp=", SPF_SYNTAX_NO_DOMAIN},
		{"include:x.example/24", SPF_SYNTAX_BAD_DOMAIN},
		{"a:museum", SPF_SYNTAX_BAD_DOMAIN},
		{"a:example.com:8080", SPF_SYNTAX_BAD_DOMAIN},
		{"redirect=-all", SPF_SYNTAX_BAD_DOMAIN},
		{"a:192.0.2.1", SPF_SYNTAX_DOMAIN_IS_ADDRESS},
		{"mx:192.0.2.1/24", SPF_SYNTAX_DOMAIN_IS_ADDRESS},
		{"exists:%(ir).x.example", SPF_SYNTAX_BAD_PERCENT},
		{"m=%a", SPF_SYNTAX_BAD_PERCENT},
		{"exists:%{a}", SPF_SYNTAX_UNKNOWN_MACRO},
		{"exp=%{r}.example.com", SPF_SYNTAX_MACRO_FOR_EXPLANATIONS},
		{"exists:%{d", SPF_SYNTAX_BAD_MACRO},
		{"exists:%{d0}", SPF_SYNTAX_ZERO_PARTS},
		{"ip4", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4/24", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:192.0.2", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:192.0.2.01", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:192.0.2.256", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:192.0.2.1:25", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:::1", SPF_SYNTAX_BAD_ADDRESS},
		{"ip6:192.0.2.1", SPF_SYNTAX_BAD_ADDRESS},
		{"ip6::CAFE::BABE", SPF_SYNTAX_BAD_ADDRESS},
		{"ip6:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", SPF_SYNTAX_BAD_ADDRESS},
		{"ip4:192.0.2.1/", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip4:192.0.2.1/33", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip4:192.0.2.1/032", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip4:192.0.2.1//32", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip6:::1/129", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip6:::1/256", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"ip6:::1/00", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"a/33", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"a//129", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"a:x.example/032", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"mx/4294967296", SPF_SYNTAX_BAD_PREFIX_LENGTH},
		{"exp=a.b", SPF_SYNTAX_REPEATED_MODIFIER},
		{"EXP=a.b", SPF_SYNTAX_REPEATED_MODIFIER},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct spf_record record;
		struct span faulty = {0};
		struct buffer text = {0};
		bool twice = cases[i].error == SPF_SYNTAX_REPEATED_MODIFIER;

		/* The good terms around it change nothing: the error is found, and found there. */
		buffer_printf(&text, "v=spf1 -all %s %s ~all", twice ? "exp=x.example" : "m=x", cases[i].term);
		enum spf_syntax error = spf_record_parse(span_make(text.data, text.length), &record, &faulty);
		ck_assert_msg(error == cases[i].error, "%s: %s", cases[i].term, spf_syntax_text(error));
		ck_assert_msg(span_is(faulty, cases[i].term), "%s: %.*s", cases[i].term, (int)faulty.length, faulty.at);
		spf_record_clear(&record);
		buffer_free(&text);
	}
}
END_TEST

START_TEST(version)
{
	static const char *const good[] = {"v=spf1", "V=SPF1", "v=spf1 ", "v=spf1 moo", NULL};
	static const char *const bad[] = {"", "v=spf", "v=spf10", "v=spf1.0 -all", " v=spf1", "v=spf1\t-all", "v=spf2 -all", "v = spf1", NULL};

	for (size_t i = 0; good[i] != NULL; i++)
		ck_assert_msg(spf_record_is_spf(span_of(good[i])), "%s", good[i]);
	for (size_t i = 0; bad[i] != NULL; i++)
		ck_assert_msg(!spf_record_is_spf(span_of(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(many_terms)
{
	struct buffer text = {0};
	struct spf_record record;
	struct span faulty;

	buffer_append_string(&text, "v=spf1");
	for (int i = 0; i < 10000; i++)
		buffer_append_string(&text, " ?all");
	ck_assert_int_eq(spf_record_parse(span_make(text.data, text.length), &record, &faulty), SPF_SYNTAX_OK);
	ck_assert_uint_eq(record.count, 10000);
	spf_record_clear(&record);
	buffer_free(&text);
}
END_TEST

SUITE_MAIN("spf records", golden, syntax_errors, version, many_terms)
