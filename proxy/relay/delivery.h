/* One transaction's way to the backend, as the files delivery*.c share it. Not for other floors (they use relay.h).
 *
 * delivery.c          life, the connection under way, failover
 * delivery_check.c    a recipient: ledger, cache, live check, holding the connection
 * delivery_send.c     the message: envelope, body, final dot, Maildir
 * delivery_outcome.c  what became of each recipient, the one reply, the ledger */
#ifndef POSTERN_RELAY_DELIVERY_H
#define POSTERN_RELAY_DELIVERY_H

#include "relay/relay_parts.h"

#define DELIVERY_MAGIC 0x444c5652u

#define DELIVERY_STATES(X) \
	X(DELIVERY_IDLE, "idle") /* nothing asked; a connection may be held */ \
	X(DELIVERY_CHECK_LEDGER, "recipient: asking the ledger") \
	X(DELIVERY_CHECK_CONNECT, "recipient: waiting for a connection") \
	X(DELIVERY_CHECK_REPLY, "recipient: asking the backend") \
	X(DELIVERY_SEND_BEGIN, "message: about to begin") \
	X(DELIVERY_SEND_LEDGER, "message: asking the ledger") \
	X(DELIVERY_SEND_CONNECT, "message: waiting for a connection") \
	X(DELIVERY_SEND_ENVELOPE, "message: sending the envelope") \
	X(DELIVERY_SEND_BODY, "message: sending the body") \
	X(DELIVERY_SEND_END, "message: final dot sent") \
	X(DELIVERY_SEND_STORE, "message: being stored") \
	X(DELIVERY_SEND_RECORD, "message: recording the outcomes") \
	X(DELIVERY_DONE, "done")

enum delivery_state {
#define X(name, text) name,
	DELIVERY_STATES(X)
#undef X
};

/* What became of one recipient. */
struct delivery_outcome {
	enum ledger_outcome outcome; /* LEDGER_NONE: not known yet */
	bool from_ledger;
	struct reply reply; /* for the client */
};

/* A question to the ledger about one recipient. */
struct delivery_lookup {
	struct delivery *delivery;
	size_t index;
	uint64_t id; /* 0 = none under way */
};

struct delivery {
	uint32_t magic;
	struct relay *relay;
	int route;
	const struct envelope *envelope;
	struct record *record;
	char queue_id[SHARED_QUEUE_ID_SIZE];
	const struct delivery_callbacks *callbacks;
	void *context;
	enum delivery_state state;

	/* The way to a backend, for one operation (a check, or the sending). */
	uint64_t tried; /* bit per backend that failed in this operation */
	bool fresh; /* the next connection must be a new one: a reused one had been hung up */
	bool failed; /* some backend failed, and might take it another time */
	bool lacks_utf8; /* some backend cannot take SMTPUTF8 mail */
	struct reply failure; /* what to answer when no backend is left */
	unsigned backend; /* the one under way */
	struct pool_waiter *waiter;
	struct backend_client *client;
	bool reused; /* the connection was used before: it may have gone stale */
	struct event *hold_timer;
	bool hold_over; /* the client is slow: no more holding in this transaction */

	/* What was said on the connection under way. */
	char *said_sender; /* MAIL, or NULL */
	char **said_recipients; /* accepted ones */
	size_t said_count;

	/* Check. */
	size_t checked;
	enum ledger_outcome ledger_class; /* of the recipients accepted so far */
	bool ledger_alone; /* the one accepted has outcomes of different kinds: no others beside it */
	struct delivery_lookup check_lookup;

	/* Sending. */
	const struct view *view;
	int in_flight;
	bool has_hash;
	uint8_t hash[LEDGER_KEY_SIZE];
	int64_t deadline_us;
	struct event *timer; /* start of sending, then the deadline */
	size_t count; /* recipients */
	struct delivery_outcome *outcomes;
	struct delivery_lookup *lookups;
	size_t lookups_open;
	bool ledger_lost;
	size_t *accepted; /* indexes, in the order the backend accepted them */
	size_t accepted_count;
	size_t replies_due; /* RCPT, then END_OF_DATA */
	struct reply mail_refusal; /* mapped */
	uint64_t sent; /* bytes of the view */
	bool at_line_start;
	uint64_t store_id, record_id;
	unsigned record_tries;
	bool delivered;
	bool unknown; /* the answer to the final dot was lost */
	const char *reached; /* name of the last backend that was ready for us, or NULL */
	struct reply backend_reply; /* as it was said */
	struct reply reply; /* the answer */
};

/* delivery.c */
void delivery_change_state(struct delivery *delivery, enum delivery_state state);
void delivery_note(struct delivery *delivery, enum record_event_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Begins an operation: every backend may be tried again. */
void delivery_forget_tries(struct delivery *delivery);
enum delivery_way {
	DELIVERY_WAY_CLIENT, /* delivery->client is ready */
	DELIVERY_WAY_WAIT, /* delivery_*_connected or another try follows */
	DELIVERY_WAY_STORE, /* a Maildir: no connection */
	DELIVERY_WAY_NONE, /* no backend is left: delivery_no_way says what to answer */
};
enum delivery_way delivery_find_way(struct delivery *delivery);
void delivery_no_way(struct delivery *delivery, struct reply *reply);
/* The backend under way is not to be tried again in this operation; what to answer if no other is left. */
void delivery_backend_failed(struct delivery *delivery, const struct reply *reply);
/* A borrowed connection broke: another of the same backend if it had gone stale, else another backend. */
void delivery_connection_failed(struct delivery *delivery, const struct backend_failure *failure);
/* The connection (if any) is in use: it cannot be given back now. */
bool delivery_uses_client(const struct delivery *delivery);
/* reply_map, the alarm, and a copy of what was said. */
void delivery_map_reply(struct delivery *delivery, const struct reply *said, enum reply_step step, struct reply *mapped);
void delivery_release(struct delivery *delivery); /* the connection goes back to the pool */
void delivery_discard(struct delivery *delivery); /* ... is closed */
void delivery_say_mail(struct delivery *delivery, uint64_t size);
void delivery_say_recipient(struct delivery *delivery, size_t index);
void delivery_remember_recipient(struct delivery *delivery, size_t index);
bool delivery_said_recipient(const struct delivery *delivery, const char *address);
const char *delivery_address(const struct delivery *delivery, size_t index);

/* delivery_check.c */
void delivery_check_go_on(struct delivery *delivery);
void delivery_check_connected(struct delivery *delivery);
void delivery_check_reply(struct delivery *delivery, enum backend_command command, const struct reply *reply);
void delivery_hold_ended(struct delivery *delivery);

/* delivery_send.c */
void delivery_send_begin(struct delivery *delivery);
void delivery_send_go_on(struct delivery *delivery);
void delivery_send_connected(struct delivery *delivery);
void delivery_send_reply(struct delivery *delivery, enum backend_command command, size_t tag, const struct reply *reply);
void delivery_send_block(struct delivery *delivery);
void delivery_send_failed(struct delivery *delivery, const struct backend_failure *failure);
void delivery_send_expired(struct delivery *delivery);

/* delivery_outcome.c */
void delivery_ask_ledger(struct delivery *delivery); /* delivery_send_go_on follows, or the end */
void delivery_set_outcome(struct delivery *delivery, size_t index, const struct reply *mapped);
/* The same for all recipients without an outcome. */
void delivery_set_outcomes(struct delivery *delivery, const struct reply *mapped);
/* Forgets the outcomes of an attempt that another backend repeats. */
void delivery_forget_outcomes(struct delivery *delivery);
/* All outcomes are known: the one reply, the ledger if they are mixed, on_done. The delivery may be gone after it. */
void delivery_finish(struct delivery *delivery);
void delivery_outcome_clear(struct delivery *delivery);

#endif
