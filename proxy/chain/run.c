/* A run's life. Ahead of the message it may ask; over the message it goes through the filters, run by run of adjacent ones, and each job
 * again whenever its questions are answered, until a verdict ends the chain or nobody is left. */
#include "chain/chain.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "chain/poison.h"
#include "chain/run_parts.h"

#define AHEAD_QUEUE_MAX (POOL_QUEUE_MAX / 8) /* jobs waiting; then nobody runs ahead */

static void on_timer(evutil_socket_t descriptor, short what, void *context);

void
run_change_state(struct chain_run *run, enum run_state state)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		RUN_STATES(X)
#undef X
	};

	if (run->state == state)
		return;
	log_debug("qid=%s filters %s -> %s", run->subject.queue_id, texts[run->state], texts[state]);
	run->state = state;
}

const struct config_filter *
run_filter(const struct chain_run *run, uint32_t index)
{
	const struct config *config = run->chain->options.config;

	ASSERT(index < config->filter_count);
	return &config->filters[index];
}

static uint32_t
filter_count(const struct chain_run *run)
{
	return (uint32_t)run->chain->options.config->filter_count;
}

static const struct clock *
clock_of(const struct chain_run *run)
{
	return run->chain->options.clock;
}

/* ---- birth and death ---- */

static void
set_up_job(struct chain_run *run, enum filter_stage stage)
{
	const struct chain_subject *subject = &run->subject;

	run->job.job = (struct filter_job){
		.stage = stage,
		.queue_id = subject->queue_id,
		.hostname = run->chain->options.config->hostname,
		.client = {.address = subject->client, .reverse_name = subject->reverse_name, .reverse_status = subject->reverse_status,
		    .helo = subject->helo, .extended = subject->extended, .tls = subject->tls},
		.envelope = subject->envelope,
		.now_us = clock_wall_us(clock_of(run)),
		.generation = run->chain->options.generation,
		.edits = &run->edits,
		.facts = &run->facts,
		.answers = &run->answers,
	};
	run->rounds = 0;
	run->job.ask = true;
}

/* Where the run of adjacent filters of one place that begins at `first` ends. */
static uint32_t
adjacent_end(const struct chain_run *run, uint32_t first)
{
	uint32_t end = first + 1;

	while (end < filter_count(run) && run_filter(run, end)->place == run_filter(run, first)->place)
		end++;
	return end;
}

static bool
takes_part(const struct chain_run *run, uint32_t index, enum filter_stage stage)
{
	const struct filter *filter = filter_find(run_filter(run, index)->name);

	/* One that nobody knows is found out when it is to run. */
	return filter == NULL || (filter->stages & 1u << stage) != 0;
}

bool
run_judges(const struct chain_run *run, uint32_t index)
{
	return takes_part(run, index, STAGE_MESSAGE);
}

static bool
any_takes_part(const struct chain_run *run, uint32_t first, uint32_t end, enum filter_stage stage)
{
	while (first < end && !takes_part(run, first, stage))
		first++;
	return first < end;
}

/* The first workers' filters, if they are interested so early; and not while messages wait for the workers. */
static void
begin_ahead(struct chain_run *run)
{
	uint32_t first = 0, end;

	while (first < filter_count(run) && run_filter(run, first)->place != FILTER_PLACE_AUTH)
		first++;
	if (first == filter_count(run) || worker_pool_queued(run->chain->auth) > AHEAD_QUEUE_MAX || client_is_trusted_relay(run, &run->subject.client))
		return;
	end = adjacent_end(run, first);
	if (!any_takes_part(run, first, end, STAGE_MAIL))
		return;
	set_up_job(run, STAGE_MAIL);
	run->job.first = first;
	run->job.end = end;
	run_change_state(run, RUN_AHEAD_JOB);
	run_submit(run);
}

struct chain_run *
chain_run_new(struct chain *chain, const struct chain_subject *subject)
{
	struct chain_run *run = memory_new(sizeof *run);

	run->magic = CHAIN_RUN_MAGIC;
	run->chain = chain;
	run->subject = *subject;
	LIST_INIT(&run->questions);
	run->costs = memory_new_array(chain->options.config->filter_count + 1, sizeof *run->costs);
	run->timer = evtimer_new(chain->options.base, on_timer, run);
	ASSERT(run->timer != NULL);
	begin_ahead(run);
	return run;
}

static void
forget_job(struct chain_run *run)
{
	if (run->job_id != 0)
		worker_pool_cancel(run->chain->auth, run->job_id);
	run->job_id = 0;
}

void
chain_run_free(struct chain_run **run_address)
{
	struct chain_run *run = *run_address;

	if (run == NULL)
		return;
	CHECK_MAGIC(run, CHAIN_RUN_MAGIC);
	forget_job(run);
	questions_cancel(run);
	event_free(run->timer);
	dns_table_clear(&run->answers);
	edit_list_clear(&run->edits);
	facts_clear(&run->facts);
	verdict_clear(&run->verdict);
	memory_free(&run->costs);
	memory_free(&run->relay_helo);
	run->magic = 0;
	memory_free(run_address);
}

const struct edit_list *
chain_run_edits(const struct chain_run *run)
{
	return &run->edits;
}

/* ---- jobs ---- */

void
run_submit(struct chain_run *run)
{
	ASSERT(run->job_id == 0 && run->question_count == 0);
	run_change_state(run, run->job.job.stage == STAGE_MAIL ? RUN_AHEAD_JOB : RUN_JOB);
	run->job_id = worker_pool_submit(run->chain->auth, &run->job, run->job.job.message, run_job_ended, run);
}

void
run_answered(struct chain_run *run)
{
	if (run->state == RUN_AHEAD_ANSWERS) {
		run_submit(run);
	} else if (run->state == RUN_ANSWERS) {
		if (run->job.first < filter_count(run))
			run->costs[run->job.first].dns_us += (uint64_t)(clock_monotonic_us(clock_of(run)) - run->waiting_since_us);
		run_submit(run);
	}
}

void
run_go_on(struct chain_run *run, uint32_t first)
{
	for (uint32_t end; first < filter_count(run); first = end) {
		bool ours = run_filter(run, first)->place == FILTER_PLACE_AUTH;

		end = adjacent_end(run, first);
		if (!ours && run_lose(run, first, end, "this program has no such filter"))
			break;
		if (!ours || !any_takes_part(run, first, end, STAGE_MESSAGE))
			continue;
		run->job.first = first;
		run->job.end = end;
		run->rounds = 0;
		run->job.ask = true;
		/* Those who ran ahead may still wait for something. */
		if (run->question_count == 0)
			run_submit(run);
		else
			run_change_state(run, RUN_ANSWERS);
		return;
	}
	run_finish(run);
}

/* ---- the end ---- */

/* The callback comes in the next turn: whoever called us may still need the run. */
void
run_finish(struct chain_run *run)
{
	static const struct timeval now = {0, 0};

	ASSERT(run->state != RUN_OVER);
	forget_job(run);
	questions_cancel(run);
	story_end(run);
	run_change_state(run, RUN_OVER);
	evtimer_del(run->timer);
	evtimer_add(run->timer, &now);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct chain_run *run = context;
	struct verdict verdict;

	(void)descriptor, (void)what;
	CHECK_MAGIC(run, CHAIN_RUN_MAGIC);
	if (run->state != RUN_OVER) {
		run_lose(run, run->job.first, filter_count(run), "no time left");
		run_finish(run);
	}
	evtimer_del(run->timer);
	verdict = run->verdict;
	run->verdict = (struct verdict){0};
	run->callback(run->context, &verdict);
	verdict_clear(&verdict);
}

static void
set_timer(struct chain_run *run, int64_t deadline_us)
{
	int64_t left_us = (deadline_us - clock_monotonic_us(clock_of(run))) / 4 * 3;
	struct timeval time = {0, 0};

	if (left_us > 0)
		time = (struct timeval){left_us / 1000000, left_us % 1000000};
	evtimer_add(run->timer, &time);
}

void
chain_run_judge(struct chain_run *run, const struct chain_subject *subject, int64_t deadline_us, chain_callback *callback, void *context)
{
	const struct chain_options *options = &run->chain->options;

	CHECK_MAGIC(run, CHAIN_RUN_MAGIC);
	ASSERT(run->callback == NULL);
	run->callback = callback;
	run->context = context;
	run->subject = *subject;
	forget_job(run); /* what it would ask, the first job will */
	run->waiting_since_us = clock_monotonic_us(options->clock);
	set_up_job(run, STAGE_MESSAGE);
	run->job.job.message = subject->message;
	run->job.job.headers = subject->headers;
	set_timer(run, deadline_us);
	story_input(run);
	client_find(run);
	run_change_state(run, RUN_IDLE);
	if (!poison_is_known(options->shared, options->clock, subject->message)) {
		run_go_on(run, 0);
		return;
	}
	shared_count(run->chain->page, COUNTER_POISON, 1);
	run_lose(run, 0, filter_count(run), "the message has killed two filter workers; it is not tried again");
	run_finish(run);
}
