/* Which backends are worth a try, as all proxies together know it. Each proxy writes its own page in shared memory; the newest
 * word of any of them counts. A backend that failed is left alone for timeouts.backend_retry; then one connection tries it. */
#ifndef POSTERN_RELAY_HEALTH_H
#define POSTERN_RELAY_HEALTH_H

#include <stdbool.h>

#include "base/clock.h"
#include "conf/config.h"
#include "relay/capabilities.h"
#include "wire/shared_memory.h"

struct health {
	const struct config *config;
	const struct clock *clock;
	struct shared_memory *shared;
	unsigned slot; /* our page */
};

/* Writes into our page which backends we mean, so that proxies of another generation, whose configuration may number them otherwise,
 * share what is known and counted. */
void health_start(const struct health *health);

enum health_state {
	HEALTH_GOOD, /* answers, or nothing is known */
	HEALTH_SKIP, /* failed a moment ago */
	HEALTH_PROBE, /* failed, and its time is over: the next connection is the probe */
};

enum health_state health_look(const struct health *health, unsigned backend);
/* We make the probe: until it ended, nobody else does. */
void health_claim_probe(const struct health *health, unsigned backend);
void health_failed(const struct health *health, unsigned backend);
/* It greeted us and told what it can. */
void health_learned(const struct health *health, unsigned backend, const struct capability_set *set);
/* What was last learned by any proxy. False: nothing yet. */
bool health_capabilities(const struct health *health, unsigned backend, struct capability_set *set);

/* Connections of all proxies to this backend. */
unsigned health_open_connections(const struct health *health, unsigned backend);
/* One more of ours, if that keeps the total within max_connections. */
bool health_claim_connection(const struct health *health, unsigned backend);
/* Other proxies in which somebody waits for a backend connection (whichever). */
unsigned health_rivals(const struct health *health);
void health_release_connection(const struct health *health, unsigned backend);

#endif
