/* Runs the filters of a stage in their configured order and folds their verdicts into one. */
#ifndef POSTERN_CHAIN_CHAIN_H
#define POSTERN_CHAIN_CHAIN_H

#include <stdbool.h>

#include "base/network.h"
#include "filters/verdict.h"
#include "conf/config.h"
#include "journal/record.h"
#include "mail/envelope.h"
#include "wire/message_store.h"

/* The stages carry milter's names (design section 2). */
#define CHAIN_STAGES(X) \
	X(STAGE_CONNECT, "connect") X(STAGE_HELO, "helo") X(STAGE_MAIL, "mail") X(STAGE_RCPT, "rcpt") \
	X(STAGE_DATA, "data") X(STAGE_MESSAGE, "message") X(STAGE_SEAL, "seal")

enum chain_stage {
#define X(name, text) name,
	CHAIN_STAGES(X)
#undef X
};
const char *chain_stage_text(enum chain_stage stage);

/* What a stage may look at; everything is borrowed until the verdict has come. */
struct chain_subject {
	struct ip_address client;
	const char *reverse_name; /* or NULL */
	const char *helo; /* or NULL */
	const struct envelope *envelope; /* from the mail stage on */
	struct message_store *message; /* from the message stage on */
	struct record *record; /* the story gets the filters' results */
};

struct chain;

struct chain *chain_new(const struct config *config);
void chain_free(struct chain **chain);

typedef void chain_callback(void *context, struct verdict *verdict);

/* Runs a stage. True: *verdict is the answer (caller clears it) and the callback will not come. False: it comes later, once. */
bool chain_run(struct chain *chain, enum chain_stage stage, const struct chain_subject *subject, struct verdict *verdict,
    chain_callback *callback, void *context);

#endif
