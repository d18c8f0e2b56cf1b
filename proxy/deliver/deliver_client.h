/* The proxy's side of `deliver`: durable writing of mail, and the ledger of mixed outcomes. All calls are asynchronous; each
 * callback comes exactly once unless cancelled, never from inside the call. When deliver dies, what was under way is answered
 * with DELIVER_LOST and later calls wait (bounded by their deadline) for the next deliver. */
#ifndef POSTERN_DELIVER_DELIVER_CLIENT_H
#define POSTERN_DELIVER_DELIVER_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "wire/message_store.h"
#include "wire/shared_memory.h"
#include "mail/envelope.h"
#include "mail/reply.h"
#include "mail/view.h"

struct deliver_client;

enum deliver_status {
	DELIVER_DONE,
	DELIVER_LOST, /* deliver died or never came: outcome unknown, nothing promised */
};

struct deliver_client *deliver_client_new(struct event_base *base);
void deliver_client_free(struct deliver_client **client);
/* A (new) deliver process is there; takes the descriptor. */
void deliver_client_connect(struct deliver_client *client, int descriptor);

/* Writes the view into the Maildir of each recipient under backend number `backend` of the configuration, fsynced. Recipients with the
 * same Maildir get one copy and the same reply. replies: one per recipient, 250 or 4xx/5xx. The view may be freed after the call.
 * What deliver has not begun when the time is over it leaves undone. */
typedef void deliver_store_callback(void *context, enum deliver_status status, const struct reply *replies, size_t count);
uint64_t deliver_client_store(struct deliver_client *client, unsigned backend, const char *queue_id, const struct view *view,
    const struct envelope *envelope, int64_t timeout_ms, deliver_store_callback *callback, void *context);

/* Puts the message, byte for byte as it was received, into the Maildir of the option `quarantine`, behind X-Postern-* fields with queue ID,
 * envelope, client (family 0: unknown), reason and time (deliver/quarantine.h). reply: 250 when that is on the disk, else 4xx; NULL with
 * DELIVER_LOST. The message may be freed after the call. What deliver has not begun when the time is over it leaves undone. */
typedef void deliver_quarantine_callback(void *context, enum deliver_status status, const struct reply *reply);
uint64_t deliver_client_quarantine(struct deliver_client *client, const char *queue_id, struct message_store *message,
    const struct envelope *envelope, const struct ip_address *address, const char *reason, int64_t timeout_ms,
    deliver_quarantine_callback *callback, void *context);

/* Keeps a message that killed those who judged it for the administrator: poison/QUEUEID.eml below data_directory, and why in QUEUEID.txt.
 * Nothing is promised and nothing answered; the oldest make room for the newest (deliver/poison.h). */
void deliver_client_poison(struct deliver_client *client, const char *queue_id, struct message_store *message, const char *why);

/* Ledger. A key is SHA-256 over sender, recipient, body and all headers but trace headers; the address key is SHA-256 over sender and
 * recipient alone and serves at RCPT, before the message is known. */
#define LEDGER_KEY_SIZE 32
enum ledger_outcome { LEDGER_NONE = 0, LEDGER_DELIVERED, LEDGER_REFUSED, LEDGER_DEFERRED };
struct ledger_entry {
	uint8_t address_key[LEDGER_KEY_SIZE];
	uint8_t message_key[LEDGER_KEY_SIZE];
	enum ledger_outcome outcome;
	struct reply reply; /* what the backend said (mapped for the client) */
	char queue_id[SHARED_QUEUE_ID_SIZE];
};
/* Makes the entry's keys. `message_hash` is ledger_message_hash's result. */
void ledger_make_keys(const char *sender, const char *recipient, const uint8_t *message_hash, struct ledger_entry *entry);

/* Looks up by address key (message_key NULL) or by both; entries come newest first, at most 16. status LOST = ledger unavailable. */
typedef void deliver_lookup_callback(void *context, enum deliver_status status, const struct ledger_entry *entries, size_t count);
uint64_t deliver_client_ledger_lookup(struct deliver_client *client, const uint8_t *address_key, const uint8_t *message_key,
    int64_t timeout_ms, deliver_lookup_callback *callback, void *context);
/* Records outcomes, fsynced before the callback. ok=false: not recorded. */
typedef void deliver_recorded_callback(void *context, bool ok);
uint64_t deliver_client_ledger_record(struct deliver_client *client, const struct ledger_entry *entries, size_t count,
    int64_t timeout_ms, deliver_recorded_callback *callback, void *context);
void deliver_client_cancel(struct deliver_client *client, uint64_t id);
/* True when there is a channel to a deliver process, which may still be starting, and it has not said that its ledger does not work. */
bool deliver_client_is_connected(const struct deliver_client *client);
/* True once this deliver process has introduced itself: its gauge of ledger entries can be believed from then on. */
bool deliver_client_is_introduced(const struct deliver_client *client);

#endif
