/* A run, as the files of this folder share it. Not for other floors (they use chain.h).
 *
 * chain.c       the chain: pools, and nothing of a single message
 * run.c         a run's life: which filters are next, rounds, the end
 * run_result.c  what a job brought: verdicts, edits, facts; what a lost job means
 * questions.c   DNS questions of a run and their answers
 * client.c      whom to judge: the client, or (trusted_client.c) whoever handed the message to a trusted relay
 * story.c       how all that reads in the trace */
#ifndef POSTERN_CHAIN_RUN_PARTS_H
#define POSTERN_CHAIN_RUN_PARTS_H

#include <sys/queue.h>

#include "chain/chain.h"
#include "chain/pool.h"

#define CHAIN_RUN_MAGIC 0x43484e52u

struct chain {
	struct chain_options options;
	struct shared_page *page;
	struct worker_pool *auth; /* NULL when no filter needs it */
};

#define RUN_STATES(X) \
	X(RUN_IDLE, "idle") /* nothing under way */ \
	X(RUN_AHEAD_JOB, "ahead: a worker asks") \
	X(RUN_AHEAD_ANSWERS, "ahead: waiting for DNS") \
	X(RUN_JOB, "judging: with a worker") \
	X(RUN_ANSWERS, "judging: waiting for DNS") \
	X(RUN_OVER, "over")

enum run_state {
#define X(name, text) name,
	RUN_STATES(X)
#undef X
};

struct chain_question {
	struct chain_run *run;
	uint64_t id; /* at the resolver */
	int64_t asked_us;
	LIST_ENTRY(chain_question) link;
};

/* What a filter has cost so far. */
struct filter_cost {
	uint64_t wall_us, cpu_us, dns_us;
	unsigned restarts;
};

struct chain_run {
	uint32_t magic;
	enum run_state state;
	struct chain *chain;
	struct chain_subject subject;
	struct dns_table answers; /* frozen as they come */
	LIST_HEAD(, chain_question) questions; /* under way */
	size_t question_count;
	int64_t waiting_since_us; /* for the answers */

	/* The job under way, or the next one. */
	struct worker_job job;
	uint64_t job_id; /* 0 = none under way */
	unsigned rounds; /* of filter job.first, or of running ahead */

	struct filter_cost *costs; /* by filter */
	struct edit_list edits;
	struct facts facts;
	struct verdict verdict; /* of those that finished */
	char *relay_helo; /* what the client of a trusted relay called itself there; job points to it */

	struct event *timer; /* the end of the time, then the end */
	chain_callback *callback;
	void *context;
};

/* run.c */
void run_change_state(struct chain_run *run, enum run_state state);
const struct config_filter *run_filter(const struct chain_run *run, uint32_t index);
/* True when that filter has something to say about messages. */
bool run_judges(const struct chain_run *run, uint32_t index);
/* All open questions are answered. */
void run_answered(struct chain_run *run);
/* Goes on with filter `first`, with the next job or to the end. */
void run_go_on(struct chain_run *run, uint32_t first);
/* The job that is set up goes (again) to a worker. */
void run_submit(struct chain_run *run);
/* Nothing is to be judged any more. */
void run_finish(struct chain_run *run);

/* run_result.c: the callback of the pool; and what to do when it is too late. */
bool run_job_ended(void *context, enum job_end end, struct run_result *result);
/* Filters first .. end - 1 could not be run: their on_error, in order. True when that ends the chain. */
bool run_lose(struct chain_run *run, uint32_t first, uint32_t end, const char *reason);

/* questions.c: asks what is new; returns how much that was. */
size_t questions_ask(struct chain_run *run, const struct dns_table *wanted);
void questions_cancel(struct chain_run *run);

/* client.c: fills job.job.client; a trusted relay's client becomes a fact too. */
void client_find(struct chain_run *run);
bool client_is_trusted_relay(const struct chain_run *run, const struct ip_address *address);

/* story.c */
void story_filter(struct chain_run *run, uint32_t index, enum verdict_kind kind, const char *outcome, const char *reason);
void story_answer(struct chain_run *run, const struct dns_answer *answer, int64_t took_us);
void story_edits(struct chain_run *run, size_t from);
void story_input(struct chain_run *run);
void story_end(struct chain_run *run);
void story_note(struct chain_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
