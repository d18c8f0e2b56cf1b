/* Writes and reads the payloads between proxies and deliver. The reader believes nothing: a proxy that was taken over
 * may send any bytes. */
#include "deliver/protocol.h"

#include <string.h>

#include "base/memory.h"

static void
reply_put(const struct reply *reply, struct buffer *payload)
{
	frame_put_u16(payload, (uint16_t)reply->code);
	frame_put_string(payload, reply->enhanced);
	frame_put_string(payload, reply->code != 0 ? reply->text : NULL);
}

static bool
reply_get(struct frame_reader *payload, struct reply *reply)
{
	reply->code = frame_get_u16(payload);
	char *enhanced = frame_get_string(payload);
	reply->text = frame_get_string(payload);
	bool good = !payload->failed && enhanced != NULL && strlen(enhanced) < sizeof reply->enhanced;
	if (good)
		strcpy(reply->enhanced, enhanced);
	memory_free(&enhanced);
	if (reply->code == 0)
		return good && reply->text == NULL;
	return good && reply->text != NULL && reply->code >= 200 && reply->code <= 599;
}

void
deliver_store_put(const struct deliver_store *store, struct buffer *payload)
{
	frame_put_u64(payload, store->id);
	frame_put_u32(payload, store->backend);
	frame_put_i64(payload, store->expires_us);
	frame_put_string(payload, store->queue_id);
	frame_put_u32(payload, (uint32_t)store->recipient_count);
	for (size_t i = 0; i < store->recipient_count; i++) {
		frame_put_string(payload, store->recipients[i].address);
		frame_put_string(payload, store->recipients[i].domain);
	}
	frame_put_u32(payload, (uint32_t)store->segment_count);
	for (size_t i = 0; i < store->segment_count; i++) {
		const struct deliver_segment *segment = &store->segments[i];
		frame_put_bool(payload, segment->is_text);
		if (segment->is_text) {
			frame_put_span(payload, segment->text);
			continue;
		}
		frame_put_u64(payload, segment->offset);
		frame_put_u64(payload, segment->length);
	}
}

static bool
recipients_get(struct frame_reader *payload, struct deliver_store *store)
{
	uint32_t count = frame_get_count(payload, 2);
	if (payload->failed || count == 0 || count > DELIVER_RECIPIENTS_MAX)
		return false;
	store->recipients = memory_new_array(count, sizeof *store->recipients);
	store->recipient_count = count;
	for (size_t i = 0; i < count && !payload->failed; i++) {
		store->recipients[i].address = frame_get_string(payload);
		store->recipients[i].domain = frame_get_string(payload);
		if (store->recipients[i].address == NULL || store->recipients[i].domain == NULL)
			return false;
	}
	return !payload->failed;
}

static bool
segments_get(struct frame_reader *payload, struct deliver_store *store)
{
	uint32_t count = frame_get_count(payload, 1);
	if (payload->failed || count > DELIVER_SEGMENTS_MAX)
		return false;
	store->segments = memory_new_array(count, sizeof *store->segments);
	store->segment_count = count;
	for (size_t i = 0; i < count && !payload->failed; i++) {
		struct deliver_segment *segment = &store->segments[i];
		segment->is_text = frame_get_bool(payload);
		if (segment->is_text) {
			segment->text = frame_get_span(payload);
			continue;
		}
		segment->offset = frame_get_u64(payload);
		segment->length = frame_get_u64(payload);
	}
	return !payload->failed;
}

bool
deliver_store_get(struct frame_reader *payload, struct deliver_store *store)
{
	*store = (struct deliver_store){0};
	store->id = frame_get_u64(payload);
	store->backend = frame_get_u32(payload);
	store->expires_us = frame_get_i64(payload);
	store->queue_id = frame_get_string(payload);
	return store->queue_id != NULL && recipients_get(payload, store) && segments_get(payload, store) && frame_reader_finish(payload);
}

void
deliver_store_clear(struct deliver_store *store)
{
	memory_free(&store->queue_id);
	for (size_t i = 0; i < store->recipient_count; i++) {
		memory_free(&store->recipients[i].address);
		memory_free(&store->recipients[i].domain);
	}
	memory_free(&store->recipients);
	memory_free(&store->segments);
	*store = (struct deliver_store){0};
}

void
deliver_store_answer_put(const struct deliver_store_answer *answer, struct buffer *payload)
{
	frame_put_u64(payload, answer->id);
	frame_put_u32(payload, (uint32_t)answer->count);
	for (size_t i = 0; i < answer->count; i++)
		reply_put(&answer->replies[i], payload);
}

bool
deliver_store_answer_get(struct frame_reader *payload, struct deliver_store_answer *answer)
{
	*answer = (struct deliver_store_answer){0};
	answer->id = frame_get_u64(payload);
	uint32_t count = frame_get_count(payload, 4);
	if (payload->failed || count > DELIVER_RECIPIENTS_MAX)
		return false;
	answer->replies = memory_new_array(count, sizeof *answer->replies);
	answer->count = count;
	for (size_t i = 0; i < count; i++)
		if (!reply_get(payload, &answer->replies[i]) || answer->replies[i].code == 0)
			return false;
	return frame_reader_finish(payload);
}

void
deliver_store_answer_clear(struct deliver_store_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		reply_clear(&answer->replies[i]);
	memory_free(&answer->replies);
	answer->count = 0;
}

static bool
queue_id_is_name(const char *queue_id)
{
	size_t length = strspn(queue_id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return length > 0 && length <= DELIVER_QUEUE_ID_MAX && queue_id[length] == '\0';
}

void
deliver_keep_put(const struct deliver_keep *keep, struct buffer *payload)
{
	frame_put_u64(payload, keep->id);
	frame_put_i64(payload, keep->expires_us);
	frame_put_string(payload, keep->queue_id);
	frame_put_string(payload, keep->note);
	frame_put_bool(payload, keep->has_bytes);
	if (keep->has_bytes)
		frame_put_span(payload, keep->bytes);
}

bool
deliver_keep_get(struct frame_reader *payload, struct deliver_keep *keep)
{
	*keep = (struct deliver_keep){0};
	keep->id = frame_get_u64(payload);
	keep->expires_us = frame_get_i64(payload);
	keep->queue_id = frame_get_string(payload);
	keep->note = frame_get_string(payload);
	keep->has_bytes = frame_get_bool(payload);
	if (keep->has_bytes)
		keep->bytes = frame_get_span(payload);
	return frame_reader_finish(payload) && keep->queue_id != NULL && queue_id_is_name(keep->queue_id) && keep->note != NULL;
}

void
deliver_keep_clear(struct deliver_keep *keep)
{
	memory_free(&keep->queue_id);
	memory_free(&keep->note);
	*keep = (struct deliver_keep){0};
}

static void
key_put(struct buffer *payload, const uint8_t *key)
{
	frame_put_span(payload, span_make((const char *)key, LEDGER_KEY_SIZE));
}

static bool
key_get(struct frame_reader *payload, uint8_t *key)
{
	struct span bytes = frame_get_span(payload);
	if (payload->failed || bytes.length != LEDGER_KEY_SIZE)
		return false;
	memcpy(key, bytes.at, LEDGER_KEY_SIZE);
	return true;
}

void
deliver_lookup_put(const struct deliver_lookup *lookup, struct buffer *payload)
{
	frame_put_u64(payload, lookup->id);
	key_put(payload, lookup->address_key);
	frame_put_bool(payload, lookup->has_message_key);
	if (lookup->has_message_key)
		key_put(payload, lookup->message_key);
}

bool
deliver_lookup_get(struct frame_reader *payload, struct deliver_lookup *lookup)
{
	*lookup = (struct deliver_lookup){0};
	lookup->id = frame_get_u64(payload);
	if (!key_get(payload, lookup->address_key))
		return false;
	lookup->has_message_key = frame_get_bool(payload);
	if (lookup->has_message_key && !key_get(payload, lookup->message_key))
		return false;
	return frame_reader_finish(payload);
}

static bool
entry_get(struct frame_reader *payload, struct ledger_entry *entry)
{
	if (!key_get(payload, entry->address_key) || !key_get(payload, entry->message_key))
		return false;
	unsigned outcome = frame_get_u8(payload);
	entry->outcome = outcome;
	if (outcome == LEDGER_NONE || outcome > LEDGER_DEFERRED || !reply_get(payload, &entry->reply))
		return false;
	char *queue_id = frame_get_string(payload);
	bool good = queue_id != NULL && strlen(queue_id) < sizeof entry->queue_id;
	if (good)
		strcpy(entry->queue_id, queue_id);
	memory_free(&queue_id);
	return good;
}

void
deliver_entries_put(const struct deliver_entries *entries, struct buffer *payload)
{
	frame_put_u64(payload, entries->id);
	frame_put_bool(payload, entries->ok);
	frame_put_u32(payload, (uint32_t)entries->count);
	for (size_t i = 0; i < entries->count; i++) {
		const struct ledger_entry *entry = &entries->entries[i];
		key_put(payload, entry->address_key);
		key_put(payload, entry->message_key);
		frame_put_u8(payload, (uint8_t)entry->outcome);
		reply_put(&entry->reply, payload);
		frame_put_string(payload, entry->queue_id);
	}
}

bool
deliver_entries_get(struct frame_reader *payload, size_t maximum, struct deliver_entries *entries)
{
	*entries = (struct deliver_entries){0};
	entries->id = frame_get_u64(payload);
	entries->ok = frame_get_bool(payload);
	uint32_t count = frame_get_count(payload, 2 * LEDGER_KEY_SIZE);
	if (payload->failed || count > maximum)
		return false;
	entries->entries = memory_new_array(count, sizeof *entries->entries);
	entries->count = count;
	for (size_t i = 0; i < count; i++)
		if (!entry_get(payload, &entries->entries[i]))
			return false;
	return frame_reader_finish(payload);
}

void
deliver_entries_clear(struct deliver_entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		reply_clear(&entries->entries[i].reply);
	memory_free(&entries->entries);
	entries->count = 0;
}
