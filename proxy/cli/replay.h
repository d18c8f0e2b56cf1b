/* A message's judgement out of the trace: who it was from and to, what DNS answered, and as of when it was judged, so that the filters can
 * be run on it once more. */
#ifndef POSTERN_CLI_REPLAY_H
#define POSTERN_CLI_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"
#include "chain/message_digest.h"
#include "mail/envelope.h"
#include "dns/resolver.h"
#include "journal/record.h"

struct replay {
	struct envelope envelope;
	struct ip_address client;
	char *helo, *reverse_name, *tls; /* or NULL */
	bool extended;
	enum reverse_status reverse_status;
	int64_t now_us;
	uint64_t size_bytes;
	char digest[MESSAGE_DIGEST_TEXT_SIZE]; /* chain/message_digest.h */
	char *verdict; /* the recorded one */
	struct buffer zone; /* the answers, as a zone file */
};

/* False: *problem says what the record lacks. `replay` must be zeroed; to be cleared in any case. */
bool replay_from_record(const struct record *record, struct replay *replay, struct buffer *problem);
/* The same for the record of that queue ID in the trace below data_directory. */
bool replay_find(const char *data_directory, const char *queue_id, struct replay *replay, struct buffer *problem);
void replay_clear(struct replay *replay);

#endif
