/* What a job brought. A result has passed run_result_is_sound; edits are checked here once more, for the worker may have been taken over by
 * what it read. */
#include <string.h>

#include "base/assert.h"
#include "filters/headers.h"
#include "chain/poison.h"
#include "chain/run_parts.h"

/* ---- filters that are lost ---- */

static bool
fold(struct chain_run *run, struct verdict *verdict)
{
	return verdict_fold(&run->verdict, verdict);
}

bool
run_lose(struct chain_run *run, uint32_t first, uint32_t end, const char *reason)
{
	for (uint32_t i = first; i < end; i++) {
		struct verdict verdict = {0};

		if (!run_judges(run, i))
			continue;
		filter_on_error(run_filter(run, i), reason, &verdict);
		shared_count(run->chain->page, COUNTER_FILTER_ERRORS, 1);
		story_filter(run, i, verdict.kind, "lost, on_error: ", reason);
		if (fold(run, &verdict))
			return true;
	}
	return false;
}

static void
lose_and_go_on(struct chain_run *run, uint32_t first, uint32_t end, const char *reason)
{
	if (run_lose(run, first, end, reason))
		run_finish(run);
	else
		run_go_on(run, end);
}

/* ---- edits ---- */

/* The envelope is with the backend already when filters see the message: its edits are not supported yet. */
static bool
is_unsupported(const struct edit *edit)
{
	return !edit_kind_is_header(edit->kind) && edit->kind != EDIT_REPLACE_BODY;
}

static bool
wants_too_much(const struct run_result *result, const char *filter)
{
	for (size_t i = 0; i < result->edits.count; i++)
		if (is_unsupported(&result->edits.edits[i]) && strcmp(result->edits.edits[i].filter, filter) == 0)
			return true;
	return false;
}

/* False: a worker lets no such edit pass. Then nothing is changed. */
static bool
take_edits(struct chain_run *run, struct run_result *result)
{
	struct edit_rules rules = message_edit_rules(run->job.job.headers, run->subject.envelope->smtputf8);
	struct edit_list allowed = {0};
	size_t before = run->edits.count;
	bool good;

	for (size_t i = 0; i < result->edits.count; i++)
		if (!wants_too_much(result, result->edits.edits[i].filter))
			edit_list_take(&allowed, &result->edits.edits[i]);
	good = edit_list_accept(&run->edits, &allowed, &rules, NULL) == EDIT_OK;
	edit_list_clear(&allowed);
	if (good)
		story_edits(run, before);
	return good;
}

/* ---- facts ---- */

static void
take_fact(struct facts *to, struct fact *fact)
{
	if (fact->kind == FACT_TEXT) {
		facts_set_text(to, fact->filter, fact->name, fact->records[0].fields[0].value);
	} else if (fact->kind == FACT_RECORD) {
		facts_set_record(to, fact->filter, fact->name, &fact->records[0]);
	} else {
		facts_set_list(to, fact->filter, fact->name);
		for (size_t i = 0; i < fact->count; i++)
			facts_add_to_list(to, fact->filter, fact->name, &fact->records[i]);
	}
}

/* ---- filters that finished, or want to know more ---- */

static void
add_costs(struct chain_run *run, const struct filter_result *filter)
{
	struct filter_cost *cost = &run->costs[filter->index];

	cost->wall_us += filter->wall_us;
	cost->cpu_us += filter->cpu_us;
}

/* Takes over the finished ones. True when the chain ends there. */
static bool
take_verdicts(struct chain_run *run, struct run_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		struct filter_result *filter = &result->filters[i];
		bool ends;

		add_costs(run, filter);
		if (filter->outcome == FILTER_PENDING)
			continue;
		if (wants_too_much(result, filter->name)) {
			ends = run_lose(run, filter->index, filter->index + 1, "it wants to change the envelope");
		} else {
			if (filter->outcome == FILTER_FAILED)
				shared_count(run->chain->page, COUNTER_FILTER_ERRORS, 1);
			story_filter(run, filter->index, filter->verdict.kind, filter->outcome == FILTER_FAILED ? "failed, on_error: " : "", filter->reason);
			ends = fold(run, &filter->verdict);
		}
		if (ends)
			return true;
	}
	return false;
}

/* The filter at result->next waits for answers. */
static void
go_on_pending(struct chain_run *run, const struct run_result *result)
{
	if (run->job.first != result->next)
		run->rounds = 0;
	run->job.first = result->next;
	run->job.ask = false;
	run->costs[result->next].restarts++;
	if (++run->rounds >= FILTER_ROUNDS_MAX)
		lose_and_go_on(run, result->next, result->next + 1, "it asks DNS again and again");
	else if (questions_ask(run, &result->questions) > 0)
		run_change_state(run, RUN_ANSWERS);
	else
		lose_and_go_on(run, result->next, result->next + 1, "it is pending without a new question");
}

/* The facts of what is taken over; a filter that is lost has found nothing. */
static void
take_facts(struct chain_run *run, struct run_result *result)
{
	for (size_t i = 0; i < result->facts.count; i++)
		if (!wants_too_much(result, result->facts.facts[i].filter))
			take_fact(&run->facts, &result->facts.facts[i]);
}

static bool
take_result(struct chain_run *run, struct run_result *result)
{
	if (!take_edits(run, result))
		return false;
	take_facts(run, result);
	if (take_verdicts(run, result))
		run_finish(run);
	else if (result->questions.open > 0)
		go_on_pending(run, result);
	else
		run_go_on(run, run->job.end);
	return true;
}

/* ---- jobs ---- */

/* Only the questions count. */
static void
take_questions_ahead(struct chain_run *run, const struct run_result *result)
{
	if (result != NULL && ++run->rounds < FILTER_ROUNDS_MAX && questions_ask(run, &result->questions) > 0)
		run_change_state(run, RUN_AHEAD_ANSWERS);
	else
		run_change_state(run, RUN_IDLE);
}

static void
keep_poison(struct chain_run *run, const char *why)
{
	shared_count(run->chain->page, COUNTER_POISON, 1);
	if (run->chain->options.deliver != NULL)
		deliver_client_poison(run->chain->options.deliver, run->subject.queue_id, run->subject.message, why);
}

/* Whoever kills a worker gets a second chance, in case it was not the message; whoever takes one over does not. */
static void
job_lost(struct chain_run *run, enum job_end end)
{
	const struct chain_options *options = &run->chain->options;
	bool poison = job_end_is_blamed(end) && poison_note_kill(options->shared, options->slot, options->clock, run->subject.message);

	story_note(run, "filters %s ... of this message: %s", run_filter(run, run->job.first)->name, job_end_text(end));
	if (poison)
		keep_poison(run, job_end_text(end));
	if ((end == JOB_KILLED_WORKER || end == JOB_TIMED_OUT) && !poison)
		run_submit(run);
	else
		lose_and_go_on(run, run->job.first, run->job.end, job_end_text(end));
}

bool
run_job_ended(void *context, enum job_end end, struct run_result *result)
{
	struct chain_run *run = context;

	CHECK_MAGIC(run, CHAIN_RUN_MAGIC);
	run->job_id = 0;
	if (run->state == RUN_AHEAD_JOB) {
		if (end != JOB_ANSWERED)
			story_note(run, "filters %s ... ahead of the message: %s", run_filter(run, run->job.first)->name, job_end_text(end));
		take_questions_ahead(run, result);
		return true;
	}
	if (end != JOB_ANSWERED) {
		job_lost(run, end);
		return true;
	}
	if (take_result(run, result))
		return true;
	job_lost(run, JOB_BAD_RESULT);
	return false;
}
