/* Requests of proxies, one after the other: each is decoded, done (blocking: the disk is the work) and answered. Trusts no proxy: what
 * it sends decides names below the configured roots and nothing else. */
#include "deliver/service.h"

#include <string.h>
#include <sys/queue.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "deliver/poison.h"
#include "deliver/protocol.h"
#include "wire/channel.h"
#include "wire/message_store.h"

#define FREE_DRAIN_MS 100

struct peer {
	struct deliver_service *service;
	struct channel *channel;
	LIST_ENTRY(peer) link;
};

struct deliver_service {
	struct deliver_service_options options;
	LIST_HEAD(peers, peer) peers;
	size_t peer_count;
	bool ledger_works;
};

static void
count(struct deliver_service *service, enum shared_counter counter, uint64_t by)
{
	if (service->options.page != NULL)
		shared_count(service->options.page, counter, by);
}

/* ---- the ledger's state ---- */

static void
state_send(struct peer *peer)
{
	struct buffer payload = {0};
	frame_put_bool(&payload, peer->service->ledger_works);
	channel_send(peer->channel, DELIVER_STATE, &payload, NULL, 0);
	buffer_free(&payload);
}

static void
ledger_set_works(struct deliver_service *service, bool works)
{
	struct peer *peer;

	if (service->ledger_works == works)
		return;
	service->ledger_works = works;
	if (works)
		log_info("ledger: works again");
	else
		log_alarm("ledger: does not work: mail for several recipients is taken one recipient at a time");
	LIST_FOREACH (peer, &service->peers, link)
		state_send(peer);
}

static void
ledger_publish_count(struct deliver_service *service)
{
	int64_t entries = service->options.ledger != NULL ? ledger_count(service->options.ledger) : 0;

	if (entries >= 0 && service->options.page != NULL)
		atomic_store(&service->options.page->gauges[GAUGE_LEDGER_ENTRIES], (uint64_t)entries);
}

void
deliver_service_set_ledger(struct deliver_service *service, struct ledger *ledger)
{
	service->options.ledger = ledger;
	ledger_publish_count(service);
	ledger_set_works(service, true);
}

void
deliver_service_tick(struct deliver_service *service)
{
	if (service->options.ledger == NULL)
		return;
	ledger_set_works(service, ledger_expire(service->options.ledger));
	ledger_publish_count(service);
}

/* ---- store ---- */

/* False when the request speaks of bytes that the message does not have. */
static bool
view_make(const struct deliver_store *store, struct message_store *message, struct view *view)
{
	uint64_t total = message != NULL ? message_store_length(message) : 0;

	view_init(view, message);
	for (size_t i = 0; i < store->segment_count; i++) {
		const struct deliver_segment *segment = &store->segments[i];
		if (segment->is_text) {
			view_add_text(view, segment->text);
			continue;
		}
		if (message == NULL || segment->offset > total || segment->length > total - segment->offset)
			return false;
		view_add_range(view, segment->offset, segment->length);
	}
	return true;
}

/* The number of an earlier recipient of this request with the same folder: one copy is enough. Itself when there is none. */
static size_t
same_folder(char (*names)[MAILDIR_NAME_SIZE], size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(names[i], names[index]) == 0)
			return i;
	return index;
}

static void
store_for_each(struct deliver_service *service, struct maildir *maildir, const struct deliver_store *store, const struct view *view,
    struct reply *replies)
{
	char(*names)[MAILDIR_NAME_SIZE] = memory_new_array(store->recipient_count, sizeof *names);

	for (size_t i = 0; i < store->recipient_count; i++) {
		maildir_name(store->recipients[i].address, store->recipients[i].domain, names[i]);
		size_t same = same_folder(names, i);
		if (same != i)
			reply_copy(&replies[i], &replies[same]);
		else if (clock_monotonic_us(service->options.clock) >= store->expires_us)
			reply_set(&replies[i], 451, "4.3.2", "Too late to store the message; try again later");
		else if (maildir_store(maildir, names[i], store->queue_id, view, &replies[i]))
			count(service, COUNTER_DELIVERED_MAILDIR, 1);
	}
	memory_free(&names);
}

static void
store_do(struct deliver_service *service, const struct deliver_store *store, const struct view *view, struct reply *replies)
{
	unsigned backend = store->backend;
	struct maildir *maildir = backend < service->options.maildir_count ? service->options.maildirs[backend] : NULL;

	if (maildir != NULL) {
		store_for_each(service, maildir, store, view, replies);
		return;
	}
	log_alarm("backend %u is not a Maildir of this process", backend);
	for (size_t i = 0; i < store->recipient_count; i++)
		reply_set(&replies[i], 451, "4.3.5", "Local configuration error");
}

static void
store_answer(struct peer *peer, const struct deliver_store *store, const struct view *view)
{
	struct deliver_store_answer answer = {.id = store->id, .count = store->recipient_count};
	struct buffer payload = {0};

	answer.replies = memory_new_array(answer.count, sizeof *answer.replies);
	store_do(peer->service, store, view, answer.replies);
	deliver_store_answer_put(&answer, &payload);
	channel_send(peer->channel, DELIVER_STORE_ANSWER, &payload, NULL, 0);
	channel_flush(peer->channel); /* the client waits, and the next request may take long */
	buffer_free(&payload);
	deliver_store_answer_clear(&answer);
}

static bool
on_store(struct peer *peer, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	struct deliver_store store;
	struct message_store *message = NULL;
	struct view view = {0};

	bool good = deliver_store_get(payload, &store) && descriptor_count <= 1;
	if (good && descriptor_count == 1) {
		message = message_store_open(descriptors[0]);
		descriptors[0] = -1;
		good = message != NULL;
	}
	good = good && view_make(&store, message, &view);
	if (good)
		store_answer(peer, &store, &view);
	view_clear(&view);
	message_store_free(&message);
	deliver_store_clear(&store);
	return good;
}

/* ---- quarantine and poison ---- */

static void
quarantine_do(struct deliver_service *service, const struct deliver_keep *keep, const struct view *message, struct reply *reply)
{
	struct view view;

	if (service->options.quarantine == NULL) {
		log_alarm("message %s: no quarantine is configured in this process", keep->queue_id);
		reply_set(reply, 451, "4.3.5", "Local configuration error");
		return;
	}
	view_init(&view, message->message);
	view_add_text(&view, span_of(keep->note));
	if (message->message != NULL)
		view_add_range(&view, 0, message->length);
	else
		view_add_text(&view, keep->bytes);
	maildir_store(service->options.quarantine, MAILDIR_ITSELF, keep->queue_id, &view, reply);
	view_clear(&view);
}

static void
poison_do(struct deliver_service *service, const struct deliver_keep *keep, const struct view *message, struct reply *reply)
{
	if (service->options.poison >= 0 && poison_keep(service->options.poison, keep->queue_id, message, keep->note)) {
		log_warning("message %s is kept in poison: %s", keep->queue_id, keep->note);
		reply_set(reply, 250, "2.0.0", "Ok: kept");
	} else {
		reply_set(reply, 451, "4.3.0", "The message could not be kept");
	}
}

static void
keep_answer(struct peer *peer, uint16_t type, const struct deliver_keep *keep, const struct view *message)
{
	struct deliver_service *service = peer->service;
	struct reply reply = {0};
	struct deliver_store_answer answer = {.id = keep->id, .replies = &reply, .count = 1};
	struct buffer payload = {0};

	if (clock_monotonic_us(service->options.clock) >= keep->expires_us)
		reply_set(&reply, 451, "4.3.2", "Too late to store the message; try again later");
	else if (type == DELIVER_QUARANTINE)
		quarantine_do(service, keep, message, &reply);
	else
		poison_do(service, keep, message, &reply);
	deliver_store_answer_put(&answer, &payload);
	channel_send(peer->channel, type == DELIVER_QUARANTINE ? DELIVER_QUARANTINE_ANSWER : DELIVER_POISON_ANSWER, &payload, NULL, 0);
	channel_flush(peer->channel);
	buffer_free(&payload);
	reply_clear(&reply);
}

static bool
on_keep(struct peer *peer, uint16_t type, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	struct deliver_keep keep;
	struct message_store *message = NULL;
	struct view view = {0};

	/* The bytes are here or there. */
	bool good = deliver_keep_get(payload, &keep) && descriptor_count == (keep.has_bytes ? 0 : 1);
	if (good && descriptor_count == 1) {
		message = message_store_open(descriptors[0]);
		descriptors[0] = -1;
		good = message != NULL;
	}
	if (good) {
		view_init(&view, message);
		if (message != NULL)
			view_add_range(&view, 0, message_store_length(message));
		else
			view_add_text(&view, keep.bytes);
		keep_answer(peer, type, &keep, &view);
	}
	view_clear(&view);
	message_store_free(&message);
	deliver_keep_clear(&keep);
	return good;
}

/* ---- ledger ---- */

static void
entries_answer(struct peer *peer, uint16_t type, struct deliver_entries *answer)
{
	struct buffer payload = {0};

	deliver_entries_put(answer, &payload);
	channel_send(peer->channel, type, &payload, NULL, 0);
	channel_flush(peer->channel);
	buffer_free(&payload);
}

static bool
on_lookup(struct peer *peer, struct frame_reader *payload)
{
	struct ledger *ledger = peer->service->options.ledger;
	struct deliver_lookup lookup;
	struct ledger_entry found[LEDGER_FOUND_MAX];

	if (!deliver_lookup_get(payload, &lookup))
		return false;
	int entries = ledger == NULL ? -1 :
	    ledger_lookup(ledger, lookup.address_key, lookup.has_message_key ? lookup.message_key : NULL, found, LEDGER_FOUND_MAX);
	ledger_set_works(peer->service, entries >= 0);
	struct deliver_entries answer = {.id = lookup.id, .ok = entries >= 0, .entries = found, .count = entries > 0 ? (size_t)entries : 0};
	entries_answer(peer, DELIVER_LEDGER_LOOKUP_ANSWER, &answer);
	for (size_t i = 0; i < answer.count; i++)
		reply_clear(&found[i].reply);
	return true;
}

static bool
on_record(struct peer *peer, struct frame_reader *payload)
{
	struct ledger *ledger = peer->service->options.ledger;
	struct deliver_entries request;
	bool good = deliver_entries_get(payload, DELIVER_LEDGER_ENTRIES_MAX, &request);

	if (good) {
		struct deliver_entries answer = {.id = request.id};
		answer.ok = ledger != NULL && ledger_record(ledger, request.entries, request.count);
		ledger_set_works(peer->service, answer.ok);
		/* Published before the answer: whoever asks next must not believe that the ledger is empty. */
		ledger_publish_count(peer->service);
		entries_answer(peer, DELIVER_LEDGER_RECORD_ANSWER, &answer);
	}
	deliver_entries_clear(&request);
	return good;
}

/* ---- peers ---- */

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	struct peer *peer = context;

	switch (type) {
	case DELIVER_STORE:
		return on_store(peer, payload, descriptors, descriptor_count);
	case DELIVER_QUARANTINE:
	case DELIVER_POISON:
		return on_keep(peer, type, payload, descriptors, descriptor_count);
	case DELIVER_LEDGER_LOOKUP:
		return descriptor_count == 0 && on_lookup(peer, payload);
	case DELIVER_LEDGER_RECORD:
		return descriptor_count == 0 && on_record(peer, payload);
	default:
		return false;
	}
}

static void
peer_remove(struct peer *peer)
{
	LIST_REMOVE(peer, link);
	peer->service->peer_count--;
	channel_free(&peer->channel);
	memory_free_block(peer);
}

static void
on_closed(void *context, const char *reason)
{
	struct peer *peer = context;
	struct deliver_service *service = peer->service;

	log_debug("a proxy's channel is closed: %s", reason);
	peer_remove(peer);
	if (service->peer_count == 0 && service->options.on_idle != NULL)
		service->options.on_idle(service->options.context);
}

static const struct channel_callbacks peer_callbacks = {on_frame, on_closed};

void
deliver_service_add_peer(struct deliver_service *service, int descriptor)
{
	struct peer *peer = memory_new(sizeof *peer);

	peer->service = service;
	LIST_INSERT_HEAD(&service->peers, peer, link);
	service->peer_count++;
	peer->channel = channel_new(service->options.base, descriptor, &peer_callbacks, peer);
	state_send(peer);
}

size_t
deliver_service_peers(const struct deliver_service *service)
{
	return service->peer_count;
}

struct deliver_service *
deliver_service_new(const struct deliver_service_options *options)
{
	struct deliver_service *service = memory_new(sizeof *service);

	service->options = *options;
	service->ledger_works = options->ledger != NULL;
	LIST_INIT(&service->peers);
	ledger_publish_count(service);
	return service;
}

void
deliver_service_free(struct deliver_service **service)
{
	struct peer *peer;

	if (*service == NULL)
		return;
	while ((peer = LIST_FIRST(&(*service)->peers)) != NULL) {
		channel_drain(peer->channel, FREE_DRAIN_MS);
		peer_remove(peer);
	}
	memory_free(service);
}
