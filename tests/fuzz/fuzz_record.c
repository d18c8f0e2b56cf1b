/* Records as they come from another process or from the disk. What decodes must encode to something that decodes to the same,
 * its story must be walked to an end, and its log line must be one line of printable text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "journal/record.h"
#include "journal/store_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(const struct record *record, enum log_format format)
{
	struct buffer line = {0};

	record_format_line(record, format, &line);
	for (size_t i = 0; i < line.length; i++)
		ASSERT((unsigned char)line.data[i] >= ' ' && line.data[i] != 0x7f);
	buffer_free(&line);
}

static void
check_again(const struct record *record)
{
	struct buffer first = {0}, second = {0};
	struct frame_reader reader;
	struct record copy;

	record_encode(record, true, &first);
	frame_reader_init(&reader, first.data, first.length);
	ASSERT(record_decode(&reader, &copy) && frame_reader_finish(&reader));
	record_encode(&copy, true, &second);
	ASSERT(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
	record_clear(&copy);
	buffer_free(&first);
	buffer_free(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	struct record record;
	size_t offset = 0;
	int64_t at_us;
	enum record_event_kind kind;
	struct span text;

	if (store_unpack(span_make((const char *)data, size), &record) == NULL)
		record_clear(&record);
	frame_reader_init(&reader, data, size);
	if (!record_decode(&reader, &record))
		return 0;
	while (record_story_next(span_make(record.story.data, record.story.length), &offset, &at_us, &kind, &text))
		ASSERT(kind < RECORD_EVENT_COUNT && offset <= record.story.length);
	check_line(&record, LOG_FORMAT_TEXT);
	check_line(&record, LOG_FORMAT_JSON);
	check_again(&record);
	record_clear(&record);
	return 0;
}
