/* The pages all processes share: mapping, sums over pages, the table of client addresses, the messages in flight.
 * Each page has one writer; the others read what may change under them, so every loop here is bounded. */
#include "wire/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#define MACHINE_PAGE 4096u
/* Whole machine pages, so that an unused table costs no memory and a retired page can be given back. */
#define STRIDE ((sizeof(struct shared_page) + MACHINE_PAGE - 1) / MACHINE_PAGE * MACHINE_PAGE)
#define MEMORY_SIZE (STRIDE * SHARED_SLOTS)
#define ADDRESS_PROBES 64

struct shared_memory {
	char *pages;
};

static struct shared_memory *
map_pages(int descriptor)
{
	struct shared_memory *memory = memory_new(sizeof *memory);
	memory->pages = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	if (memory->pages == MAP_FAILED)
		fatal("cannot map the shared memory: %s", strerror(errno));
	return memory;
}

struct shared_memory *
shared_memory_new(int *descriptor)
{
	*descriptor = memfd_create("postern-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*descriptor < 0 || ftruncate(*descriptor, (off_t)MEMORY_SIZE) < 0)
		fatal("cannot make the shared memory: %s", strerror(errno));
	/* Nobody may cut it off under the feet of the others (SIGBUS). */
	if (fcntl(*descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		fatal("cannot seal the shared memory: %s", strerror(errno));
	return map_pages(*descriptor);
}

struct shared_memory *
shared_memory_map(int descriptor)
{
	struct stat status;
	int seals = fcntl(descriptor, F_GET_SEALS);
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(descriptor, &status) < 0 || (size_t)status.st_size != MEMORY_SIZE)
		fatal("the shared memory handed over is not ours");
	struct shared_memory *memory = map_pages(descriptor);
	close(descriptor);
	return memory;
}

void
shared_memory_free(struct shared_memory **memory)
{
	if (*memory == NULL)
		return;
	munmap((*memory)->pages, MEMORY_SIZE);
	memory_free(memory);
}

struct shared_page *
shared_memory_page(struct shared_memory *memory, unsigned slot)
{
	ASSERT(slot < SHARED_SLOTS);
	return (struct shared_page *)(void *)(memory->pages + slot * STRIDE);
}

static bool
page_in_use(const struct shared_page *page)
{
	return atomic_load_explicit(&page->process_id, memory_order_acquire) != 0;
}

uint64_t
shared_counter_total(struct shared_memory *memory, enum shared_counter counter)
{
	uint64_t total = 0;
	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++) {
		struct shared_page *page = shared_memory_page(memory, slot);
		if (page_in_use(page))
			total += atomic_load_explicit(&page->counters[counter], memory_order_relaxed);
	}
	return total;
}

uint64_t
shared_gauge_total(struct shared_memory *memory, enum shared_gauge gauge)
{
	uint64_t total = 0;
	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++) {
		struct shared_page *page = shared_memory_page(memory, slot);
		if (page_in_use(page))
			total += atomic_load_explicit(&page->gauges[gauge], memory_order_relaxed);
	}
	return total;
}

#define X(name, text, description) [name] = {text, description},
static const struct {
	const char *name;
	const char *description;
} counter_texts[COUNTER_COUNT] = {SHARED_COUNTERS(X)}, gauge_texts[GAUGE_COUNT] = {SHARED_GAUGES(X)};
#undef X

const char *
shared_counter_name(enum shared_counter counter)
{
	ASSERT((unsigned)counter < COUNTER_COUNT);
	return counter_texts[counter].name;
}

const char *
shared_counter_description(enum shared_counter counter)
{
	ASSERT((unsigned)counter < COUNTER_COUNT);
	return counter_texts[counter].description;
}

const char *
shared_gauge_name(enum shared_gauge gauge)
{
	ASSERT((unsigned)gauge < GAUGE_COUNT);
	return gauge_texts[gauge].name;
}

/* ---- client addresses: open addressing, linear probing. An entry without sessions keeps its place in the chain
 * until nothing follows it. ---- */

static struct shared_address *
address_at(struct shared_page *page, uint64_t hash, unsigned probe)
{
	return &page->addresses[(hash + probe) % SHARED_ADDRESSES];
}

/* The entry of `hash`, or NULL; *room is then the first entry that may be taken for it, or NULL. */
static struct shared_address *
address_find(struct shared_page *page, uint64_t hash, struct shared_address **room)
{
	*room = NULL;
	for (unsigned probe = 0; probe < ADDRESS_PROBES; probe++) {
		struct shared_address *entry = address_at(page, hash, probe);
		uint64_t found = atomic_load_explicit(&entry->hash, memory_order_relaxed);
		if (found == hash)
			return entry;
		if (*room == NULL && atomic_load_explicit(&entry->sessions, memory_order_relaxed) == 0)
			*room = entry;
		if (found == 0)
			return NULL;
	}
	return NULL;
}

unsigned
shared_address_enter(struct shared_memory *memory, unsigned slot, uint64_t hash)
{
	struct shared_address *room;
	struct shared_address *entry = hash == 0 ? NULL : address_find(shared_memory_page(memory, slot), hash, &room);
	if (hash == 0)
		return 1;
	if (entry == NULL) {
		if (room == NULL)
			return 1;
		entry = room;
		atomic_store_explicit(&entry->hash, hash, memory_order_relaxed);
	}
	uint64_t total = atomic_fetch_add_explicit(&entry->sessions, 1, memory_order_relaxed) + 1u;
	for (unsigned other = 0; other < SHARED_SLOTS; other++) {
		struct shared_page *page = shared_memory_page(memory, other);
		if (other == slot || !page_in_use(page))
			continue;
		entry = address_find(page, hash, &room);
		if (entry != NULL)
			total += atomic_load_explicit(&entry->sessions, memory_order_relaxed);
	}
	return total > UINT_MAX ? UINT_MAX : (unsigned)total;
}

void
shared_address_leave(struct shared_memory *memory, unsigned slot, uint64_t hash)
{
	struct shared_page *page = shared_memory_page(memory, slot);
	struct shared_address *room;
	struct shared_address *entry = hash == 0 ? NULL : address_find(page, hash, &room);
	/* Not there, or none left: it came while the table was full. */
	if (entry == NULL || atomic_load_explicit(&entry->sessions, memory_order_relaxed) == 0)
		return;
	if (atomic_fetch_sub_explicit(&entry->sessions, 1, memory_order_relaxed) != 1)
		return;
	size_t index = (size_t)(entry - page->addresses);
	if (atomic_load_explicit(&page->addresses[(index + 1) % SHARED_ADDRESSES].hash, memory_order_relaxed) != 0)
		return;
	/* The chain ends here: this entry and those without sessions before it are free again. */
	for (size_t i = 0; i < SHARED_ADDRESSES; i++) {
		entry = &page->addresses[(index - i) % SHARED_ADDRESSES];
		if (atomic_load_explicit(&entry->sessions, memory_order_relaxed) != 0)
			break;
		if (atomic_exchange_explicit(&entry->hash, 0, memory_order_relaxed) == 0)
			break;
	}
}

/* ---- messages in flight ---- */

/* FNV-1a: spreads queue IDs over the table, so that the search nearly always hits at once. */
int
shared_in_flight_enter(struct shared_page *page, const char *queue_id)
{
	/* From the front: few are under way at one time, and these few share their cache lines. */
	for (uint32_t index = 0; index < SHARED_IN_FLIGHT; index++) {
		struct shared_in_flight *entry = &page->in_flight[index];
		if (atomic_load_explicit(&entry->state, memory_order_relaxed) != IN_FLIGHT_FREE)
			continue;
		size_t length = strnlen(queue_id, SHARED_QUEUE_ID_SIZE - 1);
		memcpy(entry->queue_id, queue_id, length);
		entry->queue_id[length] = '\0';
		/* The master reads the queue ID only after it saw the state. */
		atomic_store_explicit(&entry->state, IN_FLIGHT_RECEIVED, memory_order_release);
		return (int)index;
	}
	return -1;
}

static void
note_text(char *to, const char *text)
{
	snprintf(to, SHARED_NOTE_SIZE, "%s", text != NULL ? text : "");
}

void
shared_in_flight_describe(
    struct shared_page *page, int index, const struct ip_address *client, const char *sender, const char *recipient, const char *message_id)
{
	if (index < 0)
		return;
	ASSERT(index < SHARED_IN_FLIGHT);
	struct shared_in_flight_note *note = &page->in_flight_notes[index];
	note->client = *client;
	note_text(note->sender, sender);
	note_text(note->recipient, recipient);
	note_text(note->message_id, message_id);
}

void
shared_in_flight_set(struct shared_page *page, int index, enum in_flight_state state)
{
	if (index < 0)
		return;
	ASSERT(index < SHARED_IN_FLIGHT);
	atomic_store_explicit(&page->in_flight[index].state, (uint32_t)state, memory_order_release);
}

void
shared_in_flight_leave(struct shared_page *page, int index)
{
	shared_in_flight_set(page, index, IN_FLIGHT_FREE);
}

void
shared_page_retire(struct shared_page *page, struct shared_page *into)
{
	char *bytes = (char *)page;
	size_t cleared = offsetof(struct shared_page, counters); /* before it: who it was, and the announced job */
	size_t whole = sizeof *page / MACHINE_PAGE * MACHINE_PAGE;
	_Static_assert(offsetof(struct shared_page, counters) < MACHINE_PAGE && sizeof(struct shared_page) > MACHINE_PAGE, "one machine page stays");
	atomic_store_explicit(&page->process_id, 0, memory_order_release);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		shared_count(into, i, atomic_load_explicit(&page->counters[i], memory_order_relaxed));
	shared_poisons_move(&page->poisons, &into->poisons);
	atomic_store_explicit(&page->role, 0, memory_order_relaxed);
	atomic_store_explicit(&page->generation, 0, memory_order_relaxed);
	/* Give the memory back; what is not whole machine pages of ours is cleared by hand. */
	if (madvise(bytes + MACHINE_PAGE, whole - MACHINE_PAGE, MADV_REMOVE) < 0)
		whole = MACHINE_PAGE;
	memset(bytes + cleared, 0, MACHINE_PAGE - cleared);
	memset(bytes + whole, 0, sizeof *page - whole);
}

void
shared_page_claim(struct shared_page *page)
{
	shared_job_clear(page);
	atomic_store_explicit(&page->running_proxy_slot, 0, memory_order_relaxed);
}
