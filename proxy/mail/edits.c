/* Lists of edits and their way through a frame. Owns all their texts; never judges them. */
#include "mail/edits.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define SHOWN_MAX 200 /* bytes of a value shown in the trace */
/* Kind, filter, name, value, parameters, index, verbatim, body: the least an encoded edit takes. */
#define ENCODED_MIN (1 + 4 + 4 + 4 + 4 + 4 + 1 + 4)

/* What an edit of a kind carries besides its filter. */
enum {
	HAS_NAME = 1,
	HAS_VALUE = 2,
	HAS_INDEX = 4,
	MAY_HAVE_PARAMETERS = 8,
	MAY_HAVE_BODY = 16,
};

static const struct {
	const char *text;
	const char *words;
} names[] = {
#define X(name, text, words) [name] = {text, words},
	EDIT_KINDS(X)
#undef X
};

static const unsigned shapes[] = {
	[EDIT_ADD_HEADER] = HAS_NAME | HAS_VALUE,
	[EDIT_INSERT_HEADER] = HAS_NAME | HAS_VALUE | HAS_INDEX,
	[EDIT_CHANGE_HEADER] = HAS_NAME | HAS_VALUE | HAS_INDEX,
	[EDIT_DELETE_HEADER] = HAS_NAME | HAS_INDEX,
	[EDIT_ADD_RECIPIENT] = HAS_VALUE | MAY_HAVE_PARAMETERS,
	[EDIT_DELETE_RECIPIENT] = HAS_VALUE,
	[EDIT_CHANGE_SENDER] = HAS_VALUE | MAY_HAVE_PARAMETERS,
	[EDIT_REPLACE_BODY] = MAY_HAVE_BODY,
};

const char *
edit_kind_text(enum edit_kind kind)
{
	ASSERT(kind < EDIT_KIND_COUNT);
	return names[kind].text;
}

const char *
edit_kind_words(enum edit_kind kind)
{
	ASSERT(kind < EDIT_KIND_COUNT);
	return names[kind].words;
}

bool
edit_kind_is_header(enum edit_kind kind)
{
	ASSERT(kind < EDIT_KIND_COUNT);
	return (shapes[kind] & HAS_NAME) != 0;
}

static bool
has_shape(const struct edit *edit)
{
	unsigned shape = shapes[edit->kind];

	return edit->filter != NULL && (edit->name != NULL) == ((shape & HAS_NAME) != 0) &&
	    (edit->value != NULL) == ((shape & HAS_VALUE) != 0) &&
	    (edit->parameters == NULL || (shape & MAY_HAVE_PARAMETERS) != 0) && (edit->index == 0 || (shape & HAS_INDEX) != 0) &&
	    (!edit->verbatim || (shape & (HAS_NAME | HAS_VALUE)) == (HAS_NAME | HAS_VALUE)) &&
	    (edit->body.length == 0 || (shape & MAY_HAVE_BODY) != 0);
}

static size_t
text_length(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

size_t
edit_text_bytes(const struct edit *edit)
{
	return text_length(edit->filter) + text_length(edit->name) + text_length(edit->value) + text_length(edit->parameters);
}

void
edit_clear(struct edit *edit)
{
	memory_free(&edit->filter);
	memory_free(&edit->name);
	memory_free(&edit->value);
	memory_free(&edit->parameters);
	buffer_free(&edit->body);
	*edit = (struct edit){0};
}

void
edit_list_clear(struct edit_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		edit_clear(&list->edits[i]);
	memory_free(&list->edits);
	*list = (struct edit_list){0};
}

static bool
fits(const struct edit_list *list, const struct edit *edit)
{
	return list->count < EDIT_COUNT_MAX && text_length(edit->filter) <= EDIT_TEXT_MAX && text_length(edit->name) <= EDIT_TEXT_MAX &&
	    text_length(edit->value) <= EDIT_TEXT_MAX && text_length(edit->parameters) <= EDIT_TEXT_MAX &&
	    edit_text_bytes(edit) <= EDIT_LIST_TEXT_MAX - list->text_bytes && edit->body.length <= EDIT_BODY_MAX - list->body_bytes;
}

void
edit_list_take(struct edit_list *list, struct edit *edit)
{
	ASSERT(edit->kind < EDIT_KIND_COUNT && has_shape(edit));
	if (!fits(list, edit)) {
		list->overflowed = true;
		edit_clear(edit);
		return;
	}
	/* The room doubles whenever the count reaches a power of two. */
	if ((list->count & (list->count - 1)) == 0)
		list->edits = memory_resize(list->edits, list->count == 0 ? 1 : 2 * list->count, sizeof *list->edits);
	list->text_bytes += edit_text_bytes(edit);
	list->body_bytes += edit->body.length;
	list->edits[list->count++] = *edit;
	*edit = (struct edit){0};
}

static void
add(struct edit_list *list, enum edit_kind kind, const char *filter, const char *name, uint32_t index, const char *value,
    const char *parameters)
{
	struct edit edit = {
		.kind = kind,
		.filter = memory_copy_string(filter),
		.name = memory_copy_string(name),
		.value = memory_copy_string(value),
		.parameters = memory_copy_string(parameters),
		.index = index,
	};

	edit_list_take(list, &edit);
}

void
edit_list_add_header(struct edit_list *list, const char *filter, const char *name, const char *value)
{
	add(list, EDIT_ADD_HEADER, filter, name, 0, value, NULL);
}

void
edit_list_insert_header(struct edit_list *list, const char *filter, uint32_t index, const char *name, const char *value)
{
	add(list, EDIT_INSERT_HEADER, filter, name, index, value, NULL);
}

void
edit_list_change_header(struct edit_list *list, const char *filter, const char *name, uint32_t occurrence, const char *value)
{
	add(list, EDIT_CHANGE_HEADER, filter, name, occurrence, value, NULL);
}

void
edit_list_delete_header(struct edit_list *list, const char *filter, const char *name, uint32_t occurrence)
{
	add(list, EDIT_DELETE_HEADER, filter, name, occurrence, NULL, NULL);
}

void
edit_list_add_recipient(struct edit_list *list, const char *filter, const char *address, const char *parameters)
{
	add(list, EDIT_ADD_RECIPIENT, filter, NULL, 0, address, parameters);
}

void
edit_list_delete_recipient(struct edit_list *list, const char *filter, const char *address)
{
	add(list, EDIT_DELETE_RECIPIENT, filter, NULL, 0, address, NULL);
}

void
edit_list_change_sender(struct edit_list *list, const char *filter, const char *address, const char *parameters)
{
	add(list, EDIT_CHANGE_SENDER, filter, NULL, 0, address, parameters);
}

void
edit_list_replace_body(struct edit_list *list, const char *filter, struct span bytes)
{
	add(list, EDIT_REPLACE_BODY, filter, NULL, 0, NULL, NULL);
	if (!list->overflowed)
		edit_list_append_body(list, bytes);
}

void
edit_list_append_body(struct edit_list *list, struct span bytes)
{
	if (list->overflowed)
		return;
	ASSERT(list->count > 0 && list->edits[list->count - 1].kind == EDIT_REPLACE_BODY);
	if (bytes.length > EDIT_BODY_MAX - list->body_bytes) {
		list->overflowed = true;
		return;
	}
	buffer_append_span(&list->edits[list->count - 1].body, bytes);
	list->body_bytes += bytes.length;
}

void
edit_list_set_verbatim(struct edit_list *list)
{
	if (list->overflowed)
		return;
	ASSERT(list->count > 0);
	list->edits[list->count - 1].verbatim = true;
	ASSERT(has_shape(&list->edits[list->count - 1]));
}

void
edit_append_text(const struct edit *edit, struct buffer *out)
{
	buffer_append_string(out, edit_kind_words(edit->kind));
	if (edit->kind == EDIT_REPLACE_BODY)
		buffer_printf(out, ": %zu bytes", edit->body.length);
	if (edit->name != NULL)
		buffer_printf(out, " %.*s", SHOWN_MAX, edit->name);
	if (edit->kind == EDIT_INSERT_HEADER)
		buffer_printf(out, " at %u", edit->index);
	else if ((shapes[edit->kind] & HAS_INDEX) != 0)
		buffer_printf(out, " number %u", edit->index);
	if (edit->value == NULL)
		return;
	buffer_append_string(out, edit->name == NULL ? " <" : edit->value[0] == ' ' ? ":" : ": ");
	buffer_printf(out, "%.*s%s", SHOWN_MAX, edit->value, strlen(edit->value) > SHOWN_MAX ? "..." : "");
	if (edit->name == NULL)
		buffer_append_char(out, '>');
	if (edit->parameters != NULL && edit->parameters[0] != '\0')
		buffer_printf(out, " %.*s", SHOWN_MAX, edit->parameters);
}

/* --- frames --- */

void
edit_list_encode(const struct edit_list *list, struct buffer *payload)
{
	frame_put_bool(payload, list->overflowed);
	frame_put_u32(payload, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++) {
		const struct edit *edit = &list->edits[i];

		frame_put_u8(payload, (uint8_t)edit->kind);
		frame_put_string(payload, edit->filter);
		frame_put_string(payload, edit->name);
		frame_put_string(payload, edit->value);
		frame_put_string(payload, edit->parameters);
		frame_put_u32(payload, edit->index);
		frame_put_bool(payload, edit->verbatim);
		frame_put_span(payload, span_make(edit->body.data, edit->body.length));
	}
}

static bool
edit_decode(struct frame_reader *payload, struct edit *edit)
{
	uint8_t kind = frame_get_u8(payload);

	edit->kind = kind < EDIT_KIND_COUNT ? kind : EDIT_ADD_HEADER;
	edit->filter = frame_get_string(payload);
	edit->name = frame_get_string(payload);
	edit->value = frame_get_string(payload);
	edit->parameters = frame_get_string(payload);
	edit->index = frame_get_u32(payload);
	edit->verbatim = frame_get_bool(payload);
	struct span body = frame_get_span(payload);
	if (body.length > 0)
		buffer_append_span(&edit->body, body);
	return !payload->failed && kind < EDIT_KIND_COUNT && has_shape(edit);
}

bool
edit_list_decode(struct frame_reader *payload, struct edit_list *list)
{
	bool overflowed = frame_get_bool(payload);
	uint32_t count = frame_get_count(payload, ENCODED_MIN);
	bool good = true;

	*list = (struct edit_list){0};
	for (uint32_t i = 0; i < count && good; i++) {
		struct edit edit = {0};

		good = edit_decode(payload, &edit);
		if (good)
			edit_list_take(list, &edit);
		edit_clear(&edit);
		good = good && !list->overflowed;
	}
	if (!good || payload->failed) {
		payload->failed = true;
		edit_list_clear(list);
		return false;
	}
	list->overflowed = overflowed;
	return true;
}
