/* What backend_client.c and backend_replies.c share. Not for others (they use backend_client.h). */
#ifndef POSTERN_RELAY_BACKEND_CLIENT_PARTS_H
#define POSTERN_RELAY_BACKEND_CLIENT_PARTS_H

#include <sys/queue.h>

#include "base/stream.h"
#include "mail/reply.h"
#include "relay/backend_client.h"

#define CLIENT_MAGIC 0x424b434cu

#define CLIENT_STATES(X) \
	X(STATE_CONNECTING, "connecting") \
	X(STATE_GREETING, "waiting for the greeting") \
	X(STATE_EXTENDED_HELLO, "EHLO or LHLO sent") \
	X(STATE_HELLO, "HELO sent") \
	X(STATE_READY, "ready") \
	X(STATE_BODY, "sending the body") \
	X(STATE_END_OF_DATA, "final dot sent") \
	X(STATE_QUITTING, "QUIT sent") \
	X(STATE_CLOSED, "closed")

enum client_state {
#define X(name, text) name,
	CLIENT_STATES(X)
#undef X
};

struct queued_command {
	TAILQ_ENTRY(queued_command) next;
	enum backend_command command;
	unsigned owner; /* whose it is: client->owner at that time */
	size_t tag;
	bool sent;
	char *line;
};

struct backend_client {
	uint32_t magic;
	struct backend_client_options options;
	const struct backend_client_callbacks *callbacks;
	void *context;
	unsigned owner; /* counts owners, so that late replies find nobody */
	struct record *record;
	struct backend_address *addresses;
	size_t address_count, next_address;
	struct stream *stream;
	enum client_state state;
	struct event *timer;
	TAILQ_HEAD(command_queue, queued_command) queue; /* sent ones first */
	size_t outstanding; /* sent and not answered */
	struct capability_set offered;
	bool in_transaction; /* MAIL was said, and neither RSET nor the end of data */
	unsigned messages, refusals;
	int64_t opened_us;
	unsigned depth; /* of our event handlers on the stack */
	bool doomed; /* freed by a callback: goes when the last of them returns */
};

/* Into the story of the mail under way, if there is one. */
#define client_trace(client, kind, ...) \
	do { \
		if ((client)->record != NULL) \
			record_event((client)->record, (client)->options.clock, kind, __VA_ARGS__); \
	} while (0)

/* backend_client.c */
void client_change_state(struct backend_client *client, enum client_state state);
void client_arm_timer(struct backend_client *client, int64_t ms); /* 0 stops it */
void client_write_line(struct backend_client *client, const char *line);
void client_drop_command(struct backend_client *client, struct queued_command *queued);
/* Lets commands go as far as the backend's manners allow. */
void client_send_commands(struct backend_client *client);
/* The next reply has its own time; the one to the final dot has that of the delivery. */
void client_time_next_reply(struct backend_client *client);
/* The connection is over: tells the owner. */
void client_fail(struct backend_client *client, enum backend_failure_kind kind, const struct reply *reply);

/* backend_replies.c: (state, reply). */
void client_handle_reply(struct backend_client *client, const struct reply *reply);

#endif
