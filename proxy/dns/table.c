/* Owns questions and copies of answers. Never asks anybody. */
#include "dns/table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dns/name.h"

/* Name, type, status, ttl, secure, count of records; preference and data. The least each takes in a frame. */
#define ENCODED_ANSWER_MIN (4 + 2 + 1 + 4 + 1 + 4)
#define ENCODED_RECORD_MIN (2 + 4)
#define ENCODED_QUESTION_MIN (4 + 2)

/* Type and name in wire form, in lower case: two spellings of one question have the same. */
struct key {
	char bytes[2 + DNS_NAME_WIRE_MAX];
	size_t length;
};

/* False: not a name. */
static bool
key_make(const char *name, uint16_t type, struct key *key)
{
	struct dns_name wire;

	if (name == NULL || !dns_name_from_text(name, &wire))
		return false;
	key->bytes[0] = (char)(type & 0xff);
	key->bytes[1] = (char)(type >> 8);
	/* Length bytes are below 'A'. */
	for (size_t i = 0; i < wire.length; i++)
		key->bytes[2 + i] = (char)(wire.bytes[i] >= 'A' && wire.bytes[i] <= 'Z' ? wire.bytes[i] | 0x20 : wire.bytes[i]);
	key->length = 2 + wire.length;
	return true;
}

static struct dns_table_entry *
entry_find(const struct dns_table *table, const struct key *key)
{
	for (size_t i = 0; i < table->count; i++) {
		struct dns_table_entry *entry = &table->entries[i];

		if (entry->key_length == key->length && memcmp(entry->key, key->bytes, key->length) == 0)
			return entry;
	}
	return NULL;
}

static struct dns_table_entry *
entry_add(struct dns_table *table, const struct key *key)
{
	struct dns_table_entry *entry;

	/* The room doubles whenever the count reaches a power of two. */
	if ((table->count & (table->count - 1)) == 0)
		table->entries = memory_resize(table->entries, table->count == 0 ? 1 : 2 * table->count, sizeof *table->entries);
	entry = &table->entries[table->count++];
	*entry = (struct dns_table_entry){.key = memory_copy_text(key->bytes, key->length), .key_length = key->length};
	return entry;
}

const struct dns_answer *
dns_table_find(const struct dns_table *table, const char *name, uint16_t type)
{
	static char no_name[] = "";
	static const struct dns_answer malformed = {.status = DNS_STATUS_MALFORMED, .name = no_name};
	static const struct dns_answer beyond = {.status = DNS_STATUS_TOO_LARGE, .name = no_name};
	const struct dns_table_entry *entry;
	struct key key;

	if (!key_make(name, type, &key))
		return &malformed;
	entry = entry_find(table, &key);
	if (entry == NULL)
		return table->count >= DNS_TABLE_QUESTIONS_MAX ? &beyond : NULL;
	return entry->answered ? &entry->answer : NULL;
}

bool
dns_table_ask(struct dns_table *table, const char *name, uint16_t type)
{
	struct key key;

	if (!key_make(name, type, &key) || entry_find(table, &key) != NULL || table->count >= DNS_TABLE_QUESTIONS_MAX)
		return false;
	dns_answer_init(&entry_add(table, &key)->answer, DNS_STATUS_OK, name, type);
	table->open++;
	return true;
}

/* What it costs; more than any limit when it is beyond that of one answer. */
static size_t
answer_bytes(const struct dns_answer *answer)
{
	size_t bytes = 0;

	for (size_t i = 0; i < answer->count; i++)
		bytes += answer->records[i].length;
	if (bytes > DNS_ANSWER_BYTES_MAX || answer->count > DNS_ANSWER_RECORDS_MAX)
		return SIZE_MAX;
	return bytes + answer->count * DNS_TABLE_RECORD_BYTES;
}

/* The entry for an answer of so many bytes to that question, answered but without anything in it yet; NULL as dns_table_add has it. */
static struct dns_table_entry *
entry_answer(struct dns_table *table, const char *name, uint16_t type, size_t bytes)
{
	struct dns_table_entry *entry;
	struct key key;

	if (!key_make(name, type, &key))
		return NULL;
	entry = entry_find(table, &key);
	if (entry != NULL ? entry->answered : table->count >= DNS_TABLE_QUESTIONS_MAX)
		return NULL;
	if (entry != NULL) {
		dns_answer_clear(&entry->answer);
		table->open--;
	} else {
		entry = entry_add(table, &key);
	}
	entry->answered = true;
	table->bytes += bytes;
	return entry;
}

bool
dns_table_add(struct dns_table *table, const struct dns_answer *answer)
{
	size_t bytes = answer_bytes(answer);
	bool fits = bytes <= DNS_TABLE_BYTES_MAX - table->bytes;
	struct dns_table_entry *entry = entry_answer(table, answer->name, answer->type, fits ? bytes : 0);

	if (entry == NULL)
		return false;
	if (fits)
		dns_answer_copy(&entry->answer, answer);
	else
		dns_answer_init(&entry->answer, DNS_STATUS_TOO_LARGE, answer->name, answer->type);
	return true;
}

const struct dns_answer *
dns_table_next_open(const struct dns_table *table, size_t *at)
{
	while (*at < table->count) {
		const struct dns_table_entry *entry = &table->entries[(*at)++];

		if (!entry->answered)
			return &entry->answer;
	}
	return NULL;
}

void
dns_table_clear(struct dns_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		memory_free(&table->entries[i].key);
		dns_answer_clear(&table->entries[i].answer);
	}
	memory_free(&table->entries);
	*table = (struct dns_table){0};
}

/* --- frames --- */

static void
answer_encode(const struct dns_answer *answer, struct buffer *payload)
{
	frame_put_string(payload, answer->name);
	frame_put_u16(payload, answer->type);
	frame_put_u8(payload, (uint8_t)answer->status);
	frame_put_u32(payload, answer->ttl);
	frame_put_bool(payload, answer->secure);
	frame_put_u32(payload, (uint32_t)answer->count);
	for (size_t i = 0; i < answer->count; i++) {
		frame_put_u16(payload, answer->records[i].preference);
		frame_put_span(payload, span_make((const char *)answer->records[i].data, answer->records[i].length));
	}
}

void
dns_table_encode(const struct dns_table *table, struct buffer *payload)
{
	frame_put_u32(payload, (uint32_t)(table->count - table->open));
	for (size_t i = 0; i < table->count; i++)
		if (table->entries[i].answered)
			answer_encode(&table->entries[i].answer, payload);
}

/* Addresses of another length would be read past their end. */
static bool
record_fits_type(size_t length, uint16_t type)
{
	return (type != DNS_TYPE_A || length == 4) && (type != DNS_TYPE_AAAA || length == 16);
}

static bool
answer_decode(struct frame_reader *payload, struct dns_answer *answer)
{
	answer->name = frame_get_string(payload);
	answer->type = frame_get_u16(payload);
	uint8_t status = frame_get_u8(payload);
	answer->status = status <= DNS_STATUS_BOGUS ? status : DNS_STATUS_MALFORMED;
	answer->ttl = frame_get_u32(payload);
	answer->secure = frame_get_bool(payload);
	uint32_t count = frame_get_count(payload, ENCODED_RECORD_MIN);
	if (payload->failed || status > DNS_STATUS_BOGUS || count > DNS_ANSWER_RECORDS_MAX || (count > 0 && status != DNS_STATUS_OK))
		return false;
	if (count > 0)
		answer->records = memory_new_array(count, sizeof *answer->records);
	while (answer->count < count) {
		struct dns_record *record = &answer->records[answer->count];

		record->preference = frame_get_u16(payload);
		struct span data = frame_get_span(payload);
		if (payload->failed || !record_fits_type(data.length, answer->type))
			return false;
		record->data = (uint8_t *)memory_copy_text(data.at, data.length);
		record->length = data.length;
		answer->count++;
	}
	return answer_bytes(answer) != SIZE_MAX;
}

/* Moves the answer. One that would have to be changed to fit was not written by dns_table_encode. */
static bool
table_take(struct dns_table *table, struct dns_answer *answer)
{
	size_t bytes = answer_bytes(answer);
	struct dns_table_entry *entry;

	if (bytes > DNS_TABLE_BYTES_MAX - table->bytes)
		return false;
	entry = entry_answer(table, answer->name, answer->type, bytes);
	if (entry == NULL)
		return false;
	entry->answer = *answer;
	*answer = (struct dns_answer){0};
	return true;
}

bool
dns_table_decode(struct frame_reader *payload, struct dns_table *table)
{
	uint32_t count = frame_get_count(payload, ENCODED_ANSWER_MIN);
	bool good = !payload->failed;

	*table = (struct dns_table){0};
	for (uint32_t i = 0; i < count && good; i++) {
		struct dns_answer answer = {0};

		good = answer_decode(payload, &answer) && table_take(table, &answer);
		dns_answer_clear(&answer);
	}
	if (!good) {
		payload->failed = true;
		dns_table_clear(table);
	}
	return good;
}

void
dns_table_encode_open(const struct dns_table *table, struct buffer *payload)
{
	const struct dns_answer *question;
	size_t at = 0;

	frame_put_u32(payload, (uint32_t)table->open);
	while ((question = dns_table_next_open(table, &at)) != NULL) {
		frame_put_string(payload, question->name);
		frame_put_u16(payload, question->type);
	}
}

bool
dns_table_decode_open(struct frame_reader *payload, struct dns_table *table, size_t *added)
{
	uint32_t count = frame_get_count(payload, ENCODED_QUESTION_MIN);

	*added = 0;
	if (count > DNS_TABLE_QUESTIONS_MAX)
		payload->failed = true;
	for (uint32_t i = 0; i < count && !payload->failed; i++) {
		char *name = frame_get_string(payload);
		uint16_t type = frame_get_u16(payload);

		if (name == NULL)
			payload->failed = true;
		if (!payload->failed && dns_table_ask(table, name, type))
			++*added;
		memory_free(&name);
	}
	return !payload->failed;
}

/* --- words --- */

static const struct {
	const char *text;
	uint16_t type;
} types[] = {
	{"A", DNS_TYPE_A}, {"NS", DNS_TYPE_NS}, {"CNAME", DNS_TYPE_CNAME}, {"PTR", DNS_TYPE_PTR}, {"MX", DNS_TYPE_MX}, {"TXT", DNS_TYPE_TXT},
	{"AAAA", DNS_TYPE_AAAA},
};

const char *
dns_type_format(uint16_t type, char *text)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (types[i].type == type) {
			snprintf(text, DNS_TYPE_TEXT_SIZE, "%s", types[i].text);
			return text;
		}
	snprintf(text, DNS_TYPE_TEXT_SIZE, "TYPE%u", type);
	return text;
}

uint16_t
dns_type_parse(const char *text)
{
	char *end;

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcasecmp(types[i].text, text) == 0)
			return types[i].type;
	if (strncasecmp(text, "TYPE", 4) != 0 || text[4] < '0' || text[4] > '9')
		return 0;
	unsigned long number = strtoul(text + 4, &end, 10);
	return *end == '\0' && number <= UINT16_MAX ? (uint16_t)number : 0;
}

void
dns_answer_append_text(const struct dns_answer *answer, bool answered, struct buffer *out)
{
	char type[DNS_TYPE_TEXT_SIZE];

	buffer_printf(out, "%s %s", answer->name, dns_type_format(answer->type, type));
	if (!answered)
		return;
	buffer_printf(out, " -> %s", dns_status_text(answer->status));
	if (answer->status == DNS_STATUS_OK)
		buffer_printf(out, ", %zu record%s%s", answer->count, answer->count == 1 ? "" : "s", answer->secure ? ", secure" : "");
}

static void
append_quoted(const struct dns_record *record, struct buffer *out)
{
	buffer_append_char(out, '"');
	for (size_t i = 0; i < record->length; i++) {
		unsigned char byte = record->data[i];

		if (byte == '"' || byte == '\\')
			buffer_printf(out, "\\%c", byte);
		else if (byte < ' ' || byte > '~')
			buffer_printf(out, "\\%03u", byte);
		else
			buffer_append_char(out, (char)byte);
	}
	buffer_append_char(out, '"');
}

static void
append_address(int family, const struct dns_record *record, struct buffer *out)
{
	char text[INET6_ADDRSTRLEN];

	if (record->length == (family == AF_INET ? 4 : 16) && inet_ntop(family, record->data, text, sizeof text) != NULL)
		buffer_append_string(out, text);
}

void
dns_record_append_text(const struct dns_record *record, uint16_t type, struct buffer *out)
{
	switch (type) {
	case DNS_TYPE_A:
		append_address(AF_INET, record, out);
		break;
	case DNS_TYPE_AAAA:
		append_address(AF_INET6, record, out);
		break;
	case DNS_TYPE_MX:
		buffer_printf(out, "%u ", record->preference);
		/* fall through */
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		if (record->length == 0)
			buffer_append_char(out, '.');
		buffer_append(out, record->data, record->length);
		break;
	default:
		append_quoted(record, out);
	}
}

const char *
dns_status_zone_text(enum dns_status status)
{
	static const char *const texts[] = {
		[DNS_STATUS_OK] = "!NODATA", [DNS_STATUS_NAME_ERROR] = "!NXDOMAIN", [DNS_STATUS_SERVER_FAILURE] = "!SERVFAIL",
		[DNS_STATUS_TIMEOUT] = "!TIMEOUT", [DNS_STATUS_MALFORMED] = "!MALFORMED", [DNS_STATUS_TOO_LARGE] = "!TOOLARGE",
		[DNS_STATUS_BOGUS] = "!BOGUS",
	};

	return texts[status];
}
