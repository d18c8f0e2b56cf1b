/* A message as edits leave it: which header fields it has now, in order, which body, and the view that is sent. Edits must have
 * passed edits_check.h. Never changes the message; bytes no edit touched stay exactly as they came.
 *
 * Edits apply one after the other, each to what those before it left, as Postfix does with the edits of milters:
 * - add: behind the last field. Insert: before the field that is at `index` now; behind all when there are fewer.
 * - change: the n-th field of that name (any case) now, in its place and with the name as the edit writes it; none: as add.
 * - delete: the n-th field of that name now; the following ones move up in number. None: nothing.
 * - replace body: the last one counts.
 * Stamps stand above all this and are not counted. A milter counts our Received as field 0 when it inserts (and not when it changes): its
 * client passes indexes 0 and 1 as 0, and n as n - 1. */
#ifndef POSTERN_MAIL_OVERLAY_H
#define POSTERN_MAIL_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "mail/edits.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/view.h"

struct overlay_field {
	struct span name; /* as written */
	struct span value; /* behind the colon, with folding, without the final CR LF */
	const struct header_field *original; /* NULL: an edit's */
};

/* Points into the header block, its message and the edits: all of them must outlive it unchanged. */
struct overlay {
	const struct header_block *headers;
	struct overlay_field *fields;
	size_t count;
	const struct edit *body; /* the edit that replaced the body, or NULL */
};

/* `edits` may be NULL: the message as it came. */
void overlay_build(struct overlay *overlay, const struct header_block *headers, const struct edit_list *edits);
void overlay_clear(struct overlay *overlay);
/* The n-th field of that name (any case), from 1; NULL when there are fewer. */
const struct overlay_field *overlay_find(const struct overlay *overlay, const char *name, size_t occurrence);
/* The value unfolded, outer blanks trimmed; caller frees. */
char *overlay_field_unfold(const struct overlay_field *field);
/* Takes out all fields of that name, whoever made them (Return-Path, RFC 5321 4.4), and shows each before (`removed` may be NULL). */
size_t overlay_remove(struct overlay *overlay, const char *name, void (*removed)(void *context, const struct overlay_field *field),
    void *context);

/* Makes the view (not initialised, or cleared): each stamp a segment of its own, the fields, the empty line, the body. An empty line the
 * message lacks is put in only where the body would otherwise be taken for header fields. `message_has_dot_lines`: struct view. */
void overlay_make_view(const struct overlay *overlay, struct message_store *message, const struct span *stamps, size_t stamp_count,
    bool message_has_dot_lines, struct view *view);

/* The envelope as the edits leave it (`to` zeroed or cleared before). A recipient already there is not added twice; deleting takes every
 * one of that address (local part as written, domain in any case); of a new sender's parameters RET and ENVID are taken over. It may end
 * up without recipients: nobody is to get the message. */
void overlay_envelope(const struct envelope *from, const struct edit_list *edits, struct envelope *to);

#endif
