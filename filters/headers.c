/* Reads the front of a message until its header block is whole. */
#include "filters/headers.h"

#include <string.h>

#include "base/memory.h"

#define FIRST_READ (64u << 10)
#define BEYOND_HEADERS 2048 /* the empty line, or the line that shows that the block has ended */

/* Reads more of the front into `headers`, up to `length` bytes in all. */
static bool
front_extend(struct message_store *message, struct message_headers *headers, size_t *have, size_t length)
{
	headers->front = memory_resize(headers->front, length + 1, 1);
	while (*have < length) {
		int64_t got = message_store_read(message, *have, headers->front + *have, length - *have);

		if (got <= 0)
			return false;
		*have += (size_t)got;
	}
	return true;
}

static enum header_scan_result
scan_by_reading(struct message_store *message, uint64_t bytes_limit, uint32_t count_limit, struct message_headers *headers)
{
	const uint64_t total = message_store_length(message);
	const uint64_t most = bytes_limit + BEYOND_HEADERS < total ? bytes_limit + BEYOND_HEADERS : total;
	enum header_scan_result result = HEADER_SCAN_INCOMPLETE;
	uint64_t want = FIRST_READ / 4;
	size_t have = 0;

	do {
		want = want * 4 < most ? want * 4 : most;
		if (!front_extend(message, headers, &have, (size_t)want))
			return HEADER_SCAN_INCOMPLETE;
		result = header_block_scan(span_make(headers->front, have), have == total, bytes_limit, count_limit, &headers->block);
	} while (result == HEADER_SCAN_INCOMPLETE && want < most);
	/* All that the limit allows was there. */
	return result == HEADER_SCAN_INCOMPLETE ? HEADER_SCAN_TOO_LONG : result;
}

enum header_scan_result
message_headers_read(struct message_store *message, uint64_t bytes_limit, uint32_t count_limit, struct message_headers *headers)
{
	struct span all = message_store_map(message);

	*headers = (struct message_headers){0};
	if (all.at != NULL)
		return header_block_scan(all, true, bytes_limit, count_limit, &headers->block);
	return scan_by_reading(message, bytes_limit, count_limit, headers);
}

void
message_headers_clear(struct message_headers *headers)
{
	header_block_clear(&headers->block);
	memory_free(&headers->front);
}

static bool
has_eight_bit(struct span value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.at[i] > 127)
			return true;
	return false;
}

/* `length` counts the name and the colon in the value's first line. */
static bool
has_long_line(struct span value, size_t length)
{
	while (value.length > 0) {
		const char *end = memchr(value.at, '\n', value.length);
		size_t line = end != NULL ? (size_t)(end - value.at) + 1 : value.length;

		/* With its CR LF, when it has one. */
		if (length + line > EDIT_LINE_MAX + (end != NULL ? 2u : 0u))
			return true;
		value = span_make(value.at + line, value.length - line);
		length = 0;
	}
	return false;
}

struct edit_rules
message_edit_rules(const struct header_block *block, bool smtputf8)
{
	struct edit_rules rules = {.smtputf8 = smtputf8};

	for (size_t i = 0; block != NULL && i < block->count; i++) {
		const struct header_field *field = &block->fields[i];

		rules.eight_bit_headers = rules.eight_bit_headers || has_eight_bit(field->value);
		rules.long_lines = rules.long_lines || has_long_line(field->value, field->name.length + 1);
	}
	return rules;
}
