/* What happened to one transaction (or to a session refused before any): a summary for the indexed row and the log line, and a
 * story of events with times. Filled by the proxy, sent once, stored by the journal. */
#ifndef POSTERN_JOURNAL_RECORD_H
#define POSTERN_JOURNAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/network.h"
#include "conf/config.h"
#include "wire/frame.h"

#define RECORD_RESULTS(X) \
	X(RECORD_NONE, "none", "no transaction: the session's own record") \
	X(RECORD_ACCEPTED, "accepted", "the backend (or deliver) has it and the client heard 250") \
	X(RECORD_REJECTED, "rejected", "answered 5xx") \
	X(RECORD_TEMPFAILED, "tempfailed", "answered 4xx; the client keeps the message") \
	X(RECORD_DISCARDED, "discarded", "answered 250 and dropped by policy") \
	X(RECORD_QUARANTINED, "quarantined", "answered 250 and stored in quarantine") \
	X(RECORD_ABANDONED, "abandoned", "the client reset or left before the end of data") \
	X(RECORD_DOUBLE_WINDOW, "double-window", "the backend has it, the client did not hear it: it may come again") \
	X(RECORD_REFUSED, "refused", "refused or sent away, outside of any message") \
	X(RECORD_PROCESS_LOST, "process-lost", "the process that held it died; the client keeps the message") \
	X(RECORD_PROCESS_LOST_WINDOW, "process-lost-window", "the process died while the backend had the final dot: it may come again")

enum record_result {
#define X(name, text, description) name,
	RECORD_RESULTS(X)
#undef X
	RECORD_RESULT_COUNT
};
const char *record_result_text(enum record_result result);
const char *record_result_description(enum record_result result);

#define RECORD_EVENTS(X) \
	X(RECORD_EVENT_CONNECT, "connect") X(RECORD_EVENT_COMMAND, "client") X(RECORD_EVENT_REPLY, "reply") \
	X(RECORD_EVENT_STATE, "state") X(RECORD_EVENT_MESSAGE, "message") X(RECORD_EVENT_FILTER, "filter") \
	X(RECORD_EVENT_DNS, "dns") X(RECORD_EVENT_BACKEND_SENT, "to-backend") X(RECORD_EVENT_BACKEND_REPLY, "backend") \
	X(RECORD_EVENT_STAMP, "stamp") X(RECORD_EVENT_LEDGER, "ledger") X(RECORD_EVENT_NOTE, "note")

enum record_event_kind {
#define X(name, text) name,
	RECORD_EVENTS(X)
#undef X
	RECORD_EVENT_COUNT
};
const char *record_event_text(enum record_event_kind kind);

#define RECORD_STORY_MAX (256u << 10) /* bytes of story kept; then one "story cut" event and no more */
#define RECORD_EVENT_TEXT_MAX (8u << 10) /* bytes of one event's text; longer ones end in "..." */
#define RECORD_RECIPIENTS_MAX 1000 /* recipients kept by name; more are only counted */
/* First byte of an encoded record. A later version only adds fields at the end, which an older reader skips. */
#define RECORD_FORMAT_VERSION 1

struct record_recipient {
	char *address;
	char *reply; /* the answer it got, or "" */
	bool accepted; /* at RCPT */
};

struct record {
	char queue_id[24]; /* "" for a session's own record */
	char session_id[24];
	enum record_result result;
	int64_t started_us; /* wall clock at MAIL (or accept) */
	int64_t finished_us; /* wall clock */
	int64_t began_monotonic_us; /* for event times; not sent */
	struct ip_address client;
	uint16_t client_port;
	char *reverse_name; /* or NULL */
	char *helo; /* or NULL */
	char *tls; /* "TLSv1.3" or NULL */
	char *sender; /* NULL = no MAIL */
	struct record_recipient *recipients;
	size_t recipient_count;
	uint32_t recipients_unnamed; /* beyond RECORD_RECIPIENTS_MAX */
	uint64_t size_bytes;
	char *message_id; /* or NULL */
	char *facts; /* "spf=pass dkim=pass", or NULL */
	char *backend; /* "10.0.0.5:24" or NULL */
	char *backend_reply; /* raw, one line, or NULL */
	char *reply; /* our final reply, one line, or NULL */
	char *reason; /* why, in words, or NULL */
	struct buffer story; /* private encoding, see record_event and record_story_next */
	bool story_cut; /* private: the bound was reached; not sent */
};

void record_clear(struct record *record);
/* Sets a string field: record_set(&record->helo, text). Copies; NULL clears. */
void record_set(char **field, const char *value);
void record_add_recipient(struct record *record, const char *address, bool accepted, const char *reply);
/* Adds an event with the time since the record began. Text is raw; readers escape it. */
void record_event(struct record *record, const struct clock *clock, enum record_event_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Walks the story: *offset starts at 0. False at the end. */
bool record_story_next(struct span story, size_t *offset, int64_t *at_us, enum record_event_kind *kind, struct span *text);

void record_encode(const struct record *record, bool with_story, struct buffer *payload);
/* Takes over `record` (cleared or zeroed before). False when malformed; the record is then cleared. */
bool record_decode(struct frame_reader *payload, struct record *record);
/* Recipients to name in lists: those accepted at RCPT if there are any, else all of them. */
size_t record_named_recipients(const struct record *record, const struct record_recipient **named, size_t limit);
/* The log line (design section 10), without newline. `reply` is the reply that decided: the backend's when there was one, else
 * ours; `answer` is ours when the backend's was not simply passed on as success; `refused` are recipients refused at RCPT while
 * others were accepted. Keys without a value are left out; at most RECORD_LINE_RECIPIENTS addresses, then to_count tells all. */
#define RECORD_LINE_RECIPIENTS 20
void record_format_line(const struct record *record, enum log_format format, struct buffer *out);

#endif
