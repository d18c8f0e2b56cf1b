/* A recipient, while the client waits for the answer to RCPT: ledger, cache, then the backend itself. Afterwards the connection is
 * held for the delivery, if the client is quick and nobody else needs it. */
#include "relay/delivery.h"

#include "base/assert.h"

static void
answer(struct delivery *delivery, const struct reply *reply)
{
	delivery_change_state(delivery, DELIVERY_IDLE);
	delivery->callbacks->on_recipient(delivery->context, delivery->checked, reply);
}

static void
accept_recipient(struct reply *reply)
{
	reply_set(reply, 250, "2.1.5", "Ok");
}

/* --- the connection between two commands of the client --- */

static void
hold(struct delivery *delivery)
{
	int64_t hold_ms = delivery->relay->options.config->timeouts.backend_hold;
	struct timeval hold_time = {.tv_sec = hold_ms / 1000, .tv_usec = hold_ms % 1000 * 1000};
	if (delivery->client == NULL)
		return;
	if (hold_ms <= 0 || delivery->hold_over || !pool_hold(delivery->relay->pool, delivery->client)) {
		delivery_release(delivery);
		return;
	}
	/* Counted from the first check: a client that names a recipient now and then is slow too. */
	if (!evtimer_pending(delivery->hold_timer, NULL))
		evtimer_add(delivery->hold_timer, &hold_time);
}

void
delivery_hold_ended(struct delivery *delivery)
{
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	delivery->hold_over = true;
	if (delivery_uses_client(delivery))
		return;
	delivery_note(delivery, RECORD_EVENT_NOTE, "the client is slow: giving the connection to %s back",
	    backend_names_text(delivery->relay->names, delivery->backend));
	delivery_release(delivery);
}

/* --- asking the backend --- */

static void
ask_backend(struct delivery *delivery)
{
	delivery_change_state(delivery, DELIVERY_CHECK_REPLY);
	if (delivery->said_sender == NULL)
		delivery_say_mail(delivery, delivery->envelope->size_declared ? delivery->envelope->size : 0);
	delivery_say_recipient(delivery, delivery->checked);
}

/* True: *reply is the answer already. */
static bool
try_backends(struct delivery *delivery, struct reply *reply)
{
	switch (delivery_find_way(delivery)) {
	case DELIVERY_WAY_CLIENT:
		ask_backend(delivery);
		return false;
	case DELIVERY_WAY_WAIT:
		delivery_change_state(delivery, DELIVERY_CHECK_CONNECT);
		return false;
	case DELIVERY_WAY_STORE:
		accept_recipient(reply); /* every recipient of our domains has a Maildir */
		return true;
	case DELIVERY_WAY_NONE:
		break;
	}
	delivery_no_way(delivery, reply);
	return true;
}

void
delivery_check_go_on(struct delivery *delivery)
{
	struct reply reply = {0};
	if (try_backends(delivery, &reply))
		answer(delivery, &reply);
	reply_clear(&reply);
}

void
delivery_check_connected(struct delivery *delivery)
{
	ask_backend(delivery);
}

static void
remember(struct delivery *delivery, const struct reply *reply)
{
	const struct envelope *envelope = delivery->envelope;
	recipient_cache_store(
	    delivery->relay->cache, delivery->route, envelope->sender, envelope->recipients[delivery->checked].address, reply);
}

/* MAIL was refused: for good, or by this backend now. */
static void
mail_refused(struct delivery *delivery, const struct reply *mapped)
{
	delivery_release(delivery);
	if (reply_is_permanent(mapped)) {
		remember(delivery, mapped);
		answer(delivery, mapped);
		return;
	}
	delivery_backend_failed(delivery, mapped);
	delivery_check_go_on(delivery);
}

static void
recipient_answered(struct delivery *delivery, struct reply *mapped)
{
	bool accepted = reply_is_positive(mapped);
	if (accepted) {
		delivery_remember_recipient(delivery, delivery->checked);
		accept_recipient(mapped);
	}
	remember(delivery, mapped);
	hold(delivery);
	answer(delivery, mapped);
}

void
delivery_check_reply(struct delivery *delivery, enum backend_command command, const struct reply *reply)
{
	struct reply mapped = {0};
	enum reply_step step = command == BACKEND_COMMAND_MAIL ? REPLY_STEP_MAIL : REPLY_STEP_RCPT;
	delivery_map_reply(delivery, reply, step, &mapped);
	if (command == BACKEND_COMMAND_RCPT)
		recipient_answered(delivery, &mapped);
	else if (!reply_is_positive(&mapped))
		mail_refused(delivery, &mapped);
	reply_clear(&mapped);
}

/* --- cache --- */

static bool
cache_answers(struct delivery *delivery, struct reply *reply)
{
	const struct envelope *envelope = delivery->envelope;
	const char *address = envelope->recipients[delivery->checked].address;
	const struct reply *known = recipient_cache_find(delivery->relay->cache, delivery->route, envelope->sender, address);
	if (known == NULL)
		return false;
	/* The cache does not say whether the backend takes SMTPUTF8; only it knows. */
	if (envelope->smtputf8 && reply_is_positive(known))
		return false;
	reply_copy(reply, known);
	shared_count(delivery->relay->page, COUNTER_RECIPIENT_CACHE_HITS, 1);
	delivery_note(delivery, RECORD_EVENT_NOTE, "recipient known from a check a moment ago: %d", reply->code);
	return true;
}

/* True: *reply is the answer already. */
static bool
check_without_ledger(struct delivery *delivery, struct reply *reply)
{
	if (cache_answers(delivery, reply))
		return true;
	delivery_forget_tries(delivery);
	if (delivery->client == NULL)
		return try_backends(delivery, reply);
	pool_unhold(delivery->relay->pool, delivery->client);
	delivery->reused = true; /* it may have been hung up while we held it */
	ask_backend(delivery);
	return false;
}

/* --- ledger --- */

/* With a recorded outcome, an address is never refused here: it may be the retry of a message that it has got already. Whose outcomes
 * differ cannot share the one reply that follows. True: *reply is the answer. */
static bool
check_class(struct delivery *delivery, enum ledger_outcome class, bool alone, struct reply *reply)
{
	if (delivery->checked > 0 && (class != delivery->ledger_class || alone || delivery->ledger_alone)) {
		reply_set(reply, 452, "4.5.3", "This recipient needs a transaction of its own, send it next");
		delivery_note(delivery, RECORD_EVENT_LEDGER, "recorded outcome differs from that of the recipients before");
		return true;
	}
	delivery->ledger_class = class;
	delivery->ledger_alone = alone;
	if (class == LEDGER_NONE)
		return check_without_ledger(delivery, reply);
	delivery_note(delivery, RECORD_EVENT_LEDGER, "an earlier message to this recipient has a recorded outcome: not asking the backend");
	accept_recipient(reply);
	return true;
}

/* Without the ledger, mixed outcomes could not be kept apart: one recipient per transaction has none. */
static bool
check_without_knowing(struct delivery *delivery, struct reply *reply)
{
	delivery->ledger_class = LEDGER_NONE;
	delivery->ledger_alone = false;
	if (delivery->checked == 0)
		return check_without_ledger(delivery, reply);
	reply_set(reply, 452, "4.5.3", "One recipient at a time, please send this one next");
	delivery_note(delivery, RECORD_EVENT_LEDGER, "the ledger is not available: one recipient per transaction");
	return true;
}

static void
on_lookup(void *context, enum deliver_status status, const struct ledger_entry *entries, size_t count)
{
	struct delivery_lookup *lookup = context;
	struct delivery *delivery = lookup->delivery;
	struct reply reply = {0};
	enum ledger_outcome class = LEDGER_NONE;
	bool alone = false;
	bool answered;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	lookup->id = 0;
	/* A deferred recipient is like one that was never tried. With outcomes of different kinds nobody can say here which one this message
	 * has had: together with others the transaction might be mixed at every retry. */
	for (size_t i = 0; i < count; i++) {
		if (class == LEDGER_NONE && entries[i].outcome != LEDGER_DEFERRED)
			class = entries[i].outcome;
		alone = alone || entries[i].outcome != entries[0].outcome;
	}
	if (status != DELIVER_DONE)
		answered = check_without_knowing(delivery, &reply);
	else
		answered = check_class(delivery, class, alone, &reply);
	if (answered)
		answer(delivery, &reply);
	reply_clear(&reply);
}

static void
ask_ledger(struct delivery *delivery)
{
	static const uint8_t no_hash[LEDGER_KEY_SIZE];
	struct ledger_entry entry = {0};
	delivery_change_state(delivery, DELIVERY_CHECK_LEDGER);
	ledger_make_keys(delivery->envelope->sender, delivery->envelope->recipients[delivery->checked].address, no_hash, &entry);
	delivery->check_lookup.delivery = delivery;
	delivery->check_lookup.id = deliver_client_ledger_lookup(delivery->relay->options.deliver, entry.address_key, NULL,
	    RELAY_LEDGER_TIMEOUT_MS, on_lookup, &delivery->check_lookup);
}

bool
delivery_check_recipient(struct delivery *delivery, size_t index, struct reply *reply)
{
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	ASSERT(delivery->state == DELIVERY_IDLE && index + 1 == delivery->envelope->recipient_count);
	delivery->checked = index;
	if (!relay_ledger_available(delivery->relay))
		return check_without_knowing(delivery, reply);
	if (!relay_ledger_has_entries(delivery->relay))
		return check_class(delivery, LEDGER_NONE, false, reply);
	ask_ledger(delivery);
	return false;
}
