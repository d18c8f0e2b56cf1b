/* What pool.c and pool_line.c share. Not for others (they use pool.h). */
#ifndef POSTERN_RELAY_POOL_PARTS_H
#define POSTERN_RELAY_POOL_PARTS_H

#include <sys/queue.h>

#include "relay/pool.h"

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

/* pool.c */
void pool_start_timer(struct event *event, int64_t ms); /* unless it runs */
void pool_pump_soon(struct pool *pool);
struct shared_page *pool_own_page(const struct pool *pool);
const struct config_backend *pool_backend_config(const struct pool_backend *backend);
/* Connections that work or soon may: somebody will give one back. */
unsigned pool_count_working(const struct pool_backend *backend);
void pooled_move(struct pooled *pooled, enum pooled_state state);
void pooled_part_waiter(struct pooled *pooled);
void pooled_quit(struct pooled *pooled);
/* Counts one connection more, over all proxies. */
bool pool_claim(struct pool_backend *backend);
/* Opens the one that was claimed. */
void pool_open(struct pool_backend *backend);

/* pool_line.c */
void pool_pump(struct pool_backend *backend);
void pool_on_pump(evutil_socket_t descriptor, short what, void *pool);
void pool_assign_openings(struct pool_backend *backend);
void pool_refuse(struct pool_waiter *waiter, const struct backend_failure *failure);
void pool_refuse_all(struct pool_backend *backend, enum backend_failure_kind kind);
bool pool_reclaim(struct pool_backend *backend);
bool pool_is_wanted_elsewhere(const struct pool_backend *backend);
bool pool_must_yield(struct pool_backend *backend);

#endif
