/* What the files of relay/ share: the parts of a relay. Not for other floors. */
#ifndef POSTERN_RELAY_RELAY_PARTS_H
#define POSTERN_RELAY_RELAY_PARTS_H

#include "base/buffer.h"
#include "relay/backend_names.h"
#include "relay/health.h"
#include "relay/pool.h"
#include "relay/recipient_cache.h"
#include "relay/relay.h"
#include "relay/route.h"

#define RELAY_BLOCK_SIZE (64u << 10) /* bytes of a message on their way to a backend at one time */
#define RELAY_CACHE_ENTRIES 16384
#define RELAY_LEDGER_TIMEOUT_MS 5000

struct relay {
	struct relay_options options;
	struct shared_page *page;
	struct health health;
	struct route_table *routes;
	struct backend_names *names;
	struct pool *pool;
	struct recipient_cache *cache;
	struct event *learn_timer;
	int64_t *alarmed_us; /* per backend: when its last alarm was logged */
	size_t deliveries; /* alive */
	char *block; /* scratch of RELAY_BLOCK_SIZE, free between callbacks */
	struct buffer stuffed; /* scratch */
};

/* One alarm per backend and minute: the same thing goes wrong for every message. */
void relay_alarm(struct relay *relay, unsigned backend, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Can the ledger be asked at all? */
bool relay_ledger_available(const struct relay *relay);

#endif
