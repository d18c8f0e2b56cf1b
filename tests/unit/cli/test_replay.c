/* Records as the chain writes them, read back for a replay; and records that cannot be. */
#include "suite.h"

#include <string.h>

#include "cli/replay.h"
#include "dns/zone_file.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct record record;
static struct replay replay;
static struct buffer problem;

static void
event(enum record_event_kind kind, const char *text)
{
	record_event(&record, clock_system(), kind, "%s", text);
}

static void
set_up(void)
{
	memset(&record, 0, sizeof record);
	record_set(&record.sender, "S@Example.COM");
	record_add_recipient(&record, "no@example.org", false, "550");
	record_add_recipient(&record, "U@Example.org", true, "250");
	record_add_recipient(&record, "postmaster", true, "250");
	record_set(&record.helo, "mail.example.com");
	record.size_bytes = 77;
	ip_address_parse("192.0.2.7", &record.client);
	event(RECORD_EVENT_COMMAND, "MAIL FROM:<S@Example.COM>");
	event(RECORD_EVENT_FILTER, "input: sha256=" DIGEST " esmtp=1 8bit=1 utf8=0 reverse=fail");
}

static void
tear_down(void)
{
	replay_clear(&replay);
	record_clear(&record);
	buffer_free(&problem);
}

START_TEST(complete)
{
	set_up();
	event(RECORD_EVENT_DNS, "example.com TXT -> ok, 2 records, secure, 12 ms: \"v=spf1 -> \\\" a, b\", \"x\\\\\", \"\"");
	event(RECORD_EVENT_DNS, "example.com MX -> ok, 2 records, 0 ms: 10 mx.example.com, 20 .");
	event(RECORD_EVENT_DNS, "gone.example A -> nxdomain, 3 ms: !NXDOMAIN");
	event(RECORD_EVENT_DNS, "#a\\032b.example A -> ok, 0 records, 3 ms: !NODATA");
	event(RECORD_EVENT_FILTER, "spf: reject: 12 ms: this and that -> there; wall 3 us, CPU 3 us, DNS 4 ms, 2 restarts");
	event(RECORD_EVENT_FILTER, "all: reject by spf; judged as of 1700000000123456, generation 7; facts {\"spf\": {\"result\": \"; judged as of 5\"}}");
	ck_assert_msg(replay_from_record(&record, &replay, &problem), "%s", buffer_text(&problem));
	ck_assert_str_eq(replay.envelope.sender, "S@Example.COM");
	ck_assert_str_eq(replay.envelope.sender_domain, "example.com");
	ck_assert_uint_eq(replay.envelope.recipient_count, 2);
	ck_assert_str_eq(replay.envelope.recipients[0].domain, "example.org");
	ck_assert_str_eq(replay.envelope.recipients[1].domain, "");
	ck_assert(replay.extended && replay.envelope.body == BODY_8BITMIME && !replay.envelope.smtputf8);
	ck_assert_int_eq(replay.reverse_status, REVERSE_MISMATCH);
	ck_assert_str_eq(replay.digest, DIGEST);
	ck_assert_str_eq(replay.verdict, "reject");
	ck_assert_int_eq(replay.now_us, 1700000000123456);
	ck_assert_str_eq(buffer_text(&replay.zone),
	    "example.com\tTXT\t\"v=spf1 -> \\\" a, b\"\nexample.com\tTXT\t\"x\\\\\"\nexample.com\tTXT\t\"\"\nexample.com\tMX\t10 mx.example.com\n"
	    "example.com\tMX\t20 .\ngone.example\tA\t!NXDOMAIN\n\\#a\\032b.example\tA\t!NODATA\n");
	struct zone_file *zone = zone_file_parse(span_make(replay.zone.data, replay.zone.length), &problem);
	ck_assert_msg(zone != NULL, "%s", buffer_text(&problem));
	ck_assert(zone_file_mentions(zone, "#a\\032b.example", DNS_TYPE_A));
	zone_file_free(&zone);
	tear_down();
}
END_TEST

static void
refused(const char *expected)
{
	ck_assert(!replay_from_record(&record, &replay, &problem));
	ck_assert_msg(strstr(buffer_text(&problem), expected) != NULL, "%s", buffer_text(&problem));
	tear_down();
}

START_TEST(incomplete)
{
	char long_text[RECORD_EVENT_TEXT_MAX + 100];

	set_up();
	refused("no story of filters");
	set_up();
	record_set(&record.sender, NULL);
	refused("no sender");
	set_up();
	record.recipients_unnamed = 1;
	refused("more recipients");
	memset(&record, 0, sizeof record);
	record_set(&record.sender, "");
	event(RECORD_EVENT_FILTER, "all: accept; judged as of 1, generation 7; facts {}");
	refused("no story of filters");
	set_up();
	event(RECORD_EVENT_FILTER, "input: sha256=12 esmtp=1 8bit=1 utf8=0 reverse=fail");
	refused("not in the form");
	set_up();
	event(RECORD_EVENT_FILTER, "all: accept");
	refused("not in the form");
	set_up();
	event(RECORD_EVENT_DNS, "example.com TXT -> ok, 1 record");
	refused("not in the form");
	set_up();
	event(RECORD_EVENT_DNS, "example.com -> ok, 1 record, 1 ms: x");
	refused("has no type");
	set_up();
	memset(long_text, 'x', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	memcpy(long_text, "example.com TXT -> ok, 1 record, 1 ms: \"", 40);
	event(RECORD_EVENT_DNS, long_text);
	refused("example.com TXT was too long");
}
END_TEST

SUITE_MAIN("cli/replay", complete, incomplete)
