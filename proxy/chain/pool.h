/* The workers of one kind as one proxy sees them: they come and go, jobs wait in a bounded queue, each job has a deadline, and when a
 * worker dies only the job it had announced is blamed; the others are sent again, to somebody else (design section 3). Knows nothing of
 * messages and verdicts. */
#ifndef POSTERN_CHAIN_POOL_H
#define POSTERN_CHAIN_POOL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "wire/message_store.h"
#include "wire/roles.h"
#include "wire/shared_memory.h"
#include "conf/config.h"
#include "filters/job.h"

#define WORKER_JOBS_MAX 2 /* jobs of ours in one worker: one runs, the next is there already */
#define JOB_SENDS_MAX 10 /* to workers that died before they began it; then nobody runs it */
#define JOB_LARGE (1u << 20) /* bytes of a message whose jobs leave one worker to the others */
#define POOL_QUEUE_MAX 256 /* jobs waiting; more, and for a second, and no new message is accepted (those under way still may add theirs) */

struct worker_pool;

struct worker_pool_options {
	struct event_base *base;
	const struct clock *clock;
	const struct config *config; /* results are checked against it */
	struct shared_memory *shared;
	unsigned slot; /* ours: what a worker announces beside a job's id */
	enum role role;
	uint32_t generation;
	int64_t deadline_ms, deadline_per_mib_ms; /* of one job, from the moment it was announced; 0 = 5 s and 1 s */
	/* Asks the master to kill a worker; its jobs are taken from it at once. */
	void (*kill)(void *context, enum role role, unsigned slot, uint32_t generation);
	void *context;
};

#define JOB_ENDS(X) \
	X(JOB_ANSWERED, "answered") \
	X(JOB_KILLED_WORKER, "the worker died of it") \
	X(JOB_TIMED_OUT, "the worker took too long and was killed") \
	X(JOB_BAD_RESULT, "the worker's answer made no sense; it was killed") \
	X(JOB_NOT_RUN, "no worker lived long enough to begin it") \
	X(JOB_NOT_SENDABLE, "it does not fit into a frame, or there are no descriptors left")

enum job_end {
#define X(name, text) name,
	JOB_ENDS(X)
#undef X
};
const char *job_end_text(enum job_end end);
/* True when the job itself is to blame for the end of a worker. */
bool job_end_is_blamed(enum job_end end);

/* Called once per job unless cancelled, never from inside worker_pool_submit. `result` is NULL unless JOB_ANSWERED, and then the callee's to
 * empty; it is sound (filters/run.h). False: it is impossible all the same; the worker is then treated as taken over and killed, and the job is
 * over. */
typedef bool worker_pool_callback(void *context, enum job_end end, struct run_result *result);

/* The options' pointers must outlive the pool. */
struct worker_pool *worker_pool_new(const struct worker_pool_options *options);
/* No callback comes any more. */
void worker_pool_free(struct worker_pool **pool);
/* A worker has come (CONTROL_PEER); takes the descriptor. */
void worker_pool_connect(struct worker_pool *pool, unsigned slot, uint32_t generation, int descriptor);

/* `job` (its id is set each time it is sent) and `message` (or NULL) are borrowed until the callback or the cancelling. Returns the id, never 0. */
uint64_t worker_pool_submit(struct worker_pool *pool, struct worker_job *job, struct message_store *message, worker_pool_callback *callback,
    void *context);
/* A job that runs already runs on, but nobody hears of it. */
void worker_pool_cancel(struct worker_pool *pool, uint64_t id);

/* True when new messages had better wait: the queue is full, or there has been no worker for a while. */
bool worker_pool_is_full(const struct worker_pool *pool);
size_t worker_pool_queued(const struct worker_pool *pool);
size_t worker_pool_workers(const struct worker_pool *pool);

#endif
