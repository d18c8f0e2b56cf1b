/* SMTP extensions as bits: what a backend offers, what we can offer; and the reply to EHLO or LHLO that names them. */
#ifndef POSTERN_RELAY_CAPABILITIES_H
#define POSTERN_RELAY_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define CAPABILITIES(X) \
	X(CAPABILITY_PIPELINING, 0, "PIPELINING") \
	X(CAPABILITY_SIZE, 1, "SIZE") \
	X(CAPABILITY_8BITMIME, 2, "8BITMIME") \
	X(CAPABILITY_SMTPUTF8, 3, "SMTPUTF8") \
	X(CAPABILITY_ENHANCEDSTATUSCODES, 4, "ENHANCEDSTATUSCODES") \
	X(CAPABILITY_CHUNKING, 5, "CHUNKING") \
	X(CAPABILITY_DSN, 6, "DSN") \
	X(CAPABILITY_STARTTLS, 7, "STARTTLS") \
	X(CAPABILITY_XCLIENT, 8, "XCLIENT") \
	X(CAPABILITY_XFORWARD, 9, "XFORWARD") \
	X(CAPABILITY_LIMITS, 10, "LIMITS")

enum capability {
#define X(name, bit, text) name = 1 << bit,
	CAPABILITIES(X)
#undef X
};

/* What one backend said it can. */
struct capability_set {
	unsigned bits; /* CAPABILITY_* */
	uint64_t size; /* SIZE in bytes, 0 = no limit named */
};

/* Reads the text of a reply to EHLO or LHLO: first the server's name, then a keyword with its parameters per line (RFC 5321
 * 4.1.1.1). Unknown keywords are skipped. Never fails: garbage offers nothing. */
void capabilities_parse(const char *text, struct capability_set *set);
/* "PIPELINING SIZE=1000 8BITMIME" for the trace. */
void capabilities_append_text(struct buffer *out, const struct capability_set *set);
/* True when the first word of a greeting (or of a reply to EHLO) is this host name, in any case, with or without a final dot. */
bool greeting_names_host(const char *text, const char *hostname);

#endif
