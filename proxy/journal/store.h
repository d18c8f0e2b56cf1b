/* The trace store's writer: records go in, in batches of one transaction, into the database of the current UTC day. A disk that
 * is full, a lock that stays or a damaged file costs records (counted, told once a minute), never the process. */
#ifndef POSTERN_JOURNAL_STORE_H
#define POSTERN_JOURNAL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "journal/record.h"

#define STORE_BATCH_RECORDS 500 /* a batch is committed at the latest after so many */

struct store;

/* directory must exist. retention_days 0: keep for ever. Opens nothing yet. */
struct store *store_new(const char *directory, uint32_t retention_days, const struct clock *clock);
/* A new retention, from the next store_tick on. */
void store_set_retention(struct store *store, uint32_t retention_days);
/* Commits what is open. */
void store_free(struct store **store);
/* Adds to the open batch. False: lost. */
bool store_add(struct store *store, const struct record *record);
/* Makes the batch durable enough to survive the process (and, but for the last seconds, the machine). */
void store_commit(struct store *store);
/* Once a minute or so: closes a day that is over, removes files past retention, tells of losses. */
void store_tick(struct store *store);

/* Records committed and records lost since store_new. */
uint64_t store_stored(const struct store *store);
uint64_t store_lost(const struct store *store);
/* True while a batch is open. */
bool store_has_batch(const struct store *store);

#endif
