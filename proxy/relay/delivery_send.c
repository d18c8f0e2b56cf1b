/* The message, after the verdict: the envelope said (again), the body in blocks as the backend takes them, the final dot, and what
 * happens when the backend fails on the way. Before the final dot another backend may be tried; after it nobody knows. */
#include "relay/delivery.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/data_lines.h"

static bool
is_smtp(const struct delivery *delivery)
{
	return delivery->relay->options.config->backends[delivery->backend].protocol == BACKEND_SMTP;
}

static bool
is_open(const struct delivery *delivery, size_t index)
{
	return delivery->outcomes[index].outcome == LEDGER_NONE;
}

static bool
all_known(const struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (is_open(delivery, i))
			return false;
	}
	return true;
}

static int64_t
remaining_ms(const struct delivery *delivery)
{
	int64_t left_us = delivery->deadline_us - clock_monotonic_us(delivery->relay->options.clock);
	return left_us > 0 ? left_us / 1000 + 1 : 1;
}

void
delivery_send(struct delivery *delivery, const struct view *view, int in_flight, const uint8_t *message_hash, int64_t deadline_us)
{
	struct timeval at_once = {0, 0};
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	ASSERT(delivery->state == DELIVERY_IDLE && delivery->envelope->recipient_count > 0);
	delivery->view = view;
	delivery->in_flight = in_flight;
	delivery->deadline_us = deadline_us;
	delivery->has_hash = message_hash != NULL;
	if (message_hash != NULL)
		memcpy(delivery->hash, message_hash, sizeof delivery->hash);
	delivery->count = delivery->envelope->recipient_count;
	delivery->outcomes = memory_new_array(delivery->count, sizeof *delivery->outcomes);
	delivery->accepted = memory_new_array(delivery->count, sizeof *delivery->accepted);
	delivery_forget_tries(delivery);
	evtimer_del(delivery->hold_timer);
	if (delivery->client != NULL) {
		pool_unhold(delivery->relay->pool, delivery->client);
		delivery->reused = true;
	}
	delivery_change_state(delivery, DELIVERY_SEND_BEGIN);
	evtimer_add(delivery->timer, &at_once);
}

void
delivery_send_begin(struct delivery *delivery)
{
	int64_t left_ms = remaining_ms(delivery);
	struct timeval left = {.tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
	evtimer_add(delivery->timer, &left);
	delivery_ask_ledger(delivery);
}

static void
mark_in_flight(struct delivery *delivery, enum in_flight_state state)
{
	if (delivery->in_flight >= 0)
		shared_in_flight_set(delivery->relay->page, delivery->in_flight, state);
}

/* --- maildir --- */

static void
on_stored(void *context, enum deliver_status status, const struct reply *replies, size_t count)
{
	struct delivery *delivery = context;
	struct reply lost = {0};
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	delivery->store_id = 0;
	reply_set(&lost, 451, "4.3.0", "The message could not be stored; try again later");
	size_t at = 0;
	for (size_t i = 0; i < delivery->count; i++) {
		if (!is_open(delivery, i))
			continue;
		bool answered = status == DELIVER_DONE && at < count;
		delivery_set_outcome(delivery, i, answered ? &replies[at] : &lost);
		reply_copy(&delivery->backend_reply, answered ? &replies[at] : &lost);
		at++;
	}
	delivery->unknown = status != DELIVER_DONE;
	if (delivery->delivered)
		mark_in_flight(delivery, IN_FLIGHT_DELIVERED);
	reply_clear(&lost);
	delivery_finish(delivery);
}

/* The recipients still to be served, as an envelope of their own. */
static void
copy_open_recipients(const struct delivery *delivery, struct envelope *to)
{
	to->sender = memory_copy_string(delivery->envelope->sender);
	to->sender_domain = memory_copy_string(delivery->envelope->sender_domain);
	to->body = delivery->envelope->body;
	to->smtputf8 = delivery->envelope->smtputf8;
	for (size_t i = 0; i < delivery->count; i++) {
		const struct recipient *recipient = &delivery->envelope->recipients[i];
		if (is_open(delivery, i))
			envelope_add_recipient(to, delivery_address(delivery, i), recipient->domain);
	}
}

static void
refuse_to_finish(struct delivery *delivery)
{
	struct reply reply = {0};
	reply_set(&reply, 451, "4.3.2", "Not enough time left to deliver; try again later");
	delivery_note(delivery, RECORD_EVENT_NOTE, "not delivered: the client is gone or the time is over");
	delivery_set_outcomes(delivery, &reply);
	reply_clear(&reply);
	delivery_finish(delivery);
}

static void
store(struct delivery *delivery)
{
	struct envelope envelope = {0};
	if (delivery->relay->options.deliver == NULL || !delivery->callbacks->may_finish(delivery->context)) {
		refuse_to_finish(delivery);
		return;
	}
	delivery->reached = backend_names_text(delivery->relay->names, delivery->backend);
	delivery_note(delivery, RECORD_EVENT_BACKEND_SENT, "store in %s: %llu bytes", delivery->reached, (unsigned long long)delivery->view->length);
	mark_in_flight(delivery, IN_FLIGHT_FINAL_DOT);
	delivery_change_state(delivery, DELIVERY_SEND_STORE);
	copy_open_recipients(delivery, &envelope);
	delivery->store_id = deliver_client_store(delivery->relay->options.deliver, delivery->backend, delivery->queue_id, delivery->view,
	    &envelope, remaining_ms(delivery), on_stored, delivery);
	envelope_clear(&envelope);
}

/* --- envelope --- */

/* What was said on the held connection while the recipients were checked is still what is to be said? */
static bool
held_envelope_fits(const struct delivery *delivery)
{
	size_t found = 0;
	if (delivery->said_sender == NULL || strcmp(delivery->said_sender, delivery->envelope->sender) != 0)
		return delivery->said_sender == NULL;
	for (size_t i = 0; i < delivery->count; i++) {
		if (is_open(delivery, i) && delivery_said_recipient(delivery, delivery_address(delivery, i)))
			found++;
	}
	return found == delivery->said_count;
}

/* Everything up to DATA in one go; without PIPELINING the queue lets it out step by step. */
static void
say_envelope(struct delivery *delivery)
{
	delivery_change_state(delivery, DELIVERY_SEND_ENVELOPE);
	delivery->accepted_count = 0;
	delivery->replies_due = 0;
	delivery->sent = 0;
	delivery->at_line_start = true;
	reply_clear(&delivery->mail_refusal);
	if (delivery->said_sender == NULL)
		delivery_say_mail(delivery, delivery->view->length);
	/* In the order in which the backend hears them: first those it has accepted already. */
	for (size_t said = 0; said < delivery->said_count; said++) {
		for (size_t i = 0; i < delivery->count; i++) {
			if (strcmp(delivery->said_recipients[said], delivery_address(delivery, i)) == 0)
				delivery->accepted[delivery->accepted_count++] = i;
		}
	}
	for (size_t i = 0; i < delivery->count; i++) {
		if (!is_open(delivery, i) || delivery_said_recipient(delivery, delivery_address(delivery, i)))
			continue;
		delivery_say_recipient(delivery, i);
		delivery->replies_due++;
	}
	backend_client_command(delivery->client, BACKEND_COMMAND_DATA, 0, "DATA");
}

void
delivery_send_connected(struct delivery *delivery)
{
	say_envelope(delivery);
}

void
delivery_send_go_on(struct delivery *delivery)
{
	struct reply reply = {0};
	if (all_known(delivery)) {
		delivery_finish(delivery);
		return;
	}
	if (delivery->client != NULL && held_envelope_fits(delivery)) {
		say_envelope(delivery);
		return;
	}
	delivery_release(delivery);
	switch (delivery_find_way(delivery)) {
	case DELIVERY_WAY_CLIENT:
		say_envelope(delivery);
		return;
	case DELIVERY_WAY_WAIT:
		delivery_change_state(delivery, DELIVERY_SEND_CONNECT);
		return;
	case DELIVERY_WAY_STORE:
		store(delivery);
		return;
	case DELIVERY_WAY_NONE:
		break;
	}
	delivery_no_way(delivery, &reply);
	delivery_set_outcomes(delivery, &reply);
	reply_clear(&reply);
	delivery_finish(delivery);
}

/* This backend did not take it, nothing of the message counts yet: the next one. */
static void
try_another(struct delivery *delivery)
{
	delivery_forget_outcomes(delivery);
	delivery_change_state(delivery, DELIVERY_SEND_CONNECT);
	delivery_send_go_on(delivery);
}

static void
recipient_answered(struct delivery *delivery, size_t index, const struct reply *reply)
{
	struct reply mapped = {0};
	const struct envelope *envelope = delivery->envelope;
	delivery->replies_due--;
	if (delivery->mail_refusal.code != 0)
		return; /* "503 need MAIL": the reply to MAIL counts */
	if (reply_is_positive(reply)) {
		delivery->accepted[delivery->accepted_count++] = index;
		return;
	}
	delivery_map_reply(delivery, reply, REPLY_STEP_RCPT, &mapped);
	delivery_note(delivery, RECORD_EVENT_NOTE, "recipient <%s> is refused now", delivery_address(delivery, index));
	recipient_cache_forget(delivery->relay->cache, delivery->route, envelope->sender, envelope->recipients[index].address);
	recipient_cache_store(delivery->relay->cache, delivery->route, envelope->sender, envelope->recipients[index].address, &mapped);
	delivery_set_outcome(delivery, index, &mapped);
	reply_clear(&mapped);
}

/* No body follows: why, and on with the next backend or to the end. `data` is the reply to DATA, or NULL when it was not said. */
static void
envelope_refused(struct delivery *delivery, const struct reply *data)
{
	bool must_close = data != NULL && data->code == 354; /* only a message would get us out of it */
	struct reply mapped = {0};
	bool another = false;
	if (delivery->mail_refusal.code != 0) {
		reply_copy(&mapped, &delivery->mail_refusal);
		another = reply_is_transient(&mapped);
	} else if (delivery->accepted_count > 0) {
		delivery_map_reply(delivery, data, REPLY_STEP_DATA, &mapped);
		another = true;
	}
	if (must_close)
		delivery_discard(delivery);
	else
		delivery_release(delivery);
	if (another) {
		delivery_backend_failed(delivery, &mapped);
		reply_clear(&mapped);
		try_another(delivery);
		return;
	}
	if (mapped.code != 0)
		delivery_set_outcomes(delivery, &mapped);
	reply_clear(&mapped);
	delivery_finish(delivery); /* each recipient has its own refusal */
}

static void
envelope_answered(struct delivery *delivery, const struct reply *data)
{
	bool taken = data != NULL && data->code == 354 && delivery->mail_refusal.code == 0 && delivery->accepted_count > 0;
	if (!taken) {
		envelope_refused(delivery, data);
		return;
	}
	delivery_change_state(delivery, DELIVERY_SEND_BODY);
	delivery_send_block(delivery);
}

static void
envelope_reply(struct delivery *delivery, enum backend_command command, size_t tag, const struct reply *reply)
{
	if (command == BACKEND_COMMAND_MAIL && !reply_is_positive(reply)) {
		delivery_map_reply(delivery, reply, REPLY_STEP_MAIL, &delivery->mail_refusal);
		delivery->replies_due = 0;
		backend_client_drop_unsent(delivery->client);
	}
	if (command == BACKEND_COMMAND_RCPT) {
		if (delivery->mail_refusal.code == 0)
			recipient_answered(delivery, tag, reply);
		if (delivery->replies_due == 0 && delivery->accepted_count == 0)
			backend_client_drop_unsent(delivery->client);
	}
	if (command == BACKEND_COMMAND_DATA)
		envelope_answered(delivery, reply);
	else if (backend_client_is_idle(delivery->client))
		envelope_answered(delivery, NULL); /* DATA was taken back before it was said */
}

/* --- body --- */

static void
finish_body(struct delivery *delivery)
{
	if (!delivery->callbacks->may_finish(delivery->context)) {
		delivery_discard(delivery);
		refuse_to_finish(delivery);
		return;
	}
	delivery_note(delivery, RECORD_EVENT_BACKEND_SENT, "(%llu bytes of message)", (unsigned long long)delivery->sent);
	/* A message always ends with a line end; the dot must not depend on it. */
	if (!delivery->at_line_start)
		backend_client_body(delivery->client, "\r\n", 2);
	mark_in_flight(delivery, IN_FLIGHT_FINAL_DOT);
	reply_clear(&delivery->backend_reply); /* what it said so far is not its answer to the message */
	delivery_change_state(delivery, DELIVERY_SEND_END);
	delivery->replies_due = is_smtp(delivery) ? 1 : delivery->accepted_count;
	backend_client_final_dot(delivery->client, delivery->replies_due);
}

/* `length` bytes of the view, which are in relay->block, on their way. */
static void
send_bytes(struct delivery *delivery, size_t length)
{
	struct relay *relay = delivery->relay;
	if (delivery->view->has_dot_lines) {
		buffer_clear(&relay->stuffed);
		data_lines_stuff(span_make(relay->block, length), &delivery->at_line_start, &relay->stuffed);
		backend_client_body(delivery->client, relay->stuffed.data, relay->stuffed.length);
	} else {
		backend_client_body(delivery->client, relay->block, length);
	}
	delivery->at_line_start = relay->block[length - 1] == '\n';
	delivery->sent += length;
}

void
delivery_send_block(struct delivery *delivery)
{
	bool first = delivery->sent == 0;
	if (first || delivery->sent < delivery->view->length) {
		int64_t length = view_read(delivery->view, delivery->sent, delivery->relay->block, RELAY_BLOCK_SIZE);
		if (length < 0 || (length == 0 && delivery->sent < delivery->view->length)) {
			struct reply reply = {0};
			reply_set(&reply, 451, "4.3.0", "The message could not be read; try again later");
			delivery_discard(delivery);
			delivery_set_outcomes(delivery, &reply);
			reply_clear(&reply);
			delivery_finish(delivery);
			return;
		}
		if (length > 0)
			send_bytes(delivery, (size_t)length);
		/* The dot of a long message waits until all before it has left: may_finish is to be asked as late as possible. */
		if (!first || delivery->sent < delivery->view->length)
			return;
	}
	finish_body(delivery);
}

/* --- the end --- */

static void
end_of_data_answered(struct delivery *delivery, size_t tag, const struct reply *reply)
{
	struct reply mapped = {0};
	size_t from = is_smtp(delivery) ? 0 : tag;
	size_t to = is_smtp(delivery) ? delivery->accepted_count : tag + 1;
	delivery_map_reply(delivery, reply, REPLY_STEP_END_OF_DATA, &mapped);
	for (size_t i = from; i < to; i++)
		delivery_set_outcome(delivery, delivery->accepted[i], &mapped);
	if (reply_is_positive(reply))
		mark_in_flight(delivery, IN_FLIGHT_DELIVERED);
	reply_clear(&mapped);
	if (--delivery->replies_due > 0)
		return;
	delivery_release(delivery);
	delivery_finish(delivery);
}

void
delivery_send_reply(struct delivery *delivery, enum backend_command command, size_t tag, const struct reply *reply)
{
	if (delivery->state == DELIVERY_SEND_ENVELOPE)
		envelope_reply(delivery, command, tag, reply);
	else if (delivery->state == DELIVERY_SEND_END && command == BACKEND_COMMAND_END_OF_DATA)
		end_of_data_answered(delivery, tag, reply);
}

/* The final dot was given to the backend and no answer came. */
static void
outcome_is_unknown(struct delivery *delivery, enum backend_failure_kind kind)
{
	struct reply reply = {0};
	backend_failure_reply(kind, &reply);
	if (backend_client_has_output(delivery->client)) {
		delivery_note(delivery, RECORD_EVENT_NOTE, "the final dot had not left: the backend does not have the message");
	} else {
		delivery->unknown = true;
		delivery_note(delivery, RECORD_EVENT_NOTE, "no answer to the final dot: the backend may have the message, and it may come again");
	}
	delivery_discard(delivery);
	delivery_set_outcomes(delivery, &reply);
	reply_clear(&reply);
	delivery_finish(delivery);
}

/* An SMTP server that says 5xx in the middle of the body does not want this message, now or later. */
static bool
is_refusal_of_message(const struct delivery *delivery, const struct backend_failure *failure)
{
	return delivery->state == DELIVERY_SEND_BODY && is_smtp(delivery) && failure->kind == BACKEND_REFUSED && failure->reply != NULL;
}

void
delivery_send_failed(struct delivery *delivery, const struct backend_failure *failure)
{
	struct reply mapped = {0};
	if (delivery->state == DELIVERY_SEND_END) {
		shared_count(delivery->relay->page, COUNTER_BACKEND_FAILURES, 1);
		outcome_is_unknown(delivery, failure->kind);
		return;
	}
	if (is_refusal_of_message(delivery, failure)) {
		delivery_map_reply(delivery, failure->reply, REPLY_STEP_END_OF_DATA, &mapped);
		delivery_discard(delivery);
		delivery_set_outcomes(delivery, &mapped);
		reply_clear(&mapped);
		delivery_finish(delivery);
		return;
	}
	delivery_connection_failed(delivery, failure);
	delivery_discard(delivery);
	try_another(delivery);
}

/* The budget is over. */
void
delivery_send_expired(struct delivery *delivery)
{
	struct reply reply = {0};
	switch (delivery->state) {
	case DELIVERY_SEND_LEDGER:
	case DELIVERY_SEND_CONNECT:
	case DELIVERY_SEND_ENVELOPE:
	case DELIVERY_SEND_BODY:
		break;
	case DELIVERY_SEND_END:
		outcome_is_unknown(delivery, BACKEND_EXPIRED);
		return;
	default: /* `deliver` has the same deadline; recording has its own */
		return;
	}
	pool_cancel(delivery->relay->pool, &delivery->waiter);
	delivery_discard(delivery);
	backend_failure_reply(BACKEND_EXPIRED, &reply);
	delivery_set_outcomes(delivery, &reply);
	reply_clear(&reply);
	delivery_finish(delivery);
}
