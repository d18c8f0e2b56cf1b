/* Header scanning: the fields tile the header block exactly, every span is in range, and a cut-off front of a message never
 * says anything else than the whole, but "more". */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/header.h"

static bool
is_inside(struct span span, struct span outer)
{
	return span.at >= outer.at && span.at + span.length <= outer.at + outer.length;
}

static void
check_block(const struct header_block *block, struct span bytes)
{
	size_t at = 0;

	for (size_t i = 0; i < block->count; i++) {
		const struct header_field *field = &block->fields[i];
		struct span whole = {bytes.at + at, field->length};
		char *value = header_field_unfold(field);

		ASSERT(field->offset == at && field->length >= 2);
		ASSERT(is_inside(whole, bytes) && is_inside(field->value, whole));
		ASSERT(field->name.at == whole.at && field->name.length > 0 && field->name.length < field->length);
		ASSERT(field->value.at > field->name.at + field->name.length - 1 && field->value.at[-1] == ':');
		ASSERT(memchr(field->name.at, ':', field->name.length) == NULL);
		ASSERT(strlen(value) <= field->value.length);
		memory_free(&value);
		at += field->length;
	}
	if (block->has_separator) {
		ASSERT(bytes.length - at >= 2 && memcmp(bytes.at + at, "\r\n", 2) == 0);
		at += 2;
	}
	ASSERT(block->body_offset == at && at <= bytes.length);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct header_block whole, part;

	if (size < 3)
		return 0;
	size_t bytes_limit = data[0] < 128 ? SIZE_MAX : data[0];
	size_t count_limit = data[1];
	size_t cut = data[2] * (size - 3) / 255;
	struct span bytes = {memory_copy_text((const char *)data + 3, size - 3), size - 3};
	char *front = memory_copy_text(bytes.at, cut);
	enum header_scan_result result = header_block_scan(bytes, true, bytes_limit, count_limit, &whole);
	enum header_scan_result front_result = header_block_scan(span_make(front, cut), false, bytes_limit, count_limit, &part);

	ASSERT(result != HEADER_SCAN_INCOMPLETE);
	if (result == HEADER_SCAN_OK)
		check_block(&whole, bytes);
	ASSERT(whole.count <= count_limit);
	if (front_result != HEADER_SCAN_INCOMPLETE) {
		ASSERT(front_result == result && part.count == whole.count);
		ASSERT(part.body_offset == whole.body_offset && part.has_separator == whole.has_separator);
	}
	header_block_clear(&whole);
	header_block_clear(&part);
	memory_free_block((char *)bytes.at);
	memory_free(&front);
	return 0;
}
