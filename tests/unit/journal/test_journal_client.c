/* The proxy's queue towards the journal: order, bounds, a journal that dies, draining. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "journal/journal_client.h"
#include "wire/channel.h"
#include "wire/roles.h"

#include "suite.h"

/* The other end, as the journal would read it. */
struct reader {
	struct channel *channel;
	unsigned records, lines, stories;
	uint64_t next_size; /* records carry a running number in size_bytes */
	bool ordered;
	bool closed;
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct reader *reader = context;
	struct record record;

	(void)descriptors, (void)count;
	if (type == JOURNAL_LOG_LINE) {
		reader->lines++;
		frame_get_u8(payload);
		char *line = frame_get_string(payload);
		ck_assert_str_eq(line, "a line");
		memory_free(&line);
		return frame_reader_finish(payload);
	}
	ck_assert(record_decode(payload, &record));
	reader->ordered &= record.size_bytes >= reader->next_size;
	reader->next_size = record.size_bytes + 1;
	reader->records++;
	reader->stories += record.story.length > 0;
	record_clear(&record);
	return frame_reader_finish(payload);
}

static void
on_closed(void *context, const char *reason)
{
	struct reader *reader = context;
	(void)reason;
	reader->closed = true;
	channel_free(&reader->channel);
}

static const struct channel_callbacks callbacks = {.on_frame = on_frame, .on_closed = on_closed};

struct stage {
	struct event_base *base;
	struct shared_page *page;
	struct journal_client *client;
	struct reader reader;
	struct record record; /* 8 KiB of story */
};

static void
stage_open(struct stage *stage)
{
	struct clock_manual clock;

	memset(stage, 0, sizeof *stage);
	stage->base = event_base_new();
	stage->page = memory_new(sizeof *stage->page);
	stage->client = journal_client_new(stage->base, stage->page);
	stage->reader.ordered = true;
	clock_manual_init(&clock, 0);
	char *text = memory_new(RECORD_EVENT_TEXT_MAX + 1);
	memset(text, 'x', RECORD_EVENT_TEXT_MAX);
	record_event(&stage->record, &clock.clock, RECORD_EVENT_NOTE, "%s", text);
	memory_free(&text);
}

static void
stage_connect(struct stage *stage)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	stage->reader.channel = channel_new(stage->base, pair[0], &callbacks, &stage->reader);
	journal_client_connect(stage->client, pair[1]);
}

static void
stage_close(struct stage *stage)
{
	journal_client_free(&stage->client);
	ck_assert_uint_eq(atomic_load(&stage->page->gauges[GAUGE_JOURNAL_QUEUED]), 0);
	channel_free(&stage->reader.channel);
	record_clear(&stage->record);
	memory_free(&stage->page);
	event_base_free(stage->base);
}

static void
send_records(struct stage *stage, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		stage->record.size_bytes++;
		journal_client_record(stage->client, &stage->record);
	}
}

static uint64_t
counted(const struct stage *stage, enum shared_counter counter)
{
	return atomic_load(&stage->page->counters[counter]);
}

static void
run(struct stage *stage, int64_t milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
	event_base_loopexit(stage->base, &time);
	event_base_dispatch(stage->base);
}

/* However busy the machine is: until nothing waits any more and nothing came for a while, 20 s at most. */
static void
run_until_quiet(struct stage *stage)
{
	for (unsigned before = ~0u, i = 0; i < 200; i++) {
		if (atomic_load(&stage->page->gauges[GAUGE_JOURNAL_QUEUED]) == 0 && stage->reader.records == before)
			return;
		before = stage->reader.records;
		run(stage, 100);
	}
}

START_TEST(everything_arrives_in_order)
{
	struct stage stage;
	stage_open(&stage);
	journal_client_log_line(stage.client, LOG_LEVEL_INFO, "a line"); /* before there is a journal */
	send_records(&stage, 10);
	stage_connect(&stage);
	send_records(&stage, 500);
	run_until_quiet(&stage);
	ck_assert_uint_eq(stage.reader.records, 510);
	ck_assert_uint_eq(stage.reader.stories, 510);
	ck_assert_uint_eq(stage.reader.lines, 1);
	ck_assert(stage.reader.ordered);
	ck_assert_uint_eq(counted(&stage, COUNTER_RECORDS_DROPPED), 0);
	stage_close(&stage);
}
END_TEST

START_TEST(summaries_outlive_stories)
{
	struct stage stage;
	stage_open(&stage);
	send_records(&stage, 60000);
	uint64_t stories_dropped = counted(&stage, COUNTER_STORIES_DROPPED), dropped = counted(&stage, COUNTER_RECORDS_DROPPED);
	ck_assert_uint_gt(stories_dropped, 1000);
	ck_assert_uint_gt(dropped, 100);
	ck_assert_uint_le(atomic_load(&stage.page->gauges[GAUGE_JOURNAL_QUEUED]), (16u << 20) + (64u << 10));
	journal_client_log_line(stage.client, LOG_LEVEL_INFO, "a line");
	ck_assert_uint_eq(counted(&stage, COUNTER_LOG_LINES_DROPPED), 1);
	stage_connect(&stage);
	run_until_quiet(&stage);
	ck_assert_uint_eq(stage.reader.records, 60000 - dropped);
	ck_assert_uint_eq(stage.reader.stories, 60000 - dropped - stories_dropped);
	ck_assert(stage.reader.ordered);
	stage_close(&stage);
}
END_TEST

START_TEST(dead_journal_costs_one_window)
{
	struct stage stage;
	int pair[2];
	stage_open(&stage);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	journal_client_connect(stage.client, pair[1]);
	send_records(&stage, 1000); /* nobody reads */
	run(&stage, 30);
	close(pair[0]);
	run(&stage, 30);
	uint64_t dropped = counted(&stage, COUNTER_RECORDS_DROPPED);
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_lt(dropped, 100);
	send_records(&stage, 5);
	stage_connect(&stage);
	run_until_quiet(&stage);
	/* Beside the window, what the kernel held unread is gone, and nobody can tell how much that was. */
	ck_assert_uint_le(stage.reader.records, 1005 - dropped);
	ck_assert_uint_ge(stage.reader.records, 1005 - dropped - 50);
	ck_assert(stage.reader.ordered);
	stage_close(&stage);
}
END_TEST

START_TEST(drains_before_the_end)
{
	struct stage stage;
	int pair[2];
	char bytes[65536];
	stage_open(&stage);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	journal_client_connect(stage.client, pair[1]);
	send_records(&stage, 300);
	journal_client_drain(stage.client, 50); /* nobody reads: it gives up */
	pid_t reader = fork();
	if (reader == 0) {
		close(pair[1]);
		for (size_t total = 0; total < 300 * (RECORD_EVENT_TEXT_MAX + 8);) {
			ssize_t got = read(pair[0], bytes, sizeof bytes);
			if (got > 0)
				total += (size_t)got;
		}
		_exit(0);
	}
	close(pair[0]);
	journal_client_drain(stage.client, 5000);
	ck_assert_uint_eq(atomic_load(&stage.page->gauges[GAUGE_JOURNAL_QUEUED]), 0);
	stage_close(&stage);
	ck_assert_uint_eq(stage.reader.closed, false);
}
END_TEST

SUITE_MAIN("journal client", everything_arrives_in_order, summaries_outlive_stories, dead_journal_costs_one_window,
    drains_before_the_end)
