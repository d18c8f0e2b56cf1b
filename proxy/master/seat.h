/* A place in which a process must be: as long as it is not retired, whoever dies in it is replaced. */
#ifndef POSTERN_MASTER_SEAT_H
#define POSTERN_MASTER_SEAT_H

#include "master/supervise.h"

struct seat {
	TAILQ_ENTRY(seat) entry;
	struct supervisor *supervisor;
	enum role role;
	unsigned index; /* among the seats of this role and generation */
	struct generation *generation; /* whose configuration a process in it gets; NULL only when retired */
	struct process *process; /* NULL while a replacement waits */
	bool retired;
	bool spare; /* a worker that works for nobody yet (workers.h) */
	bool recycled; /* the last one in it left of itself; its successor is no news */
	unsigned restarts;
	unsigned failures; /* ends before READY in a row */
	unsigned hasty_ends; /* ends within a second of READY in a row */
	struct event *respawn;
};

/* Adds it to the supervisor's seats and starts its first process. */
struct seat *seat_new(struct supervisor *supervisor, enum role role, unsigned index, struct generation *generation, bool spare);
/* Gives the process in it the peers it works with, which it must not have yet; each of these is told as well. */
void seat_connect(struct seat *seat);
/* No process is put into it again; the one in it finishes within timeout_ms (below 0: is killed). The seat goes with it, which can be
 * during this call. */
void seat_retire(struct seat *seat, int64_t timeout_ms);
bool seat_is_serving(const struct seat *seat);
/* The process in it has ended with this wait status. */
void seat_process_ended(struct seat *seat, int status);
/* Without ado, when the supervisor goes. */
void seat_free(struct seat *seat);

#endif
