#include "base/escape.h"
#include "suite.h"

static void
expect(void (*append)(struct buffer *, struct span), const char *value, size_t length, const char *expected)
{
	struct buffer out = {0};

	append(&out, span_make(value, length));
	ck_assert_str_eq(buffer_text(&out), expected);
	buffer_free(&out);
}
#define EXPECT(append, value, expected) expect(append, value, sizeof value - 1, expected)

START_TEST(visible_text_stays)
{
	EXPECT(escape_append, "user@example.org <x>", "user@example.org <x>");
	EXPECT(escape_append, "j\xc3\xb8rgen \xe2\x82\xac \xf0\x9f\x93\xae", "j\xc3\xb8rgen \xe2\x82\xac \xf0\x9f\x93\xae");
}
END_TEST

START_TEST(controls_quotes_and_deception_are_shown)
{
	EXPECT(escape_append, "a\r\nb\x1b[2J\0\x7f", "a\\x0d\\x0ab\\x1b[2J\\x00\\x7f");
	EXPECT(escape_append, "say \"hi\" \\", "say \\\"hi\\\" \\\\");
	EXPECT(escape_append, "abc\xe2\x80\xaegpj.exe", "abc\\u{202e}gpj.exe");
	EXPECT(escape_append, "\xc2\x85", "\\u{0085}");
}
END_TEST

START_TEST(invalid_utf8_is_shown_byte_by_byte)
{
	EXPECT(escape_append, "\xff\xc0\xaf\xed\xa0\x80\xc3", "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xc3");
	EXPECT(escape_append, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}
END_TEST

START_TEST(tokens_are_quoted_only_when_needed)
{
	EXPECT(escape_append_token, "plain", "plain");
	EXPECT(escape_append_token, "", "\"\"");
	EXPECT(escape_append_token, "two words", "\"two words\"");
	EXPECT(escape_append_token, "qid=forged", "\"qid=forged\"");
	EXPECT(escape_append_token, "a\nb", "\"a\\x0ab\"");
}
END_TEST

START_TEST(json_is_json)
{
	EXPECT(escape_append_json, "a\"b\\c\n\xff\xf0\x9f\x93\xae", "\"a\\\"b\\\\c\\u000a\xef\xbf\xbd\xf0\x9f\x93\xae\"");
	EXPECT(escape_append_json, "\xf3\xa0\x80\x81", "\"\\udb40\\udc01\"");
}
END_TEST

SUITE_MAIN("escape", visible_text_stays, controls_quotes_and_deception_are_shown, invalid_utf8_is_shown_byte_by_byte,
    tokens_are_quoted_only_when_needed, json_is_json)
