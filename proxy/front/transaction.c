/* A transaction's life: envelope, recipients with the backend's answers, the record, the final reply. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/printable.h"
#include "front/judge.h"
#include "front/transaction.h"
#include "relay/capabilities.h"

static void on_recipient(void *context, size_t index, const struct reply *reply);
static void on_done(void *context, const struct delivery_result *result);
static bool may_finish(void *context);

static const struct delivery_callbacks delivery_callbacks = {on_recipient, on_done, may_finish};

struct record *
transaction_record(struct transaction *transaction)
{
	return &transaction->record;
}

bool
transaction_is_utf8(const struct transaction *transaction)
{
	return transaction->envelope.smtputf8;
}

bool
transaction_is_being_delivered(const struct transaction *transaction)
{
	return transaction->stage == DELIVERY_SENDING;
}

static void
begin_record(struct transaction *transaction)
{
	const struct session *session = transaction->session;
	const struct front *front = session->front;
	struct record *record = &transaction->record;
	char address[IP_ADDRESS_TEXT_SIZE];

	snprintf(record->queue_id, sizeof record->queue_id, "%s", transaction->queue_id);
	snprintf(record->session_id, sizeof record->session_id, "%s", session->session_id);
	record->result = RECORD_ABANDONED;
	record->started_us = clock_wall_us(front->clock);
	record->began_monotonic_us = clock_monotonic_us(front->clock);
	record->client = session->client;
	record->client_port = session->client_port;
	record_set(&record->reverse_name, session->reverse_name);
	record_set(&record->helo, session->helo);
	record_set(&record->sender, transaction->envelope.sender);
	record_event(record, front->clock, RECORD_EVENT_CONNECT, "[%s]:%u session %s, %s %s", ip_address_format(&session->client, address),
	    session->client_port, session->session_id, session->extended ? "EHLO" : "HELO", session->helo != NULL ? session->helo : "(none)");
}

void
transaction_describe(struct transaction *transaction, struct chain_subject *subject)
{
	const struct session *session = transaction->session;
	bool has_message = transaction->stage != DELIVERY_NOT_YET;

	*subject = (struct chain_subject){
		.queue_id = transaction->queue_id,
		.client = session->client,
		.reverse_name = session->reverse_name,
		.reverse_status = session->reverse_status,
		.helo = session->helo,
		.extended = session->extended,
		.envelope = &transaction->envelope,
		.message = has_message ? transaction->message : NULL,
		.headers = has_message ? &transaction->headers : NULL,
		.record = &transaction->record,
	};
}

static void
begin_filters(struct transaction *transaction)
{
	struct chain *chain = transaction->session->front->chain;
	struct chain_subject subject;

	if (chain_is_empty(chain))
		return;
	transaction_describe(transaction, &subject);
	transaction->run = chain_run_new(chain, &subject);
}

struct transaction *
transaction_new(struct session *session, struct mail_arguments *arguments)
{
	struct transaction *transaction = memory_new(sizeof *transaction);
	struct envelope *envelope = &transaction->envelope;

	transaction->magic = TRANSACTION_MAGIC;
	transaction->session = session;
	transaction->route = -1;
	transaction->in_flight = -1;
	queue_id_make(&session->front->ids, transaction->queue_id);
	envelope->sender = address_to_string(&arguments->sender);
	envelope->sender_domain = memory_copy_string(arguments->sender.domain_lower != NULL ? arguments->sender.domain_lower : "");
	envelope->body = arguments->body;
	envelope->smtputf8 = arguments->smtputf8;
	envelope->size_declared = arguments->size_declared;
	envelope->size = arguments->size;
	envelope->ret = arguments->ret;
	envelope->envelope_id = arguments->envelope_id;
	arguments->ret = NULL;
	arguments->envelope_id = NULL;
	begin_record(transaction);
	begin_filters(transaction);
	shared_gauge_add(session->front->page, GAUGE_TRANSACTIONS, 1);
	return transaction;
}

static void
record_set_reply(struct record *record, const struct reply *reply)
{
	struct buffer text = {0};

	reply_append_text(&text, reply);
	record_set(&record->reply, buffer_text(&text));
	buffer_free(&text);
}

/* All recipients were refused: what the last of them heard is what happened to it. */
static bool
explain_refused(struct transaction *transaction)
{
	struct record *record = &transaction->record;
	const char *last;

	if (record->recipient_count == 0 || transaction->envelope.recipient_count > 0)
		return false;
	last = record->recipients[record->recipient_count - 1].reply;
	record->result = last[0] == '4' ? RECORD_TEMPFAILED : RECORD_REJECTED;
	record_set(&record->reply, last);
	record_set(&record->reason, "no recipient was accepted");
	return true;
}

/* A transaction that was not answered after its message. */
static void
explain_unfinished(struct transaction *transaction)
{
	struct record *record = &transaction->record;

	if (transaction->final.code != 0) {
		if (record->reply == NULL)
			record_set_reply(record, &transaction->final);
		return;
	}
	if (!explain_refused(transaction))
		record_set(&record->reason, transaction->session->client_gone ? "the client left before the end of data" :
		    "the client reset or ended the transaction");
}

static void
count_result(struct shared_page *page, enum record_result result)
{
	switch (result) {
	case RECORD_ACCEPTED: shared_count(page, COUNTER_MESSAGES_ACCEPTED, 1); break;
	case RECORD_REJECTED: shared_count(page, COUNTER_MESSAGES_REJECTED, 1); break;
	case RECORD_TEMPFAILED: shared_count(page, COUNTER_MESSAGES_TEMPFAILED, 1); break;
	case RECORD_DISCARDED: shared_count(page, COUNTER_MESSAGES_DISCARDED, 1); break;
	case RECORD_QUARANTINED: shared_count(page, COUNTER_MESSAGES_QUARANTINED, 1); break;
	case RECORD_DOUBLE_WINDOW: shared_count(page, COUNTER_DOUBLE_WINDOW, 1); break;
	default: shared_count(page, COUNTER_MESSAGES_ABANDONED, 1); break;
	}
}

void
transaction_free(struct transaction **transaction_address)
{
	struct transaction *transaction = *transaction_address;
	struct front *front = transaction->session->front;

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	if (transaction->delivery != NULL)
		delivery_free(&transaction->delivery);
	if (transaction->quarantine_id != 0)
		deliver_client_cancel(front->deliver, transaction->quarantine_id);
	chain_run_free(&transaction->run);
	explain_unfinished(transaction);
	transaction->record.finished_us = clock_wall_us(front->clock);
	count_result(front->page, transaction->record.result);
	front_publish(front, &transaction->record, transaction->in_flight);
	shared_gauge_add(front->page, GAUGE_TRANSACTIONS, -1);
	if (transaction->data_deadline != NULL)
		event_free(transaction->data_deadline);
	view_clear(&transaction->view);
	header_block_clear(&transaction->headers);
	buffer_free(&transaction->header_bytes);
	if (transaction->message != NULL)
		message_store_free(&transaction->message);
	envelope_clear(&transaction->envelope);
	reply_clear(&transaction->refusal);
	reply_clear(&transaction->final);
	record_clear(&transaction->record);
	transaction->magic = 0;
	memory_free(transaction_address);
}

/* --- recipients --- */

/* RFC 5321 2.4: the domain in any case, the local part as it is. */
static bool
is_same_mailbox(const char *one, const char *other)
{
	size_t local_part = (size_t)(strrchr(one, '@') - one) + 1;

	return strncmp(one, other, local_part) == 0 && strcasecmp(one + local_part, other + local_part) == 0;
}

static bool
is_known_already(const struct envelope *envelope, const char *address)
{
	for (size_t i = 0; i < envelope->recipient_count; i++)
		if (is_same_mailbox(envelope->recipients[i].address, address))
			return true;
	return false;
}

static void
note_recipient(struct transaction *transaction, const char *address, const struct reply *reply)
{
	struct buffer text = {0};

	reply_append_text(&text, reply);
	record_add_recipient(&transaction->record, address, reply_is_positive(reply), buffer_text(&text));
	buffer_free(&text);
	if (reply_is_permanent(reply))
		shared_count(transaction->session->front->page, COUNTER_RECIPIENTS_REJECTED, 1);
}

static void
refuse_recipient(struct transaction *transaction, const char *address, int code, const char *enhanced, const char *text)
{
	struct reply reply = {0};

	reply_set(&reply, code, enhanced, "<%s>: %s", address, text);
	note_recipient(transaction, address, &reply);
	session_reply(transaction->session, &reply);
	reply_clear(&reply);
}

static void
recipient_answered(struct transaction *transaction, const struct reply *reply)
{
	struct envelope *envelope = &transaction->envelope;

	note_recipient(transaction, envelope->recipients[envelope->recipient_count - 1].address, reply);
	if (!reply_is_positive(reply))
		envelope_remove_last_recipient(envelope);
	session_reply(transaction->session, reply);
}

static void
on_recipient(void *context, size_t index, const struct reply *reply)
{
	struct transaction *transaction = context;
	struct session *session = transaction->session;

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	ASSERT(index + 1 == transaction->envelope.recipient_count);
	recipient_answered(transaction, reply);
	session_proceed(session);
}

/* Bare <postmaster> is the administrator's, whatever the domains are (RFC 5321 4.5.1). */
static bool
resolve_postmaster(const struct config *config, struct address *address)
{
	if (address->domain[0] != '\0')
		return true;
	address_clear(address);
	return address_parse_mailbox(span_of(config->postmaster), true, address) == ADDRESS_OK;
}

void
transaction_add_recipient(struct transaction *transaction, struct rcpt_arguments *arguments)
{
	struct session *session = transaction->session;
	struct front *front = session->front;
	struct address *address = &arguments->recipient;
	bool is_postmaster = address->domain[0] == '\0';
	char *text;
	int route;

	if (!resolve_postmaster(front->config, address)) {
		session_reply_text(session, 451, "4.3.5", "postmaster address is not configured");
		return;
	}
	text = address_to_string(address);
	route = relay_route_find(front->relay, address->domain_lower);
	if (route < 0 || (!is_postmaster && !config_domain_is_ours(front->config, address->domain_lower))) {
		refuse_recipient(transaction, text, 550, "5.7.1", "relay access denied");
	} else if (transaction->envelope.recipient_count >= front->config->limits.recipients) {
		refuse_recipient(transaction, text, 452, "4.5.3", "too many recipients");
	} else if (is_known_already(&transaction->envelope, text)) {
		session_reply_text(session, 250, "2.1.5", "Ok");
	} else if (transaction->route >= 0 && route != transaction->route && transaction->envelope.recipient_count > 0) {
		refuse_recipient(transaction, text, 452, "4.5.3", "this recipient needs a transaction of its own, send it next");
	} else {
		struct recipient *recipient = envelope_add_recipient(&transaction->envelope, text, address->domain_lower);
		struct reply reply = {0};

		recipient->notify = arguments->notify;
		recipient->original_recipient = arguments->original_recipient;
		arguments->original_recipient = NULL;
		if (transaction->delivery != NULL && transaction->route != route)
			delivery_free(&transaction->delivery);
		transaction->route = route;
		if (transaction->delivery == NULL)
			transaction->delivery = delivery_new(front->relay, route, &transaction->envelope, &transaction->record,
			    transaction->queue_id, &delivery_callbacks, transaction);
		if (delivery_check_recipient(transaction->delivery, transaction->envelope.recipient_count - 1, &reply))
			recipient_answered(transaction, &reply);
		else
			session_wait(session);
		reply_clear(&reply);
	}
	memory_free(&text);
}

/* --- the end --- */

static void
on_done(void *context, const struct delivery_result *result)
{
	struct transaction *transaction = context;

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	judge_delivered(transaction, result);
}

static bool
may_finish(void *context)
{
	struct transaction *transaction = context;

	CHECK_MAGIC(transaction, TRANSACTION_MAGIC);
	return judge_may_finish(transaction);
}

void
transaction_reverse_name_known(struct transaction *transaction)
{
	record_set(&transaction->record.reverse_name, transaction->session->reverse_name);
	if (!transaction->waits_for_reverse_name)
		return;
	transaction->waits_for_reverse_name = false;
	judge_go_on(transaction);
}

/* What there is room for of the text when `behind` stands behind its last line. */
static struct span
text_cut(const struct reply *reply, const char *behind)
{
	const char *last = strrchr(reply->text, '\n');
	size_t used = strlen("250 ") + strlen(reply->enhanced) + strlen(" ") + strlen(behind) + strlen("\r\n");

	last = last != NULL ? last + 1 : reply->text;
	return span_make(reply->text, (size_t)(last - reply->text) + printable_cut(span_of(last), REPLY_WIRE_LINE_MAX - used).length);
}

/* Every final reply names the queue ID, so that an administrator can ask the trace about it. */
static void
add_queue_id(struct reply *reply, const char *queue_id)
{
	bool is_bare = reply->code == 250 && (reply->text[0] == '\0' || strcmp(reply->text, "Ok") == 0);
	char *behind = memory_format(reply->code == 250 ? "%sOk: queued as %s" : "%s(queue ID %s)", is_bare ? "" : " ", queue_id);
	struct span text = is_bare ? span_of("") : text_cut(reply, behind);
	char *whole = memory_format("%.*s%s", (int)text.length, text.at, behind);

	memory_free(&reply->text);
	memory_free(&behind);
	reply->text = whole;
}

const struct reply *
transaction_cut_off(struct transaction *transaction, const struct reply *reply)
{
	if (transaction->final.code != 0)
		return reply;
	reply_copy(&transaction->final, reply);
	add_queue_id(&transaction->final, transaction->queue_id);
	if (!explain_refused(transaction))
		transaction->record.result = RECORD_TEMPFAILED;
	return &transaction->final;
}

void
transaction_finish(struct transaction *transaction, const struct reply *reply, enum record_result result)
{
	struct session *session = transaction->session;

	transaction->stage = DELIVERY_OVER;
	reply_copy(&transaction->final, reply);
	add_queue_id(&transaction->final, transaction->queue_id);
	record_set_reply(&transaction->record, &transaction->final);
	transaction->record.result = result;
	session->idle_commands = 0;
	session_reply(session, &transaction->final);
	transaction_free(&session->transaction);
	session_proceed(session);
}
