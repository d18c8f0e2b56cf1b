/* Between the program and the module postern-spf2.so, which is all that is linked with libspf2. Only plain data crosses: neither side
 * frees what the other allocated. Both are built together; the version catches a module left over from another build. */
#ifndef POSTERN_FILTERS_SPF_LIBSPF2_MODULE_H
#define POSTERN_FILTERS_SPF_LIBSPF2_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/answer.h"
#include "filters/spf/spf.h"

#define SPF2_MODULE_VERSION 1
#define SPF2_MODULE_SYMBOL "postern_spf2_module"
#define SPF2_PROBLEM_MAX 512

/* An answer, or NULL: give up this evaluation. The name is as the library made it: any bytes between dots. */
typedef const struct dns_answer *spf2_lookup(void *context, const char *name, uint16_t type);

struct spf2_outcome {
	enum spf_result result;
	char explanation[SPF_EXPLANATION_MAX + 1]; /* of the domain, as the library gives it; "" = none */
	char problem[SPF2_PROBLEM_MAX]; /* "" = none */
};

struct spf2_module {
	unsigned version;
	/* NULL when the library does not start. */
	void *(*open)(void);
	void (*close)(void *state);
	/* query->domain is a domain name; query->local_part and helo are not NULL. When a lookup gave up, the outcome means nothing. */
	void (*evaluate)(void *state, const struct spf_query *query, spf2_lookup *lookup, void *context, struct spf2_outcome *outcome);
};

#endif
