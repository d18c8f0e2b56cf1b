/* What became of each recipient, and the one reply for all of them. Different outcomes cannot be said in one reply: the client hears 451, and
 * the ledger remembers them so that its retry neither doubles nor loses anything (design section 4, step 11). */
#include "relay/delivery.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define RECORD_TRIES 2

void
delivery_set_outcome(struct delivery *delivery, size_t index, const struct reply *mapped)
{
	struct delivery_outcome *outcome = &delivery->outcomes[index];
	if (reply_is_positive(mapped))
		outcome->outcome = LEDGER_DELIVERED;
	else
		outcome->outcome = reply_is_permanent(mapped) ? LEDGER_REFUSED : LEDGER_DEFERRED;
	reply_copy(&outcome->reply, mapped);
	if (outcome->outcome == LEDGER_DELIVERED)
		delivery->delivered = true;
}

void
delivery_set_outcomes(struct delivery *delivery, const struct reply *mapped)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (delivery->outcomes[i].outcome == LEDGER_NONE)
			delivery_set_outcome(delivery, i, mapped);
	}
}

void
delivery_forget_outcomes(struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->count; i++) {
		struct delivery_outcome *outcome = &delivery->outcomes[i];
		if (outcome->from_ledger)
			continue;
		ASSERT(outcome->outcome != LEDGER_DELIVERED);
		outcome->outcome = LEDGER_NONE;
		reply_clear(&outcome->reply);
	}
}

void
delivery_outcome_clear(struct delivery *delivery)
{
	struct deliver_client *deliver = delivery->relay->options.deliver;
	uint64_t single[] = {delivery->check_lookup.id, delivery->store_id, delivery->record_id};
	for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
		if (single[i] != 0)
			deliver_client_cancel(deliver, single[i]);
	}
	for (size_t i = 0; delivery->lookups != NULL && i < delivery->count; i++) {
		if (delivery->lookups[i].id != 0)
			deliver_client_cancel(deliver, delivery->lookups[i].id);
	}
	for (size_t i = 0; delivery->outcomes != NULL && i < delivery->count; i++)
		reply_clear(&delivery->outcomes[i].reply);
	memory_free(&delivery->lookups);
	memory_free(&delivery->outcomes);
	memory_free(&delivery->accepted);
}

/* --- looking up --- */

/* The log line of a message that is answered without asking a backend says why; of several recipients, for the first of them. */
static void
explain_entry(struct delivery *delivery, size_t index, bool taken, const char *queue_id)
{
	if (delivery->record->reason != NULL)
		return;
	char *reason = memory_format("ledger: <%s> %s before (queue ID %s)", delivery_address(delivery, index), taken ? "was given it" : "refused it",
	    queue_id);
	record_set(&delivery->record->reason, reason);
	memory_free(&reason);
}

static void
take_entry(struct delivery *delivery, size_t index, const struct ledger_entry *entry)
{
	struct delivery_outcome *outcome = &delivery->outcomes[index];
	bool taken = entry->outcome == LEDGER_DELIVERED;
	outcome->outcome = entry->outcome;
	outcome->from_ledger = true;
	delivery->delivered = delivery->delivered || taken;
	if (entry->reply.code != 0)
		reply_copy(&outcome->reply, &entry->reply);
	else
		reply_set(&outcome->reply, taken ? 250 : 550, taken ? "2.0.0" : "5.0.0", taken ? "Ok" : "Refused before");
	shared_count(delivery->relay->page, COUNTER_LEDGER_HITS, 1);
	explain_entry(delivery, index, taken, entry->queue_id);
	delivery_note(delivery, RECORD_EVENT_LEDGER, "<%s>: this message was %s before (queue ID %s): %d, not sent again",
	    delivery_address(delivery, index), taken ? "delivered" : "refused", entry->queue_id, outcome->reply.code);
}

/* All answers are in. */
static void
lookups_done(struct delivery *delivery)
{
	struct reply reply = {0};
	if (delivery->ledger_lost && delivery->count > 1) {
		delivery_note(delivery, RECORD_EVENT_LEDGER, "the ledger is not available, and several recipients cannot do without it");
		reply_set(&reply, 451, "4.3.0", "Not now; try again later");
		delivery_set_outcomes(delivery, &reply);
		reply_clear(&reply);
		delivery_discard(delivery);
	} else if (delivery->ledger_lost) {
		delivery_note(delivery, RECORD_EVENT_LEDGER, "the ledger is not available: an earlier delivery of this message would not be seen");
	}
	delivery_send_go_on(delivery);
}

static void
on_lookup(void *context, enum deliver_status status, const struct ledger_entry *entries, size_t count)
{
	struct delivery_lookup *lookup = context;
	struct delivery *delivery = lookup->delivery;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	lookup->id = 0;
	if (status != DELIVER_DONE)
		delivery->ledger_lost = true;
	for (size_t i = 0; status == DELIVER_DONE && i < count; i++) {
		if (entries[i].outcome != LEDGER_DELIVERED && entries[i].outcome != LEDGER_REFUSED)
			continue;
		take_entry(delivery, lookup->index, &entries[i]);
		break;
	}
	if (--delivery->lookups_open == 0 && delivery->state == DELIVERY_SEND_LEDGER)
		lookups_done(delivery);
}

void
delivery_ask_ledger(struct delivery *delivery)
{
	struct relay *relay = delivery->relay;
	bool available = relay_ledger_available(relay);
	delivery_change_state(delivery, DELIVERY_SEND_LEDGER);
	if (relay->options.deliver == NULL || !delivery->has_hash || (available && !relay_ledger_has_entries(relay))) {
		delivery_send_go_on(delivery);
		return;
	}
	delivery->lookups = memory_new_array(delivery->count, sizeof *delivery->lookups);
	delivery->lookups_open = delivery->count;
	for (size_t i = 0; i < delivery->count; i++) {
		struct delivery_lookup *lookup = &delivery->lookups[i];
		struct ledger_entry entry = {0};
		lookup->delivery = delivery;
		lookup->index = i;
		ledger_make_keys(delivery->envelope->sender, delivery->envelope->recipients[i].address, delivery->hash, &entry);
		lookup->id = deliver_client_ledger_lookup(relay->options.deliver, entry.address_key, entry.message_key,
		    RELAY_LEDGER_TIMEOUT_MS, on_lookup, lookup);
	}
}

/* --- the one reply --- */

static void
tell(struct delivery *delivery)
{
	struct reply *replies = memory_new_array(delivery->count, sizeof *replies);
	struct delivery_result result = {
		.reply = delivery->reply,
		.backend = delivery->reached,
		.backend_reply = delivery->backend_reply,
		.recipient_replies = replies,
		.delivered = delivery->delivered,
	};
	/* Borrowed: the delivery still owns them, and may be freed in the callback. */
	for (size_t i = 0; i < delivery->count; i++)
		replies[i] = delivery->outcomes[i].reply;
	evtimer_del(delivery->timer);
	delivery_change_state(delivery, DELIVERY_DONE);
	delivery->callbacks->on_done(delivery->context, &result);
	memory_free(&replies);
}

static size_t
count_outcomes(const struct delivery *delivery, enum ledger_outcome outcome)
{
	size_t count = 0;
	for (size_t i = 0; i < delivery->count; i++)
		count += delivery->outcomes[i].outcome == outcome;
	return count;
}

/* The reply of the first recipient with this outcome. */
static const struct reply *
first_reply(const struct delivery *delivery, enum ledger_outcome outcome)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (delivery->outcomes[i].outcome == outcome)
			return &delivery->outcomes[i].reply;
	}
	return NULL;
}

/* True: outcomes differ, and some of them are final. */
static bool
fold(struct delivery *delivery)
{
	size_t delivered = count_outcomes(delivery, LEDGER_DELIVERED);
	size_t refused = count_outcomes(delivery, LEDGER_REFUSED);
	const struct reply *deferred = first_reply(delivery, LEDGER_DEFERRED);
	if (delivered == delivery->count)
		reply_set(&delivery->reply, 250, "2.0.0", "Ok");
	else if (refused == delivery->count)
		reply_copy(&delivery->reply, first_reply(delivery, LEDGER_REFUSED));
	else if (deferred != NULL)
		reply_copy(&delivery->reply, deferred);
	else
		reply_set(&delivery->reply, 451, "4.3.0", "Recipients have different results; send it again to hear each");
	return delivered != delivery->count && refused != delivery->count && delivered + refused > 0;
}

static const char *
outcome_text(enum ledger_outcome outcome)
{
	return outcome == LEDGER_DELIVERED ? "delivered" : outcome == LEDGER_REFUSED ? "refused" : "deferred";
}

/* The outcomes that this delivery brought. 4xx is not one: the retry just tries again. But when all came with recorded outcomes, of other
 * messages too, nothing else would keep the deferred one apart from those who have this message: then it is worth an entry. */
static size_t
make_entries(struct delivery *delivery, struct ledger_entry *entries)
{
	size_t count = 0;
	for (size_t i = 0; i < delivery->count; i++) {
		const struct delivery_outcome *outcome = &delivery->outcomes[i];
		struct ledger_entry *entry = &entries[count];
		if (outcome->from_ledger || (outcome->outcome == LEDGER_DEFERRED && delivery->ledger_class == LEDGER_NONE))
			continue;
		ledger_make_keys(delivery->envelope->sender, delivery->envelope->recipients[i].address, delivery->hash, entry);
		entry->outcome = outcome->outcome;
		entry->reply = outcome->reply; /* borrowed for the call */
		memcpy(entry->queue_id, delivery->queue_id, sizeof entry->queue_id);
		if (delivery->record_tries == 0)
			delivery_note(delivery, RECORD_EVENT_LEDGER, "<%s>: recording %s, %d", delivery_address(delivery, i),
			    outcome_text(outcome->outcome), outcome->reply.code);
		count++;
	}
	return count;
}

static void record_outcomes(struct delivery *delivery);

static void
on_recorded(void *context, bool ok)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	delivery->record_id = 0;
	if (!ok && delivery->record_tries < RECORD_TRIES) {
		record_outcomes(delivery); /* that deliver died; the next is soon there, and recording twice does no harm */
		return;
	}
	if (!ok)
		delivery_note(delivery, RECORD_EVENT_LEDGER, "the outcomes could not be recorded: the retry may double");
	else if (delivery->in_flight >= 0) /* whatever happens to us now, the retry finds them */
		shared_in_flight_set(delivery->relay->page, delivery->in_flight, IN_FLIGHT_RECEIVED);
	tell(delivery);
}

static void
record_outcomes(struct delivery *delivery)
{
	struct deliver_client *deliver = delivery->relay->options.deliver;
	struct ledger_entry *entries = memory_new_array(delivery->count, sizeof *entries);
	size_t count = make_entries(delivery, entries);
	delivery->record_tries++;
	delivery_change_state(delivery, DELIVERY_SEND_RECORD);
	if (count > 0)
		delivery->record_id = deliver_client_ledger_record(deliver, entries, count, RELAY_LEDGER_TIMEOUT_MS, on_recorded, delivery);
	memory_free(&entries);
	if (count == 0)
		tell(delivery);
}

void
delivery_finish(struct delivery *delivery)
{
	bool mixed = fold(delivery);
	if (delivery->unknown && delivery->record->reason == NULL)
		record_set(&delivery->record->reason, "no answer to the final dot: the backend may have the message");
	if (mixed && (delivery->relay->options.deliver == NULL || !delivery->has_hash)) {
		delivery_note(delivery, RECORD_EVENT_LEDGER, "outcomes differ and there is no ledger: the retry may double");
		mixed = false;
	}
	if (mixed)
		record_outcomes(delivery);
	else
		tell(delivery);
}
