/* Views over real message stores: in memory, in a sealed memfd, in a spool file. */
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "mail/view.h"
#include "wire/shared_memory.h"

struct fixture {
	struct message_store_options options;
	struct message_store *store;
	struct buffer bytes; /* what is in the store */
	char directory[64];
	int directory_descriptor;
};

static bool
take_spool_file(void *context, int *writer, int *reader)
{
	struct fixture *fixture = context;

	return spool_file_make(fixture->directory_descriptor, writer, reader);
}

/* memory_limit 0 sends a message that is not small to a spool file. */
static void
fixture_make(struct fixture *fixture, size_t length, uint64_t memory_limit)
{
	int descriptor;

	memset(fixture, 0, sizeof *fixture);
	snprintf(fixture->directory, sizeof fixture->directory, "/tmp/test-view-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fixture->directory));
	fixture->options.shared = shared_memory_new(&descriptor);
	close(descriptor);
	fixture->options.page = shared_memory_page(fixture->options.shared, 0);
	fixture->options.memory_limit = memory_limit;
	fixture->options.spool_limit = UINT64_MAX / 2;
	fixture->options.spool = (struct spool_source){take_spool_file, fixture};
	fixture->directory_descriptor = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture->store = message_store_new(&fixture->options);
	while (fixture->bytes.length < length)
		buffer_printf(&fixture->bytes, "line at %zu\r\n", fixture->bytes.length);
	ck_assert(message_store_append(fixture->store, fixture->bytes.data, fixture->bytes.length));
	ck_assert(message_store_finish(fixture->store));
}

static void
fixture_free(struct fixture *fixture)
{
	message_store_free(&fixture->store);
	close(fixture->directory_descriptor);
	rmdir(fixture->directory);
	shared_memory_free(&fixture->options.shared);
	buffer_free(&fixture->bytes);
}

/* Reads the whole view in pieces of `step` and compares. */
static void
check_view(const struct view *view, const struct buffer *expected, size_t step)
{
	char *piece = malloc(step);
	uint64_t offset = 0;

	ck_assert_uint_eq(view->length, expected->length);
	for (;;) {
		int64_t got = view_read(view, offset, piece, step);
		uint64_t left = expected->length - offset;

		ck_assert_int_eq(got, (int64_t)(left < step ? left : step));
		if (got == 0)
			break;
		ck_assert_mem_eq(piece, expected->data + offset, (size_t)got);
		offset += (uint64_t)got;
	}
	free(piece);
}

static void
check_store(size_t length, uint64_t memory_limit, bool mapped)
{
	struct fixture fixture;
	struct buffer expected = {0};
	struct view view, copy;
	size_t total;

	fixture_make(&fixture, length, memory_limit);
	total = fixture.bytes.length;
	ck_assert_int_eq(message_store_map(fixture.store).at != NULL, mapped);
	view_init(&view, fixture.store);
	view_add_text(&view, span_of("Return-Path: <>\r\n"));
	view_add_text(&view, span_of("Received: x\r\n"));
	view_add_range(&view, 0, 20);
	view_add_range(&view, 30, 0);
	view_add_text(&view, span_of(""));
	view_add_range(&view, 40, total - 40);
	buffer_append_string(&expected, "Return-Path: <>\r\nReceived: x\r\n");
	buffer_append(&expected, fixture.bytes.data, 20);
	buffer_append(&expected, fixture.bytes.data + 40, total - 40);
	check_view(&view, &expected, 7);
	check_view(&view, &expected, 4096);
	check_view(&view, &expected, 1 << 20);
	ck_assert(!view.has_dot_lines);
	ck_assert_int_eq(view_read(&view, expected.length + 5, fixture.directory, 1), 0);

	view_copy_without_segment(&view, 0, &copy);
	ck_assert_uint_eq(copy.count, view.count - 1);
	view_clear(&view);
	buffer_consume(&expected, strlen("Return-Path: <>\r\n"));
	check_view(&copy, &expected, 1000);
	view_clear(&copy);
	ck_assert_uint_eq(copy.count, 0);
	buffer_free(&expected);
	fixture_free(&fixture);
}

START_TEST(small_in_memory) { check_store(2000, UINT64_MAX / 2, true); } END_TEST
START_TEST(large_in_memfd) { check_store(3 * MESSAGE_STORE_SMALL, UINT64_MAX / 2, true); } END_TEST
START_TEST(large_in_spool) { check_store(3 * MESSAGE_STORE_SMALL, 0, false); } END_TEST

START_TEST(dot_lines)
{
	struct fixture fixture;
	struct view view, copy;

	fixture_make(&fixture, 100, UINT64_MAX / 2);
	view_init(&view, fixture.store);
	view_add_text(&view, span_of("a.b\r\n"));
	ck_assert(!view.has_dot_lines);
	view_add_text(&view, span_of("a\r\n.b\r\n"));
	ck_assert(view.has_dot_lines);
	view_copy_without_segment(&view, 0, &copy);
	ck_assert(copy.has_dot_lines);
	view_clear(&copy);
	view_clear(&view);
	ck_assert(!view.has_dot_lines);
	fixture_free(&fixture);
}
END_TEST

START_TEST(many_segments)
{
	struct fixture fixture;
	struct buffer expected = {0};
	struct view view;

	fixture_make(&fixture, 1000, UINT64_MAX / 2);
	view_init(&view, fixture.store);
	for (uint64_t i = 0; i < 300; i++) {
		view_add_text(&view, span_of("x"));
		view_add_range(&view, i, 2);
		buffer_append_char(&expected, 'x');
		buffer_append(&expected, fixture.bytes.data + i, 2);
	}
	check_view(&view, &expected, 5);
	view_clear(&view);
	buffer_free(&expected);
	fixture_free(&fixture);
}
END_TEST

SUITE_MAIN("view", small_in_memory, large_in_memfd, large_in_spool, dot_lines, many_segments)
