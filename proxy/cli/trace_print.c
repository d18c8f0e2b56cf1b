/* A record in words. Everything in it came from outside, so all of it passes base/escape. */
#include "cli/trace_print.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/escape.h"

#define LABEL_WIDTH 12

/* ---- words ---- */

static void
label(struct buffer *out, const char *name)
{
	buffer_printf(out, "  %-*s", LABEL_WIDTH, name);
}

static void
labelled(struct buffer *out, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	label(out, name);
	escape_append(out, span_of(value));
	buffer_append_char(out, '\n');
}

static void
append_address(struct buffer *out, const char *address)
{
	buffer_append_char(out, '<');
	escape_append(out, span_of(address));
	buffer_append_char(out, '>');
}

static bool
has(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void
print_recipients(const struct record *record, struct buffer *out)
{
	for (size_t i = 0; i < record->recipient_count; i++) {
		const struct record_recipient *recipient = &record->recipients[i];
		label(out, i == 0 ? "to" : "");
		append_address(out, recipient->address);
		buffer_append_string(out, recipient->accepted ? "" : " refused");
		if (recipient->reply[0] != '\0') {
			buffer_append_string(out, ": ");
			escape_append(out, span_of(recipient->reply));
		}
		buffer_append_char(out, '\n');
	}
	if (record->recipients_unnamed > 0) {
		label(out, "");
		buffer_printf(out, "and %" PRIu32 " more, whose names were not kept\n", record->recipients_unnamed);
	}
}

static void
print_client(const struct record *record, struct buffer *out)
{
	char address[IP_ADDRESS_TEXT_SIZE] = "unknown address";

	label(out, "client");
	if (record->client.family != 0)
		ip_address_format(&record->client, address);
	if (has(record->reverse_name)) {
		escape_append(out, span_of(record->reverse_name));
		buffer_append_char(out, ' ');
	}
	buffer_printf(out, "[%s]", address);
	if (record->client_port != 0)
		buffer_printf(out, " port %u", record->client_port);
	if (has(record->helo)) {
		buffer_append_string(out, ", called itself ");
		escape_append(out, span_of(record->helo));
	}
	buffer_append_string(out, has(record->tls) ? ", encrypted with " : ", not encrypted");
	if (has(record->tls))
		escape_append(out, span_of(record->tls));
	buffer_append_char(out, '\n');
}

static void
print_message(const struct record *record, struct buffer *out)
{
	if (record->size_bytes == 0 && !has(record->message_id))
		return;
	label(out, "message");
	buffer_printf(out, "%" PRIu64 " bytes", record->size_bytes);
	if (has(record->message_id)) {
		buffer_append_string(out, ", Message-ID ");
		escape_append(out, span_of(record->message_id));
	}
	buffer_append_char(out, '\n');
}

static void
print_backend(const struct record *record, struct buffer *out)
{
	if (!has(record->backend) && !has(record->backend_reply))
		return;
	label(out, "backend");
	escape_append(out, span_of(has(record->backend) ? record->backend : "(unknown)"));
	buffer_append_string(out, has(record->backend_reply) ? " answered: " : " gave no final answer");
	if (has(record->backend_reply))
		escape_append(out, span_of(record->backend_reply));
	buffer_append_char(out, '\n');
}

static void
append_milliseconds(struct buffer *out, int64_t us)
{
	buffer_printf(out, "%.1f", (double)us / 1000);
}

static void
print_times(const struct record *record, struct buffer *out)
{
	char time[CLOCK_RFC3339_SIZE];

	clock_format_rfc3339(record->started_us, time);
	label(out, "began");
	buffer_printf(out, "%s, took ", time);
	append_milliseconds(out, record->finished_us - record->started_us);
	buffer_append_string(out, " ms\n");
}

static void
print_headline(const struct record *record, struct buffer *out)
{
	const char *result = record_result_text(record->result);

	if (record->queue_id[0] == '\0')
		buffer_append_string(out, "session ");
	escape_append(out, span_of(record->queue_id[0] != '\0' ? record->queue_id : record->session_id));
	if (record->result == RECORD_NONE)
		buffer_printf(out, ": %s\n", record_result_description(record->result));
	else
		buffer_printf(out, " %s: %s\n", result, record_result_description(record->result));
}

static void
print_events(const struct record *record, struct buffer *out)
{
	struct span story = span_make(record->story.data, record->story.length), text;
	size_t offset = 0;
	int64_t at_us;
	enum record_event_kind kind;

	if (story.length == 0)
		buffer_append_string(out, "  (no story was kept)\n");
	while (record_story_next(story, &offset, &at_us, &kind, &text)) {
		buffer_printf(out, "%+12.1fms  %-11s ", (double)at_us / 1000, record_event_text(kind));
		escape_append(out, text);
		buffer_append_char(out, '\n');
	}
	if (offset < story.length)
		buffer_append_string(out, "  (the rest of the story is damaged)\n");
}

void
trace_print_story(const struct record *record, struct buffer *out)
{
	print_headline(record, out);
	if (record->sender != NULL) {
		label(out, "from");
		append_address(out, record->sender);
		buffer_append_char(out, '\n');
	}
	print_recipients(record, out);
	print_client(record, out);
	print_message(record, out);
	labelled(out, "checks", record->facts);
	print_backend(record, out);
	labelled(out, "our answer", record->reply);
	labelled(out, "reason", record->reason);
	print_times(record, out);
	if (record->queue_id[0] != '\0')
		labelled(out, "session", record->session_id);
	buffer_append_char(out, '\n');
	print_events(record, out);
}

/* ---- JSON ---- */

static void
print_recipients_json(const struct record *record, struct buffer *out)
{
	buffer_append_string(out, ",\"recipients\":[");
	for (size_t i = 0; i < record->recipient_count; i++) {
		buffer_append_string(out, i == 0 ? "{\"address\":" : ",{\"address\":");
		escape_append_json(out, span_of(record->recipients[i].address));
		buffer_printf(out, ",\"accepted\":%s,\"reply\":", record->recipients[i].accepted ? "true" : "false");
		escape_append_json(out, span_of(record->recipients[i].reply));
		buffer_append_char(out, '}');
	}
	buffer_append_char(out, ']');
}

static void
print_events_json(const struct record *record, struct buffer *out)
{
	struct span text;
	size_t offset = 0;
	int64_t at_us;
	enum record_event_kind kind;
	bool first = true;

	buffer_append_string(out, ",\"story\":[");
	while (record_story_next(span_make(record->story.data, record->story.length), &offset, &at_us, &kind, &text)) {
		buffer_printf(out, "%s{\"at_ms\":", first ? "" : ",");
		append_milliseconds(out, at_us);
		buffer_printf(out, ",\"kind\":\"%s\",\"text\":", record_event_text(kind));
		escape_append_json(out, text);
		buffer_append_char(out, '}');
		first = false;
	}
	buffer_append_char(out, ']');
}

void
trace_print_story_json(const struct record *record, struct buffer *out)
{
	char started[CLOCK_RFC3339_SIZE];

	record_format_line(record, LOG_FORMAT_JSON, out);
	ASSERT(out->length > 0 && out->data[out->length - 1] == '}');
	buffer_truncate(out, out->length - 1);
	clock_format_rfc3339(record->started_us, started);
	buffer_printf(out, ",\"began\":\"%s\"", started);
	if (has(record->backend_reply) && has(record->reply)) {
		buffer_append_string(out, ",\"our_reply\":");
		escape_append_json(out, span_of(record->reply));
	}
	print_recipients_json(record, out);
	print_events_json(record, out);
	buffer_append_string(out, "}\n");
}
