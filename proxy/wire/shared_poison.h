/* Messages that killed those who judged them, by content hash: a small table in shared memory. One process writes it, all read it; what a
 * reader sees while it is being written may be wrong once, and does no harm. */
#ifndef POSTERN_WIRE_SHARED_POISON_H
#define POSTERN_WIRE_SHARED_POISON_H

#include <stdatomic.h>
#include <stdint.h>

#define SHARED_POISONS 64 /* messages in one table; the oldest make room */
#define SHARED_POISON_HASH_SIZE 32

struct shared_poison {
	_Atomic uint64_t hash[SHARED_POISON_HASH_SIZE / 8];
	_Atomic int64_t last_us; /* monotonic: the latest kill */
	_Atomic uint32_t kills; /* 0 = free; written last */
};

struct shared_poisons {
	_Atomic uint32_t used; /* entries ever filled: nobody need look further */
	struct shared_poison entries[SHARED_POISONS];
};

/* Adds to the kills of that message. Only the owner. */
void shared_poisons_add(struct shared_poisons *poisons, const uint8_t *hash, uint32_t kills, int64_t now_us);
/* Kills of that message, unless the latest of them was before `since_us`. */
uint32_t shared_poisons_find(struct shared_poisons *poisons, const uint8_t *hash, int64_t since_us);
/* Adds all of `from`, which has no owner any more, to `to`. */
void shared_poisons_move(struct shared_poisons *from, struct shared_poisons *to);

#endif
