/* Connections to the backends: opened, lent, taken back, kept for the next, retired. The total over all proxies stays within
 * each backend's max_connections; who finds none free waits in line for at most timeouts.backend_wait. */
#ifndef POSTERN_RELAY_POOL_H
#define POSTERN_RELAY_POOL_H

#include <event2/event.h>
#include <stdbool.h>

#include "conf/config.h"
#include "dns/resolver.h"
#include "journal/record.h"
#include "relay/backend_client.h"
#include "relay/backend_names.h"
#include "relay/health.h"

struct pool;
struct pool_waiter; /* a place in the line */

struct pool_options {
	struct event_base *base;
	const struct config *config;
	const struct clock *clock;
	struct backend_names *names;
	const struct health *health;
};

struct pool *pool_new(const struct pool_options *options);
/* All connections must have been returned. Idle ones get a QUIT. */
void pool_free(struct pool **pool);

/* Opens a connection to learn what the backend can, if no proxy of this generation knows it yet; it then stays in the pool. */
void pool_learn(struct pool *pool, unsigned backend);

struct pool_borrower {
	/* A connection came free or was opened. It is the borrower's until pool_return or pool_discard. */
	void (*on_client)(void *context, struct backend_client *client, bool reused);
	/* The end of the wait; the waiter is gone. */
	void (*on_refused)(void *context, const struct backend_failure *failure);
	/* While the connection is held (pool_hold): somebody waits for it; to be returned now. */
	void (*on_reclaim)(void *context);
	/* As of the client. */
	struct backend_client_callbacks client;
};

/* An idle connection at once, or NULL and a place in the line in *waiter. fresh: only a connection that nobody used before. `record` gets the
 * story of a connection opened for this waiter. Callbacks never come from inside. `borrower` must live as long as the loan. */
struct backend_client *pool_borrow(struct pool *pool, unsigned backend, bool fresh, struct record *record,
    const struct pool_borrower *borrower, void *context, struct pool_waiter **waiter);
void pool_cancel(struct pool *pool, struct pool_waiter **waiter);
/* Gives a connection back; a transaction under way is left with RSET. Closed instead when that cannot be done. */
void pool_return(struct pool *pool, struct backend_client **client);
/* Closes it: it failed, or something of a message is on the way. */
void pool_discard(struct pool *pool, struct backend_client **client);

/* The borrower does not need the connection right now, but would like to keep it: on_reclaim takes it away if somebody waits. False: it
 * is to be returned at once. */
bool pool_hold(struct pool *pool, struct backend_client *client);
void pool_unhold(struct pool *pool, struct backend_client *client);

bool pool_has_idle(const struct pool *pool, unsigned backend);
/* Own connections to the backend: idle, lent, opening, closing. */
unsigned pool_count(const struct pool *pool, unsigned backend);

#endif
