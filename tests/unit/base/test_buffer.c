#include <string.h>

#include "base/buffer.h"
#include "suite.h"

START_TEST(appended_bytes_come_out_in_order_after_consuming)
{
	struct buffer buffer = {0};
	char expected[4096];

	for (int i = 0; i < 4096; i++) {
		expected[i] = (char)('a' + i % 26);
		buffer_append_char(&buffer, expected[i]);
	}
	ck_assert_uint_eq(buffer.length, 4096);
	buffer_consume(&buffer, 1000);
	buffer_append(&buffer, expected, 1000);
	ck_assert_uint_eq(buffer.length, 4096);
	ck_assert_mem_eq(buffer.data, expected + 1000, 3096);
	ck_assert_mem_eq(buffer.data + 3096, expected, 1000);
	buffer_free(&buffer);
}
END_TEST

START_TEST(a_steady_producer_and_consumer_do_not_grow_it)
{
	struct buffer buffer = {0};

	for (int i = 0; i < 10000; i++) {
		buffer_append_string(&buffer, "0123456789");
		buffer_consume(&buffer, i == 0 ? 5 : 10);
	}
	ck_assert_uint_eq(buffer.length, 5);
	ck_assert_uint_le(buffer.capacity, 512);
	ck_assert_str_eq(buffer_text(&buffer), "56789");
	buffer_free(&buffer);
}
END_TEST

START_TEST(text_is_always_terminated)
{
	struct buffer buffer = {0};

	ck_assert_str_eq(buffer_text(&buffer), "");
	buffer_printf(&buffer, "%s-%d", "x", 7);
	ck_assert_str_eq(buffer_text(&buffer), "x-7");
	buffer_truncate(&buffer, 1);
	ck_assert_str_eq(buffer_text(&buffer), "x");
	buffer_clear(&buffer);
	ck_assert_str_eq(buffer_text(&buffer), "");
	char *string = buffer_take_string(&buffer);
	ck_assert_str_eq(string, "");
	free(string);
}
END_TEST

START_TEST(spans_compare)
{
	ck_assert(span_is(span_make("abcdef", 3), "abc"));
	ck_assert(!span_is(span_make("abcdef", 3), "abcd"));
	ck_assert(span_is_nocase(span_of("MaIl"), "mail"));
	ck_assert(!span_is_nocase(span_of("\xc4"), "\xe4"));
	ck_assert(!span_equals_nocase(span_make("a\0b", 3), span_make("a\0c", 3)));
	ck_assert(span_equals(span_make(NULL, 0), span_of("")));
}
END_TEST

SUITE_MAIN("buffer", appended_bytes_come_out_in_order_after_consuming, a_steady_producer_and_consumer_do_not_grow_it,
    text_is_always_terminated, spans_compare)
