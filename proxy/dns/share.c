/* Counts questions per domain, and queues those that are too many. A bound that moves: while little is under way a domain may have a hundred,
 * and however many domains are dead at once, some sockets stay free for the next one. Asks nobody anything. */
#include "dns/share.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define BUCKETS 1024
#define LOOKED_AT_MAX 64 /* domains per call of share_next */

struct share {
	size_t length;
	size_t under_way;
	TAILQ_HEAD(share_waiters, share_waiter) waiters;
	LIST_ENTRY(share) bucket_link;
	TAILQ_ENTRY(share) waited_link; /* while it has waiters */
	uint8_t key[DNS_NAME_WIRE_MAX]; /* the end of a name in wire form, lower case */
};

struct shares {
	size_t under_way;
	LIST_HEAD(share_list, share) buckets[BUCKETS];
	TAILQ_HEAD(share_queue, share) waited;
	size_t waited_count;
};

struct shares *
shares_new(void)
{
	struct shares *shares = memory_new(sizeof *shares);

	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&shares->buckets[i]);
	TAILQ_INIT(&shares->waited);
	return shares;
}

void
shares_free(struct shares **shares)
{
	for (size_t i = 0; i < BUCKETS; i++)
		ASSERT(LIST_EMPTY(&(*shares)->buckets[i]));
	memory_free(shares);
}

static bool
ends_with(const uint8_t *key, size_t length, const char *suffix, size_t suffix_length)
{
	return length >= suffix_length && memcmp(key + length - suffix_length, suffix, suffix_length) == 0;
}

/* Who answers for a name is nowhere to be seen in it. Its last two labels are near enough: a registry like co.uk only makes the shares below
 * it smaller. Of reverse names as many as stand for the first 16 bits of an IPv4 address, 32 of IPv6. */
static size_t
labels_of_domain(const uint8_t *key, size_t length)
{
	static const char ipv4[] = "\7in-addr\4arpa", ipv6[] = "\3ip6\4arpa";

	if (ends_with(key, length, ipv4, sizeof ipv4)) /* with the root's zero byte */
		return 2 + 2;
	return ends_with(key, length, ipv6, sizeof ipv6) ? 2 + 8 : 2;
}

static size_t
key_make(const struct dns_name *name, uint8_t *key)
{
	uint8_t lower[DNS_NAME_WIRE_MAX] = {0};
	size_t count = 0, start = 0;

	for (size_t i = 0; i < name->length; i++)
		lower[i] = name->bytes[i] >= 'A' && name->bytes[i] <= 'Z' ? (uint8_t)(name->bytes[i] | 0x20) : name->bytes[i];
	for (size_t at = 0; lower[at] != 0; at += 1u + lower[at])
		count++;
	for (size_t kept = labels_of_domain(lower, name->length); count > kept; count--)
		start += 1u + lower[start];
	memcpy(key, lower + start, name->length - start);
	return name->length - start;
}

static struct share_list *
bucket_of(struct shares *shares, const uint8_t *key, size_t length)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ key[i]) * 16777619u;
	return &shares->buckets[hash % BUCKETS];
}

struct share *
share_of(struct shares *shares, const struct dns_name *name)
{
	uint8_t key[DNS_NAME_WIRE_MAX];
	size_t length = key_make(name, key);
	struct share_list *bucket = bucket_of(shares, key, length);
	struct share *share;

	LIST_FOREACH(share, bucket, bucket_link)
		if (share->length == length && memcmp(share->key, key, length) == 0)
			return share;
	share = memory_new(sizeof *share);
	memcpy(share->key, key, length);
	share->length = length;
	TAILQ_INIT(&share->waiters);
	LIST_INSERT_HEAD(bucket, share, bucket_link);
	return share;
}

void
share_release(struct shares *shares, struct share *share)
{
	(void)shares;
	if (share->under_way > 0 || share_is_waited_for(share))
		return;
	LIST_REMOVE(share, bucket_link);
	memory_free_block(share);
}

bool
share_has_room(const struct shares *shares, const struct share *share)
{
	size_t free_sockets = shares->under_way < SHARE_SOCKETS ? SHARE_SOCKETS - shares->under_way : 0;

	if (share->under_way == 0)
		return free_sockets > 0;
	return free_sockets > SHARE_RESERVE && share->under_way < (free_sockets - SHARE_RESERVE) / SHARE_PART;
}

void
share_enter(struct shares *shares, struct share *share)
{
	share->under_way++;
	shares->under_way++;
}

void
share_leave(struct shares *shares, struct share *share)
{
	ASSERT(share->under_way > 0 && shares->under_way > 0);
	share->under_way--;
	shares->under_way--;
}

bool
share_is_waited_for(const struct share *share)
{
	return !TAILQ_EMPTY(&share->waiters);
}

void
share_wait(struct shares *shares, struct share *share, struct share_waiter *waiter)
{
	if (!share_is_waited_for(share)) {
		TAILQ_INSERT_TAIL(&shares->waited, share, waited_link);
		shares->waited_count++;
	}
	TAILQ_INSERT_TAIL(&share->waiters, waiter, link);
}

void
share_wait_end(struct shares *shares, struct share *share, struct share_waiter *waiter)
{
	TAILQ_REMOVE(&share->waiters, waiter, link);
	if (!share_is_waited_for(share)) {
		TAILQ_REMOVE(&shares->waited, share, waited_link);
		shares->waited_count--;
	}
}

struct share_waiter *
share_next(struct shares *shares)
{
	size_t left = shares->waited_count < LOOKED_AT_MAX ? shares->waited_count : LOOKED_AT_MAX;

	for (; left > 0; left--) {
		struct share *share = TAILQ_FIRST(&shares->waited);

		TAILQ_REMOVE(&shares->waited, share, waited_link);
		TAILQ_INSERT_TAIL(&shares->waited, share, waited_link);
		if (share_has_room(shares, share)) {
			struct share_waiter *waiter = TAILQ_FIRST(&share->waiters);
			share_wait_end(shares, share, waiter);
			return waiter;
		}
	}
	return NULL;
}

size_t
shares_under_way(const struct shares *shares)
{
	return shares->under_way;
}
