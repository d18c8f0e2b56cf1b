/* Golden tests of header scanning; each message is also scanned cut off at every length. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "mail/header.h"

#define NO_LIMIT SIZE_MAX

/* Scans `text` and checks that no cut-off front of it says anything else but "more". */
static enum header_scan_result
scan(const char *text, size_t bytes_limit, size_t count_limit, struct header_block *block)
{
	struct span bytes = span_of(text);
	enum header_scan_result whole = header_block_scan(bytes, true, bytes_limit, count_limit, block);

	for (size_t cut = 0; cut <= bytes.length; cut++) {
		char *front = memory_copy_text(text, cut);
		struct header_block part;
		enum header_scan_result result = header_block_scan(span_make(front, cut), false, bytes_limit, count_limit, &part);

		if (result != HEADER_SCAN_INCOMPLETE) {
			ck_assert_int_eq(result, whole);
			ck_assert_uint_eq(part.count, block->count);
			ck_assert_uint_eq(part.body_offset, block->body_offset);
			ck_assert_int_eq(part.has_separator, block->has_separator);
		} else {
			ck_assert_uint_eq(part.count, 0);
		}
		header_block_clear(&part);
		memory_free(&front);
	}
	return whole;
}

static void
check_field(const struct header_block *block, size_t index, const char *name, const char *value, size_t offset, size_t length)
{
	const struct header_field *field = &block->fields[index];

	ck_assert_uint_lt(index, block->count);
	ck_assert_msg(span_is(field->name, name), "field %zu: name %.*s", index, (int)field->name.length, field->name.at);
	ck_assert_msg(span_is(field->value, value), "field %zu: value %.*s", index, (int)field->value.length, field->value.at);
	ck_assert_uint_eq(field->offset, offset);
	ck_assert_uint_eq(field->length, length);
}

START_TEST(fields_and_separator)
{
	struct header_block block;

	ck_assert_int_eq(scan("A: x\r\nSubject : a\r\n\tb\r\n c\r\nEmpty:\r\n\r\nbody: no\r\n", NO_LIMIT, 100, &block), HEADER_SCAN_OK);
	ck_assert_uint_eq(block.count, 3);
	check_field(&block, 0, "A", " x", 0, 6);
	check_field(&block, 1, "Subject", " a\r\n\tb\r\n c", 6, 21);
	check_field(&block, 2, "Empty", "", 27, 8);
	ck_assert(block.has_separator);
	ck_assert_uint_eq(block.body_offset, 37);
	header_block_clear(&block);
}
END_TEST

START_TEST(ends_without_separator)
{
	static const struct {
		const char *text;
		size_t count, body_offset;
		bool separator;
	} rows[] = {
		{"", 0, 0, false},
		{"\r\n", 0, 2, true},
		{"\r\nA: b\r\n", 0, 2, true},
		{"body\r\n", 0, 0, false},
		{" A: b\r\n", 0, 0, false}, /* continues nothing */
		{"A: b\r\nbody line\r\n\r\n", 1, 6, false},
		{"A: b\r\nHello\r\n", 1, 6, false},
		{"A: b\r\n: no name\r\n", 1, 6, false},
		{"A: b\r\nn\xc3\xa4me: x\r\n", 1, 6, false},
		{"A: b\r\n>From x\r\n", 1, 6, false},
		{"A: b\r\nFrom x Sat 20:15\r\n", 1, 6, false},
		{"A: b\r\n", 1, 6, false},
		{"A: b", 1, 4, false},
		{"A:", 1, 2, false},
		{"A: b\r", 1, 5, false},
		{"A: b\r\n\r", 1, 6, false},
		{"A: b\r\n \r\n", 1, 9, false}, /* a blank line is a continuation (RFC 5322 4.2, obs-FWS) */
		{"A: b\r\n \r\n\r\nbody", 1, 11, true},
		{"A: b\r\n c", 1, 8, false},
		{"A: b\r\nC", 1, 6, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct header_block block;

		ck_assert_msg(scan(rows[i].text, NO_LIMIT, 100, &block) == HEADER_SCAN_OK, "row %zu", i);
		ck_assert_msg(block.count == rows[i].count, "row %zu: count %zu", i, block.count);
		ck_assert_msg(block.body_offset == rows[i].body_offset, "row %zu: body %zu", i, block.body_offset);
		ck_assert_msg(block.has_separator == rows[i].separator, "row %zu", i);
		header_block_clear(&block);
	}
}
END_TEST

START_TEST(limits)
{
	struct header_block block;

	ck_assert_int_eq(scan("A: b\r\nC: d\r\n\r\n", 12, 2, &block), HEADER_SCAN_OK);
	header_block_clear(&block);
	ck_assert_int_eq(scan("A: b\r\nC: d\r\n\r\n", 11, 2, &block), HEADER_SCAN_TOO_LONG);
	ck_assert_uint_eq(block.count, 0);
	ck_assert_int_eq(scan("A: b\r\nC: d\r\n\r\n", 12, 1, &block), HEADER_SCAN_TOO_MANY);
	ck_assert_int_eq(scan("A: b\r\n c\r\n d\r\n", 12, 1, &block), HEADER_SCAN_TOO_LONG);
	/* The body is not the header's length. */
	ck_assert_int_eq(scan("A: b\r\n\r\nlong long long body\r\n", 6, 1, &block), HEADER_SCAN_OK);
	header_block_clear(&block);
	ck_assert_int_eq(scan("A: b\r\nlong long long body\r\n", 6, 1, &block), HEADER_SCAN_OK);
	header_block_clear(&block);
}
END_TEST

START_TEST(cut_off_is_refused_as_soon_as_certain)
{
	struct header_block block;

	ck_assert_int_eq(header_block_scan(span_of("A: bbbbbbbbbbb"), false, 10, 5, &block), HEADER_SCAN_TOO_LONG);
	ck_assert_int_eq(header_block_scan(span_of("A: b\r\nB:"), false, 100, 1, &block), HEADER_SCAN_TOO_MANY);
	ck_assert_int_eq(header_block_scan(span_of("A: b\r\nnot a field"), false, 100, 5, &block), HEADER_SCAN_OK);
	header_block_clear(&block);
}
END_TEST

START_TEST(name_without_end)
{
	char text[HEADER_NAME_MAX + 100];
	struct header_block block;

	/* The colon is the last byte that may be one. */
	memset(text, 'a', sizeof text);
	text[HEADER_NAME_MAX - 1] = ':';
	text[sizeof text - 1] = '\0';
	ck_assert_int_eq(scan(text, NO_LIMIT, 5, &block), HEADER_SCAN_OK);
	ck_assert_uint_eq(block.count, 1);
	header_block_clear(&block);
	text[HEADER_NAME_MAX - 1] = 'a';
	text[HEADER_NAME_MAX] = ':';
	ck_assert_int_eq(scan(text, NO_LIMIT, 5, &block), HEADER_SCAN_OK);
	ck_assert_uint_eq(block.count, 0);
	header_block_clear(&block);
}
END_TEST

START_TEST(many_fields)
{
	struct buffer text = {0};
	struct header_block block;

	for (int i = 0; i < 1000; i++)
		buffer_printf(&text, "X-%d: %d\r\n", i, i);
	buffer_append_string(&text, "\r\n");
	ck_assert_int_eq(header_block_scan(span_make(text.data, text.length), true, NO_LIMIT, 1000, &block), HEADER_SCAN_OK);
	ck_assert_uint_eq(block.count, 1000);
	ck_assert_uint_eq(block.body_offset, text.length);
	ck_assert(span_is(block.fields[999].name, "X-999"));
	header_block_clear(&block);
	buffer_free(&text);
}
END_TEST

START_TEST(find_count_unfold)
{
	struct header_block block;
	char *value;

	ck_assert_int_eq(scan("received: a\r\nX: \t b \r\n\t  c\t\r\nRECEIVED: d\r\nReceived-SPF: e\r\nY: \r\n\r\n", NO_LIMIT, 9, &block),
	    HEADER_SCAN_OK);
	ck_assert_ptr_eq(header_block_find(&block, "Received"), &block.fields[0]);
	ck_assert_uint_eq(header_block_count(&block, "Received"), 2);
	ck_assert_ptr_null(header_block_find(&block, "Receive"));
	value = header_field_unfold(header_block_find(&block, "x"));
	ck_assert_str_eq(value, "b \t  c");
	memory_free(&value);
	value = header_field_unfold(header_block_find(&block, "y"));
	ck_assert_str_eq(value, "");
	memory_free(&value);
	header_block_clear(&block);
}
END_TEST

SUITE_MAIN("header", fields_and_separator, ends_without_separator, limits, cut_off_is_refused_as_soon_as_certain, name_without_end,
    many_fields, find_count_unfold)
