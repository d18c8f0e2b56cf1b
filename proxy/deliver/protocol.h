/* Frames between a proxy (deliver_client) and deliver: their types, and how each is written and read. Pure. Each request carries an id that its
 * answer repeats. A reader returns false for anything malformed; what it filled in is to be cleared all the same. */
#ifndef POSTERN_DELIVER_PROTOCOL_H
#define POSTERN_DELIVER_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "conf/config.h"
#include "deliver/deliver_client.h"
#include "mail/reply.h"
#include "wire/frame.h"

/* proxy -> deliver; the answer has the same name with _ANSWER */
enum deliver_message {
	DELIVER_STORE = 1, /* descriptor: the message, when a segment is a range of it */
	DELIVER_LEDGER_LOOKUP = 2,
	DELIVER_LEDGER_RECORD = 3,
	DELIVER_QUARANTINE = 4, /* descriptor: the message, when its bytes are not in the frame; so with poison */
	DELIVER_POISON = 5,
	DELIVER_STORE_ANSWER = 32,
	DELIVER_LEDGER_LOOKUP_ANSWER = 33,
	DELIVER_LEDGER_RECORD_ANSWER = 34,
	DELIVER_QUARANTINE_ANSWER = 35, /* a store answer with one reply; so with poison */
	DELIVER_POISON_ANSWER = 36,
	DELIVER_STATE = 40, /* unasked, at the beginning and at every change: bool, the ledger works */
};

/* A frame beyond these ends the channel and with it all mail of that proxy: no configuration may lead there. */
#define DELIVER_RECIPIENTS_MAX CONFIG_RECIPIENTS_MAX
#define DELIVER_SEGMENTS_MAX 100000
_Static_assert(DELIVER_SEGMENTS_MAX >= 4 * CONFIG_HEADER_COUNT_MAX, "around each header: its range, an edit, the same of one that filters added");
#define DELIVER_LEDGER_ENTRIES_MAX CONFIG_RECIPIENTS_MAX /* in one record request */
#define LEDGER_FOUND_MAX 16 /* entries in one lookup answer */

struct deliver_store {
	uint64_t id;
	unsigned backend; /* number in the configuration */
	int64_t expires_us; /* monotonic clock, the same for all processes: the asker will not wait longer, so nothing may be stored */
	char *queue_id;
	struct deliver_recipient {
		char *address;
		char *domain;
	} *recipients;
	size_t recipient_count;
	struct deliver_segment {
		bool is_text;
		struct span text; /* points into the payload */
		uint64_t offset, length; /* of the message, when it is not text */
	} *segments;
	size_t segment_count;
};

void deliver_store_put(const struct deliver_store *store, struct buffer *payload);
bool deliver_store_get(struct frame_reader *payload, struct deliver_store *store);
void deliver_store_clear(struct deliver_store *store);

struct deliver_store_answer {
	uint64_t id;
	struct reply *replies;
	size_t count;
};
void deliver_store_answer_put(const struct deliver_store_answer *answer, struct buffer *payload);
bool deliver_store_answer_get(struct frame_reader *payload, struct deliver_store_answer *answer);
void deliver_store_answer_clear(struct deliver_store_answer *answer);

/* A request to keep a message as it was received: quarantine and poison. */
struct deliver_keep {
	uint64_t id;
	int64_t expires_us; /* as above */
	char *queue_id; /* letters and digits: it becomes part of a file name */
	char *note; /* quarantine: the header fields that go in front; poison: why */
	bool has_bytes; /* the message is in the frame */
	struct span bytes; /* points into the payload */
};
#define DELIVER_QUEUE_ID_MAX 32
void deliver_keep_put(const struct deliver_keep *keep, struct buffer *payload);
bool deliver_keep_get(struct frame_reader *payload, struct deliver_keep *keep);
void deliver_keep_clear(struct deliver_keep *keep);

struct deliver_lookup {
	uint64_t id;
	uint8_t address_key[LEDGER_KEY_SIZE];
	bool has_message_key;
	uint8_t message_key[LEDGER_KEY_SIZE];
};
void deliver_lookup_put(const struct deliver_lookup *lookup, struct buffer *payload);
bool deliver_lookup_get(struct frame_reader *payload, struct deliver_lookup *lookup);

/* A list of ledger entries with an id: the answer to a lookup, and the request to record. */
struct deliver_entries {
	uint64_t id;
	bool ok; /* false: the ledger could not be asked */
	struct ledger_entry *entries;
	size_t count;
};
void deliver_entries_put(const struct deliver_entries *entries, struct buffer *payload);
bool deliver_entries_get(struct frame_reader *payload, size_t maximum, struct deliver_entries *entries);
void deliver_entries_clear(struct deliver_entries *entries);

#endif
