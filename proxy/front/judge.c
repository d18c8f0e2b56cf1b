/* From the final dot to the final reply: look at the whole message, run the chain, stamp, hand to the relay, answer. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/escape.h"
#include "base/memory.h"
#include "front/fingerprint.h"
#include "front/judge.h"
#include "mail/stamps.h"

#define US_PER_MS INT64_C(1000)

static void send_message(struct transaction *transaction);

static void
finish_text(struct transaction *transaction, int code, const char *enhanced, const char *text)
{
	struct reply reply = {0};

	reply_set(&reply, code, enhanced, "%s", text);
	record_set(&transaction->record.reason, text);
	transaction_finish(transaction, &reply, code >= 500 ? RECORD_REJECTED : RECORD_TEMPFAILED);
	reply_clear(&reply);
}

/* --- what the header block says --- */

/* The front of the message, in memory: all of it, or (a spool file) as much as a header block may have. */
static struct span
message_front(struct transaction *transaction, bool *whole)
{
	struct span all = message_store_map(transaction->message);
	uint64_t length = message_store_length(transaction->message);
	uint64_t want = transaction->session->front->config->limits.header_bytes + 4;

	*whole = true;
	if (all.at != NULL || length == 0)
		return all;
	if (want < length)
		*whole = false;
	else
		want = length;
	char *to = buffer_reserve(&transaction->header_bytes, want);
	int64_t got = message_store_read(transaction->message, 0, to, want);

	buffer_added(&transaction->header_bytes, got > 0 ? (size_t)got : 0);
	return span_make(transaction->header_bytes.data, transaction->header_bytes.length);
}

static bool
headers_are_acceptable(struct transaction *transaction)
{
	const struct config *config = transaction->session->front->config;
	bool whole;
	struct span front = message_front(transaction, &whole);
	enum header_scan_result result =
	    header_block_scan(front, whole, config->limits.header_bytes, config->limits.header_count, &transaction->headers);

	switch (result) {
	case HEADER_SCAN_OK:
		break;
	case HEADER_SCAN_TOO_MANY:
		finish_text(transaction, 552, "5.3.4", "too many header fields");
		return false;
	case HEADER_SCAN_TOO_LONG:
	case HEADER_SCAN_INCOMPLETE:
		finish_text(transaction, 552, "5.3.4", "header block too long");
		return false;
	}
	if (header_block_count(&transaction->headers, "Received") > config->limits.hops) {
		finish_text(transaction, 554, "5.4.6", "too many hops, the message loops");
		return false;
	}
	return true;
}

static void
note_message(struct transaction *transaction)
{
	struct front *front = transaction->session->front;
	const struct header_field *message_id = header_block_find(&transaction->headers, "Message-ID");

	if (message_id != NULL) {
		char *value = header_field_unfold(message_id);

		record_set(&transaction->record.message_id, value);
		memory_free(&value);
	}
	transaction->record.size_bytes = message_store_length(transaction->message);
	record_event(&transaction->record, front->clock, RECORD_EVENT_MESSAGE, "%llu bytes, %zu header fields%s%s",
	    (unsigned long long)message_store_length(transaction->message), transaction->headers.count,
	    transaction->lines.mbox_line_removed ? ", leading mbox From line removed" : "",
	    transaction->lines.normalised > 0 ? ", line ends normalised" : "");
}

/* --- the chain --- */

static void
act_on_verdict(struct transaction *transaction, struct verdict *verdict)
{
	struct reply reply = {0};

	switch (verdict->kind) {
	case VERDICT_ACCEPT:
		send_message(transaction);
		return;
	case VERDICT_DISCARD:
		record_set(&transaction->record.reason, verdict->reason);
		reply_set(&reply, 250, "2.0.0", "Ok");
		transaction_finish(transaction, &reply, RECORD_DISCARDED);
		break;
	case VERDICT_QUARANTINE: /* no filter can ask for it yet; never deliver what should have been kept */
		finish_text(transaction, 451, "4.3.5", "no quarantine is configured");
		break;
	case VERDICT_TEMPFAIL:
	case VERDICT_REJECT:
		record_set(&transaction->record.reason, verdict->reason);
		reply_copy(&reply, &verdict->reply);
		transaction_finish(transaction, &reply, verdict->kind == VERDICT_REJECT ? RECORD_REJECTED : RECORD_TEMPFAILED);
		break;
	}
	reply_clear(&reply);
}

static void
on_verdict(void *context, struct verdict *verdict)
{
	act_on_verdict(context, verdict);
}

void
judge_go_on(struct transaction *transaction)
{
	struct session *session = transaction->session;
	struct chain_subject subject = {
		.client = session->client,
		.reverse_name = session->reverse_name,
		.helo = session->helo,
		.envelope = &transaction->envelope,
		.message = transaction->message,
		.record = &transaction->record,
	};
	struct verdict verdict = {0};

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	if (!chain_run(session->front->chain, STAGE_MESSAGE, &subject, &verdict, on_verdict, transaction))
		return;
	act_on_verdict(transaction, &verdict);
	verdict_clear(&verdict);
}

void
judge_message(struct transaction *transaction)
{
	struct session *session = transaction->session;
	struct front *front = session->front;

	transaction->stage = DELIVERY_JUDGING;
	transaction->in_flight = shared_in_flight_enter(front->page, transaction->queue_id);
	transaction->deadline_us = clock_monotonic_us(front->clock) + front->config->timeouts.end_of_data * US_PER_MS;
	if (!headers_are_acceptable(transaction))
		return;
	note_message(transaction);
	shared_in_flight_describe(front->page, transaction->in_flight, &session->client, transaction->envelope.sender,
	    transaction->envelope.recipients[0].address, transaction->record.message_id);
	if (session->reverse_question != 0) {
		transaction->waits_for_reverse_name = true; /* the question has its own deadline */
		return;
	}
	judge_go_on(transaction);
}

/* --- stamps and sending --- */

/* The story shows a field on one line. */
static void
note_stamp(struct transaction *transaction, const char *prefix, struct span field)
{
	struct buffer text = {0};

	for (size_t i = 0; i < field.length; i++) {
		if (field.at[i] == '\r' || field.at[i] == '\n')
			continue;
		buffer_append_char(&text, field.at[i] == '\t' ? ' ' : field.at[i]);
	}
	record_event(&transaction->record, transaction->session->front->clock, RECORD_EVENT_STAMP, "%s%s", prefix, buffer_text(&text));
	buffer_free(&text);
}

static void
add_stamp(struct transaction *transaction, struct buffer *stamp)
{
	note_stamp(transaction, "", span_make(stamp->data, stamp->length));
	view_add_text(&transaction->view, span_make(stamp->data, stamp->length));
	buffer_free(stamp);
}

/* Top-down: Return-Path, Received, then the message without the Return-Path fields it came with. */
static void
build_view(struct transaction *transaction)
{
	struct session *session = transaction->session;
	const struct envelope *envelope = &transaction->envelope;
	struct view *view = &transaction->view;
	struct buffer stamp = {0};
	uint64_t from = 0;
	struct received_stamp received = {
		.helo = session->helo,
		.reverse_name = session->reverse_name,
		.client = session->client,
		.hostname = session->front->config->hostname,
		.extended = session->extended,
		.utf8 = envelope->smtputf8,
		.queue_id = transaction->queue_id,
		.recipient = envelope->recipient_count == 1 ? envelope->recipients[0].address : NULL,
		.wall_us = clock_wall_us(session->front->clock),
	};

	view_init(view, transaction->message);
	view->has_dot_lines = transaction->lines.starts_with_dot;
	if (relay_route_stamps_return_path(session->front->relay, transaction->route)) {
		stamp_return_path(&stamp, envelope->sender);
		add_stamp(transaction, &stamp);
	}
	stamp_received(&stamp, &received);
	add_stamp(transaction, &stamp);
	for (size_t i = 0; i < transaction->headers.count; i++) {
		const struct header_field *field = &transaction->headers.fields[i];

		if (!span_is_nocase(field->name, "Return-Path"))
			continue;
		note_stamp(transaction, "removed: ", span_make(field->name.at, field->length));
		view_add_range(view, from, field->offset - from);
		from = field->offset + field->length;
	}
	view_add_range(view, from, message_store_length(transaction->message) - from);
}

/* Only a message that can have a mixed outcome, or may have had one, needs its fingerprint. */
static const uint8_t *
fingerprint_if_needed(struct transaction *transaction, uint8_t *digest)
{
	if (transaction->envelope.recipient_count < 2 && !relay_ledger_has_entries(transaction->session->front->relay))
		return NULL;
	return fingerprint_make(transaction->message, &transaction->headers, digest) ? digest : NULL;
}

static void
send_message(struct transaction *transaction)
{
	uint8_t digest[FINGERPRINT_SIZE];

	build_view(transaction);
	transaction->stage = DELIVERY_SENDING;
	delivery_send(transaction->delivery, &transaction->view, transaction->in_flight, fingerprint_if_needed(transaction, digest),
	    transaction->deadline_us);
}

/* --- the outcome --- */

/* Enough left that the backend can answer and we can pass it on: a tenth of the budget. */
bool
judge_may_finish(const struct transaction *transaction)
{
	const struct session *session = transaction->session;
	int64_t margin_us = session->front->config->timeouts.end_of_data * US_PER_MS / 10;

	if (session->client_gone || stream_peer_closed(session->stream))
		return false;
	return clock_monotonic_us(session->front->clock) + margin_us < transaction->deadline_us;
}

static enum record_result
result_of(const struct transaction *transaction, const struct delivery_result *delivery)
{
	const struct session *session = transaction->session;
	bool gone = session->client_gone || stream_peer_closed(session->stream);

	if (reply_is_positive(&delivery->reply))
		return gone ? RECORD_DOUBLE_WINDOW : RECORD_ACCEPTED;
	return reply_is_permanent(&delivery->reply) ? RECORD_REJECTED : RECORD_TEMPFAILED;
}

static void
note_recipient_outcomes(struct record *record, const struct envelope *envelope, const struct reply *replies)
{
	for (size_t i = 0; i < envelope->recipient_count && replies != NULL; i++)
		for (size_t k = 0; k < record->recipient_count; k++)
			if (record->recipients[k].accepted && strcmp(record->recipients[k].address, envelope->recipients[i].address) == 0) {
				struct buffer text = {0};

				reply_append_text(&text, &replies[i]);
				record_set(&record->recipients[k].reply, buffer_text(&text));
				buffer_free(&text);
			}
}

void
judge_delivered(struct transaction *transaction, const struct delivery_result *result)
{
	struct record *record = &transaction->record;
	enum record_result outcome = result_of(transaction, result);

	record_set(&record->backend, result->backend);
	if (result->backend_reply.code != 0) {
		struct buffer text = {0};

		reply_append_text(&text, &result->backend_reply);
		record_set(&record->backend_reply, buffer_text(&text));
		buffer_free(&text);
	}
	if (transaction->envelope.recipient_count > 1)
		note_recipient_outcomes(record, &transaction->envelope, result->recipient_replies);
	if (outcome == RECORD_DOUBLE_WINDOW)
		record_set(&record->reason, "the backend has the message, the client was gone before it heard so: it may send it again");
	else if (!reply_is_positive(&result->reply) && record->reason == NULL)
		record_set(&record->reason, result->reply.text);
	transaction_finish(transaction, &result->reply, outcome);
}
