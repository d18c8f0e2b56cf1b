/* Messages that kill workers, known by their content to all proxies: the second kill is the last (design section 3). */
#ifndef POSTERN_CHAIN_POISON_H
#define POSTERN_CHAIN_POISON_H

#include <stdbool.h>

#include "base/clock.h"
#include "wire/message_store.h"
#include "wire/shared_memory.h"

#define POISON_KILLS 2
#define POISON_HOURS 24 /* then it may try again: the filters may have been mended */

/* True when it must not be given to a worker any more. Costs nothing while nothing has killed a worker. */
bool poison_is_known(struct shared_memory *shared, const struct clock *clock, struct message_store *message);
/* It has killed a worker of the process on page `slot` (ours). True when it is poison now; also when it cannot be read, and so not be known
 * again. */
bool poison_note_kill(struct shared_memory *shared, unsigned slot, const struct clock *clock, struct message_store *message);

#endif
