/* What an administrator reads, golden. */
#include <string.h>

#include "cli/trace_print.h"

#include "suite.h"

static void
fill(struct record *record)
{
	struct clock_manual clock;

	memset(record, 0, sizeof *record);
	clock_manual_init(&clock, 0);
	record->began_monotonic_us = clock_monotonic_us(&clock.clock);
	strcpy(record->queue_id, "4K7QZ2M9XW3B12");
	strcpy(record->session_id, "4K7QZ2M9XW0012");
	record->result = RECORD_ACCEPTED;
	record->started_us = 1795292104082000;
	record->finished_us = 1795292104123450;
	ip_address_parse("192.0.2.7", &record->client);
	record->client_port = 51234;
	record_set(&record->reverse_name, "mail.example.com");
	record_set(&record->helo, "x\033[31m");
	record_set(&record->sender, "a@example.com");
	record_add_recipient(record, "u@example.org", true, "250 2.1.5 Ok");
	record_add_recipient(record, "no@example.org", false, "550 5.1.1 no such user");
	record->size_bytes = 4211;
	record_set(&record->message_id, "<x1@example.com>");
	record_set(&record->backend, "10.0.0.5:24");
	record_set(&record->backend_reply, "250 2.0.0 Ok 343FD5003CE");
	record_set(&record->reply, "250 2.0.0 Ok: queued as 4K7QZ2M9XW3B12");
	record_event(record, &clock.clock, RECORD_EVENT_COMMAND, "MAIL FROM:<a@example.com>");
	clock_manual_advance(&clock, 12345);
	record_event(record, &clock.clock, RECORD_EVENT_REPLY, "250 2.1.0 \"Ok\"\r\n");
}

START_TEST(message_in_words)
{
	struct record record;
	struct buffer out = {0};

	fill(&record);
	trace_print_story(&record, &out);
	ck_assert_str_eq(buffer_text(&out),
	    "4K7QZ2M9XW3B12 accepted: the backend (or deliver) has it and the client heard 250\n"
	    "  from        <a@example.com>\n"
	    "  to          <u@example.org>: 250 2.1.5 Ok\n"
	    "              <no@example.org> refused: 550 5.1.1 no such user\n"
	    "  client      mail.example.com [192.0.2.7] port 51234, called itself x\\x1b[31m, not encrypted\n"
	    "  message     4211 bytes, Message-ID <x1@example.com>\n"
	    "  backend     10.0.0.5:24 answered: 250 2.0.0 Ok 343FD5003CE\n"
	    "  our answer  250 2.0.0 Ok: queued as 4K7QZ2M9XW3B12\n"
	    "  began       2026-11-21T20:15:04.082Z, took 41.5 ms\n"
	    "  session     4K7QZ2M9XW0012\n"
	    "\n"
	    "        +0.0ms  client      MAIL FROM:<a@example.com>\n"
	    "       +12.3ms  reply       250 2.1.0 \\\"Ok\\\"\\x0d\\x0a\n");
	buffer_free(&out);
	record_clear(&record);
}
END_TEST

START_TEST(message_as_json)
{
	struct record record;
	struct buffer out = {0};

	fill(&record);
	trace_print_story_json(&record, &out);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out),
	    ",\"took_ms\":41,\"began\":\"2026-11-21T20:15:04.082Z\",\"our_reply\":\"250 2.0.0 Ok: queued as 4K7QZ2M9XW3B12\","
	    "\"recipients\":[{\"address\":\"u@example.org\",\"accepted\":true,\"reply\":\"250 2.1.5 Ok\"},"
	    "{\"address\":\"no@example.org\",\"accepted\":false,\"reply\":\"550 5.1.1 no such user\"}],"
	    "\"story\":[{\"at_ms\":0.0,\"kind\":\"client\",\"text\":\"MAIL FROM:<a@example.com>\"},"
	    "{\"at_ms\":12.3,\"kind\":\"reply\",\"text\":\"250 2.1.0 \\\"Ok\\\"\\u000d\\u000a\"}]}\n"));
	buffer_free(&out);
	record_clear(&record);
}
END_TEST

START_TEST(session_without_story)
{
	struct record record = {.result = RECORD_REFUSED};
	struct buffer out = {0};

	strcpy(record.session_id, "S1");
	record_set(&record.reply, "421 4.7.0 too many connections");
	trace_print_story(&record, &out);
	ck_assert_str_eq(buffer_text(&out),
	    "session S1 refused: refused or sent away, outside of any message\n"
	    "  client      [unknown address], not encrypted\n"
	    "  our answer  421 4.7.0 too many connections\n"
	    "  began       1970-01-01T00:00:00.000Z, took 0.0 ms\n"
	    "\n"
	    "  (no story was kept)\n");
	buffer_free(&out);
	record_clear(&record);
}
END_TEST

SUITE_MAIN("trace print", message_in_words, message_as_json, session_without_story)
