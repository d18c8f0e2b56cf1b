/* What became of each recipient of a message that had to be answered 451 although some were final (design section 4, step 11).
 * Durable: an entry recorded is on the disk. Several deliver processes may have it open at one time. */
#ifndef POSTERN_DELIVER_LEDGER_H
#define POSTERN_DELIVER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "deliver/deliver_client.h"

#define LEDGER_KEPT_US (7 * 86400 * INT64_C(1000000)) /* longer than any client retries: RFC 5321 4.5.4.1 says 4-5 days */

struct ledger;

/* Opens or makes the file. NULL with an error logged when that is impossible. The clock must outlive it. */
struct ledger *ledger_open(const char *path, const struct clock *clock);
void ledger_close(struct ledger **ledger);
/* All or none, on the disk when it returns true. An entry replaces an older one with the same keys. */
bool ledger_record(struct ledger *ledger, const struct ledger_entry *entries, size_t count);
/* Newest first, at most `capacity`; the entries' replies are the caller's to clear. -1 when the ledger cannot be read. */
int ledger_lookup(struct ledger *ledger, const uint8_t *address_key, const uint8_t *message_key, struct ledger_entry *entries,
    size_t capacity);
/* Forgets what is older than LEDGER_KEPT_US. */
bool ledger_expire(struct ledger *ledger);
/* Entries not yet expired; -1 when the ledger cannot be read. */
int64_t ledger_count(struct ledger *ledger);

#endif
