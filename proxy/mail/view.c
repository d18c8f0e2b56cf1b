/* A message as it will be sent. Owns its segments and their texts; never changes, copies or frees the message. */
#include "mail/view.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void
view_init(struct view *view, struct message_store *message)
{
	*view = (struct view){.message = message};
}

void
view_clear(struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		memory_free(&view->segments[i].text);
	memory_free(&view->segments);
	*view = (struct view){0};
}

static void
view_add_segment(struct view *view, struct view_segment segment)
{
	/* The room doubles whenever the count reaches a power of two. */
	if ((view->count & (view->count - 1)) == 0)
		view->segments = memory_resize(view->segments, view->count == 0 ? 1 : 2 * view->count, sizeof *view->segments);
	view->segments[view->count++] = segment;
	view->length += segment.length;
}

void
view_add_text(struct view *view, struct span text)
{
	struct view_segment segment = {.length = text.length};

	/* Not NULL even for no bytes: NULL means a range. */
	segment.text = memory_copy_text(text.length > 0 ? text.at : "", text.length);
	if (text.length > 0 && (text.at[0] == '.' || memmem(text.at, text.length, "\n.", 2) != NULL))
		view->has_dot_lines = true;
	view_add_segment(view, segment);
}

void
view_add_range(struct view *view, uint64_t offset, uint64_t length)
{
	uint64_t total = message_store_length(view->message);

	ASSERT(offset <= total && length <= total - offset);
	view_add_segment(view, (struct view_segment){.offset = offset, .length = length});
}

/* `length` bytes at `offset` of the segment, which has them. */
static bool
segment_read(const struct view *view, const struct view_segment *segment, uint64_t offset, char *to, size_t length)
{
	if (segment->text != NULL) {
		memcpy(to, segment->text + offset, length);
		return true;
	}
	while (length > 0) {
		int64_t got = message_store_read(view->message, segment->offset + offset, to, length);

		if (got <= 0) /* the end inside a range is an error too: the message is shorter than it said */
			return false;
		to += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return true;
}

int64_t
view_read(const struct view *view, uint64_t offset, void *bytes, size_t length)
{
	char *to = bytes;
	size_t done = 0;

	for (size_t i = 0; i < view->count && done < length; i++) {
		const struct view_segment *segment = &view->segments[i];
		uint64_t part;

		if (offset >= segment->length) {
			offset -= segment->length;
			continue;
		}
		part = segment->length - offset;
		if (part > length - done)
			part = length - done;
		if (!segment_read(view, segment, offset, to + done, (size_t)part))
			return -1;
		done += (size_t)part;
		offset = 0;
	}
	return (int64_t)done;
}

void
view_copy_without_segment(const struct view *from, size_t index, struct view *to)
{
	ASSERT(index < from->count && from->segments[index].text != NULL);
	view_init(to, from->message);
	to->has_dot_lines = from->has_dot_lines;
	for (size_t i = 0; i < from->count; i++) {
		const struct view_segment *segment = &from->segments[i];

		if (i == index)
			continue;
		if (segment->text != NULL)
			view_add_text(to, span_make(segment->text, (size_t)segment->length));
		else
			view_add_segment(to, *segment);
	}
}
