/* The pool with processes that answer, crash, hang, lie and leave. */
#include <check.h>
#include <stdio.h>

#include "suite.h"
#include "workers.h"

#include "chain/pool.h"

#define JOBS 12
#define DEADLINE_MS 300

struct world {
	struct event_base *base;
	struct shared_memory *shared;
	struct config *config;
	struct worker_pool *pool;
	struct helper helpers[16];
	size_t helper_count;
	unsigned killed[16];
	size_t killed_count;
	struct message_store_options store;
	struct message_store *small, *large;
	struct task {
		struct world *world;
		struct worker_job job;
		uint64_t id;
		bool over, refuses;
		enum job_end end;
		int order; /* of the callbacks, from 1 */
		char said[64];
	} tasks[JOBS];
	size_t task_count;
	int ended;
};

static const char config_text[] = "hostname: mx.example.org\ndomains: [example.org]\nlisten: [{address: \"127.0.0.1:2525\"}]\n"
                                  "backends: [{url: \"smtp://127.0.0.1:2526\"}]\nfilters: [spf: {}]\n";

static void
on_kill(void *context, enum role role, unsigned slot, uint32_t generation)
{
	struct world *world = context;

	ck_assert_int_eq(role, ROLE_AUTH);
	ck_assert_uint_eq(generation, GENERATION);
	world->killed[world->killed_count++] = slot;
	for (size_t i = 0; i < world->helper_count; i++)
		if (world->helpers[i].slot == slot)
			helper_kill(&world->helpers[i]);
}

static struct message_store *
make_message(struct world *world, size_t bytes)
{
	struct message_store *message = message_store_new(&world->store);
	char *text = memory_new(bytes);

	ck_assert(message_store_append(message, text, bytes) && message_store_finish(message));
	memory_free(&text);
	return message;
}

static void
world_open(struct world *world, unsigned workers)
{
	struct config_errors errors = {0};
	int descriptor;

	memset(world, 0, sizeof *world);
	world->base = event_base_new();
	world->shared = shared_memory_new(&descriptor);
	close(descriptor);
	world->config = config_load_text("test", span_of(config_text), &errors);
	ck_assert_msg(world->config != NULL, "%s", buffer_text(&errors.text));
	world->small = make_message(world, 100);
	world->large = make_message(world, JOB_LARGE + 1);
	struct worker_pool_options options = {.base = world->base, .clock = clock_system(), .config = world->config, .shared = world->shared,
	    .slot = PROXY_SLOT, .role = ROLE_AUTH, .generation = GENERATION, .deadline_ms = DEADLINE_MS, .deadline_per_mib_ms = 10,
	    .kill = on_kill, .context = world};
	world->pool = worker_pool_new(&options);
	while (workers-- > 0) {
		struct helper *helper = &world->helpers[world->helper_count++];
		unsigned slot = 1 + (unsigned)world->helper_count;

		worker_pool_connect(world->pool, slot, GENERATION, helper_start(helper, world->shared, slot));
	}
}

static void
world_close(struct world *world)
{
	worker_pool_free(&world->pool);
	for (size_t i = 0; i < world->helper_count; i++)
		helper_kill(&world->helpers[i]);
	message_store_free(&world->small);
	message_store_free(&world->large);
	config_free(&world->config);
	shared_memory_free(&world->shared);
	event_base_free(world->base);
}

static void
add_worker(struct world *world)
{
	struct helper *helper = &world->helpers[world->helper_count++];
	unsigned slot = 1 + (unsigned)world->helper_count;

	worker_pool_connect(world->pool, slot, GENERATION, helper_start(helper, world->shared, slot));
}

static bool
on_end(void *context, enum job_end end, struct run_result *result)
{
	struct task *task = context;

	ck_assert(!task->over);
	ck_assert((result != NULL) == (end == JOB_ANSWERED));
	task->over = true;
	task->end = end;
	task->order = ++task->world->ended;
	if (result != NULL)
		snprintf(task->said, sizeof task->said, "%s", result->filters[0].reason);
	return !task->refuses;
}

static struct task *
submit(struct world *world, const char *deed, struct message_store *message)
{
	struct task *task = &world->tasks[world->task_count++];

	task->world = world;
	task->job = (struct worker_job){.first = 0, .end = 1, .job = {.stage = message != NULL ? STAGE_MESSAGE : STAGE_MAIL, .hostname = "mx",
	    .client = {.helo = deed}, .generation = GENERATION}};
	task->id = worker_pool_submit(world->pool, &task->job, message, on_end, task);
	ck_assert(task->id != 0 && !task->over);
	return task;
}

static void
on_time(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor, (void)what;
	*(bool *)context = true;
}

/* Until so many jobs are over; fails after some seconds. */
static void
run_until(struct world *world, int ended)
{
	bool late = false;
	struct event *timer = evtimer_new(world->base, on_time, &late);
	struct timeval patience = {20, 0};

	evtimer_add(timer, &patience);
	while (world->ended < ended && !late)
		event_base_loop(world->base, EVLOOP_ONCE);
	ck_assert_msg(!late, "only %d of %d jobs ended", world->ended, ended);
	event_free(timer);
}

static void
run_for(struct world *world, int ms)
{
	struct timeval time = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(world->base, &time);
	event_base_dispatch(world->base);
}

START_TEST(answers)
{
	struct world world;

	world_open(&world, 2);
	for (int i = 0; i < JOBS; i++)
		submit(&world, "ok", i % 2 == 0 ? world.small : NULL);
	ck_assert_uint_eq(worker_pool_queued(world.pool), JOBS - 2 * WORKER_JOBS_MAX);
	run_until(&world, JOBS);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(world.tasks[i].end, JOB_ANSWERED);
	ck_assert_uint_eq(worker_pool_queued(world.pool), 0);
	ck_assert_uint_eq(world.killed_count, 0);
	world_close(&world);
}
END_TEST

START_TEST(waits_for_the_first_worker)
{
	struct world world;

	world_open(&world, 0);
	struct task *task = submit(&world, "ok", world.small);
	run_for(&world, 50);
	ck_assert(!task->over);
	add_worker(&world);
	run_until(&world, 1);
	ck_assert_int_eq(task->end, JOB_ANSWERED);
	world_close(&world);
}
END_TEST

START_TEST(only_the_announced_job_is_blamed)
{
	struct world world;

	world_open(&world, 1);
	struct task *crash = submit(&world, "crash", world.small), *innocent = submit(&world, "ok", world.small), *queued = submit(&world, "ok", NULL);
	run_until(&world, 1);
	ck_assert_int_eq(crash->end, JOB_KILLED_WORKER);
	ck_assert(job_end_is_blamed(crash->end));
	ck_assert(!innocent->over && worker_pool_workers(world.pool) == 0);
	add_worker(&world);
	run_until(&world, 3);
	ck_assert_int_eq(innocent->end, JOB_ANSWERED);
	ck_assert(queued->end == JOB_ANSWERED && innocent->order < queued->order);
	ck_assert_uint_eq(world.killed_count, 0); /* it was dead already */
	world_close(&world);
}
END_TEST

START_TEST(a_worker_that_leaves_is_not_blamed_on_anybody)
{
	struct world world;

	world_open(&world, 1);
	struct task *task = submit(&world, "leave", world.small);
	for (int i = 0; i < JOB_SENDS_MAX - 1; i++) {
		run_for(&world, 100);
		ck_assert(!task->over);
		add_worker(&world);
	}
	run_until(&world, 1);
	ck_assert_int_eq(task->end, JOB_NOT_RUN);
	ck_assert(!job_end_is_blamed(task->end));
	world_close(&world);
}
END_TEST

START_TEST(a_hanging_job_is_killed)
{
	struct world world;
	int64_t began_us = clock_monotonic_us(clock_system());

	world_open(&world, 2);
	struct task *hang = submit(&world, "hang", world.small);
	run_for(&world, 50);
	for (int i = 0; i < 8; i++)
		submit(&world, "ok", world.small); /* two of them may be behind it */
	run_until(&world, 9);
	int64_t took_ms = (clock_monotonic_us(clock_system()) - began_us) / 1000;
	ck_assert_int_eq(hang->end, JOB_TIMED_OUT);
	ck_assert_uint_eq(world.killed_count, 1);
	ck_assert_msg(took_ms >= DEADLINE_MS && took_ms < 4 * DEADLINE_MS, "%lld ms", (long long)took_ms);
	for (int i = 1; i < 9; i++)
		ck_assert_int_eq(world.tasks[i].end, JOB_ANSWERED);
	world_close(&world);
}
END_TEST

/* Stopped before it announced anything: the worker's fault, not the job's. */
START_TEST(a_mute_worker_is_replaced)
{
	struct world world;

	world_open(&world, 1);
	kill(world.helpers[0].id, SIGSTOP);
	struct task *task = submit(&world, "ok", world.small);
	run_for(&world, 2 * DEADLINE_MS);
	ck_assert_uint_eq(world.killed_count, 1);
	ck_assert(!task->over);
	add_worker(&world);
	run_until(&world, 1);
	ck_assert_int_eq(task->end, JOB_ANSWERED);
	world_close(&world);
}
END_TEST

static void
expect_liar(const char *deed, bool refuses, enum job_end expected)
{
	struct world world;

	world_open(&world, 2);
	struct task *lie = submit(&world, deed, world.small);
	lie->refuses = refuses;
	run_until(&world, 1);
	ck_assert_msg(lie->end == expected, "%s: %s", deed, job_end_text(lie->end));
	ck_assert_uint_eq(world.killed_count, 1);
	ck_assert_uint_eq(worker_pool_workers(world.pool), 1);
	submit(&world, "ok", NULL);
	run_until(&world, 2);
	world_close(&world);
}

START_TEST(liars_are_killed)
{
	expect_liar("garbage", false, JOB_BAD_RESULT);
	expect_liar("unsound", false, JOB_BAD_RESULT);
	expect_liar("ok", true, JOB_ANSWERED); /* the caller found it impossible */
}
END_TEST

/* It answers for a job that it does not have: the one whose turn it was pays, and no second worker for it. */
START_TEST(unknown_jobs)
{
	struct world world;

	world_open(&world, 2);
	struct task *task = submit(&world, "unknown", world.small);
	run_until(&world, 1);
	ck_assert_int_eq(task->end, JOB_BAD_RESULT);
	ck_assert_uint_eq(world.killed_count, 1);
	world_close(&world);
}
END_TEST

/* The liar is at the next job already when its lie is read: that one is not to blame. */
START_TEST(who_comes_behind_a_liar_is_run_again)
{
	struct world world;

	world_open(&world, 1);
	struct task *lie = submit(&world, "unsound", world.small), *next = submit(&world, "hang", world.small);
	run_for(&world, DEADLINE_MS / 2);
	ck_assert_int_eq(lie->end, JOB_BAD_RESULT);
	ck_assert(!next->over);
	ck_assert_uint_eq(worker_pool_queued(world.pool), 1);
	world_close(&world);
}
END_TEST

/* Given to the worker just before it turned out to hang; it does not have to wait for that one's end. */
START_TEST(who_waits_behind_a_hanging_job_is_rescued)
{
	struct world world;

	world_open(&world, 2);
	struct task *hang = submit(&world, "hang", world.small);
	for (int i = 0; i < 3; i++)
		submit(&world, "ok", world.small);
	run_for(&world, DEADLINE_MS * 2 / 3);
	ck_assert(!hang->over);
	for (int i = 1; i < 4; i++)
		ck_assert(world.tasks[i].over && world.tasks[i].end == JOB_ANSWERED);
	ck_assert_uint_eq(world.killed_count, 0);
	run_until(&world, 4);
	ck_assert_int_eq(hang->end, JOB_TIMED_OUT);
	ck_assert_uint_eq(world.killed_count, 1);
	world_close(&world);
}
END_TEST

START_TEST(large_jobs_leave_a_worker)
{
	struct world world;

	world_open(&world, 2);
	for (int i = 0; i < 6; i++)
		submit(&world, "slow", world.large);
	ck_assert_uint_eq(worker_pool_queued(world.pool), 4);
	struct task *small = submit(&world, "ok", world.small);
	run_until(&world, 1);
	ck_assert(small->over);
	run_until(&world, 7);
	for (int i = 1; i < 6; i++)
		ck_assert_str_eq(world.tasks[i].said, world.tasks[0].said); /* all by the same one */
	ck_assert_str_ne(small->said, world.tasks[0].said);
	world_close(&world);
}
END_TEST

START_TEST(cancelled_jobs)
{
	struct world world;

	world_open(&world, 1);
	struct task *running = submit(&world, "slow", world.small), *next = submit(&world, "slow", world.small);
	struct task *queued = submit(&world, "ok", NULL), *last = submit(&world, "ok", NULL);
	worker_pool_cancel(world.pool, queued->id);
	ck_assert_uint_eq(worker_pool_queued(world.pool), 1);
	worker_pool_cancel(world.pool, running->id);
	worker_pool_cancel(world.pool, running->id + 100);
	memset(&running->job, 0xff, sizeof running->job); /* nobody looks at it any more */
	run_until(&world, 2);
	ck_assert(!running->over && !queued->over && next->end == JOB_ANSWERED && last->end == JOB_ANSWERED);
	worker_pool_cancel(world.pool, last->id);
	/* A cancelled job that kills its worker is forgotten with it. */
	struct task *crash = submit(&world, "crash", world.small);
	worker_pool_cancel(world.pool, crash->id);
	struct task *after = submit(&world, "ok", NULL);
	run_for(&world, 50);
	add_worker(&world);
	run_until(&world, 3);
	ck_assert(!crash->over && after->end == JOB_ANSWERED);
	world_close(&world);
}
END_TEST

static void
cancel_other(struct world *world)
{
	struct task *not_sendable = &world->tasks[0];
	static char huge[JOB_TEXT_MAX + 2];

	memset(huge, 'x', sizeof huge - 1);
	not_sendable = submit(world, huge, NULL);
	ck_assert(!not_sendable->over);
	struct task *cancelled = submit(world, huge, NULL);
	worker_pool_cancel(world->pool, cancelled->id); /* between its end and its callback */
	run_until(world, 1);
	ck_assert_int_eq(not_sendable->end, JOB_NOT_SENDABLE);
	run_for(world, 20);
	ck_assert(!cancelled->over);
}

START_TEST(what_does_not_fit)
{
	struct world world;

	world_open(&world, 1);
	cancel_other(&world);
	world_close(&world);
}
END_TEST

START_TEST(other_generations_and_used_slots)
{
	struct world world;
	int ends[2];

	world_open(&world, 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	worker_pool_connect(world.pool, 9, GENERATION + 1, ends[0]);
	ck_assert_uint_eq(worker_pool_workers(world.pool), 1);
	close(ends[1]);
	/* The process in slot 2 died and has a successor before we saw its end. */
	struct task *task = submit(&world, "slow", world.small);
	helper_kill(&world.helpers[0]);
	struct helper *helper = &world.helpers[world.helper_count++];
	worker_pool_connect(world.pool, 2, GENERATION, helper_start(helper, world.shared, 2));
	ck_assert_uint_eq(worker_pool_workers(world.pool), 1);
	run_until(&world, 1);
	ck_assert_int_eq(task->end, JOB_ANSWERED);
	world_close(&world);
}
END_TEST

START_TEST(fullness)
{
	struct world world;
	struct task *task;

	world_open(&world, 0);
	task = submit(&world, "ok", NULL);
	for (int i = 1; i < POOL_QUEUE_MAX; i++) {
		ck_assert(!worker_pool_is_full(world.pool));
		worker_pool_submit(world.pool, &task->job, NULL, on_end, task);
	}
	ck_assert(!worker_pool_is_full(world.pool)); /* they may have come back all at once */
	run_for(&world, 1050);
	ck_assert(worker_pool_is_full(world.pool));
	ck_assert_uint_eq(shared_gauge_total(world.shared, GAUGE_FILTER_JOBS_QUEUED), 0); /* the page is nobody's here */
	world_close(&world); /* with all of them waiting */
}
END_TEST

START_TEST(nobody_there)
{
	struct world world;

	world_open(&world, 0);
	ck_assert(!worker_pool_is_full(world.pool));
	run_for(&world, 2 * DEADLINE_MS + 50);
	ck_assert(worker_pool_is_full(world.pool));
	add_worker(&world);
	ck_assert(!worker_pool_is_full(world.pool));
	world_close(&world);
}
END_TEST

SUITE_MAIN("pool", answers, waits_for_the_first_worker, only_the_announced_job_is_blamed, a_worker_that_leaves_is_not_blamed_on_anybody,
    a_hanging_job_is_killed, a_mute_worker_is_replaced, liars_are_killed, unknown_jobs, who_comes_behind_a_liar_is_run_again, who_waits_behind_a_hanging_job_is_rescued,
    large_jobs_leave_a_worker, cancelled_jobs,
    what_does_not_fit, other_generations_and_used_slots, fullness, nobody_there)
