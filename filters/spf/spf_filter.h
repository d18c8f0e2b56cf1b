/* The filter "spf": checks the identities of a message with SPF and acts on the results as configured. */
#ifndef POSTERN_FILTERS_SPF_SPF_FILTER_H
#define POSTERN_FILTERS_SPF_SPF_FILTER_H

#include "filters/filter.h"

/* Facts, for every message:
 *   spf       {result, domain, identity, explanation, mechanism} of MAIL FROM; of the HELO name when the sender is null (RFC 7208 2.4).
 *             identity is "mailfrom" or "helo"; domain is made of A-labels when it can be. For temperror and permerror also `problem`, in
 *             words; when a trusted relay spoke for the client also `relay`, its address, and `client`, the address that was judged.
 *   spf/helo  the same of the HELO name, when it was checked besides MAIL FROM. */
extern const struct filter spf_filter;

#endif
