/* The only source of time. Everything that needs "now" is handed a clock, so tests can set it. */
#ifndef POSTERN_BASE_CLOCK_H
#define POSTERN_BASE_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*monotonic_us)(void *context); /* never steps back: deadlines and durations */
	int64_t (*wall_us)(void *context); /* microseconds since 1970 UTC: stamps and logs */
	void *context;
};

/* The machine's clocks (CLOCK_MONOTONIC, CLOCK_REALTIME). */
const struct clock *clock_system(void);

/* A clock that stands still until moved; for tests and dry runs. */
struct clock_manual {
	struct clock clock;
	int64_t monotonic_us;
	int64_t wall_us;
};
void clock_manual_init(struct clock_manual *manual, int64_t wall_us);
void clock_manual_advance(struct clock_manual *manual, int64_t us);

static inline int64_t
clock_monotonic_us(const struct clock *clock)
{
	return clock->monotonic_us(clock->context);
}

static inline int64_t
clock_wall_us(const struct clock *clock)
{
	return clock->wall_us(clock->context);
}

/* "2026-11-21T20:15:04.123Z" into `text`, which has room for CLOCK_RFC3339_SIZE bytes. */
#define CLOCK_RFC3339_SIZE 32
void clock_format_rfc3339(int64_t wall_us, char *text);
/* "Sat, 21 Nov 2026 20:15:04 +0000" (RFC 5322 3.3, always UTC). */
#define CLOCK_RFC5322_SIZE 40
void clock_format_rfc5322(int64_t wall_us, char *text);

#endif
