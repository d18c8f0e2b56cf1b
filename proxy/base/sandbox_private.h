/* The parts of base/sandbox.c, for its own files and its test only. */
#ifndef POSTERN_BASE_SANDBOX_PRIVATE_H
#define POSTERN_BASE_SANDBOX_PRIVATE_H

#include "base/sandbox.h"

/* Restricts this process to the named directories. False when the kernel has no Landlock; fatal() when it has and refuses. */
bool sandbox_landlock(const struct sandbox_options *options);
/* Loads the system call filter of the profile; fatal() when impossible. */
void sandbox_system_calls(const struct sandbox_options *options);

#endif
