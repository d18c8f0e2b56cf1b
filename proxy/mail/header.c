/* Finds header fields. Owns the array of fields, never the bytes. Lines end with CR LF and with nothing else: the line rules
 * of data_lines.h came before. */
#include "mail/header.h"

#include <string.h>

#include "base/memory.h"

enum line_kind {
	LINE_FIELD, /* starts a header field */
	LINE_CONTINUATION,
	LINE_EMPTY,
	LINE_OTHER, /* body without a separator */
	LINE_UNDECIDED, /* more bytes could make it something else */
};

struct line {
	enum line_kind kind;
	size_t name_length;
	size_t colon; /* from the line's start */
	size_t end; /* behind the CR LF, from the front of the message; 0: it is not in these bytes */
};

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* RFC 5322 2.2: printable ASCII but the colon. */
static bool
is_name_byte(char byte)
{
	return byte > ' ' && byte < 127 && byte != ':';
}

/* Behind the next CR LF at or behind `from`; 0 when there is none. */
static size_t
line_end(struct span bytes, size_t from)
{
	const char *found = from < bytes.length ? memmem(bytes.at + from, bytes.length - from, "\r\n", 2) : NULL;

	return found != NULL ? (size_t)(found - bytes.at) + 2 : 0;
}

/* A name, blanks perhaps (RFC 5322 4.5.8), a colon. `cut`: undecided where the bytes end. */
static enum line_kind
line_classify_name(struct span text, bool cut, struct line *line)
{
	size_t limit = text.length < HEADER_NAME_MAX ? text.length : HEADER_NAME_MAX;
	size_t at = 0;

	while (at < limit && is_name_byte(text.at[at]))
		at++;
	line->name_length = at;
	while (at < limit && is_blank(text.at[at]))
		at++;
	line->colon = at;
	if (at == text.length && at < HEADER_NAME_MAX)
		return cut ? LINE_UNDECIDED : LINE_OTHER;
	return at < limit && text.at[at] == ':' && line->name_length > 0 ? LINE_FIELD : LINE_OTHER;
}

static struct line
line_classify(struct span bytes, size_t start, bool whole)
{
	struct span text = {bytes.at + start, bytes.length - start};
	struct line line = {.kind = LINE_OTHER};

	if (text.length == 0) {
		line.kind = whole ? LINE_OTHER : LINE_UNDECIDED;
	} else if (is_blank(text.at[0])) {
		line.kind = LINE_CONTINUATION;
	} else if (text.at[0] == '\r') {
		if (text.length == 1 && !whole)
			line.kind = LINE_UNDECIDED;
		else if (text.length > 1 && text.at[1] == '\n')
			line.kind = LINE_EMPTY;
	} else {
		line.kind = line_classify_name(text, !whole, &line);
	}
	if (line.kind != LINE_OTHER && line.kind != LINE_UNDECIDED)
		line.end = line_end(bytes, start);
	return line;
}

static struct header_field *
block_add(struct header_block *block)
{
	/* The room doubles whenever the count reaches a power of two from 16 on. */
	if (block->count == 0 || (block->count >= 16 && (block->count & (block->count - 1)) == 0))
		block->fields = memory_resize(block->fields, block->count == 0 ? 16 : 2 * block->count, sizeof *block->fields);
	return &block->fields[block->count++];
}

/* Lengthens the last field to `end`, which is behind a CR LF or, for a message that stops in its header, the end of all. */
static void
field_set_end(struct header_block *block, struct span bytes, size_t end)
{
	struct header_field *field = &block->fields[block->count - 1];
	const char *stop = bytes.at + end;

	field->length = end - field->offset;
	if (stop - field->value.at >= 2 && stop[-2] == '\r' && stop[-1] == '\n')
		stop -= 2;
	field->value.length = (size_t)(stop - field->value.at);
}

static enum header_scan_result
block_scan(struct span bytes, bool whole, size_t bytes_limit, size_t count_limit, struct header_block *block)
{
	size_t at = 0;

	for (;;) {
		struct line line = line_classify(bytes, at, whole);
		size_t end = line.end != 0 ? line.end : bytes.length;

		if (line.kind == LINE_UNDECIDED)
			return HEADER_SCAN_INCOMPLETE;
		if (line.kind == LINE_CONTINUATION && block->count == 0)
			line.kind = LINE_OTHER;
		if (line.kind == LINE_OTHER || line.kind == LINE_EMPTY) {
			block->has_separator = line.kind == LINE_EMPTY;
			block->body_offset = block->has_separator ? at + 2 : at;
			return HEADER_SCAN_OK;
		}
		if (line.kind == LINE_FIELD && block->count == count_limit)
			return HEADER_SCAN_TOO_MANY;
		if (end > bytes_limit)
			return HEADER_SCAN_TOO_LONG;
		if (line.end == 0 && !whole)
			return HEADER_SCAN_INCOMPLETE;
		if (line.kind == LINE_FIELD)
			*block_add(block) = (struct header_field){
				.name = {bytes.at + at, line.name_length},
				.value = {bytes.at + at + line.colon + 1, 0},
				.offset = at,
			};
		field_set_end(block, bytes, end);
		at = end;
	}
}

enum header_scan_result
header_block_scan(struct span bytes, bool whole, size_t bytes_limit, size_t count_limit, struct header_block *block)
{
	enum header_scan_result result;

	*block = (struct header_block){0};
	if (bytes.length == 0)
		return whole ? HEADER_SCAN_OK : HEADER_SCAN_INCOMPLETE;
	result = block_scan(bytes, whole, bytes_limit, count_limit, block);
	if (result != HEADER_SCAN_OK)
		header_block_clear(block);
	return result;
}

void
header_block_clear(struct header_block *block)
{
	memory_free(&block->fields);
	*block = (struct header_block){0};
}

const struct header_field *
header_block_find(const struct header_block *block, const char *name)
{
	for (size_t i = 0; i < block->count; i++)
		if (span_is_nocase(block->fields[i].name, name))
			return &block->fields[i];
	return NULL;
}

size_t
header_block_count(const struct header_block *block, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < block->count; i++)
		if (span_is_nocase(block->fields[i].name, name))
			count++;
	return count;
}

char *
header_field_unfold(const struct header_field *field)
{
	struct span value = field->value;
	struct buffer text = {0};

	for (size_t i = 0; i < value.length; i++) {
		if (i + 2 < value.length && value.at[i] == '\r' && value.at[i + 1] == '\n' && is_blank(value.at[i + 2]))
			i++;
		else
			buffer_append_char(&text, value.at[i]);
	}
	while (text.length > 0 && is_blank(text.data[text.length - 1]))
		buffer_truncate(&text, text.length - 1);
	while (text.length > 0 && is_blank(text.data[0]))
		buffer_consume(&text, 1);
	return buffer_take_string(&text);
}
