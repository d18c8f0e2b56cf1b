/* The workers of a generation: as many as configured work for all proxies of it, one more is started and has none, ready to take the place
 * of the first that dies. Filling a seat is seat.c's; this file says who has which part. */
#ifndef POSTERN_MASTER_WORKERS_H
#define POSTERN_MASTER_WORKERS_H

#include "master/seat.h"

/* Seats for the workers of this generation and the spare; none when it has no filters. Before those of its proxies, so that these have
 * their workers from the start. */
void workers_start(struct supervisor *supervisor, struct generation *generation);
/* If a seat of the generation is empty and its spare serves, they change their parts: the spare gets its proxies now. `quietly`: for the
 * debug log. */
void workers_fill_gap(struct supervisor *supervisor, const struct generation *generation, bool quietly);
/* CONTROL_KILL_WORKER: kills the worker that has this page, provided that it works for `asker`. */
void workers_kill(struct supervisor *supervisor, const struct process *asker, unsigned slot, uint32_t generation);
/* The job that the worker with this page had announced, as words for the line about its end; nothing when there was none. */
void workers_describe_job(const struct supervisor *supervisor, unsigned slot, struct buffer *out);

#endif
