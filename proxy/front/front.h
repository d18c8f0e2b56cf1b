/* What all sessions of one proxy stand on. One per process; everything in it outlives the sessions. */
#ifndef POSTERN_FRONT_FRONT_H
#define POSTERN_FRONT_FRONT_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/id_map.h"
#include "chain/chain.h"
#include "conf/config.h"
#include "deliver/deliver_client.h"
#include "dns/resolver.h"
#include "journal/journal_client.h"
#include "mail/queue_id.h"
#include "relay/relay.h"
#include "wire/message_store.h"
#include "wire/shared_memory.h"

struct front {
	struct event_base *base;
	const struct config *config;
	const struct clock *clock;
	struct resolver *resolver;
	struct journal_client *journal;
	struct chain *chain;
	struct deliver_client *deliver; /* for the quarantine */
	struct relay *relay;
	struct shared_memory *shared;
	unsigned slot;
	struct shared_page *page;
	struct message_store_options store;
	struct queue_id_source ids;
	struct id_map *sessions;
	struct buffer scratch; /* message bytes between the socket and the store; empty between callbacks */
	bool draining; /* no new sessions; idle ones end at the next opportunity */
	bool drain_over; /* what is being delivered is finished, and nothing else begun */
	struct event *released; /* fires one loop turn later: in-flight entries whose records have left */
	int *releasing;
	size_t releasing_count, releasing_capacity;
	void (*on_session_ended)(void *context);
	void *context;
};

void front_init(struct front *front);
void front_clear(struct front *front);
/* Hands a finished record to the journal; the in-flight entry (or -1) stays visible to the master until the record
 * has left this process, so that a crash in between is still explained. */
void front_publish(struct front *front, const struct record *record, int in_flight);
/* Ends the waiting of every session that is between transactions with 421, and lets the others finish; `now`: ends all. */
void front_drain(struct front *front, bool now);

#endif
