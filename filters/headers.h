/* The header block of a stored message, wherever its bytes are. Owns what it had to copy; the message must outlive it. */
#ifndef POSTERN_FILTERS_HEADERS_H
#define POSTERN_FILTERS_HEADERS_H

#include <stdbool.h>

#include "mail/edits_check.h"
#include "mail/header.h"
#include "wire/message_store.h"

struct message_headers {
	struct header_block block;
	char *front; /* the message's first bytes when they could not be mapped */
};

/* Anything but HEADER_SCAN_OK leaves an empty block; HEADER_SCAN_INCOMPLETE: the message cannot be read. */
enum header_scan_result message_headers_read(struct message_store *message, uint64_t bytes_limit, uint32_t count_limit,
    struct message_headers *headers);
void message_headers_clear(struct message_headers *headers);

/* What edits of this message may bring; `block` may be NULL. */
struct edit_rules message_edit_rules(const struct header_block *block, bool smtputf8);

#endif
