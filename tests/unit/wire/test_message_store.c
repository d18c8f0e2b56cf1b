/* Message stores in all three places, what others get of them, and the totals they are counted in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "suite.h"
#include "wire/message_store.h"

struct place {
	struct shared_memory *shared;
	struct message_store_options options;
	char directory[64];
	int directory_descriptor;
};

static bool
take_spool_file(void *context, int *writer, int *reader)
{
	struct place *place = context;
	return spool_file_make(place->directory_descriptor, writer, reader);
}

static void
place_start(struct place *place, uint64_t memory_limit, uint64_t spool_limit)
{
	int descriptor;
	place->shared = shared_memory_new(&descriptor);
	close(descriptor);
	strcpy(place->directory, "/tmp/postern-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place->directory));
	place->options = (struct message_store_options){.shared = place->shared, .page = shared_memory_page(place->shared, 3),
	    .memory_limit = memory_limit, .spool_limit = spool_limit,
	    .spool = {take_spool_file, place}};
	place->directory_descriptor = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atomic_store(&place->options.page->process_id, 1);
}

static void
expect_gauges(struct place *place, uint64_t memory, uint64_t spool)
{
	ck_assert_uint_eq(shared_gauge_total(place->shared, GAUGE_MESSAGE_BYTES), memory);
	ck_assert_uint_eq(shared_gauge_total(place->shared, GAUGE_SPOOL_BYTES), spool);
}

/* Nothing is left: no bytes in the gauges, no file in the directory. */
static void
place_end(struct place *place)
{
	expect_gauges(place, 0, 0);
	close(place->directory_descriptor);
	ck_assert_int_eq(rmdir(place->directory), 0);
	shared_memory_free(&place->shared);
}

static char
byte_at(uint64_t offset)
{
	return (char)(offset * 31 + offset / 253);
}

static bool
append_pattern(struct message_store *store, size_t length, size_t piece)
{
	char *bytes = memory_new(piece);
	bool good = true;
	uint64_t start = message_store_length(store);
	for (uint64_t done = 0; done < length && good;) {
		size_t part = length - done < piece ? length - done : piece;
		for (size_t i = 0; i < part; i++)
			bytes[i] = byte_at(start + done + i);
		good = message_store_append(store, bytes, part);
		done += part;
	}
	memory_free(&bytes);
	return good;
}

static void
expect_bytes(const char *bytes, uint64_t length)
{
	uint64_t same = 0;
	while (same < length && bytes[same] == byte_at(same))
		same++;
	ck_assert_uint_eq(same, length);
}

static void
expect_pattern(struct message_store *store, uint64_t length)
{
	ck_assert_uint_eq(message_store_length(store), length);
	char *bytes = memory_new(length + 10);
	ck_assert_int_eq(message_store_read(store, 0, bytes, length + 10), (int64_t)length);
	expect_bytes(bytes, length);
	ck_assert_int_eq(message_store_read(store, length, bytes, 1), 0);
	ck_assert_int_eq(message_store_read(store, UINT64_MAX, bytes, 1), 0);
	if (length > 3) {
		ck_assert_int_eq(message_store_read(store, length - 3, bytes, 10), 3);
		ck_assert(bytes[0] == byte_at(length - 3));
	}
	struct span whole = message_store_map(store);
	if (whole.at != NULL) {
		ck_assert_uint_eq(whole.length, length);
		expect_bytes(whole.at, length);
	}
	memory_free(&bytes);
}

/* The message as another process would get it. */
static void
expect_receiver(struct message_store *store, uint64_t length, bool mapped)
{
	int descriptor = message_store_descriptor(store);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_ne(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(write(descriptor, "x", 1), -1);
	ck_assert_int_eq(pwrite(descriptor, "x", 1, 0), -1);
	ck_assert_int_eq(ftruncate(descriptor, (off_t)length + 1), -1);
	struct message_store *other = message_store_open(descriptor);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(message_store_map(other).at != NULL, mapped);
	expect_pattern(other, length);
	unsigned char ours[32], theirs[32];
	ck_assert(message_store_hash(store, ours));
	ck_assert(message_store_hash(other, theirs));
	ck_assert_mem_eq(ours, theirs, 32);
	int again = message_store_descriptor(other);
	ck_assert_int_ge(again, 0);
	close(again);
	message_store_free(&other);
	ck_assert_ptr_null(other);
}

START_TEST(all_sizes_in_memory)
{
	static const size_t sizes[] = {0, 1, 4, 65535, 65536, 65537, 131072, 131073, 1000000};
	static const size_t pieces[] = {1, 77, 4096, 65536, 65537, 300000};
	struct place place;
	place_start(&place, 1 << 30, 0);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
			struct message_store *store = message_store_new(&place.options);
			ck_assert(append_pattern(store, sizes[i], pieces[k]));
			expect_gauges(&place, sizes[i], 0);
			ck_assert(message_store_finish(store));
			expect_pattern(store, sizes[i]);
			ck_assert_ptr_nonnull(message_store_map(store).at);
			expect_receiver(store, sizes[i], true);
			expect_receiver(store, sizes[i], true);
			message_store_free(&store);
			expect_gauges(&place, 0, 0);
		}
	}
	place_end(&place);
}
END_TEST

START_TEST(beyond_the_memory_limit_it_spools)
{
	static const size_t sizes[] = {100, 65536, 65537, 400000};
	struct place place;
	place_start(&place, 0, 1 << 30);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct message_store *store = message_store_new(&place.options);
		ck_assert(append_pattern(store, sizes[i], 1000));
		expect_gauges(&place, 0, sizes[i]);
		ck_assert(message_store_finish(store));
		ck_assert_ptr_null(message_store_map(store).at);
		expect_pattern(store, sizes[i]);
		expect_receiver(store, sizes[i], false);
		message_store_free(&store);
	}
	place_end(&place);
}
END_TEST

START_TEST(moves_while_it_grows)
{
	static const size_t limits[] = {20000, 70000, 200000, 500000};
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		struct place place;
		place_start(&place, limits[i], 1 << 30);
		struct message_store *store = message_store_new(&place.options);
		ck_assert(append_pattern(store, limits[i] / 2, 999));
		expect_gauges(&place, limits[i] / 2, 0);
		ck_assert(append_pattern(store, 600000, 999));
		uint64_t length = 600000 + limits[i] / 2;
		expect_gauges(&place, 0, length);
		ck_assert(message_store_finish(store));
		expect_pattern(store, length);
		expect_receiver(store, length, false);
		message_store_free(&store);
		place_end(&place);
	}
}
END_TEST

START_TEST(other_processes_count)
{
	struct place place;
	place_start(&place, 1 << 20, 1 << 30);
	struct shared_page *other = shared_memory_page(place.shared, 9);
	atomic_store(&other->process_id, 2);
	shared_gauge_add(other, GAUGE_MESSAGE_BYTES, 1 << 20);
	struct message_store *store = message_store_new(&place.options);
	ck_assert(append_pattern(store, 10, 10));
	ck_assert_uint_eq(shared_gauge_total(place.shared, GAUGE_SPOOL_BYTES), 10);
	message_store_free(&store);
	shared_gauge_add(other, GAUGE_MESSAGE_BYTES, -(1 << 20));
	place_end(&place);
}
END_TEST

START_TEST(no_room)
{
	struct place place;
	place_start(&place, 100000, 300000);
	struct message_store *store = message_store_new(&place.options);
	ck_assert(!append_pattern(store, 1000000, 5000));
	ck_assert(!message_store_append(store, "x", 1)); /* stays failed */
	ck_assert(!message_store_finish(store));
	ck_assert_uint_le(message_store_length(store), 300000 + 65536);
	message_store_free(&store);
	place_end(&place);

	place_start(&place, 50000, 300000);
	place.options.spool.take = NULL; /* no spool configured */
	store = message_store_new(&place.options);
	ck_assert(!append_pattern(store, 200000, 5000));
	message_store_free(&store);
	place_end(&place);

	/* the disk takes no more: a limit on the size of files stands for it */
	place_start(&place, 0, 1 << 30);
	struct rlimit limit = {100000, 100000};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	store = message_store_new(&place.options);
	bool appended = append_pattern(store, 120000, 5000); /* may be noticed at the end only */
	ck_assert(!appended || !message_store_finish(store));
	message_store_free(&store);
	place_end(&place);
}
END_TEST

START_TEST(no_descriptor_left)
{
	struct place place;
	place_start(&place, 1 << 30, 1 << 30);
	struct rlimit limit, none;
	struct message_store *large = message_store_new(&place.options), *small = message_store_new(&place.options);
	ck_assert(append_pattern(small, 100, 100));
	ck_assert(message_store_finish(small));
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){3, limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	bool appended = append_pattern(large, 100000, 5000);
	int descriptor = message_store_descriptor(small);
	int error = errno;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert(!appended);
	ck_assert_int_eq(descriptor, -1);
	ck_assert_int_eq(error, EMFILE);
	expect_receiver(small, 100, true); /* later it works */
	message_store_free(&large);
	message_store_free(&small);
	place_end(&place);
}
END_TEST

START_TEST(spool_file_has_no_name)
{
	struct place place;
	place_start(&place, 0, 1 << 30);
	struct message_store *store = message_store_new(&place.options);
	ck_assert(append_pattern(store, 100000, 5000));
	DIR *directory = opendir(place.directory);
	int entries = 0;
	while (readdir(directory) != NULL)
		entries++;
	closedir(directory);
	ck_assert_int_eq(entries, 2); /* . and .. */
	message_store_free(&store);
	place_end(&place);
}
END_TEST

START_TEST(golden_hash)
{
	struct place place;
	place_start(&place, 1 << 20, 0);
	struct message_store *store = message_store_new(&place.options);
	unsigned char digest[32];
	static const unsigned char golden[] = { /* SHA-256 of "abc", FIPS 180-2 B.1 */
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	ck_assert(message_store_append(store, "ab", 2));
	ck_assert(message_store_append(store, "", 0));
	ck_assert(message_store_append(store, "c", 1));
	ck_assert(message_store_finish(store));
	ck_assert(message_store_hash(store, digest));
	ck_assert_mem_eq(digest, golden, 32);
	ck_assert(message_store_hash(store, digest));
	ck_assert_mem_eq(digest, golden, 32);
	message_store_free(&store);
	place_end(&place);
}
END_TEST

START_TEST(receiver_refuses_what_could_change)
{
	int descriptor = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(write(descriptor, "abc", 3), 3);
	ck_assert_ptr_null(message_store_open(dup(descriptor))); /* not sealed */
	fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK);
	ck_assert_ptr_null(message_store_open(dup(descriptor))); /* sealed against one thing only */
	fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE);
	struct message_store *store = message_store_open(descriptor);
	ck_assert_ptr_nonnull(store);
	ck_assert(span_is(message_store_map(store), "abc"));
	message_store_free(&store);
	int pipe_ends[2];
	ck_assert_int_eq(pipe(pipe_ends), 0);
	ck_assert_ptr_null(message_store_open(pipe_ends[0])); /* no file, though read-only */
	ck_assert_int_eq(fcntl(pipe_ends[0], F_GETFD), -1); /* taken: closed */
	close(pipe_ends[1]);
	FILE *file = tmpfile();
	ck_assert_ptr_null(message_store_open(dup(fileno(file)))); /* writable */
	fclose(file);
	ck_assert_ptr_null(message_store_open(-1));
}
END_TEST

/* A file that was cut off behind our back: an error, never a crash. */
START_TEST(cut_off_file_is_an_error)
{
	char name[] = "/tmp/postern-test-XXXXXX", bytes[100];
	int writer = mkstemp(name);
	ck_assert_int_eq(ftruncate(writer, 100), 0);
	struct message_store *store = message_store_open(open(name, O_RDONLY));
	unlink(name);
	ck_assert_ptr_nonnull(store);
	ck_assert_ptr_null(message_store_map(store).at);
	ck_assert_int_eq(ftruncate(writer, 10), 0);
	unsigned char digest[32];
	ck_assert_int_eq(message_store_read(store, 0, bytes, 100), -1);
	ck_assert(!message_store_hash(store, digest));
	close(writer);
	message_store_free(&store);
}
END_TEST

SUITE_MAIN("message_store", all_sizes_in_memory, beyond_the_memory_limit_it_spools, moves_while_it_grows, other_processes_count, no_room,
    no_descriptor_left, spool_file_has_no_name, golden_hash, receiver_refuses_what_could_change, cut_off_file_is_an_error)
