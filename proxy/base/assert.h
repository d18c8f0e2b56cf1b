/* Our own bugs: die at once, name the place. Assertions stay on in release. */
#ifndef POSTERN_BASE_ASSERT_H
#define POSTERN_BASE_ASSERT_H

/* Prints "role: assertion failed: ..." to standard error and aborts. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

/* Magic-checked objects: the first member of an important struct is `uint32_t magic`. */
#define CHECK_MAGIC(object, expected) ASSERT((object) != NULL && (object)->magic == (expected))

#endif
