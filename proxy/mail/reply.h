/* SMTP replies: what we say and what backends say (RFC 5321 4.2, RFC 3463, RFC 2034). */
#ifndef POSTERN_MAIL_REPLY_H
#define POSTERN_MAIL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define REPLY_TEXT_MAX 512 /* bytes of text kept of one line */
#define REPLY_LINE_MAX 4096 /* bytes of one line without its end before it counts as garbage */
#define REPLY_WIRE_LINE_MAX 512 /* bytes of a line we send, with CRLF (RFC 5321 4.5.3.1.5) */
#define REPLY_LINES_MAX 100 /* lines in one reply before it counts as garbage */

struct reply {
	int code; /* 200..599; 0 = none */
	char enhanced[12]; /* "5.7.1" or "" */
	char *text; /* without code and enhanced code; several lines joined by '\n'; never NULL when code != 0 */
};

/* Sets a reply; text through printf. Frees what was there. enhanced NULL = none. */
void reply_set(struct reply *reply, int code, const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void reply_copy(struct reply *to, const struct reply *from);
void reply_clear(struct reply *reply);
static inline bool reply_is_positive(const struct reply *reply) { return reply->code >= 200 && reply->code < 400; }
static inline bool reply_is_transient(const struct reply *reply) { return reply->code >= 400 && reply->code < 500; }
static inline bool reply_is_permanent(const struct reply *reply) { return reply->code >= 500 && reply->code < 600; }

/* Appends the wire form with CRLF: every line carries code and enhanced code; lines are cut so that none is over 512 bytes;
 * controls and non-ASCII bytes are replaced by '?' unless utf8 is true (SMTPUTF8 session). */
void reply_append_wire(struct buffer *out, const struct reply *reply, bool utf8);
/* "550 5.7.1 text" in one line (lines of text joined by blanks) for log and trace (raw: escape it). */
void reply_append_text(struct buffer *out, const struct reply *reply);

enum reply_parse_result {
	REPLY_INCOMPLETE, /* need more bytes */
	REPLY_COMPLETE,
	REPLY_MALFORMED, /* not a reply: bad code, code changes between lines, too long, too many lines */
};
/* Reads one whole reply from a peer's bytes; *taken = bytes it used when COMPLETE. Accepts bare LF line ends (receivers are liberal).
 * An enhanced code is split off each line only if its class matches the code's first digit; the first one is kept. NUL bytes
 * become '?'. The reply is changed only when COMPLETE. */
enum reply_parse_result reply_parse(struct span bytes, struct reply *reply, size_t *taken);

/* What a backend's reply becomes for our client (design section 4, step 10). */
enum reply_step {
	REPLY_STEP_CONNECT, /* greeting, EHLO, LHLO, STARTTLS, XCLIENT, AUTH */
	REPLY_STEP_MAIL,
	REPLY_STEP_RCPT,
	REPLY_STEP_DATA, /* DATA command itself */
	REPLY_STEP_END_OF_DATA,
};
/* 2xx, 3xx: copied. 4xx: 4xx (421 -> 451), 5xx passed on only at MAIL, RCPT, END_OF_DATA and not 500-504, 530, 535, 538, 555;
 * the rest becomes 451 4.3.5 and *alarm is set (else cleared). Text sanitised to one printable run; enhanced class made to match,
 * X.0.0 where the backend gave none (RFC 2034: none with 3xx). `client` may be the backend's reply itself. */
void reply_map(const struct reply *backend, enum reply_step step, struct reply *client, bool *alarm);

#endif
