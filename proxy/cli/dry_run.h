/* The filters of a configuration over one message, as the daemon runs them (chain/), but here and now: same filters, same order, same limits,
 * same folding; no worker processes, and whoever asks waits for DNS. */
#ifndef POSTERN_CLI_DRY_RUN_H
#define POSTERN_CLI_DRY_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/edits.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "dns/table.h"
#include "conf/config.h"
#include "filters/facts.h"
#include "filters/filter.h"
#include "filters/run.h"
#include "filters/verdict.h"
#include "cli/question_source.h"

struct dry_run_subject {
	const struct config *config;
	struct filter_client client; /* who talks to us; behind a trusted relay another one is judged */
	const struct envelope *envelope;
	struct message_store *message;
	const struct header_block *headers;
	int64_t now_us;
	struct question_source *questions;
};

struct dry_run_filter {
	const char *name; /* the configuration's */
	bool ran; /* false: it is no filter of this program, or a verdict before it ended the chain */
	enum verdict_kind verdict;
	char *reason; /* or NULL */
	uint64_t wall_us;
	unsigned restarts;
};

struct dry_run {
	struct verdict verdict;
	struct edit_list edits;
	struct facts facts;
	struct dns_table answers;
	struct dry_run_filter *filters; /* as config->filters */
	size_t filter_count;
};

/* `run` must be zeroed. False: *problem says which filter cannot be opened and why. */
bool dry_run(const struct dry_run_subject *subject, struct dry_run *run, struct buffer *problem);
void dry_run_clear(struct dry_run *run);

#endif
