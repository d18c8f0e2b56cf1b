/* Folding of verdicts. */
#include <string.h>

#include "base/memory.h"
#include "filters/verdict.h"

const char *
verdict_kind_text(enum verdict_kind kind)
{
	static const char *const texts[] = {
#define X(name, text, description) [name] = text,
		VERDICTS(X)
#undef X
	};

	return texts[kind];
}

void
verdict_clear(struct verdict *verdict)
{
	reply_clear(&verdict->reply);
	memory_free(&verdict->filter);
	memory_free(&verdict->reason);
	verdict->kind = VERDICT_ACCEPT;
}

bool
verdict_reply_fits(const struct verdict *verdict)
{
	const struct reply *reply = &verdict->reply;
	const char *enhanced = reply->enhanced;

	if (verdict->kind != VERDICT_REJECT && verdict->kind != VERDICT_TEMPFAIL)
		return reply->code == 0;
	if (verdict->kind == VERDICT_REJECT ? !reply_is_permanent(reply) : !reply_is_transient(reply) || reply->code == 421)
		return false;
	return enhanced[0] == '\0' ||
	    (enhanced[0] == '0' + reply->code / 100 && enhanced[1] == '.' && enhanced[strspn(enhanced, "0123456789.")] == '\0');
}

bool
verdict_ends_chain(const struct verdict *verdict)
{
	return verdict->kind == VERDICT_DISCARD || verdict->kind == VERDICT_TEMPFAIL || verdict->kind == VERDICT_REJECT;
}

bool
verdict_fold(struct verdict *total, struct verdict *next)
{
	if (next->kind > total->kind) {
		verdict_clear(total);
		*total = *next;
		*next = (struct verdict){0};
	} else {
		verdict_clear(next);
	}
	return verdict_ends_chain(total);
}
