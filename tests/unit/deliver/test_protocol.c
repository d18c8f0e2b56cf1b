/* The largest requests that a configuration allows pass the reader: one that does not pass ends the channel. */
#include "suite.h"

#include <string.h>

#include "base/memory.h"
#include "deliver/protocol.h"

#define ADDRESS_LENGTH 254 /* RFC 5321 4.5.3.1.3, without the angle brackets */

START_TEST(the_most_recipients_and_segments)
{
	struct deliver_store store = {.id = 1, .queue_id = "Q", .recipient_count = CONFIG_RECIPIENTS_MAX, .segment_count = 4 * CONFIG_HEADER_COUNT_MAX};
	struct deliver_store read;
	struct buffer payload = {0};
	struct frame_reader reader;
	char address[ADDRESS_LENGTH + 1];

	memset(address, 'a', ADDRESS_LENGTH);
	address[ADDRESS_LENGTH] = '\0';
	address[64] = '@';
	store.recipients = memory_new_array(store.recipient_count, sizeof *store.recipients);
	for (size_t i = 0; i < store.recipient_count; i++)
		store.recipients[i] = (struct deliver_recipient){address, address + 65};
	store.segments = memory_new_array(store.segment_count, sizeof *store.segments);
	deliver_store_put(&store, &payload);
	ck_assert_uint_le(payload.length, FRAME_PAYLOAD_MAX);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert(deliver_store_get(&reader, &read));
	ck_assert_uint_eq(read.recipient_count, CONFIG_RECIPIENTS_MAX);
	ck_assert_uint_eq(read.segment_count, 4 * CONFIG_HEADER_COUNT_MAX);
	deliver_store_clear(&read);
	memory_free(&store.recipients);
	memory_free(&store.segments);
	buffer_free(&payload);
}
END_TEST

START_TEST(the_most_outcomes)
{
	struct ledger_entry *all = memory_new_array(CONFIG_RECIPIENTS_MAX, sizeof *all);
	struct deliver_entries entries = {.id = 1, .ok = true, .entries = all, .count = CONFIG_RECIPIENTS_MAX}, read;
	struct reply reply = {0};
	struct buffer payload = {0};
	struct frame_reader reader;
	char text[REPLY_TEXT_MAX];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	reply_set(&reply, 550, "5.7.1", "%s", text);
	for (size_t i = 0; i < CONFIG_RECIPIENTS_MAX; i++) {
		all[i].outcome = LEDGER_REFUSED;
		all[i].reply = reply;
		strcpy(all[i].queue_id, "0123456789ABCD");
	}
	deliver_entries_put(&entries, &payload);
	ck_assert_uint_le(payload.length, FRAME_PAYLOAD_MAX);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert(deliver_entries_get(&reader, DELIVER_LEDGER_ENTRIES_MAX, &read));
	ck_assert_uint_eq(read.count, CONFIG_RECIPIENTS_MAX);
	deliver_entries_clear(&read);
	reply_clear(&reply);
	memory_free(&all);
	buffer_free(&payload);
}
END_TEST

SUITE_MAIN("deliver/protocol", the_most_recipients_and_segments, the_most_outcomes)
