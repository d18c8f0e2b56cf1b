/* Finds the header fields of a message (RFC 5322 2.2) without changing a byte. Pure. */
#ifndef POSTERN_MAIL_HEADER_H
#define POSTERN_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct header_field {
	struct span name; /* as written, without blanks before the colon */
	struct span value; /* after the colon, with folding, without the final CRLF */
	size_t offset; /* of the field's first byte in the message */
	size_t length; /* whole field with its final CRLF (a message that ends in a field may lack it) */
};

/* The header block of a message. Spans point into the bytes given to header_block_scan. */
struct header_block {
	struct header_field *fields;
	size_t count;
	size_t body_offset; /* first byte behind the empty line; = length of all when there is no body */
	bool has_separator; /* an empty line ends the header block (else the first non-header line or the end did) */
};

#define HEADER_SCAN_RESULTS(X) \
	X(HEADER_SCAN_OK, "", "") \
	X(HEADER_SCAN_TOO_LONG, "5.3.4", "header block too long") \
	X(HEADER_SCAN_TOO_MANY, "5.3.4", "too many header fields") \
	X(HEADER_SCAN_INCOMPLETE, "", "header block not complete in these bytes")

enum header_scan_result {
#define X(name, enhanced, text) name,
	HEADER_SCAN_RESULTS(X)
#undef X
};

#define HEADER_NAME_MAX 998 /* a line without a colon in so many bytes is no header field (RFC 5322 2.1.1) */

/* Scans the front of a message. `bytes` may be cut off: then whole=false, and HEADER_SCAN_INCOMPLETE means "give me more".
 * A line that is no header field and no continuation ends the block (as if an empty line stood before it).
 * `bytes_limit` is for the fields without the empty line. The block is empty unless the result is HEADER_SCAN_OK; more bytes
 * of the same message never change a result other than HEADER_SCAN_INCOMPLETE. */
enum header_scan_result header_block_scan(struct span bytes, bool whole, size_t bytes_limit, size_t count_limit, struct header_block *block);
void header_block_clear(struct header_block *block);
/* First field of that name (any case), NULL when none. */
const struct header_field *header_block_find(const struct header_block *block, const char *name);
size_t header_block_count(const struct header_block *block, const char *name);
/* The value unfolded (CRLF removed before a blank), outer blanks trimmed; caller frees. */
char *header_field_unfold(const struct header_field *field);

#endif
