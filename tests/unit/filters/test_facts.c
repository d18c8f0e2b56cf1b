/* Facts: setting, finding, bounds, frames, JSON. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "filters/facts.h"

static void
add_signature(struct facts *facts, const char *result, const char *domain)
{
	struct fact_record record = {0};

	fact_record_set(&record, "result", result);
	fact_record_set(&record, "domain", domain);
	ck_assert(facts_add_to_list(facts, "dkim", "", &record));
	ck_assert_uint_eq(record.count, 0);
}

static void
fill(struct facts *facts)
{
	struct fact_record record = {0};

	fact_record_set(&record, "result", "softfail");
	fact_record_set(&record, "domain", "example.org");
	fact_record_set(&record, "explanation", NULL);
	fact_record_set(&record, "result", "fail");
	ck_assert(facts_set_record(facts, "spf", "", &record));
	fact_record_set(&record, "result", "pass");
	ck_assert(facts_set_record(facts, "spf", "helo", &record));
	ck_assert(facts_set_list(facts, "dkim", ""));
	add_signature(facts, "fail", "a.example");
	add_signature(facts, "pass", "b.example");
	fact_record_set(&record, "result", "none");
	fact_record_set_number(&record, "instances", -3);
	ck_assert(facts_set_record(facts, "arc", "", &record));
	ck_assert(facts_set_text(facts, "plugin", "note", "say \"hi\"\n\xff"));
}

START_TEST(lookups)
{
	struct facts facts = {0};
	int64_t number = 0;

	fill(&facts);
	ck_assert_uint_eq(facts.count, 5);
	ck_assert_str_eq(facts_value(&facts, "spf", "result"), "fail");
	ck_assert_ptr_null(facts_value(&facts, "spf", "explanation"));
	ck_assert_ptr_null(facts_value(&facts, "spf", "other"));
	ck_assert_ptr_null(facts_value(&facts, "dkim", "result"));
	ck_assert_ptr_null(facts_value(&facts, "dmarc", "result"));
	ck_assert_str_eq(fact_record_get(facts_record(&facts, "spf", "helo"), "result"), "pass");
	ck_assert_ptr_null(facts_record(&facts, "plugin", "note"));
	ck_assert_ptr_null(facts_text(&facts, "spf", ""));
	ck_assert_str_eq(facts_text(&facts, "plugin", "note"), "say \"hi\"\n\xff");
	ck_assert(fact_record_get_number(facts_record(&facts, "arc", ""), "instances", &number));
	ck_assert_int_eq(number, -3);
	ck_assert(!fact_record_get_number(facts_record(&facts, "arc", ""), "result", &number));
	const struct fact *dkim = facts_find(&facts, "dkim", "");
	ck_assert_int_eq(dkim->kind, FACT_LIST);
	ck_assert_uint_eq(dkim->count, 2);
	ck_assert_str_eq(fact_record_get(&dkim->records[1], "domain"), "b.example");
	/* Another value in place of the old one, also of another kind. */
	ck_assert(facts_set_text(&facts, "spf", "", "x"));
	ck_assert_str_eq(facts_text(&facts, "spf", ""), "x");
	ck_assert_ptr_eq(facts_find(&facts, "spf", ""), &facts.facts[0]);
	ck_assert_uint_eq(facts.count, 5);
	ck_assert_uint_eq(facts.dropped, 0);
	facts_clear(&facts);
	ck_assert_uint_eq(facts.bytes, 0);
}
END_TEST

START_TEST(json)
{
	struct facts facts = {0};
	struct buffer text = {0};

	facts_append_json(&facts, &text);
	ck_assert_str_eq(buffer_text(&text), "{}");
	buffer_clear(&text);
	facts_append_summary(&facts, &text);
	ck_assert_uint_eq(text.length, 0);
	fill(&facts);
	facts_append_json(&facts, &text);
	ck_assert_str_eq(buffer_text(&text),
	    "{\"spf\": {\"result\": \"fail\", \"domain\": \"example.org\", \"explanation\": null}, \"spf/helo\": {\"result\": \"pass\"}, "
	    "\"dkim\": [{\"result\": \"fail\", \"domain\": \"a.example\"}, {\"result\": \"pass\", \"domain\": \"b.example\"}], "
	    "\"arc\": {\"result\": \"none\", \"instances\": -3}, \"plugin/note\": \"say \\\"hi\\\"\\u000a\xef\xbf\xbd\"}");
	buffer_clear(&text);
	facts_append_summary(&facts, &text);
	ck_assert_str_eq(buffer_text(&text), "spf=fail dkim=pass arc=none");
	buffer_clear(&text);
	facts_set_list(&facts, "dkim", "");
	facts_append_summary(&facts, &text);
	ck_assert_str_eq(buffer_text(&text), "spf=fail dkim=none arc=none");
	facts_clear(&facts);
	buffer_free(&text);
}
END_TEST

START_TEST(frames)
{
	struct facts facts = {0}, copy;
	struct buffer first = {0}, second = {0};
	struct frame_reader reader;

	fill(&facts);
	facts.dropped = 7;
	facts_encode(&facts, &first);
	frame_reader_init(&reader, first.data, first.length);
	ck_assert(facts_decode(&reader, &copy) && frame_reader_finish(&reader));
	ck_assert_uint_eq(copy.bytes, facts.bytes);
	ck_assert_uint_eq(copy.dropped, 7);
	facts_encode(&copy, &second);
	ck_assert_uint_eq(first.length, second.length);
	ck_assert_mem_eq(first.data, second.data, first.length);
	facts_clear(&copy);
	for (size_t cut = 0; cut < first.length; cut++) {
		frame_reader_init(&reader, first.data, cut);
		ck_assert(!facts_decode(&reader, &copy));
		ck_assert_uint_eq(copy.count, 0);
	}
	/* Any one byte changed: within the bounds or refused, and never a crash. */
	for (size_t i = 0; i < first.length; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct buffer again = {0};

			first.data[i] ^= (char)(1 << bit);
			frame_reader_init(&reader, first.data, first.length);
			if (facts_decode(&reader, &copy)) {
				facts_append_json(&copy, &again);
				facts_text(&copy, "plugin", "note");
				facts_append_summary(&copy, &again);
			}
			facts_clear(&copy);
			buffer_free(&again);
			first.data[i] ^= (char)(1 << bit);
		}
	facts_clear(&facts);
	buffer_free(&first);
	buffer_free(&second);
}
END_TEST

/* One fact with one field written by hand. */
static bool
decodes(const char *filter, const char *name, uint8_t kind, uint32_t records, const char *key, const char *value, bool is_number)
{
	struct buffer payload = {0};
	struct frame_reader reader;
	struct facts facts;
	bool good;

	frame_put_u32(&payload, 0);
	frame_put_u32(&payload, 1);
	frame_put_string(&payload, filter);
	frame_put_string(&payload, name);
	frame_put_u8(&payload, kind);
	frame_put_u32(&payload, records);
	for (uint32_t i = 0; i < records; i++) {
		frame_put_u32(&payload, 1);
		frame_put_string(&payload, key);
		frame_put_string(&payload, value);
		frame_put_bool(&payload, is_number);
	}
	frame_reader_init(&reader, payload.data, payload.length);
	good = facts_decode(&reader, &facts);
	facts_clear(&facts);
	buffer_free(&payload);
	return good;
}

START_TEST(frames_that_lie)
{
	ck_assert(decodes("f", "", FACT_RECORD, 1, "k", "v", false));
	ck_assert(decodes("f", "", FACT_RECORD, 1, "k", "-12", true));
	ck_assert(decodes("f", "", FACT_TEXT, 1, "", "v", false));
	ck_assert(decodes("f", "", FACT_LIST, 3, "k", NULL, false));
	ck_assert(!decodes("f", "", FACT_TEXT, 1, "k", "v", false));
	ck_assert(!decodes("f", "", FACT_TEXT, 0, "", "v", false));
	ck_assert(!decodes("f", "", FACT_RECORD, 0, "k", "v", false));
	ck_assert(!decodes("f", "", FACT_RECORD, 2, "k", "v", false));
	ck_assert(!decodes("f", "", FACT_LIST, FACT_RECORDS_MAX + 1, "k", "v", false));
	ck_assert(!decodes("f", "", FACT_KIND_COUNT, 1, "k", "v", false));
	ck_assert(!decodes("f", "", FACT_RECORD, 1, "k", "1}, \"x\": {", true));
	ck_assert(!decodes("f", "", FACT_RECORD, 1, "k", "0x1", true));
	ck_assert(!decodes("f", "", FACT_RECORD, 1, "k", NULL, true));
	ck_assert(!decodes("f", "", FACT_RECORD, 1, NULL, "v", false));
	ck_assert(!decodes("f", "", FACT_RECORD, 1, "k\"", "v", false));
	ck_assert(!decodes("", "", FACT_RECORD, 1, "k", "v", false));
	ck_assert(!decodes("f\"", "", FACT_RECORD, 1, "k", "v", false));
	ck_assert(!decodes("f", "a b", FACT_RECORD, 1, "k", "v", false));
	ck_assert(!decodes(NULL, "", FACT_RECORD, 1, "k", "v", false));
}
END_TEST

START_TEST(bounds)
{
	struct facts facts = {0};
	struct fact_record record = {0};
	char *big = memory_new(FACT_VALUE_MAX + 3);
	char name[80];

	/* Cut, and not inside a character. */
	memset(big, 'x', FACT_VALUE_MAX - 1);
	strcpy(big + FACT_VALUE_MAX - 1, "\xc3\xbc");
	ck_assert(facts_set_text(&facts, "f", "", big));
	ck_assert_uint_eq(strlen(facts_text(&facts, "f", "")), FACT_VALUE_MAX - 1);
	facts_clear(&facts);

	for (int i = 0; i <= FACT_FIELDS_MAX; i++) {
		snprintf(name, sizeof name, "k%d", i);
		fact_record_set(&record, name, "v");
	}
	ck_assert_uint_eq(record.count, FACT_FIELDS_MAX);
	ck_assert(!facts_set_record(&facts, "f", "", &record));
	ck_assert_uint_eq(record.count, 0);
	ck_assert_uint_eq(facts.dropped, 1);
	fact_record_set(&record, "not a key", "v");
	ck_assert(!facts_add_to_list(&facts, "f", "", &record));
	ck_assert(!facts_set_text(&facts, "f\n", "", "v"));
	ck_assert(!facts_set_text(&facts, "", "", "v"));
	memset(name, 'n', FACT_NAME_MAX + 1);
	name[FACT_NAME_MAX + 1] = '\0';
	ck_assert(!facts_set_text(&facts, "f", name, "v"));
	ck_assert(facts_set_text(&facts, "f", name + 1, "v"));
	facts_clear(&facts);

	for (int i = 0; i <= FACT_RECORDS_MAX; i++) {
		fact_record_set(&record, "k", "v");
		ck_assert(facts_add_to_list(&facts, "f", "", &record) == (i < FACT_RECORDS_MAX));
	}
	facts_clear(&facts);
	for (int i = 0; i <= FACTS_MAX; i++) {
		snprintf(name, sizeof name, "n%d", i);
		ck_assert(facts_set_text(&facts, "f", name, "v") == (i < FACTS_MAX));
	}
	ck_assert(facts_set_text(&facts, "f", "n0", "w"));
	facts_clear(&facts);

	big[FACT_VALUE_MAX - 10] = '\0';
	for (int i = 0; i < 65; i++) {
		snprintf(name, sizeof name, "n%02d", i);
		ck_assert(facts_set_text(&facts, "f", name, big) == (i < 64));
	}
	ck_assert_uint_le(facts.bytes, FACTS_BYTES_MAX);
	/* In place of another one of the same size: fits. */
	ck_assert(facts_set_text(&facts, "f", "n00", big));
	ck_assert(facts_set_text(&facts, "f", "n00", ""));
	ck_assert(facts_set_text(&facts, "f", "n64", big + 4));
	facts_clear(&facts);
	memory_free(&big);
}
END_TEST

START_TEST(no_filter_speaks_for_another)
{
	struct facts all = {0}, one = {0};

	facts_set_text(&one, "spf", "", "pass");
	ck_assert(facts_take(&all, &one, "spf"));
	facts_set_text(&one, "plugin", "", "mine");
	facts_set_text(&one, "spf", "", "forged");
	one.dropped = 2;
	ck_assert(!facts_take(&all, &one, "plugin"));
	ck_assert_str_eq(facts_text(&all, "spf", ""), "pass");
	ck_assert_str_eq(facts_text(&all, "plugin", ""), "mine");
	ck_assert_uint_eq(all.dropped, 2);
	ck_assert_uint_eq(one.count, 0);
	facts_clear(&all);
}
END_TEST

SUITE_MAIN("facts", lookups, json, frames, frames_that_lie, bounds, no_filter_speaks_for_another)
