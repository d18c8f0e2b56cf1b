/* SPF as RFC 7208 has it: a pure function of the query and of DNS answers. It reads no clock, no network, no file. An evaluation that
 * meets an unknown answer says so and is run again from its start when more answers are known. */
#ifndef POSTERN_FILTERS_SPF_SPF_H
#define POSTERN_FILTERS_SPF_SPF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"
#include "dns/answer.h"

#define SPF_LOOKUP_LIMIT 10 /* terms that cause DNS questions, over all includes and redirects: RFC 7208 4.6.4 */
#define SPF_VOID_LIMIT 2 /* lookups without an answer: RFC 7208 4.6.4 */
#define SPF_NAMES_LIMIT 10 /* MX names of a term (more: permerror) and PTR names of the client (more are ignored) */

#define SPF_EXPLANATION_MAX 2048 /* bytes; a longer explanation is dropped */

#define SPF_RESULTS(X) \
	X(SPF_NONE, "none", "no SPF record or no domain to check") \
	X(SPF_NEUTRAL, "neutral", "the domain says nothing about this client") \
	X(SPF_PASS, "pass", "the client may send for the domain") \
	X(SPF_FAIL, "fail", "the client may not send for the domain") \
	X(SPF_SOFTFAIL, "softfail", "the client probably may not send for the domain") \
	X(SPF_TEMPERROR, "temperror", "DNS failed for now") \
	X(SPF_PERMERROR, "permerror", "the domain's SPF record cannot be interpreted") \
	X(SPF_PENDING, "pending", "more DNS answers are needed")

enum spf_result {
#define X(name, text, description) name,
	SPF_RESULTS(X)
#undef X
};
const char *spf_result_text(enum spf_result result);
const char *spf_result_description(enum spf_result result);

/* Where answers come from. Names are in presentation form without final dot, ASCII letters in lower case. NULL: not known yet; the evaluation
 * goes on as far as the limits allow to name as many questions as possible, and is then pending. lookup must remember what it was asked;
 * the answers it returns must stay as they are until spf_evaluate returns. */
struct spf_answers {
	const struct dns_answer *(*lookup)(void *context, const char *name, uint16_t type);
	void *context;
};

struct spf_query {
	struct ip_address client;
	const char *local_part; /* of the identity; "postmaster" when it has none (RFC 7208 4.3) */
	const char *domain; /* of the identity: MAIL FROM's, or the HELO name; U-labels are turned into A-labels */
	const char *helo;
	const char *receiver; /* our host name, for %{r} in explanations */
	int64_t now_s; /* for %{t} in explanations */
};

struct spf_outcome {
	enum spf_result result;
	char *mechanism; /* the term that decided, or failed, as written ("-all", "default"), its first 255 bytes; or NULL */
	char *explanation; /* of the domain, expanded, for fail; printable ASCII, at most SPF_EXPLANATION_MAX; or NULL (RFC 7208 6.2) */
	char *problem; /* in words, for temperror and permerror: in which domain's record, where, what; or NULL */
	unsigned lookups, void_lookups; /* as the limits count them */
};

/* check_host() of RFC 7208 section 4. The outcome must be zeroed or cleared before. */
void spf_evaluate(const struct spf_query *query, const struct spf_answers *answers, struct spf_outcome *outcome);
void spf_outcome_clear(struct spf_outcome *outcome);

#endif
