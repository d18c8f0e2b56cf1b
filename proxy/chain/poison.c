/* Sums over the tables of all processes; each proxy writes only its own. */
#include "chain/poison.h"

#define SINCE_US (POISON_HOURS * INT64_C(3600) * 1000000)

static bool
page_has_any(struct shared_page *page)
{
	return atomic_load_explicit(&page->process_id, memory_order_acquire) != 0 &&
	    atomic_load_explicit(&page->poisons.used, memory_order_relaxed) > 0;
}

static bool
is_any_known(struct shared_memory *shared)
{
	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++)
		if (page_has_any(shared_memory_page(shared, slot)))
			return true;
	return false;
}

static bool
has_killed_enough(struct shared_memory *shared, const struct clock *clock, const uint8_t *hash)
{
	int64_t since_us = clock_monotonic_us(clock) - SINCE_US;
	uint64_t kills = 0;

	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++) {
		struct shared_page *page = shared_memory_page(shared, slot);

		if (page_has_any(page))
			kills += shared_poisons_find(&page->poisons, hash, since_us);
	}
	return kills >= POISON_KILLS;
}

bool
poison_is_known(struct shared_memory *shared, const struct clock *clock, struct message_store *message)
{
	uint8_t hash[SHARED_POISON_HASH_SIZE];

	return is_any_known(shared) && message_store_hash(message, hash) && has_killed_enough(shared, clock, hash);
}

bool
poison_note_kill(struct shared_memory *shared, unsigned slot, const struct clock *clock, struct message_store *message)
{
	uint8_t hash[SHARED_POISON_HASH_SIZE];

	if (!message_store_hash(message, hash))
		return true;
	shared_poisons_add(&shared_memory_page(shared, slot)->poisons, hash, 1, clock_monotonic_us(clock));
	return has_killed_enough(shared, clock, hash);
}
