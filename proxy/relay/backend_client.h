/* One SMTP or LMTP connection to a backend, from connecting to QUIT (RFC 5321, RFC 2033, RFC 2920). It knows lines, replies and
 * their order; what a transaction needs is decided by its owner: the pool while it opens and while it is idle, a delivery
 * while it is borrowed.
 *
 * Commands are queued; they leave at once when the backend offers PIPELINING, else one after the other. Each gets its reply
 * through on_reply, in order. 421 and everything that makes the connection useless come as on_failed, once; after that the
 * owner frees it. Callbacks come only out of the event loop and may free the client. */
#ifndef POSTERN_RELAY_BACKEND_CLIENT_H
#define POSTERN_RELAY_BACKEND_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "conf/config.h"
#include "journal/record.h"
#include "relay/backend_failure.h"
#include "relay/capabilities.h"

struct backend_client;

enum backend_command {
	BACKEND_COMMAND_MAIL,
	BACKEND_COMMAND_RCPT,
	BACKEND_COMMAND_DATA, /* 354: the body may go */
	BACKEND_COMMAND_END_OF_DATA, /* a reply to the final dot: one, with LMTP one for each recipient */
	BACKEND_COMMAND_RSET, /* no on_reply */
};

struct backend_client_callbacks {
	void (*on_ready)(void *context); /* the handshake is done */
	void (*on_reply)(void *context, enum backend_command command, size_t tag, const struct reply *reply);
	void (*on_writable)(void *context); /* all of the body given so far has left */
	void (*on_failed)(void *context, const struct backend_failure *failure);
};

struct backend_address {
	struct sockaddr_storage to;
	socklen_t length;
};

struct backend_client_options {
	struct event_base *base;
	const struct clock *clock;
	const struct config *config; /* host name and timeouts */
	const char *name; /* of the backend, for log and trace */
	enum backend_protocol protocol;
	void *keeper; /* what backend_client_keeper returns */
};

/* Connects to the first address that answers. What `options` points to must outlive the client. */
struct backend_client *backend_client_new(const struct backend_client_options *options, const struct backend_address *addresses, size_t count,
    const struct backend_client_callbacks *callbacks, void *context);
/* Closes at once, in whatever state. */
void backend_client_free(struct backend_client **client);
/* The same, but says QUIT if nothing is under way, and leaves the closing to the background. */
void backend_client_part(struct backend_client **client);
void *backend_client_keeper(const struct backend_client *client);
/* A new owner. Replies to commands of the earlier one are swallowed. callbacks NULL: nobody, replies are swallowed. */
void backend_client_set_owner(struct backend_client *client, const struct backend_client_callbacks *callbacks, void *context);
/* Where the story goes; NULL: nowhere. */
void backend_client_set_record(struct backend_client *client, struct record *record);

/* Queues a command. `tag` comes back with its reply. */
void backend_client_command(struct backend_client *client, enum backend_command command, size_t tag, const char *line);
/* Takes back the commands that have not left yet (a backend without PIPELINING); no replies come for them. */
void backend_client_drop_unsent(struct backend_client *client);
/* After 354: some bytes of the body, already dot-stuffed. on_writable asks for more. */
void backend_client_body(struct backend_client *client, const void *bytes, size_t length);
/* Ends the body: "." and CR LF. `replies` replies with tags 0.. are then expected. */
void backend_client_final_dot(struct backend_client *client, size_t replies);
/* True while bytes wait here: a final dot among them has certainly not arrived. */
bool backend_client_has_output(const struct backend_client *client);
/* Leaves the transaction under way, if there is one. False: the connection is in no state for that and must be closed. */
bool backend_client_reset(struct backend_client *client);
/* QUIT; the owner gets on_failed(BACKEND_CLOSED) when the backend has hung up, or after a moment. */
void backend_client_quit(struct backend_client *client);

const struct capability_set *backend_client_capabilities(const struct backend_client *client);
/* Monotonic time of the last greeting. */
int64_t backend_client_opened_us(const struct backend_client *client);
unsigned backend_client_messages(const struct backend_client *client); /* bodies sent */
unsigned backend_client_refusals(const struct backend_client *client); /* 5xx heard */
/* Nothing is under way and nothing is expected. */
bool backend_client_is_idle(const struct backend_client *client);

#endif
