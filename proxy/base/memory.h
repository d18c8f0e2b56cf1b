/* Allocation that never returns NULL: a process out of memory ends with one clear line,
 * and the master replaces it (what it held is answered 4xx). Free with memory_free. */
#ifndef POSTERN_BASE_MEMORY_H
#define POSTERN_BASE_MEMORY_H

#include <stddef.h>

/* `size` bytes, zeroed. */
void *memory_new(size_t size);
/* An array of `count` elements of `size` bytes, zeroed; overflow of the product is fatal. */
void *memory_new_array(size_t count, size_t size);
/* Like reallocarray; the new part is not initialised. */
void *memory_resize(void *old, size_t count, size_t size);
/* A NUL-terminated copy of `length` bytes. */
char *memory_copy_text(const char *text, size_t length);
/* A copy of a NUL-terminated string; NULL stays NULL. */
char *memory_copy_string(const char *string);
/* printf into new memory. */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Frees and sets the pointer to NULL: memory_free(&thing). NULL inside is fine. */
#define memory_free(pointer_address) \
	do { \
		memory_free_block(*(pointer_address)); \
		*(pointer_address) = NULL; \
	} while (0)
void memory_free_block(void *block);

#endif
