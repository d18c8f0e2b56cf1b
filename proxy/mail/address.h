/* Mailboxes and paths of RFC 5321 4.1.2 (with RFC 6531 for UTF-8), and domain names. Pure: no I/O, no DNS. */
#ifndef POSTERN_MAIL_ADDRESS_H
#define POSTERN_MAIL_ADDRESS_H

#include <stdbool.h>

#include "base/buffer.h"

#define ADDRESS_LOCAL_PART_MAX 64 /* RFC 5321 4.5.3.1.1, octets */
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_PATH_MAX 256 /* with angle brackets */

/* One row: enum, enhanced status code, words for the reply. 5.1.3 speaks of a recipient: for a sender it becomes 5.1.7 (RFC 3463 3.2). */
#define ADDRESS_ERRORS(X) \
	X(ADDRESS_OK, "", "ok") \
	X(ADDRESS_NO_BRACKETS, "5.1.3", "address must be in angle brackets") \
	X(ADDRESS_EMPTY, "5.1.3", "empty address") \
	X(ADDRESS_TOO_LONG, "5.1.3", "address too long") \
	X(ADDRESS_LOCAL_PART_TOO_LONG, "5.1.3", "local part too long") \
	X(ADDRESS_DOMAIN_TOO_LONG, "5.1.3", "domain too long") \
	X(ADDRESS_BAD_LOCAL_PART, "5.1.3", "bad local part") \
	X(ADDRESS_BAD_QUOTED_STRING, "5.1.3", "bad quoted local part") \
	X(ADDRESS_NO_DOMAIN, "5.1.3", "domain missing") \
	X(ADDRESS_BAD_DOMAIN, "5.1.3", "bad domain") \
	X(ADDRESS_BAD_LITERAL, "5.1.3", "bad address literal") \
	X(ADDRESS_BAD_ROUTE, "5.1.3", "bad source route") \
	X(ADDRESS_BAD_UTF8, "5.1.3", "not valid UTF-8") \
	X(ADDRESS_NEEDS_SMTPUTF8, "5.6.7", "non-ASCII address without SMTPUTF8") \
	X(ADDRESS_TRAILING_BYTES, "5.5.4", "unexpected characters after the address")

enum address_error {
#define X(name, enhanced, text) name,
	ADDRESS_ERRORS(X)
#undef X
};
const char *address_error_text(enum address_error error);
const char *address_error_enhanced(enum address_error error);

struct address {
	char *local_part; /* as written (with its quotes, if quoted) */
	char *domain; /* as written, "" for bare postmaster; literals keep their brackets */
	char *domain_lower; /* domain in lower case (ASCII), without a trailing dot */
};

/* Parses a path at the front of `text`: "<" [source route ":"] mailbox ">" or "<>" (when null_allowed) or "<postmaster>" (when
 * postmaster_allowed, any case). *taken is the length of the path. Missing angle brackets are accepted when `lenient`
 * (the address then ends at a blank). The null path gives local_part = "" and domain = "". */
struct address_options {
	bool null_allowed;
	bool postmaster_allowed;
	bool utf8_allowed;
	bool lenient;
	bool tolerant; /* what the grammar has not and real senders use: a..b@, .a@, a.@, a long local part, an underscore in the domain */
};
enum address_error address_parse_path(struct span text, const struct address_options *options, struct address *address, size_t *taken);
/* A bare mailbox, local@domain, whole text. */
enum address_error address_parse_mailbox(struct span text, bool utf8_allowed, struct address *address);
void address_clear(struct address *address);
/* "local@domain", caller frees; "" for the null path; "postmaster" for a bare postmaster. */
char *address_to_string(const struct address *address);

/* Letter-digit-hyphen labels separated by dots (underscore allowed in EHLO names only when `underscore`), UTF-8 labels when utf8_allowed. */
bool domain_is_valid(struct span domain, bool utf8_allowed, bool underscore);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]" or a general literal "[tag:content]" (RFC 5321 4.1.3). */
bool address_literal_is_valid(struct span literal);
/* Well-formed UTF-8 (RFC 3629) without the controls U+0080..U+009F; ASCII bytes are not judged. */
bool utf8_is_valid(struct span text);
bool utf8_is_ascii(struct span text);

#endif
