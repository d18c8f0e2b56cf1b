/* Writes what a dry run found. Everything in it came from outside: all of it passes base/escape. */
#include "cli/dry_run_print.h"

#include <inttypes.h>

#include "base/escape.h"
#include "base/memory.h"
#include "mail/overlay.h"

/* The reply the client would get, on one line, raw. An accepted message's real one comes from the backend. */
static void
append_reply(const struct dry_run *run, struct buffer *out)
{
	if (run->verdict.reply.code != 0)
		reply_append_text(out, &run->verdict.reply);
	else
		buffer_append_string(out, "250 2.0.0 Ok");
}

/* Calls for each field that the message as received did not have. */
static void
added_headers(const struct dry_run *run, const struct header_block *headers, void (*call)(const struct overlay_field *, struct buffer *),
    struct buffer *out)
{
	struct overlay overlay;

	overlay_build(&overlay, headers, &run->edits);
	for (size_t i = 0; i < overlay.count; i++)
		if (overlay.fields[i].original == NULL)
			call(&overlay.fields[i], out);
	overlay_clear(&overlay);
}

/* ---- JSON ---- */

static void
member(struct buffer *out, const char *name, const char *value)
{
	buffer_printf(out, "\"%s\": ", name);
	if (value != NULL)
		escape_append_json(out, span_of(value));
	else
		buffer_append_string(out, "null");
}

/* A comma unless a list or object has just begun. */
static void
separate(struct buffer *out)
{
	char last = out->data[out->length - 1];

	if (last != '[' && last != '{')
		buffer_append_string(out, ", ");
}

static void
json_header(const struct overlay_field *field, struct buffer *out)
{
	char *value = overlay_field_unfold(field);

	separate(out);
	buffer_append_string(out, "{\"name\": ");
	escape_append_json(out, field->name);
	buffer_append_string(out, ", ");
	member(out, "value", value);
	buffer_append_char(out, '}');
	memory_free(&value);
}

static void
json_edit(const struct edit *edit, struct buffer *out)
{
	separate(out);
	buffer_append_char(out, '{');
	member(out, "filter", edit->filter);
	buffer_printf(out, ", \"kind\": \"%s\"", edit_kind_text(edit->kind));
	if (edit->name != NULL) {
		buffer_append_string(out, ", ");
		member(out, "name", edit->name);
	}
	if (edit->value != NULL) {
		buffer_append_string(out, ", ");
		member(out, "value", edit->value);
	}
	if (edit_kind_is_header(edit->kind) && edit->kind != EDIT_ADD_HEADER)
		buffer_printf(out, ", \"index\": %" PRIu32, edit->index);
	if (edit->parameters != NULL) {
		buffer_append_string(out, ", ");
		member(out, "parameters", edit->parameters);
	}
	if (edit->kind == EDIT_REPLACE_BODY) {
		buffer_append_string(out, ", \"body\": ");
		escape_append_json(out, span_make(edit->body.data, edit->body.length));
	}
	buffer_append_char(out, '}');
}

static void
json_filter(const struct dry_run_filter *filter, struct buffer *out)
{
	separate(out);
	buffer_append_char(out, '{');
	member(out, "name", filter->name);
	buffer_append_string(out, ", ");
	member(out, "verdict", filter->ran ? verdict_kind_text(filter->verdict) : NULL);
	buffer_append_string(out, ", ");
	member(out, "reason", filter->reason);
	buffer_printf(out, ", \"wall_us\": %" PRIu64 ", \"restarts\": %u}", filter->wall_us, filter->restarts);
}

static void
json_question(const struct dns_answer *answer, struct buffer *out)
{
	char type[DNS_TYPE_TEXT_SIZE];
	struct buffer data = {0};

	separate(out);
	buffer_append_char(out, '{');
	member(out, "name", answer->name);
	buffer_append_string(out, ", ");
	member(out, "type", dns_type_format(answer->type, type));
	buffer_append_string(out, ", \"answer\": [");
	if (answer->count == 0)
		buffer_printf(out, "\"%s\"", dns_status_zone_text(answer->status));
	for (size_t i = 0; i < answer->count; i++) {
		separate(out);
		dns_record_append_text(&answer->records[i], answer->type, &data);
		escape_append_json(out, span_make(data.data, data.length));
		buffer_clear(&data);
	}
	buffer_append_string(out, "]}");
	buffer_free(&data);
}

static void
json_recorded(const struct dry_run_recorded *recorded, struct buffer *out)
{
	buffer_append_string(out, ", \"recorded\": {");
	member(out, "queue_id", recorded->queue_id);
	buffer_append_string(out, ", ");
	member(out, "verdict", recorded->verdict);
	buffer_printf(out, ", \"missing\": %zu}", recorded->missing);
}

void
dry_run_print_json(const struct dry_run *run, const struct header_block *headers, const struct dry_run_recorded *recorded, struct buffer *out)
{
	struct buffer reply = {0};

	append_reply(run, &reply);
	buffer_append_char(out, '{');
	member(out, "verdict", verdict_kind_text(run->verdict.kind));
	buffer_append_string(out, ", ");
	member(out, "reply", buffer_text(&reply));
	buffer_append_string(out, ", \"facts\": ");
	facts_append_json(&run->facts, out);
	buffer_append_string(out, ", \"headers\": [");
	added_headers(run, headers, json_header, out);
	buffer_append_string(out, "], \"edits\": [");
	for (size_t i = 0; i < run->edits.count; i++)
		json_edit(&run->edits.edits[i], out);
	buffer_append_string(out, "], \"filters\": [");
	for (size_t i = 0; i < run->filter_count; i++)
		json_filter(&run->filters[i], out);
	buffer_append_string(out, "], \"questions\": [");
	for (size_t i = 0; i < run->answers.count; i++)
		json_question(&run->answers.entries[i].answer, out);
	buffer_append_char(out, ']');
	if (recorded->queue_id != NULL)
		json_recorded(recorded, out);
	buffer_append_string(out, "}\n");
	buffer_free(&reply);
}

/* ---- words ---- */

static void
print_line(struct buffer *out, const char *label, const char *value)
{
	buffer_printf(out, "%-9s ", label);
	escape_append(out, span_of(value));
	buffer_append_char(out, '\n');
}

static void
print_filter(const struct dry_run_filter *filter, struct buffer *out)
{
	buffer_printf(out, "  %-7s %s", filter->name, filter->ran ? verdict_kind_text(filter->verdict) : "not run");
	if (filter->reason != NULL) {
		buffer_append_string(out, ": ");
		escape_append(out, span_of(filter->reason));
	}
	if (filter->ran)
		buffer_printf(out, " (%" PRIu64 " us, %u restart%s)", filter->wall_us, filter->restarts, filter->restarts == 1 ? "" : "s");
	buffer_append_char(out, '\n');
}

static void
print_record(const struct fact *fact, const struct fact_record *record, struct buffer *out)
{
	buffer_printf(out, "  %s%s%s", fact->filter, fact->name[0] != '\0' ? "/" : "", fact->name);
	for (size_t i = 0; i < record->count; i++) {
		const struct fact_field *field = &record->fields[i];

		if (field->value == NULL)
			continue;
		buffer_printf(out, " %s%s", field->key, field->key[0] != '\0' ? "=" : "");
		escape_append_token(out, span_of(field->value));
	}
	buffer_append_char(out, '\n');
}

static void
print_header(const struct overlay_field *field, struct buffer *out)
{
	char *value = overlay_field_unfold(field);

	buffer_append_string(out, "  ");
	escape_append(out, field->name);
	buffer_append_string(out, ": ");
	escape_append(out, span_of(value));
	buffer_append_char(out, '\n');
	memory_free(&value);
}

static void
print_edit(const struct edit *edit, struct buffer *out)
{
	struct buffer text = {0};

	edit_append_text(edit, &text);
	buffer_printf(out, "  %s: ", edit->filter);
	escape_append(out, span_make(text.data, text.length));
	buffer_append_char(out, '\n');
	buffer_free(&text);
}

static void
print_question(const struct dns_answer *answer, struct buffer *out)
{
	struct buffer text = {0};

	dns_answer_append_text(answer, true, &text);
	for (size_t i = 0; i < answer->count; i++) {
		buffer_append_string(&text, i == 0 ? ": " : ", ");
		dns_record_append_text(&answer->records[i], answer->type, &text);
	}
	buffer_append_string(out, "  ");
	escape_append(out, span_make(text.data, text.length));
	buffer_append_char(out, '\n');
	buffer_free(&text);
}

void
dry_run_print(const struct dry_run *run, const struct header_block *headers, const struct dry_run_recorded *recorded, struct buffer *out)
{
	struct buffer reply = {0}, added = {0};

	append_reply(run, &reply);
	print_line(out, "verdict:", verdict_kind_text(run->verdict.kind));
	print_line(out, "reply:", buffer_text(&reply));
	if (recorded->queue_id != NULL)
		print_line(out, "recorded:", recorded->verdict);
	buffer_append_string(out, run->filter_count > 0 ? "filters:\n" : "filters: none\n");
	for (size_t i = 0; i < run->filter_count; i++)
		print_filter(&run->filters[i], out);
	buffer_append_string(out, run->facts.count > 0 ? "facts:\n" : "");
	for (size_t i = 0; i < run->facts.count; i++)
		for (size_t k = 0; k < run->facts.facts[i].count; k++)
			print_record(&run->facts.facts[i], &run->facts.facts[i].records[k], out);
	added_headers(run, headers, print_header, &added);
	if (added.length > 0)
		buffer_printf(out, "headers added:\n%s", buffer_text(&added));
	buffer_append_string(out, run->edits.count > 0 ? "edits:\n" : "");
	for (size_t i = 0; i < run->edits.count; i++)
		print_edit(&run->edits.edits[i], out);
	buffer_append_string(out, run->answers.count > 0 ? "questions to DNS:\n" : "");
	for (size_t i = 0; i < run->answers.count; i++)
		print_question(&run->answers.entries[i].answer, out);
	buffer_free(&reply);
	buffer_free(&added);
}
