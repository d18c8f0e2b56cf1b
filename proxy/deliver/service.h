/* What deliver does for proxies, without the process around it: takes their channels, answers store, quarantine, poison and ledger requests. */
#ifndef POSTERN_DELIVER_SERVICE_H
#define POSTERN_DELIVER_SERVICE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "deliver/ledger.h"
#include "deliver/maildir.h"
#include "wire/shared_memory.h"

struct deliver_service;

struct deliver_service_options {
	struct event_base *base;
	struct maildir *const *maildirs; /* by backend number of the configuration; NULL = not a Maildir */
	size_t maildir_count;
	struct maildir *quarantine; /* NULL = none is configured */
	int poison; /* the directory (deliver/poison.h), which stays the caller's; -1 = none */
	struct ledger *ledger; /* NULL = does not work */
	const struct clock *clock;
	struct shared_page *page; /* counters; may be NULL */
	void (*on_idle)(void *context); /* the last peer has gone; may be NULL */
	void *context;
};

/* All in options must outlive the service. */
struct deliver_service *deliver_service_new(const struct deliver_service_options *options);
/* Gives each peer's answers up to a tenth of a second to leave. */
void deliver_service_free(struct deliver_service **service);
/* A proxy; takes the descriptor. */
void deliver_service_add_peer(struct deliver_service *service, int descriptor);
size_t deliver_service_peers(const struct deliver_service *service);
/* The ledger works after all (it was NULL). */
void deliver_service_set_ledger(struct deliver_service *service, struct ledger *ledger);
/* Removes expired entries and publishes how many are left. */
void deliver_service_tick(struct deliver_service *service);

#endif
