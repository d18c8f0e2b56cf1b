/* Stands in for `deliver` at link time: a ledger in memory and a Maildir that only counts. Its callbacks come from the event loop, as the
 * real ones do. One per test program. */
#ifndef POSTERN_TESTS_DELIVER_STUB_H
#define POSTERN_TESTS_DELIVER_STUB_H

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "deliver/deliver_client.h"

struct deliver_stub_call {
	struct deliver_stub_call *next;
	uint64_t id;
	struct event *event;
	deliver_store_callback *store;
	deliver_lookup_callback *lookup;
	deliver_recorded_callback *recorded;
	void *context;
	uint8_t address_key[LEDGER_KEY_SIZE], message_key[LEDGER_KEY_SIZE];
	bool by_message;
	size_t count;
};

struct deliver_client {
	struct event_base *base;
	bool connected;
	bool lost; /* every call is lost */
	bool hangs; /* no call is answered */
	struct ledger_entry entries[64];
	size_t entry_count;
	struct shared_page *page; /* whose gauge of entries is kept, or NULL */
	unsigned lookups, stored_recipients;
	const char *store_reply; /* "452 4.2.2 full" for the second recipient, or NULL */
	struct deliver_stub_call *calls;
	uint64_t next_id;
};

static void
deliver_stub_drop(struct deliver_client *client, struct deliver_stub_call *call)
{
	struct deliver_stub_call **at = &client->calls;
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	event_free(call->event);
	memory_free(&call);
}


static struct deliver_client *deliver_stub_current;

static void
deliver_stub_answer(evutil_socket_t descriptor, short what, void *context)
{
	struct deliver_stub_call call = *(struct deliver_stub_call *)context;
	struct deliver_client *client = deliver_stub_current;
	struct ledger_entry found[16];
	struct reply replies[16] = {0};
	size_t count = 0;
	enum deliver_status status = client->lost ? DELIVER_LOST : DELIVER_DONE;
	(void)descriptor;
	(void)what;
	deliver_stub_drop(client, context);
	if (call.recorded != NULL) {
		call.recorded(call.context, !client->lost);
		return;
	}
	if (call.store != NULL) {
		for (size_t i = 0; i < call.count && i < 16; i++) {
			if (i == 1 && client->store_reply != NULL)
				reply_set(&replies[i], 452, "4.2.2", "%s", client->store_reply);
			else
				reply_set(&replies[i], 250, "2.0.0", "Ok");
		}
		call.store(call.context, status, client->lost ? NULL : replies, client->lost ? 0 : call.count);
		for (size_t i = 0; i < 16; i++)
			reply_clear(&replies[i]);
		return;
	}
	for (size_t i = client->entry_count; i > 0 && count < 16; i--) {
		const struct ledger_entry *entry = &client->entries[i - 1];
		if (memcmp(entry->address_key, call.address_key, LEDGER_KEY_SIZE) != 0)
			continue;
		if (call.by_message && memcmp(entry->message_key, call.message_key, LEDGER_KEY_SIZE) != 0)
			continue;
		found[count++] = *entry;
	}
	call.lookup(call.context, status, found, status == DELIVER_DONE ? count : 0);
}

static struct deliver_stub_call *
deliver_stub_call_new(struct deliver_client *client, void *context)
{
	struct timeval soon = {0, 1000};
	struct deliver_stub_call *call = memory_new(sizeof *call);
	call->id = ++client->next_id;
	call->context = context;
	call->next = client->calls;
	client->calls = call;
	call->event = evtimer_new(client->base, deliver_stub_answer, call);
	if (!client->hangs)
		evtimer_add(call->event, &soon);
	return call;
}

struct deliver_client *
deliver_client_new(struct event_base *base)
{
	struct deliver_client *client = memory_new(sizeof *client);
	client->base = base;
	client->connected = true;
	deliver_stub_current = client;
	return client;
}

void
deliver_client_free(struct deliver_client **client)
{
	while ((*client)->calls != NULL)
		deliver_stub_drop(*client, (*client)->calls);
	for (size_t i = 0; i < (*client)->entry_count; i++)
		reply_clear(&(*client)->entries[i].reply);
	memory_free(client);
}

bool
deliver_client_is_connected(const struct deliver_client *client)
{
	return client->connected;
}

void
deliver_client_cancel(struct deliver_client *client, uint64_t id)
{
	for (struct deliver_stub_call *call = client->calls; call != NULL; call = call->next) {
		if (call->id == id) {
			deliver_stub_drop(client, call);
			return;
		}
	}
}

uint64_t
deliver_client_store(struct deliver_client *client, unsigned backend, const char *queue_id, const struct view *view,
    const struct envelope *envelope, int64_t timeout_ms, deliver_store_callback *callback, void *context)
{
	struct deliver_stub_call *call = deliver_stub_call_new(client, context);
	(void)backend;
	(void)queue_id;
	(void)view;
	(void)timeout_ms;
	call->store = callback;
	call->count = envelope->recipient_count;
	client->stored_recipients += (unsigned)envelope->recipient_count;
	return call->id;
}

/* No hash here: the words themselves, as far as they fit. */
void
ledger_make_keys(const char *sender, const char *recipient, const uint8_t *message_hash, struct ledger_entry *entry)
{
	memset(entry->address_key, 0, LEDGER_KEY_SIZE);
	snprintf((char *)entry->address_key, LEDGER_KEY_SIZE, "%s>%s", sender, recipient);
	memcpy(entry->message_key, entry->address_key, LEDGER_KEY_SIZE);
	for (size_t i = 0; i < LEDGER_KEY_SIZE; i++)
		entry->message_key[i] ^= message_hash[i];
}

uint64_t
deliver_client_ledger_lookup(struct deliver_client *client, const uint8_t *address_key, const uint8_t *message_key, int64_t timeout_ms,
    deliver_lookup_callback *callback, void *context)
{
	struct deliver_stub_call *call = deliver_stub_call_new(client, context);
	(void)timeout_ms;
	call->lookup = callback;
	memcpy(call->address_key, address_key, LEDGER_KEY_SIZE);
	call->by_message = message_key != NULL;
	if (message_key != NULL)
		memcpy(call->message_key, message_key, LEDGER_KEY_SIZE);
	client->lookups++;
	return call->id;
}

uint64_t
deliver_client_ledger_record(struct deliver_client *client, const struct ledger_entry *entries, size_t count, int64_t timeout_ms,
    deliver_recorded_callback *callback, void *context)
{
	struct deliver_stub_call *call = deliver_stub_call_new(client, context);
	(void)timeout_ms;
	call->recorded = callback;
	for (size_t i = 0; i < count && !client->lost; i++) {
		struct ledger_entry *entry = &client->entries[client->entry_count++];
		*entry = entries[i];
		entry->reply = (struct reply){0};
		reply_copy(&entry->reply, &entries[i].reply);
		if (client->page != NULL)
			shared_gauge_add(client->page, GAUGE_LEDGER_ENTRIES, 1);
	}
	return call->id;
}

#endif
