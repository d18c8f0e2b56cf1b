/* The one check that every edit passes, whoever made it: a worker, a plugin, a milter. What fails is the filter's error, and the
 * whole list of that filter is not applied (the caller acts on its on_error). Also brings an edit into the form that overlay.h applies. */
#ifndef POSTERN_MAIL_EDITS_CHECK_H
#define POSTERN_MAIL_EDITS_CHECK_H

#include <stdbool.h>

#include "mail/edits.h"

#define EDIT_INDEX_MAX 65535 /* places in a header block and occurrences of a name */
#define EDIT_LINE_MAX 998 /* RFC 5322 2.1.1, without CR LF */

#define EDIT_ERRORS(X) \
	X(EDIT_OK, "ok") \
	X(EDIT_TOO_MANY, "too many edits, or too many bytes in them") \
	X(EDIT_BAD_NAME, "not a header field name") \
	X(EDIT_NAME_TOO_LONG, "header field name too long") \
	X(EDIT_BAD_LINE_END, "line break in a header value that is no folding") \
	X(EDIT_LINE_TOO_LONG, "header line longer than 998 bytes") \
	X(EDIT_NOT_ASCII, "non-ASCII bytes in a header value of a message without SMTPUTF8") \
	X(EDIT_BAD_UTF8, "header value is not valid UTF-8") \
	X(EDIT_BAD_INDEX, "index of a header field out of range") \
	X(EDIT_BAD_ADDRESS, "bad address") \
	X(EDIT_ADDRESS_NEEDS_SMTPUTF8, "non-ASCII address without SMTPUTF8") \
	X(EDIT_BAD_PARAMETERS, "bad ESMTP parameters") \
	X(EDIT_BODY_HAS_NUL, "NUL in the new body") \
	X(EDIT_BODY_BARE_CR, "bare CR in the new body")

enum edit_error {
#define X(name, text) name,
	EDIT_ERRORS(X)
#undef X
};
const char *edit_error_text(enum edit_error error);

struct edit_rules {
	bool smtputf8; /* the transaction has it: UTF-8 in header values and addresses (RFC 6531, 6532) */
	bool eight_bit_headers; /* the message's own header block has bytes above 127: values may hold any */
	bool long_lines; /* the message's own header block has longer lines */
};

/* Checks and normalises: folding becomes CR LF and a blank, lines of blanks only are left out, a space follows the colon (struct edit:
 * verbatim), addresses lose their brackets, a body gets CR LF line ends and one at its end. Normalising twice changes nothing. */
enum edit_error edit_check(struct edit *edit, const struct edit_rules *rules);
/* Checks all of `from` and moves it to the end of `to`; or, at the first error, changes nothing in `to`, clears `from` and says in *bad
 * (may be NULL) which edit it was, in words. */
enum edit_error edit_list_accept(struct edit_list *to, struct edit_list *from, const struct edit_rules *rules, struct buffer *bad);

#endif
