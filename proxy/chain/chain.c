/* The chain. No filter is built in yet, so every stage accepts at once; workers and milters join here. */
#include "base/memory.h"
#include "chain/chain.h"

struct chain {
	const struct config *config;
};

const char *
chain_stage_text(enum chain_stage stage)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		CHAIN_STAGES(X)
#undef X
	};

	return texts[stage];
}

struct chain *
chain_new(const struct config *config)
{
	struct chain *chain = memory_new(sizeof *chain);

	chain->config = config;
	return chain;
}

void
chain_free(struct chain **chain)
{
	memory_free(chain);
}

bool
chain_run(struct chain *chain, enum chain_stage stage, const struct chain_subject *subject, struct verdict *verdict,
    chain_callback *callback, void *context)
{
	(void)chain;
	(void)stage;
	(void)subject;
	(void)callback;
	(void)context;
	*verdict = (struct verdict){.kind = VERDICT_ACCEPT};
	return true;
}
