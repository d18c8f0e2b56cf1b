/* Sets up libunbound: forwarders, limits, no built-in answers in our way, and everything opened before the sandbox closes.
 * Asks nobody anything over the network. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/log.h"
#include "base/network.h"
#include "dns/task.h"

#define TEXT(number) #number
#define TEXT_OF(number) TEXT(number)

struct option {
	const char *name;
	const char *value;
};

static const struct option options_fixed[] = {
	/* A resolver on our own host is the usual set-up. */
	{"do-not-query-localhost:", "no"},
	/* Addresses of private and documentation ranges, and these names, are for the configured servers to answer, not for tables in
	 * the library: internal networks have PTR records for their own addresses. Only "localhost." stays built in (RFC 6761 6.3).
	 * Transparent, since the library ignores "nodefault" when it comes through its option call. */
	{"unblock-lan-zones:", "yes"},
	{"insecure-lan-zones:", "yes"},
	{"local-zone:", "test. transparent"},
	{"local-zone:", "invalid. transparent"},
	{"local-zone:", "onion. transparent"},
	{"local-zone:", "home.arpa. transparent"},
	{"local-zone:", "127.in-addr.arpa. transparent"},
	{"local-zone:", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. transparent"},
	/* One thread: one slab each. */
	{"msg-cache-slabs:", "1"},
	{"rrset-cache-slabs:", "1"},
	{"infra-cache-slabs:", "1"},
	{"key-cache-slabs:", "1"},
	/* Sockets for UDP, as many as questions are handed over at once (dns/share.h): none waits inside the library. */
	{"outgoing-range:", TEXT_OF(RESOLVER_UDP_SOCKETS)},
	{"num-queries-per-thread:", "4096"},
	{"outgoing-num-tcp:", TEXT_OF(RESOLVER_TCP_SOCKETS)},
	/* A near server teaches the library a round trip of 50 ms; five tries are then over in a second, and one second of a busy server
	 * loses questions. Our own deadline bounds the tries. */
	{"outbound-msg-retry:", "16"},
	/* A server that was down is asked again soon, not after a quarter of an hour. */
	{"infra-host-ttl:", "60"},
	{"infra-keep-probing:", "yes"},
	/* DNS flag day 2020: never depend on fragments. */
	{"edns-buffer-size:", "1232"},
};

static bool
option_set(struct ub_ctx *context, const char *name, const char *value)
{
	int error = ub_ctx_set_option(context, (char *)name, (char *)value);
	if (error != 0)
		log_error("dns: libunbound refuses %s %s: %s", name, value, ub_strerror(error));
	return error == 0;
}

static bool
options_set(struct ub_ctx *context, uint64_t cache_bytes)
{
	char value[32];

	for (size_t i = 0; i < sizeof options_fixed / sizeof options_fixed[0]; i++)
		if (!option_set(context, options_fixed[i].name, options_fixed[i].value))
			return false;
	/* The library's manual: twice as much for record sets as for messages. */
	snprintf(value, sizeof value, "%llu", (unsigned long long)(cache_bytes / 3));
	if (!option_set(context, "msg-cache-size:", value))
		return false;
	snprintf(value, sizeof value, "%llu", (unsigned long long)(cache_bytes / 3 * 2));
	return option_set(context, "rrset-cache-size:", value);
}

static bool
port_is_valid(const char *text)
{
	size_t length = strspn(text, "0123456789");
	long port = length > 0 && length < 6 ? atol(text) : 0;
	return text[length] == '\0' && port >= 1 && port <= 65535;
}

static bool
server_add(struct ub_ctx *context, const char *server)
{
	struct ip_address address;
	char text[IP_ADDRESS_TEXT_SIZE];
	size_t length = strcspn(server, "@");

	if (length < sizeof text) {
		memcpy(text, server, length);
		text[length] = '\0';
	}
	/* The library takes any number for a port. */
	if (length >= sizeof text || !ip_address_parse(text, &address) || (server[length] == '@' && !port_is_valid(server + length + 1))) {
		log_error("dns: server is not \"address\" or \"address@port\"");
		return false;
	}
	int error = ub_ctx_set_fwd(context, server);
	if (error != 0)
		log_error("dns: libunbound refuses the server %s: %s", text, ub_strerror(error));
	return error == 0;
}

static bool
servers_add(struct ub_ctx *context, const struct resolver_options *options)
{
	for (size_t i = 0; i < options->server_count; i++)
		if (!server_add(context, options->servers[i]))
			return false;
	if (options->server_count > 0)
		return true;

	struct ip_address servers[NAMESERVERS_MAX];
	size_t count = resolv_conf_servers(options->resolv_conf_text, servers, NAMESERVERS_MAX);
	for (size_t i = 0; i < count; i++) {
		char text[IP_ADDRESS_TEXT_SIZE];
		if (!server_add(context, ip_address_format(&servers[i], text)))
			return false;
	}
	if (count == 0)
		log_info("dns: no servers are configured, asking from the root down");
	return true;
}

static void
warm_up_done(void *context, int rcode, void *packet, int length, int security, char *why_bogus, int was_ratelimited)
{
	(void)packet, (void)length, (void)security, (void)why_bogus, (void)was_ratelimited;
	*(int *)context = rcode;
}

/* The first question makes the library finish its set-up (modules, caches, random numbers), which opens files: ask for a name that it
 * answers from its own table, inside the call. */
static bool
warm_up(struct ub_ctx *context)
{
	int rcode = -1, id = 0;
	int error = ub_resolve_event(context, "localhost.", DNS_TYPE_A, 1, &rcode, warm_up_done, &id);
	if (error != 0 || rcode != 0)
		log_error("dns: libunbound does not start: %s", error != 0 ? ub_strerror(error) : "no answer for localhost");
	return error == 0 && rcode == 0;
}

struct ub_ctx *
resolver_context_new(struct event_base *base, const struct resolver_options *options)
{
	struct ub_ctx *context = ub_ctx_create_event(base);
	if (context == NULL) {
		log_error("dns: libunbound cannot be set up");
		return NULL;
	}
	/* Its messages have no role and no context, and would go to standard error unasked. */
	ub_ctx_debugout(context, NULL);
	if (!options_set(context, options->cache_bytes) || !servers_add(context, options) || !warm_up(context)) {
		ub_ctx_delete(context);
		return NULL;
	}
	return context;
}
