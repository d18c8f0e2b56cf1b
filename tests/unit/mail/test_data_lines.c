/* Golden tests of data lines: each input is also fed in every two parts and byte by byte, with the same result. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "mail/data_lines.h"

#define LIMIT 1000

struct outcome {
	struct data_lines lines;
	struct buffer out;
	size_t taken;
	bool ended;
};

static void
feed(struct outcome *outcome, const char *bytes, size_t length)
{
	if (!outcome->ended)
		outcome->taken += data_lines_take(&outcome->lines, bytes, length, &outcome->out, &outcome->ended);
}

static void
outcome_check_same(const struct outcome *a, const struct outcome *b)
{
	ck_assert_uint_eq(a->taken, b->taken);
	ck_assert_int_eq(a->ended, b->ended);
	ck_assert_uint_eq(a->out.length, b->out.length);
	if (a->out.length > 0)
		ck_assert_mem_eq(a->out.data, b->out.data, a->out.length);
	ck_assert_int_eq(a->lines.state, b->lines.state);
	ck_assert_int_eq(a->lines.fault, b->lines.fault);
	ck_assert_uint_eq(a->lines.fault_line, b->lines.fault_line);
	ck_assert_uint_eq(a->lines.normalised, b->lines.normalised);
	ck_assert_int_eq(a->lines.eight_bit, b->lines.eight_bit);
	ck_assert_int_eq(a->lines.starts_with_dot, b->lines.starts_with_dot);
	ck_assert_int_eq(a->lines.mbox_line_removed, b->lines.mbox_line_removed);
	ck_assert_uint_eq(a->lines.line, b->lines.line);
	ck_assert_uint_eq(a->lines.column, b->lines.column);
}

/* Parts are copies of exact size, so that a sanitiser sees a read past one. */
static void
feed_copy(struct outcome *outcome, const char *bytes, size_t length)
{
	char *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, bytes, length);
	feed(outcome, copy, length);
	free(copy);
}

static void
outcome_start(struct outcome *outcome, enum data_lines_mode mode, bool normalise, uint64_t limit)
{
	memset(outcome, 0, sizeof *outcome);
	data_lines_init(&outcome->lines, mode, normalise, limit);
}

static struct outcome
run(enum data_lines_mode mode, bool normalise, uint64_t limit, const char *bytes, size_t length)
{
	struct outcome whole, parts;

	outcome_start(&whole, mode, normalise, limit);
	feed_copy(&whole, bytes, length);
	for (size_t cut = 0; cut <= length; cut++) {
		outcome_start(&parts, mode, normalise, limit);
		feed_copy(&parts, bytes, cut);
		feed_copy(&parts, bytes + cut, length - cut);
		outcome_check_same(&whole, &parts);
		buffer_free(&parts.out);
	}
	outcome_start(&parts, mode, normalise, limit);
	for (size_t i = 0; i < length; i++)
		feed_copy(&parts, bytes + i, 1);
	outcome_check_same(&whole, &parts);
	buffer_free(&parts.out);
	return whole;
}

struct row {
	const char *input;
	size_t input_length;
	const char *output; /* NULL: do not care (refused) */
	size_t output_length;
	bool ended;
	enum data_lines_fault fault;
	uint64_t fault_line;
};
#define BYTES(literal) literal, sizeof(literal) - 1
#define GOOD(input, output) {BYTES(input), BYTES(output), true, DATA_LINES_FINE, 0}
#define OPEN(input, output) {BYTES(input), BYTES(output), false, DATA_LINES_FINE, 0}
#define BAD(input, ended, fault, line) {BYTES(input), NULL, 0, ended, fault, line}

static void
check_rows(enum data_lines_mode mode, bool normalise, uint64_t limit, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		struct outcome outcome = run(mode, normalise, limit, row->input, row->input_length);

		ck_assert_msg(outcome.ended == row->ended, "row %zu: ended %d", i, outcome.ended);
		ck_assert_msg(outcome.lines.fault == row->fault, "row %zu: fault %d", i, outcome.lines.fault);
		ck_assert_msg(outcome.lines.fault_line == row->fault_line, "row %zu: fault line %lu", i, (unsigned long)outcome.lines.fault_line);
		ck_assert_msg(outcome.taken == row->input_length, "row %zu: taken %zu", i, outcome.taken);
		if (row->output != NULL)
			ck_assert_msg(outcome.out.length == row->output_length &&
			    memcmp(buffer_text(&outcome.out), row->output, row->output_length) == 0, "row %zu: output \"%s\"", i, buffer_text(&outcome.out));
		buffer_free(&outcome.out);
	}
}
#define CHECK_ROWS(mode, normalise, limit, rows) check_rows(mode, normalise, limit, rows, sizeof rows / sizeof rows[0])

START_TEST(plain_messages)
{
	static const struct row rows[] = {
		GOOD(".\r\n", ""),
		GOOD("a\r\n.\r\n", "a\r\n"),
		GOOD("\r\n.\r\n", "\r\n"),
		GOOD("Subject: x\r\n\r\nbody\r\n.\r\n", "Subject: x\r\n\r\nbody\r\n"),
		GOOD("..\r\n.\r\n", ".\r\n"),
		GOOD("..a\r\nb.\r\n...\r\n.\r\n", ".a\r\nb.\r\n..\r\n"),
		GOOD(".a\r\n.\r\n", "a\r\n"),
		GOOD(". \r\n.\r\n", " \r\n"),
		OPEN("", ""),
		OPEN("a\r\n.", "a\r\n"),
		OPEN("a\r\n.\r", "a\r\n"),
		OPEN("a\r", "a"),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, LIMIT, rows);
	CHECK_ROWS(DATA_LINES_DATA, true, LIMIT, rows);
}
END_TEST

START_TEST(end_leaves_what_follows)
{
	const char *bytes = "a\r\n.\r\nQUIT\r\n";
	struct outcome outcome = run(DATA_LINES_DATA, false, LIMIT, bytes, strlen(bytes));
	bool ended;

	ck_assert(outcome.ended);
	ck_assert_uint_eq(outcome.taken, 6);
	ck_assert_uint_eq(data_lines_take(&outcome.lines, "QUIT", 4, &outcome.out, &ended), 0);
	ck_assert(ended);
	buffer_free(&outcome.out);
}
END_TEST

START_TEST(faults_refused)
{
	static const struct row rows[] = {
		BAD("a\nb\r\n.\r\n", true, DATA_LINES_BARE_LF, 1),
		BAD("a\r\nb\rc\r\n.\r\n", true, DATA_LINES_BARE_CR, 2),
		BAD("a\r\n\r\nb\0c\r\n.\r\n", true, DATA_LINES_NUL, 3),
		BAD("a\r\r\n.\r\n", true, DATA_LINES_BARE_CR, 1),
		/* The first fault stays. */
		BAD("a\r\nb\0\nc\rd\r\n.\r\n", true, DATA_LINES_NUL, 2),
		/* Nothing but CR LF . CR LF ends it, fault or not. */
		BAD("a\n.\n", false, DATA_LINES_BARE_LF, 1),
		BAD("a\n.\r\n", false, DATA_LINES_BARE_LF, 1),
		BAD("a\r\n.\n", false, DATA_LINES_BARE_LF, 2),
		BAD("a\r.\r", false, DATA_LINES_BARE_CR, 1),
		BAD("a\r.\r\n", false, DATA_LINES_BARE_CR, 1),
		BAD("a\r\n.\rb", false, DATA_LINES_BARE_CR, 2),
		BAD("a\r\n.\r\r\n", false, DATA_LINES_BARE_CR, 2),
		BAD("a\r\n.\r.\r\n", false, DATA_LINES_BARE_CR, 2),
		BAD("a\n\n.\r\n", false, DATA_LINES_BARE_LF, 1),
		BAD("a\r\n\0.\r\n", false, DATA_LINES_NUL, 2),
		BAD("a\r\n.\0\r\n", false, DATA_LINES_NUL, 2),
		BAD("a\r\n\n.\r\n", false, DATA_LINES_BARE_LF, 2),
		BAD("\n.\r\n", false, DATA_LINES_BARE_LF, 1),
		BAD("a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", true, DATA_LINES_BARE_LF, 1),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, LIMIT, rows);
}
END_TEST

START_TEST(fault_stops_output)
{
	const char *bytes = "good\r\nbad\nnever\r\n.never\r\n.\r\n";
	struct outcome outcome = run(DATA_LINES_DATA, false, LIMIT, bytes, strlen(bytes));

	ck_assert_str_eq(buffer_text(&outcome.out), "good\r\nbad");
	buffer_free(&outcome.out);
}
END_TEST

START_TEST(normalised)
{
	static const struct row rows[] = {
		GOOD("a\nb\r\n.\r\n", "a\r\nb\r\n"),
		GOOD("a\rb\r\n.\r\n", "a\r\nb\r\n"),
		GOOD("a\0b\0\r\n.\r\n", "ab\r\n"),
		GOOD("a\r\r\n.\r\n", "a\r\n\r\n"),
		/* Smuggling: the dot line is content, and the true end is the later one. */
		GOOD("a\n.\n\r\n.\r\n", "a\r\n.\r\n\r\n"),
		GOOD("a\n.\r\nMAIL\r\n.\r\n", "a\r\n.\r\nMAIL\r\n"),
		GOOD("a\r\n.\nMAIL\r\n.\r\n", "a\r\n\r\nMAIL\r\n"),
		GOOD("a\r\n.\rMAIL\r\n.\r\n", "a\r\n\r\nMAIL\r\n"),
		GOOD("a\r.\r\nMAIL\r\n.\r\n", "a\r\n.\r\nMAIL\r\n"),
		GOOD("a\r\n\0.\r\nMAIL\r\n.\r\n", "a\r\n.\r\nMAIL\r\n"),
		GOOD("a\r\n.\0\r\nMAIL\r\n.\r\n", "a\r\n\r\nMAIL\r\n"),
		GOOD("a\r\0\n.\r\nMAIL\r\n.\r\n", "a\r\n\r\n.\r\nMAIL\r\n"),
		GOOD("\n.\r\n\r\n.\r\n", "\r\n.\r\n\r\n"),
		/* A dot behind a normalised line end is not stuffing either. */
		GOOD("a\n..b\r\n..c\r\n.\r\n", "a\r\n..b\r\n.c\r\n"),
		OPEN("a\n.\n", "a\r\n.\r\n"),
	};
	CHECK_ROWS(DATA_LINES_DATA, true, LIMIT, rows);

	struct outcome outcome = run(DATA_LINES_DATA, true, LIMIT, BYTES("a\nb\rc\0d\r\n.\r\n"));
	ck_assert_uint_eq(outcome.lines.normalised, 3);
	ck_assert(!outcome.lines.starts_with_dot);
	buffer_free(&outcome.out);
	/* However a dot comes to stand at a line start, sending must know. */
	static const struct row dots[] = {
		OPEN("a\n.\r\n", "a\r\n.\r\n"),
		OPEN("a\r.\r\n", "a\r\n.\r\n"),
		OPEN("a\r\n\0.\r\n", "a\r\n.\r\n"),
		OPEN("a\r\n..\r\n", "a\r\n.\r\n"),
		OPEN("\0.\r\n", ".\r\n"),
	};
	CHECK_ROWS(DATA_LINES_DATA, true, LIMIT, dots);
	for (size_t i = 0; i < sizeof dots / sizeof dots[0]; i++) {
		outcome = run(DATA_LINES_DATA, true, LIMIT, dots[i].input, dots[i].input_length);
		ck_assert_msg(outcome.lines.starts_with_dot, "row %zu", i);
		buffer_free(&outcome.out);
	}
}
END_TEST

START_TEST(mbox_line)
{
	static const struct row rows[] = {
		GOOD("From a@b Sat\r\nSubject: x\r\n.\r\n", "Subject: x\r\n"),
		GOOD("From \r\n.\r\n", ""),
		GOOD("From a\r\nFrom b\r\n.\r\n", "From b\r\n"),
		GOOD("From: a\r\n.\r\n", "From: a\r\n"),
		GOOD("Fro\r\n.\r\n", "Fro\r\n"),
		GOOD("from a\r\n.\r\n", "from a\r\n"),
		GOOD("\r\nFrom a\r\n.\r\n", "\r\nFrom a\r\n"),
		GOOD(".From a\r\nb\r\n.\r\n", "b\r\n"),
		GOOD("From a\r\n.\r\n", ""),
		OPEN("From", ""),
		OPEN("FromX", "FromX"),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, LIMIT, rows);
	CHECK_ROWS(DATA_LINES_DATA, true, LIMIT, rows);

	static const struct row bad[] = {
		BAD("From a\nb\r\n.\r\n", true, DATA_LINES_BARE_LF, 1),
		BAD("From a\r\nb\nc\r\n.\r\n", true, DATA_LINES_BARE_LF, 2),
		BAD("Fro\0m a\r\n.\r\n", true, DATA_LINES_NUL, 1),
		BAD("From a\n.\r\n", false, DATA_LINES_BARE_LF, 1),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, LIMIT, bad);

	static const struct row normal[] = {
		GOOD("From a\nb\r\n.\r\n", "b\r\n"),
		GOOD("From a\n.\r\nb\r\n.\r\n", ".\r\nb\r\n"),
		GOOD("\0Fr\0om a\rb\r\n.\r\n", "b\r\n"),
	};
	CHECK_ROWS(DATA_LINES_DATA, true, LIMIT, normal);

	struct outcome outcome = run(DATA_LINES_BDAT, false, LIMIT, BYTES("From a\xff\r\n.b\r\n"));
	ck_assert_str_eq(buffer_text(&outcome.out), ".b\r\n");
	ck_assert(outcome.lines.mbox_line_removed);
	ck_assert(outcome.lines.starts_with_dot);
	ck_assert(!outcome.lines.eight_bit);
	buffer_free(&outcome.out);
}
END_TEST

START_TEST(line_limit)
{
	static const struct row rows[] = {
		GOOD("12345\r\n12345\r\n.\r\n", "12345\r\n12345\r\n"),
		GOOD("..2345\r\n.\r\n", ".2345\r\n"),
		BAD("12345\r\n123456\r\n.\r\n", true, DATA_LINES_LINE_TOO_LONG, 2),
		BAD("From 6\r\n.\r\n", true, DATA_LINES_LINE_TOO_LONG, 1),
		BAD("123456", false, DATA_LINES_LINE_TOO_LONG, 1),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, 5, rows);
	CHECK_ROWS(DATA_LINES_DATA, true, 5, rows);

	/* The first fault on the line is the one named, whichever kind. */
	static const struct row order[] = {
		BAD("123456\0\r\n.\r\n", true, DATA_LINES_LINE_TOO_LONG, 1),
		BAD("1234\0" "56\r\n.\r\n", true, DATA_LINES_NUL, 1),
		BAD("123456\n.\r\n\r\n.\r\n", true, DATA_LINES_LINE_TOO_LONG, 1),
	};
	CHECK_ROWS(DATA_LINES_DATA, false, 5, order);
}
END_TEST

START_TEST(eight_bit)
{
	struct outcome outcome = run(DATA_LINES_DATA, false, LIMIT, BYTES("a\x7f\r\n.\r\n\xff"));

	ck_assert(outcome.ended && !outcome.lines.eight_bit);
	buffer_free(&outcome.out);
	for (size_t at = 0; at < 100; at++) {
		char text[102];

		memset(text, 'a', sizeof text);
		text[at] = '\x80';
		text[100] = '\r';
		text[101] = '\n';
		outcome = run(DATA_LINES_DATA, false, LIMIT, text, sizeof text);
		ck_assert(outcome.lines.eight_bit);
		buffer_free(&outcome.out);
	}
}
END_TEST

static void
check_bdat(bool normalise, const char *input, size_t length, const char *output, bool final_crlf, enum data_lines_fault fault)
{
	struct outcome outcome = run(DATA_LINES_BDAT, normalise, LIMIT, input, length);

	ck_assert(!outcome.ended);
	ck_assert_uint_eq(outcome.taken, length);
	data_lines_end(&outcome.lines, &outcome.out);
	ck_assert_int_eq(outcome.lines.fault, fault);
	if (fault == DATA_LINES_FINE) {
		ck_assert_str_eq(buffer_text(&outcome.out), output);
		ck_assert_int_eq(data_lines_needs_final_crlf(&outcome.lines), final_crlf);
	}
	buffer_free(&outcome.out);
}

START_TEST(bdat)
{
	check_bdat(false, BYTES(""), "", false, DATA_LINES_FINE);
	check_bdat(false, BYTES("a\r\n"), "a\r\n", false, DATA_LINES_FINE);
	check_bdat(false, BYTES("a\r\nb"), "a\r\nb", true, DATA_LINES_FINE);
	check_bdat(false, BYTES("\r\n"), "\r\n", false, DATA_LINES_FINE);
	check_bdat(false, BYTES(".\r\n.\r\n..a"), ".\r\n.\r\n..a", true, DATA_LINES_FINE);
	check_bdat(false, BYTES("a\r"), "", false, DATA_LINES_BARE_CR);
	check_bdat(true, BYTES("a\r"), "a\r\n", false, DATA_LINES_FINE);
	check_bdat(true, BYTES("a\n"), "a\r\n", false, DATA_LINES_FINE);
	check_bdat(false, BYTES("From"), "From", true, DATA_LINES_FINE);
	check_bdat(false, BYTES("From x"), "", false, DATA_LINES_FINE);
	check_bdat(false, BYTES("From x\r\n"), "", false, DATA_LINES_FINE);
	check_bdat(true, BYTES("\0"), "", false, DATA_LINES_FINE);
	check_bdat(false, BYTES("."), ".", true, DATA_LINES_FINE);
}
END_TEST

static void
check_stuff(const char *input, const char *output)
{
	size_t length = strlen(input);

	for (size_t cut = 0; cut <= length; cut++) {
		struct buffer out = {0};
		bool at_line_start = true;

		data_lines_stuff(span_make(input, cut), &at_line_start, &out);
		data_lines_stuff(span_make(input + cut, length - cut), &at_line_start, &out);
		ck_assert_str_eq(buffer_text(&out), output);
		ck_assert_int_eq(at_line_start, length == 0 || input[length - 1] == '\n');
		buffer_free(&out);
	}
}

START_TEST(stuffing)
{
	check_stuff("", "");
	check_stuff("a\r\nb\r\n", "a\r\nb\r\n");
	check_stuff(".\r\n", "..\r\n");
	check_stuff("a\r\n.\r\n..b\r\nc.d\r\n.", "a\r\n..\r\n...b\r\nc.d\r\n..");
}
END_TEST

START_TEST(texts)
{
	ck_assert_str_eq(data_lines_fault_enhanced(DATA_LINES_NUL), "5.6.0");
	ck_assert_str_eq(data_lines_fault_text(DATA_LINES_BARE_LF), "bare line feed in message");
}
END_TEST

SUITE_MAIN("data_lines", plain_messages, end_leaves_what_follows, faults_refused, fault_stops_output, normalised, mbox_line, line_limit,
    eight_bit, bdat, stuffing, texts)
