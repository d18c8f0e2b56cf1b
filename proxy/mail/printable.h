/* Untrusted text on its way into a header field or a reply: what is not printable becomes '?'. Pure. */
#ifndef POSTERN_MAIL_PRINTABLE_H
#define POSTERN_MAIL_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define PRINTABLE_BLANK 1u /* the space may stay (a tab never) */
#define PRINTABLE_UTF8 2u /* valid UTF-8 other than controls may stay (RFC 6531) */

/* Appends `text`, every byte that may not stay replaced by '?'. Visible ASCII stays, but for the bytes of the string `refused`
 * (NULL = none). */
void printable_append(struct buffer *out, struct span text, unsigned allowed, const char *refused);
/* The front of `text`: at most `length` bytes, not cut inside a UTF-8 character. */
struct span printable_cut(struct span text, size_t length);

#endif
