/* The bytes of one message, from the first append to the last reader. See the header for the three places they can be in.
 *
 * Bytes that go to a descriptor are collected to pieces of 64 KiB first: the decoder of DATA hands over single lines. Owns its
 * descriptors, its mapping and its share of the two gauges; never shows bytes that could still change. */
#include "wire/message_store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"

#define STORE_MAGIC 0x4d455353u
#define STORE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
#define DIGEST_SIZE 32
#define CHECK_EVERY (16u << 10) /* bytes between two looks at the totals: what each message may overshoot by */

enum store_place {
	PLACE_MEMORY, /* all bytes in `pending` */
	PLACE_SEALED, /* a memfd */
	PLACE_SPOOL, /* an unlinked file: only pread */
};

struct message_store {
	uint32_t magic;
	const struct message_store_options *options; /* NULL on the receiver's side */
	enum store_place place;
	bool failed;
	bool finished;
	bool hashed;
	uint64_t length;
	uint64_t counted; /* our bytes in the gauge of this place */
	uint64_t checked; /* length at which the totals are looked at again */
	struct buffer pending; /* everything, or what is not in the descriptor yet */
	int writer; /* while bytes are appended; -1 */
	int reader; /* -1 */
	void *mapping;
	unsigned char digest[DIGEST_SIZE];
};

static struct message_store *
make(const struct message_store_options *options)
{
	struct message_store *store = memory_new(sizeof *store);
	store->magic = STORE_MAGIC;
	store->options = options;
	store->writer = -1;
	store->reader = -1;
	return store;
}

struct message_store *
message_store_new(const struct message_store_options *options)
{
	return make(options);
}

static void
close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

/* Our bytes in the totals, in the gauge of the place they are in. */
static void
count_bytes(struct message_store *store, int64_t by)
{
	store->counted += (uint64_t)by;
	if (store->options != NULL && store->options->page != NULL)
		shared_gauge_add(store->options->page, store->place == PLACE_SPOOL ? GAUGE_SPOOL_BYTES : GAUGE_MESSAGE_BYTES, by);
}

void
message_store_free(struct message_store **store_address)
{
	struct message_store *store = *store_address;
	if (store == NULL)
		return;
	CHECK_MAGIC(store, STORE_MAGIC);
	*store_address = NULL;
	count_bytes(store, -(int64_t)store->counted);
	if (store->mapping != NULL)
		munmap(store->mapping, store->length);
	close_descriptor(&store->writer);
	close_descriptor(&store->reader);
	buffer_free(&store->pending);
	store->magic = 0;
	memory_free(&store);
}

static bool
write_all(int descriptor, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(descriptor, bytes, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		bytes += written;
		length -= (size_t)written;
	}
	return true;
}

static bool
flush_pending(struct message_store *store)
{
	bool written = write_all(store->writer, store->pending.data, store->pending.length);
	buffer_clear(&store->pending);
	return written;
}

static int
make_memory_file(void)
{
	return memfd_create("postern-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static bool
copy_file(int from, int to, uint64_t length)
{
	char *block = memory_new(MESSAGE_STORE_SMALL);
	uint64_t offset = 0;
	while (offset < length) {
		ssize_t got = pread(from, block, MESSAGE_STORE_SMALL, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || !write_all(to, block, (size_t)got))
			break;
		offset += (uint64_t)got;
	}
	memory_free(&block);
	return offset == length;
}

/* Memory is full: the message goes on in a spool file, what there is of it too. */
static bool
move_to_spool(struct message_store *store)
{
	int memory_file = store->writer;
	store->writer = -1;
	bool moved = store->options->spool.take != NULL &&
	    store->options->spool.take(store->options->spool.context, &store->writer, &store->reader) &&
	    (memory_file < 0 || copy_file(memory_file, store->writer, store->length - store->pending.length));
	close_descriptor(&memory_file);
	if (!moved)
		return false;
	uint64_t counted = store->counted;
	count_bytes(store, -(int64_t)counted);
	store->place = PLACE_SPOOL;
	count_bytes(store, (int64_t)counted);
	return true;
}

/* Is there room for `length` more bytes? Looks at the totals at the first byte and then now and again: the sum over all
 * processes costs more than a small append. */
static bool
find_room(struct message_store *store, size_t length)
{
	const struct message_store_options *options = store->options;
	if (options->shared == NULL || store->length + length <= store->checked)
		return true;
	store->checked = store->length + length + CHECK_EVERY;
	if (store->place != PLACE_SPOOL && shared_gauge_total(options->shared, GAUGE_MESSAGE_BYTES) + length > options->memory_limit &&
	    !move_to_spool(store))
		return false;
	return store->place != PLACE_SPOOL || shared_gauge_total(options->shared, GAUGE_SPOOL_BYTES) + length <= options->spool_limit;
}

static bool
append(struct message_store *store, const void *bytes, size_t length)
{
	if (!find_room(store, length))
		return false;
	if (store->pending.length + length > MESSAGE_STORE_SMALL) {
		if (store->place == PLACE_MEMORY) {
			store->place = PLACE_SEALED; /* the same gauge */
			store->writer = make_memory_file();
		}
		if (store->writer < 0 || !flush_pending(store))
			return false;
	}
	if (length >= MESSAGE_STORE_SMALL && store->place != PLACE_MEMORY) {
		if (!write_all(store->writer, bytes, length))
			return false;
	} else {
		buffer_append(&store->pending, bytes, length);
	}
	store->length += length;
	count_bytes(store, (int64_t)length);
	return true;
}

bool
message_store_append(struct message_store *store, const void *bytes, size_t length)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(!store->finished && store->options != NULL);
	if (length > 0 && !store->failed && !append(store, bytes, length))
		store->failed = true;
	return !store->failed;
}

static bool
finish(struct message_store *store)
{
	if (store->place == PLACE_MEMORY)
		return true;
	if (!flush_pending(store))
		return false;
	buffer_free(&store->pending);
	if (store->place == PLACE_SPOOL) {
		close_descriptor(&store->writer);
		return true;
	}
	store->reader = store->writer;
	store->writer = -1;
	return fcntl(store->reader, F_ADD_SEALS, STORE_SEALS) == 0;
}

bool
message_store_finish(struct message_store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(!store->finished);
	if (store->failed || !finish(store)) {
		store->failed = true;
		return false;
	}
	store->finished = true;
	return true;
}

uint64_t
message_store_length(const struct message_store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	return store->length;
}

int64_t
message_store_read(struct message_store *store, uint64_t offset, void *bytes, size_t length)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(store->finished);
	if (offset >= store->length)
		return 0;
	if (length > store->length - offset)
		length = store->length - offset;
	if (store->place == PLACE_MEMORY) {
		memcpy(bytes, store->pending.data + offset, length);
		return (int64_t)length;
	}
	size_t done = 0;
	while (done < length) {
		ssize_t got = pread(store->reader, (char *)bytes + done, length - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1; /* an end before the known length is an error too */
		done += (size_t)got;
	}
	return (int64_t)done;
}

struct span
message_store_map(struct message_store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(store->finished);
	if (store->place == PLACE_SPOOL)
		return span_make(NULL, 0);
	if (store->length == 0)
		return span_make("", 0);
	if (store->place == PLACE_MEMORY)
		return span_make(store->pending.data, store->length);
	if (store->mapping == NULL) {
		/* Private: a shared mapping of a file sealed against writing is refused. */
		void *mapping = mmap(NULL, store->length, PROT_READ, MAP_PRIVATE, store->reader, 0);
		if (mapping == MAP_FAILED)
			return span_make(NULL, 0);
		store->mapping = mapping;
	}
	return span_make(store->mapping, store->length);
}

/* A small message gets a sealed memfd only when somebody else wants to read it. */
static bool
publish(struct message_store *store)
{
	int descriptor = make_memory_file();
	if (descriptor < 0)
		return false;
	if (!write_all(descriptor, store->pending.data, store->pending.length) || fcntl(descriptor, F_ADD_SEALS, STORE_SEALS) < 0) {
		int error = errno;
		close(descriptor);
		errno = error;
		return false;
	}
	store->reader = descriptor;
	return true;
}

int
message_store_descriptor(struct message_store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(store->finished);
	if (store->reader < 0 && !publish(store))
		return -1;
	return fcntl(store->reader, F_DUPFD_CLOEXEC, 3);
}

static bool
compute_hash(struct message_store *store, EVP_MD_CTX *hashing, char *block)
{
	struct span whole = message_store_map(store);
	if (EVP_DigestInit_ex(hashing, EVP_sha256(), NULL) != 1)
		return false;
	if (whole.at != NULL)
		return EVP_DigestUpdate(hashing, whole.at, whole.length) == 1 && EVP_DigestFinal_ex(hashing, store->digest, NULL) == 1;
	for (uint64_t offset = 0; offset < store->length;) {
		int64_t got = message_store_read(store, offset, block, MESSAGE_STORE_SMALL);
		if (got <= 0 || EVP_DigestUpdate(hashing, block, (size_t)got) != 1)
			return false;
		offset += (uint64_t)got;
	}
	return EVP_DigestFinal_ex(hashing, store->digest, NULL) == 1;
}

bool
message_store_hash(struct message_store *store, unsigned char *digest)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	ASSERT(store->finished);
	if (!store->hashed) {
		EVP_MD_CTX *hashing = EVP_MD_CTX_new();
		char *block = memory_new(MESSAGE_STORE_SMALL);
		store->hashed = hashing != NULL && compute_hash(store, hashing, block);
		memory_free(&block);
		EVP_MD_CTX_free(hashing);
	}
	if (store->hashed)
		memcpy(digest, store->digest, DIGEST_SIZE);
	return store->hashed;
}

struct message_store *
message_store_open(int descriptor)
{
	struct stat status;
	int seals = fcntl(descriptor, F_GET_SEALS);
	int flags = fcntl(descriptor, F_GETFL);
	bool is_file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
	bool sealed = seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && (seals & F_SEAL_WRITE) != 0;
	bool read_only = flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;
	if (!is_file || (!sealed && !read_only)) {
		close(descriptor);
		return NULL;
	}
	struct message_store *store = make(NULL);
	store->place = sealed ? PLACE_SEALED : PLACE_SPOOL;
	store->length = (uint64_t)status.st_size;
	store->reader = descriptor;
	store->finished = true;
	return store;
}
