/* The proxy's side of the journal: records and log lines go out, nothing comes back, nothing ever waits. */
#ifndef POSTERN_JOURNAL_JOURNAL_CLIENT_H
#define POSTERN_JOURNAL_JOURNAL_CLIENT_H

#include <event2/event.h>

#include "base/log.h"
#include "journal/record.h"
#include "wire/shared_memory.h"

struct journal_client;

/* page: counters of drops. */
struct journal_client *journal_client_new(struct event_base *base, struct shared_page *page);
void journal_client_free(struct journal_client **client);
/* A (new) journal is there; takes the descriptor. What was queued goes to it. */
void journal_client_connect(struct journal_client *client, int descriptor);
/* Queues one record; over half of the bound without its story, over the bound not at all (both counted). */
void journal_client_record(struct journal_client *client, const struct record *record);
/* A log_emitter with the client as context. */
void journal_client_log_line(void *client, enum log_level level, const char *line);
/* At the end of the process: waits up to timeout_ms for everything to be written. */
void journal_client_drain(struct journal_client *client, int timeout_ms);

#endif
