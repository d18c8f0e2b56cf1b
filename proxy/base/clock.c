/* The machine's clocks, a clock for tests, and the two ways we write a date. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define US_PER_SECOND INT64_C(1000000)

static int64_t
read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

static int64_t
system_monotonic_us(void *context)
{
	(void)context;
	return read_clock(CLOCK_MONOTONIC);
}

static int64_t
system_wall_us(void *context)
{
	(void)context;
	return read_clock(CLOCK_REALTIME);
}

const struct clock *
clock_system(void)
{
	static const struct clock machine = {system_monotonic_us, system_wall_us, NULL};

	return &machine;
}

static int64_t
manual_monotonic_us(void *context)
{
	const struct clock_manual *manual = context;

	return manual->monotonic_us;
}

static int64_t
manual_wall_us(void *context)
{
	const struct clock_manual *manual = context;

	return manual->wall_us;
}

void
clock_manual_init(struct clock_manual *manual, int64_t wall_us)
{
	manual->clock = (struct clock){manual_monotonic_us, manual_wall_us, manual};
	manual->monotonic_us = US_PER_SECOND;
	manual->wall_us = wall_us;
}

void
clock_manual_advance(struct clock_manual *manual, int64_t us)
{
	manual->monotonic_us += us;
	manual->wall_us += us;
}

static void
split_time(int64_t wall_us, struct tm *fields, int *milliseconds)
{
	int64_t seconds = wall_us / US_PER_SECOND;
	int64_t rest = wall_us % US_PER_SECOND;

	if (rest < 0) {
		rest += US_PER_SECOND;
		seconds--;
	}
	time_t when = (time_t)seconds;
	gmtime_r(&when, fields);
	*milliseconds = (int)(rest / 1000);
}

void
clock_format_rfc3339(int64_t wall_us, char *text)
{
	struct tm fields;
	int milliseconds;

	split_time(wall_us, &fields, &milliseconds);
	size_t length = strftime(text, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &fields);
	snprintf(text + length, CLOCK_RFC3339_SIZE - length, ".%03dZ", milliseconds);
}

/* strftime's %a and %b would follow a locale; ours is always "C", which is what RFC 5322 wants. */
void
clock_format_rfc5322(int64_t wall_us, char *text)
{
	struct tm fields;
	int milliseconds;

	split_time(wall_us, &fields, &milliseconds);
	strftime(text, CLOCK_RFC5322_SIZE, "%a, %d %b %Y %H:%M:%S +0000", &fields);
}
