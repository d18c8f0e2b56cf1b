/* The domains an SPF evaluation walks through. Pure. */
#ifndef POSTERN_FILTERS_SPF_DOMAIN_H
#define POSTERN_FILTERS_SPF_DOMAIN_H

#include <stdbool.h>

#include "base/buffer.h"
#include "dns/name.h"

struct spf_domain {
	char text[DNS_NAME_WIRE_MAX]; /* as macros show it: the bytes of the labels and dots, no final dot */
	struct dns_name name; /* as it is asked: in lower case */
};

/* The domain of an identity: U-labels become A-labels (RFC 7208 4.3). False: not a name of at least two labels of letters, digits, hyphens
 * and underscores that fits into DNS; a domain literal, for example. */
bool spf_domain_from_identity(const char *text, struct spf_domain *domain);
/* From an expanded domain-spec. A name over 253 bytes loses labels on its left (RFC 7208 7.3). False: not a name that DNS could hold. */
bool spf_domain_from_expansion(struct span text, struct spf_domain *domain);
bool spf_domain_has_dot(const struct spf_domain *domain);
/* Is the name the domain or below it? */
bool spf_name_is_within(const struct dns_name *name, const struct dns_name *domain);

#endif
