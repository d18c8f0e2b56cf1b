/* From the final dot to the final reply: look at the whole message, run the chain, stamp, hand to the relay, answer. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/escape.h"
#include "base/memory.h"
#include "front/fingerprint.h"
#include "front/judge.h"
#include "mail/overlay.h"
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

/* --- the quarantine --- */

static void
on_quarantined(void *context, enum deliver_status status, const struct reply *reply)
{
	struct transaction *transaction = context;
	struct reply ours = {0};

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	transaction->quarantine_id = 0;
	if (status == DELIVER_DONE && reply_is_positive(reply)) {
		reply_set(&ours, 250, "2.0.0", "Ok");
		transaction_finish(transaction, &ours, RECORD_QUARANTINED);
	} else {
		reply_set(&ours, 451, "4.3.0", "cannot store the message now, try again later");
		transaction_finish(transaction, &ours, RECORD_TEMPFAILED);
	}
	reply_clear(&ours);
}

/* As it was received. The client hears 250 only when it is on the disk. */
static void
put_into_quarantine(struct transaction *transaction, const char *reason)
{
	struct session *session = transaction->session;
	struct front *front = session->front;
	int64_t left_ms = (transaction->deadline_us - clock_monotonic_us(front->clock)) / US_PER_MS;

	if (front->config->quarantine == NULL) { /* never deliver what should have been kept */
		finish_text(transaction, 451, "4.3.5", "no quarantine is configured");
		return;
	}
	delivery_free(&transaction->delivery); /* its connection is free for others */
	transaction->stage = DELIVERY_SENDING;
	transaction->quarantine_id = deliver_client_quarantine(front->deliver, transaction->queue_id, transaction->message, &transaction->envelope,
	    &session->client, reason, left_ms > 0 ? left_ms : 1, on_quarantined, transaction);
}

/* --- the chain --- */

static void
note_reason(struct transaction *transaction, const struct verdict *verdict)
{
	struct buffer reason = {0};

	buffer_printf(&reason, "%s%s%s", verdict->filter != NULL ? verdict->filter : "filters", verdict->reason != NULL ? ": " : "",
	    verdict->reason != NULL ? verdict->reason : "");
	record_set(&transaction->record.reason, buffer_text(&reason));
	buffer_free(&reason);
}

static void
on_verdict(void *context, struct verdict *verdict)
{
	struct transaction *transaction = context;
	struct reply reply = {0};

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	if (verdict->kind != VERDICT_ACCEPT)
		note_reason(transaction, verdict);
	switch (verdict->kind) {
	case VERDICT_ACCEPT:
		send_message(transaction);
		return;
	case VERDICT_DISCARD:
		reply_set(&reply, 250, "2.0.0", "Ok");
		transaction_finish(transaction, &reply, RECORD_DISCARDED);
		break;
	case VERDICT_QUARANTINE:
		put_into_quarantine(transaction, transaction->record.reason);
		break;
	case VERDICT_TEMPFAIL:
	case VERDICT_REJECT:
		reply_copy(&reply, &verdict->reply);
		transaction_finish(transaction, &reply, verdict->kind == VERDICT_REJECT ? RECORD_REJECTED : RECORD_TEMPFAILED);
		break;
	}
	reply_clear(&reply);
}

void
judge_go_on(struct transaction *transaction)
{
	struct chain_subject subject;

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	if (transaction->run == NULL) {
		send_message(transaction);
		return;
	}
	transaction_describe(transaction, &subject);
	chain_run_judge(transaction->run, &subject, transaction->deadline_us, on_verdict, transaction);
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
note_removed(void *context, const struct overlay_field *field)
{
	struct buffer text = {0};

	buffer_append_span(&text, field->name);
	buffer_append_char(&text, ':');
	buffer_append_span(&text, field->value);
	note_stamp(context, "removed: ", span_make(text.data, text.length));
	buffer_free(&text);
}

/* Fields of filters that say what was found on arrival stand above our Received (RFC 7208 9.1, RFC 8601 5, RFC 8617 4.1.2). */
static bool
is_trace_stamp(const struct overlay_field *field)
{
	static const char *const names[] = {"Authentication-Results", "Received-SPF", "ARC-Seal", "ARC-Message-Signature",
	    "ARC-Authentication-Results"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (field->original == NULL && span_is_nocase(field->name, names[i]))
			return true;
	return false;
}

/* Takes them off the top of the overlay. */
static void
take_trace_stamps(struct overlay *overlay, struct buffer *stamps)
{
	size_t count = 0;

	for (; count < overlay->count && is_trace_stamp(&overlay->fields[count]); count++) {
		buffer_append_span(stamps, overlay->fields[count].name);
		buffer_append_char(stamps, ':');
		buffer_append_span(stamps, overlay->fields[count].value);
		buffer_append_string(stamps, "\r\n");
	}
	overlay->count -= count;
	memmove(overlay->fields, overlay->fields + count, overlay->count * sizeof *overlay->fields);
}

static void
make_received(const struct transaction *transaction, struct buffer *stamp)
{
	const struct session *session = transaction->session;
	const struct envelope *envelope = &transaction->envelope;
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

	stamp_received(stamp, &received);
}

enum { STAMP_RETURN_PATH, STAMP_TRACE, STAMP_RECEIVED, STAMP_COUNT }; /* top-down */

/* Return-Path, what filters found, Received, then the message as filters left it and without the Return-Path fields it came with. */
static void
build_view(struct transaction *transaction)
{
	struct buffer stamps[STAMP_COUNT] = {{0}};
	struct span spans[STAMP_COUNT];
	struct overlay overlay;
	size_t count = 0;

	if (relay_route_stamps_return_path(transaction->session->front->relay, transaction->route))
		stamp_return_path(&stamps[STAMP_RETURN_PATH], transaction->envelope.sender);
	make_received(transaction, &stamps[STAMP_RECEIVED]);
	overlay_build(&overlay, &transaction->headers, transaction->run != NULL ? chain_run_edits(transaction->run) : NULL);
	take_trace_stamps(&overlay, &stamps[STAMP_TRACE]);
	for (size_t i = 0; i < STAMP_COUNT; i++) {
		if (stamps[i].length == 0)
			continue;
		spans[count] = span_make(stamps[i].data, stamps[i].length);
		if (i != STAMP_TRACE) /* those are in the story as edits */
			note_stamp(transaction, "", spans[count]);
		count++;
	}
	overlay_remove(&overlay, "Return-Path", note_removed, transaction);
	overlay_make_view(&overlay, transaction->message, spans, count, transaction->lines.starts_with_dot, &transaction->view);
	overlay_clear(&overlay);
	for (size_t i = 0; i < STAMP_COUNT; i++)
		buffer_free(&stamps[i]);
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
