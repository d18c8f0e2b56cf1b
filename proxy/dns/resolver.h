/* Questions to DNS, asynchronous, cached, each with a deadline (libunbound's event API on our loop). */
#ifndef POSTERN_DNS_RESOLVER_H
#define POSTERN_DNS_RESOLVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "dns/answer.h"
#include "wire/shared_memory.h"

/* Descriptors a resolver may hold. */
#define RESOLVER_UDP_SOCKETS 2048
#define RESOLVER_TCP_SOCKETS 16

struct resolver;

struct resolver_options {
	const char *const *servers; /* "address" or "address@port" */
	size_t server_count; /* 0 = those of resolv_conf_text */
	const char *resolv_conf_text; /* /etc/resolv.conf, may be "" */
	const char *hosts_text; /* /etc/hosts, may be "" */
	int64_t timeout_ms; /* per question */
	uint64_t cache_bytes;
	struct shared_page *page; /* counters; may be NULL */
};

/* NULL with a message logged when libunbound refuses. */
struct resolver *resolver_new(struct event_base *base, const struct resolver_options *options);
void resolver_free(struct resolver **resolver);

/* Called exactly once per question, unless cancelled; never from inside resolver_ask (a cached answer comes in the next loop turn).
 * The answer is the callee's to read during the call; dns_answer_copy keeps it. */
typedef void resolver_callback(void *context, const struct dns_answer *answer);

/* Asks; `name` without or with final dot. Returns an id for resolver_cancel, never 0. Malformed names give DNS_STATUS_MALFORMED. */
uint64_t resolver_ask(struct resolver *resolver, const char *name, uint16_t type, resolver_callback *callback, void *context);
void resolver_cancel(struct resolver *resolver, uint64_t id);
size_t resolver_pending(const struct resolver *resolver);

/* Addresses of a host: literals at once, then the hosts file, then AAAA and A together. The callback gets 0..16 addresses (AAAA and A
 * alternating, IPv6 first) and the status of the whole (DNS_STATUS_OK with count 0 = name has none). Never called from inside. */
typedef void resolver_addresses_callback(void *context, enum dns_status status, const struct ip_address *addresses, size_t count);
uint64_t resolver_ask_addresses(struct resolver *resolver, const char *host, resolver_addresses_callback *callback, void *context);

/* Forward-confirmed reverse DNS (RFC 8601 iprev): PTR (first 10 names), then A or AAAA of each; the first name that leads back. The callback gets the
 * confirmed name ("" when none) and what happened. Cancel with resolver_cancel. */
enum reverse_status {
	REVERSE_CONFIRMED,
	REVERSE_NONE, /* no PTR */
	REVERSE_MISMATCH, /* PTR, but none leads back */
	REVERSE_TEMPERROR, /* DNS failed or was too slow */
};
const char *reverse_status_text(enum reverse_status status); /* "pass", "none" -> words of RFC 8601: pass, permerror, fail, temperror */
typedef void resolver_reverse_callback(void *context, enum reverse_status status, const char *name);
uint64_t resolver_ask_reverse(struct resolver *resolver, const struct ip_address *address, resolver_reverse_callback *callback, void *context);

#endif
