/* Runs the filters over a transaction in their configured order and folds their verdicts into one (design section 2): asks DNS for them,
 * runs their jobs on the workers, checks what they say, keeps what they found and want changed. */
#ifndef POSTERN_CHAIN_CHAIN_H
#define POSTERN_CHAIN_CHAIN_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/network.h"
#include "wire/message_store.h"
#include "wire/roles.h"
#include "wire/shared_memory.h"
#include "mail/edits.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "dns/resolver.h"
#include "conf/config.h"
#include "filters/filter.h"
#include "filters/verdict.h"
#include "deliver/deliver_client.h"
#include "journal/record.h"

struct chain;

struct chain_options {
	struct event_base *base;
	const struct config *config;
	const struct clock *clock;
	struct resolver *resolver;
	struct deliver_client *deliver; /* keeps messages that kill workers */
	struct shared_memory *shared;
	unsigned slot; /* our page */
	uint32_t generation;
	/* Asks the master to kill a worker. */
	void (*kill_worker)(void *context, enum role role, unsigned slot, uint32_t generation);
	void *context;
};

/* All in options must outlive the chain. */
struct chain *chain_new(const struct chain_options *options);
/* No run may be left. */
void chain_free(struct chain **chain);
/* True when there are no filters: then nobody needs a run. */
bool chain_is_empty(const struct chain *chain);
/* A worker has come (CONTROL_PEER); takes the descriptor. */
void chain_connect_worker(struct chain *chain, enum role role, unsigned slot, uint32_t generation, int descriptor);
/* True when so many jobs wait for workers that a new message had better be refused for now, before it is sent (451 4.3.2). */
bool chain_is_crowded(const struct chain *chain);

/* What a transaction is about; everything is borrowed until the run is freed. */
struct chain_subject {
	const char *queue_id;
	struct ip_address client;
	const char *reverse_name; /* forward-confirmed, or NULL */
	enum reverse_status reverse_status;
	const char *helo; /* or NULL */
	bool extended;
	const char *tls; /* or NULL */
	const struct envelope *envelope;
	struct message_store *message; /* finished; NULL before the end of data */
	const struct header_block *headers; /* of that message */
	struct record *record; /* the story gets what happens */
};

struct chain_run; /* the filters' view of one transaction */

/* At MAIL. Filters that take part in the mail stage run ahead: what they say is dropped, for they will say it again, but the DNS answers they
 * asked for are there then. Not for a client of trusted_relays: whom to judge its message will tell. */
struct chain_run *chain_run_new(struct chain *chain, const struct chain_subject *subject);
/* At any time; what is under way is forgotten. */
void chain_run_free(struct chain_run **run);

/* The verdict over the message; the callee may take it, and may free the run. Called once, never from inside chain_run_judge. */
typedef void chain_callback(void *context, struct verdict *verdict);
/* After the end of data: the message stage, once per run. deadline_us: monotonic end of the budget; what has not been judged when three
 * quarters of the time are over gets its on_error. */
void chain_run_judge(struct chain_run *run, const struct chain_subject *subject, int64_t deadline_us, chain_callback *callback, void *context);
/* What the filters want changed, checked; header fields and body only. Belongs to the run. */
const struct edit_list *chain_run_edits(const struct chain_run *run);

#endif
