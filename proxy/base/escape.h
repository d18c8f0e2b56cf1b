/* The one escaping for every untrusted value in log, trace and terminal output: controls, quotes,
 * backslash, invalid UTF-8 and bidirectional marks become \xHH or \u{HHHH}. */
#ifndef POSTERN_BASE_ESCAPE_H
#define POSTERN_BASE_ESCAPE_H

#include "base/buffer.h"

/* Appends the escaped value, no quotes around it. */
void escape_append(struct buffer *out, struct span value);
/* Appends value so that it is one token of key=value text: in double quotes when it is empty or has blanks,
 * '=' or anything that had to be escaped; bare otherwise. */
void escape_append_token(struct buffer *out, struct span value);
/* Appends value as a JSON string with its quotes; invalid UTF-8 bytes become U+FFFD. */
void escape_append_json(struct buffer *out, struct span value);
/* Escaped copy, caller frees. */
char *escape_copy(const char *value);

#endif
