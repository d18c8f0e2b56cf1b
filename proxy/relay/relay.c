/* The relay as a whole: makes and frees its parts, answers what EHLO may offer. */
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "relay/capabilities.h"
#include "relay/relay_parts.h"

#define ALARM_INTERVAL_US (60 * 1000000ll)
#define STAMPS_ROOM (64u << 10) /* bytes we may add to a message */

/* What we offer whatever the backends can: pipelining and chunks end here, enhanced codes are ours, SIZE is our own limit. */
#define CAPABILITIES_OURS (CAPABILITY_PIPELINING | CAPABILITY_SIZE | CAPABILITY_ENHANCEDSTATUSCODES | CAPABILITY_CHUNKING)
/* What a message may need of its backend. */
#define CAPABILITIES_PASSED_ON (CAPABILITY_8BITMIME | CAPABILITY_SMTPUTF8 | CAPABILITY_DSN)
/* Until a backend has been heard. */
#define CAPABILITIES_UNKNOWN CAPABILITY_8BITMIME

static void
learn_all(struct relay *relay)
{
	struct timeval again = {
		.tv_sec = relay->options.config->timeouts.backend_retry / 1000,
		.tv_usec = relay->options.config->timeouts.backend_retry % 1000 * 1000 + 1,
	};
	bool all_known = true;
	for (unsigned i = 0; i < relay->options.config->backend_count; i++) {
		struct capability_set set;
		if (relay->options.config->backends[i].protocol == BACKEND_MAILDIR || health_capabilities(&relay->health, i, &set))
			continue;
		all_known = false;
		pool_learn(relay->pool, i);
	}
	if (!all_known)
		evtimer_add(relay->learn_timer, &again);
}

static void
on_learn_timer(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	learn_all(context);
}

struct relay *
relay_new(const struct relay_options *options)
{
	struct relay *relay = memory_new(sizeof *relay);
	const struct config *config = options->config;
	ASSERT(config->backend_count <= SHARED_BACKENDS);
	relay->options = *options;
	relay->page = shared_memory_page(options->shared, options->slot);
	relay->health = (struct health){config, options->clock, options->shared, options->slot};
	health_start(&relay->health);
	relay->routes = route_table_new(config);
	relay->names = backend_names_new(config, options->clock, options->resolver);
	struct pool_options pool = {
		.base = options->base, .config = config, .clock = options->clock, .names = relay->names, .health = &relay->health};
	relay->pool = pool_new(&pool);
	relay->cache = recipient_cache_new(options->clock, config->recipient_cache_ms, RELAY_CACHE_ENTRIES);
	relay->alarmed_us = memory_new_array(config->backend_count, sizeof *relay->alarmed_us);
	relay->block = memory_new(RELAY_BLOCK_SIZE);
	relay->learn_timer = evtimer_new(options->base, on_learn_timer, relay);
	ASSERT(relay->learn_timer != NULL);
	learn_all(relay);
	return relay;
}

void
relay_free(struct relay **relay_address)
{
	struct relay *relay = *relay_address;
	if (relay == NULL)
		return;
	ASSERT(relay->deliveries == 0);
	event_free(relay->learn_timer);
	pool_free(&relay->pool);
	backend_names_free(&relay->names);
	route_table_free(&relay->routes);
	recipient_cache_free(&relay->cache);
	buffer_free(&relay->stuffed);
	memory_free(&relay->block);
	memory_free(&relay->alarmed_us);
	memory_free(relay_address);
}

/* What is left of a backend's SIZE for the client. */
static uint64_t
size_for_client(uint64_t size)
{
	return size > 2 * STAMPS_ROOM ? size - STAMPS_ROOM : size / 2;
}

void
relay_get_offer(struct relay *relay, struct relay_offer *offer)
{
	unsigned common = CAPABILITIES_PASSED_ON;
	offer->size = relay->options.config->limits.message_size;
	for (unsigned i = 0; i < relay->options.config->backend_count; i++) {
		struct capability_set set = {.bits = CAPABILITIES_UNKNOWN};
		if (relay->options.config->backends[i].protocol == BACKEND_MAILDIR)
			continue;
		health_capabilities(&relay->health, i, &set);
		common &= set.bits;
		if (set.size > 0 && size_for_client(set.size) < offer->size)
			offer->size = size_for_client(set.size);
	}
	offer->capabilities = CAPABILITIES_OURS | common;
}

int
relay_route_find(const struct relay *relay, const char *domain)
{
	return route_table_find(relay->routes, domain);
}

bool
relay_route_stamps_return_path(const struct relay *relay, int route)
{
	/* The message is made before it is known which backend takes it: the one that is tried first decides. */
	const struct route *backends = route_table_get(relay->routes, route);
	const struct config_backend *backend = &relay->options.config->backends[backends->backends[0]];
	if (backend->return_path == RETURN_PATH_AUTO)
		return backend->protocol == BACKEND_SMTP || backend->protocol == BACKEND_MAILDIR;
	return backend->return_path == RETURN_PATH_ALWAYS;
}

void
relay_alarm(struct relay *relay, unsigned backend, const char *format, ...)
{
	int64_t now_us = clock_monotonic_us(relay->options.clock);
	char text[1024];
	va_list arguments;
	if (relay->alarmed_us[backend] != 0 && now_us - relay->alarmed_us[backend] < ALARM_INTERVAL_US)
		return;
	relay->alarmed_us[backend] = now_us;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	char *escaped = escape_copy(text);
	log_alarm("backend=%s %s", backend_names_text(relay->names, backend), escaped);
	memory_free(&escaped);
}

bool
relay_ledger_available(const struct relay *relay)
{
	return relay->options.deliver != NULL && deliver_client_is_connected(relay->options.deliver);
}

bool
relay_ledger_has_entries(const struct relay *relay)
{
	/* A deliver that is just starting has not counted yet: ask, and wait for it. */
	return !deliver_client_is_introduced(relay->options.deliver) ||
	    shared_gauge_total(relay->options.shared, GAUGE_LEDGER_ENTRIES) > 0;
}
