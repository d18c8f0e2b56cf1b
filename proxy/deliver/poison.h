/* Messages that killed the processes that judged them, kept for the administrator to look at: QUEUEID.eml with the bytes as received,
 * QUEUEID.txt with the reason. Bounded; the oldest go first. Nothing is promised to anybody, so nothing is fsynced. */
#ifndef POSTERN_DELIVER_POISON_H
#define POSTERN_DELIVER_POISON_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/view.h"

#define POISON_FILES_MAX 100 /* a message has two */
#define POISON_BYTES_MAX (UINT64_C(256) << 20) /* of all files */

/* Opens the directory, which must be there; -1 with errno set. Takes away what a killed process left half written. */
int poison_open(const char *path);
/* Makes room, then writes both files; one of the same queue ID is replaced. The queue ID must be good for a file name. False after an error
 * was logged; nothing of the message is left then. */
bool poison_keep(int directory, const char *queue_id, const struct view *message, const char *why);

#endif
