/* The pool: per backend a list of connections and a line of waiters, and one `pump` that brings them together. Owns every
 * connection, also lent ones. All calls of borrowers come from the pump or from a connection's own events. */
#include "relay/pool.h"

#include <limits.h>
#include <sys/queue.h>

#include "base/assert.h"
#include "base/memory.h"

/* How often idle and held connections are looked at: age, and whether another proxy waits for them. */
#define SWEEP_MS 250
/* How often a line that waits for another proxy's connections tries again. */
#define POLL_MS 20
/* A backend that says 421 to one connection more, while it serves others, is not asked for more for so long. */
#define CROWDED_PAUSE_US 1000000
/* Long enough for another proxy's line to try again. */
#define YIELD_US (3 * POLL_MS * 1000)
/* With fewer connections than proxies, a turn lasts so long. */
#define TURN_US 200000

enum pooled_state {
	POOLED_OPENING,
	POOLED_IDLE,
	POOLED_LENT,
	POOLED_HELD, /* lent, but not in use: may be reclaimed */
	POOLED_LEAVING, /* QUIT said */
};

struct pooled {
	TAILQ_ENTRY(pooled) next; /* in the list of its state */
	struct pool_backend *backend;
	struct backend_client *client;
	enum pooled_state state;
	bool used; /* was lent before */
	int64_t idle_since_us;
	struct pool_waiter *waiter; /* OPENING: for whom, or NULL */
	const struct pool_borrower *borrower; /* LENT, HELD */
	void *context;
};
TAILQ_HEAD(pooled_list, pooled);

struct pool_waiter {
	TAILQ_ENTRY(pool_waiter) next;
	struct pool_backend *backend;
	struct pool_waiter **handle; /* the borrower's pointer, cleared when the wait ends */
	bool fresh;
	struct record *record;
	const struct pool_borrower *borrower;
	void *context;
	struct event *timer;
	struct pooled *opening; /* the connection being opened for it, or NULL */
};

struct pool_backend {
	struct pool *pool;
	unsigned number;
	struct pooled_list lists[POOLED_LEAVING + 1];
	unsigned counts[POOLED_LEAVING + 1];
	TAILQ_HEAD(waiter_list, pool_waiter) waiters;
	unsigned waiter_count;
	unsigned unresolved; /* connections to be opened once DNS has answered; counted in shared memory already */
	int64_t crowded_until_us; /* no opening before: the backend said that we have too many */
	int64_t yield_until_us; /* no opening before: it is another proxy's turn */
	int64_t turn_since_us; /* our own turn; 0 = begins with the next opening */
};

struct pool {
	struct pool_options options;
	struct pool_backend *backends;
	struct event *pump; /* soon: look at all lines */
	struct event *poll;
	struct event *sweep;
	bool freeing;
};

static const struct backend_client_callbacks pool_client_handlers;

static void
start_timer(struct event *event, int64_t ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (!evtimer_pending(event, NULL))
		evtimer_add(event, &timeout);
}

static void
pump_soon(struct pool *pool)
{
	if (!pool->freeing)
		start_timer(pool->pump, 0);
}

static struct shared_page *
own_page(const struct pool *pool)
{
	return shared_memory_page(pool->options.health->shared, pool->options.health->slot);
}

static const struct config_backend *
backend_config(const struct pool_backend *backend)
{
	return &backend->pool->options.config->backends[backend->number];
}

/* Connections that work or soon may: somebody will give one back. */
static unsigned
count_working(const struct pool_backend *backend)
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

static void
move(struct pooled *pooled, enum pooled_state state)
{
	list_remove(pooled);
	list_insert(pooled, state);
}

/* One claimed connection less. */
static void
release_claim(struct pool_backend *backend)
{
	health_release_connection(backend->pool->options.health, backend->number);
	shared_gauge_add(own_page(backend->pool), GAUGE_BACKEND_CONNECTIONS, -1);
	pump_soon(backend->pool);
}

static bool
claim(struct pool_backend *backend)
{
	if (!health_claim_connection(backend->pool->options.health, backend->number))
		return false;
	shared_gauge_add(own_page(backend->pool), GAUGE_BACKEND_CONNECTIONS, 1);
	return true;
}

static void
part_waiter(struct pooled *pooled)
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
	part_waiter(pooled);
	list_remove(pooled);
	backend_client_free(&pooled->client);
	memory_free(&pooled);
	release_claim(backend);
}

static void
pooled_quit(struct pooled *pooled)
{
	backend_client_set_owner(pooled->client, &pool_client_handlers, pooled);
	move(pooled, POOLED_LEAVING);
	backend_client_quit(pooled->client);
}

/* Takes the waiter out of the line. */
static void
waiter_free(struct pool_waiter *waiter)
{
	struct pool_backend *backend = waiter->backend;
	TAILQ_REMOVE(&backend->waiters, waiter, next);
	backend->waiter_count--;
	shared_gauge_add(own_page(backend->pool), GAUGE_BACKEND_WAITING, -1);
	if (waiter->opening != NULL)
		part_waiter(waiter->opening);
	*waiter->handle = NULL;
	event_free(waiter->timer);
	memory_free(&waiter);
}

static void
refuse(struct pool_waiter *waiter, const struct backend_failure *failure)
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
		start_timer(waiter->timer, waiter->backend->pool->options.config->timeouts.backend_wait);
	else
		refuse(waiter, &(struct backend_failure){.kind = BACKEND_CROWDED, .handshake = true});
}

static void
lend(struct pooled *pooled, const struct pool_borrower *borrower, void *context, struct record *record)
{
	move(pooled, POOLED_LENT);
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
static void
assign_openings(struct pool_backend *backend)
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

static void
refuse_all(struct pool_backend *backend, enum backend_failure_kind kind)
{
	/* Only those in line now: a refused one may queue again. */
	for (unsigned left = backend->waiter_count; left > 0 && !TAILQ_EMPTY(&backend->waiters); left--)
		refuse(TAILQ_FIRST(&backend->waiters), &(struct backend_failure){.kind = kind, .handshake = true});
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
		.protocol = backend_config(backend)->protocol,
		.keeper = pooled,
	};
	pooled->backend = backend;
	pooled->client = backend_client_new(&options, addresses, count, &pool_client_handlers, pooled);
	list_insert(pooled, POOLED_OPENING);
	shared_count(own_page(pool), COUNTER_BACKEND_CONNECTIONS, 1);
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
		assign_openings(backend);
	} else {
		shared_count(own_page(pool), COUNTER_BACKEND_FAILURES, 1);
		if (backend->waiter_count > 0)
			health_failed(pool->options.health, number);
		refuse_all(backend, BACKEND_NAME_UNRESOLVED);
	}
}

static void
open_or_resolve(struct pool_backend *backend)
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

/* A held connection goes back to the pool. */
static bool
reclaim_one(struct pool_backend *backend)
{
	struct pooled *held = TAILQ_FIRST(&backend->lists[POOLED_HELD]);
	if (held == NULL)
		return false;
	move(held, POOLED_LENT);
	held->borrower->on_reclaim(held->context);
	return true;
}

/* How many connections this proxy may have while others wait too: its part of max_connections. There may be fewer
 * connections than proxies (0): then they take turns. */
static unsigned
fair_share(const struct pool_backend *backend)
{
	unsigned rivals = health_rivals(backend->pool->options.health);
	return rivals == 0 ? UINT_MAX : backend_config(backend)->max_connections / (rivals + 1);
}

static bool
is_exhausted(const struct pool_backend *backend)
{
	return health_open_connections(backend->pool->options.health, backend->number) >= backend_config(backend)->max_connections;
}

/* Somebody in another proxy waits for a connection, and this backend has no more to give. */
static bool
is_wanted_elsewhere(const struct pool_backend *backend)
{
	return health_rivals(backend->pool->options.health) > 0 && is_exhausted(backend);
}

/* We have more than our part: the one that comes back is given up. Our own line must not get in first again. */
static bool
must_yield(struct pool_backend *backend)
{
	unsigned share = fair_share(backend);
	int64_t now_us = clock_monotonic_us(backend->pool->options.clock);
	if (count_working(backend) <= share || !is_exhausted(backend))
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
	    (count_working(backend) < share || count_working(backend) == 0);
}

enum room { ROOM_OPENED, ROOM_RECLAIMED, ROOM_NONE };

/* One connection more for the line, by opening one or by taking one back. */
static enum room
make_room(struct pool_backend *backend)
{
	struct pool *pool = backend->pool;
	enum health_state state = health_look(pool->options.health, backend->number);
	if (state != HEALTH_SKIP && may_open(backend) && claim(backend)) {
		if (state == HEALTH_PROBE)
			health_claim_probe(pool->options.health, backend->number);
		if (backend->turn_since_us == 0)
			backend->turn_since_us = clock_monotonic_us(pool->options.clock);
		open_or_resolve(backend);
		assign_openings(backend);
		return ROOM_OPENED;
	}
	if (reclaim_one(backend))
		return ROOM_RECLAIMED;
	if (!TAILQ_EMPTY(&backend->lists[POOLED_IDLE])) /* idle, and yet somebody waits: for a fresh one */
		pooled_quit(TAILQ_LAST(&backend->lists[POOLED_IDLE], pooled_list));
	if (state == HEALTH_SKIP && count_working(backend) == 0)
		refuse_all(backend, BACKEND_SKIPPED);
	else
		start_timer(pool->poll, POLL_MS);
	return ROOM_NONE;
}

static void
pump_backend(struct pool_backend *backend)
{
	serve_line(backend);
	assign_openings(backend);
	while (backend->waiter_count > backend->counts[POOLED_OPENING] + backend->unresolved) {
		enum room room = make_room(backend);
		if (room == ROOM_NONE)
			return;
		if (room == ROOM_RECLAIMED)
			serve_line(backend);
	}
}

static void
on_pump(evutil_socket_t descriptor, short what, void *context)
{
	struct pool *pool = context;
	(void)descriptor;
	(void)what;
	for (size_t i = 0; i < pool->options.config->backend_count; i++) {
		if (pool->backends[i].waiter_count > 0)
			pump_backend(&pool->backends[i]);
	}
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
	if (backend->waiter_count > 0 || !is_wanted_elsewhere(backend))
		return;
	if (!TAILQ_EMPTY(&backend->lists[POOLED_IDLE]))
		pooled_quit(TAILQ_LAST(&backend->lists[POOLED_IDLE], pooled_list));
	else
		reclaim_one(backend);
}

static void
sweep_later(struct pool *pool)
{
	if (!pool->freeing)
		start_timer(pool->sweep, SWEEP_MS);
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
	move(pooled, POOLED_IDLE);
	sweep_later(pool);
}

static void
on_client_ready(void *context)
{
	struct pooled *pooled = context;
	struct pool_backend *backend = pooled->backend;
	ASSERT(pooled->state == POOLED_OPENING);
	health_learned(backend->pool->options.health, backend->number, backend_client_capabilities(pooled->client));
	part_waiter(pooled);
	become_idle(pooled);
	pump_backend(backend);
}

static void
opening_failed(struct pooled *pooled, const struct backend_failure *failure)
{
	struct pool_backend *backend = pooled->backend;
	struct pool *pool = backend->pool;
	struct pool_waiter *waiter = pooled->waiter;
	bool too_many = (failure->kind == BACKEND_LEAVING || failure->kind == BACKEND_REFUSED) && failure->reply != NULL &&
	    reply_is_transient(failure->reply) && count_working(backend) > 1;
	shared_count(own_page(pool), COUNTER_BACKEND_FAILURES, 1);
	if (failure->kind == BACKEND_UNREACHABLE)
		backend_names_forget(pool->options.names, backend->number);
	if (too_many)
		backend->crowded_until_us = clock_monotonic_us(pool->options.clock) + CROWDED_PAUSE_US;
	else if (waiter != NULL && backend_failure_skips(failure->kind))
		health_failed(pool->options.health, backend->number);
	pooled_free(pooled);
	if (waiter != NULL && !too_many)
		refuse(waiter, failure);
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
	pool->pump = evtimer_new(options->base, on_pump, pool);
	pool->poll = evtimer_new(options->base, on_pump, pool);
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
	if (backend_config(backend)->protocol == BACKEND_MAILDIR || count_working(backend) > 0)
		return;
	if (!health_capabilities(pool->options.health, number, &set) && claim(backend))
		open_or_resolve(backend);
}

struct backend_client *
pool_borrow(struct pool *pool, unsigned number, bool fresh, struct record *record, const struct pool_borrower *borrower, void *context,
    struct pool_waiter **handle)
{
	struct pool_backend *backend = &pool->backends[number];
	ASSERT(number < pool->options.config->backend_count && backend_config(backend)->protocol != BACKEND_MAILDIR);
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
	start_timer(waiter->timer, pool->options.config->timeouts.backend_wait);
	TAILQ_INSERT_TAIL(&backend->waiters, waiter, next);
	backend->waiter_count++;
	shared_gauge_add(own_page(pool), GAUGE_BACKEND_WAITING, 1);
	*handle = waiter;
	pump_soon(pool);
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
	bool yields = wanted && must_yield(pooled->backend);
	if (yields || is_worn(pooled) || (!wanted && pool->options.config->pool.idle_ms == 0))
		pooled_quit(pooled);
	if (wanted)
		pump_soon(pool);
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
	if (is_worn(pooled) || pooled->backend->waiter_count > 0 || is_wanted_elsewhere(pooled->backend))
		return false;
	move(pooled, POOLED_HELD);
	sweep_later(pool);
	return true;
}

void
pool_unhold(struct pool *pool, struct backend_client *client)
{
	struct pooled *pooled = backend_client_keeper(client);
	ASSERT(pooled->backend->pool == pool);
	if (pooled->state == POOLED_HELD)
		move(pooled, POOLED_LENT);
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
