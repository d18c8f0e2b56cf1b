/* The engine that runs filters: order, questions, restarts, failures, folding; with filters of its own in place of filters/registry.c. */
#include <string.h>

#include "suite.h"

#include "base/memory.h"
#include "filters/run.h"

/* ---- filters ---- */

static unsigned opened, closed, runs, asks; /* counted over one test: each runs in a process of its own */

static bool
counting_open(const struct config_filter *settings, void **state, struct buffer *problem)
{
	(void)problem;
	opened++;
	*state = memory_copy_string(settings->name);
	return true;
}

static void
counting_close(void **state)
{
	closed++;
	memory_free(state);
}

static bool
broken_open(const struct config_filter *settings, void **state, struct buffer *problem)
{
	(void)settings, (void)state;
	buffer_append_string(problem, "no such engine");
	return false;
}

/* Asks two names early and a third one when it knows the first. */
static void
asker_ask(void *state, const struct filter_job *job, struct filter_output *output)
{
	ck_assert_str_eq(state, "asker");
	asks++;
	filter_lookup(job, output, "one.example", DNS_TYPE_TXT);
	filter_lookup(job, output, "two.example", DNS_TYPE_A);
}

static enum filter_outcome
asker_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	struct fact_record record = {0};

	ck_assert_str_eq(state, "asker");
	runs++;
	const struct dns_answer *one = filter_lookup(job, output, "one.example", DNS_TYPE_TXT);
	const struct dns_answer *two = filter_lookup(job, output, "two.example", DNS_TYPE_A);
	if (one == NULL || two == NULL)
		return FILTER_PENDING;
	if (filter_lookup(job, output, "three.example", DNS_TYPE_MX) == NULL)
		return FILTER_PENDING;
	fact_record_set(&record, "result", dns_status_text(one->status));
	facts_set_record(&output->facts, "asker", "", &record);
	fact_record_set(&record, "result", "forged");
	facts_set_record(&output->facts, "other", "", &record);
	output->reason = memory_copy_string("all known");
	return FILTER_DONE;
}

/* Pending for ever. */
static enum filter_outcome
idle_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state;
	filter_lookup(job, output, "one.example", DNS_TYPE_TXT);
	return FILTER_PENDING;
}

static enum filter_outcome
failing_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state, (void)job;
	output->reason = memory_copy_string("library says 7");
	edit_list_add_header(&output->edits, "failing", "X-Never", "seen");
	return FILTER_FAILED;
}

/* Adds a header that says what it saw of the filters before. */
static enum filter_outcome
editor_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	char *seen = memory_format("%zu edits, %zu facts, asker %s", job->edits->count, job->facts->count,
	    facts_value(job->facts, "asker", "result") != NULL ? facts_value(job->facts, "asker", "result") : "-");

	(void)state;
	edit_list_add_header(&output->edits, "somebody else", "X-Seen", seen);
	memory_free(&seen);
	return FILTER_DONE;
}

static enum filter_outcome
forger_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state, (void)job;
	edit_list_add_header(&output->edits, "forger", "X-Good", "fine");
	edit_list_add_header(&output->edits, "forger", "X-Bad", "a\r\nBcc: everybody");
	return FILTER_DONE;
}

static enum filter_outcome
refuser_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state, (void)job;
	output->verdict.kind = VERDICT_REJECT;
	output->reason = memory_copy_string("because");
	return FILTER_DONE;
}

static enum filter_outcome
deferrer_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state, (void)job;
	output->verdict.kind = VERDICT_TEMPFAIL;
	reply_set(&output->verdict.reply, 421, "4.0.0", "go away");
	return FILTER_DONE;
}

static enum filter_outcome
keeper_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state, (void)job;
	output->verdict.kind = VERDICT_QUARANTINE;
	reply_set(&output->verdict.reply, 250, "2.0.0", "not needed");
	return FILTER_DONE;
}

#define MESSAGE (1u << STAGE_MESSAGE)

static const struct filter filters[] = {
	{"asker", MESSAGE, counting_open, counting_close, asker_ask, asker_run},
	{"idle", MESSAGE, NULL, NULL, NULL, idle_run},
	{"failing", MESSAGE, counting_open, counting_close, NULL, failing_run},
	{"editor", MESSAGE, NULL, NULL, NULL, editor_run},
	{"forger", MESSAGE, NULL, NULL, NULL, forger_run},
	{"refuser", MESSAGE, NULL, NULL, NULL, refuser_run},
	{"deferrer", MESSAGE, NULL, NULL, NULL, deferrer_run},
	{"keeper", MESSAGE, NULL, NULL, NULL, keeper_run},
	{"early", 1u << STAGE_CONNECT, NULL, NULL, NULL, refuser_run},
	{"broken", MESSAGE, broken_open, counting_close, NULL, refuser_run},
};

const struct filter *
filter_find(const char *name)
{
	for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
		if (strcmp(filters[i].name, name) == 0)
			return &filters[i];
	return NULL;
}

/* ---- a run ---- */

struct stage {
	struct config config;
	struct config_filter settings[8];
	struct filter_set *set;
	struct filter_job job;
	struct edit_list edits;
	struct facts facts;
	struct dns_table answers;
	struct run_result result;
	struct clock_manual clock;
};

/* Filters by name; the list ends with NULL. */
static void
stage_open(struct stage *stage, const char *const *names)
{
	struct buffer problem = {0};

	memset(stage, 0, sizeof *stage);
	stage->config.filters = stage->settings;
	for (; *names != NULL; names++)
		stage->settings[stage->config.filter_count++] = (struct config_filter){.name = *names, .on_error = ACTION_TEMPFAIL};
	stage->set = filter_set_open(&stage->config, &problem);
	ck_assert_msg(stage->set != NULL, "%s", buffer_text(&problem));
	stage->job = (struct filter_job){.stage = STAGE_MESSAGE, .hostname = "mx.example.org", .queue_id = "Q1", .edits = &stage->edits,
	    .facts = &stage->facts, .answers = &stage->answers};
	clock_manual_init(&stage->clock, 0);
}

#define STAGE_OPEN(stage, ...) stage_open((stage), (const char *const[]){__VA_ARGS__, NULL})

static void
run(struct stage *stage, bool ask, uint32_t first)
{
	uint32_t end = (uint32_t)stage->config.filter_count;

	run_result_clear(&stage->result);
	filter_run(stage->set, &stage->clock.clock, &stage->job, ask, first, end, &stage->result);
	ck_assert(run_result_is_sound(&stage->result, &stage->config, first, end));
}

static void
answer(struct stage *stage, const char *name, uint16_t type)
{
	struct dns_answer found;

	dns_answer_init(&found, DNS_STATUS_NAME_ERROR, name, type);
	ck_assert(dns_table_add(&stage->answers, &found));
	dns_answer_clear(&found);
}

static void
stage_close(struct stage *stage)
{
	run_result_clear(&stage->result);
	filter_set_close(&stage->set);
	ck_assert_ptr_null(stage->set);
	edit_list_clear(&stage->edits);
	facts_clear(&stage->facts);
	dns_table_clear(&stage->answers);
}

/* "asker:done:accept idle:failed:tempfail" */
static void
expect_results(const struct stage *stage, const char *expected)
{
	static const char *const outcomes[] = {[FILTER_DONE] = "done", [FILTER_PENDING] = "pending", [FILTER_FAILED] = "failed"};
	struct buffer text = {0};

	for (size_t i = 0; i < stage->result.count; i++) {
		const struct filter_result *filter = &stage->result.filters[i];

		buffer_printf(&text, "%s%s:%s:%s", i > 0 ? " " : "", filter->name, outcomes[filter->outcome], verdict_kind_text(filter->verdict.kind));
	}
	ck_assert_str_eq(buffer_text(&text), expected);
	buffer_free(&text);
}

START_TEST(asking_then_running)
{
	struct stage stage;

	STAGE_OPEN(&stage, "asker", "editor");
	run(&stage, true, 0);
	expect_results(&stage, "asker:pending:accept editor:pending:accept");
	ck_assert_uint_eq(stage.result.next, 0);
	ck_assert_uint_eq(stage.result.questions.open, 2);
	ck_assert_uint_eq(runs, 0);
	answer(&stage, "One.Example.", DNS_TYPE_TXT);
	answer(&stage, "two.example", DNS_TYPE_A);
	/* Nothing new to ask early: run at once. */
	run(&stage, true, 0);
	ck_assert_uint_eq(asks, 2);
	ck_assert_uint_eq(runs, 1);
	expect_results(&stage, "asker:pending:accept");
	ck_assert_uint_eq(stage.result.questions.open, 1);
	ck_assert_ptr_nonnull(stage.result.questions.entries);
	ck_assert_str_eq(stage.result.questions.entries[0].answer.name, "three.example");
	answer(&stage, "three.example", DNS_TYPE_MX);
	run(&stage, false, 0);
	expect_results(&stage, "asker:done:accept editor:done:accept");
	ck_assert_uint_eq(stage.result.next, 2);
	ck_assert_uint_eq(stage.result.questions.count, 0);
	ck_assert_str_eq(stage.result.filters[0].reason, "all known");
	ck_assert_ptr_null(stage.result.filters[0].verdict.reason);
	/* The second filter sees the first one's facts, and no filter speaks for another. */
	ck_assert_str_eq(stage.result.edits.edits[0].value, " 0 edits, 1 facts, asker nxdomain");
	ck_assert_str_eq(stage.result.edits.edits[0].filter, "editor");
	ck_assert_uint_eq(stage.result.facts.count, 1);
	stage_close(&stage);
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(finished_filters_stay_finished)
{
	struct stage stage;

	STAGE_OPEN(&stage, "editor", "asker", "editor");
	edit_list_add_header(&stage.edits, "before", "X-Before", "1");
	facts_set_text(&stage.facts, "before", "", "known");
	run(&stage, false, 0);
	expect_results(&stage, "editor:done:accept asker:pending:accept");
	ck_assert_uint_eq(stage.result.next, 1);
	ck_assert_str_eq(stage.result.edits.edits[0].value, " 1 edits, 1 facts, asker -");
	ck_assert_uint_eq(stage.result.edits.count, 1);
	answer(&stage, "one.example", DNS_TYPE_TXT);
	answer(&stage, "two.example", DNS_TYPE_A);
	answer(&stage, "three.example", DNS_TYPE_MX);
	run(&stage, false, 1);
	expect_results(&stage, "asker:done:accept editor:done:accept");
	ck_assert_str_eq(stage.result.edits.edits[0].value, " 1 edits, 2 facts, asker nxdomain");
	stage_close(&stage);
}
END_TEST

START_TEST(newer_facts_hide_older_ones)
{
	struct stage stage;
	struct fact_record record = {0};

	STAGE_OPEN(&stage, "asker", "editor");
	fact_record_set(&record, "result", "old");
	facts_set_record(&stage.facts, "asker", "", &record);
	answer(&stage, "one.example", DNS_TYPE_TXT);
	answer(&stage, "two.example", DNS_TYPE_A);
	answer(&stage, "three.example", DNS_TYPE_MX);
	run(&stage, false, 0);
	ck_assert_str_eq(stage.result.edits.edits[0].value, " 0 edits, 1 facts, asker nxdomain");
	stage_close(&stage);
}
END_TEST

START_TEST(failures)
{
	static const struct {
		enum config_action on_error;
		const char *results, *reply;
	} cases[] = {
		{ACTION_TEMPFAIL, "failing:failed:tempfail", "451 4.3.0 Message cannot be checked now; try again later"},
		{ACTION_REJECT, "failing:failed:reject", "554 5.3.0 Message cannot be checked"},
		{ACTION_QUARANTINE, "failing:failed:quarantine editor:done:accept", ""},
		{ACTION_ACCEPT, "failing:failed:accept editor:done:accept", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct stage stage;
		struct buffer reply = {0};

		STAGE_OPEN(&stage, "failing", "editor");
		stage.settings[0].on_error = cases[i].on_error;
		run(&stage, false, 0);
		expect_results(&stage, cases[i].results);
		ck_assert_uint_eq(stage.result.next, 2);
		ck_assert_str_eq(stage.result.filters[0].reason, "library says 7");
		if (cases[i].reply[0] != '\0')
			reply_append_text(&reply, &stage.result.filters[0].verdict.reply);
		ck_assert_str_eq(buffer_text(&reply), cases[i].reply);
		if (cases[i].on_error != ACTION_ACCEPT) {
			ck_assert_str_eq(stage.result.filters[0].verdict.filter, "failing");
			ck_assert_str_eq(stage.result.filters[0].verdict.reason, "library says 7");
		}
		for (size_t j = 0; j < stage.result.edits.count; j++)
			ck_assert_str_ne(stage.result.edits.edits[j].name, "X-Never");
		buffer_free(&reply);
		stage_close(&stage);
	}
}
END_TEST

START_TEST(pending_for_ever)
{
	struct stage stage;

	STAGE_OPEN(&stage, "idle", "editor");
	run(&stage, false, 0);
	expect_results(&stage, "idle:pending:accept");
	answer(&stage, "one.example", DNS_TYPE_TXT);
	run(&stage, false, 0);
	expect_results(&stage, "idle:failed:tempfail");
	ck_assert_str_eq(stage.result.filters[0].reason, "pending without a new question");
	stage_close(&stage);
}
END_TEST

START_TEST(refused_edits)
{
	struct stage stage;

	STAGE_OPEN(&stage, "forger", "editor");
	stage.settings[0].on_error = ACTION_ACCEPT;
	run(&stage, false, 0);
	expect_results(&stage, "forger:failed:accept editor:done:accept");
	ck_assert_ptr_nonnull(strstr(stage.result.filters[0].reason, "an edit was refused: "));
	ck_assert_uint_eq(stage.result.edits.count, 1);
	ck_assert_str_eq(stage.result.edits.edits[0].value, " 0 edits, 0 facts, asker -");
	stage_close(&stage);
}
END_TEST

START_TEST(verdicts)
{
	struct stage stage;
	struct verdict total = {0};

	STAGE_OPEN(&stage, "keeper", "editor", "refuser", "editor");
	run(&stage, false, 0);
	expect_results(&stage, "keeper:done:quarantine editor:done:accept refuser:done:reject");
	ck_assert_uint_eq(stage.result.next, 4);
	ck_assert_int_eq(stage.result.filters[0].verdict.reply.code, 0);
	ck_assert_int_eq(stage.result.filters[2].verdict.reply.code, 550);
	ck_assert_str_eq(stage.result.filters[2].verdict.reason, "because");
	ck_assert(!verdict_fold(&total, &stage.result.filters[0].verdict));
	ck_assert(!verdict_fold(&total, &stage.result.filters[1].verdict));
	ck_assert_str_eq(total.filter, "keeper");
	ck_assert(verdict_fold(&total, &stage.result.filters[2].verdict));
	ck_assert_str_eq(total.filter, "refuser");
	verdict_clear(&total);
	stage_close(&stage);
	/* 421 would end the session: not a filter's to say. */
	STAGE_OPEN(&stage, "deferrer", "editor");
	run(&stage, false, 0);
	expect_results(&stage, "deferrer:done:tempfail");
	ck_assert_int_eq(stage.result.filters[0].verdict.reply.code, 451);
	stage_close(&stage);
}
END_TEST

START_TEST(other_stages)
{
	struct stage stage;

	STAGE_OPEN(&stage, "asker", "early", "editor");
	stage.job.stage = STAGE_RCPT;
	run(&stage, true, 0);
	expect_results(&stage, "");
	ck_assert_uint_eq(stage.result.next, 3);
	stage.job.stage = STAGE_CONNECT;
	run(&stage, true, 0);
	expect_results(&stage, "early:done:reject");
	stage.job.stage = STAGE_MESSAGE;
	run(&stage, true, 0);
	expect_results(&stage, "asker:pending:accept editor:pending:accept");
	run(&stage, true, 1);
	expect_results(&stage, "editor:done:accept");
	stage_close(&stage);
}
END_TEST

START_TEST(what_cannot_be_opened)
{
	struct config_filter settings[] = {{.name = "asker"}, {.name = "broken"}, {.name = "asker"}};
	struct config config = {.filters = settings, .filter_count = 3};
	struct buffer problem = {0};

	ck_assert_ptr_null(filter_set_open(&config, &problem));
	ck_assert_str_eq(buffer_text(&problem), "filter broken: no such engine");
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(closed, 1);
	settings[1].name = "unheard";
	buffer_clear(&problem);
	ck_assert_ptr_null(filter_set_open(&config, &problem));
	ck_assert_str_eq(buffer_text(&problem), "filter unheard: not in this program");
	buffer_free(&problem);
	/* What another process runs is no part of a run. */
	settings[1].place = FILTER_PLACE_PROXY;
	struct filter_set *set = filter_set_open(&config, &problem);
	ck_assert(filter_set_covers(set, 0, 1) && filter_set_covers(set, 2, 3));
	ck_assert(!filter_set_covers(set, 0, 2) && !filter_set_covers(set, 1, 2) && !filter_set_covers(set, 1, 3));
	ck_assert(!filter_set_covers(set, 0, 0) && !filter_set_covers(set, 2, 4) && !filter_set_covers(set, 3, 3));
	filter_set_close(&set);
}
END_TEST

/* Results no worker of ours sends. */
START_TEST(unsound_results)
{
	struct stage stage;

	STAGE_OPEN(&stage, "keeper", "editor", "refuser");
	run(&stage, false, 0);
	struct run_result *result = &stage.result;
	ck_assert(!run_result_is_sound(result, &stage.config, 1, 3));
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 2));
	result->next = 1;
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	result->next = 3;
	result->filters[1].index = 0;
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	result->filters[1].index = 2;
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	result->filters[1].index = 1;
	result->filters[1].outcome = FILTER_PENDING;
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	result->filters[1].outcome = FILTER_DONE;
	ck_assert(run_result_is_sound(result, &stage.config, 0, 3));
	/* Questions of nobody, then somebody else's edit, then a fact of a filter that did not run. */
	dns_table_ask(&result->questions, "a.example", DNS_TYPE_A);
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	dns_table_clear(&result->questions);
	facts_set_text(&result->facts, "clamav", "", "clean");
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	facts_clear(&result->facts);
	memory_free(&result->edits.edits[0].filter);
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	result->edits.edits[0].filter = memory_copy_string("dkim");
	ck_assert(!run_result_is_sound(result, &stage.config, 0, 3));
	stage_close(&stage);
}
END_TEST

SUITE_MAIN("filter run", asking_then_running, finished_filters_stay_finished, newer_facts_hide_older_ones, failures, pending_for_ever, refused_edits,
    verdicts, other_stages, what_cannot_be_opened, unsound_results)
