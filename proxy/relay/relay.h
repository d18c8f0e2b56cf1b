/* Towards the mail server: routes, health, pooled connections, recipient checks, delivery (design section 4, steps 4-11).
 * Front gives a delivery an envelope and later a view; relay answers with replies that are ready for the client. */
#ifndef POSTERN_RELAY_RELAY_H
#define POSTERN_RELAY_RELAY_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/config.h"
#include "deliver/deliver_client.h"
#include "dns/resolver.h"
#include "journal/record.h"
#include "mail/envelope.h"
#include "mail/reply.h"
#include "mail/view.h"
#include "wire/shared_memory.h"

struct relay;

struct relay_options {
	struct event_base *base;
	const struct config *config;
	const struct clock *clock;
	struct resolver *resolver;
	struct deliver_client *deliver;
	struct shared_memory *shared;
	unsigned slot; /* our page */
};

/* All in options must outlive the relay. Asks each backend for its capabilities once at start. */
struct relay *relay_new(const struct relay_options *options);
/* Closes all connections (QUIT where idle). No delivery may be left. */
void relay_free(struct relay **relay);

/* What EHLO may offer now: the intersection over all backends as last learned by any proxy; unknown counts as PIPELINING, 8BITMIME,
 * ENHANCEDSTATUSCODES, CHUNKING, SIZE. maildir: can take everything. */
struct relay_offer {
	unsigned capabilities; /* CAPABILITY_* bits */
	uint64_t size; /* the smallest of message_size and the backends' SIZE less 64 KiB */
};
void relay_get_offer(struct relay *relay, struct relay_offer *offer);

/* The route (group of backends that serve a domain) for a lower-case recipient domain; -1 = none. Bare postmaster: pass the domain of
 * config->postmaster. Recipients with different routes cannot share a transaction. */
int relay_route_find(const struct relay *relay, const char *domain);
/* How a Return-Path stamp is to be made for this route: true = stamp it. */
bool relay_route_stamps_return_path(const struct relay *relay, int route);

/* May the ledger know an earlier outcome? Then delivery_send needs the message's hash, for a single recipient too. */
bool relay_ledger_has_entries(const struct relay *relay);

struct delivery; /* one transaction's way to the backend */

struct delivery_result {
	struct reply reply; /* for the client, without queue ID text: front adds it */
	const char *backend; /* "10.0.0.5:24", or NULL when none was reached; valid during the call */
	struct reply backend_reply; /* as the backend said it (the last one for LMTP); code 0 = none */
	const struct reply *recipient_replies; /* one per recipient of the envelope, for the client */
	bool delivered; /* at least one recipient was taken by the backend */
};

struct delivery_callbacks {
	/* Answer to delivery_check_recipient, when that returned false. reply is for the client. */
	void (*on_recipient)(void *context, size_t index, const struct reply *reply);
	/* The one answer to delivery_send. */
	void (*on_done)(void *context, const struct delivery_result *result);
	/* Asked directly before our final dot (last BDAT chunk) goes out: client still there and enough budget? */
	bool (*may_finish)(void *context);
};

/* The envelope and the record are borrowed and must outlive the delivery; recipients are checked one at a time and each is in the
 * envelope (last) while it is checked; front removes refused ones after the answer.
 * Callbacks never come from inside a call of this interface, but for delivery_check_recipient's direct answer. */
struct delivery *delivery_new(struct relay *relay, int route, const struct envelope *envelope, struct record *record, const char *queue_id,
    const struct delivery_callbacks *callbacks, void *context);
/* Checks envelope->recipients[index] (always the last one). True: *reply has the answer already (cache, maildir). */
bool delivery_check_recipient(struct delivery *delivery, size_t index, struct reply *reply);
/* Sends the message to the backend. in_flight: index in our page's in-flight table or -1; relay sets FINAL_DOT and DELIVERED there.
 * message_hash: for the ledger: 32 bytes over body and headers but trace headers; NULL with one recipient and
 * nothing in the ledger. deadline_us: monotonic, end of the budget. */
void delivery_send(struct delivery *delivery, const struct view *view, int in_flight, const uint8_t *message_hash, int64_t deadline_us);
/* Ends it at any time: connection is returned (after RSET) or, if something of a message was on the way, closed. */
void delivery_free(struct delivery **delivery);

#endif
