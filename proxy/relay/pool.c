/* The connections of the pool: opened, lent, taken back, retired. Owns every one of them, also lent ones. Who gets the next is
 * decided in pool_line.c. */
#include "relay/pool_parts.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

/* How often idle and held connections are looked at: age, and whether another proxy waits for them. */
#define SWEEP_MS 250
/* A backend that says 421 to one connection more, while it serves others, is not asked for more for so long. */
#define CROWDED_PAUSE_US 1000000

static const struct backend_client_callbacks pool_client_handlers;

void
pool_start_timer(struct event *event, int64_t ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (!evtimer_pending(event, NULL))
		evtimer_add(event, &timeout);
}

void
pool_pump_soon(struct pool *pool)
{
	if (!pool->freeing)
		pool_start_timer(pool->pump, 0);
}

struct shared_page *
pool_own_page(const struct pool *pool)
{
	return shared_memory_page(pool->options.health->shared, pool->options.health->slot);
}

const struct config_backend *
pool_backend_config(const struct pool_backend *backend)
{
	return &backend->pool->options.config->backends[backend->number];
}

/* Connections that work or soon may: somebody will give one back. */
unsigned
pool_count_working(const struct pool_backend *backend)
{
	return backend->counts[POOLED_OPENING] + backend->counts[POOLED_IDLE] + backend->counts[POOLED_LENT] + backend->counts[POOLED_HELD] +
	    backend->unresolved;
}

static void
list_insert(struct pooled *pooled, enum pooled_state state)
{
	struct pool_backend *backend = pooled->backend;
	pooled->state = state;
	backend->counts[state]++;
	/* Idle: the one used last is lent first, so that surplus ones age and go. Held: the oldest is reclaimed first. */
	if (state == POOLED_IDLE)
		TAILQ_INSERT_HEAD(&backend->lists[state], pooled, next);
	else
		TAILQ_INSERT_TAIL(&backend->lists[state], pooled, next);
}

static void
list_remove(struct pooled *pooled)
{
	TAILQ_REMOVE(&pooled->backend->lists[pooled->state], pooled, next);
	pooled->backend->counts[pooled->state]--;
}

void
pooled_move(struct pooled *pooled, enum pooled_state state)
{
	list_remove(pooled);
	list_insert(pooled, state);
}

/* One claimed connection less. */
static void
release_claim(struct pool_backend *backend)
{
	health_release_connection(backend->pool->options.health, backend->number);
	shared_gauge_add(pool_own_page(backend->pool), GAUGE_BACKEND_CONNECTIONS, -1);
	pool_pump_soon(backend->pool);
}

bool
pool_claim(struct pool_backend *backend)
{
	if (!health_claim_connection(backend->pool->options.health, backend->number))
		return false;
	shared_gauge_add(pool_own_page(backend->pool), GAUGE_BACKEND_CONNECTIONS, 1);
	return true;
}

void
pooled_part_waiter(struct pooled *pooled)
{
	if (pooled->waiter != NULL)
		pooled->waiter->opening = NULL;
	pooled->waiter = NULL;
	if (pooled->client != NULL)
		backend_client_set_record(pooled->client, NULL);
}

static void
pooled_free(struct pooled *pooled)
{
	struct pool_backend *backend = pooled->backend;
	pooled_part_waiter(pooled);
	list_remove(pooled);
	backend_client_free(&pooled->client);
	memory_free(&pooled);
	release_claim(backend);
}

void
pooled_quit(struct pooled *pooled)
{
	backend_client_set_owner(pooled->client, &pool_client_handlers, pooled);
	pooled_move(pooled, POOLED_LEAVING);
	backend_client_quit(pooled->client);
}

/* The connection is claimed; addresses are known. */
static void
open_connection(struct pool_backend *backend, const struct backend_address *addresses, size_t count)
{
	struct pool *pool = backend->pool;
	struct pooled *pooled = memory_new(sizeof *pooled);
	struct backend_client_options options = {
		.base = pool->options.base,
		.clock = pool->options.clock,
		.config = pool->options.config,
		.name = backend_names_text(pool->options.names, backend->number),
		.protocol = pool_backend_config(backend)->protocol,
		.keeper = pooled,
	};
	pooled->backend = backend;
	pooled->client = backend_client_new(&options, addresses, count, &pool_client_handlers, pooled);
	list_insert(pooled, POOLED_OPENING);
	shared_count(pool_own_page(pool), COUNTER_BACKEND_CONNECTIONS, 1);
}

static void
on_names(void *context, unsigned number)
{
	struct pool *pool = context;
	struct pool_backend *backend = &pool->backends[number];
	const struct backend_address *addresses;
	size_t count;
	unsigned unresolved = backend->unresolved;
	bool known = backend_names_get(pool->options.names, number, &addresses, &count);
	backend->unresolved = 0;
	for (unsigned i = 0; i < unresolved; i++) {
		if (known)
			open_connection(backend, addresses, count);
		else
			release_claim(backend);
	}
	if (known) {
		pool_assign_openings(backend);
	} else {
		shared_count(pool_own_page(pool), COUNTER_BACKEND_FAILURES, 1);
		if (backend->waiter_count > 0)
			health_failed(pool->options.health, number);
		pool_refuse_all(backend, BACKEND_NAME_UNRESOLVED);
	}
}

void
pool_open(struct pool_backend *backend)
{
	struct pool *pool = backend->pool;
	const struct backend_address *addresses;
	size_t count;
	if (backend_names_get(pool->options.names, backend->number, &addresses, &count)) {
		open_connection(backend, addresses, count);
		return;
	}
	backend->unresolved++;
	backend_names_ask(pool->options.names, backend->number, on_names, pool);
}

static bool
is_worn(const struct pooled *pooled)
{
	const struct pool *pool = pooled->backend->pool;
	const struct config_pool *limits = &pool->options.config->pool;
	int64_t age_us = clock_monotonic_us(pool->options.clock) - backend_client_opened_us(pooled->client);
	return backend_client_messages(pooled->client) >= limits->messages || backend_client_refusals(pooled->client) >= limits->refusals ||
	    age_us >= limits->age_ms * 1000;
}

static void
sweep_backend(struct pool_backend *backend)
{
	int64_t idle_limit_us = clock_monotonic_us(backend->pool->options.clock) - backend->pool->options.config->pool.idle_ms * 1000;
	struct pooled *pooled = TAILQ_FIRST(&backend->lists[POOLED_IDLE]);
	while (pooled != NULL) {
		struct pooled *next = TAILQ_NEXT(pooled, next);
		if (pooled->idle_since_us <= idle_limit_us || is_worn(pooled))
			pooled_quit(pooled);
		pooled = next;
	}
	if (backend->waiter_count > 0 || !pool_is_wanted_elsewhere(backend))
		return;
	if (!TAILQ_EMPTY(&backend->lists[POOLED_IDLE]))
		pooled_quit(TAILQ_LAST(&backend->lists[POOLED_IDLE], pooled_list));
	else
		pool_reclaim(backend);
}

static void
sweep_later(struct pool *pool)
{
	if (!pool->freeing)
		pool_start_timer(pool->sweep, SWEEP_MS);
}

static void
on_sweep(evutil_socket_t descriptor, short what, void *context)
{
	struct pool *pool = context;
	(void)descriptor;
	(void)what;
	bool again = false;
	for (size_t i = 0; i < pool->options.config->backend_count; i++) {
		struct pool_backend *backend = &pool->backends[i];
		if (backend->counts[POOLED_IDLE] + backend->counts[POOLED_HELD] == 0)
			continue;
		sweep_backend(backend);
		again = true;
	}
	if (again)
		sweep_later(pool);
}

static void
become_idle(struct pooled *pooled)
{
	struct pool *pool = pooled->backend->pool;
	pooled->borrower = NULL;
	pooled->context = NULL;
	pooled->idle_since_us = clock_monotonic_us(pool->options.clock);
	pooled_move(pooled, POOLED_IDLE);
	sweep_later(pool);
}

static void
on_client_ready(void *context)
{
	struct pooled *pooled = context;
	struct pool_backend *backend = pooled->backend;
	ASSERT(pooled->state == POOLED_OPENING);
	if (health_look(backend->pool->options.health, backend->number) != HEALTH_GOOD)
		log_info("backend=%s works again", backend_names_text(backend->pool->options.names, backend->number));
	health_learned(backend->pool->options.health, backend->number, backend_client_capabilities(pooled->client));
	pooled_part_waiter(pooled);
	become_idle(pooled);
	pool_pump(backend);
}

static void
opening_failed(struct pooled *pooled, const struct backend_failure *failure)
{
	struct pool_backend *backend = pooled->backend;
	struct pool *pool = backend->pool;
	struct pool_waiter *waiter = pooled->waiter;
	bool too_many = (failure->kind == BACKEND_LEAVING || failure->kind == BACKEND_REFUSED) && failure->reply != NULL &&
	    reply_is_transient(failure->reply) && pool_count_working(backend) > 1;
	shared_count(pool_own_page(pool), COUNTER_BACKEND_FAILURES, 1);
	if (failure->kind == BACKEND_UNREACHABLE)
		backend_names_forget(pool->options.names, backend->number);
	if (too_many)
		backend->crowded_until_us = clock_monotonic_us(pool->options.clock) + CROWDED_PAUSE_US;
	else if (waiter != NULL && backend_failure_skips(failure->kind))
		health_failed(pool->options.health, backend->number);
	pooled_free(pooled);
	if (waiter != NULL && !too_many)
		pool_refuse(waiter, failure);
}

static void
on_client_failed(void *context, const struct backend_failure *failure)
{
	struct pooled *pooled = context;
	if (pooled->state == POOLED_OPENING)
		opening_failed(pooled, failure);
	else
		pooled_free(pooled);
}

/* on_reply and on_writable: the pool never has a command under way, and gets neither. */
static const struct backend_client_callbacks pool_client_handlers = {
	.on_ready = on_client_ready,
	.on_failed = on_client_failed,
};

struct pool *
pool_new(const struct pool_options *options)
{
	struct pool *pool = memory_new(sizeof *pool);
	pool->options = *options;
	pool->backends = memory_new_array(options->config->backend_count, sizeof *pool->backends);
	for (size_t i = 0; i < options->config->backend_count; i++) {
		struct pool_backend *backend = &pool->backends[i];
		backend->pool = pool;
		backend->number = (unsigned)i;
		TAILQ_INIT(&backend->waiters);
		for (size_t k = 0; k < sizeof backend->lists / sizeof backend->lists[0]; k++)
			TAILQ_INIT(&backend->lists[k]);
	}
	pool->pump = evtimer_new(options->base, pool_on_pump, pool);
	pool->poll = evtimer_new(options->base, pool_on_pump, pool);
	pool->sweep = evtimer_new(options->base, on_sweep, pool);
	ASSERT(pool->pump != NULL && pool->poll != NULL && pool->sweep != NULL);
	return pool;
}

void
pool_free(struct pool **pool_address)
{
	struct pool *pool = *pool_address;
	if (pool == NULL)
		return;
	pool->freeing = true;
	for (size_t i = 0; i < pool->options.config->backend_count; i++) {
		struct pool_backend *backend = &pool->backends[i];
		ASSERT(backend->waiter_count == 0 && backend->counts[POOLED_LENT] == 0 && backend->counts[POOLED_HELD] == 0);
		for (size_t k = 0; k < sizeof backend->lists / sizeof backend->lists[0]; k++) {
			while (!TAILQ_EMPTY(&backend->lists[k])) {
				backend_client_part(&TAILQ_FIRST(&backend->lists[k])->client);
				pooled_free(TAILQ_FIRST(&backend->lists[k]));
			}
		}
		for (; backend->unresolved > 0; backend->unresolved--)
			release_claim(backend);
	}
	event_free(pool->pump);
	event_free(pool->poll);
	event_free(pool->sweep);
	memory_free(&pool->backends);
	memory_free(pool_address);
}

void
pool_learn(struct pool *pool, unsigned number)
{
	struct pool_backend *backend = &pool->backends[number];
	struct capability_set set;
	ASSERT(number < pool->options.config->backend_count);
	if (pool_backend_config(backend)->protocol == BACKEND_MAILDIR || pool_count_working(backend) > 0)
		return;
	if (!health_capabilities(pool->options.health, number, &set) && pool_claim(backend))
		pool_open(backend);
}

/* The lent connection behind the borrower's pointer, which is cleared. */
static struct pooled *
take_back(struct pool *pool, struct backend_client **client)
{
	struct pooled *pooled = backend_client_keeper(*client);
	ASSERT(pooled->backend->pool == pool && pooled->client == *client);
	ASSERT(pooled->state == POOLED_LENT || pooled->state == POOLED_HELD);
	*client = NULL;
	backend_client_set_record(pooled->client, NULL);
	backend_client_set_owner(pooled->client, &pool_client_handlers, pooled);
	return pooled;
}

void
pool_return(struct pool *pool, struct backend_client **client)
{
	if (*client == NULL)
		return;
	/* RSET still belongs to the story of the one who leaves. */
	bool clean = backend_client_reset(*client);
	struct pooled *pooled = take_back(pool, client);
	if (!clean) {
		pooled_free(pooled);
		return;
	}
	bool wanted = pooled->backend->waiter_count > 0;
	become_idle(pooled);
	bool yields = wanted && pool_must_yield(pooled->backend);
	if (yields || is_worn(pooled) || (!wanted && pool->options.config->pool.idle_ms == 0))
		pooled_quit(pooled);
	if (wanted)
		pool_pump_soon(pool);
}

void
pool_discard(struct pool *pool, struct backend_client **client)
{
	if (*client != NULL)
		pooled_free(take_back(pool, client));
}

bool
pool_hold(struct pool *pool, struct backend_client *client)
{
	struct pooled *pooled = backend_client_keeper(client);
	ASSERT(pooled->backend->pool == pool && pooled->state == POOLED_LENT);
	if (is_worn(pooled) || pooled->backend->waiter_count > 0 || pool_is_wanted_elsewhere(pooled->backend))
		return false;
	pooled_move(pooled, POOLED_HELD);
	sweep_later(pool);
	return true;
}

void
pool_unhold(struct pool *pool, struct backend_client *client)
{
	struct pooled *pooled = backend_client_keeper(client);
	ASSERT(pooled->backend->pool == pool);
	if (pooled->state == POOLED_HELD)
		pooled_move(pooled, POOLED_LENT);
}

bool
pool_has_idle(const struct pool *pool, unsigned number)
{
	return pool->backends[number].counts[POOLED_IDLE] > 0;
}

unsigned
pool_count(const struct pool *pool, unsigned number)
{
	unsigned count = pool->backends[number].unresolved;
	for (size_t i = 0; i <= POOLED_LEAVING; i++)
		count += pool->backends[number].counts[i];
	return count;
}
