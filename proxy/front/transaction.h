/* One mail transaction: from MAIL to its final reply, to RSET or to the end of the session. The struct is shared by the files of
 * front/ only. */
#ifndef POSTERN_FRONT_TRANSACTION_H
#define POSTERN_FRONT_TRANSACTION_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "front/session.h"
#include "mail/command.h"
#include "mail/data_lines.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/view.h"

#define TRANSACTION_MAGIC 0x7a5ac710u

enum delivery_stage {
	DELIVERY_NOT_YET, /* no message yet */
	DELIVERY_JUDGING, /* end of data seen: DNS, filters */
	DELIVERY_SENDING, /* with the relay, or on the way into the quarantine */
	DELIVERY_OVER,
};

struct transaction {
	uint32_t magic;
	struct session *session; /* owner */
	char queue_id[QUEUE_ID_SIZE];
	struct envelope envelope;
	struct record record;
	struct chain_run *run; /* NULL when there are no filters */
	struct delivery *delivery; /* from the first RCPT on */
	int route; /* -1 before the first accepted recipient */
	/* the message */
	struct message_store *message; /* from DATA or the first BDAT on */
	struct data_lines lines;
	struct reply refusal; /* code != 0: the message is already lost (size, room); its octets are only followed to the end */
	uint64_t received_bytes; /* on the wire */
	uint64_t chunk_left; /* octets of the current BDAT chunk still to come */
	bool chunk_last, chunking, chunk_unwanted;
	struct event *data_deadline; /* whole message, against dribbling */
	/* after the end of data */
	enum delivery_stage stage;
	bool waits_for_reverse_name;
	struct buffer header_bytes; /* front of a spooled message; headers point into it or into the message */
	struct header_block headers;
	struct view view;
	uint64_t quarantine_id; /* at deliver; 0 = not under way */
	int in_flight; /* index in our shared page, or -1 */
	int64_t deadline_us; /* monotonic end of the budget */
	struct reply final; /* what ends it; code 0 = abandoned */
};

/* MAIL was accepted: takes the arguments' contents. */
struct transaction *transaction_new(struct session *session, struct mail_arguments *arguments);
/* Writes the record (as abandoned when there was no final reply), frees everything. */
void transaction_free(struct transaction **transaction);

/* RCPT with checked arguments: finds the route, asks the backend, replies (perhaps later). Takes the arguments' contents. */
void transaction_add_recipient(struct transaction *transaction, struct rcpt_arguments *arguments);

/* The final reply, with the queue ID in its text; sets the result, counts it, ends the transaction and frees it. */
void transaction_finish(struct transaction *transaction, const struct reply *reply, enum record_result result);

/* We end the session while it is open: the 421 is its final reply, unless it has one. Returns the reply to be said. */
const struct reply *transaction_cut_off(struct transaction *transaction, const struct reply *reply);

/* What filters may know of it now. */
void transaction_describe(struct transaction *transaction, struct chain_subject *subject);
struct record *transaction_record(struct transaction *transaction);
bool transaction_is_utf8(const struct transaction *transaction);
/* True from the end of data until the outcome is known. */
bool transaction_is_being_delivered(const struct transaction *transaction);
/* The resolver answered; a transaction that waited for it goes on. */
void transaction_reverse_name_known(struct transaction *transaction);

#endif
