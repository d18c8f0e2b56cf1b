/* Folding of verdicts. */
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

static bool
ends_the_chain(enum verdict_kind kind)
{
	return kind == VERDICT_DISCARD || kind == VERDICT_TEMPFAIL || kind == VERDICT_REJECT;
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
	return ends_the_chain(total->kind);
}
