/* Typed writers and bounded typed readers of a frame's payload. Never casts bytes to a struct, never trusts a length. */
#include "wire/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define NULL_STRING UINT32_MAX /* in place of a length: the string was NULL */

static void
put_integer(struct buffer *payload, uint64_t value, size_t size)
{
	unsigned char bytes[8];
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
	buffer_append(payload, bytes, size);
}

void
frame_put_u8(struct buffer *payload, uint8_t value)
{
	put_integer(payload, value, 1);
}

void
frame_put_u16(struct buffer *payload, uint16_t value)
{
	put_integer(payload, value, 2);
}

void
frame_put_u32(struct buffer *payload, uint32_t value)
{
	put_integer(payload, value, 4);
}

void
frame_put_u64(struct buffer *payload, uint64_t value)
{
	put_integer(payload, value, 8);
}

void
frame_put_i64(struct buffer *payload, int64_t value)
{
	put_integer(payload, (uint64_t)value, 8);
}

void
frame_put_bool(struct buffer *payload, bool value)
{
	put_integer(payload, value ? 1 : 0, 1);
}

void
frame_put_span(struct buffer *payload, struct span value)
{
	ASSERT(value.length < NULL_STRING);
	put_integer(payload, value.length, 4);
	if (value.length > 0)
		buffer_append(payload, value.at, value.length);
}

void
frame_put_string(struct buffer *payload, const char *value)
{
	if (value == NULL)
		put_integer(payload, NULL_STRING, 4);
	else
		frame_put_span(payload, span_of(value));
}

void
frame_reader_init(struct frame_reader *reader, const void *payload, size_t length)
{
	*reader = (struct frame_reader){.at = payload, .left = length};
}

/* The next `length` bytes, or NULL and the sticky failure. */
static const char *
take(struct frame_reader *reader, size_t length)
{
	if (reader->failed || length > reader->left) {
		reader->failed = true;
		return NULL;
	}
	const char *at = reader->at;
	reader->at += length;
	reader->left -= length;
	return at;
}

static uint64_t
get_integer(struct frame_reader *reader, size_t size)
{
	const unsigned char *bytes = (const unsigned char *)take(reader, size);
	uint64_t value = 0;
	if (bytes == NULL)
		return 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)bytes[i] << (8 * i);
	return value;
}

uint8_t
frame_get_u8(struct frame_reader *reader)
{
	return (uint8_t)get_integer(reader, 1);
}

uint16_t
frame_get_u16(struct frame_reader *reader)
{
	return (uint16_t)get_integer(reader, 2);
}

uint32_t
frame_get_u32(struct frame_reader *reader)
{
	return (uint32_t)get_integer(reader, 4);
}

uint64_t
frame_get_u64(struct frame_reader *reader)
{
	return get_integer(reader, 8);
}

int64_t
frame_get_i64(struct frame_reader *reader)
{
	return (int64_t)get_integer(reader, 8);
}

bool
frame_get_bool(struct frame_reader *reader)
{
	uint64_t value = get_integer(reader, 1);
	if (value > 1)
		reader->failed = true;
	return value == 1;
}

struct span
frame_get_span(struct frame_reader *reader)
{
	size_t length = get_integer(reader, 4);
	const char *at = take(reader, length);
	return span_make(at, at == NULL ? 0 : length);
}

char *
frame_get_string(struct frame_reader *reader)
{
	size_t length = get_integer(reader, 4);
	if (length == NULL_STRING)
		return NULL;
	const char *at = take(reader, length);
	if (at == NULL)
		return NULL;
	if (memchr(at, '\0', length) != NULL) {
		reader->failed = true;
		return NULL;
	}
	return memory_copy_text(at, length);
}

uint32_t
frame_get_count(struct frame_reader *reader, size_t minimum_bytes)
{
	ASSERT(minimum_bytes > 0);
	uint32_t count = frame_get_u32(reader);
	if (count > reader->left / minimum_bytes) {
		reader->failed = true;
		return 0;
	}
	return count;
}

bool
frame_reader_finish(const struct frame_reader *reader)
{
	return !reader->failed && reader->left == 0;
}
