/* Allocation that never fails to its caller. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

void *
memory_new(size_t size)
{
	return memory_new_array(1, size);
}

void *
memory_new_array(size_t count, size_t size)
{
	void *block = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (block == NULL)
		fatal("out of memory (%zu times %zu bytes)", count, size);
	return block;
}

void *
memory_resize(void *old, size_t count, size_t size)
{
	void *block = reallocarray(old, count > 0 ? count : 1, size > 0 ? size : 1);

	if (block == NULL)
		fatal("out of memory (%zu times %zu bytes)", count, size);
	return block;
}

char *
memory_copy_text(const char *text, size_t length)
{
	char *copy = memory_new(length + 1);

	if (length > 0)
		memcpy(copy, text, length);
	return copy;
}

char *
memory_copy_string(const char *string)
{
	return string == NULL ? NULL : memory_copy_text(string, strlen(string));
}

char *
memory_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		fatal("out of memory (formatting text)");
	va_end(arguments);
	return text;
}

void
memory_free_block(void *block)
{
	free(block);
}
