/* A list of records in the order of their lines, searched from the front: files are small. */
#include "dns/zone_file.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "dns/name.h"
#include "dns/table.h"

#define TTL 300
#define CHAIN_MAX 16 /* CNAMEs followed */
#define TYPE_ANY 255 /* "*": an error for every type */

struct zone_line {
	struct dns_name owner;
	uint16_t type;
	enum dns_status status; /* not OK: an error, no record */
	bool empty; /* no record, but the name is there */
	struct dns_record record;
};

struct zone_file {
	struct zone_line *lines;
	size_t count;
};

/* --- data --- */

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* "one" "two": the strings joined, with their escapes (RFC 1035 5.1) undone. */
static bool
quoted_parse(const char *data, struct buffer *out)
{
	bool inside = false;

	for (const char *at = data; *at != '\0'; at++) {
		if (*at == '"') {
			inside = !inside;
		} else if (!inside) {
			if (*at != ' ' && *at != '\t')
				return false;
		} else if (*at == '\\' && is_digit(at[1])) {
			if (!is_digit(at[2]) || !is_digit(at[3]))
				return false;
			int value = (at[1] - '0') * 100 + (at[2] - '0') * 10 + (at[3] - '0');
			if (value > 255)
				return false;
			buffer_append_char(out, (char)value);
			at += 3;
		} else {
			if (*at == '\\' && *++at == '\0')
				return false;
			buffer_append_char(out, *at);
		}
	}
	return !inside;
}

static bool
text_parse(const char *data, struct dns_record *record)
{
	struct buffer text = {0};
	bool good = true;

	if (data[0] == '"')
		good = quoted_parse(data, &text);
	else
		buffer_append_string(&text, data);
	record->length = text.length;
	record->data = (uint8_t *)memory_copy_text(buffer_text(&text), text.length);
	buffer_free(&text);
	return good;
}

static bool
name_parse(const char *data, struct dns_record *record)
{
	char text[DNS_NAME_TEXT_SIZE];
	struct dns_name name;

	if (!dns_name_from_text(data, &name))
		return false;
	record->length = strlen(dns_name_to_text(&name, text));
	record->data = (uint8_t *)memory_copy_text(text, record->length);
	return true;
}

static bool
address_parse(int family, const char *data, struct dns_record *record)
{
	unsigned char bytes[16];

	if (inet_pton(family, data, bytes) != 1)
		return false;
	record->length = family == AF_INET ? 4 : 16;
	record->data = (uint8_t *)memory_copy_text((const char *)bytes, record->length);
	return true;
}

static bool
mx_parse(const char *data, struct dns_record *record)
{
	unsigned preference;
	int taken = 0;

	if (!is_digit(data[0]) || sscanf(data, "%5u%*[ \t]%n", &preference, &taken) != 1 || taken == 0 || preference > UINT16_MAX)
		return false;
	record->preference = (uint16_t)preference;
	return name_parse(data + taken, record);
}

static bool
data_parse(const char *data, uint16_t type, struct dns_record *record)
{
	switch (type) {
	case DNS_TYPE_A:
		return address_parse(AF_INET, data, record);
	case DNS_TYPE_AAAA:
		return address_parse(AF_INET6, data, record);
	case DNS_TYPE_MX:
		return mx_parse(data, record);
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		return name_parse(data, record);
	default: /* TXT, and others as they are in the file: nobody here reads them */
		return text_parse(data, record);
	}
}

static bool
error_parse(const char *data, enum dns_status *status)
{
	static const struct {
		const char *text;
		enum dns_status status;
	} errors[] = {
		{"!NXDOMAIN", DNS_STATUS_NAME_ERROR}, {"!SERVFAIL", DNS_STATUS_SERVER_FAILURE}, {"!TIMEOUT", DNS_STATUS_TIMEOUT},
		{"!NODATA", DNS_STATUS_OK}, {"!MALFORMED", DNS_STATUS_MALFORMED}, {"!TOOLARGE", DNS_STATUS_TOO_LARGE}, {"!BOGUS", DNS_STATUS_BOGUS},
	};

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
		if (strcmp(errors[i].text, data) == 0) {
			*status = errors[i].status;
			return true;
		}
	return false;
}

/* --- lines --- */

/* Cuts `text` at the next tab; NULL when there is none. Returns what follows. */
static char *
cut_at_tab(char *text)
{
	char *tab = strchr(text, '\t');

	if (tab == NULL)
		return NULL;
	*tab++ = '\0';
	return tab + strspn(tab, "\t");
}

static size_t
length_trimmed(const char *text)
{
	size_t length = strlen(text);

	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	return length;
}

/* NULL: fine; else what is wrong. */
static const char *
line_parse(char *text, struct zone_line *line)
{
	char *type = cut_at_tab(text);
	char *data = type != NULL ? cut_at_tab(type) : NULL;

	if (data == NULL)
		return "expected: name, tab, type, tab, data";
	/* A blank at the end would make another name that nobody asks for. */
	if (strchr(text, ' ') != NULL || !dns_name_from_text(text, &line->owner))
		return "bad name";
	line->type = strcmp(type, "*") == 0 ? TYPE_ANY : dns_type_parse(type);
	if (line->type == 0)
		return "unknown type";
	if (line->type != DNS_TYPE_TXT)
		data[length_trimmed(data)] = '\0';
	if (error_parse(data, &line->status)) {
		line->empty = line->status == DNS_STATUS_OK;
		return NULL;
	}
	if (line->type == TYPE_ANY)
		return "type * is for !NXDOMAIN, !SERVFAIL and the like";
	return data_parse(data, line->type, &line->record) ? NULL : "bad data for this type";
}

static void
zone_add(struct zone_file *zone, const struct zone_line *line)
{
	/* The room doubles whenever the count reaches a power of two. */
	if ((zone->count & (zone->count - 1)) == 0)
		zone->lines = memory_resize(zone->lines, zone->count == 0 ? 1 : 2 * zone->count, sizeof *zone->lines);
	zone->lines[zone->count++] = *line;
}

static const char *
zone_take_line(struct zone_file *zone, struct span text)
{
	struct zone_line line = {0};
	const char *problem;

	if (text.length > 0 && text.at[text.length - 1] == '\r')
		text.length--;
	if (text.length == 0 || text.at[0] == '#')
		return NULL;
	if (memchr(text.at, '\0', text.length) != NULL)
		return "NUL in the line";
	char *copy = memory_copy_text(text.at, text.length);
	problem = line_parse(copy, &line);
	memory_free(&copy);
	if (problem == NULL)
		zone_add(zone, &line);
	else
		memory_free(&line.record.data);
	return problem;
}

struct zone_file *
zone_file_parse(struct span text, struct buffer *problem)
{
	struct zone_file *zone = memory_new(sizeof *zone);
	const char *wrong = NULL;

	for (size_t number = 1; text.length > 0 && wrong == NULL; number++) {
		const char *end = memchr(text.at, '\n', text.length);
		size_t length = end != NULL ? (size_t)(end - text.at) : text.length;

		wrong = zone_take_line(zone, span_make(text.at, length));
		if (wrong != NULL)
			buffer_printf(problem, "line %zu: %s", number, wrong);
		length += end != NULL;
		text = span_make(text.at + length, text.length - length);
	}
	if (wrong != NULL)
		zone_file_free(&zone);
	return zone;
}

void
zone_file_free(struct zone_file **zone)
{
	if (*zone == NULL)
		return;
	for (size_t i = 0; i < (*zone)->count; i++)
		memory_free(&(*zone)->lines[i].record.data);
	memory_free(&(*zone)->lines);
	memory_free(zone);
}

/* --- answers --- */

/* One name and type: status, and the records into the answer when there are any. *alias: where a CNAME leads, or NULL. */
static enum dns_status
zone_look(const struct zone_file *zone, const struct dns_name *owner, uint16_t type, struct dns_answer *answer, const struct zone_line **alias)
{
	bool exists = false;

	*alias = NULL;
	for (size_t i = 0; i < zone->count; i++) {
		const struct zone_line *line = &zone->lines[i];

		if (!dns_name_equal(&line->owner, owner))
			continue;
		exists = true;
		if (line->empty)
			continue;
		if (line->status != DNS_STATUS_OK) {
			if (line->type == type || line->type == TYPE_ANY)
				return line->status;
		} else if (line->type == type && answer->count < DNS_ANSWER_RECORDS_MAX) {
			answer->records = memory_resize(answer->records, answer->count + 1, sizeof *answer->records);
			struct dns_record *record = &answer->records[answer->count++];
			*record = line->record;
			record->data = (uint8_t *)memory_copy_text((const char *)line->record.data, line->record.length);
		} else if (line->type == DNS_TYPE_CNAME) {
			*alias = line;
		}
	}
	return exists ? DNS_STATUS_OK : DNS_STATUS_NAME_ERROR;
}

void
zone_file_answer(const struct zone_file *zone, const char *name, uint16_t type, struct dns_answer *answer)
{
	const struct zone_line *alias;
	struct dns_name owner;
	enum dns_status status = DNS_STATUS_MALFORMED;

	dns_answer_init(answer, DNS_STATUS_OK, name, type);
	answer->ttl = TTL;
	if (dns_name_from_text(name, &owner)) {
		for (int i = 0; i <= CHAIN_MAX; i++) {
			status = zone_look(zone, &owner, type, answer, &alias);
			if (status != DNS_STATUS_OK || answer->count > 0 || alias == NULL)
				break;
			/* In the file as text, and good as such; the root is "" there. */
			if (alias->record.length == 0 || !dns_name_from_text((const char *)alias->record.data, &owner))
				break;
			status = DNS_STATUS_SERVER_FAILURE; /* unless the chain ends: what a resolver says of a circle */
		}
	}
	if (status == DNS_STATUS_OK)
		return;
	dns_answer_clear(answer);
	dns_answer_init(answer, status, name, type);
}

bool
zone_file_mentions(const struct zone_file *zone, const char *name, uint16_t type)
{
	struct dns_name owner;

	if (!dns_name_from_text(name, &owner))
		return false;
	for (size_t i = 0; i < zone->count; i++)
		if (zone->lines[i].type == type && dns_name_equal(&zone->lines[i].owner, &owner))
			return true;
	return false;
}
