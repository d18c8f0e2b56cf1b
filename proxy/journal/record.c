/* A transaction's record in memory and as bytes between processes. Owns the encoding; never touches disk or clock by itself. */
#include "journal/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define EVENT_HEADER 13 /* u64 microseconds, u8 kind, u32 length of text */
#define TIME_MAX_US INT64_C(253402300799999999)
#define RECIPIENT_BYTES_MIN 9 /* smallest encoding of one: two string lengths and a flag */

const char *
record_result_text(enum record_result result)
{
	static const char *const texts[] = {
#define X(name, text, description) text,
	    RECORD_RESULTS(X)
#undef X
	};
	return result < RECORD_RESULT_COUNT ? texts[result] : "unknown";
}

const char *
record_result_description(enum record_result result)
{
	static const char *const descriptions[] = {
#define X(name, text, description) description,
	    RECORD_RESULTS(X)
#undef X
	};
	return result < RECORD_RESULT_COUNT ? descriptions[result] : "unknown";
}

const char *
record_event_text(enum record_event_kind kind)
{
	static const char *const texts[] = {
#define X(name, text) text,
	    RECORD_EVENTS(X)
#undef X
	};
	return kind < RECORD_EVENT_COUNT ? texts[kind] : "unknown";
}

void
record_clear(struct record *record)
{
	char **texts[] = {&record->reverse_name, &record->helo, &record->tls, &record->sender, &record->message_id, &record->facts,
	    &record->backend, &record->backend_reply, &record->reply, &record->reason};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		memory_free(texts[i]);
	for (size_t i = 0; i < record->recipient_count; i++) {
		memory_free(&record->recipients[i].address);
		memory_free(&record->recipients[i].reply);
	}
	memory_free(&record->recipients);
	buffer_free(&record->story);
	memset(record, 0, sizeof *record);
}

void
record_set(char **field, const char *value)
{
	char *copy = memory_copy_string(value);
	memory_free(field);
	*field = copy;
}

/* The next free slot; the array grows at powers of two, so no capacity is kept. */
static struct record_recipient *
recipient_slot(struct record *record)
{
	size_t count = record->recipient_count;
	if ((count & (count - 1)) == 0)
		record->recipients = memory_resize(record->recipients, count == 0 ? 1 : 2 * count, sizeof *record->recipients);
	record->recipient_count++;
	return &record->recipients[count];
}

void
record_add_recipient(struct record *record, const char *address, bool accepted, const char *reply)
{
	if (record->recipient_count >= RECORD_RECIPIENTS_MAX) {
		record->recipients_unnamed++;
		return;
	}
	*recipient_slot(record) = (struct record_recipient){
	    .address = memory_copy_string(address),
	    .reply = memory_copy_string(reply == NULL ? "" : reply),
	    .accepted = accepted,
	};
}

size_t
record_named_recipients(const struct record *record, const struct record_recipient **named, size_t limit)
{
	bool any_accepted = false;
	size_t count = 0;

	for (size_t i = 0; i < record->recipient_count; i++)
		any_accepted |= record->recipients[i].accepted;
	for (size_t i = 0; i < record->recipient_count; i++) {
		if (any_accepted && !record->recipients[i].accepted)
			continue;
		if (count < limit)
			named[count] = &record->recipients[i];
		count++;
	}
	return count;
}

/* ---- the story ---- */

static void
story_append(struct record *record, int64_t at_us, enum record_event_kind kind, const char *text, size_t length)
{
	if (record->story.length + EVENT_HEADER + length > RECORD_STORY_MAX) {
		record->story_cut = true;
		kind = RECORD_EVENT_NOTE;
		text = "story cut: it reached its bound, what follows is not kept";
		length = strlen(text);
	}
	frame_put_i64(&record->story, at_us);
	frame_put_u8(&record->story, (uint8_t)kind);
	frame_put_u32(&record->story, (uint32_t)length);
	buffer_append(&record->story, text, length);
}

void
record_event(struct record *record, const struct clock *clock, enum record_event_kind kind, const char *format, ...)
{
	char small[512];
	char *text = small;
	va_list arguments;

	ASSERT(kind < RECORD_EVENT_COUNT);
	if (record->story_cut)
		return;
	va_start(arguments, format);
	int length = vsnprintf(small, sizeof small, format, arguments);
	va_end(arguments);
	ASSERT(length >= 0);
	if ((size_t)length >= sizeof small) {
		text = memory_new((size_t)length + 1);
		va_start(arguments, format);
		vsnprintf(text, (size_t)length + 1, format, arguments);
		va_end(arguments);
	}
	if ((size_t)length > RECORD_EVENT_TEXT_MAX) {
		length = RECORD_EVENT_TEXT_MAX;
		memcpy(text + length - 3, "...", 3);
	}
	story_append(record, clock_monotonic_us(clock) - record->began_monotonic_us, kind, text, (size_t)length);
	if (text != small)
		memory_free(&text);
}

bool
record_story_next(struct span story, size_t *offset, int64_t *at_us, enum record_event_kind *kind, struct span *text)
{
	struct frame_reader reader;

	if (*offset > story.length || story.length - *offset < EVENT_HEADER)
		return false;
	frame_reader_init(&reader, story.at + *offset, EVENT_HEADER);
	*at_us = frame_get_i64(&reader);
	uint8_t number = frame_get_u8(&reader);
	uint32_t length = frame_get_u32(&reader);
	if (length > story.length - *offset - EVENT_HEADER)
		return false;
	/* A kind this version does not know is still worth showing. */
	*kind = number < RECORD_EVENT_COUNT ? number : RECORD_EVENT_NOTE;
	*text = span_make(story.at + *offset + EVENT_HEADER, length);
	*offset += EVENT_HEADER + length;
	return true;
}

/* ---- between processes and on disk ---- */

static void
encode_client(const struct record *record, struct buffer *payload)
{
	size_t length = record->client.family == 4 ? 4 : record->client.family == 6 ? 16 : 0;

	frame_put_u8(payload, record->client.family);
	frame_put_span(payload, span_make((const char *)record->client.bytes, length));
	frame_put_u16(payload, record->client_port);
	frame_put_string(payload, record->reverse_name);
	frame_put_string(payload, record->helo);
	frame_put_string(payload, record->tls);
}

void
record_encode(const struct record *record, bool with_story, struct buffer *payload)
{
	frame_put_u8(payload, RECORD_FORMAT_VERSION);
	frame_put_string(payload, record->queue_id);
	frame_put_string(payload, record->session_id);
	frame_put_u8(payload, (uint8_t)record->result);
	frame_put_i64(payload, record->started_us);
	frame_put_i64(payload, record->finished_us);
	encode_client(record, payload);
	frame_put_string(payload, record->sender);
	frame_put_u32(payload, (uint32_t)record->recipient_count);
	for (size_t i = 0; i < record->recipient_count; i++) {
		frame_put_string(payload, record->recipients[i].address);
		frame_put_string(payload, record->recipients[i].reply);
		frame_put_bool(payload, record->recipients[i].accepted);
	}
	frame_put_u32(payload, record->recipients_unnamed);
	frame_put_u64(payload, record->size_bytes);
	frame_put_string(payload, record->message_id);
	frame_put_string(payload, record->facts);
	frame_put_string(payload, record->backend);
	frame_put_string(payload, record->backend_reply);
	frame_put_string(payload, record->reply);
	frame_put_string(payload, record->reason);
	frame_put_span(payload, with_story ? span_make(record->story.data, record->story.length) : span_make("", 0));
}

static void
decode_id(struct frame_reader *payload, char *id, size_t size)
{
	char *text = frame_get_string(payload);

	if (text == NULL || strlen(text) >= size)
		payload->failed = true;
	else
		memcpy(id, text, strlen(text) + 1);
	memory_free(&text);
}

static void
decode_client(struct frame_reader *payload, struct record *record)
{
	uint8_t family = frame_get_u8(payload);
	struct span bytes = frame_get_span(payload);

	if (bytes.length != (family == 4 ? 4u : family == 6 ? 16u : 0u) || (family != 0 && family != 4 && family != 6))
		payload->failed = true;
	if (!payload->failed) {
		record->client.family = family;
		if (bytes.length > 0)
			memcpy(record->client.bytes, bytes.at, bytes.length);
	}
	record->client_port = frame_get_u16(payload);
	record->reverse_name = frame_get_string(payload);
	record->helo = frame_get_string(payload);
	record->tls = frame_get_string(payload);
}

static void
decode_recipients(struct frame_reader *payload, struct record *record)
{
	uint32_t count = frame_get_count(payload, RECIPIENT_BYTES_MIN);

	if (count > RECORD_RECIPIENTS_MAX)
		payload->failed = true;
	for (uint32_t i = 0; i < count && !payload->failed; i++) {
		struct record_recipient *recipient = recipient_slot(record);
		recipient->address = frame_get_string(payload);
		recipient->reply = frame_get_string(payload);
		recipient->accepted = frame_get_bool(payload);
		if (recipient->address == NULL || recipient->reply == NULL)
			payload->failed = true;
	}
	record->recipients_unnamed = frame_get_u32(payload);
}

/* A time that a four-digit year can show; sums and differences of two cannot overflow. */
static int64_t
decode_time(struct frame_reader *payload)
{
	int64_t time_us = frame_get_i64(payload);

	if (time_us < 0 || time_us > TIME_MAX_US)
		payload->failed = true;
	return time_us;
}

static void
decode_fields(struct frame_reader *payload, struct record *record)
{
	decode_id(payload, record->queue_id, sizeof record->queue_id);
	decode_id(payload, record->session_id, sizeof record->session_id);
	uint8_t result = frame_get_u8(payload);
	if (result >= RECORD_RESULT_COUNT)
		payload->failed = true;
	record->result = result;
	record->started_us = decode_time(payload);
	record->finished_us = decode_time(payload);
	decode_client(payload, record);
	record->sender = frame_get_string(payload);
	decode_recipients(payload, record);
	record->size_bytes = frame_get_u64(payload);
	record->message_id = frame_get_string(payload);
	record->facts = frame_get_string(payload);
	record->backend = frame_get_string(payload);
	record->backend_reply = frame_get_string(payload);
	record->reply = frame_get_string(payload);
	record->reason = frame_get_string(payload);
}

bool
record_decode(struct frame_reader *payload, struct record *record)
{
	memset(record, 0, sizeof *record);
	uint8_t version = frame_get_u8(payload);
	if (version < 1)
		payload->failed = true;
	if (!payload->failed)
		decode_fields(payload, record);
	struct span story = frame_get_span(payload);
	/* One event may pass the bound: the note that the story was cut. */
	if (story.length > RECORD_STORY_MAX + RECORD_EVENT_TEXT_MAX)
		payload->failed = true;
	if (payload->failed) {
		record_clear(record);
		return false;
	}
	if (story.length > 0)
		buffer_append(&record->story, story.at, story.length);
	if (version > RECORD_FORMAT_VERSION) { /* fields of a later version */
		payload->at += payload->left;
		payload->left = 0;
	}
	return true;
}
