/* How a process ends when it finds a bug in itself. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"

void
assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "postern: assertion failed: %s at %s:%d (%s)\n", condition, file, line, log_get_context());
	abort();
}
