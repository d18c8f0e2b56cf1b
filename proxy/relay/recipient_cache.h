/* What backends said about recipients a moment ago. 250 does not depend on the sender, 5xx may; 4xx is never kept. Bounded:
 * the entry used longest ago goes first. */
#ifndef POSTERN_RELAY_RECIPIENT_CACHE_H
#define POSTERN_RELAY_RECIPIENT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "mail/reply.h"

struct recipient_cache;

/* lifetime_ms 0: remembers nothing. */
struct recipient_cache *recipient_cache_new(const struct clock *clock, int64_t lifetime_ms, size_t entries_max);
void recipient_cache_free(struct recipient_cache **cache);
/* The remembered answer, or NULL. Valid until the next call. */
const struct reply *recipient_cache_find(struct recipient_cache *cache, int route, const char *sender, const char *recipient);
/* Remembers a 2xx or 5xx reply; others are ignored. */
void recipient_cache_store(struct recipient_cache *cache, int route, const char *sender, const char *recipient, const struct reply *reply);
/* The backend changed its mind: forgets what was said about the recipient. */
void recipient_cache_forget(struct recipient_cache *cache, int route, const char *sender, const char *recipient);
size_t recipient_cache_count(const struct recipient_cache *cache);

#endif
