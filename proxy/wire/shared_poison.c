/* The table of one process. Order of writing: free the entry, fill it, say how many kills; so a reader never takes one message's kills for
 * another's but in the instant of replacing. */
#include "wire/shared_poison.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WORDS (SHARED_POISON_HASH_SIZE / 8)

static uint32_t
used(struct shared_poisons *poisons)
{
	uint32_t count = atomic_load_explicit(&poisons->used, memory_order_acquire);

	return count < SHARED_POISONS ? count : SHARED_POISONS;
}

static struct shared_poison *
find(struct shared_poisons *poisons, const uint64_t *words)
{
	for (uint32_t i = 0; i < used(poisons); i++) {
		struct shared_poison *entry = &poisons->entries[i];
		bool same = atomic_load_explicit(&entry->kills, memory_order_acquire) > 0;

		for (size_t k = 0; same && k < WORDS; k++)
			same = atomic_load_explicit(&entry->hash[k], memory_order_relaxed) == words[k];
		if (same)
			return entry;
	}
	return NULL;
}

/* A new entry, or the oldest. */
static struct shared_poison *
make_room(struct shared_poisons *poisons)
{
	uint32_t count = used(poisons);
	struct shared_poison *oldest = &poisons->entries[0];

	if (count < SHARED_POISONS) {
		atomic_store_explicit(&poisons->used, count + 1, memory_order_release);
		return &poisons->entries[count];
	}
	for (uint32_t i = 1; i < count; i++)
		if (atomic_load_explicit(&poisons->entries[i].last_us, memory_order_relaxed) <
		    atomic_load_explicit(&oldest->last_us, memory_order_relaxed))
			oldest = &poisons->entries[i];
	return oldest;
}

static void
add(struct shared_poisons *poisons, const uint64_t *words, uint32_t kills, int64_t now_us)
{
	struct shared_poison *entry = find(poisons, words);

	if (entry != NULL) {
		kills += atomic_load_explicit(&entry->kills, memory_order_relaxed);
	} else {
		entry = make_room(poisons);
		atomic_store_explicit(&entry->kills, 0, memory_order_release);
		for (size_t k = 0; k < WORDS; k++)
			atomic_store_explicit(&entry->hash[k], words[k], memory_order_relaxed);
	}
	atomic_store_explicit(&entry->last_us, now_us, memory_order_relaxed);
	atomic_store_explicit(&entry->kills, kills, memory_order_release);
}

void
shared_poisons_add(struct shared_poisons *poisons, const uint8_t *hash, uint32_t kills, int64_t now_us)
{
	uint64_t words[WORDS];

	memcpy(words, hash, sizeof words);
	add(poisons, words, kills, now_us);
}

uint32_t
shared_poisons_find(struct shared_poisons *poisons, const uint8_t *hash, int64_t since_us)
{
	const struct shared_poison *entry;
	uint64_t words[WORDS];

	memcpy(words, hash, sizeof words);
	entry = find(poisons, words);
	if (entry == NULL || atomic_load_explicit(&entry->last_us, memory_order_relaxed) < since_us)
		return 0;
	return atomic_load_explicit(&entry->kills, memory_order_relaxed);
}

void
shared_poisons_move(struct shared_poisons *from, struct shared_poisons *to)
{
	for (uint32_t i = 0; i < used(from); i++) {
		const struct shared_poison *entry = &from->entries[i];
		uint32_t kills = atomic_load_explicit(&entry->kills, memory_order_acquire);
		uint64_t words[WORDS];

		for (size_t k = 0; k < WORDS; k++)
			words[k] = atomic_load_explicit(&entry->hash[k], memory_order_relaxed);
		if (kills > 0)
			add(to, words, kills, atomic_load_explicit(&entry->last_us, memory_order_relaxed));
	}
}
