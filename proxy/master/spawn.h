/* Starting one of our processes: the same program again, with its role as argument, its control channel as descriptor 3 and
 * nothing else of ours: no other descriptor, no environment but what a sanitizer and the C library need. */
#ifndef POSTERN_MASTER_SPAWN_H
#define POSTERN_MASTER_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "wire/roles.h"

/* On success *control is our end of the control channel (close-on-exec). False with errno set when the machine cannot. */
bool spawn_role(enum role role, pid_t *process, int *control);

#endif
