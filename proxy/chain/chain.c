/* What all runs of a proxy share: the pools of workers. */
#include "chain/chain.h"

#include <unistd.h>

#include "base/memory.h"
#include "chain/run_parts.h"

static bool
has_place(const struct config *config, enum config_filter_place place)
{
	for (size_t i = 0; i < config->filter_count; i++)
		if (config->filters[i].place == place)
			return true;
	return false;
}

struct chain *
chain_new(const struct chain_options *options)
{
	struct chain *chain = memory_new(sizeof *chain);
	struct worker_pool_options pool = {
		.base = options->base, .clock = options->clock, .config = options->config, .shared = options->shared, .slot = options->slot,
		.role = ROLE_AUTH, .generation = options->generation, .kill = options->kill_worker, .context = options->context,
	};

	chain->options = *options;
	chain->page = shared_memory_page(options->shared, options->slot);
	if (has_place(options->config, FILTER_PLACE_AUTH))
		chain->auth = worker_pool_new(&pool);
	return chain;
}

void
chain_free(struct chain **chain)
{
	worker_pool_free(&(*chain)->auth);
	memory_free(chain);
}

bool
chain_is_empty(const struct chain *chain)
{
	return chain->options.config->filter_count == 0;
}

void
chain_connect_worker(struct chain *chain, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	if (role == ROLE_AUTH && chain->auth != NULL)
		worker_pool_connect(chain->auth, slot, generation, descriptor);
	else
		close(descriptor);
}

bool
chain_is_crowded(const struct chain *chain)
{
	return chain->auth != NULL && worker_pool_is_full(chain->auth);
}
