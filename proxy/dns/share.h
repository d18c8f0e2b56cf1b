/* Private to dns/: how much of the library each domain may take. The library has so many sockets; a domain whose servers are dead holds
 * one for each of its questions for seconds. Without a bound per domain, one such domain would starve the questions of all the others. */
#ifndef POSTERN_DNS_SHARE_H
#define POSTERN_DNS_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "dns/name.h"
#include "dns/resolver.h"

#define SHARE_SOCKETS RESOLVER_UDP_SOCKETS /* questions the library has at once */
#define SHARE_RESERVE (SHARE_SOCKETS / 2) /* only for domains that have none under way */
#define SHARE_PART 8 /* a domain may have an eighth of what is free beside the reserve, and one question */

struct share;
struct shares;

struct shares *shares_new(void);
/* No question may be left. */
void shares_free(struct shares **shares);

/* The share of that name's domain; lives as long as somebody is in it or waits for it, and until the next share_release. */
struct share *share_of(struct shares *shares, const struct dns_name *name);
/* Frees it when nobody needs it. */
void share_release(struct shares *shares, struct share *share);
/* One question more of that domain may go to the library now. */
bool share_has_room(const struct shares *shares, const struct share *share);
void share_enter(struct shares *shares, struct share *share);
void share_leave(struct shares *shares, struct share *share);

/* A place in the queue of a domain, part of who waits. */
struct share_waiter {
	TAILQ_ENTRY(share_waiter) link;
};
void share_wait(struct shares *shares, struct share *share, struct share_waiter *waiter);
void share_wait_end(struct shares *shares, struct share *share, struct share_waiter *waiter);
bool share_is_waited_for(const struct share *share);
/* Looks at some domains in turn for a waiter that may go on now, and takes it from its queue. NULL: none among these. */
struct share_waiter *share_next(struct shares *shares);

/* For tests. */
size_t shares_under_way(const struct shares *shares);

#endif
