/* Any bytes as a table of answers, as open questions, and as a zone file (the first byte says which). What was decoded is within the
 * limits, finds itself, and comes back the same. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dns/table.h"
#include "dns/zone_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(const struct dns_answer *answer)
{
	struct buffer text = {0};
	size_t bytes = 0;

	ASSERT(answer->status == DNS_STATUS_OK || answer->count == 0);
	ASSERT(answer->count <= DNS_ANSWER_RECORDS_MAX);
	for (size_t i = 0; i < answer->count; i++) {
		ASSERT(answer->records[i].data[answer->records[i].length] == 0);
		ASSERT(answer->type != DNS_TYPE_A || answer->records[i].length == 4);
		ASSERT(answer->type != DNS_TYPE_AAAA || answer->records[i].length == 16);
		bytes += answer->records[i].length;
	}
	ASSERT(bytes <= DNS_ANSWER_BYTES_MAX);
	dns_answer_append_text(answer, true, &text);
	ASSERT(text.length > 0);
	buffer_free(&text);
}

static void
check_table(const struct dns_table *table)
{
	struct buffer first = {0}, second = {0};
	struct frame_reader reader;
	struct dns_table copy;

	ASSERT(table->count <= DNS_TABLE_QUESTIONS_MAX && table->bytes <= DNS_TABLE_BYTES_MAX && table->open == 0);
	for (size_t i = 0; i < table->count; i++) {
		const struct dns_answer *answer = &table->entries[i].answer;

		ASSERT(dns_table_find(table, answer->name, answer->type) == answer);
		check_answer(answer);
	}
	dns_table_encode(table, &first);
	frame_reader_init(&reader, first.data, first.length);
	ASSERT(dns_table_decode(&reader, &copy) && frame_reader_finish(&reader));
	ASSERT(copy.bytes == table->bytes);
	dns_table_encode(&copy, &second);
	ASSERT(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
	dns_table_clear(&copy);
	buffer_free(&first);
	buffer_free(&second);
}

static void
check_open(struct frame_reader *reader)
{
	struct dns_table table = {0}, again = {0};
	struct buffer payload = {0};
	size_t added, count;

	if (dns_table_decode_open(reader, &table, &added)) {
		ASSERT(added == table.count && table.open == added && added <= DNS_TABLE_QUESTIONS_MAX);
		dns_table_encode_open(&table, &payload);
		frame_reader_init(reader, payload.data, payload.length);
		ASSERT(dns_table_decode_open(reader, &again, &count) && count == added && frame_reader_finish(reader));
	}
	dns_table_clear(&table);
	dns_table_clear(&again);
	buffer_free(&payload);
}

static void
check_zone(struct span text)
{
	static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_CNAME};
	struct buffer problem = {0};
	struct zone_file *zone = zone_file_parse(text, &problem);
	const char *tab = memchr(text.at, '\t', text.length);

	ASSERT((zone == NULL) == (problem.length > 0));
	if (zone != NULL && tab != NULL) {
		char *name = memory_copy_text(text.at, (size_t)(tab - text.at));

		for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
			struct dns_answer answer;

			zone_file_answer(zone, name, types[i], &answer);
			ASSERT(answer.type == types[i]);
			if (answer.status != DNS_STATUS_OK)
				ASSERT(answer.count == 0);
			dns_answer_clear(&answer);
		}
		memory_free(&name);
	}
	zone_file_free(&zone);
	buffer_free(&problem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	struct dns_table table;

	if (size < 1)
		return 0;
	char *copy = memory_copy_text((const char *)data + 1, size - 1);
	frame_reader_init(&reader, copy, size - 1);
	switch (data[0] % 3) {
	case 0:
		if (dns_table_decode(&reader, &table))
			check_table(&table);
		dns_table_clear(&table);
		break;
	case 1:
		check_open(&reader);
		break;
	default:
		check_zone(span_make(copy, size - 1));
	}
	memory_free(&copy);
	return 0;
}
