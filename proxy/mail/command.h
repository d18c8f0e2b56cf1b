/* One SMTP command line taken apart (RFC 5321 4.1). Pure. Knows syntax, not session states: those are in front/. */
#ifndef POSTERN_MAIL_COMMAND_H
#define POSTERN_MAIL_COMMAND_H

#include <stdbool.h>

#include "base/buffer.h"
#include "mail/address.h"
#include "mail/envelope.h"

/* Verbs: enum, text. */
#define COMMAND_VERBS(X) \
	X(COMMAND_UNKNOWN, "") \
	X(COMMAND_EHLO, "EHLO") X(COMMAND_HELO, "HELO") X(COMMAND_MAIL, "MAIL") X(COMMAND_RCPT, "RCPT") \
	X(COMMAND_DATA, "DATA") X(COMMAND_BDAT, "BDAT") X(COMMAND_RSET, "RSET") X(COMMAND_NOOP, "NOOP") \
	X(COMMAND_VRFY, "VRFY") X(COMMAND_EXPN, "EXPN") X(COMMAND_HELP, "HELP") X(COMMAND_QUIT, "QUIT") \
	X(COMMAND_STARTTLS, "STARTTLS") X(COMMAND_AUTH, "AUTH") X(COMMAND_ETRN, "ETRN") X(COMMAND_TURN, "TURN") \
	X(COMMAND_XCLIENT, "XCLIENT") X(COMMAND_XFORWARD, "XFORWARD")

enum command_verb {
#define X(name, text) name,
	COMMAND_VERBS(X)
#undef X
};
const char *command_verb_text(enum command_verb verb);

struct command {
	enum command_verb verb;
	struct span word; /* the verb as written */
	struct span argument; /* what follows the verb, outer blanks removed */
};

#define COMMAND_LINE_MAX 2048 /* bytes with CRLF: 512 and what our extensions add (RFC 5321 4.5.3.1.4, RFC 3461, RFC 6531), with room */

/* `line` has no line end. Unknown verbs give COMMAND_UNKNOWN. Never fails. */
struct command command_parse(struct span line);
/* True when the line smells of HTTP or of another protocol spoken by mistake or on purpose
 * ("GET / HTTP/1.1", "POST ...", "CONNECT ...", a TLS record, "Host: ..." and any other header field): the session ends. */
bool command_is_foreign_protocol(struct span line);

/* A failed parse of an argument: what to answer. Bad address syntax: 501 5.1.7 (sender), 5.1.3 (recipient); non-ASCII without SMTPUTF8:
 * 553 5.6.7; bad, doubled or malformed parameter: 501 5.5.4; one not offered: 555 5.5.4; SIZE beyond 64 bits: 552 5.3.4. */
struct command_error {
	int code; /* 501, 503, 504, 552, 553, 555 */
	const char *enhanced;
	const char *text; /* static */
};

struct mail_arguments {
	struct address sender; /* local_part "" = null sender */
	enum body_type body;
	bool smtputf8;
	bool size_declared;
	uint64_t size;
	char *ret; /* "FULL" or "HDRS" however written, or NULL */
	char *envelope_id; /* or NULL, checked xtext, at most 100 characters (RFC 3461 4.4) */
};
/* Which parameters are offered; one that is not is 555 5.5.4. */
struct command_offer {
	bool size;
	bool eight_bit_mime;
	bool smtputf8;
	bool dsn;
	bool lenient_addresses; /* "MAIL FROM:a@b" without angle brackets, as Postfix by default; blanks after the colon; odd senders */
};
/* Argument of MAIL: "FROM:<path> [parameters]". False: *error says what to answer. Clear with mail_arguments_clear either way. */
bool command_parse_mail(struct span argument, const struct command_offer *offer, struct mail_arguments *out, struct command_error *error);
void mail_arguments_clear(struct mail_arguments *arguments);

struct rcpt_arguments {
	struct address recipient; /* domain "" = bare postmaster */
	unsigned notify; /* NOTIFY_* */
	char *original_recipient; /* or NULL, "type;xtext", checked, at most 500 characters; raw UTF-8 only for type utf-8 with SMTPUTF8 (RFC 6533) */
};
/* smtputf8: the transaction has it, so non-ASCII addresses may come. */
bool command_parse_rcpt(struct span argument, const struct command_offer *offer, bool smtputf8, struct rcpt_arguments *out, struct command_error *error);
void rcpt_arguments_clear(struct rcpt_arguments *arguments);

/* Argument of BDAT: size [LAST]. False: 501. */
bool command_parse_bdat(struct span argument, uint64_t *size, bool *last);
/* Argument of EHLO/HELO: a domain (underscores and a dot at the end are let pass) or an address literal.
 * RFC 5321 4.1.4: not refused for being wrong in DNS; syntax only. */
bool command_parse_hello(struct span argument, bool utf8_allowed);
/* What real clients say instead ("My Computer", "host:25", "WIN-ABC$"): visible ASCII and blanks, without the characters that mean
 * something in a Received field. */
bool command_hello_is_harmless(struct span argument);

#endif
