/* What the parts of the evaluator share: one evaluation in progress. Private to filters/spf. */
#ifndef POSTERN_FILTERS_SPF_EVALUATION_H
#define POSTERN_FILTERS_SPF_EVALUATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "dns/answer.h"
#include "dns/name.h"

#include "filters/spf/domain.h"
#include "filters/spf/macro.h"
#include "filters/spf/record.h"
#include "filters/spf/spf.h"

/* Once `pending` is set the result is SPF_PENDING whatever happens later: what follows is looking ahead. A term whose answer is missing then
 * counts as one that does not match, so exactly those questions are named that would come next if it did not, under the same limits. */
struct spf_evaluation {
	const struct spf_query *query;
	const struct spf_answers *answers;
	struct spf_outcome *outcome;
	struct spf_domain sender; /* the query's domain as A-labels */
	const char *local_part;
	bool pending;
};

/* --- question.c: what is asked --- */

enum spf_reply {
	SPF_REPLY_UNKNOWN, /* the evaluation is pending now */
	SPF_REPLY_RECORDS,
	SPF_REPLY_VOID, /* NOERROR without records, or NXDOMAIN */
	SPF_REPLY_FAILED, /* anything else: RFC 7208 5 */
};
enum spf_reply spf_ask(struct spf_evaluation *evaluation, const struct dns_name *name, uint16_t type, const struct dns_answer **answer);
/* A or AAAA, after the client's family. */
enum spf_reply spf_ask_addresses(struct spf_evaluation *evaluation, const struct dns_name *name, const struct dns_answer **answer);
bool spf_answer_covers(const struct spf_evaluation *evaluation, const struct dns_answer *answer, uint8_t prefix_length);

enum spf_target {
	SPF_TARGET_OK,
	SPF_TARGET_UNKNOWN, /* a macro needs answers; the evaluation is pending now */
	SPF_TARGET_MALFORMED, /* not a name that could be asked */
	SPF_TARGET_NOT_ASCII,
};
/* The name a domain-spec stands for while `current` is looked at. */
enum spf_target spf_target_expand(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span domain_spec,
    struct spf_domain *target);
/* Does one of the client's validated names lie within `target`? UNKNOWN, RECORDS (yes), VOID (the client has no names at all) or FAILED (no). */
enum spf_reply spf_validated_name_within(struct spf_evaluation *evaluation, const struct spf_domain *target);
/* The macro values as they are while `current` is looked at. */
struct spf_name_context {
	struct spf_evaluation *evaluation;
	const struct spf_domain *current;
};
void spf_macro_values_fill(struct spf_name_context *context, struct spf_macro_values *values);

/* --- mechanism.c: does a term match? --- */

enum spf_match { SPF_MATCH_NO, SPF_MATCH_YES, SPF_MATCH_TEMPERROR, SPF_MATCH_PERMERROR };
enum spf_match spf_term_match(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term);
/* Counts a term that asks DNS. False: that was one too many, and the problem is noted. */
bool spf_lookup_count(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span term);

/* --- evaluate.c: what does a domain say? --- */

/* check_host() for `domain`. `included`: on behalf of an include mechanism, whose explanation and mechanism nobody wants. */
enum spf_result spf_check_host(struct spf_evaluation *evaluation, const struct spf_domain *domain, bool included);
/* Notes what is wrong in the record of `domain`; `term` may be empty. The first problem stays. */
void spf_problem_note(struct spf_evaluation *evaluation, const struct spf_domain *domain, struct span term, const char *what);

#endif
