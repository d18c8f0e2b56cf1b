/* Who a message is from and to, as the client said it. */
#ifndef POSTERN_MAIL_ENVELOPE_H
#define POSTERN_MAIL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum body_type {
	BODY_7BIT = 0,
	BODY_8BITMIME,
};

/* RFC 3461 NOTIFY= */
#define NOTIFY_UNSET 0u
#define NOTIFY_NEVER 1u
#define NOTIFY_SUCCESS 2u
#define NOTIFY_FAILURE 4u
#define NOTIFY_DELAY 8u

struct recipient {
	char *address; /* local@domain as the client wrote it, source route dropped; "postmaster" alone is possible */
	char *domain; /* lower case, A-label or UTF-8 as written; "" for bare postmaster */
	char *original_recipient; /* ORCPT= value as given (type;xtext) or NULL */
	unsigned notify; /* NOTIFY_* bits */
};

struct envelope {
	char *sender; /* "" is the null sender; NULL = no transaction */
	char *sender_domain; /* lower case; "" for the null sender */
	enum body_type body;
	bool smtputf8;
	bool size_declared;
	uint64_t size; /* SIZE= */
	char *ret; /* RET= "FULL" or "HDRS", or NULL */
	char *envelope_id; /* ENVID= xtext as given, or NULL */
	struct recipient *recipients;
	size_t recipient_count;
};

void envelope_clear(struct envelope *envelope);
/* Adds a recipient and returns it; all strings are copied. */
struct recipient *envelope_add_recipient(struct envelope *envelope, const char *address, const char *domain);
/* Takes the last recipient off again. */
void envelope_remove_last_recipient(struct envelope *envelope);

#endif
