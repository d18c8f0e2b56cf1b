/* The contract of a filter: a pure function of a job (design section 2). It never reads a clock, the network or a file after `open`;
 * everything it may know is in the job, everything it wants to say goes into the output. Run twice with the same job it says the same.
 *
 * A run either finishes, or is pending with at least one new question to DNS; it is then run again, from its start, when the
 * answers (failures are answers too) are in job->answers. */
#ifndef POSTERN_FILTERS_FILTER_H
#define POSTERN_FILTERS_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"
#include "conf/config.h"
#include "dns/resolver.h"
#include "dns/table.h"
#include "filters/facts.h"
#include "filters/verdict.h"
#include "mail/edits.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "wire/message_store.h"

/* The stages carry milter's names. */
#define FILTER_STAGES(X) \
	X(STAGE_CONNECT, "connect") X(STAGE_HELO, "helo") X(STAGE_MAIL, "mail") X(STAGE_RCPT, "rcpt") \
	X(STAGE_DATA, "data") X(STAGE_MESSAGE, "message") X(STAGE_SEAL, "seal")

enum filter_stage {
#define X(name, text) name,
	FILTER_STAGES(X)
#undef X
	STAGE_COUNT
};
const char *filter_stage_text(enum filter_stage stage);

#define FILTER_ROUNDS_MAX 24 /* runs of one job; then the filter is lost: on_error */

/* Who the client is, as far as known at this stage. */
struct filter_client {
	struct ip_address address; /* the one to judge: the client's, or the first hop that is not one of trusted_relays */
	struct ip_address relay; /* the trusted relay that spoke to us instead; family 0 = none */
	const char *reverse_name; /* forward-confirmed, or NULL */
	enum reverse_status reverse_status;
	const char *helo; /* or NULL */
	bool extended; /* EHLO */
	const char *tls; /* "TLSv1.3", or NULL */
};

struct filter_job {
	enum filter_stage stage;
	const char *queue_id; /* or NULL before MAIL */
	const char *hostname; /* ours: receiver, authserv-id */
	struct filter_client client;
	const struct envelope *envelope; /* sender NULL before MAIL */
	int64_t now_us; /* wall clock when the transaction began to be judged */
	uint32_t generation; /* of the configuration */
	struct message_store *message; /* as received, or NULL before the message stage */
	const struct header_block *headers; /* of the message as received, or NULL */
	const struct edit_list *edits; /* of the filters before, checked; never NULL in a run */
	const struct facts *facts; /* of the filters before; never NULL in a run */
	const struct dns_table *answers; /* never NULL in a run */
};

/* What a run says. Everything in it is the runner's to clear (filter_output_clear). Of a pending run only the questions count. */
struct filter_output {
	struct verdict verdict; /* accept unless set; kind and reply: name and reason are filled in by the runner, a missing reply too */
	char *reason; /* one line for log and trace, or NULL */
	struct edit_list edits; /* its own, to be appended to the job's */
	struct facts facts; /* its own */
	struct dns_table questions; /* what it wants to know and the job's answers do not have */
};
void filter_output_clear(struct filter_output *output);
/* The answer, or NULL: then the question is in the output, and the run should go on to name what else it can, and return FILTER_PENDING. */
const struct dns_answer *filter_lookup(const struct filter_job *job, struct filter_output *output, const char *name, uint16_t type);

enum filter_outcome {
	FILTER_DONE,
	FILTER_PENDING,
	FILTER_FAILED, /* it cannot judge this message (library error, limit): on_error; reason says why */
};

struct filter {
	const char *name; /* as in the configuration */
	unsigned stages; /* bits 1 << STAGE_...; an absent stage is never called */
	/* Before the sandbox closes: files may be read, libraries warmed up. `settings` outlives the state. NULL state is fine. False: *problem says
	 * why; the process does not start. */
	bool (*open)(const struct config_filter *settings, void **state, struct buffer *problem);
	void (*close)(void **state);
	/* Names the questions that envelope and headers already show; no verdict. NULL: it asks nothing early. */
	void (*ask)(void *state, const struct filter_job *job, struct filter_output *output);
	enum filter_outcome (*run)(void *state, const struct filter_job *job, struct filter_output *output);
};

/* The built-in filters by name; NULL when there is none. */
const struct filter *filter_find(const char *name);

#endif
