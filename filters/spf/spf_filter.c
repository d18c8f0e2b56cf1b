/* The filter itself: which engine judges, what follows from the results. Takes part at MAIL only to ask DNS early; it judges at the message, where a
 * client behind a trusted relay is known and the other filters need the facts. */
#include "filters/spf/spf_filter.h"

#include <stdlib.h>

#include "base/memory.h"

#include "filters/spf/check.h"
#include "filters/spf/engine_libspf2.h"
#include "filters/spf/spf.h"

struct spf_state {
	const struct config_spf *settings;
	struct spf_libspf2 *libspf2; /* NULL: our own evaluator */
};

static bool
spf_open(const struct config_filter *settings, void **state, struct buffer *problem)
{
	struct spf_libspf2 *libspf2 = NULL;

	if (settings->spf.engine == SPF_ENGINE_LIBSPF2 && (libspf2 = spf_libspf2_open(NULL, problem)) == NULL)
		return false;
	struct spf_state *opened = memory_new(sizeof *opened);
	*opened = (struct spf_state){&settings->spf, libspf2};
	*state = opened;
	return true;
}

static void
spf_close(void **state)
{
	struct spf_state *opened = *state;

	spf_libspf2_close(&opened->libspf2);
	memory_free(state);
}

/* ---- evaluation ---- */

struct answer_source {
	const struct filter_job *job;
	struct filter_output *output;
};

static const struct dns_answer *
answer_find(void *context, const char *name, uint16_t type)
{
	const struct answer_source *source = context;

	return filter_lookup(source->job, source->output, name, type);
}

/* True when all outcomes are there. Both identities are always looked at: what both have to ask goes out together. */
static bool
checks_evaluate(const struct spf_state *state, const struct filter_job *job, struct filter_output *output, struct spf_check *checks, size_t count)
{
	struct answer_source source = {job, output};
	const struct spf_answers answers = {answer_find, &source};
	bool done = true;

	for (size_t i = 0; i < count; i++) {
		const struct spf_query query = {
			.client = job->client.address,
			.local_part = checks[i].local_part,
			.domain = checks[i].domain,
			.helo = job->client.helo,
			.receiver = job->hostname,
			.now_s = job->now_us / 1000000,
		};
		if (state->libspf2 != NULL)
			spf_libspf2_evaluate(state->libspf2, &query, &answers, &checks[i].outcome);
		else
			spf_evaluate(&query, &answers, &checks[i].outcome);
		done = done && checks[i].outcome.result != SPF_PENDING;
	}
	return done;
}

static void
spf_ask(void *state, const struct filter_job *job, struct filter_output *output)
{
	const struct spf_state *opened = state;
	struct spf_check checks[SPF_CHECKS_MAX];
	size_t count = spf_checks_make(job, opened->settings->helo, checks);

	checks_evaluate(opened, job, output, checks, count);
	spf_checks_clear(checks, count);
}

/* ---- policy ---- */

static enum config_action
action_for(const struct config_spf *settings, enum spf_result result)
{
	switch (result) {
	case SPF_NONE:
		return settings->none;
	case SPF_NEUTRAL:
		return settings->neutral;
	case SPF_PASS:
		return settings->pass;
	case SPF_FAIL:
		return settings->fail;
	case SPF_SOFTFAIL:
		return settings->softfail;
	case SPF_TEMPERROR:
		return settings->temperror;
	case SPF_PERMERROR:
	case SPF_PENDING:
		break;
	}
	return settings->permerror;
}

static unsigned
severity(enum config_action action)
{
	static const unsigned severities[] = {
		[ACTION_ACCEPT] = 0, [ACTION_TAG] = 1, [ACTION_QUARANTINE] = 2, [ACTION_TEMPFAIL] = 3, [ACTION_REJECT] = 4,
	};

	return severities[action];
}

/* MAIL FROM's, or HELO's when it fails and that means more: a client must not get away with a fail by choosing a HELO name that fails too. */
static const struct spf_check *
check_decisive(const struct config_spf *settings, const struct spf_check *checks, size_t count)
{
	if (count < 2 || checks[1].outcome.result != SPF_FAIL)
		return &checks[0];
	return severity(settings->fail) > severity(action_for(settings, checks[0].outcome.result)) ? &checks[1] : &checks[0];
}

/* RFC 7372 3.2: X.7.23 is for fail, X.7.24 for errors. */
static const char *
enhanced_code(enum spf_result result, bool permanent)
{
	switch (result) {
	case SPF_FAIL:
		return permanent ? "5.7.23" : "4.7.23";
	case SPF_TEMPERROR:
	case SPF_PERMERROR:
		return permanent ? "5.7.24" : "4.7.24";
	default:
		return permanent ? "5.7.1" : "4.7.1";
	}
}

static void
verdict_make(const struct filter_job *job, const struct spf_check *check, enum config_action action, struct verdict *verdict)
{
	struct buffer text = {0};
	bool permanent = action == ACTION_REJECT;

	if (action == ACTION_QUARANTINE)
		verdict->kind = VERDICT_QUARANTINE;
	if (action != ACTION_REJECT && action != ACTION_TEMPFAIL)
		return;
	verdict->kind = permanent ? VERDICT_REJECT : VERDICT_TEMPFAIL;
	spf_check_append_reply(job, check, &text);
	reply_set(&verdict->reply, permanent ? 550 : 451, enhanced_code(check->outcome.result, permanent), "%s", buffer_text(&text));
	buffer_free(&text);
}

static void
facts_make(const struct filter_job *job, const struct spf_check *checks, size_t count, struct facts *facts)
{
	for (size_t i = 0; i < count; i++) {
		struct fact_record record = {0};

		spf_check_record(job, &checks[i], &record);
		facts_set_record(facts, "spf", i == 0 ? "" : "helo", &record);
	}
}

/* The field about MAIL FROM stands above the one about HELO, which is only there when HELO has something to say. */
static void
stamps_make(const struct filter_job *job, const struct spf_check *checks, size_t count, struct edit_list *edits)
{
	for (size_t i = count; i-- > 0;) {
		struct buffer value = {0};

		if (i > 0 && checks[i].outcome.result == SPF_NONE)
			continue;
		spf_check_append_stamp(job, &checks[i], &value);
		edit_list_insert_header(edits, "spf", 0, "Received-SPF", buffer_text(&value));
		buffer_free(&value);
	}
}

static void
judge(const struct config_spf *settings, const struct filter_job *job, const struct spf_check *checks, size_t count, struct filter_output *output)
{
	const struct spf_check *decisive = check_decisive(settings, checks, count);
	enum config_action action = action_for(settings, decisive->outcome.result);
	struct buffer reason = {0};

	spf_check_append_reason(job, decisive, &reason);
	output->reason = buffer_take_string(&reason);
	verdict_make(job, decisive, action, &output->verdict);
	facts_make(job, checks, count, &output->facts);
	if (settings->received_spf || action == ACTION_TAG)
		stamps_make(job, checks, count, &output->edits);
}

static enum filter_outcome
spf_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	const struct spf_state *opened = state;
	struct spf_check checks[SPF_CHECKS_MAX];
	size_t count = spf_checks_make(job, opened->settings->helo, checks);
	enum filter_outcome outcome = FILTER_PENDING;

	if (checks_evaluate(opened, job, output, checks, count)) {
		if (job->stage == STAGE_MESSAGE)
			judge(opened->settings, job, checks, count, output);
		outcome = FILTER_DONE;
	}
	spf_checks_clear(checks, count);
	return outcome;
}

const struct filter spf_filter = {
	.name = "spf",
	.stages = 1u << STAGE_MAIL | 1u << STAGE_MESSAGE,
	.open = spf_open,
	.close = spf_close,
	.ask = spf_ask,
	.run = spf_run,
};
