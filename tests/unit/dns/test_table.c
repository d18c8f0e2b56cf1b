/* Tables of questions and answers, their frames, and zone files. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "dns/table.h"
#include "dns/zone_file.h"

static void
add_record(struct dns_answer *answer, uint16_t preference, const void *data, size_t length)
{
	answer->records = memory_resize(answer->records, answer->count + 1, sizeof *answer->records);
	answer->records[answer->count++] =
	    (struct dns_record){.data = (uint8_t *)memory_copy_text(data, length), .length = length, .preference = preference};
}

static bool
add_text(struct dns_table *table, const char *name, const char *text)
{
	struct dns_answer answer;
	bool added;

	dns_answer_init(&answer, DNS_STATUS_OK, name, DNS_TYPE_TXT);
	add_record(&answer, 0, text, strlen(text));
	added = dns_table_add(table, &answer);
	dns_answer_clear(&answer);
	return added;
}

static bool
add_status(struct dns_table *table, const char *name, uint16_t type, enum dns_status status)
{
	struct dns_answer answer;
	bool added;

	dns_answer_init(&answer, status, name, type);
	added = dns_table_add(table, &answer);
	dns_answer_clear(&answer);
	return added;
}

START_TEST(find_and_add)
{
	struct dns_table table = {0};
	size_t at = 0;

	ck_assert_ptr_null(dns_table_find(&table, "example.org", DNS_TYPE_TXT));
	ck_assert(dns_table_ask(&table, "Example.org.", DNS_TYPE_TXT));
	ck_assert(!dns_table_ask(&table, "example.ORG", DNS_TYPE_TXT));
	ck_assert(dns_table_ask(&table, "example.org", DNS_TYPE_MX));
	ck_assert_ptr_null(dns_table_find(&table, "example.org", DNS_TYPE_TXT));
	ck_assert_uint_eq(table.open, 2);
	ck_assert_str_eq(dns_table_next_open(&table, &at)->name, "Example.org.");
	ck_assert_uint_eq(dns_table_next_open(&table, &at)->type, DNS_TYPE_MX);
	ck_assert_ptr_null(dns_table_next_open(&table, &at));

	ck_assert(add_text(&table, "example.org", "v=spf1"));
	ck_assert(!add_text(&table, "EXAMPLE.ORG.", "another"));
	ck_assert(!dns_table_ask(&table, "example.org", DNS_TYPE_TXT));
	ck_assert(add_status(&table, "example.net", DNS_TYPE_A, DNS_STATUS_TIMEOUT));
	ck_assert_uint_eq(table.open, 1);
	ck_assert_uint_eq(table.count, 3);
	const struct dns_answer *answer = dns_table_find(&table, "eXample.org.", DNS_TYPE_TXT);
	ck_assert_uint_eq(answer->count, 1);
	ck_assert_str_eq((const char *)answer->records[0].data, "v=spf1");
	ck_assert_int_eq(dns_table_find(&table, "example.net", DNS_TYPE_A)->status, DNS_STATUS_TIMEOUT);
	ck_assert_ptr_null(dns_table_find(&table, "example.net", DNS_TYPE_AAAA));
	at = 0;
	ck_assert_uint_eq(dns_table_next_open(&table, &at)->type, DNS_TYPE_MX);
	ck_assert_ptr_null(dns_table_next_open(&table, &at));
	/* Escapes spell the same name; a dot inside a label does not. */
	ck_assert_ptr_eq(dns_table_find(&table, "\\069xample.org", DNS_TYPE_TXT), answer);
	ck_assert_ptr_null(dns_table_find(&table, "example\\.org", DNS_TYPE_TXT));
	dns_table_clear(&table);
	ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(names_that_are_none)
{
	static const char *const names[] = {"", "a..b", ".a", "\\", "a\\25"};
	struct dns_table table = {0};
	char label[70];

	memset(label, 'x', 64);
	label[64] = '\0';
	for (size_t i = 0; i <= sizeof names / sizeof names[0]; i++) {
		const char *name = i < sizeof names / sizeof names[0] ? names[i] : label;

		ck_assert_int_eq(dns_table_find(&table, name, DNS_TYPE_A)->status, DNS_STATUS_MALFORMED);
		ck_assert(!dns_table_ask(&table, name, DNS_TYPE_A));
		ck_assert(!add_text(&table, name, "x"));
	}
	ck_assert_int_eq(dns_table_find(&table, NULL, DNS_TYPE_A)->status, DNS_STATUS_MALFORMED);
	ck_assert_uint_eq(table.count, 0);
	ck_assert(dns_table_ask(&table, ".", DNS_TYPE_NS));
	dns_table_clear(&table);
}
END_TEST

START_TEST(too_many_questions)
{
	struct dns_table table = {0};
	char name[32];

	for (int i = 0; i < DNS_TABLE_QUESTIONS_MAX; i++) {
		snprintf(name, sizeof name, "n%d.example", i);
		ck_assert_ptr_null(dns_table_find(&table, name, DNS_TYPE_A));
		ck_assert(i % 2 == 0 ? dns_table_ask(&table, name, DNS_TYPE_A) : add_status(&table, name, DNS_TYPE_A, DNS_STATUS_NAME_ERROR));
	}
	ck_assert_int_eq(dns_table_find(&table, "more.example", DNS_TYPE_A)->status, DNS_STATUS_TOO_LARGE);
	ck_assert(!dns_table_ask(&table, "more.example", DNS_TYPE_A));
	ck_assert(!add_text(&table, "more.example", "x"));
	/* What is there goes on. */
	ck_assert_ptr_null(dns_table_find(&table, "n0.example", DNS_TYPE_A));
	ck_assert(add_status(&table, "n0.example", DNS_TYPE_A, DNS_STATUS_OK));
	ck_assert_int_eq(dns_table_find(&table, "n0.example", DNS_TYPE_A)->status, DNS_STATUS_OK);
	dns_table_clear(&table);
}
END_TEST

static void
add_bytes(struct dns_table *table, const char *name, size_t records, size_t length)
{
	struct dns_answer answer;
	char *data = memory_new(length + 1);

	dns_answer_init(&answer, DNS_STATUS_OK, name, DNS_TYPE_TXT);
	for (size_t i = 0; i < records; i++)
		add_record(&answer, 0, data, length);
	ck_assert(dns_table_add(table, &answer));
	dns_answer_clear(&answer);
	memory_free(&data);
}

START_TEST(too_many_bytes)
{
	struct dns_table table = {0}, copy;
	struct buffer payload = {0};
	struct frame_reader reader;

	add_bytes(&table, "a.example", 2, DNS_ANSWER_BYTES_MAX / 2);
	ck_assert_int_eq(dns_table_find(&table, "a.example", DNS_TYPE_TXT)->status, DNS_STATUS_OK);
	add_bytes(&table, "b.example", 1, DNS_ANSWER_BYTES_MAX + 1);
	add_bytes(&table, "c.example", DNS_ANSWER_RECORDS_MAX + 1, 0);
	ck_assert_int_eq(dns_table_find(&table, "b.example", DNS_TYPE_TXT)->status, DNS_STATUS_TOO_LARGE);
	ck_assert_int_eq(dns_table_find(&table, "c.example", DNS_TYPE_TXT)->status, DNS_STATUS_TOO_LARGE);
	ck_assert_uint_eq(dns_table_find(&table, "c.example", DNS_TYPE_TXT)->count, 0);
	ck_assert_uint_eq(table.bytes, DNS_ANSWER_BYTES_MAX + 2 * DNS_TABLE_RECORD_BYTES);
	for (int i = 0; i < 7; i++) {
		char name[] = "d0.example";

		name[1] = (char)('0' + i);
		add_bytes(&table, name, 1, DNS_ANSWER_BYTES_MAX);
		/* The seventh would fit but for what the records cost beside their data. */
		ck_assert_int_eq(dns_table_find(&table, name, DNS_TYPE_TXT)->status, i < 6 ? DNS_STATUS_OK : DNS_STATUS_TOO_LARGE);
	}
	add_bytes(&table, "e.example", 1, 100);
	ck_assert_int_eq(dns_table_find(&table, "e.example", DNS_TYPE_TXT)->status, DNS_STATUS_OK);

	dns_table_encode(&table, &payload);
	ck_assert_uint_lt(payload.length, FRAME_PAYLOAD_MAX);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert(dns_table_decode(&reader, &copy) && frame_reader_finish(&reader));
	ck_assert_uint_eq(copy.bytes, table.bytes);
	dns_table_clear(&copy);
	dns_table_clear(&table);
	buffer_free(&payload);
}
END_TEST

static void
fill(struct dns_table *table)
{
	struct dns_answer answer;

	dns_answer_init(&answer, DNS_STATUS_OK, "Example.org", DNS_TYPE_MX);
	add_record(&answer, 10, "a.example", 9);
	add_record(&answer, 20, "", 0);
	answer.secure = true;
	answer.ttl = 77;
	ck_assert(dns_table_ask(table, "open.example", DNS_TYPE_A));
	ck_assert(dns_table_add(table, &answer));
	dns_answer_clear(&answer);
	dns_answer_init(&answer, DNS_STATUS_OK, "example.org", DNS_TYPE_A);
	add_record(&answer, 0, "\x7f\0\0\1", 4);
	ck_assert(dns_table_add(table, &answer));
	dns_answer_clear(&answer);
	ck_assert(add_status(table, "x.example", DNS_TYPE_TXT, DNS_STATUS_BOGUS));
	ck_assert(dns_table_ask(table, "open.example", 65));
}

START_TEST(frames)
{
	struct dns_table table = {0}, copy;
	struct buffer payload = {0}, open = {0};
	struct frame_reader reader;
	size_t added;

	fill(&table);
	dns_table_encode(&table, &payload);
	frame_reader_init(&reader, payload.data, payload.length);
	ck_assert(dns_table_decode(&reader, &copy) && frame_reader_finish(&reader));
	ck_assert_uint_eq(copy.count, 3);
	ck_assert_uint_eq(copy.open, 0);
	const struct dns_answer *mx = dns_table_find(&copy, "example.org", DNS_TYPE_MX);
	ck_assert_str_eq(mx->name, "Example.org");
	ck_assert(mx->secure && mx->ttl == 77 && mx->count == 2);
	ck_assert_uint_eq(mx->records[1].preference, 20);
	ck_assert_str_eq((const char *)mx->records[0].data, "a.example");
	ck_assert_mem_eq(dns_table_find(&copy, "example.org", DNS_TYPE_A)->records[0].data, "\x7f\0\0\1", 5);
	ck_assert_int_eq(dns_table_find(&copy, "x.example", DNS_TYPE_TXT)->status, DNS_STATUS_BOGUS);

	dns_table_encode_open(&table, &open);
	frame_reader_init(&reader, open.data, open.length);
	ck_assert(dns_table_decode_open(&reader, &copy, &added) && frame_reader_finish(&reader));
	ck_assert_uint_eq(added, 2);
	ck_assert_uint_eq(copy.open, 2);
	frame_reader_init(&reader, open.data, open.length);
	ck_assert(dns_table_decode_open(&reader, &copy, &added));
	ck_assert_uint_eq(added, 0);
	dns_table_clear(&copy);

	for (size_t cut = 0; cut < payload.length; cut++) {
		frame_reader_init(&reader, payload.data, cut);
		ck_assert(!dns_table_decode(&reader, &copy));
		ck_assert_uint_eq(copy.count, 0);
	}
	for (size_t cut = 0; cut < open.length; cut++) {
		frame_reader_init(&reader, open.data, cut);
		ck_assert(!dns_table_decode_open(&reader, &copy, &added));
		dns_table_clear(&copy);
	}
	dns_table_clear(&table);
	buffer_free(&payload);
	buffer_free(&open);
}
END_TEST

/* One answer with one record written by hand. */
static bool
decodes(const char *name, uint16_t type, uint8_t status, const char *data, uint32_t copies)
{
	struct buffer payload = {0};
	struct frame_reader reader;
	struct dns_table table;
	bool good;

	frame_put_u32(&payload, copies);
	for (uint32_t i = 0; i < copies; i++) {
		frame_put_string(&payload, name);
		frame_put_u16(&payload, type);
		frame_put_u8(&payload, status);
		frame_put_u32(&payload, 0);
		frame_put_bool(&payload, false);
		frame_put_u32(&payload, data != NULL);
		if (data != NULL) {
			frame_put_u16(&payload, 0);
			frame_put_string(&payload, data);
		}
	}
	frame_reader_init(&reader, payload.data, payload.length);
	good = dns_table_decode(&reader, &table);
	dns_table_clear(&table);
	buffer_free(&payload);
	return good;
}

START_TEST(frames_that_lie)
{
	ck_assert(decodes("a.example", DNS_TYPE_A, DNS_STATUS_OK, "1234", 1));
	ck_assert(!decodes("a.example", DNS_TYPE_A, DNS_STATUS_OK, "123", 1));
	ck_assert(!decodes("a.example", DNS_TYPE_AAAA, DNS_STATUS_OK, "1234", 1));
	ck_assert(!decodes("a.example", DNS_TYPE_A, DNS_STATUS_OK, "1234", 2)); /* twice the same */
	ck_assert(!decodes("a.example", DNS_TYPE_A, DNS_STATUS_BOGUS + 1, NULL, 1));
	ck_assert(!decodes("a.example", DNS_TYPE_A, DNS_STATUS_TIMEOUT, "1234", 1));
	ck_assert(decodes("a.example", DNS_TYPE_A, DNS_STATUS_TIMEOUT, NULL, 1));
	ck_assert(!decodes(NULL, DNS_TYPE_A, DNS_STATUS_OK, NULL, 1));
	ck_assert(!decodes("a..b", DNS_TYPE_A, DNS_STATUS_OK, NULL, 1));
}
END_TEST

START_TEST(words)
{
	struct dns_table table = {0};
	struct buffer text = {0};
	char type[DNS_TYPE_TEXT_SIZE];

	fill(&table);
	for (size_t i = 0; i < table.count; i++) {
		dns_answer_append_text(&table.entries[i].answer, table.entries[i].answered, &text);
		buffer_append_char(&text, '\n');
	}
	ck_assert_str_eq(buffer_text(&text), "open.example A\nExample.org MX -> ok, 2 records, secure\nexample.org A -> ok, 1 record\n"
					     "x.example TXT -> dnssec bogus\nopen.example TYPE65\n");
	ck_assert_uint_eq(dns_type_parse("txt"), DNS_TYPE_TXT);
	ck_assert_uint_eq(dns_type_parse("AAAA"), DNS_TYPE_AAAA);
	ck_assert_uint_eq(dns_type_parse("TYPE65535"), 65535);
	ck_assert_uint_eq(dns_type_parse("TYPE65536"), 0);
	ck_assert_uint_eq(dns_type_parse("TYPE1x"), 0);
	ck_assert_uint_eq(dns_type_parse("TYPE-1"), 0);
	ck_assert_uint_eq(dns_type_parse("TYPE"), 0);
	ck_assert_uint_eq(dns_type_parse(""), 0);
	ck_assert_str_eq(dns_type_format(65535, type), "TYPE65535");
	dns_table_clear(&table);
	buffer_free(&text);
}
END_TEST

/* --- zone files --- */

static const char zone_text[] =
    "# for tests\n"
    "\n"
    "example.org\tTXT\tv=spf1 mx -all \r\n"
    "Example.org.\tTXT\t\"one \"  \"t\\\"w\\\\o\\000\"\n"
    "example.org\tMX\t10 Mail.example.org.\n"
    "example.org\tmx\t20\t.\n"
    "mail.example.org\t\tA\t192.0.2.1 \n"
    "mail.example.org\tAAAA\t2001:db8::1\n"
    "mail.example.org\tA\t!TIMEOUT\n"
    "www.example.org\tCNAME\tmail2.example.org\n"
    "mail2.example.org\tCNAME\texample.org\n"
    "loop.example.org\tCNAME\tloop.example.org\n"
    "gone.example.org\tCNAME\tnowhere.example.org\n"
    "down.example.org\t*\t!SERVFAIL\n"
    "half.example.org\tTXT\t!NXDOMAIN\n"
    "half.example.org\tA\t192.0.2.2\n"
    "empty.example.org\tTXT\t!NODATA\n"
    "bogus.example.org\t*\t!BOGUS\n"
    "1.2.0.192.in-addr.arpa\tPTR\tmail.example.org\n"
    "last.example.org\tTXT\tno line end";

/* "status: record|record" with what does not print as ?. */
static void
check_zone(const struct zone_file *zone, const char *name, uint16_t type, const char *expected)
{
	struct dns_answer answer;
	struct buffer text = {0};

	zone_file_answer(zone, name, type, &answer);
	ck_assert_str_eq(answer.name, name);
	ck_assert_uint_eq(answer.type, type);
	buffer_printf(&text, "%s:", dns_status_text(answer.status));
	for (size_t i = 0; i < answer.count; i++) {
		buffer_printf(&text, "%s", i > 0 ? "|" : "");
		if (answer.records[i].preference > 0)
			buffer_printf(&text, "%u ", answer.records[i].preference);
		for (size_t k = 0; k < answer.records[i].length; k++) {
			uint8_t byte = answer.records[i].data[k];

			buffer_append_char(&text, byte >= ' ' && byte < 127 ? (char)byte : '?');
		}
		ck_assert_uint_eq(answer.records[i].data[answer.records[i].length], 0);
	}
	ck_assert_str_eq(buffer_text(&text), expected);
	buffer_free(&text);
	dns_answer_clear(&answer);
}

START_TEST(zone)
{
	struct buffer problem = {0};
	struct zone_file *file = zone_file_parse(span_of(zone_text), &problem);

	ck_assert_msg(file != NULL, "%s", buffer_text(&problem));
	check_zone(file, "example.org", DNS_TYPE_TXT, "ok:v=spf1 mx -all |one t\"w\\o?");
	check_zone(file, "EXAMPLE.org.", DNS_TYPE_MX, "ok:10 Mail.example.org|20 ");
	check_zone(file, "example.org", DNS_TYPE_A, "ok:");
	check_zone(file, "mail.example.org", DNS_TYPE_A, "timeout:");
	check_zone(file, "mail.example.org", DNS_TYPE_AAAA, "ok: ???????????????");
	check_zone(file, "www.example.org", DNS_TYPE_CNAME, "ok:mail2.example.org");
	check_zone(file, "www.example.org", DNS_TYPE_MX, "ok:10 Mail.example.org|20 ");
	check_zone(file, "loop.example.org", DNS_TYPE_A, "servfail:");
	check_zone(file, "gone.example.org", DNS_TYPE_A, "nxdomain:");
	check_zone(file, "down.example.org", DNS_TYPE_A, "servfail:");
	check_zone(file, "half.example.org", DNS_TYPE_TXT, "nxdomain:");
	check_zone(file, "half.example.org", DNS_TYPE_A, "ok:????");
	check_zone(file, "half.example.org", DNS_TYPE_MX, "ok:");
	check_zone(file, "empty.example.org", DNS_TYPE_TXT, "ok:");
	check_zone(file, "empty.example.org", DNS_TYPE_A, "ok:");
	check_zone(file, "bogus.example.org", DNS_TYPE_A, "dnssec bogus:");
	check_zone(file, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "ok:mail.example.org");
	check_zone(file, "last.example.org", DNS_TYPE_TXT, "ok:no line end");
	check_zone(file, "org", DNS_TYPE_A, "nxdomain:");
	ck_assert(zone_file_mentions(file, "HALF.example.org.", DNS_TYPE_TXT));
	ck_assert(!zone_file_mentions(file, "half.example.org", DNS_TYPE_AAAA) && !zone_file_mentions(file, "a..b", DNS_TYPE_A));
	check_zone(file, "a..b", DNS_TYPE_A, "malformed:");
	zone_file_free(&file);
	ck_assert_ptr_null(file);
	zone_file_free(&file);
	file = zone_file_parse(span_of(""), &problem);
	check_zone(file, "example.org", DNS_TYPE_TXT, "nxdomain:");
	zone_file_free(&file);
}
END_TEST

/* The line or lines for one question, from the answer of a zone. */
static void
append_lines(const struct zone_file *file, const char *name, uint16_t type, struct buffer *out)
{
	char type_text[DNS_TYPE_TEXT_SIZE];
	struct dns_answer answer;

	zone_file_answer(file, name, type, &answer);
	dns_type_format(type, type_text);
	if (answer.count == 0)
		buffer_printf(out, "%s\t%s\t%s\n", name, type_text, dns_status_zone_text(answer.status));
	for (size_t i = 0; i < answer.count; i++) {
		buffer_printf(out, "%s\t%s\t", name, type_text);
		dns_record_append_text(&answer.records[i], type, out);
		buffer_append_char(out, '\n');
	}
	dns_answer_clear(&answer);
}

START_TEST(zone_written_again)
{
	static const struct {
		const char *name;
		uint16_t type;
	} questions[] = {
		{"example.org", DNS_TYPE_TXT}, {"example.org", DNS_TYPE_MX}, {"mail.example.org", DNS_TYPE_A}, {"mail.example.org", DNS_TYPE_AAAA},
		{"www.example.org", DNS_TYPE_CNAME}, {"loop.example.org", DNS_TYPE_A}, {"gone.example.org", DNS_TYPE_A},
		{"half.example.org", DNS_TYPE_A}, {"half.example.org", DNS_TYPE_MX}, {"empty.example.org", DNS_TYPE_TXT},
		{"bogus.example.org", DNS_TYPE_A}, {"1.2.0.192.in-addr.arpa", DNS_TYPE_PTR}, {"odd.example.org", 65},
	};
	struct buffer problem = {0}, once = {0}, twice = {0};
	struct zone_file *file = zone_file_parse(span_of(zone_text), &problem);

	for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
		append_lines(file, questions[i].name, questions[i].type, &once);
	zone_file_free(&file);
	file = zone_file_parse(span_make(once.data, once.length), &problem);
	ck_assert_msg(file != NULL, "%s", buffer_text(&problem));
	for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
		append_lines(file, questions[i].name, questions[i].type, &twice);
	ck_assert_str_eq(buffer_text(&once), buffer_text(&twice));
	ck_assert_ptr_nonnull(strstr(buffer_text(&once),
	    "example.org\tTXT\t\"v=spf1 mx -all \"\nexample.org\tTXT\t\"one t\\\"w\\\\o\\000\"\nexample.org\tMX\t10 Mail.example.org\n"
	    "example.org\tMX\t20 .\nmail.example.org\tA\t!TIMEOUT\nmail.example.org\tAAAA\t2001:db8::1\n"));
	zone_file_free(&file);
	buffer_free(&once);
	buffer_free(&twice);
}
END_TEST

START_TEST(zone_problems)
{
	static const struct {
		const char *text;
		const char *problem;
	} cases[] = {
		{"a.example\tA", "line 1: expected: name, tab, type, tab, data"},
		{"# x\na.example A 192.0.2.1\n", "line 2: expected: name, tab, type, tab, data"},
		{"a..example\tA\t192.0.2.1\n", "line 1: bad name"},
		{"a.example \tA\t192.0.2.1\n", "line 1: bad name"},
		{"a.example\tB\t192.0.2.1\n", "line 1: unknown type"},
		{"a.example\tA\t192.0.2.1\n\na.example\tA\t192.0.2\n", "line 3: bad data for this type"},
		{"a.example\tAAAA\t192.0.2.1\n", "line 1: bad data for this type"},
		{"a.example\tMX\tmail\n", "line 1: bad data for this type"},
		{"a.example\tMX\t10\n", "line 1: bad data for this type"},
		{"a.example\tMX\t65536 mail\n", "line 1: bad data for this type"},
		{"a.example\tMX\t-1 mail\n", "line 1: bad data for this type"},
		{"a.example\tPTR\ta..b\n", "line 1: bad data for this type"},
		{"a.example\tTXT\t\"open\n", "line 1: bad data for this type"},
		{"a.example\tTXT\t\"a\" b\n", "line 1: bad data for this type"},
		{"a.example\tTXT\t\"\\300\"\n", "line 1: bad data for this type"},
		{"a.example\tTXT\t\"a\\\n", "line 1: bad data for this type"},
		{"a.example\t*\t!OOPS\n", "line 1: type * is for !NXDOMAIN, !SERVFAIL and the like"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buffer problem = {0};

		ck_assert_ptr_null(zone_file_parse(span_of(cases[i].text), &problem));
		ck_assert_str_eq(buffer_text(&problem), cases[i].problem);
		buffer_free(&problem);
	}
}
END_TEST

SUITE_MAIN("table", find_and_add, names_that_are_none, too_many_questions, too_many_bytes, frames, frames_that_lie, words, zone,
    zone_written_again, zone_problems)
