/* Encoding and decoding of records, and the story's bounds. */
#include <string.h>

#include "base/memory.h"
#include "journal/record.h"

#include "suite.h"

static void
fill(struct record *record, const struct clock *clock)
{
	strcpy(record->queue_id, "4K7QZ2M9XW3B12");
	strcpy(record->session_id, "4K7QZ2M9XW3B00");
	record->result = RECORD_ACCEPTED;
	record->started_us = 1795292104082000;
	record->finished_us = 1795292104123000;
	ck_assert(ip_address_parse("2001:db8::7", &record->client));
	record->client_port = 51234;
	record_set(&record->helo, "mail.example.com");
	record_set(&record->sender, "");
	record_add_recipient(record, "u@example.org", true, "250 2.1.5 Ok");
	record_add_recipient(record, "nobody@example.org", false, "550 5.1.1 no such user");
	record->size_bytes = 4211;
	record_set(&record->reason, "all well");
	record_event(record, clock, RECORD_EVENT_CONNECT, "from %s", "2001:db8::7");
}

static bool
decode(const struct buffer *payload, struct record *record)
{
	struct frame_reader reader;
	frame_reader_init(&reader, payload->data, payload->length);
	return record_decode(&reader, record) && (frame_reader_finish(&reader) || (record_clear(record), false));
}

START_TEST(round_trip)
{
	struct clock_manual clock;
	struct record record = {0}, copy;
	struct buffer payload = {0}, again = {0};

	clock_manual_init(&clock, 1795292104000000);
	fill(&record, &clock.clock);
	record_encode(&record, true, &payload);
	ck_assert(decode(&payload, &copy));
	ck_assert_str_eq(copy.queue_id, record.queue_id);
	ck_assert_str_eq(copy.session_id, record.session_id);
	ck_assert(copy.result == RECORD_ACCEPTED && copy.started_us == record.started_us && copy.client_port == 51234);
	ck_assert(ip_address_equal(&copy.client, &record.client));
	ck_assert_str_eq(copy.sender, "");
	ck_assert_ptr_null(copy.tls);
	ck_assert_uint_eq(copy.recipient_count, 2);
	ck_assert(copy.recipients[0].accepted && !copy.recipients[1].accepted);
	ck_assert_str_eq(copy.recipients[1].reply, "550 5.1.1 no such user");
	record_encode(&copy, true, &again);
	ck_assert_uint_eq(again.length, payload.length);
	ck_assert_mem_eq(again.data, payload.data, payload.length);
	record_clear(&copy);

	buffer_clear(&payload);
	record_encode(&record, false, &payload);
	ck_assert(decode(&payload, &copy));
	ck_assert_uint_eq(copy.story.length, 0);
	record_clear(&copy);
	record_clear(&record);
	buffer_free(&payload);
	buffer_free(&again);
}
END_TEST

START_TEST(every_cut_is_refused)
{
	struct clock_manual clock;
	struct record record = {0}, copy;
	struct buffer payload = {0};

	clock_manual_init(&clock, 0);
	fill(&record, &clock.clock);
	record_encode(&record, true, &payload);
	for (size_t length = 0; length < payload.length; length++) {
		struct frame_reader reader;
		char *exact = memory_new(length + 1); /* so that the sanitizer sees a read behind the end */
		memcpy(exact, payload.data, length);
		frame_reader_init(&reader, exact, length);
		ck_assert(!record_decode(&reader, &copy));
		ck_assert_ptr_null(copy.helo);
		memory_free(&exact);
	}
	record_clear(&record);
	buffer_free(&payload);
}
END_TEST

START_TEST(later_version_is_read_and_its_news_skipped)
{
	struct clock_manual clock;
	struct record record = {0}, copy;
	struct buffer payload = {0};

	clock_manual_init(&clock, 0);
	fill(&record, &clock.clock);
	record_encode(&record, true, &payload);
	buffer_append_string(&payload, "what a later version adds");
	ck_assert(!decode(&payload, &copy)); /* not allowed in version 1 */
	payload.data[0] = RECORD_FORMAT_VERSION + 1;
	ck_assert(decode(&payload, &copy));
	ck_assert_str_eq(copy.reason, "all well");
	record_clear(&copy);
	payload.data[0] = 0;
	ck_assert(!decode(&payload, &copy));
	record_clear(&record);
	buffer_free(&payload);
}
END_TEST

START_TEST(story_is_walked_in_order)
{
	struct clock_manual clock;
	struct record record = {0};
	size_t offset = 0;
	int64_t at;
	enum record_event_kind kind;
	struct span text;

	clock_manual_init(&clock, 0);
	clock.monotonic_us = 500;
	record.began_monotonic_us = 500;
	record_event(&record, &clock.clock, RECORD_EVENT_COMMAND, "EHLO %s", "a\001b");
	clock_manual_advance(&clock, 12300);
	record_event(&record, &clock.clock, RECORD_EVENT_REPLY, "%s", "");
	struct span story = span_make(record.story.data, record.story.length);
	ck_assert(record_story_next(story, &offset, &at, &kind, &text));
	ck_assert(at == 0 && kind == RECORD_EVENT_COMMAND && span_is(text, "EHLO a\001b"));
	ck_assert(record_story_next(story, &offset, &at, &kind, &text));
	ck_assert(at == 12300 && kind == RECORD_EVENT_REPLY && text.length == 0);
	ck_assert(!record_story_next(story, &offset, &at, &kind, &text));
	story.length--; /* the last header is cut */
	offset = 0;
	ck_assert(record_story_next(story, &offset, &at, &kind, &text));
	ck_assert(!record_story_next(story, &offset, &at, &kind, &text));
	record_clear(&record);
}
END_TEST

START_TEST(story_is_bounded)
{
	struct clock_manual clock;
	struct record record = {0}, copy;
	struct buffer payload = {0};
	char *long_text = memory_new(20001);
	size_t offset = 0, events = 0;
	int64_t at;
	enum record_event_kind kind = RECORD_EVENT_COUNT;
	struct span text;

	memset(long_text, 'x', 20000);
	clock_manual_init(&clock, 0);
	for (int i = 0; i < 1000; i++)
		record_event(&record, &clock.clock, RECORD_EVENT_DNS, "%s", long_text);
	ck_assert_uint_le(record.story.length, RECORD_STORY_MAX + 200);
	while (record_story_next(span_make(record.story.data, record.story.length), &offset, &at, &kind, &text)) {
		if (events++ == 0)
			ck_assert(text.length == RECORD_EVENT_TEXT_MAX && memcmp(text.at + text.length - 4, "x...", 4) == 0);
	}
	ck_assert_uint_eq(events, RECORD_STORY_MAX / (RECORD_EVENT_TEXT_MAX + 13) + 1);
	ck_assert(kind == RECORD_EVENT_NOTE && memcmp(text.at, "story cut", 9) == 0);
	record_encode(&record, true, &payload);
	ck_assert(decode(&payload, &copy));
	record_clear(&copy);
	record_clear(&record);
	buffer_free(&payload);
	memory_free(&long_text);
}
END_TEST

START_TEST(recipients_are_bounded)
{
	struct record record = {0}, copy;
	struct buffer payload = {0};
	const struct record_recipient *named[3];

	for (int i = 0; i < RECORD_RECIPIENTS_MAX + 5; i++)
		record_add_recipient(&record, "u@example.org", i % 2 == 0, NULL);
	ck_assert_uint_eq(record.recipient_count, RECORD_RECIPIENTS_MAX);
	ck_assert_uint_eq(record.recipients_unnamed, 5);
	record_encode(&record, true, &payload);
	ck_assert(decode(&payload, &copy));
	ck_assert_uint_eq(copy.recipients_unnamed, 5);
	ck_assert_uint_eq(record_named_recipients(&copy, named, 3), RECORD_RECIPIENTS_MAX / 2);
	record_clear(&copy);
	record_clear(&record);
	buffer_free(&payload);
}
END_TEST

SUITE_MAIN("record", round_trip, every_cut_is_refused, later_version_is_read_and_its_news_skipped, story_is_walked_in_order,
    story_is_bounded, recipients_are_bounded)
