/* Takes one answer out of a DNS packet: header, question, the CNAME chain, the records at its end. The packet may be anything:
 * every read is bounded by its length, every loop by a constant. Never asks, never waits. */
#include "dns/answer.h"

#include <string.h>

#include "base/memory.h"
#include "dns/name.h"

#define HEADER_SIZE 12
#define CLASS_IN 1
#define CHAIN_MAX 16 /* CNAMEs followed */
#define ANSWER_SECTION_MAX 1024 /* records looked at; more is nobody's honest answer */
#define FLAG_RESPONSE 0x8000
#define FLAG_TRUNCATED 0x0200

/* A record where it lies in the packet. */
struct raw_record {
	struct dns_name owner;
	uint16_t type;
	uint16_t class;
	uint32_t ttl;
	size_t data_at;
	size_t data_length;
};

struct packet {
	const uint8_t *bytes;
	size_t length;
};

const char *
dns_status_text(enum dns_status status)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		DNS_STATUSES(X)
#undef X
	};
	return (size_t)status < sizeof texts / sizeof texts[0] ? texts[status] : "unknown";
}

static uint16_t
read_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool
record_read(const struct packet *packet, size_t *offset, struct raw_record *record)
{
	if (!dns_name_read(packet->bytes, packet->length, offset, &record->owner) || packet->length - *offset < 10)
		return false;
	const uint8_t *fixed = packet->bytes + *offset;
	record->type = read_u16(fixed);
	record->class = read_u16(fixed + 2);
	record->ttl = (uint32_t)read_u16(fixed + 4) << 16 | read_u16(fixed + 6);
	if (record->ttl > INT32_MAX) /* RFC 2181 8: the top bit means zero */
		record->ttl = 0;
	record->data_at = *offset + 10;
	record->data_length = read_u16(fixed + 8);
	if (packet->length - record->data_at < record->data_length)
		return false;
	*offset = record->data_at + record->data_length;
	return true;
}

/* The name that fills the record's data from `skip` to its end, nothing less and nothing more. */
static bool
record_name(const struct packet *packet, const struct raw_record *record, size_t skip, struct dns_name *name)
{
	size_t offset = record->data_at + skip;
	if (record->data_length <= skip || !dns_name_read(packet->bytes, packet->length, &offset, name))
		return false;
	return offset == record->data_at + record->data_length;
}

static bool
keep_name(const struct packet *packet, const struct raw_record *record, size_t skip, struct dns_record *kept)
{
	struct dns_name name;
	char text[DNS_NAME_TEXT_SIZE];

	if (!record_name(packet, record, skip, &name))
		return false;
	kept->length = strlen(dns_name_to_text(&name, text));
	kept->data = (uint8_t *)memory_copy_text(text, kept->length);
	return true;
}

/* RFC 7208 3.3: the strings of one record are joined without blanks. RFC 1035 3.3.14 wants at least one; a record without any is an empty
 * text all the same: the records beside it must not be lost with it. */
static bool
keep_strings(const uint8_t *data, size_t length, struct dns_record *kept)
{
	uint8_t *joined = memory_new(length + 1);
	size_t used = 0;
	for (size_t at = 0; at < length;) {
		size_t string = data[at++];
		if (length - at < string) {
			memory_free(&joined);
			return false;
		}
		memcpy(joined + used, data + at, string);
		used += string;
		at += string;
	}
	kept->data = joined;
	kept->length = used;
	return true;
}

static bool
record_keep(const struct packet *packet, const struct raw_record *record, struct dns_record *kept)
{
	const uint8_t *data = packet->bytes + record->data_at;

	switch (record->type) {
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		return keep_name(packet, record, 0, kept);
	case DNS_TYPE_MX:
		if (record->data_length < 3)
			return false;
		kept->preference = read_u16(data);
		return keep_name(packet, record, 2, kept);
	case DNS_TYPE_TXT:
		return keep_strings(data, record->data_length, kept);
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
		if (record->data_length != (record->type == DNS_TYPE_A ? 4 : 16))
			return false;
		break;
	default:
		break;
	}
	kept->data = (uint8_t *)memory_copy_text((const char *)data, record->data_length);
	kept->length = record->data_length;
	return true;
}

/* Reads the header and the question: it must be ours (a resolver that answers another question is not to be believed). */
static enum dns_status
header_parse(const struct packet *packet, const struct dns_name *name, uint16_t type, size_t *offset, size_t *answers)
{
	struct dns_name asked;

	if (packet->length < HEADER_SIZE)
		return DNS_STATUS_MALFORMED;
	uint16_t flags = read_u16(packet->bytes + 2);
	*answers = read_u16(packet->bytes + 6);
	*offset = HEADER_SIZE;
	if ((flags & FLAG_RESPONSE) == 0 || read_u16(packet->bytes + 4) != 1)
		return DNS_STATUS_MALFORMED;
	if (!dns_name_read(packet->bytes, packet->length, offset, &asked) || packet->length - *offset < 4)
		return DNS_STATUS_MALFORMED;
	if (!dns_name_equal(&asked, name) || read_u16(packet->bytes + *offset) != type ||
	    read_u16(packet->bytes + *offset + 2) != CLASS_IN)
		return DNS_STATUS_MALFORMED;
	*offset += 4;
	switch (flags & 0x000f) {
	case 0:
		break;
	case 3:
		return DNS_STATUS_NAME_ERROR;
	default:
		return DNS_STATUS_SERVER_FAILURE;
	}
	if ((flags & FLAG_TRUNCATED) != 0 || *answers > ANSWER_SECTION_MAX)
		return DNS_STATUS_TOO_LARGE;
	return DNS_STATUS_OK;
}

static const struct raw_record *
alias_find(const struct raw_record *records, size_t count, const struct dns_name *owner)
{
	for (size_t i = 0; i < count; i++)
		if (records[i].type == DNS_TYPE_CNAME && records[i].class == CLASS_IN && dns_name_equal(&records[i].owner, owner))
			return &records[i];
	return NULL;
}

static void
ttl_lower(struct dns_answer *answer, bool *any, uint32_t ttl)
{
	if (!*any || ttl < answer->ttl)
		answer->ttl = ttl;
	*any = true;
}

/* Walks the CNAME chain from `owner` to its end, inside the records given. */
static bool
chain_follow(const struct packet *packet, const struct raw_record *records, size_t count, struct dns_name *owner,
    struct dns_answer *answer, bool *any_ttl)
{
	for (unsigned hops = 0; hops <= CHAIN_MAX; hops++) {
		const struct raw_record *alias = alias_find(records, count, owner);
		if (alias == NULL)
			return true;
		ttl_lower(answer, any_ttl, alias->ttl);
		if (!record_name(packet, alias, 0, owner))
			return false;
	}
	return false; /* too long, or a circle */
}

static enum dns_status
records_take(const struct packet *packet, const struct raw_record *raw, size_t count, struct dns_name *owner, struct dns_answer *answer)
{
	bool any_ttl = false;
	size_t bytes = 0;

	if (answer->type != DNS_TYPE_CNAME && !chain_follow(packet, raw, count, owner, answer, &any_ttl))
		return DNS_STATUS_MALFORMED;
	for (size_t i = 0; i < count; i++) {
		if (raw[i].type != answer->type || raw[i].class != CLASS_IN || !dns_name_equal(&raw[i].owner, owner))
			continue;
		if (answer->count == DNS_ANSWER_RECORDS_MAX) {
			/* Of texts one is looked for, and the order changes from answer to answer: part of them is as good as none. */
			if (answer->type == DNS_TYPE_TXT)
				return DNS_STATUS_TOO_LARGE;
			break;
		}
		if (!record_keep(packet, &raw[i], &answer->records[answer->count]))
			return DNS_STATUS_MALFORMED;
		bytes += answer->records[answer->count++].length;
		if (bytes > DNS_ANSWER_BYTES_MAX)
			return DNS_STATUS_TOO_LARGE;
		ttl_lower(answer, &any_ttl, raw[i].ttl);
	}
	return DNS_STATUS_OK;
}

static void
records_free(struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		memory_free(&answer->records[i].data);
	memory_free(&answer->records);
	answer->count = 0;
}

static enum dns_status
answer_fill(const struct packet *packet, struct dns_answer *answer)
{
	struct dns_name owner;
	size_t offset, count;

	if (packet->length > DNS_ANSWER_BYTES_MAX)
		return DNS_STATUS_TOO_LARGE;
	if (!dns_name_from_text(answer->name, &owner))
		return DNS_STATUS_MALFORMED;
	enum dns_status status = header_parse(packet, &owner, answer->type, &offset, &count);
	if (status != DNS_STATUS_OK || count == 0)
		return status;

	struct raw_record *raw = memory_new_array(count, sizeof *raw);
	for (size_t i = 0; i < count && status == DNS_STATUS_OK; i++)
		if (!record_read(packet, &offset, &raw[i]))
			status = DNS_STATUS_MALFORMED;
	if (status == DNS_STATUS_OK) {
		answer->records = memory_new_array(count < DNS_ANSWER_RECORDS_MAX ? count : DNS_ANSWER_RECORDS_MAX, sizeof *answer->records);
		status = records_take(packet, raw, count, &owner, answer);
	}
	memory_free(&raw);
	if (status != DNS_STATUS_OK || answer->count == 0)
		records_free(answer);
	if (status != DNS_STATUS_OK)
		answer->ttl = 0;
	return status;
}

void
dns_answer_init(struct dns_answer *answer, enum dns_status status, const char *name, uint16_t type)
{
	*answer = (struct dns_answer){.status = status, .type = type, .name = memory_copy_string(name)};
}

void
dns_answer_parse(const uint8_t *packet, size_t length, const char *name, uint16_t type, struct dns_answer *answer)
{
	dns_answer_init(answer, DNS_STATUS_OK, name, type);
	answer->status = answer_fill(&(struct packet){packet, length}, answer);
}

void
dns_answer_copy(struct dns_answer *to, const struct dns_answer *from)
{
	*to = *from;
	to->name = memory_copy_string(from->name);
	to->records = NULL;
	if (from->count == 0)
		return;
	to->records = memory_new_array(from->count, sizeof *to->records);
	for (size_t i = 0; i < from->count; i++) {
		to->records[i] = from->records[i];
		to->records[i].data = (uint8_t *)memory_copy_text((const char *)from->records[i].data, from->records[i].length);
	}
}

void
dns_answer_clear(struct dns_answer *answer)
{
	records_free(answer);
	memory_free(&answer->name);
	*answer = (struct dns_answer){0};
}
