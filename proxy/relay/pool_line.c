/* The line of those who wait for a connection: who is served, when one more is opened, when held ones are taken back, and how proxies
 * that all have a line share a backend. All calls of borrowers come from here or from a connection's own events. */
#include "relay/pool_parts.h"

#include <limits.h>

#include "base/assert.h"
#include "base/memory.h"

/* How often a line that waits for another proxy's connections tries again. */
#define POLL_MS 20
/* Long enough for another proxy's line to try again. */
#define YIELD_US (3 * POLL_MS * 1000)
/* With fewer connections than proxies, a turn lasts so long. */
#define TURN_US 200000

/* Takes the waiter out of the line. */
static void
waiter_free(struct pool_waiter *waiter)
{
	struct pool_backend *backend = waiter->backend;
	TAILQ_REMOVE(&backend->waiters, waiter, next);
	backend->waiter_count--;
	shared_gauge_add(pool_own_page(backend->pool), GAUGE_BACKEND_WAITING, -1);
	if (waiter->opening != NULL)
		pooled_part_waiter(waiter->opening);
	*waiter->handle = NULL;
	event_free(waiter->timer);
	memory_free(&waiter);
}

void
pool_refuse(struct pool_waiter *waiter, const struct backend_failure *failure)
{
	const struct pool_borrower *borrower = waiter->borrower;
	void *context = waiter->context;
	waiter_free(waiter);
	borrower->on_refused(context, failure);
}

static void
on_waiter_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct pool_waiter *waiter = context;
	(void)descriptor;
	(void)what;
	/* A connection being opened for it has its own times, and an end. */
	if (waiter->opening != NULL)
		pool_start_timer(waiter->timer, waiter->backend->pool->options.config->timeouts.backend_wait);
	else
		pool_refuse(waiter, &(struct backend_failure){.kind = BACKEND_CROWDED, .handshake = true});
}

static void
lend(struct pooled *pooled, const struct pool_borrower *borrower, void *context, struct record *record)
{
	pooled_move(pooled, POOLED_LENT);
	pooled->used = true;
	pooled->borrower = borrower;
	pooled->context = context;
	backend_client_set_owner(pooled->client, &borrower->client, context);
	backend_client_set_record(pooled->client, record);
}

/* An idle connection that has not been hung up meanwhile. */
static struct pooled *
find_idle(struct pool_backend *backend, bool fresh)
{
	struct pooled *pooled;
	TAILQ_FOREACH(pooled, &backend->lists[POOLED_IDLE], next) {
		if (!fresh || !pooled->used)
			return pooled;
	}
	return NULL;
}

/* Gives idle connections to those who wait, first come first served. */
static void
serve_line(struct pool_backend *backend)
{
	struct pool_waiter *waiter = TAILQ_FIRST(&backend->waiters);
	while (waiter != NULL) {
		struct pooled *pooled = find_idle(backend, waiter->fresh);
		if (pooled == NULL) {
			waiter = TAILQ_NEXT(waiter, next);
			continue;
		}
		const struct pool_borrower *borrower = waiter->borrower;
		void *context = waiter->context;
		bool reused = pooled->used;
		lend(pooled, borrower, context, waiter->record);
		waiter_free(waiter);
		borrower->on_client(context, pooled->client, reused);
		waiter = TAILQ_FIRST(&backend->waiters); /* anything may have changed */
	}
}

static struct pool_waiter *
first_without_opening(struct pool_backend *backend)
{
	struct pool_waiter *waiter;
	TAILQ_FOREACH(waiter, &backend->waiters, next) {
		if (waiter->opening == NULL)
			return waiter;
	}
	return NULL;
}

/* The opening connections nobody waits for any more are for those who wait without one. */
void
pool_assign_openings(struct pool_backend *backend)
{
	struct pooled *pooled;
	TAILQ_FOREACH(pooled, &backend->lists[POOLED_OPENING], next) {
		struct pool_waiter *waiter = pooled->waiter == NULL ? first_without_opening(backend) : NULL;
		if (waiter == NULL)
			continue;
		pooled->waiter = waiter;
		waiter->opening = pooled;
		backend_client_set_record(pooled->client, waiter->record);
	}
}

void
pool_refuse_all(struct pool_backend *backend, enum backend_failure_kind kind)
{
	/* Only those in line now: a refused one may queue again. */
	for (unsigned left = backend->waiter_count; left > 0 && !TAILQ_EMPTY(&backend->waiters); left--)
		pool_refuse(TAILQ_FIRST(&backend->waiters), &(struct backend_failure){.kind = kind, .handshake = true});
}

/* A held connection goes back to the pool. */
bool
pool_reclaim(struct pool_backend *backend)
{
	struct pooled *held = TAILQ_FIRST(&backend->lists[POOLED_HELD]);
	if (held == NULL)
		return false;
	pooled_move(held, POOLED_LENT);
	held->borrower->on_reclaim(held->context);
	return true;
}

static unsigned
fair_share(const struct pool_backend *backend)
{
	unsigned rivals = health_rivals(backend->pool->options.health);
	return rivals == 0 ? UINT_MAX : pool_backend_config(backend)->max_connections / (rivals + 1);
}

static bool
is_exhausted(const struct pool_backend *backend)
{
	return health_open_connections(backend->pool->options.health, backend->number) >= pool_backend_config(backend)->max_connections;
}

/* Somebody in another proxy waits for a connection, and this backend has no more to give. */
bool
pool_is_wanted_elsewhere(const struct pool_backend *backend)
{
	return health_rivals(backend->pool->options.health) > 0 && is_exhausted(backend);
}

/* We have more than our part: the one that comes back is given up. Our own line must not get in first again. */
bool
pool_must_yield(struct pool_backend *backend)
{
	unsigned share = fair_share(backend);
	int64_t now_us = clock_monotonic_us(backend->pool->options.clock);
	if (pool_count_working(backend) <= share || !is_exhausted(backend))
		return false;
	if (share > 0)
		return true;
	if (now_us - backend->turn_since_us < TURN_US)
		return false;
	backend->yield_until_us = now_us + YIELD_US;
	backend->turn_since_us = 0;
	return true;
}

static bool
may_open(const struct pool_backend *backend)
{
	int64_t now_us = clock_monotonic_us(backend->pool->options.clock);
	unsigned share = fair_share(backend);
	return now_us >= backend->crowded_until_us && now_us >= backend->yield_until_us &&
	    (pool_count_working(backend) < share || pool_count_working(backend) == 0);
}

enum room { ROOM_OPENED, ROOM_RECLAIMED, ROOM_NONE };

/* One connection more for the line, by opening one or by taking one back. */
static enum room
make_room(struct pool_backend *backend)
{
	struct pool *pool = backend->pool;
	enum health_state state = health_look(pool->options.health, backend->number);
	if (state != HEALTH_SKIP && may_open(backend) && pool_claim(backend)) {
		if (state == HEALTH_PROBE)
			health_claim_probe(pool->options.health, backend->number);
		if (backend->turn_since_us == 0)
			backend->turn_since_us = clock_monotonic_us(pool->options.clock);
		pool_open(backend);
		pool_assign_openings(backend);
		return ROOM_OPENED;
	}
	if (pool_reclaim(backend))
		return ROOM_RECLAIMED;
	if (!TAILQ_EMPTY(&backend->lists[POOLED_IDLE])) /* idle, and yet somebody waits: for a fresh one */
		pooled_quit(TAILQ_LAST(&backend->lists[POOLED_IDLE], pooled_list));
	if (state == HEALTH_SKIP && pool_count_working(backend) == 0)
		pool_refuse_all(backend, BACKEND_SKIPPED);
	else
		pool_start_timer(pool->poll, POLL_MS);
	return ROOM_NONE;
}

void
pool_pump(struct pool_backend *backend)
{
	serve_line(backend);
	pool_assign_openings(backend);
	while (backend->waiter_count > backend->counts[POOLED_OPENING] + backend->unresolved) {
		enum room room = make_room(backend);
		if (room == ROOM_NONE)
			return;
		if (room == ROOM_RECLAIMED)
			serve_line(backend);
	}
}

void
pool_on_pump(evutil_socket_t descriptor, short what, void *context)
{
	struct pool *pool = context;
	(void)descriptor;
	(void)what;
	for (size_t i = 0; i < pool->options.config->backend_count; i++) {
		if (pool->backends[i].waiter_count > 0)
			pool_pump(&pool->backends[i]);
	}
}

struct backend_client *
pool_borrow(struct pool *pool, unsigned number, bool fresh, struct record *record, const struct pool_borrower *borrower, void *context,
    struct pool_waiter **handle)
{
	struct pool_backend *backend = &pool->backends[number];
	ASSERT(number < pool->options.config->backend_count && pool_backend_config(backend)->protocol != BACKEND_MAILDIR);
	/* Nobody overtakes the line. */
	struct pooled *idle = backend->waiter_count == 0 && !fresh ? find_idle(backend, false) : NULL;
	if (idle != NULL) {
		lend(idle, borrower, context, record);
		return idle->client;
	}
	struct pool_waiter *waiter = memory_new(sizeof *waiter);
	*waiter = (struct pool_waiter){
		.backend = backend, .handle = handle, .fresh = fresh, .record = record, .borrower = borrower, .context = context};
	waiter->timer = evtimer_new(pool->options.base, on_waiter_timer, waiter);
	ASSERT(waiter->timer != NULL);
	pool_start_timer(waiter->timer, pool->options.config->timeouts.backend_wait);
	TAILQ_INSERT_TAIL(&backend->waiters, waiter, next);
	backend->waiter_count++;
	shared_gauge_add(pool_own_page(pool), GAUGE_BACKEND_WAITING, 1);
	*handle = waiter;
	pool_pump_soon(pool);
	return NULL;
}

void
pool_cancel(struct pool *pool, struct pool_waiter **waiter)
{
	if (*waiter == NULL)
		return;
	ASSERT((*waiter)->backend->pool == pool);
	waiter_free(*waiter);
}
