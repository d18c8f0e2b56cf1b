/* DATA and BDAT: wire bytes through the line rules into the store. A message that is refused half way is still followed to its end,
 * or the rest of it would be read as commands. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "front/judge.h"
#include "front/receive.h"

static void
on_data_deadline(evutil_socket_t descriptor, short what, void *context)
{
	struct transaction *transaction = context;
	struct session *session = transaction->session;

	(void)descriptor;
	(void)what;
	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	reply_set(&transaction->final, 421, "4.4.2", "%s Error: message took too long (queue ID %s)", session->front->config->hostname,
	    transaction->queue_id);
	transaction->record.result = RECORD_TEMPFAILED;
	record_set(&transaction->record.reason, "the client sent the message too slowly (timeouts: data_total)");
	session_reply(session, &transaction->final);
	session_proceed(session);
}

static void
begin_message(struct transaction *transaction, enum data_lines_mode mode)
{
	struct session *session = transaction->session;
	const struct config *config = session->front->config;
	struct timeval limit = {config->timeouts.data_total / 1000, config->timeouts.data_total % 1000 * 1000};

	transaction->message = message_store_new(&session->front->store);
	data_lines_init(&transaction->lines, mode, session->bare_line_feeds, config->limits.line_length);
	transaction->data_deadline = evtimer_new(session->front->base, on_data_deadline, transaction);
	evtimer_add(transaction->data_deadline, &limit);
}

void
receive_begin_data(struct transaction *transaction)
{
	struct session *session = transaction->session;

	begin_message(transaction, DATA_LINES_DATA);
	stream_set_timeout(session->stream, session->front->config->timeouts.data_block);
	session_change_state(session, SESSION_DATA);
}

/* The first refusal stays: what comes later is only its consequence. */
static void
refuse(struct transaction *transaction, int code, const char *enhanced, const char *text)
{
	if (transaction->refusal.code == 0)
		reply_set(&transaction->refusal, code, enhanced, "%s", text);
}

static void
store_scratch(struct transaction *transaction)
{
	struct front *front = transaction->session->front;
	struct buffer *scratch = &front->scratch;

	if (transaction->refusal.code == 0 && transaction->lines.fault == DATA_LINES_FINE) {
		if (message_store_length(transaction->message) + scratch->length > front->config->limits.message_size)
			refuse(transaction, 552, "5.3.4", "message exceeds the size limit");
		else if (!message_store_append(transaction->message, scratch->data, scratch->length))
			refuse(transaction, 452, "4.3.1", "no room for this message now, try again later");
	}
	buffer_clear(scratch);
}

static void
check_lines(struct transaction *transaction)
{
	const struct data_lines *lines = &transaction->lines;

	if (lines->fault == DATA_LINES_FINE || transaction->refusal.code != 0)
		return;
	reply_set(&transaction->refusal, 550, data_lines_fault_enhanced(lines->fault), "%s (line %" PRIu64 ")",
	    data_lines_fault_text(lines->fault), lines->fault_line);
}

static void
refused_at_end(struct transaction *transaction)
{
	struct reply reply = {0};

	reply_copy(&reply, &transaction->refusal);
	record_set(&transaction->record.reason, reply.text);
	transaction_finish(transaction, &reply, reply_is_permanent(&reply) ? RECORD_REJECTED : RECORD_TEMPFAILED);
	reply_clear(&reply);
}

/* RFC 5321 4.1.1.4: a message ends with a line end; a BDAT message may lack it, and then gets one. */
static void
end_message(struct transaction *transaction)
{
	struct session *session = transaction->session;
	struct front *front = session->front;

	data_lines_end(&transaction->lines, &front->scratch);
	check_lines(transaction);
	if (transaction->lines.fault == DATA_LINES_FINE && data_lines_needs_final_crlf(&transaction->lines)) {
		buffer_append_string(&front->scratch, "\r\n");
		record_event(&transaction->record, front->clock, RECORD_EVENT_MESSAGE, "final CRLF added");
	}
	store_scratch(transaction);
	event_free(transaction->data_deadline);
	transaction->data_deadline = NULL;
	session_wait(session);
	if (transaction->refusal.code == 0 && !message_store_finish(transaction->message))
		refuse(transaction, 452, "4.3.1", "no room for this message now, try again later");
	transaction->record.size_bytes = transaction->received_bytes;
	shared_count(front->page, COUNTER_BYTES_RECEIVED, transaction->received_bytes);
	if (transaction->refusal.code != 0)
		refused_at_end(transaction);
	else
		judge_message(transaction);
}

static size_t
receive_data(struct transaction *transaction, const char *bytes, size_t length)
{
	struct front *front = transaction->session->front;
	bool ended = false;
	size_t taken = data_lines_take(&transaction->lines, bytes, length, &front->scratch, &ended);

	transaction->received_bytes += taken;
	check_lines(transaction);
	store_scratch(transaction);
	if (ended)
		end_message(transaction);
	return taken;
}

/* --- BDAT --- */

/* A chunk that nobody wants: its octets are swallowed, then it is answered with the given reply. */
static void
answer_chunk(struct session *session)
{
	struct transaction *transaction = session->transaction;
	struct reply reply = {0};

	session_change_state(session, SESSION_COMMANDS);
	stream_set_timeout(session->stream, session->front->config->timeouts.command);
	if (transaction->chunk_unwanted) {
		session_reply_text(session, 503, "5.5.1", "the message was refused already; RSET first");
	} else if (transaction->refusal.code != 0 && !transaction->chunk_last) {
		transaction->chunk_unwanted = true;
		reply_copy(&reply, &transaction->refusal);
		session_reply(session, &reply);
	} else if (transaction->chunk_last) {
		end_message(transaction);
	} else {
		session_reply_text(session, 250, "2.0.0", "%" PRIu64 " octets received", transaction->received_bytes);
	}
	reply_clear(&reply);
}

void
receive_begin_chunk(struct session *session, uint64_t octets, bool last)
{
	struct transaction *transaction = session->transaction;
	uint64_t limit = session->front->config->limits.message_size;

	if (!transaction->chunking) {
		transaction->chunking = true;
		begin_message(transaction, DATA_LINES_BDAT);
		if (chain_is_crowded(session->front->chain))
			refuse(transaction, 451, "4.3.2", "too many messages wait for the filters, try again later");
	}
	if (octets > limit) { /* nobody sends this much for an answer that is already known */
		reply_set(&transaction->final, 552, "5.3.4", "chunk exceeds the size limit (queue ID %s)", transaction->queue_id);
		transaction->record.result = RECORD_REJECTED;
		session_reply(session, &transaction->final);
		session_end(session);
		return;
	}
	transaction->chunk_left = octets;
	transaction->chunk_last = last;
	stream_set_timeout(session->stream, session->front->config->timeouts.data_block);
	session_change_state(session, SESSION_CHUNK);
	if (octets == 0)
		answer_chunk(session);
}

static size_t
receive_chunk(struct transaction *transaction, const char *bytes, size_t length)
{
	struct session *session = transaction->session;
	size_t taken = length < transaction->chunk_left ? length : (size_t)transaction->chunk_left;
	bool ended = false;

	if (!transaction->chunk_unwanted) {
		data_lines_take(&transaction->lines, bytes, taken, &session->front->scratch, &ended);
		transaction->received_bytes += taken;
		check_lines(transaction);
		store_scratch(transaction);
	}
	transaction->chunk_left -= taken;
	if (transaction->chunk_left == 0)
		answer_chunk(session);
	return taken;
}

size_t
receive_bytes(struct transaction *transaction, const char *bytes, size_t length)
{
	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	if (transaction->session->state == SESSION_CHUNK)
		return receive_chunk(transaction, bytes, length);
	return receive_data(transaction, bytes, length);
}
