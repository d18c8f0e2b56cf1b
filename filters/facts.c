/* Owns facts and all their texts, keeps them within their bounds. Knows of no filter what its facts mean. */
#include "filters/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/printable.h"

static bool
name_is_valid(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < length; i++) {
		char byte = name[i];

		if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') && !(byte >= '0' && byte <= '9') && byte != '_' &&
		    byte != '-' && byte != '.')
			return false;
	}
	return length <= FACT_NAME_MAX;
}

static bool
number_is_valid(const char *text)
{
	char canonical[24];

	snprintf(canonical, sizeof canonical, "%lld", strtoll(text, NULL, 10));
	return strcmp(canonical, text) == 0;
}

/* --- records --- */

void
fact_record_clear(struct fact_record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		memory_free(&record->fields[i].key);
		memory_free(&record->fields[i].value);
	}
	memory_free(&record->fields);
	*record = (struct fact_record){0};
}

static struct fact_field *
field_find(const struct fact_record *record, const char *key)
{
	for (size_t i = 0; i < record->count; i++)
		if (strcmp(record->fields[i].key, key) == 0)
			return &record->fields[i];
	return NULL;
}

static void
field_set(struct fact_record *record, const char *key, const char *value, bool is_number)
{
	struct fact_field *field = field_find(record, key);
	/* First the copy: the value may be a field of this record. */
	char *copy = value != NULL ? memory_copy_text(value, printable_cut(span_of(value), FACT_VALUE_MAX).length) : NULL;

	if (field == NULL) {
		if (record->count == FACT_FIELDS_MAX || !name_is_valid(key)) {
			record->is_bad = true;
			memory_free(&copy);
			return;
		}
		record->fields = memory_resize(record->fields, record->count + 1, sizeof *record->fields);
		field = &record->fields[record->count++];
		*field = (struct fact_field){.key = memory_copy_string(key)};
	}
	memory_free(&field->value);
	field->value = copy;
	field->is_number = is_number;
}

void
fact_record_set(struct fact_record *record, const char *key, const char *value)
{
	field_set(record, key, value, false);
}

void
fact_record_set_number(struct fact_record *record, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)value);
	field_set(record, key, text, true);
}

const char *
fact_record_get(const struct fact_record *record, const char *key)
{
	const struct fact_field *field = field_find(record, key);

	return field != NULL ? field->value : NULL;
}

bool
fact_record_get_number(const struct fact_record *record, const char *key, int64_t *value)
{
	const struct fact_field *field = field_find(record, key);

	if (field == NULL || !field->is_number)
		return false;
	*value = strtoll(field->value, NULL, 10);
	return true;
}

static size_t
record_bytes(const struct fact_record *record)
{
	size_t bytes = 0;

	for (size_t i = 0; i < record->count; i++)
		bytes += strlen(record->fields[i].key) + (record->fields[i].value != NULL ? strlen(record->fields[i].value) : 0);
	return bytes;
}

/* --- facts --- */

static void
fact_clear(struct fact *fact)
{
	for (size_t i = 0; i < fact->count; i++)
		fact_record_clear(&fact->records[i]);
	memory_free(&fact->records);
	memory_free(&fact->filter);
	memory_free(&fact->name);
	*fact = (struct fact){0};
}

void
facts_clear(struct facts *facts)
{
	for (size_t i = 0; i < facts->count; i++)
		fact_clear(&facts->facts[i]);
	memory_free(&facts->facts);
	*facts = (struct facts){0};
}

static size_t
fact_bytes(const struct fact *fact)
{
	size_t bytes = strlen(fact->filter) + strlen(fact->name);

	for (size_t i = 0; i < fact->count; i++)
		bytes += record_bytes(&fact->records[i]);
	return bytes;
}

static struct fact *
fact_find(const struct facts *facts, const char *filter, const char *name)
{
	for (size_t i = 0; i < facts->count; i++)
		if (strcmp(facts->facts[i].filter, filter) == 0 && strcmp(facts->facts[i].name, name) == 0)
			return &facts->facts[i];
	return NULL;
}

const struct fact *
facts_find(const struct facts *facts, const char *filter, const char *name)
{
	return fact_find(facts, filter, name);
}

static bool
is_good(const struct fact *fact)
{
	if (fact->filter[0] == '\0' || !name_is_valid(fact->filter) || !name_is_valid(fact->name))
		return false;
	for (size_t i = 0; i < fact->count; i++)
		if (fact->records[i].is_bad)
			return false;
	return true;
}

/* Takes the fact over, in place of an older one; empties it in any case. */
static bool
put(struct facts *facts, struct fact *fact)
{
	struct fact *old = fact_find(facts, fact->filter, fact->name);
	size_t old_bytes = old != NULL ? fact_bytes(old) : 0;

	if (!is_good(fact) || fact_bytes(fact) > FACTS_BYTES_MAX - (facts->bytes - old_bytes) || (old == NULL && facts->count == FACTS_MAX)) {
		facts->dropped++;
		fact_clear(fact);
		return false;
	}
	facts->bytes += fact_bytes(fact) - old_bytes;
	if (old != NULL) {
		fact_clear(old);
	} else {
		/* The room doubles whenever the count reaches a power of two. */
		if ((facts->count & (facts->count - 1)) == 0)
			facts->facts = memory_resize(facts->facts, facts->count == 0 ? 1 : 2 * facts->count, sizeof *facts->facts);
		old = &facts->facts[facts->count++];
	}
	*old = *fact;
	*fact = (struct fact){0};
	return true;
}

static void
fact_add_record(struct fact *fact, struct fact_record *record)
{
	fact->records = memory_resize(fact->records, fact->count + 1, sizeof *fact->records);
	fact->records[fact->count++] = *record;
	*record = (struct fact_record){0};
}

static bool
set(struct facts *facts, const char *filter, const char *name, enum fact_kind kind, struct fact_record *record)
{
	struct fact fact = {.filter = memory_copy_string(filter), .name = memory_copy_string(name), .kind = kind};

	if (record != NULL)
		fact_add_record(&fact, record);
	return put(facts, &fact);
}

bool
facts_set_text(struct facts *facts, const char *filter, const char *name, const char *value)
{
	struct fact_record record = {0};

	fact_record_set(&record, "", value);
	return set(facts, filter, name, FACT_TEXT, &record);
}

bool
facts_set_record(struct facts *facts, const char *filter, const char *name, struct fact_record *record)
{
	return set(facts, filter, name, FACT_RECORD, record);
}

bool
facts_set_list(struct facts *facts, const char *filter, const char *name)
{
	return set(facts, filter, name, FACT_LIST, NULL);
}

bool
facts_add_to_list(struct facts *facts, const char *filter, const char *name, struct fact_record *record)
{
	struct fact *fact = fact_find(facts, filter, name);

	if (fact == NULL || fact->kind != FACT_LIST)
		return set(facts, filter, name, FACT_LIST, record);
	if (record->is_bad || fact->count == FACT_RECORDS_MAX || record_bytes(record) > FACTS_BYTES_MAX - facts->bytes) {
		facts->dropped++;
		fact_record_clear(record);
		return false;
	}
	facts->bytes += record_bytes(record);
	fact_add_record(fact, record);
	return true;
}

bool
facts_take(struct facts *to, struct facts *from, const char *filter)
{
	bool all_its_own = true;

	for (size_t i = 0; i < from->count; i++) {
		if (strcmp(from->facts[i].filter, filter) == 0)
			put(to, &from->facts[i]);
		else
			all_its_own = false;
	}
	to->dropped += from->dropped;
	facts_clear(from);
	return all_its_own;
}

/* --- lookups --- */

const char *
facts_text(const struct facts *facts, const char *filter, const char *name)
{
	const struct fact *fact = fact_find(facts, filter, name);

	return fact != NULL && fact->kind == FACT_TEXT ? fact->records[0].fields[0].value : NULL;
}

const struct fact_record *
facts_record(const struct facts *facts, const char *filter, const char *name)
{
	const struct fact *fact = fact_find(facts, filter, name);

	return fact != NULL && fact->kind == FACT_RECORD ? &fact->records[0] : NULL;
}

const char *
facts_value(const struct facts *facts, const char *filter, const char *key)
{
	const struct fact_record *record = facts_record(facts, filter, "");

	return record != NULL ? fact_record_get(record, key) : NULL;
}

/* --- frames --- */

/* The least they take: strings are four bytes or more. */
#define ENCODED_FIELD_MIN (4 + 4 + 1)
#define ENCODED_RECORD_MIN 4
#define ENCODED_FACT_MIN (4 + 4 + 1 + 4)

static void
record_encode(const struct fact_record *record, struct buffer *payload)
{
	frame_put_u32(payload, (uint32_t)record->count);
	for (size_t i = 0; i < record->count; i++) {
		frame_put_string(payload, record->fields[i].key);
		frame_put_string(payload, record->fields[i].value);
		frame_put_bool(payload, record->fields[i].is_number);
	}
}

void
facts_encode(const struct facts *facts, struct buffer *payload)
{
	frame_put_u32(payload, facts->dropped);
	frame_put_u32(payload, (uint32_t)facts->count);
	for (size_t i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->facts[i];

		frame_put_string(payload, fact->filter);
		frame_put_string(payload, fact->name);
		frame_put_u8(payload, (uint8_t)fact->kind);
		frame_put_u32(payload, (uint32_t)fact->count);
		for (size_t k = 0; k < fact->count; k++)
			record_encode(&fact->records[k], payload);
	}
}

static bool
field_decode(struct frame_reader *payload, struct fact_record *record)
{
	char *key = frame_get_string(payload), *value = frame_get_string(payload);
	bool is_number = frame_get_bool(payload);
	bool good = !payload->failed && key != NULL && field_find(record, key) == NULL;

	good = good && (value == NULL || strlen(value) <= FACT_VALUE_MAX) && (!is_number || (value != NULL && number_is_valid(value)));
	if (good)
		field_set(record, key, value, is_number);
	memory_free(&key);
	memory_free(&value);
	return good && !record->is_bad;
}

static bool
record_decode(struct frame_reader *payload, struct fact_record *record)
{
	uint32_t count = frame_get_count(payload, ENCODED_FIELD_MIN);
	bool good = !payload->failed && count <= FACT_FIELDS_MAX;

	for (uint32_t i = 0; i < count && good; i++)
		good = field_decode(payload, record);
	return good;
}

/* A text is one record of one field without a key. */
static bool
has_shape_of_its_kind(const struct fact *fact)
{
	if (fact->kind == FACT_LIST)
		return true;
	if (fact->count != 1)
		return false;
	return fact->kind == FACT_RECORD || (fact->records[0].count == 1 && fact->records[0].fields[0].key[0] == '\0');
}

static bool
fact_decode(struct frame_reader *payload, struct fact *fact)
{
	fact->filter = frame_get_string(payload);
	fact->name = frame_get_string(payload);
	uint8_t kind = frame_get_u8(payload);
	uint32_t count = frame_get_count(payload, ENCODED_RECORD_MIN);

	if (payload->failed || fact->filter == NULL || fact->name == NULL || kind >= FACT_KIND_COUNT || count > FACT_RECORDS_MAX)
		return false;
	fact->kind = kind;
	for (uint32_t i = 0; i < count; i++) {
		struct fact_record record = {0};
		bool good = record_decode(payload, &record);

		fact_add_record(fact, &record);
		if (!good)
			return false;
	}
	return has_shape_of_its_kind(fact);
}

bool
facts_decode(struct frame_reader *payload, struct facts *facts)
{
	uint32_t dropped = frame_get_u32(payload);
	uint32_t count = frame_get_count(payload, ENCODED_FACT_MIN);
	bool good = !payload->failed;

	*facts = (struct facts){0};
	for (uint32_t i = 0; i < count && good; i++) {
		struct fact fact = {0};

		good = fact_decode(payload, &fact) && fact_find(facts, fact.filter, fact.name) == NULL && put(facts, &fact);
		fact_clear(&fact);
	}
	facts->dropped = dropped;
	if (!good) {
		payload->failed = true;
		facts_clear(facts);
	}
	return good;
}
