/* Who runs which job. Every job is in exactly one of three places: in the queue, in a worker, or among the ended ones, whose callbacks
 * come in the next loop turn. Owns jobs and workers, never what a job points to. */
#include "chain/pool.h"

#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/id_map.h"
#include "base/log.h"
#include "base/memory.h"
#include "wire/channel.h"

#define DEADLINE_MS 5000
#define DEADLINE_PER_MIB_MS 1000
#define SLOW_US 20000 /* a worker without progress for so long gets nothing more behind what it has */
#define RESCUE_PART 5 /* of the deadline: after so long what waits behind a job is given to another worker */
#define WATCH_TICKS 20 /* looks at each worker within one deadline */
#define SILENCES_MAX 4 /* longest deadlines that a job may lie unannounced in a worker, whatever the worker announces instead */
#define ALONE_DEADLINES 2 /* deadlines without any worker: then none will come soon */
#define QUEUE_PATIENCE_US 1000000 /* so long the first of many may wait */
#define MIB (1u << 20)

enum job_place { JOB_QUEUED, JOB_IN_WORKER, JOB_ENDED };

struct pool_job {
	struct worker_pool *pool;
	uint64_t id; /* the owner's; 0 = none */
	uint64_t sent_id; /* the worker's: another one each time it is sent */
	struct worker_job *what; /* borrowed; NULL once cancelled */
	struct message_store *message; /* borrowed, or NULL */
	uint64_t bytes; /* of the message */
	worker_pool_callback *callback;
	void *context;
	enum job_place place;
	enum job_end end;
	unsigned sends;
	int64_t submitted_us;
	int64_t sent_us, announced_us; /* monotonic; announced_us 0 = not seen yet */
	TAILQ_ENTRY(pool_job) link; /* of the place */
};
TAILQ_HEAD(pool_jobs, pool_job);

struct worker {
	struct worker_pool *pool;
	unsigned slot;
	uint32_t generation;
	struct channel *channel;
	struct shared_page *page;
	struct pool_jobs jobs; /* in the order they were sent */
	size_t count;
	/* What it announced when we last looked, and since when. */
	uint64_t seen_job;
	uint32_t seen_slot;
	int64_t seen_us;
	TAILQ_ENTRY(worker) link;
};

struct worker_pool {
	struct worker_pool_options options;
	struct shared_page *page; /* ours */
	struct id_map *jobs;
	uint64_t sent_count;
	uint64_t id_base; /* so that no job of a proxy that sat on our page before is taken for ours */
	struct pool_jobs queue, ended;
	size_t queued;
	TAILQ_HEAD(workers, worker) workers; /* by slot */
	size_t worker_count;
	struct event *watch, *end_timer;
	int64_t watched_us; /* when the watch last looked; 0 = it sleeps */
	int64_t alone_since_us; /* without any worker */
};

static void dispatch(struct worker_pool *pool);

const char *
job_end_text(enum job_end end)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		JOB_ENDS(X)
#undef X
	};

	return texts[end];
}

bool
job_end_is_blamed(enum job_end end)
{
	return end == JOB_KILLED_WORKER || end == JOB_TIMED_OUT || end == JOB_BAD_RESULT;
}

/* ---- jobs ---- */

static void
job_free(struct pool_job *job)
{
	if (job->id != 0)
		id_map_remove(job->pool->jobs, job->id - job->pool->id_base);
	memory_free(&job);
}

static struct pool_job *
job_find(const struct worker_pool *pool, uint64_t id)
{
	return id > pool->id_base ? id_map_find(pool->jobs, id - pool->id_base) : NULL;
}

static void
queue_count(struct worker_pool *pool, int by)
{
	pool->queued += (size_t)by;
	shared_gauge_add(pool->page, GAUGE_FILTER_JOBS_QUEUED, by);
}

/* The callback comes later; a job that was cancelled has none. */
static void
job_finish(struct pool_job *job, enum job_end end)
{
	static const struct timeval now = {0, 0};
	struct worker_pool *pool = job->pool;

	if (job->what == NULL) {
		job_free(job);
		return;
	}
	job->place = JOB_ENDED;
	job->end = end;
	TAILQ_INSERT_TAIL(&pool->ended, job, link);
	evtimer_add(pool->end_timer, &now);
}

static void
on_ended(evutil_socket_t descriptor, short what, void *context)
{
	struct worker_pool *pool = context;
	struct pool_job *job;

	(void)descriptor, (void)what;
	while ((job = TAILQ_FIRST(&pool->ended)) != NULL) {
		worker_pool_callback *callback = job->callback;
		void *callee = job->context;
		enum job_end end = job->end;

		TAILQ_REMOVE(&pool->ended, job, link);
		job_free(job);
		callback(callee, end, NULL);
	}
}

static void
job_take_from_worker(struct worker *worker, struct pool_job *job)
{
	TAILQ_REMOVE(&worker->jobs, job, link);
	worker->count--;
}

/* ---- the end of a worker ---- */

/* Is that job the one the worker has announced? What it writes there, it may make up; then the job that is blamed is its own. */
static bool
is_announced(const struct worker *worker, const struct pool_job *job)
{
	return atomic_load_explicit(&worker->page->running_job, memory_order_acquire) == job->sent_id &&
	    atomic_load_explicit(&worker->page->running_proxy_slot, memory_order_relaxed) == worker->pool->options.slot;
}

static void
job_again(struct worker_pool *pool, struct pool_job *job)
{
	if (job->what == NULL) {
		job_free(job);
	} else if (job->sends >= JOB_SENDS_MAX) {
		job_finish(job, JOB_NOT_RUN);
	} else {
		job->place = JOB_QUEUED;
		job->announced_us = 0;
		TAILQ_INSERT_HEAD(&pool->queue, job, link);
		queue_count(pool, 1);
	}
}

/* Who gave nonsense as an answer may be at the next job already, which cannot help it. */
static bool
is_blamed(const struct worker *worker, const struct pool_job *job, enum job_end end, const struct pool_job *accused)
{
	return end == JOB_BAD_RESULT ? job == accused : is_announced(worker, job);
}

/* Its jobs go back to the front of the queue, in order; the announced one does not, or after a bad result `accused` (may be NULL). */
static void
worker_end(struct worker *worker, enum job_end end, const struct pool_job *accused)
{
	struct worker_pool *pool = worker->pool;
	struct pool_job *job;

	TAILQ_REMOVE(&pool->workers, worker, link);
	if (--pool->worker_count == 0)
		pool->alone_since_us = clock_monotonic_us(pool->options.clock);
	while ((job = TAILQ_LAST(&worker->jobs, pool_jobs)) != NULL) {
		job_take_from_worker(worker, job);
		if (is_blamed(worker, job, end, accused))
			job_finish(job, end);
		else
			job_again(pool, job);
	}
	channel_free(&worker->channel);
	memory_free(&worker);
	dispatch(pool);
}

static void
worker_kill(struct worker *worker, enum job_end end, const struct pool_job *accused)
{
	struct worker_pool *pool = worker->pool;

	log_warning("%s worker in slot %u: %s", role_name(pool->options.role), worker->slot, job_end_text(end));
	shared_count(pool->page, COUNTER_FILTER_WORKERS_KILLED, 1);
	pool->options.kill(pool->options.context, pool->options.role, worker->slot, worker->generation);
	worker_end(worker, end, accused);
}

/* ---- results ---- */

/* Answers come in the order of the jobs: what belongs to no job at all is the doing of the first one.
 * False: nobody honest sends this. `job` is then the one it was meant for, or NULL. */
static bool
result_read(struct worker *worker, struct frame_reader *payload, struct run_result *result, struct pool_job **job)
{
	struct frame_reader front = *payload;
	uint64_t id = frame_get_u64(&front);

	/* Another worker's job is none of its business. */
	TAILQ_FOREACH (*job, &worker->jobs, link)
		if ((*job)->sent_id == id)
			break;
	if (*job == NULL || !worker_result_decode(payload, &id, result))
		return false;
	/* One that was cancelled is not looked at any more. */
	const struct worker_job *what = (*job)->what;
	return what == NULL || run_result_is_sound(result, worker->pool->options.config, what->first, what->end);
}

static bool
on_result(struct worker *worker, struct frame_reader *payload)
{
	struct worker_pool *pool = worker->pool;
	struct run_result result = {0};
	struct pool_job *job;

	if (!result_read(worker, payload, &result, &job)) {
		run_result_clear(&result);
		worker_kill(worker, JOB_BAD_RESULT, job != NULL ? job : TAILQ_FIRST(&worker->jobs));
		return true;
	}
	worker_pool_callback *callback = job->callback;
	void *callee = job->context;
	bool cancelled = job->what == NULL;

	job_take_from_worker(worker, job);
	job_free(job);
	worker->seen_us = clock_monotonic_us(pool->options.clock);
	if (!cancelled && !callback(callee, JOB_ANSWERED, &result))
		worker_kill(worker, JOB_BAD_RESULT, NULL);
	else
		dispatch(pool);
	run_result_clear(&result);
	return true;
}

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	struct worker *worker = context;

	(void)descriptors;
	if (type == WORKER_RESULT && descriptor_count == 0)
		return on_result(worker, payload);
	worker_kill(worker, JOB_BAD_RESULT, TAILQ_FIRST(&worker->jobs));
	return true;
}

/* How a process ended says the master; what broke the framing is still there. */
static void
on_closed(void *context, const char *reason)
{
	struct worker *worker = context;

	if (strncmp(reason, "closed", strlen("closed")) == 0 || strcmp(reason, "read error") == 0)
		worker_end(worker, JOB_KILLED_WORKER, NULL);
	else
		worker_kill(worker, JOB_BAD_RESULT, TAILQ_FIRST(&worker->jobs));
}

/* ---- sending ---- */

static bool
is_large(const struct pool_job *job)
{
	return job->bytes > JOB_LARGE;
}

static bool
has_large(const struct worker *worker)
{
	const struct pool_job *job;

	TAILQ_FOREACH (job, &worker->jobs, link)
		if (is_large(job))
			return true;
	return false;
}

/* Whatever it has may be what kills it after the deadline: who can still choose waits for another one. */
static bool
is_slow(const struct worker *worker)
{
	return worker->count > 0 && clock_monotonic_us(worker->pool->options.clock) - worker->seen_us > SLOW_US;
}

/* All proxies leave the same worker, that of the lowest slot, to small messages; and nothing small waits behind something large. */
static bool
may_take(const struct worker_pool *pool, const struct worker *worker, const struct pool_job *job)
{
	if (worker->count >= WORKER_JOBS_MAX || is_slow(worker))
		return false;
	if (is_large(job))
		return pool->worker_count == 1 || worker != TAILQ_FIRST(&pool->workers);
	return pool->worker_count == 1 || !has_large(worker);
}

/* The least busy one that may; NULL: none. */
static struct worker *
find_worker(const struct worker_pool *pool, const struct pool_job *job)
{
	struct worker *worker, *best = NULL;
	size_t best_load = SIZE_MAX;

	TAILQ_FOREACH (worker, &pool->workers, link) {
		bool busy = atomic_load_explicit(&worker->page->running_job, memory_order_relaxed) != 0;
		size_t load = 2 * worker->count + (busy ? 1 : 0);

		if (load < best_load && may_take(pool, worker, job)) {
			best = worker;
			best_load = load;
		}
	}
	return best;
}

static void
watch_begin(struct worker_pool *pool)
{
	int64_t step_ms = pool->options.deadline_ms / WATCH_TICKS;
	struct timeval step = {step_ms / 1000, step_ms % 1000 * 1000};

	if (pool->watched_us != 0)
		return;
	pool->watched_us = clock_monotonic_us(pool->options.clock);
	event_add(pool->watch, &step);
}

/* False when it cannot be sent to anybody. */
static bool
job_send(struct worker *worker, struct pool_job *job)
{
	struct buffer payload = {0};
	int descriptor = job->message != NULL ? message_store_descriptor(job->message) : -1;
	bool good = job->message == NULL || descriptor >= 0;

	job->sent_id = worker->pool->id_base + ++worker->pool->sent_count;
	job->what->id = job->sent_id;
	if (good && !worker_job_encode(job->what, &payload)) {
		good = false;
		if (descriptor >= 0)
			close(descriptor);
	}
	if (good)
		good = channel_send(worker->channel, WORKER_JOB, &payload, &descriptor, descriptor >= 0 ? 1 : 0);
	buffer_free(&payload);
	return good;
}

static void
job_dispatch(struct worker *worker, struct pool_job *job)
{
	struct worker_pool *pool = worker->pool;

	TAILQ_REMOVE(&pool->queue, job, link);
	queue_count(pool, -1);
	if (!job_send(worker, job)) {
		job_finish(job, JOB_NOT_SENDABLE);
		return;
	}
	job->place = JOB_IN_WORKER;
	job->sends++;
	job->sent_us = clock_monotonic_us(pool->options.clock);
	if (worker->count == 0)
		worker->seen_us = job->sent_us;
	TAILQ_INSERT_TAIL(&worker->jobs, job, link);
	worker->count++;
	channel_flush(worker->channel);
	watch_begin(pool);
}

/* In the order of the queue; when a large one must wait, small ones behind it need not, nor the other way round. */
static void
dispatch(struct worker_pool *pool)
{
	struct pool_job *job, *next;
	bool small = true, large = true;

	for (job = TAILQ_FIRST(&pool->queue); job != NULL && (small || large); job = next) {
		struct worker *worker;

		next = TAILQ_NEXT(job, link);
		if (!(is_large(job) ? large : small))
			continue;
		worker = find_worker(pool, job);
		if (worker != NULL)
			job_dispatch(worker, job);
		else if (is_large(job))
			large = false;
		else
			small = false;
	}
}

/* ---- deadlines ---- */

static int64_t
deadline_us(const struct worker_pool *pool, uint64_t bytes)
{
	return (pool->options.deadline_ms + (int64_t)(bytes * (uint64_t)pool->options.deadline_per_mib_ms / MIB)) * 1000;
}

/* We ourselves may have stood still (stopped, or starved): nobody else is to pay for that. */
static void
forgive(struct worker *worker, int64_t us)
{
	struct pool_job *job;

	worker->seen_us += us;
	TAILQ_FOREACH (job, &worker->jobs, link) {
		job->sent_us += us;
		if (job->announced_us != 0)
			job->announced_us += us;
	}
}

/* Notes what the worker announces. Returns our job that it runs, or NULL. */
static struct pool_job *
look(struct worker *worker, int64_t now_us)
{
	uint64_t running = atomic_load_explicit(&worker->page->running_job, memory_order_acquire);
	uint32_t slot = atomic_load_explicit(&worker->page->running_proxy_slot, memory_order_relaxed);
	struct pool_job *job;

	if (running != worker->seen_job || slot != worker->seen_slot) {
		worker->seen_job = running;
		worker->seen_slot = slot;
		worker->seen_us = now_us;
	}
	TAILQ_FOREACH (job, &worker->jobs, link)
		if (job->sent_id == running && slot == worker->pool->options.slot) {
			if (job->announced_us == 0)
				job->announced_us = now_us;
			return job;
		}
	return NULL;
}

/* True when the worker must go. A worker that runs another proxy's job has as long as the largest message may take; one that announces
 * nothing though it was given something hangs. */
static bool
is_overdue(struct worker *worker, int64_t now_us)
{
	const struct worker_pool *pool = worker->pool;
	const struct pool_job *running = look(worker, now_us), *oldest = TAILQ_FIRST(&worker->jobs);
	uint64_t largest = pool->options.config->limits.message_size;

	if (running != NULL)
		return now_us - running->announced_us > deadline_us(pool, running->bytes);
	if (now_us - worker->seen_us > deadline_us(pool, worker->seen_job != 0 ? largest : 0))
		return true;
	return now_us - oldest->sent_us > SILENCES_MAX * deadline_us(pool, largest);
}

/* What waits behind something that takes long, or was given to somebody who does not move, goes to another worker when there is one that
 * can take it. What is left in its place nobody wants any more. */
static void
rescue(struct worker *worker, const struct pool_job *running)
{
	struct pool_job *job, *next;

	for (job = TAILQ_FIRST(&worker->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job == running || job->what == NULL || find_worker(worker->pool, job) == NULL)
			continue;
		struct pool_job *left = memory_new(sizeof *left);
		*left = (struct pool_job){.pool = job->pool, .sent_id = job->sent_id, .bytes = job->bytes, .place = JOB_IN_WORKER, .sent_us = job->sent_us};
		TAILQ_INSERT_BEFORE(job, left, link);
		worker->count++;
		job_take_from_worker(worker, job);
		job->sends--; /* nobody has died */
		job_again(worker->pool, job);
		dispatch(worker->pool);
	}
}

static void
on_watch(evutil_socket_t descriptor, short what, void *context)
{
	struct worker_pool *pool = context;
	int64_t now_us = clock_monotonic_us(pool->options.clock), step_us = pool->options.deadline_ms / WATCH_TICKS * 1000;
	int64_t late_us = now_us - pool->watched_us - 2 * step_us;
	struct worker *worker, *next;
	bool any = false;

	(void)descriptor, (void)what;
	pool->watched_us = 0;
	for (worker = TAILQ_FIRST(&pool->workers); worker != NULL; worker = next) {
		next = TAILQ_NEXT(worker, link);
		if (late_us > 0)
			forgive(worker, late_us);
		if (worker->count == 0)
			continue;
		any = true;
		if (is_overdue(worker, now_us))
			worker_kill(worker, JOB_TIMED_OUT, NULL);
		else if (now_us - worker->seen_us > pool->options.deadline_ms * 1000 / RESCUE_PART)
			rescue(worker, look(worker, now_us));
	}
	if (any)
		watch_begin(pool);
}

/* ---- for the owner ---- */

uint64_t
worker_pool_submit(struct worker_pool *pool, struct worker_job *what, struct message_store *message, worker_pool_callback *callback,
    void *context)
{
	struct pool_job *job = memory_new(sizeof *job);

	job->pool = pool;
	job->id = pool->id_base + id_map_add(pool->jobs, job);
	job->what = what;
	job->message = message;
	job->bytes = message != NULL ? message_store_length(message) : 0;
	job->callback = callback;
	job->context = context;
	job->submitted_us = clock_monotonic_us(pool->options.clock);
	job->place = JOB_QUEUED;
	TAILQ_INSERT_TAIL(&pool->queue, job, link);
	queue_count(pool, 1);
	shared_count(pool->page, COUNTER_FILTER_JOBS, 1);
	uint64_t id = job->id;
	dispatch(pool);
	return id;
}

void
worker_pool_cancel(struct worker_pool *pool, uint64_t id)
{
	struct pool_job *job = job_find(pool, id);

	if (job == NULL)
		return;
	if (job->place == JOB_IN_WORKER) {
		job->what = NULL;
		job->message = NULL;
		return;
	}
	TAILQ_REMOVE(job->place == JOB_QUEUED ? &pool->queue : &pool->ended, job, link);
	if (job->place == JOB_QUEUED)
		queue_count(pool, -1);
	job_free(job);
}

/* By slot: the order is the same in all proxies. */
static void
worker_insert(struct worker_pool *pool, struct worker *worker)
{
	struct worker *other;

	pool->worker_count++;
	TAILQ_FOREACH (other, &pool->workers, link)
		if (other->slot > worker->slot) {
			TAILQ_INSERT_BEFORE(other, worker, link);
			return;
		}
	TAILQ_INSERT_TAIL(&pool->workers, worker, link);
}

/* A slot has one process at a time: the one before must be dead, though we have not seen it yet. */
static void
drop_predecessor(struct worker_pool *pool, unsigned slot)
{
	struct worker *worker, *next;

	for (worker = TAILQ_FIRST(&pool->workers); worker != NULL; worker = next) {
		next = TAILQ_NEXT(worker, link);
		if (worker->slot == slot)
			worker_end(worker, JOB_KILLED_WORKER, NULL);
	}
}

void
worker_pool_connect(struct worker_pool *pool, unsigned slot, uint32_t generation, int descriptor)
{
	static const struct channel_callbacks callbacks = {.on_frame = on_frame, .on_closed = on_closed};
	struct worker *worker;

	if (slot >= SHARED_SLOTS || generation != pool->options.generation) {
		close(descriptor);
		return;
	}
	drop_predecessor(pool, slot);
	worker = memory_new(sizeof *worker);
	worker->pool = pool;
	worker->slot = slot;
	worker->generation = generation;
	worker->page = shared_memory_page(pool->options.shared, slot);
	worker->channel = channel_new(pool->options.base, descriptor, &callbacks, worker);
	TAILQ_INIT(&worker->jobs);
	worker_insert(pool, worker);
	dispatch(pool);
}

struct worker_pool *
worker_pool_new(const struct worker_pool_options *options)
{
	struct worker_pool *pool = memory_new(sizeof *pool);

	pool->options = *options;
	if (pool->options.deadline_ms == 0) {
		pool->options.deadline_ms = DEADLINE_MS;
		pool->options.deadline_per_mib_ms = DEADLINE_PER_MIB_MS;
	}
	pool->page = shared_memory_page(options->shared, options->slot);
	pool->jobs = id_map_new();
	pool->alone_since_us = clock_monotonic_us(options->clock);
	pool->id_base = (uint64_t)clock_monotonic_us(options->clock) << 12;
	TAILQ_INIT(&pool->queue);
	TAILQ_INIT(&pool->ended);
	TAILQ_INIT(&pool->workers);
	pool->watch = evtimer_new(options->base, on_watch, pool);
	pool->end_timer = evtimer_new(options->base, on_ended, pool);
	ASSERT(pool->watch != NULL && pool->end_timer != NULL);
	return pool;
}

static void
jobs_free(struct pool_jobs *jobs)
{
	struct pool_job *job;

	while ((job = TAILQ_FIRST(jobs)) != NULL) {
		TAILQ_REMOVE(jobs, job, link);
		job_free(job);
	}
}

void
worker_pool_free(struct worker_pool **pool_address)
{
	struct worker_pool *pool = *pool_address;
	struct worker *worker;

	if (pool == NULL)
		return;
	while ((worker = TAILQ_FIRST(&pool->workers)) != NULL) {
		TAILQ_REMOVE(&pool->workers, worker, link);
		jobs_free(&worker->jobs);
		channel_free(&worker->channel);
		memory_free(&worker);
	}
	queue_count(pool, -(int)pool->queued);
	jobs_free(&pool->queue);
	jobs_free(&pool->ended);
	event_free(pool->watch);
	event_free(pool->end_timer);
	id_map_free(&pool->jobs);
	memory_free(pool_address);
}

bool
worker_pool_is_full(const struct worker_pool *pool)
{
	if (pool->worker_count == 0 && clock_monotonic_us(pool->options.clock) - pool->alone_since_us > ALONE_DEADLINES * deadline_us(pool, 0))
		return true;
	if (pool->queued < POOL_QUEUE_MAX)
		return false;
	/* Many that come back at one time, from waiting for a dead name server, are done in a moment. */
	return clock_monotonic_us(pool->options.clock) - TAILQ_FIRST(&pool->queue)->submitted_us >= QUEUE_PATIENCE_US;
}

size_t
worker_pool_queued(const struct worker_pool *pool)
{
	return pool->queued;
}

size_t
worker_pool_workers(const struct worker_pool *pool)
{
	return pool->worker_count;
}
