/* The log line, golden: administrators' scripts depend on every byte of it. */
#include <stdio.h>
#include <string.h>

#include "journal/record.h"

#include "suite.h"

/* Compares and clears the record. */
static void
check_line(struct record *record, enum log_format format, const char *expected)
{
	struct buffer line = {0};
	record_format_line(record, format, &line);
	ck_assert_str_eq(buffer_text(&line), expected);
	buffer_free(&line);
}

static void
fill(struct record *record)
{
	strcpy(record->queue_id, "4K7QZ2M9XW3B");
	strcpy(record->session_id, "4K7QZ2M9XW00");
	record->result = RECORD_ACCEPTED;
	record->started_us = 1795292104082000;
	record->finished_us = 1795292104123999;
	ip_address_parse("192.0.2.7", &record->client);
	record_set(&record->reverse_name, "mail.example.com");
	record_set(&record->helo, "mail.example.com");
	record_set(&record->tls, "TLSv1.3");
	record_set(&record->sender, "a@example.com");
	record_add_recipient(record, "u@example.org", true, "250 2.1.5 Ok");
	record->size_bytes = 4211;
	record_set(&record->message_id, "<x1@example.com>");
	record_set(&record->facts, "spf=pass dkim=pass dmarc=pass clamav=clean");
	record_set(&record->backend, "10.0.0.5:24");
	record_set(&record->backend_reply, "250 2.0.0 Ok 343FD5003CE");
	record_set(&record->reply, "250 2.0.0 Ok: queued as 4K7QZ2M9XW3B");
}

START_TEST(accepted)
{
	struct record record = {0};
	fill(&record);
	check_line(&record, LOG_FORMAT_TEXT,
	    "2026-11-21T20:15:04.123Z qid=4K7QZ2M9XW3B result=accepted client=[192.0.2.7] rdns=mail.example.com "
	    "helo=mail.example.com tls=TLSv1.3 from=<a@example.com> to=<u@example.org> size=4211 msgid=<x1@example.com> spf=pass "
	    "dkim=pass dmarc=pass clamav=clean backend=10.0.0.5:24 reply=\"250 2.0.0 Ok 343FD5003CE\" took=41ms");
	check_line(&record, LOG_FORMAT_JSON,
	    "{\"time\":\"2026-11-21T20:15:04.123Z\",\"qid\":\"4K7QZ2M9XW3B\",\"sid\":\"4K7QZ2M9XW00\",\"result\":\"accepted\","
	    "\"client\":\"192.0.2.7\",\"rdns\":\"mail.example.com\",\"helo\":\"mail.example.com\",\"tls\":\"TLSv1.3\","
	    "\"from\":\"a@example.com\",\"to\":[\"u@example.org\"],\"size\":4211,\"msgid\":\"<x1@example.com>\","
	    "\"facts\":{\"spf\":\"pass\",\"dkim\":\"pass\",\"dmarc\":\"pass\",\"clamav\":\"clean\"},\"backend\":\"10.0.0.5:24\","
	    "\"reply\":\"250 2.0.0 Ok 343FD5003CE\",\"took_ms\":41}");
	record_clear(&record);
}
END_TEST

START_TEST(refused_session)
{
	struct record record = {.result = RECORD_REFUSED, .started_us = 1795292104000000, .finished_us = 1795292104000900};
	strcpy(record.session_id, "4K7QZ2M9XW00");
	ip_address_parse("2001:db8::1", &record.client);
	record_set(&record.reply, "421 4.7.0 mx1.example.org too many connections");
	record_set(&record.reason, "sessions per address");
	check_line(&record, LOG_FORMAT_TEXT,
	    "2026-11-21T20:15:04.000Z sid=4K7QZ2M9XW00 result=refused client=[2001:db8::1] "
	    "reply=\"421 4.7.0 mx1.example.org too many connections\" reason=\"sessions per address\" took=0ms");
	check_line(&record, LOG_FORMAT_JSON,
	    "{\"time\":\"2026-11-21T20:15:04.000Z\",\"sid\":\"4K7QZ2M9XW00\",\"result\":\"refused\",\"client\":\"2001:db8::1\","
	    "\"reply\":\"421 4.7.0 mx1.example.org too many connections\",\"reason\":\"sessions per address\",\"took_ms\":0}");
	record_clear(&record);
}
END_TEST

START_TEST(mapped_reply_shows_both)
{
	struct record record = {.result = RECORD_TEMPFAILED};
	strcpy(record.queue_id, "Q1");
	record_set(&record.sender, "");
	record_set(&record.backend, "10.0.0.5:25");
	record_set(&record.backend_reply, "535 5.7.8 no");
	record_set(&record.reply, "451 4.3.5 later");
	check_line(&record, LOG_FORMAT_TEXT,
	    "1970-01-01T00:00:00.000Z qid=Q1 result=tempfailed from=<> backend=10.0.0.5:25 reply=\"535 5.7.8 no\" "
	    "answer=\"451 4.3.5 later\" took=0ms");
	record_clear(&record);
}
END_TEST

START_TEST(recipients_in_lists)
{
	struct record record = {.result = RECORD_ACCEPTED};
	char address[40];

	strcpy(record.queue_id, "Q1");
	record_add_recipient(&record, "a@example.org", true, "");
	record_add_recipient(&record, "no@example.org", false, "550 5.1.1 no");
	record_add_recipient(&record, "b@example.org", true, "");
	check_line(&record, LOG_FORMAT_TEXT,
	    "1970-01-01T00:00:00.000Z qid=Q1 result=accepted to=<a@example.org>,<b@example.org> refused=<no@example.org> took=0ms");
	check_line(&record, LOG_FORMAT_JSON,
	    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"qid\":\"Q1\",\"result\":\"accepted\","
	    "\"to\":[\"a@example.org\",\"b@example.org\"],\"refused\":[\"no@example.org\"],\"took_ms\":0}");
	record_clear(&record);

	record.result = RECORD_ACCEPTED;
	for (int i = 0; i < RECORD_RECIPIENTS_MAX + 1; i++) {
		snprintf(address, sizeof address, "u%d@x", i);
		record_add_recipient(&record, address, true, "");
	}
	struct buffer line = {0};
	record_format_line(&record, LOG_FORMAT_TEXT, &line);
	ck_assert_ptr_nonnull(strstr(buffer_text(&line), ",<u19@x> to_count=1001 took"));
	buffer_free(&line);
	record_clear(&record);
}
END_TEST

START_TEST(hostile_values_stay_in_their_place)
{
	struct record record = {.result = RECORD_REJECTED};
	strcpy(record.queue_id, "Q1");
	record_set(&record.helo, "x\r\nforged=\"yes\" qid=Q2");
	record_set(&record.sender, "a b\"@\xff");
	record_set(&record.message_id, "<\xe2\x80\xae>");
	record_set(&record.facts, "spf=fail  nonsense =x dkim=");
	check_line(&record, LOG_FORMAT_TEXT,
	    "1970-01-01T00:00:00.000Z qid=Q1 result=rejected helo=\"x\\x0d\\x0aforged=\\\"yes\\\" qid=Q2\" from=\"<a b\\\"@\\xff>\" "
	    "msgid=\"<\\u{202e}>\" spf=fail dkim=\"\" took=0ms");
	check_line(&record, LOG_FORMAT_JSON,
	    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"qid\":\"Q1\",\"result\":\"rejected\","
	    "\"helo\":\"x\\u000d\\u000aforged=\\\"yes\\\" qid=Q2\",\"from\":\"a b\\\"@\xef\xbf\xbd\",\"msgid\":\"<\\u202e>\","
	    "\"facts\":{\"spf\":\"fail\",\"dkim\":\"\"},\"took_ms\":0}");
	record_clear(&record);
}
END_TEST

SUITE_MAIN("record line", accepted, refused_session, mapped_reply_shows_both, recipients_in_lists, hostile_values_stay_in_their_place)
