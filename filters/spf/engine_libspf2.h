/* libspf2 as SPF engine, for comparison: loaded as a module of its own, only when it is asked for. Its DNS layer is ours: answers come from the
 * job, the limits of RFC 7208 4.6.4 are enforced here, not there. The library may abort() the process on some inputs, and always lets 127/8 pass
 * when asked its own way: it belongs into a worker. */
#ifndef POSTERN_FILTERS_SPF_ENGINE_LIBSPF2_H
#define POSTERN_FILTERS_SPF_ENGINE_LIBSPF2_H

#include "base/buffer.h"

#include "filters/spf/spf.h"

#define SPF_LIBSPF2_FILE "postern-spf2.so"
#define SPF_LIBSPF2_DIRECTORY "/usr/lib/postern"

struct spf_libspf2; /* opaque; one per process: so the library has it */

/* Loads the module from the directory; NULL: from where the program is, or else from SPF_LIBSPF2_DIRECTORY. It must then judge a record as it
 * should. NULL: *problem says why. Before the sandbox closes. */
struct spf_libspf2 *spf_libspf2_open(const char *directory, struct buffer *problem);
void spf_libspf2_close(struct spf_libspf2 **library);
/* Like spf_evaluate. The library names one question at a time; so that this does not take as many rounds our own evaluator is asked first
 * which answers will be needed. It tells no mechanism. */
void spf_libspf2_evaluate(struct spf_libspf2 *library, const struct spf_query *query, const struct spf_answers *answers,
    struct spf_outcome *outcome);

#endif
