/* The one log line of a transaction, as text or JSON. Every value from outside passes base/escape; key order is fixed. */
#include "journal/record.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"

/* One line under construction: key() writes what stands before a value. */
struct line {
	struct buffer *out;
	enum log_format format;
};

static void
key(struct line *line, const char *name)
{
	if (line->format == LOG_FORMAT_JSON)
		buffer_printf(line->out, ",\"%s\":", name);
	else
		buffer_printf(line->out, " %s=", name);
}

static void
put_span(struct line *line, const char *name, struct span value)
{
	key(line, name);
	if (line->format == LOG_FORMAT_JSON)
		escape_append_json(line->out, value);
	else
		escape_append_token(line->out, value);
}

static void
put_text(struct line *line, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		put_span(line, name, span_of(value));
}

static void
put_number(struct line *line, const char *name, uint64_t value, const char *unit)
{
	key(line, name);
	buffer_printf(line->out, "%" PRIu64 "%s", value, line->format == LOG_FORMAT_JSON ? "" : unit);
}

/* <a>,<b> as one token, or a JSON array without the brackets. */
static void
put_addresses(struct line *line, const char *name, const struct record_recipient **recipients, size_t count)
{
	struct buffer joined = {0};

	if (line->format == LOG_FORMAT_JSON) {
		key(line, name);
		for (size_t i = 0; i < count; i++) {
			buffer_append_char(line->out, i == 0 ? '[' : ',');
			escape_append_json(line->out, span_of(recipients[i]->address));
		}
		buffer_append_char(line->out, ']');
		return;
	}
	for (size_t i = 0; i < count; i++)
		buffer_printf(&joined, "%s<%s>", i == 0 ? "" : ",", recipients[i]->address);
	put_span(line, name, span_make(joined.data, joined.length));
	buffer_free(&joined);
}

static void
put_recipients(struct line *line, const struct record *record)
{
	const struct record_recipient *named[RECORD_LINE_RECIPIENTS];
	size_t count = record_named_recipients(record, named, RECORD_LINE_RECIPIENTS);
	size_t all = count + record->recipients_unnamed;
	bool others = count < record->recipient_count; /* so the named ones are the accepted ones */

	if (count > RECORD_LINE_RECIPIENTS)
		count = RECORD_LINE_RECIPIENTS;
	if (count > 0)
		put_addresses(line, "to", named, count);
	if (all > count)
		put_number(line, "to_count", all, "");
	if (!others)
		return;
	for (size_t i = count = 0; i < record->recipient_count && count < RECORD_LINE_RECIPIENTS; i++)
		if (!record->recipients[i].accepted)
			named[count++] = &record->recipients[i];
	put_addresses(line, "refused", named, count);
}

static void
put_envelope(struct line *line, const struct record *record)
{
	struct buffer sender = {0};

	if (record->sender != NULL && line->format == LOG_FORMAT_JSON) {
		put_span(line, "from", span_of(record->sender));
	} else if (record->sender != NULL) {
		buffer_printf(&sender, "<%s>", record->sender);
		put_span(line, "from", span_make(sender.data, sender.length));
		buffer_free(&sender);
	}
	put_recipients(line, record);
}

static void
put_client(struct line *line, const struct record *record)
{
	char address[IP_ADDRESS_TEXT_SIZE];

	if (record->client.family != 0) {
		ip_address_format(&record->client, address);
		key(line, "client");
		buffer_printf(line->out, line->format == LOG_FORMAT_JSON ? "\"%s\"" : "[%s]", address);
	}
	put_text(line, "rdns", record->reverse_name);
	put_text(line, "helo", record->helo);
	put_text(line, "tls", record->tls);
}

/* "spf=pass dkim=pass": each pair becomes a key of its own in text and a member of "facts" in JSON. */
static void
put_facts(struct line *line, const char *facts)
{
	bool json = line->format == LOG_FORMAT_JSON;
	bool any = false;

	while (facts != NULL && *facts != '\0') {
		size_t length = strcspn(facts, " ");
		const char *equals = memchr(facts, '=', length);
		if (equals != NULL && equals > facts) {
			struct span name = span_make(facts, (size_t)(equals - facts));
			struct span value = span_make(equals + 1, length - name.length - 1);
			buffer_append_string(line->out, !json ? " " : any ? "," : ",\"facts\":{");
			if (json)
				escape_append_json(line->out, name);
			else
				escape_append(line->out, name);
			buffer_append_char(line->out, json ? ':' : '=');
			if (json)
				escape_append_json(line->out, value);
			else
				escape_append_token(line->out, value);
			any = true;
		}
		facts += length;
		facts += strspn(facts, " ");
	}
	if (json && any)
		buffer_append_char(line->out, '}');
}

static void
put_replies(struct line *line, const struct record *record)
{
	bool from_backend = record->backend_reply != NULL && record->backend_reply[0] != '\0';

	put_text(line, "backend", record->backend);
	put_text(line, "reply", from_backend ? record->backend_reply : record->reply);
	if (from_backend && record->result != RECORD_ACCEPTED)
		put_text(line, "answer", record->reply);
	put_text(line, "reason", record->reason);
}

/* Queue ID first; what has none is named by its session. */
static void
put_head(struct line *line, const struct record *record)
{
	char time[CLOCK_RFC3339_SIZE];
	bool json = line->format == LOG_FORMAT_JSON;

	clock_format_rfc3339(record->finished_us, time);
	buffer_printf(line->out, json ? "{\"time\":\"%s\"" : "%s", time);
	put_text(line, "qid", record->queue_id);
	if (json || record->queue_id[0] == '\0')
		put_text(line, "sid", record->session_id);
	put_text(line, "result", record_result_text(record->result));
}

void
record_format_line(const struct record *record, enum log_format format, struct buffer *out)
{
	struct line line = {.out = out, .format = format};
	int64_t took_ms = (record->finished_us - record->started_us) / 1000;

	put_head(&line, record);
	put_client(&line, record);
	put_envelope(&line, record);
	if (record->size_bytes > 0)
		put_number(&line, "size", record->size_bytes, "");
	put_text(&line, "msgid", record->message_id);
	put_facts(&line, record->facts);
	put_replies(&line, record);
	put_number(&line, format == LOG_FORMAT_JSON ? "took_ms" : "took", took_ms < 0 ? 0 : (uint64_t)took_ms, "ms");
	if (format == LOG_FORMAT_JSON)
		buffer_append_char(out, '}');
}
