/* The master's heart: which processes there must be, what happens when one dies, how one generation follows another, how all of
 * it ends. Everything here is an answer to an event; nothing waits. */
#ifndef POSTERN_MASTER_SUPERVISE_H
#define POSTERN_MASTER_SUPERVISE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "master/generation.h"
#include "master/log_output.h"
#include "master/losses.h"
#include "master/process.h"
#include "wire/shared_memory.h"

TAILQ_HEAD(seats, seat);

#define SUPERVISOR_STATES(X) \
	X(SUPERVISOR_STARTING, "starting") \
	X(SUPERVISOR_RUNNING, "running") \
	X(SUPERVISOR_STOPPING_PROXIES, "stopping: sessions end") \
	X(SUPERVISOR_STOPPING_DELIVER, "stopping: deliver finishes") \
	X(SUPERVISOR_STOPPING_JOURNAL, "stopping: journal finishes") \
	X(SUPERVISOR_STOPPED, "stopped")

enum supervisor_state {
#define X(name, text) name,
	SUPERVISOR_STATES(X)
#undef X
};
const char *supervisor_state_text(enum supervisor_state state);

struct supervisor_callbacks {
	/* The first generation serves. */
	void (*on_serving)(void *context, const struct config *config);
	/* The first generation never came up. */
	void (*on_failed)(void *context, const char *reason);
	/* All reloads asked for up to `ticket` are answered; error NULL = the new generation serves. */
	void (*on_reloaded)(void *context, uint64_t ticket, const char *error);
	/* Every process has ended. */
	void (*on_stopped)(void *context);
};

/* Open to the files of this folder; the others only call. */
struct supervisor {
	struct event_base *base;
	const struct clock *clock;
	const char *config_file;
	struct log_output *log_output;
	int spool_directory; /* proxies' spool files are made here; -1 = none */
	const struct supervisor_callbacks *callbacks;
	void *context;

	enum supervisor_state state;
	bool at_once; /* stop without waiting */
	int64_t started_us; /* monotonic */
	struct shared_memory *shared;
	int shared_descriptor;
	struct shared_page *own_page;
	struct losses *losses;
	struct seats seats;
	struct seat *journal;
	struct process *slots[SHARED_SLOTS]; /* who has which page; 0 is ours */
	unsigned last_slot; /* given out latest */
	struct generation *next; /* starts; NULL = no reload under way */
	struct generation *current; /* accepts */
	struct generation *old; /* drains */
	uint32_t last_generation;
	uint64_t reloads_asked; /* ticket of the latest request */
	uint64_t reloads_begun; /* requests up to this one are answered by the reload under way */
	uint64_t reloads_done;
	bool answer_owed; /* the new generation serves; told as soon as the old one accepts nothing more */
	struct event *child_ended;
};

/* Takes the first generation, makes the shared memory, starts its processes. */
struct supervisor *supervisor_new(struct event_base *base, const struct clock *clock, const char *config_file, struct generation *first,
    struct log_output *log_output, const struct supervisor_callbacks *callbacks, void *context);
/* Kills and reaps what is still there. */
void supervisor_free(struct supervisor **supervisor);
/* Reads the configuration again as soon as the last reload is through. Returns the ticket that on_reloaded will name. */
uint64_t supervisor_reload(struct supervisor *supervisor);
/* Ends orderly: sessions, then deliver, then the journal. Called again: at once. */
void supervisor_stop(struct supervisor *supervisor);
/* Opens the log file again (after rotation). */
void supervisor_reopen_log(struct supervisor *supervisor);

/* For seat.c */

/* A process of this seat ended before it was ever ready. True: the seat is no longer wanted. */
bool supervisor_seat_failed(struct supervisor *supervisor, struct seat *seat, const char *reason);
/* Something changed: a process is ready or gone. */
void supervisor_advance(struct supervisor *supervisor);

#endif
