/* The life of a proxy process: set up what needs files, shut the sandbox, serve, drain, leave. */
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "conf/child_config.h"
#include "front/front.h"
#include "front/listener.h"
#include "front/proxy.h"
#include "wire/child.h"

#define JOURNAL_DRAIN_MS 2000

struct proxy {
	struct child_setup setup;
	struct config *config;
	struct child *child;
	struct deliver_client *deliver;
	struct front front;
	struct listener *listeners[32];
	unsigned listener_count;
	struct event *drain_deadline;
};

static void
leave_when_empty(void *context)
{
	struct proxy *proxy = context;

	if (proxy->front.draining && id_map_count(proxy->front.sessions) == 0)
		event_base_loopexit(proxy->front.base, NULL);
}

static void
on_drain_deadline(evutil_socket_t descriptor, short what, void *context)
{
	struct proxy *proxy = context;

	(void)descriptor;
	(void)what;
	front_drain(&proxy->front, true);
}

static void
on_drain(void *context)
{
	struct proxy *proxy = context;
	int64_t limit_ms = proxy->config->timeouts.drain;
	struct timeval limit = {limit_ms / 1000, limit_ms % 1000 * 1000};

	log_info("draining %zu sessions", id_map_count(proxy->front.sessions));
	for (unsigned i = 0; i < proxy->listener_count; i++)
		listener_free(&proxy->listeners[i]);
	proxy->listener_count = 0;
	evtimer_add(proxy->drain_deadline, &limit);
	front_drain(&proxy->front, false);
	leave_when_empty(proxy);
}

static void
on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	struct proxy *proxy = context;

	if (role == ROLE_DELIVER)
		deliver_client_connect(proxy->deliver, descriptor);
	else if (role == ROLE_JOURNAL)
		journal_client_connect(proxy->front.journal, descriptor);
	else
		chain_connect_worker(proxy->front.chain, role, slot, generation, descriptor);
}

static void
kill_worker(void *context, enum role role, unsigned slot, uint32_t generation)
{
	struct proxy *proxy = context;

	child_kill_worker(proxy->child, role, slot, generation);
}

static struct resolver *
make_resolver(struct proxy *proxy)
{
	const struct config *config = proxy->config;
	struct resolver_options options = {
		.servers = (const char *const *)config->dns_servers.items,
		.server_count = config->dns_servers.count,
		.resolv_conf_text = proxy->setup.resolv_conf_text,
		.hosts_text = proxy->setup.hosts_text,
		.timeout_ms = config->dns_timeout_ms,
		.cache_bytes = config->dns_cache_bytes,
		.page = proxy->front.page,
	};
	struct resolver *resolver = resolver_new(proxy->front.base, &options);

	if (resolver == NULL)
		fatal("cannot start the DNS resolver");
	return resolver;
}

static struct chain *
make_chain(struct proxy *proxy)
{
	const struct front *front = &proxy->front;
	struct chain_options options = {
		.base = front->base,
		.config = proxy->config,
		.clock = front->clock,
		.resolver = front->resolver,
		.deliver = proxy->deliver,
		.shared = front->shared,
		.slot = front->slot,
		.generation = proxy->setup.generation,
		.kill_worker = kill_worker,
		.context = proxy,
	};

	return chain_new(&options);
}

static uint32_t
random_instance(void)
{
	uint32_t instance;

	if (getrandom(&instance, sizeof instance, 0) != sizeof instance)
		fatal("no random bytes from the kernel");
	return instance;
}

/* What needs files or may read them at its start. */
static void
open_everything(struct proxy *proxy)
{
	struct front *front = &proxy->front;

	front->base = event_base_new();
	if (front->base == NULL)
		fatal("cannot make an event loop");
	front->config = proxy->config;
	front->clock = clock_system();
	front->shared = proxy->setup.shared;
	front->slot = proxy->setup.slot;
	front->page = shared_memory_page(front->shared, front->slot);
	front->on_session_ended = leave_when_empty;
	front->context = proxy;
	front->store = (struct message_store_options){
		.shared = front->shared,
		.page = front->page,
		.memory_limit = proxy->config->limits.message_memory,
		.spool_limit = proxy->config->limits.spool_size,
	};
	queue_id_source_init(&front->ids, front->clock, random_instance());
	front->journal = journal_client_new(front->base, front->page);
	proxy->deliver = deliver_client_new(front->base);
	front->resolver = make_resolver(proxy);
	front->deliver = proxy->deliver;
	front->chain = make_chain(proxy);
	front_init(front);
	proxy->drain_deadline = evtimer_new(front->base, on_drain_deadline, proxy);
}

static const char *
enter_sandbox(const struct proxy *proxy)
{
	struct sandbox_options options = {
		.profile = SANDBOX_PROXY,
		.role = "proxy",
		.log_only = proxy->setup.sandbox_log_only,
		.user = proxy->setup.user,
		.chroot_directory = proxy->setup.chroot_directory,
	};

	return sandbox_enter(&options);
}

static void
start_serving(struct proxy *proxy, const char *sandbox)
{
	static const struct child_callbacks callbacks = {.on_drain = on_drain, .on_peer = on_peer};
	struct front *front = &proxy->front;
	struct relay_options relay = {
		.base = front->base,
		.config = proxy->config,
		.clock = front->clock,
		.resolver = front->resolver,
		.deliver = proxy->deliver,
		.shared = front->shared,
		.slot = front->slot,
	};

	front->relay = relay_new(&relay);
	for (unsigned i = 0; i < proxy->setup.peer_count; i++) {
		const struct child_peer *peer = &proxy->setup.peers[i];

		on_peer(proxy, peer->role, peer->slot, peer->generation, peer->descriptor);
	}
	log_set_emitter(journal_client_log_line, front->journal);
	for (unsigned i = 0; i < proxy->setup.listener_count; i++)
		if (proxy->setup.listeners[i] >= 0)
			proxy->listeners[proxy->listener_count++] = listener_new(front, proxy->setup.listeners[i]);
	proxy->child = child_new(front->base, &callbacks, proxy);
	front->store.spool = child_spool_source(proxy->child);
	child_ready(proxy->child, sandbox);
}

static void
close_everything(struct proxy *proxy)
{
	struct front *front = &proxy->front;

	event_free(proxy->drain_deadline);
	relay_free(&front->relay);
	front_clear(front);
	chain_free(&front->chain);
	resolver_free(&front->resolver);
	deliver_client_free(&proxy->deliver);
	journal_client_drain(front->journal, JOURNAL_DRAIN_MS);
	log_set_emitter(NULL, NULL);
	journal_client_free(&front->journal);
	child_free(&proxy->child);
	event_base_free(front->base);
	config_free(&proxy->config);
}

int
proxy_process(void)
{
	struct proxy *proxy = memory_new(sizeof *proxy);

	child_receive_setup(&proxy->setup);
	log_set_role("proxy", (int)proxy->setup.index);
	proxy->config = child_config_load(proxy->setup.config_name, proxy->setup.config_text);
	open_everything(proxy);
	start_serving(proxy, enter_sandbox(proxy));
	event_base_dispatch(proxy->front.base);
	close_everything(proxy);
	memory_free(&proxy);
	return EXIT_SUCCESS;
}
