/* Requests to deliver and their lives: made at once, sent now or when a deliver is there, answered, lost or too late. A request that
 * was sent to a deliver that died is lost, never sent again: nobody knows how far it came. Never blocks. */
#include "deliver/deliver_client.h"

#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/id_map.h"
#include "base/log.h"
#include "base/memory.h"
#include "deliver/protocol.h"
#include "deliver/quarantine.h"
#include "wire/channel.h"
#include "wire/message_store.h"

#define WAITING_BYTES_MAX (64u << 20) /* of requests held while no deliver is there */
#define WAITING_DESCRIPTORS_MAX 256
#define POISON_TIMEOUT_MS 60000 /* long enough for the next deliver to come */

struct request {
	struct deliver_client *client;
	uint64_t id;
	uint16_t type; /* a DELIVER_... without _ANSWER */
	struct buffer payload; /* until it is sent */
	int descriptor; /* attached to it, -1 = none */
	bool waiting; /* not sent yet */
	size_t waiting_bytes;
	struct event *timer; /* its deadline; at once when it is lost */
	union {
		deliver_store_callback *store;
		deliver_lookup_callback *lookup;
		deliver_recorded_callback *recorded;
		deliver_quarantine_callback *quarantine;
	} callback; /* none with poison */
	void *context;
	TAILQ_ENTRY(request) link; /* in the order asked */
};

struct deliver_client {
	struct event_base *base;
	struct channel *channel; /* NULL = no deliver */
	bool introduced; /* this deliver has said how its ledger is */
	bool ledger_works; /* true until it says otherwise */
	struct id_map *ids;
	TAILQ_HEAD(requests, request) requests;
	size_t waiting_bytes, waiting_descriptors;
};

static void
request_stop_waiting(struct request *request)
{
	struct deliver_client *client = request->client;

	if (!request->waiting)
		return;
	request->waiting = false;
	client->waiting_bytes -= request->waiting_bytes;
	client->waiting_descriptors -= request->descriptor >= 0;
	buffer_free(&request->payload);
}

static void
request_free(struct request *request)
{
	id_map_remove(request->client->ids, request->id);
	TAILQ_REMOVE(&request->client->requests, request, link);
	request_stop_waiting(request);
	if (request->descriptor >= 0)
		close(request->descriptor);
	buffer_free(&request->payload);
	event_free(request->timer);
	memory_free_block(request);
}

/* Tells the asker that nothing is known. The callback may free the client. */
static void
request_lose(struct request *request)
{
	struct request copy = *request;

	request_free(request);
	switch (copy.type) {
	case DELIVER_STORE:
		copy.callback.store(copy.context, DELIVER_LOST, NULL, 0);
		break;
	case DELIVER_LEDGER_LOOKUP:
		copy.callback.lookup(copy.context, DELIVER_LOST, NULL, 0);
		break;
	case DELIVER_LEDGER_RECORD:
		copy.callback.recorded(copy.context, false);
		break;
	case DELIVER_QUARANTINE:
		copy.callback.quarantine(copy.context, DELIVER_LOST, NULL);
		break;
	default: /* poison: nobody waits for it */
		log_warning("a poisonous message is not kept: deliver did not answer");
		break;
	}
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor, (void)what;
	request_lose(context);
}

static void
request_set_timer(struct request *request, int64_t after_ms)
{
	struct timeval after = {after_ms / 1000, after_ms % 1000 * 1000};
	evtimer_add(request->timer, &after);
}

static struct request *
request_new(struct deliver_client *client, uint16_t type, int64_t timeout_ms, void *context)
{
	struct request *request = memory_new(sizeof *request);

	request->client = client;
	request->type = type;
	request->descriptor = -1;
	request->context = context;
	request->id = id_map_add(client->ids, request);
	request->timer = evtimer_new(client->base, on_timer, request);
	ASSERT(request->timer != NULL);
	request_set_timer(request, timeout_ms > 0 ? timeout_ms : 0);
	TAILQ_INSERT_TAIL(&client->requests, request, link);
	return request;
}

/* Sends it on the channel there is. */
static void
request_transmit(struct request *request)
{
	int descriptor = request->descriptor;
	size_t count = descriptor >= 0;
	struct buffer payload = request->payload;

	request->payload = (struct buffer){0};
	request_stop_waiting(request);
	request->descriptor = -1;
	/* Taken by the channel, sent or not. */
	if (!channel_send(request->client->channel, request->type, &payload, &descriptor, count))
		request_set_timer(request, 0);
	buffer_free(&payload);
}

/* The request is complete: sends it or lets it wait. */
static uint64_t
request_begin(struct request *request)
{
	struct deliver_client *client = request->client;
	uint64_t id = request->id;

	if (client->channel != NULL) {
		request_transmit(request);
		return id;
	}
	request->waiting = true;
	request->waiting_bytes = request->payload.length;
	client->waiting_bytes += request->waiting_bytes;
	client->waiting_descriptors += request->descriptor >= 0;
	if (client->waiting_bytes > WAITING_BYTES_MAX || client->waiting_descriptors > WAITING_DESCRIPTORS_MAX) {
		request_stop_waiting(request);
		request_set_timer(request, 0);
	}
	return id;
}

/* The same, unless it could not be completed: then it is lost. */
static uint64_t
request_begin_if(bool possible, struct request *request, const char *queue_id)
{
	if (possible)
		return request_begin(request);
	log_error("message %s: no descriptor to hand it to deliver", queue_id);
	request_set_timer(request, 0);
	return request->id;
}

/* ---- asking ---- */

/* A small message travels in the frame; no descriptor is made for it. */
static bool
segments_from_whole(const struct view *view, struct deliver_store *store, struct buffer *whole)
{
	if (view->length > MESSAGE_STORE_SMALL)
		return false;
	int64_t got = view_read(view, 0, buffer_reserve(whole, view->length + 1), view->length);
	if (got < 0 || (uint64_t)got != view->length)
		return false;
	buffer_added(whole, (size_t)got);
	store->segment_count = 1;
	store->segments = memory_new_array(1, sizeof *store->segments);
	store->segments[0] = (struct deliver_segment){.is_text = true, .text = span_make(whole->data, whole->length)};
	return true;
}

/* Returns whether the message itself has to go along. */
static bool
segments_from_parts(const struct view *view, struct deliver_store *store)
{
	bool needs_message = false;

	store->segment_count = view->count;
	store->segments = memory_new_array(view->count, sizeof *store->segments);
	for (size_t i = 0; i < view->count; i++) {
		const struct view_segment *from = &view->segments[i];
		struct deliver_segment *to = &store->segments[i];
		*to = (struct deliver_segment){.is_text = from->text != NULL, .offset = from->offset, .length = from->length};
		if (to->is_text)
			to->text = span_make(from->text, (size_t)from->length);
		needs_message = needs_message || !to->is_text;
	}
	return needs_message;
}

uint64_t
deliver_client_store(struct deliver_client *client, unsigned backend, const char *queue_id, const struct view *view,
    const struct envelope *envelope, int64_t timeout_ms, deliver_store_callback *callback, void *context)
{
	struct request *request = request_new(client, DELIVER_STORE, timeout_ms, context);
	struct deliver_store store = {.id = request->id, .backend = backend, .queue_id = (char *)queue_id};
	struct buffer whole = {0};
	bool possible = true;

	request->callback.store = callback;
	store.expires_us = clock_monotonic_us(clock_system()) + timeout_ms * 1000;
	store.recipient_count = envelope->recipient_count;
	store.recipients = memory_new_array(envelope->recipient_count, sizeof *store.recipients);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		store.recipients[i] = (struct deliver_recipient){envelope->recipients[i].address, envelope->recipients[i].domain};
	if (!segments_from_whole(view, &store, &whole) && segments_from_parts(view, &store)) {
		request->descriptor = message_store_descriptor(view->message);
		possible = request->descriptor >= 0;
	}
	deliver_store_put(&store, &request->payload);
	memory_free(&store.recipients);
	memory_free(&store.segments);
	buffer_free(&whole);
	return request_begin_if(possible, request, queue_id);
}

/* The rest of a request to keep the message as it is; the expiry is that of the request. */
static uint64_t
keep_begin(struct request *request, const char *queue_id, struct message_store *message, const char *note, int64_t timeout_ms)
{
	uint64_t length = message_store_length(message);
	struct deliver_keep keep = {.id = request->id, .queue_id = (char *)queue_id, .note = (char *)note};
	struct buffer bytes = {0};

	keep.expires_us = clock_monotonic_us(clock_system()) + timeout_ms * 1000;
	keep.has_bytes = length <= MESSAGE_STORE_SMALL;
	if (keep.has_bytes) {
		int64_t got = message_store_read(message, 0, buffer_reserve(&bytes, length + 1), length);
		keep.has_bytes = got >= 0 && (uint64_t)got == length;
		keep.bytes = span_make(bytes.data, length);
	}
	if (!keep.has_bytes)
		request->descriptor = message_store_descriptor(message);
	bool possible = keep.has_bytes || request->descriptor >= 0;
	if (possible)
		deliver_keep_put(&keep, &request->payload);
	buffer_free(&bytes);
	return request_begin_if(possible, request, queue_id);
}

uint64_t
deliver_client_quarantine(struct deliver_client *client, const char *queue_id, struct message_store *message,
    const struct envelope *envelope, const struct ip_address *address, const char *reason, int64_t timeout_ms,
    deliver_quarantine_callback *callback, void *context)
{
	struct request *request = request_new(client, DELIVER_QUARANTINE, timeout_ms, context);
	struct buffer fields = {0};

	request->callback.quarantine = callback;
	quarantine_append_fields(&fields, queue_id, envelope, address, reason, clock_wall_us(clock_system()));
	uint64_t id = keep_begin(request, queue_id, message, buffer_text(&fields), timeout_ms);
	buffer_free(&fields);
	return id;
}

void
deliver_client_poison(struct deliver_client *client, const char *queue_id, struct message_store *message, const char *why)
{
	struct request *request = request_new(client, DELIVER_POISON, POISON_TIMEOUT_MS, NULL);

	keep_begin(request, queue_id, message, why, POISON_TIMEOUT_MS);
}

uint64_t
deliver_client_ledger_lookup(struct deliver_client *client, const uint8_t *address_key, const uint8_t *message_key, int64_t timeout_ms,
    deliver_lookup_callback *callback, void *context)
{
	struct request *request = request_new(client, DELIVER_LEDGER_LOOKUP, timeout_ms, context);
	struct deliver_lookup lookup = {.id = request->id, .has_message_key = message_key != NULL};

	request->callback.lookup = callback;
	memcpy(lookup.address_key, address_key, LEDGER_KEY_SIZE);
	if (message_key != NULL)
		memcpy(lookup.message_key, message_key, LEDGER_KEY_SIZE);
	deliver_lookup_put(&lookup, &request->payload);
	return request_begin(request);
}

uint64_t
deliver_client_ledger_record(struct deliver_client *client, const struct ledger_entry *entries, size_t count, int64_t timeout_ms,
    deliver_recorded_callback *callback, void *context)
{
	struct request *request = request_new(client, DELIVER_LEDGER_RECORD, timeout_ms, context);
	struct deliver_entries record = {.id = request->id, .ok = true, .entries = (struct ledger_entry *)entries, .count = count};

	request->callback.recorded = callback;
	deliver_entries_put(&record, &request->payload);
	return request_begin(request);
}

void
deliver_client_cancel(struct deliver_client *client, uint64_t id)
{
	struct request *request = id_map_find(client->ids, id);
	if (request != NULL)
		request_free(request);
}

/* ---- answers ---- */

/* The request that this answers, already out of the books, or false when it was cancelled or too late. */
static bool
request_take(struct deliver_client *client, uint64_t id, uint16_t type, struct request *taken)
{
	struct request *request = id_map_find(client->ids, id);
	if (request == NULL || request->type != type || request->waiting)
		return false;
	*taken = *request;
	request_free(request);
	return true;
}

static bool
on_store_answer(struct deliver_client *client, struct frame_reader *payload)
{
	struct deliver_store_answer answer;
	struct request request;
	bool good = deliver_store_answer_get(payload, &answer);

	if (good && request_take(client, answer.id, DELIVER_STORE, &request))
		request.callback.store(request.context, DELIVER_DONE, answer.replies, answer.count);
	deliver_store_answer_clear(&answer);
	return good;
}

static bool
on_keep_answer(struct deliver_client *client, uint16_t type, struct frame_reader *payload)
{
	struct deliver_store_answer answer;
	struct request request;
	bool good = deliver_store_answer_get(payload, &answer) && answer.count == 1;

	if (good && request_take(client, answer.id, type, &request) && type == DELIVER_QUARANTINE)
		request.callback.quarantine(request.context, DELIVER_DONE, &answer.replies[0]);
	deliver_store_answer_clear(&answer);
	return good;
}

static bool
on_lookup_answer(struct deliver_client *client, struct frame_reader *payload)
{
	struct deliver_entries answer;
	struct request request;
	bool good = deliver_entries_get(payload, LEDGER_FOUND_MAX, &answer);

	if (good && request_take(client, answer.id, DELIVER_LEDGER_LOOKUP, &request))
		request.callback.lookup(request.context, answer.ok ? DELIVER_DONE : DELIVER_LOST, answer.entries, answer.count);
	deliver_entries_clear(&answer);
	return good;
}

static bool
on_record_answer(struct deliver_client *client, struct frame_reader *payload)
{
	struct deliver_entries answer;
	struct request request;
	bool good = deliver_entries_get(payload, 0, &answer);

	if (good && request_take(client, answer.id, DELIVER_LEDGER_RECORD, &request))
		request.callback.recorded(request.context, answer.ok);
	deliver_entries_clear(&answer);
	return good;
}

static bool
on_state(struct deliver_client *client, struct frame_reader *payload)
{
	client->introduced = true;
	client->ledger_works = frame_get_bool(payload);
	return frame_reader_finish(payload);
}

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	(void)descriptors;
	if (count != 0)
		return false;
	switch (type) {
	case DELIVER_STORE_ANSWER:
		return on_store_answer(context, payload);
	case DELIVER_QUARANTINE_ANSWER:
		return on_keep_answer(context, DELIVER_QUARANTINE, payload);
	case DELIVER_POISON_ANSWER:
		return on_keep_answer(context, DELIVER_POISON, payload);
	case DELIVER_LEDGER_LOOKUP_ANSWER:
		return on_lookup_answer(context, payload);
	case DELIVER_LEDGER_RECORD_ANSWER:
		return on_record_answer(context, payload);
	case DELIVER_STATE:
		return on_state(context, payload);
	default:
		return false;
	}
}

static void
disconnect(struct deliver_client *client)
{
	struct request *request;

	channel_free(&client->channel);
	client->introduced = false;
	client->ledger_works = true;
	/* From their timers: a callback may do anything to the list. */
	TAILQ_FOREACH (request, &client->requests, link)
		if (!request->waiting)
			request_set_timer(request, 0);
}

static void
on_closed(void *context, const char *reason)
{
	log_warning("deliver is gone: %s", reason);
	disconnect(context);
}

static const struct channel_callbacks client_callbacks = {on_frame, on_closed};

void
deliver_client_connect(struct deliver_client *client, int descriptor)
{
	struct request *request;

	if (client->channel != NULL)
		disconnect(client);
	client->channel = channel_new(client->base, descriptor, &client_callbacks, client);
	TAILQ_FOREACH (request, &client->requests, link)
		if (request->waiting)
			request_transmit(request);
}

struct deliver_client *
deliver_client_new(struct event_base *base)
{
	struct deliver_client *client = memory_new(sizeof *client);
	struct ledger_entry entry;

	/* libcrypto opens its configuration file at the first digest of a process; that must not be in the sandbox. */
	ledger_make_keys("", "", (const uint8_t[LEDGER_KEY_SIZE]){0}, &entry);
	client->base = base;
	client->ledger_works = true;
	client->ids = id_map_new();
	TAILQ_INIT(&client->requests);
	return client;
}

void
deliver_client_free(struct deliver_client **client)
{
	struct request *request;

	if (*client == NULL)
		return;
	while ((request = TAILQ_FIRST(&(*client)->requests)) != NULL)
		request_free(request);
	channel_free(&(*client)->channel);
	id_map_free(&(*client)->ids);
	memory_free(client);
}

bool
deliver_client_is_connected(const struct deliver_client *client)
{
	return client->channel != NULL && client->ledger_works;
}

bool
deliver_client_is_introduced(const struct deliver_client *client)
{
	return client->channel != NULL && client->introduced;
}
