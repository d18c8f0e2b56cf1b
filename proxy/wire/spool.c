/* Making a file that only two descriptors reach. */
#include "wire/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define NAME_ATTEMPTS 16

/* The reading descriptor must be opened by name before that goes: what is handed on is then read-only in itself, and a
 * sandboxed process has no /proc to open it through. */
static bool
open_both(int directory, const char *name, int *writer, int *reader)
{
	*writer = openat(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*writer < 0)
		return false;
	*reader = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int error = errno;
	if (unlinkat(directory, name, 0) == 0 && *reader >= 0)
		return true;
	close(*writer);
	if (*reader >= 0)
		close(*reader);
	*writer = *reader = -1;
	errno = error;
	return false;
}

bool
spool_file_make(int directory, int *writer, int *reader)
{
	for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
		uint64_t random = 0;
		char name[40];
		if (getrandom(&random, sizeof random, 0) != sizeof random)
			return false;
		snprintf(name, sizeof name, "spool.%016llx", (unsigned long long)random);
		if (open_both(directory, name, writer, reader))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}
