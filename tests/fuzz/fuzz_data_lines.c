/* Data lines: any split gives the same output and state; what comes out has only CR LF line ends; stuffing undoes unstuffing;
 * DATA ends at the first CR LF . CR LF and nowhere else. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "mail/data_lines.h"

/* The input cut in pieces of 1 to `step` bytes; whole when step is 0. Returns the bytes taken. */
static size_t
feed(struct data_lines *lines, const char *bytes, size_t length, size_t step, struct buffer *out, bool *ended)
{
	size_t at = 0;

	*ended = false;
	for (size_t i = 0; at < length && !*ended; i++) {
		size_t part = step == 0 ? length : 1 + (i * 7 + (unsigned char)bytes[at]) % step;

		if (part > length - at)
			part = length - at;
		char *copy = memcpy(malloc(part), bytes + at, part);
		at += data_lines_take(lines, copy, part, out, ended);
		free(copy);
	}
	return at;
}

/* Where DATA must end, found without a state machine. */
static size_t
true_end(const char *bytes, size_t length)
{
	const char *found;

	if (length >= 3 && memcmp(bytes, ".\r\n", 3) == 0)
		return 3;
	found = memmem(bytes, length, "\r\n.\r\n", 5);
	return found != NULL ? (size_t)(found - bytes) + 5 : length;
}

static void
check_same(const struct data_lines *a, const struct data_lines *b)
{
	ASSERT(a->fault == b->fault && a->fault_line == b->fault_line && a->normalised == b->normalised);
	ASSERT(a->eight_bit == b->eight_bit && a->starts_with_dot == b->starts_with_dot && a->mbox_line_removed == b->mbox_line_removed);
	ASSERT(a->state == b->state && a->line == b->line && a->column == b->column && a->matched == b->matched && a->skipping == b->skipping);
}

static void
check_output_clean(const struct buffer *out)
{
	for (size_t i = 0; i < out->length; i++) {
		ASSERT(out->data[i] != '\0');
		ASSERT(out->data[i] != '\n' || (i > 0 && out->data[i - 1] == '\r'));
		ASSERT(out->data[i] != '\r' || i + 1 == out->length || out->data[i + 1] == '\n');
	}
}

/* `message` was fine; it goes out stuffed and must come in again as it was. */
static void
check_round_trip(const struct buffer *message, bool starts_with_dot)
{
	struct data_lines lines;
	struct buffer stuffed = {0}, again = {0};
	bool at_line_start = true, ended;

	if (message->length >= 5 && memcmp(message->data, "From ", 5) == 0)
		return;
	data_lines_stuff(span_make(message->data, message->length), &at_line_start, &stuffed);
	ASSERT(starts_with_dot || stuffed.length == message->length);
	ASSERT(at_line_start);
	buffer_append_string(&stuffed, ".\r\n");
	data_lines_init(&lines, DATA_LINES_DATA, false, UINT64_MAX);
	ASSERT(data_lines_take(&lines, stuffed.data, stuffed.length, &again, &ended) == stuffed.length);
	ASSERT(ended && lines.fault == DATA_LINES_FINE);
	ASSERT(again.length == message->length && (again.length == 0 || memcmp(again.data, message->data, again.length) == 0));
	buffer_free(&stuffed);
	buffer_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct data_lines whole, parts;
	struct buffer whole_out = {0}, parts_out = {0};
	bool whole_ended, parts_ended;

	if (size < 2)
		return 0;
	enum data_lines_mode mode = data[0] & 1 ? DATA_LINES_BDAT : DATA_LINES_DATA;
	uint64_t limit = data[0] & 4 ? data[1] : 1000;
	const char *bytes = (const char *)data + 2;

	size -= 2;
	data_lines_init(&whole, mode, data[0] & 2, limit);
	data_lines_init(&parts, mode, data[0] & 2, limit);
	size_t taken = feed(&whole, bytes, size, 0, &whole_out, &whole_ended);

	ASSERT(taken == feed(&parts, bytes, size, 1 + (data[0] >> 3), &parts_out, &parts_ended));
	ASSERT(taken == (mode == DATA_LINES_DATA ? true_end(bytes, size) : size));
	if (mode == DATA_LINES_BDAT) {
		data_lines_end(&whole, &whole_out);
		data_lines_end(&parts, &parts_out);
		if (data_lines_needs_final_crlf(&whole))
			buffer_append_string(&whole_out, "\r\n");
		if (data_lines_needs_final_crlf(&parts))
			buffer_append_string(&parts_out, "\r\n");
	}
	ASSERT(whole_ended == parts_ended);
	check_same(&whole, &parts);
	ASSERT(whole_out.length == parts_out.length);
	ASSERT(whole_out.length == 0 || memcmp(whole_out.data, parts_out.data, whole_out.length) == 0);
	check_output_clean(&whole_out);
	if (whole.fault == DATA_LINES_FINE && (whole_ended || mode == DATA_LINES_BDAT))
		check_round_trip(&whole_out, whole.starts_with_dot);
	buffer_free(&whole_out);
	buffer_free(&parts_out);
	return 0;
}
