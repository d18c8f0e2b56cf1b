/* One child process as the master sees it: its set-up, its control channel, its deadlines. Knows nothing of why it is there
 * (seat.h) nor of the others. Its end is noticed by the owner (SIGCHLD), who then frees it. */
#ifndef POSTERN_MASTER_PROCESS_H
#define POSTERN_MASTER_PROCESS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/log.h"
#include "wire/channel.h"
#include "wire/roles.h"

#define PROCESS_STATES(X) \
	X(PROCESS_STARTING, "starting", "was given its set-up, has not said that it is ready") \
	X(PROCESS_SERVING, "serving", "is in its sandbox and serves") \
	X(PROCESS_DRAINING, "draining", "takes no new work, finishes what it has")

enum process_state {
#define X(name, text, description) name,
	PROCESS_STATES(X)
#undef X
};
const char *process_state_text(enum process_state state);

#if defined(__SANITIZE_ADDRESS__)
#define PROCESS_READY_TIMEOUT_MS 30000
#else
#define PROCESS_READY_TIMEOUT_MS 10000 /* from the fork to READY */
#endif
#define PROCESS_DRAIN_GRACE_MS 10000 /* beyond the drain timeout the process itself keeps */

struct process;
struct process_callbacks {
	void (*on_ready)(void *context, struct process *process);
	/* It accepts nothing new any more, as it was told. */
	void (*on_draining)(void *context, struct process *process);
	/* It wants spool files: process_send_spool_files answers. */
	void (*on_spool_wanted)(void *context, struct process *process);
	/* It wants the worker with this page killed: workers_kill judges. */
	void (*on_kill_worker)(void *context, struct process *process, unsigned slot, uint32_t generation);
	void (*on_log_line)(void *context, struct process *process, enum log_level level, const char *line);
};

struct process {
	enum role role;
	unsigned index;
	unsigned slot; /* page in shared memory */
	uint32_t generation;
	pid_t id;
	enum process_state state;
	bool accepts; /* may still take new connections */
	int64_t started_us; /* monotonic */
	int64_t ready_us; /* monotonic; 0 = never was */
	char *sandbox; /* what it said is in force; NULL before READY */
	char *killed_for; /* why we killed it, or NULL */

	/* private */
	struct channel *channel; /* NULL once closed */
	struct event *deadline;
	const struct clock *clock;
	const struct process_callbacks *callbacks;
	void *context;
};

/* What a child is told first. Nothing is kept. */
struct process_launch {
	enum role role;
	unsigned index;
	unsigned slot;
	uint32_t generation;
	const char *user; /* "" = keep */
	const char *chroot_directory; /* "" = none */
	const char *config_name;
	const char *config_text;
	bool sandbox_log_only;
	int shared_descriptor; /* not taken */
	struct event_base *base;
	const struct clock *clock;
	const struct process_callbacks *callbacks;
	void *context;
};

/* Starts it and sends CONTROL_SETUP. NULL with errno set when the machine cannot. */
struct process *process_start(const struct process_launch *launch);
/* Closes the channel and forgets; the process itself must have ended. */
void process_free(struct process **process);

/* Descriptors given here are copied, never taken. */
void process_send_listener(struct process *process, unsigned index, int descriptor);
void process_send_files(struct process *process, const char *hosts, const char *resolv_conf);
void process_send_start(struct process *process);
void process_send_log_file(struct process *process, int descriptor);
void process_send_configuration(struct process *process, uint32_t generation, const char *text);
/* Makes a few files in that directory (below 0: none) and hands them over. */
void process_send_spool_files(struct process *process, int directory);
/* False when it could not be queued. */
bool process_send_record(struct process *process, const struct buffer *record);
/* Connects two of them by a socket pair, each told about the other. */
void process_connect(struct process *one, struct process *other);

/* Asks it to finish; kills it when it is still there after timeout_ms and the grace. Asking twice shortens the time. */
void process_drain(struct process *process, int64_t timeout_ms);
/* SIGKILL; `why` goes into the line about its end. */
void process_kill(struct process *process, const char *why);

/* "proxy[1] (pid 4711)" */
void process_describe(const struct process *process, struct buffer *out);

#endif
