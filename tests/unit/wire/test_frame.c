/* Payload writers and readers: bytes on the wire, and every way a payload can lie. */
#include <string.h>

#include "base/memory.h"
#include "suite.h"
#include "wire/frame.h"
#include "wire/roles.h"

START_TEST(round_trip)
{
	struct buffer payload = {0};
	struct frame_reader reader;
	frame_put_u8(&payload, 200);
	frame_put_u16(&payload, 0xbeef);
	frame_put_u32(&payload, 0xdeadbeef);
	frame_put_u64(&payload, UINT64_MAX - 1);
	frame_put_i64(&payload, INT64_MIN);
	frame_put_bool(&payload, true);
	frame_put_bool(&payload, false);
	frame_put_span(&payload, span_make("a\0b", 3));
	frame_put_span(&payload, span_make(NULL, 0));
	frame_put_string(&payload, "text");
	frame_put_string(&payload, "");
	frame_put_string(&payload, NULL);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert_uint_eq(frame_get_u8(&reader), 200);
	ck_assert_uint_eq(frame_get_u16(&reader), 0xbeef);
	ck_assert_uint_eq(frame_get_u32(&reader), 0xdeadbeef);
	ck_assert(frame_get_u64(&reader) == UINT64_MAX - 1);
	ck_assert(frame_get_i64(&reader) == INT64_MIN);
	ck_assert(frame_get_bool(&reader));
	ck_assert(!frame_get_bool(&reader));
	struct span span = frame_get_span(&reader);
	ck_assert_uint_eq(span.length, 3);
	ck_assert_mem_eq(span.at, "a\0b", 3);
	ck_assert_uint_eq(frame_get_span(&reader).length, 0);
	char *text = frame_get_string(&reader), *empty = frame_get_string(&reader), *null = frame_get_string(&reader);
	ck_assert_str_eq(text, "text");
	ck_assert_str_eq(empty, "");
	ck_assert_ptr_null(null);
	ck_assert(frame_reader_finish(&reader));
	memory_free(&text);
	memory_free(&empty);
	buffer_free(&payload);
}
END_TEST

START_TEST(golden_bytes)
{
	struct buffer payload = {0};
	frame_put_u16(&payload, 0x0102);
	frame_put_u32(&payload, 0x03040506);
	frame_put_string(&payload, "hi");
	frame_put_string(&payload, NULL);
	static const char golden[] = "\x02\x01\x06\x05\x04\x03\x02\0\0\0hi\xff\xff\xff\xff";
	ck_assert_uint_eq(payload.length, sizeof golden - 1);
	ck_assert_mem_eq(payload.data, golden, sizeof golden - 1);
	buffer_free(&payload);
}
END_TEST

START_TEST(short_payload_fails_and_stays_failed)
{
	struct frame_reader reader;
	frame_reader_init(&reader, "\x01\x02\x03", 3);
	ck_assert_uint_eq(frame_get_u32(&reader), 0);
	ck_assert(reader.failed);
	ck_assert_uint_eq(frame_get_u8(&reader), 0); /* though three bytes are left */
	ck_assert_ptr_null(frame_get_string(&reader));
	ck_assert_ptr_null(frame_get_span(&reader).at);
	ck_assert(!frame_reader_finish(&reader));
	frame_reader_init(&reader, NULL, 0);
	ck_assert(frame_reader_finish(&reader));
	ck_assert_uint_eq(frame_get_u8(&reader), 0);
	ck_assert(!frame_reader_finish(&reader));
}
END_TEST

START_TEST(unread_rest_is_an_error)
{
	struct frame_reader reader;
	frame_reader_init(&reader, "\x01\x02", 2);
	ck_assert_uint_eq(frame_get_u8(&reader), 1);
	ck_assert(!frame_reader_finish(&reader));
}
END_TEST

START_TEST(lying_lengths)
{
	struct frame_reader reader;
	frame_reader_init(&reader, "\x05\0\0\0abcd", 8);
	ck_assert_ptr_null(frame_get_span(&reader).at);
	ck_assert(reader.failed);
	frame_reader_init(&reader, "\xfe\xff\xff\xff" "abcd", 8);
	ck_assert_ptr_null(frame_get_string(&reader));
	ck_assert(reader.failed);
	frame_reader_init(&reader, "\x03\0\0\0a\0b", 7); /* a NUL inside a string */
	ck_assert_ptr_null(frame_get_string(&reader));
	ck_assert(reader.failed);
	frame_reader_init(&reader, "\xff\xff\xff\xff", 4); /* a NULL string is no span */
	ck_assert_ptr_null(frame_get_span(&reader).at);
	ck_assert(reader.failed);
	frame_reader_init(&reader, "\x02", 1);
	ck_assert(!frame_get_bool(&reader));
	ck_assert(reader.failed);
}
END_TEST

START_TEST(counts_are_bounded_by_what_is_left)
{
	struct frame_reader reader;
	frame_reader_init(&reader, "\x02\0\0\0abcdefgh", 12);
	ck_assert_uint_eq(frame_get_count(&reader, 4), 2);
	ck_assert(!reader.failed);
	frame_reader_init(&reader, "\x03\0\0\0abcdefgh", 12);
	ck_assert_uint_eq(frame_get_count(&reader, 4), 0);
	ck_assert(reader.failed);
	frame_reader_init(&reader, "\xff\xff\xff\xff" "abcdefgh", 12); /* the product would overflow 32 bits */
	ck_assert_uint_eq(frame_get_count(&reader, 1u << 31), 0);
	ck_assert(reader.failed);
}
END_TEST

START_TEST(role_names)
{
	for (int role = 0; role < ROLE_COUNT; role++)
		ck_assert_int_eq(role_from_name(role_name(role)), role);
	ck_assert_int_eq(role_from_name("prox"), -1);
	ck_assert_int_eq(role_from_name(""), -1);
	ck_assert_str_eq(role_default_user(ROLE_MASTER), "");
	ck_assert_str_eq(role_default_user(ROLE_DELIVER), "postern-deliver");
}
END_TEST

SUITE_MAIN("frame", round_trip, golden_bytes, short_payload_fails_and_stays_failed, unread_rest_is_an_error, lying_lengths,
    counts_are_bounded_by_what_is_left, role_names)
