/* What a dead process held: each message between end of data and reply becomes a record for the journal, kept here while there
 * is no journal. Bounded: beyond that the records are dropped and counted. */
#ifndef POSTERN_MASTER_LOSSES_H
#define POSTERN_MASTER_LOSSES_H

#include "base/clock.h"
#include "master/process.h"
#include "wire/shared_memory.h"

struct losses;

/* own_page: the master's, for the count of drops. */
struct losses *losses_new(const struct clock *clock, struct shared_page *own_page);
void losses_free(struct losses **losses);
/* Reads the page of an ended process; `reason` ("proxy[1] (pid 4711) ended: signal 9 (Killed)") goes into the records.
 * Returns how many messages were under way. */
unsigned losses_collect(struct losses *losses, struct shared_page *page, const char *reason);
/* Hands what waits to a serving journal. */
void losses_deliver(struct losses *losses, struct process *journal);
size_t losses_waiting(const struct losses *losses);

#endif
