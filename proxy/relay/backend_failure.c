/* Words and codes of backend failures, from their table. */
#include "relay/backend_failure.h"

#include "base/assert.h"

static const struct {
	const char *enhanced;
	const char *text;
	bool skips;
} failures[] = {
#define X(name, enhanced, text, skips) {enhanced, text, skips},
	BACKEND_FAILURES(X)
#undef X
};

const char *
backend_failure_text(enum backend_failure_kind kind)
{
	ASSERT(kind < sizeof failures / sizeof failures[0]);
	return failures[kind].text;
}

bool
backend_failure_skips(enum backend_failure_kind kind)
{
	ASSERT(kind < sizeof failures / sizeof failures[0]);
	return failures[kind].skips;
}

void
backend_failure_reply(enum backend_failure_kind kind, struct reply *reply)
{
	ASSERT(kind < sizeof failures / sizeof failures[0]);
	reply_set(reply, 451, failures[kind].enhanced, "Mail server %s; try again later", failures[kind].text);
}
