/* A growable run of bytes with a cheap consume at the front, and a read-only slice of bytes.
 * A zeroed struct buffer is an empty buffer. Always NUL-terminated one byte past `length`
 * once something was appended, so text in it can be printed. */
#ifndef POSTERN_BASE_BUFFER_H
#define POSTERN_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes owned by somebody else. */
struct span {
	const char *at;
	size_t length;
};

struct buffer {
	char *data; /* first unconsumed byte */
	size_t length; /* unconsumed bytes */
	char *block; /* private: start of the allocation */
	size_t capacity; /* private: size of the allocation */
};

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_string(struct buffer *buffer, const char *string);
void buffer_append_span(struct buffer *buffer, struct span span);
void buffer_append_char(struct buffer *buffer, char byte);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for `length` more bytes and returns where they go; follow with buffer_added. */
char *buffer_reserve(struct buffer *buffer, size_t length);
void buffer_added(struct buffer *buffer, size_t length);
/* Drops `length` bytes at the front. */
void buffer_consume(struct buffer *buffer, size_t length);
/* Drops everything behind the first `length` bytes. */
void buffer_truncate(struct buffer *buffer, size_t length);
/* Empties the buffer, keeps the memory. */
void buffer_clear(struct buffer *buffer);
/* Empties the buffer, gives the memory back. */
void buffer_free(struct buffer *buffer);
/* The text as a NUL-terminated string ("" when empty), valid until the next change. */
const char *buffer_text(const struct buffer *buffer);
/* Takes the contents out as a string of its own (caller frees); the buffer is then empty. */
char *buffer_take_string(struct buffer *buffer);

struct span span_of(const char *string);
struct span span_make(const char *at, size_t length);
bool span_equals(struct span a, struct span b);
bool span_equals_nocase(struct span a, struct span b); /* ASCII only */
bool span_is(struct span a, const char *string);
bool span_is_nocase(struct span a, const char *string); /* ASCII only */

#endif
