/* Growable bytes. Consuming moves the front; the space is taken back when the buffer has to grow. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"

#define BUFFER_SMALLEST 256

static size_t
bytes_before(const struct buffer *buffer)
{
	return (size_t)(buffer->data - buffer->block);
}

char *
buffer_reserve(struct buffer *buffer, size_t length)
{
	size_t needed = buffer->length + length + 1;

	ASSERT(needed > length);
	if (buffer->block == NULL || bytes_before(buffer) + needed > buffer->capacity) {
		if (buffer->block != NULL && bytes_before(buffer) > 0) {
			memmove(buffer->block, buffer->data, buffer->length);
			buffer->data = buffer->block;
		}
		if (needed > buffer->capacity) {
			size_t capacity = buffer->capacity > 0 ? buffer->capacity : BUFFER_SMALLEST;

			while (capacity < needed)
				capacity *= 2;
			buffer->block = memory_resize(buffer->block, capacity, 1);
			buffer->data = buffer->block;
			buffer->capacity = capacity;
		}
	}
	return buffer->data + buffer->length;
}

void
buffer_added(struct buffer *buffer, size_t length)
{
	ASSERT(bytes_before(buffer) + buffer->length + length < buffer->capacity);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
	char *to = buffer_reserve(buffer, length);

	if (length > 0)
		memcpy(to, bytes, length);
	buffer_added(buffer, length);
}

void
buffer_append_string(struct buffer *buffer, const char *string)
{
	buffer_append(buffer, string, strlen(string));
}

void
buffer_append_span(struct buffer *buffer, struct span span)
{
	buffer_append(buffer, span.at, span.length);
}

void
buffer_append_char(struct buffer *buffer, char byte)
{
	buffer_append(buffer, &byte, 1);
}

void
buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list arguments, again;
	int length;

	va_start(arguments, format);
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, arguments);
	ASSERT(length >= 0);
	vsnprintf(buffer_reserve(buffer, (size_t)length), (size_t)length + 1, format, again);
	buffer_added(buffer, (size_t)length);
	va_end(again);
	va_end(arguments);
}

void
buffer_consume(struct buffer *buffer, size_t length)
{
	ASSERT(length <= buffer->length);
	if (length == 0)
		return;
	buffer->length -= length;
	buffer->data = buffer->length == 0 ? buffer->block : buffer->data + length;
}

void
buffer_truncate(struct buffer *buffer, size_t length)
{
	ASSERT(length <= buffer->length);
	buffer->length = length;
	if (buffer->data != NULL)
		buffer->data[length] = '\0';
}

void
buffer_clear(struct buffer *buffer)
{
	buffer->data = buffer->block;
	buffer_truncate(buffer, 0);
}

void
buffer_free(struct buffer *buffer)
{
	memory_free_block(buffer->block);
	*buffer = (struct buffer){0};
}

const char *
buffer_text(const struct buffer *buffer)
{
	return buffer->length > 0 ? buffer->data : "";
}

char *
buffer_take_string(struct buffer *buffer)
{
	char *string = memory_copy_text(buffer->data, buffer->length);

	buffer_free(buffer);
	return string;
}

struct span
span_of(const char *string)
{
	return (struct span){string, strlen(string)};
}

struct span
span_make(const char *at, size_t length)
{
	return (struct span){at, length};
}

bool
span_equals(struct span a, struct span b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static char
ascii_lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

bool
span_equals_nocase(struct span a, struct span b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
			return false;
	return true;
}

bool
span_is(struct span a, const char *string)
{
	return span_equals(a, span_of(string));
}

bool
span_is_nocase(struct span a, const char *string)
{
	return span_equals_nocase(a, span_of(string));
}
