/* Backend health and connection counts over all proxies. Writes only our own page; trusts nothing of the others beyond bounds. */
#include "relay/health.h"

#include "base/assert.h"

/* The rows of one backend: one in each live page that has it. */
struct row_walk {
	const struct health *health;
	unsigned backend;
	unsigned next;
};

static struct shared_page *
own_page(const struct health *health)
{
	return shared_memory_page(health->shared, health->slot);
}

static struct shared_backend *
own_row(const struct health *health, unsigned backend)
{
	ASSERT(backend < SHARED_BACKENDS);
	return &own_page(health)->backends[backend];
}

static struct shared_page *
next_page(struct row_walk *walk)
{
	while (walk->next < SHARED_SLOTS) {
		unsigned slot = walk->next++;
		struct shared_page *page = shared_memory_page(walk->health->shared, slot);
		if (slot == walk->health->slot || atomic_load(&page->process_id) != 0)
			return page;
	}
	return NULL;
}

/* The row of the backend in somebody's page: mostly under our own number, but not after a reload that changed the list. */
static struct shared_backend *
find_row(struct shared_page *page, unsigned backend, uint64_t identity)
{
	if (atomic_load(&page->backends[backend].identity) == identity)
		return &page->backends[backend];
	for (unsigned i = 0; i < SHARED_BACKENDS; i++) {
		uint64_t other = atomic_load(&page->backends[i].identity);
		if (other == identity)
			return &page->backends[i];
		if (other == 0)
			break;
	}
	return NULL;
}

static struct shared_backend *
next_row(struct row_walk *walk)
{
	uint64_t identity = atomic_load(&own_row(walk->health, walk->backend)->identity);
	for (struct shared_page *page = next_page(walk); page != NULL; page = next_page(walk)) {
		struct shared_backend *row = find_row(page, walk->backend, identity);
		if (row != NULL)
			return row;
	}
	return NULL;
}

void
health_start(const struct health *health)
{
	for (unsigned i = 0; i < health->config->backend_count; i++) {
		uint64_t hash = UINT64_C(0xcbf29ce484222325);
		for (const char *at = health->config->backends[i].url; *at != '\0'; at++)
			hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
		atomic_store(&own_row(health, i)->identity, hash | 1); /* never 0 */
	}
}

enum health_state
health_look(const struct health *health, unsigned backend)
{
	int64_t skip_until_us = 0, learned_at_us = 0;
	struct row_walk walk = {health, backend, 0};
	for (struct shared_backend *row = next_row(&walk); row != NULL; row = next_row(&walk)) {
		int64_t skip = atomic_load(&row->skip_until_us), learned = atomic_load(&row->learned_at_us);
		if (atomic_load(&row->consecutive_failures) > 0 && skip > skip_until_us)
			skip_until_us = skip;
		if (learned > learned_at_us)
			learned_at_us = learned;
	}
	/* A greeting that any proxy heard after the newest failure of any other clears it for all. */
	int64_t failed_at_us = skip_until_us - health->config->timeouts.backend_retry * 1000;
	if (skip_until_us == 0 || learned_at_us > failed_at_us)
		return HEALTH_GOOD;
	return clock_monotonic_us(health->clock) < skip_until_us ? HEALTH_SKIP : HEALTH_PROBE;
}

static void
skip_from_now(const struct health *health, unsigned backend)
{
	struct shared_backend *row = own_row(health, backend);
	int64_t until_us = clock_monotonic_us(health->clock) + health->config->timeouts.backend_retry * 1000;
	atomic_store(&row->skip_until_us, until_us);
}

void
health_claim_probe(const struct health *health, unsigned backend)
{
	struct shared_backend *row = own_row(health, backend);
	if (atomic_load(&row->consecutive_failures) == 0)
		atomic_store(&row->consecutive_failures, 1);
	skip_from_now(health, backend);
}

void
health_failed(const struct health *health, unsigned backend)
{
	atomic_fetch_add(&own_row(health, backend)->consecutive_failures, 1);
	skip_from_now(health, backend);
}

void
health_learned(const struct health *health, unsigned backend, const struct capability_set *set)
{
	struct shared_backend *row = own_row(health, backend);
	atomic_store(&row->capabilities, set->bits);
	atomic_store(&row->size_limit, set->size);
	atomic_store(&row->consecutive_failures, 0);
	atomic_store(&row->skip_until_us, 0);
	/* Later than any failure of the same microsecond; 0 would mean never. */
	atomic_store(&row->learned_at_us, clock_monotonic_us(health->clock) + 1);
}

bool
health_capabilities(const struct health *health, unsigned backend, struct capability_set *set)
{
	int64_t newest_us = 0;
	struct row_walk walk = {health, backend, 0};
	for (struct shared_backend *row = next_row(&walk); row != NULL; row = next_row(&walk)) {
		int64_t learned_at_us = atomic_load(&row->learned_at_us);
		if (learned_at_us <= newest_us)
			continue;
		newest_us = learned_at_us;
		*set = (struct capability_set){atomic_load(&row->capabilities), atomic_load(&row->size_limit)};
	}
	return newest_us != 0;
}

unsigned
health_open_connections(const struct health *health, unsigned backend)
{
	uint64_t total = 0;
	struct row_walk walk = {health, backend, 0};
	for (struct shared_backend *row = next_row(&walk); row != NULL; row = next_row(&walk))
		total += atomic_load(&row->open_connections);
	return total < UINT32_MAX ? (unsigned)total : UINT32_MAX;
}

bool
health_claim_connection(const struct health *health, unsigned backend)
{
	/* Count first, look then: two proxies that claim the last one at the same time may both fail, never both succeed. */
	atomic_fetch_add(&own_row(health, backend)->open_connections, 1);
	if (health_open_connections(health, backend) <= health->config->backends[backend].max_connections)
		return true;
	health_release_connection(health, backend);
	return false;
}

void
health_release_connection(const struct health *health, unsigned backend)
{
	uint32_t before = atomic_fetch_sub(&own_row(health, backend)->open_connections, 1);
	ASSERT(before > 0);
}

unsigned
health_rivals(const struct health *health)
{
	unsigned count = 0;
	struct row_walk walk = {health, 0, 0};
	for (struct shared_page *page = next_page(&walk); page != NULL; page = next_page(&walk)) {
		if (page != own_page(health) && atomic_load(&page->gauges[GAUGE_BACKEND_WAITING]) > 0)
			count++;
	}
	return count;
}
