/* check_host() of RFC 7208 section 4: finds the record of a domain, walks its terms, follows redirect=, fetches the explanation. One pass
 * from the start with the answers there are; nothing is kept between two passes. */
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#include "filters/spf/evaluation.h"

#define TERM_SHOWN_MAX 255 /* bytes of a term in a mechanism or problem; a record has up to 64 KiB */

const char *
spf_result_text(enum spf_result result)
{
	static const char *const texts[] = {
#define X(name, text, description) [name] = text,
		SPF_RESULTS(X)
#undef X
	};
	return (size_t)result < sizeof texts / sizeof texts[0] ? texts[result] : "unknown";
}

const char *
spf_result_description(enum spf_result result)
{
	static const char *const descriptions[] = {
#define X(name, text, description) [name] = description,
		SPF_RESULTS(X)
#undef X
	};
	return (size_t)result < sizeof descriptions / sizeof descriptions[0] ? descriptions[result] : "unknown";
}

static struct span
term_shown(struct span term)
{
	return span_make(term.at, term.length < TERM_SHOWN_MAX ? term.length : TERM_SHOWN_MAX);
}

void
spf_problem_note(struct spf_evaluation *evaluation, const struct spf_domain *domain, struct span term, const char *what)
{
	if (evaluation->pending || evaluation->outcome->problem != NULL)
		return;
	term = term_shown(term);
	evaluation->outcome->problem = term.length == 0 ? memory_format("%s: %s", domain->text, what) :
	    memory_format("%s: %.*s: %s", domain->text, (int)term.length, term.at, what);
}

/* ---- the explanation: RFC 7208 6.2 ---- */

static bool
is_printable(const struct buffer *text)
{
	for (size_t i = 0; i < text->length; i++)
		if (text->data[i] < ' ' || text->data[i] > '~')
			return false;
	return true;
}

/* Whatever goes wrong here, it is as if there were no exp=; the result stays. Its lookup counts against no limit (RFC 7208 4.6.4). */
static void
explanation_fetch(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span domain_spec)
{
	struct spf_domain target;
	const struct dns_answer *answer;

	if (spf_target_expand(evaluation, current, domain_spec, &target) != SPF_TARGET_OK ||
	    spf_ask(evaluation, &target.name, DNS_TYPE_TXT, &answer) != SPF_REPLY_RECORDS || answer->count != 1)
		return;
	struct span text = span_make((const char *)answer->records[0].data, answer->records[0].length);
	if (spf_macro_check(text, SPF_MACRO_IN_EXPLANATION) != SPF_SYNTAX_OK)
		return;
	struct spf_name_context context = {evaluation, current};
	struct spf_macro_values values;
	struct buffer expanded = {0};

	spf_macro_values_fill(&context, &values);
	/* The client chose some of the values, its HELO name for one: they may hold anything. */
	if (spf_macro_expand(text, SPF_MACRO_IN_EXPLANATION, &values, &expanded) && expanded.length > 0 &&
	    expanded.length <= SPF_EXPLANATION_MAX && is_printable(&expanded))
		evaluation->outcome->explanation = buffer_take_string(&expanded);
	buffer_free(&expanded);
}

/* ---- the terms of one record ---- */

static void
mechanism_note(struct spf_evaluation *evaluation, struct span text)
{
	text = term_shown(text);
	memory_free(&evaluation->outcome->mechanism);
	evaluation->outcome->mechanism = memory_copy_text(text.at, text.length);
}

/* RFC 7208 6.1: the redirected domain's word is final, and it must have one. */
static enum spf_result
redirect_follow(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span domain_spec, bool included)
{
	struct spf_domain target;
	enum spf_result result = SPF_NONE;

	if (!spf_lookup_count(evaluation, current, domain_spec))
		return SPF_PERMERROR;
	switch (spf_target_expand(evaluation, current, domain_spec, &target)) {
	case SPF_TARGET_OK:
		result = spf_check_host(evaluation, &target, included);
		break;
	case SPF_TARGET_UNKNOWN:
		return SPF_PENDING;
	case SPF_TARGET_MALFORMED:
	case SPF_TARGET_NOT_ASCII:
		break;
	}
	if (result != SPF_NONE)
		return result;
	spf_problem_note(evaluation, current, domain_spec, "redirect= to a domain without an SPF record");
	return SPF_PERMERROR;
}

static enum spf_result
record_evaluate(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_record *record, bool included)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *term = &record->terms[i];
		enum spf_match match = spf_term_match(evaluation, current, term);
		if (match == SPF_MATCH_NO)
			continue;
		if (included || evaluation->pending)
			return match == SPF_MATCH_YES ? term->qualifier : match == SPF_MATCH_TEMPERROR ? SPF_TEMPERROR : SPF_PERMERROR;
		mechanism_note(evaluation, term->text);
		if (match != SPF_MATCH_YES)
			return match == SPF_MATCH_TEMPERROR ? SPF_TEMPERROR : SPF_PERMERROR;
		if (term->qualifier == SPF_FAIL && record->explanation.length > 0)
			explanation_fetch(evaluation, current, record->explanation);
		return term->qualifier;
	}
	if (record->redirect.length > 0)
		return redirect_follow(evaluation, current, record->redirect, included);
	if (!included)
		mechanism_note(evaluation, span_of("default"));
	return SPF_NEUTRAL;
}

/* ---- the record of a domain ---- */

/* RFC 7208 4.5: exactly one of the TXT records must be an SPF record. */
static enum spf_result
record_select(struct spf_evaluation *evaluation, const struct spf_domain *domain, const struct dns_answer *answer, struct span *selected)
{
	size_t found = 0;

	for (size_t i = 0; i < answer->count; i++) {
		struct span text = span_make((const char *)answer->records[i].data, answer->records[i].length);
		if (!spf_record_is_spf(text))
			continue;
		*selected = text;
		found++;
	}
	if (found > 1)
		spf_problem_note(evaluation, domain, span_of(""), "more than one SPF record");
	return found == 0 ? SPF_NONE : found == 1 ? SPF_PASS : SPF_PERMERROR;
}

static enum spf_result
record_use(struct spf_evaluation *evaluation, const struct spf_domain *domain, struct span text, bool included)
{
	struct spf_record record;
	struct span faulty = {0};
	enum spf_result result = SPF_PERMERROR;
	enum spf_syntax error = spf_record_parse(text, &record, &faulty);

	if (error != SPF_SYNTAX_OK)
		spf_problem_note(evaluation, domain, faulty, spf_syntax_text(error));
	else
		result = record_evaluate(evaluation, domain, &record, included);
	spf_record_clear(&record);
	return result;
}

enum spf_result
spf_check_host(struct spf_evaluation *evaluation, const struct spf_domain *domain, bool included)
{
	const struct dns_answer *answer;
	struct span text;

	if (!spf_domain_has_dot(domain)) /* RFC 7208 4.3 */
		return SPF_NONE;
	switch (spf_ask(evaluation, &domain->name, DNS_TYPE_TXT, &answer)) {
	case SPF_REPLY_UNKNOWN:
		return SPF_PENDING;
	case SPF_REPLY_VOID:
		return SPF_NONE;
	case SPF_REPLY_FAILED:
		spf_problem_note(evaluation, domain, span_of(dns_status_text(answer->status)), "the TXT lookup failed");
		return SPF_TEMPERROR;
	case SPF_REPLY_RECORDS:
		break;
	}
	enum spf_result selection = record_select(evaluation, domain, answer, &text);
	return selection == SPF_PASS ? record_use(evaluation, domain, text, included) : selection;
}

void
spf_evaluate(const struct spf_query *query, const struct spf_answers *answers, struct spf_outcome *outcome)
{
	struct spf_evaluation evaluation = {.query = query, .answers = answers, .outcome = outcome};

	ASSERT(outcome->mechanism == NULL && outcome->explanation == NULL && outcome->problem == NULL);
	outcome->result = SPF_NONE;
	outcome->lookups = outcome->void_lookups = 0;
	evaluation.local_part = query->local_part != NULL && *query->local_part != '\0' ? query->local_part : "postmaster";
	if (query->client.family == 0 || query->domain == NULL || !spf_domain_from_identity(query->domain, &evaluation.sender))
		return;
	outcome->result = spf_check_host(&evaluation, &evaluation.sender, false);
	if (!evaluation.pending) {
		ASSERT(outcome->result != SPF_PENDING);
		return;
	}
	spf_outcome_clear(outcome);
	outcome->result = SPF_PENDING;
}

void
spf_outcome_clear(struct spf_outcome *outcome)
{
	memory_free(&outcome->mechanism);
	memory_free(&outcome->explanation);
	memory_free(&outcome->problem);
	*outcome = (struct spf_outcome){0};
}
