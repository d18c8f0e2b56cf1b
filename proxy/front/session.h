/* One client connection, from accept to close. It outlives its transactions, one at a time. The struct is shared by the
 * files of front/ only. */
#ifndef POSTERN_FRONT_SESSION_H
#define POSTERN_FRONT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/network.h"
#include "base/stream.h"
#include "front/front.h"
#include "journal/record.h"
#include "mail/reply.h"

#define SESSION_MAGIC 0x5e5510a1u

#define SESSION_STATES(X) \
	X(SESSION_COMMANDS, "commands", "reads command lines") \
	X(SESSION_WAITING, "waiting", "an answer is under way (backend, filters, DNS); input stands still") \
	X(SESSION_DATA, "data", "reads message bytes up to the final dot") \
	X(SESSION_CHUNK, "chunk", "reads the octets of a BDAT chunk") \
	X(SESSION_SWALLOW, "swallow", "reads the octets of a BDAT chunk that came out of turn") \
	X(SESSION_ENDED, "ended", "the last reply is out or the client is gone")

enum session_state {
#define X(name, text, description) name,
	SESSION_STATES(X)
#undef X
};

struct transaction;

struct session {
	uint32_t magic;
	enum session_state state;
	struct front *front;
	uint64_t id; /* in front->sessions */
	struct stream *stream;
	struct transaction *transaction; /* NULL outside of one */
	char session_id[QUEUE_ID_SIZE];
	struct ip_address client;
	uint16_t client_port;
	uint64_t address_hash; /* counted under this; 0 = not counted */
	uint64_t reverse_question; /* under way at the resolver; 0 = answered */
	enum reverse_status reverse_status;
	char *reverse_name; /* forward-confirmed, or NULL */
	char *helo; /* NULL before EHLO or HELO */
	bool extended; /* EHLO */
	bool bare_line_feeds; /* this client may send them (line_ends: normalise, or an exception) */
	bool skipping_line; /* the rest of a line that was too long */
	bool client_gone;
	bool inside_input; /* on_bytes is running: it frees */
	bool spoke; /* the client sent at least one command */
	unsigned offered; /* CAPABILITY_* bits of the last EHLO */
	uint64_t offered_size;
	uint64_t swallow_left; /* octets of a BDAT chunk that came out of turn */
	int64_t input_began_us; /* when the first part of a command not yet complete came (monotonic); 0 = none */
	uint32_t errors, idle_commands, transactions;
	struct record record; /* the session's own: written when it was refused outside of any transaction */
};

/* Takes the accepted descriptor; greets, or refuses with 421 and closes. NULL when refused. */
struct session *session_new(struct front *front, int descriptor, const struct sockaddr *peer);
/* At a drain a session goes on as long as its client has something to say: between transactions it is ended, with 421, after a
 * moment of silence. `now`: in any case. */
void session_drain(struct session *session, bool now);

/* For the files of front/. */
void session_change_state(struct session *session, enum session_state state);
/* Sends a reply and counts it; 5xx beyond the limit and 421 end the session. */
void session_reply(struct session *session, const struct reply *reply);
void session_reply_text(struct session *session, int code, const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The time limit for the next command; a short one between transactions of a process that drains. */
void session_await_command(struct session *session);
/* Input stands still until session_proceed. */
void session_wait(struct session *session);
void session_proceed(struct session *session);
/* BDAT out of turn: its octets are read and dropped, then answered with 503. */
void session_swallow(struct session *session, uint64_t octets);
/* The session ends after what was written has left. The struct lives on until the running callback returns. */
void session_end(struct session *session);
/* The record that tells what goes on now: the transaction's, else the session's. */
struct record *session_record(struct session *session);

#endif
