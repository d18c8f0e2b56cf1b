/* Why a backend could not be used: one row each, for trace, health and the client's reply. */
#ifndef POSTERN_RELAY_BACKEND_FAILURE_H
#define POSTERN_RELAY_BACKEND_FAILURE_H

#include <stdbool.h>

#include "mail/reply.h"

/* enum, enhanced code of the client's 451 (RFC 3463), what the mail server did, the backend is then left alone for a while */
#define BACKEND_FAILURES(X) \
	X(BACKEND_UNREACHABLE, "4.4.1", "cannot be reached", true) \
	X(BACKEND_NAME_UNRESOLVED, "4.4.3", "has a name that DNS does not resolve", true) \
	X(BACKEND_SILENT, "4.4.1", "does not answer in time", true) \
	X(BACKEND_CLOSED, "4.4.2", "closed the connection", true) \
	X(BACKEND_GARBAGE, "4.3.0", "answered with something that is no SMTP reply", true) \
	X(BACKEND_REFUSED, "4.3.0", "refused the session", true) \
	X(BACKEND_LEAVING, "4.3.2", "is closing the session", true) \
	X(BACKEND_LOOP, "4.4.6", "is this gateway itself: mail loop", true) \
	X(BACKEND_SKIPPED, "4.4.1", "failed a moment ago and is not tried yet", false) \
	X(BACKEND_CROWDED, "4.3.2", "has no free connection", false) \
	X(BACKEND_EXPIRED, "4.4.7", "was not done in the time there was", false)

enum backend_failure_kind {
#define X(name, enhanced, text, skips) name,
	BACKEND_FAILURES(X)
#undef X
};

struct backend_failure {
	enum backend_failure_kind kind;
	const struct reply *reply; /* what it said (REFUSED, LEAVING), or NULL; valid during the call that hands it over */
	bool handshake; /* before the connection was ready for its first transaction */
};

const char *backend_failure_text(enum backend_failure_kind kind);
/* Is the backend to be left alone for a while when a new connection fails like this? */
bool backend_failure_skips(enum backend_failure_kind kind);
/* The client's 451. */
void backend_failure_reply(enum backend_failure_kind kind, struct reply *reply);

#endif
