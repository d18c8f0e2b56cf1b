/* Edits from outside on a message from outside. Bytes: rules, length of the message, message, a frame of edits. What the check lets
 * through must come out as exactly the fields the overlay says, and the body as it was or as it was replaced: no edit can smuggle. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/edits_check.h"
#include "mail/overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct message_store *
store_of(struct span message)
{
	static struct message_store_options options = {.memory_limit = UINT64_MAX / 2};
	struct message_store *store;
	int descriptor;

	if (options.shared == NULL) {
		options.shared = shared_memory_new(&descriptor);
		close(descriptor);
		options.page = shared_memory_page(options.shared, 0);
	}
	store = message_store_new(&options);
	ASSERT(message_store_append(store, message.at, message.length) && message_store_finish(store));
	return store;
}

static void
check_round_trip(const struct edit_list *list)
{
	struct buffer first = {0}, second = {0};
	struct edit_list copy;
	struct frame_reader reader;

	edit_list_encode(list, &first);
	frame_reader_init(&reader, first.data, first.length);
	ASSERT(edit_list_decode(&reader, &copy) && frame_reader_finish(&reader));
	edit_list_encode(&copy, &second);
	ASSERT(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
	for (size_t i = 0; i < copy.count; i++)
		edit_append_text(&copy.edits[i], &first);
	edit_list_clear(&copy);
	buffer_free(&first);
	buffer_free(&second);
}

static void
check_view(const struct overlay *overlay, struct span message, const struct view *view)
{
	char *bytes = memory_new(view->length + 1);
	struct span all = span_make(bytes, view->length);
	const struct buffer *new_body = overlay->body != NULL ? &overlay->body->body : NULL;
	size_t body_length = new_body != NULL ? new_body->length : message.length - overlay->headers->body_offset;
	const char *body = new_body != NULL ? new_body->data : message.at + overlay->headers->body_offset;
	struct header_block block;

	ASSERT(view_read(view, 0, bytes, view->length) == (int64_t)view->length);
	ASSERT(header_block_scan(all, true, SIZE_MAX, SIZE_MAX, &block) == HEADER_SCAN_OK);
	ASSERT(block.count == overlay->count + 1);
	for (size_t i = 0; i < overlay->count; i++) {
		ASSERT(span_equals(block.fields[i + 1].name, overlay->fields[i].name));
		ASSERT(span_equals(block.fields[i + 1].value, overlay->fields[i].value));
	}
	ASSERT(all.length - block.body_offset == body_length);
	ASSERT(body_length == 0 || memcmp(bytes + block.body_offset, body, body_length) == 0);
	header_block_clear(&block);
	memory_free(&bytes);
}

static void
check_overlay(const struct edit_list *edits, struct span message)
{
	struct span stamp = span_of("R: 0\r\n");
	struct message_store *store = store_of(message);
	struct header_block headers;
	struct overlay overlay;
	struct view view;
	struct envelope from = {0}, to = {0};

	if (header_block_scan(message, true, SIZE_MAX, SIZE_MAX, &headers) == HEADER_SCAN_OK) {
		overlay_build(&overlay, &headers, edits);
		overlay_make_view(&overlay, store, &stamp, 1, false, &view);
		check_view(&overlay, message, &view);
		view_clear(&view);
		overlay_clear(&overlay);
	}
	envelope_add_recipient(&from, "a@b", "b");
	overlay_envelope(&from, edits, &to);
	envelope_clear(&from);
	envelope_clear(&to);
	header_block_clear(&headers);
	message_store_free(&store);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct edit_list given, edits = {0};
	struct frame_reader reader;

	if (size < 2 || size - 2 < data[1])
		return 0;
	struct edit_rules rules = {.smtputf8 = data[0] & 1, .eight_bit_headers = data[0] & 2, .long_lines = data[0] & 4};
	char *message = memory_copy_text((const char *)data + 2, data[1]);
	frame_reader_init(&reader, data + 2 + data[1], size - 2 - data[1]);
	if (edit_list_decode(&reader, &given)) {
		check_round_trip(&given);
		if (edit_list_accept(&edits, &given, &rules, NULL) == EDIT_OK) {
			check_round_trip(&edits);
			check_overlay(&edits, span_make(message, data[1]));
		}
		edit_list_clear(&edits);
	}
	memory_free(&message);
	return 0;
}
