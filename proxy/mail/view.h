/* A message as it will be sent: stamps, the header fields that stay, the untouched body, as one run of segments. Owns the
 * stamps, not the message. Later edits become other segments; readers of a view do not change. */
#ifndef POSTERN_MAIL_VIEW_H
#define POSTERN_MAIL_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/message_store.h"

struct view_segment {
	char *text; /* owned bytes, or NULL: a range of the message */
	uint64_t offset; /* in the message */
	uint64_t length;
};

struct view {
	struct message_store *message; /* not owned */
	struct view_segment *segments;
	size_t count;
	uint64_t length; /* bytes of all segments */
	bool has_dot_lines; /* a line may begin with '.': stuff when sending. Who adds ranges sets it for the message */
};

void view_init(struct view *view, struct message_store *message);
void view_clear(struct view *view);
/* Copies the text; sets has_dot_lines when the text needs it. */
void view_add_text(struct view *view, struct span text);
void view_add_range(struct view *view, uint64_t offset, uint64_t length);
/* Reads `length` bytes at `offset` of the view, fewer only at its end; 0 at the end, -1 on an I/O error. */
int64_t view_read(const struct view *view, uint64_t offset, void *bytes, size_t length);
/* The same view without its text segment number `index` (e.g. Return-Path for an LMTP backend). */
void view_copy_without_segment(const struct view *from, size_t index, struct view *to);

#endif
