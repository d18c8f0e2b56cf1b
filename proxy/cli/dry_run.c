/* Goes through the filters, run by run of adjacent ones, each run again when its questions are answered. */
#include "cli/dry_run.h"

#include "base/clock.h"
#include "base/memory.h"
#include "filters/headers.h"
#include "chain/trusted_client.h"

struct progress {
	const struct dry_run_subject *subject;
	struct filter_client client; /* the one to judge */
	struct dry_run *run;
	struct filter_set *set;
	unsigned rounds; /* of the filter that is next */
	bool over;
};

/* ---- what a round brought ---- */

static void
take_edits(struct progress *progress, struct run_result *result)
{
	const struct dry_run_subject *subject = progress->subject;
	struct edit_rules rules = message_edit_rules(subject->headers, subject->envelope->smtputf8);

	/* filter_run has checked them; again is what the daemon does, and changes nothing. */
	(void)edit_list_accept(&progress->run->edits, &result->edits, &rules, NULL);
}

static void
take_facts(struct facts *to, struct facts *from)
{
	for (size_t i = 0; i < from->count; i++) {
		struct fact *fact = &from->facts[i];

		if (fact->kind == FACT_TEXT) {
			facts_set_text(to, fact->filter, fact->name, fact->records[0].fields[0].value);
			continue;
		}
		if (fact->kind == FACT_RECORD) {
			facts_set_record(to, fact->filter, fact->name, &fact->records[0]);
			continue;
		}
		facts_set_list(to, fact->filter, fact->name);
		for (size_t k = 0; k < fact->count; k++)
			facts_add_to_list(to, fact->filter, fact->name, &fact->records[k]);
	}
}

static void
note_verdict(struct progress *progress, uint32_t index, struct verdict *verdict, const char *reason)
{
	struct dry_run_filter *filter = &progress->run->filters[index];

	filter->ran = true;
	filter->verdict = verdict->kind;
	filter->reason = memory_copy_string(reason);
	if (verdict_fold(&progress->run->verdict, verdict))
		progress->over = true;
}

static void
lose(struct progress *progress, uint32_t index, const char *reason)
{
	struct verdict verdict = {0};

	filter_on_error(&progress->subject->config->filters[index], reason, &verdict);
	note_verdict(progress, index, &verdict, reason);
}

static void
take_filters(struct progress *progress, struct run_result *result, bool asking)
{
	/* An ask pass that had new questions has run nobody; then the first is pending like the rest. */
	bool only_asked = asking && result->count > 0 && result->filters[0].outcome == FILTER_PENDING;

	for (size_t i = 0; i < result->count && !progress->over; i++) {
		struct filter_result *from = &result->filters[i];
		struct dry_run_filter *filter = &progress->run->filters[from->index];

		filter->wall_us += from->wall_us;
		if (from->outcome != FILTER_PENDING)
			note_verdict(progress, from->index, &from->verdict, from->reason);
		else if (!only_asked)
			filter->restarts++;
	}
}

/* ---- rounds ---- */

static void
answer_questions(struct progress *progress, const struct dns_table *wanted)
{
	struct dns_table *answers = &progress->run->answers;
	const struct dns_answer *question;

	for (size_t at = 0; (question = dns_table_next_open(wanted, &at)) != NULL;)
		dns_table_ask(answers, question->name, question->type);
	question_source_answer(progress->subject->questions, answers);
}

static struct filter_job
job_make(const struct progress *progress)
{
	const struct dry_run_subject *subject = progress->subject;

	return (struct filter_job){
		.stage = STAGE_MESSAGE,
		.queue_id = "CHECK-MESSAGE",
		.hostname = subject->config->hostname,
		.client = progress->client,
		.envelope = subject->envelope,
		.now_us = subject->now_us,
		.message = subject->message,
		.headers = subject->headers,
		.edits = &progress->run->edits,
		.facts = &progress->run->facts,
		.answers = &progress->run->answers,
	};
}

/* Returns the filter to go on with. */
static uint32_t
round_once(struct progress *progress, uint32_t first, uint32_t end, bool ask)
{
	struct filter_job job = job_make(progress);
	struct run_result result = {0};

	filter_run(progress->set, clock_system(), &job, ask, first, end, &result);
	take_edits(progress, &result);
	take_facts(&progress->run->facts, &result.facts);
	take_filters(progress, &result, ask);
	uint32_t next = result.next;
	progress->rounds = next == first ? progress->rounds + 1 : 1;
	if (!progress->over && next < end) {
		if (progress->rounds >= FILTER_ROUNDS_MAX)
			lose(progress, next++, "it asks DNS again and again");
		else
			answer_questions(progress, &result.questions);
	}
	run_result_clear(&result);
	return next;
}

static void
run_adjacent(struct progress *progress, uint32_t first, uint32_t end)
{
	progress->rounds = 0;
	for (bool ask = true; first < end && !progress->over; ask = false)
		first = round_once(progress, first, end, ask);
}

bool
dry_run(const struct dry_run_subject *subject, struct dry_run *run, struct buffer *problem)
{
	struct progress progress = {.subject = subject, .client = subject->client, .run = run};
	char *helo = NULL;
	uint32_t count = (uint32_t)subject->config->filter_count, end;

	progress.set = filter_set_open(subject->config, problem);
	if (progress.set == NULL)
		return false;
	trusted_client_find(subject->config, subject->headers, &progress.client, &helo, &run->facts);
	run->filters = memory_new_array(count + 1, sizeof *run->filters);
	run->filter_count = count;
	for (uint32_t i = 0; i < count; i++)
		run->filters[i].name = subject->config->filters[i].name;
	for (uint32_t first = 0; first < count && !progress.over; first = end) {
		for (end = first + 1; end < count && filter_set_covers(progress.set, first, end + 1);)
			end++;
		if (filter_set_covers(progress.set, first, end))
			run_adjacent(&progress, first, end);
	}
	filter_set_close(&progress.set);
	memory_free(&helo);
	return true;
}

void
dry_run_clear(struct dry_run *run)
{
	for (size_t i = 0; i < run->filter_count; i++)
		memory_free(&run->filters[i].reason);
	memory_free(&run->filters);
	verdict_clear(&run->verdict);
	edit_list_clear(&run->edits);
	facts_clear(&run->facts);
	dns_table_clear(&run->answers);
	*run = (struct dry_run){0};
}
