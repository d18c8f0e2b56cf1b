/* An SPF record taken apart: RFC 7208 section 4.6.1, 5 and 6. Syntax only; nothing is expanded or asked here. */
#ifndef POSTERN_FILTERS_SPF_RECORD_H
#define POSTERN_FILTERS_SPF_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"

#include "filters/spf/spf.h"
#include "filters/spf/syntax.h"

enum spf_argument {
	SPF_ARGUMENT_NONE,
	SPF_ARGUMENT_DOMAIN, /* ":" domain-spec */
	SPF_ARGUMENT_OPTIONAL_DOMAIN,
	SPF_ARGUMENT_OPTIONAL_DOMAIN_AND_PREFIXES, /* and "/" number, "//" number */
	SPF_ARGUMENT_NETWORK_4, /* ":" address, and "/" number */
	SPF_ARGUMENT_NETWORK_6,
};

/* One row: enum, name, what may follow it, whether it asks DNS (and so counts against SPF_LOOKUP_LIMIT). */
#define SPF_MECHANISMS(X) \
	X(SPF_MECHANISM_ALL, "all", SPF_ARGUMENT_NONE, false) \
	X(SPF_MECHANISM_INCLUDE, "include", SPF_ARGUMENT_DOMAIN, true) \
	X(SPF_MECHANISM_A, "a", SPF_ARGUMENT_OPTIONAL_DOMAIN_AND_PREFIXES, true) \
	X(SPF_MECHANISM_MX, "mx", SPF_ARGUMENT_OPTIONAL_DOMAIN_AND_PREFIXES, true) \
	X(SPF_MECHANISM_PTR, "ptr", SPF_ARGUMENT_OPTIONAL_DOMAIN, true) \
	X(SPF_MECHANISM_IP4, "ip4", SPF_ARGUMENT_NETWORK_4, false) \
	X(SPF_MECHANISM_IP6, "ip6", SPF_ARGUMENT_NETWORK_6, false) \
	X(SPF_MECHANISM_EXISTS, "exists", SPF_ARGUMENT_DOMAIN, true)

enum spf_mechanism {
#define X(mechanism, name, argument, asks) mechanism,
	SPF_MECHANISMS(X)
#undef X
};
bool spf_mechanism_asks(enum spf_mechanism mechanism);

struct spf_term {
	struct span text; /* as written, with its qualifier */
	enum spf_result qualifier; /* the result when it matches */
	enum spf_mechanism mechanism;
	struct span domain_spec; /* empty: the current domain is meant */
	struct ip_network network; /* of ip4 and ip6; bits behind the prefix may be set */
	uint8_t prefix_length_4, prefix_length_6; /* of a and mx */
};

/* Points into the text it was parsed from. */
struct spf_record {
	struct spf_term *terms; /* the mechanisms in order */
	size_t count, capacity;
	struct span redirect, explanation; /* domain-specs of the modifiers; empty: none */
};

/* Does the text start with "v=spf1" and a space or its end? (RFC 7208 4.5) */
bool spf_record_is_spf(struct span text);
/* Parses a text that is_spf. On an error *faulty is the term it is in. Clear the record in any case. */
enum spf_syntax spf_record_parse(struct span text, struct spf_record *record, struct span *faulty);
void spf_record_clear(struct spf_record *record);

#endif
