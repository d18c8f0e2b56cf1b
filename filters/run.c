/* The pass that asks, the pass that runs, and what becomes of each filter's output. Every output goes through here once: a filter is
 * trusted with a verdict, not with the shape of what it says. */
#include "filters/run.h"

#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/memory.h"
#include "filters/headers.h"

struct filter_set {
	const struct config *config;
	struct opened {
		const struct filter *filter; /* NULL: another place's, never in a run */
		void *state;
	} * filters; /* as config->filters */
};

/* False with the whole sentence in `problem`. */
static bool
filter_open(struct opened *opened, const struct config_filter *settings, struct buffer *problem)
{
	const struct filter *filter = filter_find(settings->name);
	struct buffer why = {0};
	bool ok = filter != NULL && (filter->open == NULL || filter->open(settings, &opened->state, &why));

	if (ok)
		opened->filter = filter;
	else
		buffer_printf(problem, "filter %s: %s", settings->name, filter == NULL ? "not in this program" : buffer_text(&why));
	buffer_free(&why);
	return ok;
}

struct filter_set *
filter_set_open(const struct config *config, struct buffer *problem)
{
	struct filter_set *set = memory_new(sizeof *set);

	set->config = config;
	set->filters = memory_new_array(config->filter_count + 1, sizeof *set->filters);
	for (size_t i = 0; i < config->filter_count && set != NULL; i++)
		if (config->filters[i].place == FILTER_PLACE_AUTH && !filter_open(&set->filters[i], &config->filters[i], problem))
			filter_set_close(&set);
	return set;
}

void
filter_set_close(struct filter_set **set)
{
	if (*set == NULL)
		return;
	for (size_t i = 0; i < (*set)->config->filter_count; i++) {
		struct opened *opened = &(*set)->filters[i];

		if (opened->filter != NULL && opened->filter->close != NULL)
			opened->filter->close(&opened->state);
	}
	memory_free(&(*set)->filters);
	memory_free(set);
}

bool
filter_set_covers(const struct filter_set *set, uint32_t first, uint32_t end)
{
	if (first >= end || end > set->config->filter_count)
		return false;
	for (uint32_t i = first; i < end; i++)
		if (set->filters[i].filter == NULL)
			return false;
	return true;
}

/* ---- one run ---- */

struct run {
	const struct filter_set *set;
	const struct clock *clock;
	struct filter_job job; /* as the next filter sees it */
	const struct edit_list *before; /* the job's */
	struct edit_list edits; /* those and what this run made; borrowed but for the array */
	const struct facts *facts_before;
	struct facts facts; /* likewise */
	struct cost {
		uint64_t wall_us, cpu_us;
	} * costs; /* from the first filter on */
	uint32_t first;
	struct run_result *result;
};

static int64_t
cpu_time_us(void)
{
	struct timespec used;

	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0 ? (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000 : 0;
}

static const struct opened *
opened_at(const struct run *run, uint32_t index)
{
	return &run->set->filters[index];
}

static bool
takes_part(const struct run *run, uint32_t index)
{
	return (opened_at(run, index)->filter->stages & 1u << run->job.stage) != 0;
}

/* Calls the filter and notes what that cost. */
static enum filter_outcome
call(struct run *run, uint32_t index, bool ask, struct filter_output *output)
{
	const struct opened *opened = opened_at(run, index);
	struct cost *cost = &run->costs[index - run->first];
	int64_t wall = clock_monotonic_us(run->clock), cpu = cpu_time_us();
	enum filter_outcome outcome = FILTER_PENDING;

	if (ask)
		opened->filter->ask(opened->state, &run->job, output);
	else
		outcome = opened->filter->run(opened->state, &run->job, output);
	cost->cpu_us += (uint64_t)(cpu_time_us() - cpu);
	cost->wall_us += (uint64_t)(clock_monotonic_us(run->clock) - wall);
	return outcome;
}

/* Takes over what the answers do not have. True when there was any. */
static bool
take_questions(struct run *run, struct filter_output *output)
{
	const struct dns_answer *question;
	bool any = false;

	for (size_t at = 0; (question = dns_table_next_open(&output->questions, &at)) != NULL;) {
		if (dns_table_find(run->job.answers, question->name, question->type) != NULL)
			continue;
		dns_table_ask(&run->result->questions, question->name, question->type);
		any = true;
	}
	return any;
}

static struct filter_result *
result_add(struct run *run, uint32_t index, enum filter_outcome outcome)
{
	struct run_result *result = run->result;
	struct filter_result *added;

	result->filters = memory_resize(result->filters, result->count + 1, sizeof *result->filters);
	added = &result->filters[result->count++];
	*added = (struct filter_result){
		.index = index,
		.name = memory_copy_string(run->set->config->filters[index].name),
		.outcome = outcome,
		.wall_us = run->costs[index - run->first].wall_us,
		.cpu_us = run->costs[index - run->first].cpu_us,
	};
	return added;
}

/* ---- a filter that has finished ---- */

static void
complete_reply(struct verdict *verdict)
{
	if (verdict_reply_fits(verdict))
		return;
	reply_clear(&verdict->reply);
	if (verdict->kind == VERDICT_REJECT)
		reply_set(&verdict->reply, 550, "5.7.1", "Message refused by policy");
	else if (verdict->kind == VERDICT_TEMPFAIL)
		reply_set(&verdict->reply, 451, "4.7.1", "Message refused for now by policy; try again later");
}

static void
verdict_sign(struct verdict *verdict, const char *filter, const char *reason)
{
	memory_free(&verdict->filter);
	memory_free(&verdict->reason);
	if (verdict->kind == VERDICT_ACCEPT)
		return;
	verdict->filter = memory_copy_string(filter);
	verdict->reason = memory_copy_string(reason);
}

void
filter_on_error(const struct config_filter *settings, const char *reason, struct verdict *verdict)
{
	static const enum verdict_kind kinds[] = {
		[ACTION_ACCEPT] = VERDICT_ACCEPT, [ACTION_REJECT] = VERDICT_REJECT, [ACTION_TEMPFAIL] = VERDICT_TEMPFAIL,
		[ACTION_QUARANTINE] = VERDICT_QUARANTINE,
	};

	ASSERT(settings->on_error != ACTION_TAG);
	verdict_clear(verdict);
	verdict->kind = kinds[settings->on_error];
	if (verdict->kind == VERDICT_REJECT)
		reply_set(&verdict->reply, 554, "5.3.0", "Message cannot be checked");
	else if (verdict->kind == VERDICT_TEMPFAIL)
		reply_set(&verdict->reply, 451, "4.3.0", "Message cannot be checked now; try again later");
	verdict_sign(verdict, settings->name, reason);
}

static struct filter_result *
finish_failed(struct run *run, uint32_t index, const char *reason)
{
	struct filter_result *result = result_add(run, index, FILTER_FAILED);

	result->reason = memory_copy_string(reason);
	filter_on_error(&run->set->config->filters[index], reason, &result->verdict);
	return result;
}

/* What the filters behind this one see. The texts of the edits stay where they are: what they see lasts no longer than this run. */
static void
show_edits(struct run *run)
{
	const struct edit_list *before = run->before, *made = &run->result->edits;

	run->edits.edits = memory_resize(run->edits.edits, before->count + made->count + 1, sizeof *run->edits.edits);
	if (before->count > 0)
		memcpy(run->edits.edits, before->edits, before->count * sizeof *before->edits);
	if (made->count > 0)
		memcpy(run->edits.edits + before->count, made->edits, made->count * sizeof *made->edits);
	run->edits.count = before->count + made->count;
	run->edits.text_bytes = before->text_bytes + made->text_bytes;
	run->edits.body_bytes = before->body_bytes + made->body_bytes;
	run->job.edits = &run->edits;
}

/* False, with the reason, when an edit is refused: then none of the filter's counts. */
static bool
take_edits(struct run *run, const char *filter, struct edit_list *edits, struct buffer *bad)
{
	const struct filter_job *job = &run->job;
	struct edit_rules rules;

	if (edits->count == 0 && !edits->overflowed)
		return true;
	for (size_t i = 0; i < edits->count; i++) {
		memory_free(&edits->edits[i].filter);
		edits->edits[i].filter = memory_copy_string(filter);
	}
	rules = message_edit_rules(job->headers, job->envelope != NULL && job->envelope->smtputf8);
	if (edit_list_accept(&run->result->edits, edits, &rules, bad) != EDIT_OK)
		return false;
	show_edits(run);
	return true;
}

/* The same for facts; a newer one hides an older one of the same name. */
static void
show_facts(struct run *run)
{
	const struct facts *before = run->facts_before, *made = &run->result->facts;
	struct facts *shown = &run->facts;

	shown->facts = memory_resize(shown->facts, before->count + made->count + 1, sizeof *shown->facts);
	shown->count = 0;
	for (size_t i = 0; i < before->count; i++)
		if (facts_find(made, before->facts[i].filter, before->facts[i].name) == NULL)
			shown->facts[shown->count++] = before->facts[i];
	for (size_t i = 0; i < made->count; i++)
		shown->facts[shown->count++] = made->facts[i];
	run->job.facts = shown;
}

static void
take_facts(struct run *run, const char *filter, struct facts *facts)
{
	if (facts->count == 0 && facts->dropped == 0)
		return;
	(void)facts_take(&run->result->facts, facts, filter); /* what it says in another's name is left out */
	show_facts(run);
}

static struct filter_result *
finish_refused(struct run *run, uint32_t index, const struct buffer *bad)
{
	char *reason = memory_format("an edit was refused: %s", buffer_text(bad));
	struct filter_result *result = finish_failed(run, index, reason);

	memory_free(&reason);
	return result;
}

static struct filter_result *
finish_done(struct run *run, uint32_t index, struct filter_output *output)
{
	const char *name = run->set->config->filters[index].name;
	struct buffer bad = {0};
	struct filter_result *result;

	if (!take_edits(run, name, &output->edits, &bad)) {
		result = finish_refused(run, index, &bad);
	} else {
		take_facts(run, name, &output->facts);
		result = result_add(run, index, FILTER_DONE);
		result->reason = output->reason;
		result->verdict = output->verdict;
		output->reason = NULL;
		output->verdict = (struct verdict){0};
		complete_reply(&result->verdict);
		verdict_sign(&result->verdict, result->name, result->reason);
	}
	buffer_free(&bad);
	return result;
}

/* ---- the two passes ---- */

/* True when there is a new question; then all are pending. */
static bool
ask_all(struct run *run, uint32_t end)
{
	bool any = false;

	for (uint32_t i = run->first; i < end; i++) {
		struct filter_output output = {0};

		if (!takes_part(run, i) || opened_at(run, i)->filter->ask == NULL)
			continue;
		call(run, i, true, &output);
		any = take_questions(run, &output) || any;
		filter_output_clear(&output);
	}
	for (uint32_t i = run->first; any && i < end; i++)
		if (takes_part(run, i))
			result_add(run, i, FILTER_PENDING);
	if (any)
		run->result->next = run->result->filters[0].index;
	return any;
}

/* Runs one filter and says where the run stands then. */
static struct filter_result *
run_one(struct run *run, uint32_t index)
{
	struct filter_output output = {0};
	enum filter_outcome outcome = call(run, index, false, &output);
	struct filter_result *result;

	if (outcome == FILTER_DONE)
		result = finish_done(run, index, &output);
	else if (outcome == FILTER_FAILED)
		result = finish_failed(run, index, output.reason != NULL ? output.reason : "failed");
	else if (take_questions(run, &output))
		result = result_add(run, index, FILTER_PENDING);
	else
		result = finish_failed(run, index, "pending without a new question");
	filter_output_clear(&output);
	return result;
}

static void
run_all(struct run *run, uint32_t end)
{
	run->result->next = end;
	for (uint32_t i = run->first; i < end; i++) {
		const struct filter_result *result = takes_part(run, i) ? run_one(run, i) : NULL;

		if (result == NULL)
			continue;
		if (result->outcome == FILTER_PENDING)
			run->result->next = i;
		if (result->outcome == FILTER_PENDING || verdict_ends_chain(&result->verdict))
			break;
	}
}

void
filter_run(struct filter_set *set, const struct clock *clock, const struct filter_job *job, bool ask, uint32_t first, uint32_t end,
    struct run_result *result)
{
	struct run run = {.set = set, .clock = clock, .job = *job, .before = job->edits, .facts_before = job->facts, .first = first, .result = result};

	ASSERT(filter_set_covers(set, first, end));
	ASSERT(job->edits != NULL && job->facts != NULL && job->answers != NULL);
	run.costs = memory_new_array(end - first, sizeof *run.costs);
	if (!ask || !ask_all(&run, end))
		run_all(&run, end);
	memory_free(&run.costs);
	memory_free(&run.edits.edits);
	memory_free(&run.facts.facts);
}

void
run_result_clear(struct run_result *result)
{
	for (size_t i = 0; i < result->count; i++) {
		memory_free(&result->filters[i].name);
		memory_free(&result->filters[i].reason);
		verdict_clear(&result->filters[i].verdict);
	}
	memory_free(&result->filters);
	edit_list_clear(&result->edits);
	facts_clear(&result->facts);
	dns_table_clear(&result->questions);
	*result = (struct run_result){0};
}

/* One result after the other: indexes ascend, nothing follows a verdict that ends the chain. */
static bool
order_is_sound(const struct run_result *result, const struct config *config, uint32_t first, uint32_t end)
{
	for (size_t i = 0; i < result->count; i++) {
		const struct filter_result *filter = &result->filters[i];

		if (filter->index < first || filter->index >= end || strcmp(filter->name, config->filters[filter->index].name) != 0)
			return false;
		if (i > 0 && verdict_ends_chain(&result->filters[i - 1].verdict))
			return false;
		first = filter->index + 1;
	}
	return true;
}

/* No filter speaks for another. */
static bool
has_finished(const struct run_result *result, const char *filter)
{
	for (size_t i = 0; i < result->count; i++)
		if (result->filters[i].outcome == FILTER_DONE && strcmp(result->filters[i].name, filter) == 0)
			return true;
	return false;
}

static bool
authors_are_sound(const struct run_result *result)
{
	for (size_t i = 0; i < result->edits.count; i++)
		if (result->edits.edits[i].filter == NULL || !has_finished(result, result->edits.edits[i].filter))
			return false;
	for (size_t i = 0; i < result->facts.count; i++)
		if (!has_finished(result, result->facts.facts[i].filter))
			return false;
	return true;
}

bool
run_result_is_sound(const struct run_result *result, const struct config *config, uint32_t first, uint32_t end)
{
	size_t finished = 0;

	if (!order_is_sound(result, config, first, end) || !authors_are_sound(result))
		return false;
	while (finished < result->count && result->filters[finished].outcome != FILTER_PENDING)
		finished++;
	if (finished == result->count)
		return result->next == end && result->questions.open == 0;
	/* One pending behind those that finished, or an ask pass. */
	for (size_t i = finished; i < result->count; i++)
		if (result->filters[i].outcome != FILTER_PENDING)
			return false;
	return (finished == 0 || result->count == finished + 1) && result->next == result->filters[finished].index && result->questions.open > 0;
}
