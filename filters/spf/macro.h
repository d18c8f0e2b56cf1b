/* Macro strings of RFC 7208 section 7: their syntax and their expansion. Pure. */
#ifndef POSTERN_FILTERS_SPF_MACRO_H
#define POSTERN_FILTERS_SPF_MACRO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"

#include "filters/spf/spf.h"
#include "filters/spf/syntax.h"

enum spf_macro_place {
	SPF_MACRO_IN_DOMAIN, /* a domain-spec: no blanks, none of the letters c, r, t */
	SPF_MACRO_IN_MODIFIER, /* an unknown modifier: it is never expanded, so any letter is fine */
	SPF_MACRO_IN_EXPLANATION, /* the explanation's TXT record: blanks and all letters */
};

/* macro-string (or explain-string) over the whole text. */
enum spf_syntax spf_macro_check(struct span text, enum spf_macro_place place);
/* domain-spec: a macro string with a domain-end. */
enum spf_syntax spf_domain_spec_check(struct span text);

/* What the letters stand for. */
struct spf_macro_values {
	const char *local_part; /* l, and s together with o */
	const char *sender_domain; /* o */
	const char *domain; /* d: the domain whose record is being looked at */
	const char *helo; /* h */
	const char *receiver; /* r */
	struct ip_address client; /* i, c, v */
	int64_t now_s; /* t */
	/* p: writes the validated name of the client (DNS_NAME_TEXT_SIZE bytes). False: not known yet. Asked only when needed. */
	bool (*validated_name)(void *context, char *name);
	void *context;
};

/* Appends the expansion of a text that passed its check. Of an over-long name only its end is kept (at least the last 254 bytes: more cannot be
 * asked, RFC 7208 7.3), of an over-long explanation only its start (more than SPF_EXPLANATION_MAX bytes). False: a value is not known yet. */
bool spf_macro_expand(struct span text, enum spf_macro_place place, const struct spf_macro_values *values, struct buffer *out);

#endif
