/* Replies: ours on the wire, a backend's bytes taken apart, and what of it our client hears. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "mail/reply.h"

static void
check_wire(const struct reply *reply, bool utf8, const char *expected)
{
	struct buffer out = {0};

	reply_append_wire(&out, reply, utf8);
	ck_assert_str_eq(buffer_text(&out), expected);
	buffer_free(&out);
}

START_TEST(wire_lines)
{
	struct reply reply = {0};

	reply_set(&reply, 550, "5.7.1", "no %s", "mail");
	check_wire(&reply, false, "550 5.7.1 no mail\r\n");
	reply_set(&reply, 550, "5.7.1", "one\ntwo\n\nfour");
	check_wire(&reply, false, "550-5.7.1 one\r\n550-5.7.1 two\r\n550-5.7.1\r\n550 5.7.1 four\r\n");
	reply_set(&reply, 220, NULL, "mx ESMTP");
	check_wire(&reply, false, "220 mx ESMTP\r\n");
	reply_set(&reply, 250, "", "mx\nPIPELINING\nSIZE 5");
	check_wire(&reply, false, "250-mx\r\n250-PIPELINING\r\n250 SIZE 5\r\n");
	reply_set(&reply, 250, NULL, "%s", "");
	check_wire(&reply, false, "250 \r\n");
	reply_set(&reply, 250, "2.0.0", "%s", "");
	check_wire(&reply, false, "250 2.0.0\r\n");
	reply_clear(&reply);
	ck_assert_int_eq(reply.code, 0);
	ck_assert_ptr_null(reply.text);
}
END_TEST

START_TEST(wire_is_clean)
{
	struct reply reply = {0};

	reply_set(&reply, 550, NULL, "a\r\tb\x01\x7f\xc3\xbc\xff\xc2\x85");
	check_wire(&reply, false, "550 a??b?????" "??\r\n");
	check_wire(&reply, true, "550 a??b??\xc3\xbc?" "??\r\n");
	reply_clear(&reply);
}
END_TEST

START_TEST(wire_lines_are_cut)
{
	struct reply reply = {0};
	struct buffer out = {0};
	char text[1200];

	memset(text, 'a', sizeof text);
	text[600] = '\n';
	text[1199] = '\0';
	reply_set(&reply, 550, "5.7.1", "%s", text);
	reply_append_wire(&out, &reply, false);
	ck_assert_uint_eq(out.length, 1024);
	ck_assert_mem_eq(out.data + 510, "\r\n550 5.7.1 a", 13);
	buffer_clear(&out);
	/* Not inside a UTF-8 character: 500 bytes of room, two a character, one byte odd. */
	for (size_t i = 0; i + 1 < 1100; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	text[1100] = '\0';
	reply_set(&reply, 550, "5.7.10", "%s", text);
	reply_append_wire(&out, &reply, true);
	ck_assert_uint_eq(out.length, 511);
	ck_assert_mem_eq(out.data + 507, "\xc3\xbc\r\n", 4);
	reply_clear(&reply);
	buffer_free(&out);
}
END_TEST

START_TEST(set_from_itself_and_copy)
{
	struct reply reply = {0}, copy = {0};

	reply_set(&reply, 450, "4.1.1", "words");
	reply_set(&reply, 451, reply.enhanced, "%s again", reply.text);
	ck_assert_str_eq(reply.text, "words again");
	ck_assert_str_eq(reply.enhanced, "4.1.1");
	reply_set(&copy, 250, "2.0.0", "old");
	reply_copy(&copy, &reply);
	reply_copy(&copy, &copy);
	ck_assert_int_eq(copy.code, 451);
	ck_assert_str_eq(copy.text, "words again");
	ck_assert_ptr_ne(copy.text, reply.text);
	ck_assert(reply_is_transient(&copy) && !reply_is_positive(&copy) && !reply_is_permanent(&copy));
	reply_clear(&reply);
	reply_copy(&copy, &reply);
	ck_assert_int_eq(copy.code, 0);
	ck_assert_ptr_null(copy.text);
}
END_TEST

START_TEST(text_for_log)
{
	struct reply reply = {0};
	struct buffer out = {0};

	reply_set(&reply, 550, "5.7.1", "one\n\ntwo");
	reply_append_text(&out, &reply);
	ck_assert_str_eq(buffer_text(&out), "550 5.7.1 one two");
	buffer_clear(&out);
	reply_set(&reply, 354, NULL, "%s", "");
	reply_append_text(&out, &reply);
	ck_assert_str_eq(buffer_text(&out), "354");
	buffer_free(&out);
	reply_clear(&reply);
}
END_TEST

/* Parses; every shorter front must be INCOMPLETE or already MALFORMED, and what follows must not matter. */
static void
check_parse(const char *input, int code, const char *enhanced, const char *text)
{
	size_t length = strlen(input), taken = 0;
	struct buffer more = {0};
	struct reply reply = {0};

	for (size_t cut = 0; cut < length; cut++) {
		char *front = memory_copy_text(input, cut);

		ck_assert_msg(reply_parse(span_make(front, cut), &reply, &taken) == REPLY_INCOMPLETE, "%s cut at %zu", input, cut);
		ck_assert_int_eq(reply.code, 0);
		memory_free(&front);
	}
	buffer_append_string(&more, input);
	buffer_append_string(&more, "250 next\r\n");
	for (int round = 0; round < 2; round++) {
		ck_assert_msg(reply_parse(span_make(more.data, round == 0 ? length : more.length), &reply, &taken) == REPLY_COMPLETE, "%s", input);
		ck_assert_uint_eq(taken, length);
		ck_assert_int_eq(reply.code, code);
		ck_assert_str_eq(reply.enhanced, enhanced);
		ck_assert_str_eq(reply.text, text);
	}
	buffer_free(&more);
	reply_clear(&reply);
}

START_TEST(parse_good)
{
	check_parse("250 Ok\r\n", 250, "", "Ok");
	check_parse("250 Ok\n", 250, "", "Ok");
	check_parse("250\r\n", 250, "", "");
	check_parse("250 \r\n", 250, "", "");
	check_parse("250 2.0.0\r\n", 250, "2.0.0", "");
	check_parse("250 2.1.5 Ok\r\n", 250, "2.1.5", "Ok");
	check_parse("250 5.1.5 Ok\r\n", 250, "", "5.1.5 Ok");
	check_parse("250 2.1 Ok\r\n", 250, "", "2.1 Ok");
	check_parse("250 2.1.5Ok\r\n", 250, "", "2.1.5Ok");
	check_parse("250 2.1234.5 Ok\r\n", 250, "", "2.1234.5 Ok");
	check_parse("550 5.123.456  two blanks\r\n", 550, "5.123.456", " two blanks");
	check_parse("250-mx\r\n250-SIZE 5\r\n250 HELP\r\n", 250, "", "mx\nSIZE 5\nHELP");
	check_parse("250-mx\n250\n", 250, "", "mx\n");
	check_parse("250-\r\n250 x\r\n", 250, "", "\nx");
	check_parse("550-5.7.1 one\r\n550-5.7.2 two\r\n550 three\r\n", 550, "5.7.1", "one\ntwo\nthree");
	check_parse("550-one\r\n550 5.7.1 two\r\n", 550, "5.7.1", "one\ntwo");
	check_parse("599 x\r\n", 599, "", "x");
	check_parse("200 x\r\n", 200, "", "x");
	check_parse("354 End\r\n", 354, "", "End");
}
END_TEST

START_TEST(parse_malformed)
{
	static const char *const rows[] = {
		"\r\n", "25\r\n", "abc\r\n", "100 x\r\n", "199 x\r\n", "600 x\r\n", "000 x\r\n", "2500 x\r\n", "250x\r\n", "250\tx\r\n",
		" 250 x\r\n", "250-a\r\n550 b\r\n", "250-a\r\n\r\n", "250-a\r\nb\r\n", "HTTP/1.1 400 Bad Request\r\n", "-50 x\r\n",
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct reply reply = {0};
		size_t taken;

		ck_assert_msg(reply_parse(span_of(rows[i]), &reply, &taken) == REPLY_MALFORMED, "row %zu", i);
		ck_assert_int_eq(reply.code, 0);
	}
}
END_TEST

START_TEST(parse_limits)
{
	struct buffer bytes = {0};
	struct reply reply = {0};
	size_t taken;

	/* A line of REPLY_LINE_MAX bytes is taken (its text cut), one byte more is not, with or without its end. */
	buffer_append_string(&bytes, "250 ");
	while (bytes.length < REPLY_LINE_MAX)
		buffer_append_char(&bytes, 'a');
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_INCOMPLETE);
	buffer_append_char(&bytes, '\r');
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_INCOMPLETE);
	buffer_append_char(&bytes, '\n');
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_COMPLETE);
	ck_assert_uint_eq(strlen(reply.text), REPLY_TEXT_MAX);
	buffer_truncate(&bytes, REPLY_LINE_MAX);
	buffer_append_string(&bytes, "aa");
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_MALFORMED);
	buffer_append_string(&bytes, "\r\n");
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_MALFORMED);

	buffer_clear(&bytes);
	for (int i = 1; i < REPLY_LINES_MAX; i++)
		buffer_append_string(&bytes, "250-x\r\n");
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_INCOMPLETE);
	buffer_append_string(&bytes, "250 x\r\n");
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_COMPLETE);
	ck_assert_uint_eq(taken, bytes.length);
	bytes.data[bytes.length - 4] = '-';
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_MALFORMED);

	buffer_clear(&bytes);
	buffer_append(&bytes, "250 a\0b\r\n", 9);
	ck_assert_int_eq(reply_parse(span_make(bytes.data, bytes.length), &reply, &taken), REPLY_COMPLETE);
	ck_assert_str_eq(reply.text, "a?b");
	reply_clear(&reply);
	buffer_free(&bytes);
}
END_TEST

static void
check_map(const char *backend_line, enum reply_step step, const char *expected, bool expected_alarm)
{
	struct reply backend = {0}, client = {0};
	struct buffer out = {0};
	size_t taken;
	bool alarm;

	ck_assert_int_eq(reply_parse(span_of(backend_line), &backend, &taken), REPLY_COMPLETE);
	reply_map(&backend, step, &client, &alarm);
	reply_append_text(&out, &client);
	ck_assert_msg(strncmp(buffer_text(&out), expected, strlen(expected)) == 0, "%s became %s", backend_line, buffer_text(&out));
	ck_assert_int_eq(alarm, expected_alarm);
	reply_map(&backend, step, &backend, &alarm);
	ck_assert_str_eq(backend.text, client.text);
	reply_clear(&backend);
	reply_clear(&client);
	buffer_free(&out);
}

START_TEST(map_passes)
{
	check_map("250 2.1.5 Ok\r\n", REPLY_STEP_RCPT, "250 2.1.5 Ok", false);
	check_map("250 Ok\r\n", REPLY_STEP_RCPT, "250 2.0.0 Ok", false);
	check_map("354 go\r\n", REPLY_STEP_DATA, "354 go", false);
	check_map("450 4.2.1 busy\r\n", REPLY_STEP_RCPT, "450 4.2.1 busy", false);
	check_map("452 full\r\n", REPLY_STEP_END_OF_DATA, "452 4.0.0 full", false);
	check_map("421 4.3.2 bye\r\n", REPLY_STEP_RCPT, "451 4.3.2 bye", false);
	check_map("421 bye\r\n", REPLY_STEP_CONNECT, "451 4.0.0 bye", false);
	check_map("550 5.1.1 unknown\r\n", REPLY_STEP_RCPT, "550 5.1.1 unknown", false);
	check_map("550 unknown\r\n", REPLY_STEP_RCPT, "550 5.0.0 unknown", false);
	check_map("552 5.3.4 big\r\n", REPLY_STEP_MAIL, "552 5.3.4 big", false);
	check_map("554-5.7.1 one\r\n554 5.7.1 t\x01wo\r\n", REPLY_STEP_END_OF_DATA, "554 5.7.1 one t?wo", false);
}
END_TEST

START_TEST(map_hides_what_blames_us)
{
	static const int about_us[] = {500, 501, 502, 503, 504, 530, 535, 538, 555};
	static const enum reply_step passing[] = {REPLY_STEP_MAIL, REPLY_STEP_RCPT, REPLY_STEP_END_OF_DATA};
	char line[64];

	for (size_t i = 0; i < sizeof about_us / sizeof about_us[0]; i++) {
		for (size_t step = 0; step < sizeof passing / sizeof passing[0]; step++) {
			snprintf(line, sizeof line, "%d 5.5.1 secret\r\n", about_us[i]);
			check_map(line, passing[step], "451 4.3.5 The mail system", true);
		}
	}
	check_map("554 5.7.1 no\r\n", REPLY_STEP_CONNECT, "451 4.3.5 ", true);
	check_map("554 5.5.1 no valid recipients\r\n", REPLY_STEP_DATA, "451 4.3.5 ", true);
	check_map("550 5.7.1 no\r\n", REPLY_STEP_DATA, "451 4.3.5 ", true);
}
END_TEST

START_TEST(map_makes_classes_match)
{
	struct reply backend = {0}, client = {0};
	bool alarm;

	reply_set(&backend, 450, "5.2.1", "x");
	reply_map(&backend, REPLY_STEP_RCPT, &client, &alarm);
	ck_assert_str_eq(client.enhanced, "4.2.1");
	reply_set(&backend, 550, "2.1.1", "x");
	reply_map(&backend, REPLY_STEP_RCPT, &client, &alarm);
	ck_assert_str_eq(client.enhanced, "5.1.1");
	reply_set(&backend, 354, "3.0.0", "x");
	reply_map(&backend, REPLY_STEP_DATA, &client, &alarm);
	ck_assert_str_eq(client.enhanced, "");
	reply_clear(&backend);
	reply_clear(&client);
}
END_TEST

SUITE_MAIN("reply", wire_lines, wire_is_clean, wire_lines_are_cut, set_from_itself_and_copy, text_for_log, parse_good, parse_malformed,
    parse_limits, map_passes, map_hides_what_blames_us, map_makes_classes_match)
