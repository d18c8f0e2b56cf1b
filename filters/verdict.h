/* What a filter, or the whole chain, says of a message; and how verdicts fold into one (design section 2). */
#ifndef POSTERN_FILTERS_VERDICT_H
#define POSTERN_FILTERS_VERDICT_H

#include <stdbool.h>

#include "mail/reply.h"

#define VERDICTS(X) \
	X(VERDICT_ACCEPT, "accept", "go on") \
	X(VERDICT_QUARANTINE, "quarantine", "take it, but into the quarantine") \
	X(VERDICT_DISCARD, "discard", "answer 250 and drop it") \
	X(VERDICT_TEMPFAIL, "tempfail", "answer 4xx, the client keeps it") \
	X(VERDICT_REJECT, "reject", "answer 5xx")

enum verdict_kind {
#define X(name, text, description) name,
	VERDICTS(X)
#undef X
};
const char *verdict_kind_text(enum verdict_kind kind);

struct verdict {
	enum verdict_kind kind;
	struct reply reply; /* for tempfail and reject */
	char *filter; /* who said so, NULL for accept */
	char *reason; /* in words, or NULL */
};

void verdict_clear(struct verdict *verdict);
/* True when the verdict has the reply its kind needs: 5xx to reject, 4xx but 421 (which would end the session) to tempfail, none to the
 * others; and an enhanced code, if any, of the same class. */
bool verdict_reply_fits(const struct verdict *verdict);
/* Discard, tempfail and reject: no filter behind it runs. */
bool verdict_ends_chain(const struct verdict *verdict);
/* Folds `next` into `total`. A quarantine stays until something ends the chain; the first discard, tempfail or reject
 * ends it: true then. `next` is emptied. */
bool verdict_fold(struct verdict *total, struct verdict *next);

#endif
