/* Queue IDs (and session IDs): 14 characters of an alphabet without look-alikes, sorting by time, never the same twice,
 * not after a restart, not on another node, not when the clock steps back. */
#ifndef POSTERN_MAIL_QUEUE_ID_H
#define POSTERN_MAIL_QUEUE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define QUEUE_ID_LENGTH 14
#define QUEUE_ID_SIZE (QUEUE_ID_LENGTH + 1)

struct queue_id_source {
	const struct clock *clock;
	uint32_t instance; /* random per process start, 20 bits */
	int64_t last_ms;
	uint32_t sequence;
};

/* instance: random bits of this process (getrandom). */
void queue_id_source_init(struct queue_id_source *source, const struct clock *clock, uint32_t instance);
/* Writes QUEUE_ID_SIZE bytes. */
void queue_id_make(struct queue_id_source *source, char *id);
bool queue_id_is_valid(const char *text);
/* Wall-clock milliseconds in the ID; -1 when invalid. */
int64_t queue_id_time_ms(const char *id);

#endif
