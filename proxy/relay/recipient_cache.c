/* A hash table of chains, and a list in order of use. Whole keys are compared, so a chosen collision costs time, never a wrong
 * answer. */
#include "relay/recipient_cache.h"

#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"

struct entry {
	TAILQ_ENTRY(entry) by_use; /* newest first */
	LIST_ENTRY(entry) chain;
	char *key;
	size_t key_length;
	int64_t expires_us;
	struct reply reply;
};
TAILQ_HEAD(entry_list, entry);
LIST_HEAD(entry_chain, entry);

struct recipient_cache {
	const struct clock *clock;
	int64_t lifetime_us;
	size_t entries_max;
	size_t count;
	struct entry_list entries;
	struct entry_chain *chains;
	size_t chain_count; /* power of two */
	uint64_t seed; /* so that strangers cannot choose addresses that share a chain */
	struct buffer key;
};

struct recipient_cache *
recipient_cache_new(const struct clock *clock, int64_t lifetime_ms, size_t entries_max)
{
	struct recipient_cache *cache = memory_new(sizeof *cache);
	cache->clock = clock;
	cache->lifetime_us = lifetime_ms * 1000;
	cache->entries_max = entries_max;
	TAILQ_INIT(&cache->entries);
	cache->chain_count = 1;
	while (cache->chain_count < entries_max)
		cache->chain_count *= 2;
	cache->chains = memory_new_array(cache->chain_count, sizeof *cache->chains);
	if (getrandom(&cache->seed, sizeof cache->seed, 0) != (ssize_t)sizeof cache->seed)
		cache->seed = (uint64_t)clock_wall_us(clock);
	return cache;
}

static void
entry_remove(struct recipient_cache *cache, struct entry *entry)
{
	TAILQ_REMOVE(&cache->entries, entry, by_use);
	LIST_REMOVE(entry, chain);
	cache->count--;
	reply_clear(&entry->reply);
	memory_free(&entry->key);
	memory_free(&entry);
}

void
recipient_cache_free(struct recipient_cache **cache_address)
{
	struct recipient_cache *cache = *cache_address;
	if (cache == NULL)
		return;
	while (!TAILQ_EMPTY(&cache->entries))
		entry_remove(cache, TAILQ_FIRST(&cache->entries));
	memory_free(&cache->chains);
	buffer_free(&cache->key);
	memory_free(cache_address);
}

/* An accepted recipient: without the sender. A refused one: with it. '+' and '-' keep the two apart. */
static void
make_key(struct recipient_cache *cache, int route, const char *sender, const char *recipient)
{
	buffer_clear(&cache->key);
	buffer_printf(&cache->key, "%c%d", sender == NULL ? '+' : '-', route);
	if (sender != NULL) {
		buffer_append_char(&cache->key, '\0');
		buffer_append_string(&cache->key, sender);
	}
	buffer_append_char(&cache->key, '\0');
	buffer_append_string(&cache->key, recipient);
}

static struct entry_chain *
find_chain(struct recipient_cache *cache)
{
	uint64_t hash = cache->seed;
	for (size_t i = 0; i < cache->key.length; i++) {
		hash = (hash ^ (uint8_t)cache->key.data[i]) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return &cache->chains[hash & (cache->chain_count - 1)];
}

/* The entry of the key in cache->key, unless its time is over. */
static struct entry *
find_entry(struct recipient_cache *cache)
{
	struct entry *entry;
	LIST_FOREACH(entry, find_chain(cache), chain) {
		if (entry->key_length == cache->key.length && memcmp(entry->key, cache->key.data, entry->key_length) == 0)
			break;
	}
	if (entry != NULL && clock_monotonic_us(cache->clock) >= entry->expires_us) {
		entry_remove(cache, entry);
		return NULL;
	}
	return entry;
}

const struct reply *
recipient_cache_find(struct recipient_cache *cache, int route, const char *sender, const char *recipient)
{
	if (cache->count == 0)
		return NULL;
	make_key(cache, route, sender, recipient);
	struct entry *entry = find_entry(cache);
	if (entry == NULL) {
		make_key(cache, route, NULL, recipient);
		entry = find_entry(cache);
	}
	if (entry == NULL)
		return NULL;
	TAILQ_REMOVE(&cache->entries, entry, by_use);
	TAILQ_INSERT_HEAD(&cache->entries, entry, by_use);
	return &entry->reply;
}

void
recipient_cache_store(struct recipient_cache *cache, int route, const char *sender, const char *recipient, const struct reply *reply)
{
	bool accepted = reply->code >= 200 && reply->code < 300;
	if (cache->lifetime_us <= 0 || cache->entries_max == 0 || (!accepted && !reply_is_permanent(reply)))
		return;
	recipient_cache_forget(cache, route, sender, recipient);
	make_key(cache, route, accepted ? NULL : sender, recipient);
	if (cache->count >= cache->entries_max)
		entry_remove(cache, TAILQ_LAST(&cache->entries, entry_list));
	struct entry *entry = memory_new(sizeof *entry);
	entry->key = memory_copy_text(cache->key.data, cache->key.length);
	entry->key_length = cache->key.length;
	entry->expires_us = clock_monotonic_us(cache->clock) + cache->lifetime_us;
	reply_copy(&entry->reply, reply);
	TAILQ_INSERT_HEAD(&cache->entries, entry, by_use);
	LIST_INSERT_HEAD(find_chain(cache), entry, chain);
	cache->count++;
}

void
recipient_cache_forget(struct recipient_cache *cache, int route, const char *sender, const char *recipient)
{
	const char *senders[] = {NULL, sender};
	for (size_t i = 0; i < 2; i++) {
		make_key(cache, route, senders[i], recipient);
		struct entry *entry = find_entry(cache);
		if (entry != NULL)
			entry_remove(cache, entry);
	}
}

size_t
recipient_cache_count(const struct recipient_cache *cache)
{
	return cache->count;
}
