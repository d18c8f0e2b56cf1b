/* Takes away what killed processes left half written in the tmp folders of our Maildirs: files untouched for 36 hours, as the Maildir
 * convention says. At once and then every day, a few folders at a time beside the other work of the loop. */
#ifndef POSTERN_DELIVER_TMP_SWEEPER_H
#define POSTERN_DELIVER_TMP_SWEEPER_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "deliver/maildir.h"

#define TMP_SWEEPER_AGE_US (36 * 3600 * INT64_C(1000000))

struct tmp_sweeper;

/* The Maildirs (NULL among them: none) are copied as pointers and must outlive it, like the clock. */
struct tmp_sweeper *tmp_sweeper_new(struct event_base *base, struct maildir *const *maildirs, size_t count, const struct clock *clock);
void tmp_sweeper_free(struct tmp_sweeper **sweeper);
/* Files removed by the sweep under way or the last one. */
uint64_t tmp_sweeper_removed(const struct tmp_sweeper *sweeper);

#endif
