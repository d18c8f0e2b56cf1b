/* Applies edits to a list of header fields, and writes the result down as segments. Owns only the list. */
#include "mail/overlay.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

/* --- the fields --- */

void
overlay_clear(struct overlay *overlay)
{
	memory_free(&overlay->fields);
	*overlay = (struct overlay){0};
}

/* Where the n-th field of that name is; count when there is none. */
static size_t
locate(const struct overlay *overlay, struct span name, size_t occurrence)
{
	for (size_t i = 0; i < overlay->count; i++)
		if (span_equals_nocase(overlay->fields[i].name, name) && --occurrence == 0)
			return i;
	return overlay->count;
}

static void
put_at(struct overlay *overlay, size_t at, const struct edit *edit)
{
	struct overlay_field *place = &overlay->fields[at];

	memmove(place + 1, place, (overlay->count - at) * sizeof *place);
	*place = (struct overlay_field){.name = span_of(edit->name), .value = span_of(edit->value)};
	overlay->count++;
}

static void
take_out(struct overlay *overlay, size_t at)
{
	struct overlay_field *place = &overlay->fields[at];

	overlay->count--;
	memmove(place, place + 1, (overlay->count - at) * sizeof *place);
}

static void
apply(struct overlay *overlay, const struct edit *edit)
{
	size_t at = overlay->count;

	switch (edit->kind) {
	case EDIT_ADD_HEADER:
		put_at(overlay, at, edit);
		break;
	case EDIT_INSERT_HEADER:
		put_at(overlay, edit->index < at ? edit->index : at, edit);
		break;
	case EDIT_CHANGE_HEADER:
		at = locate(overlay, span_of(edit->name), edit->index);
		if (at < overlay->count)
			take_out(overlay, at);
		put_at(overlay, at, edit);
		break;
	case EDIT_DELETE_HEADER:
		at = locate(overlay, span_of(edit->name), edit->index);
		if (at < overlay->count)
			take_out(overlay, at);
		break;
	case EDIT_REPLACE_BODY:
		overlay->body = edit;
		break;
	case EDIT_ADD_RECIPIENT:
	case EDIT_DELETE_RECIPIENT:
	case EDIT_CHANGE_SENDER:
	case EDIT_KIND_COUNT:
		break;
	}
}

void
overlay_build(struct overlay *overlay, const struct header_block *headers, const struct edit_list *edits)
{
	size_t edit_count = edits != NULL ? edits->count : 0;

	*overlay = (struct overlay){.headers = headers, .count = headers->count};
	/* Every edit adds one field at most. */
	overlay->fields = memory_new_array(headers->count + edit_count + 1, sizeof *overlay->fields);
	for (size_t i = 0; i < headers->count; i++) {
		const struct header_field *field = &headers->fields[i];

		overlay->fields[i] = (struct overlay_field){.name = field->name, .value = field->value, .original = field};
	}
	for (size_t i = 0; i < edit_count; i++)
		apply(overlay, &edits->edits[i]);
}

const struct overlay_field *
overlay_find(const struct overlay *overlay, const char *name, size_t occurrence)
{
	size_t at = locate(overlay, span_of(name), occurrence);

	return at < overlay->count ? &overlay->fields[at] : NULL;
}

char *
overlay_field_unfold(const struct overlay_field *field)
{
	return header_field_unfold(&(struct header_field){.name = field->name, .value = field->value});
}

size_t
overlay_remove(struct overlay *overlay, const char *name, void (*removed)(void *context, const struct overlay_field *field), void *context)
{
	size_t count = 0;

	for (size_t at; (at = locate(overlay, span_of(name), 1)) < overlay->count; count++) {
		if (removed != NULL)
			removed(context, &overlay->fields[at]);
		take_out(overlay, at);
	}
	return count;
}

/* --- the view --- */

/* A view under construction: neighbouring bytes of the message become one range, neighbouring new fields one text. */
struct builder {
	struct view *view;
	uint64_t from, to; /* range of the message not yet added */
	struct buffer text; /* fields not yet added */
	bool open_line; /* the last field lacks its CR LF: the message ended in it */
};

static void
builder_flush(struct builder *builder)
{
	if (builder->from < builder->to)
		view_add_range(builder->view, builder->from, builder->to - builder->from);
	builder->from = builder->to = 0;
	if (builder->text.length > 0)
		view_add_text(builder->view, span_make(builder->text.data, builder->text.length));
	buffer_clear(&builder->text);
}

static void
builder_add_range(struct builder *builder, uint64_t from, uint64_t to)
{
	if (builder->text.length > 0 || builder->to != from)
		builder_flush(builder);
	if (builder->from == builder->to)
		builder->from = from;
	builder->to = to;
}

static void
builder_add_text(struct builder *builder, struct span text)
{
	if (builder->from < builder->to)
		builder_flush(builder);
	buffer_append_span(&builder->text, text);
}

static void
builder_end_line(struct builder *builder)
{
	if (builder->open_line)
		builder_add_text(builder, span_of("\r\n"));
	builder->open_line = false;
}

static void
builder_add_field(struct builder *builder, const struct overlay_field *field)
{
	const struct header_field *original = field->original;

	builder_end_line(builder);
	if (original != NULL) {
		builder_add_range(builder, original->offset, original->offset + original->length);
		builder->open_line = original->value.at + original->value.length == original->name.at + original->length;
		return;
	}
	builder_add_text(builder, field->name);
	builder_add_text(builder, span_of(":"));
	builder_add_text(builder, field->value);
	builder_add_text(builder, span_of("\r\n"));
}

/* True when the untouched body, which no empty line precedes, would become the continuation of a field above it. */
static bool
body_begins_with_blank(const struct overlay *overlay, struct message_store *message)
{
	char first;

	return message_store_read(message, overlay->headers->body_offset, &first, 1) == 1 && (first == ' ' || first == '\t');
}

static void
builder_add_body(struct builder *builder, const struct overlay *overlay, struct message_store *message)
{
	const struct header_block *headers = overlay->headers;
	uint64_t length = message_store_length(message);
	bool has_body = overlay->body != NULL ? overlay->body->body.length > 0 : headers->body_offset < length;

	if (headers->has_separator) {
		builder_end_line(builder);
		builder_add_range(builder, headers->body_offset - 2, headers->body_offset);
	} else if (has_body) {
		builder_end_line(builder);
		if (overlay->body != NULL || body_begins_with_blank(overlay, message))
			builder_add_text(builder, span_of("\r\n"));
	}
	if (overlay->body == NULL && has_body)
		builder_add_range(builder, headers->body_offset, length);
	builder_flush(builder);
	if (overlay->body != NULL && has_body)
		view_add_text(builder->view, span_make(overlay->body->body.data, overlay->body->body.length));
}

void
overlay_make_view(const struct overlay *overlay, struct message_store *message, const struct span *stamps, size_t stamp_count,
    bool message_has_dot_lines, struct view *view)
{
	struct builder builder = {.view = view};

	ASSERT(overlay->headers->body_offset <= message_store_length(message));
	view_init(view, message);
	view->has_dot_lines = message_has_dot_lines;
	for (size_t i = 0; i < stamp_count; i++)
		view_add_text(view, stamps[i]);
	for (size_t i = 0; i < overlay->count; i++)
		builder_add_field(&builder, &overlay->fields[i]);
	builder_add_body(&builder, overlay, message);
	buffer_free(&builder.text);
}
