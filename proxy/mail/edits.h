/* What filters want changed, in the milter vocabulary, as data: the message itself never changes. Append-only; every edit knows who
 * made it. Says nothing about whether an edit is allowed (mail/edits_check.h) or what it does (mail/overlay.h). */
#ifndef POSTERN_MAIL_EDITS_H
#define POSTERN_MAIL_EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/frame.h"

#define EDIT_COUNT_MAX 1000 /* edits in one list */
#define EDIT_TEXT_MAX (64u << 10) /* bytes of one name, value, address or parameter string */
#define EDIT_LIST_TEXT_MAX (512u << 10) /* bytes of all of them in one list */
#define EDIT_BODY_MAX (4u << 20) /* bytes of all new bodies in one list: they travel inside a frame */

/* Enum, name for programs, words. */
#define EDIT_KINDS(X) \
	X(EDIT_ADD_HEADER, "add_header", "add header") /* at the end of the header block */ \
	X(EDIT_INSERT_HEADER, "insert_header", "insert header") /* before the field at `index`, 0 = the top */ \
	X(EDIT_CHANGE_HEADER, "change_header", "change header") \
	X(EDIT_DELETE_HEADER, "delete_header", "delete header") \
	X(EDIT_ADD_RECIPIENT, "add_recipient", "add recipient") \
	X(EDIT_DELETE_RECIPIENT, "delete_recipient", "delete recipient") \
	X(EDIT_CHANGE_SENDER, "change_sender", "change sender") \
	X(EDIT_REPLACE_BODY, "replace_body", "replace body")

enum edit_kind {
#define X(name, text, words) name,
	EDIT_KINDS(X)
#undef X
	EDIT_KIND_COUNT
};
const char *edit_kind_text(enum edit_kind kind);
const char *edit_kind_words(enum edit_kind kind);
/* The four that touch the header block. */
bool edit_kind_is_header(enum edit_kind kind);

struct edit {
	enum edit_kind kind;
	char *filter; /* who made it */
	char *name; /* of the header field; NULL for the others */
	char *value; /* new value of the field, or the address; NULL for delete header and replace body. Once checked: what stands
	              * behind the colon byte for byte, folded with CR LF; an address without angle brackets */
	char *parameters; /* ESMTP parameters of an added recipient or a new sender, or NULL */
	uint32_t index; /* insert: fields above it; change, delete: occurrence of the name, from 1; both count what earlier edits left */
	bool verbatim; /* add, insert, change: the value follows the colon at once. Else a space comes between, unless it begins with a blank */
	struct buffer body; /* replace body */
};

struct edit_list {
	struct edit *edits;
	size_t count;
	size_t text_bytes, body_bytes; /* of all edits */
	bool overflowed; /* something did not fit: the list as a whole is bad (edits_check.h) */
};

/* All texts are copied. What is beyond the limits above is not kept and marks the list as overflowed. */
void edit_list_add_header(struct edit_list *list, const char *filter, const char *name, const char *value);
void edit_list_insert_header(struct edit_list *list, const char *filter, uint32_t index, const char *name, const char *value);
void edit_list_change_header(struct edit_list *list, const char *filter, const char *name, uint32_t occurrence, const char *value);
void edit_list_delete_header(struct edit_list *list, const char *filter, const char *name, uint32_t occurrence);
void edit_list_add_recipient(struct edit_list *list, const char *filter, const char *address, const char *parameters);
void edit_list_delete_recipient(struct edit_list *list, const char *filter, const char *address);
void edit_list_change_sender(struct edit_list *list, const char *filter, const char *address, const char *parameters);
void edit_list_replace_body(struct edit_list *list, const char *filter, struct span bytes);
/* More of the body that the last edit brings; there must be one. */
void edit_list_append_body(struct edit_list *list, struct span bytes);
/* The last edit's value follows its colon at once. */
void edit_list_set_verbatim(struct edit_list *list);
/* Moves the edit to the end of the list and empties it, if it fits. Its shape must be that of its kind. */
void edit_list_take(struct edit_list *list, struct edit *edit);

size_t edit_text_bytes(const struct edit *edit);
void edit_clear(struct edit *edit);
void edit_list_clear(struct edit_list *list);

/* One line for the trace: "add header X-Spam: yes". Raw text, cut to a sane length; readers escape it. */
void edit_append_text(const struct edit *edit, struct buffer *out);

void edit_list_encode(const struct edit_list *list, struct buffer *payload);
/* Takes over `list` (cleared or zeroed before). False when malformed or beyond the limits; the list is then clear. */
bool edit_list_decode(struct frame_reader *payload, struct edit_list *list);

#endif
