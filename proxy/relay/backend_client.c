/* The connection's state machine. Owns the stream, the queue of commands and the timer of the step under way. Never decides
 * what a transaction says; never retries. */
#include "relay/backend_client.h"

#include <string.h>
#include <sys/queue.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"
#include "mail/reply.h"

#define CLIENT_MAGIC 0x424b434cu
#define QUIT_WAIT_MS 2000
/* No reply that reply_parse would take is longer; a peer that sends more without a line end is cut off. */
#define REPLY_BYTES_MAX (128u << 10)

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

static void connect_next(struct backend_client *client);

static const char *
state_text(enum client_state state)
{
	switch (state) {
#define X(name, text) \
	case name: \
		return text;
		CLIENT_STATES(X)
#undef X
	}
	return "unknown";
}

static void
change_state(struct backend_client *client, enum client_state state)
{
	log_debug("backend %s: %s -> %s", client->options.name, state_text(client->state), state_text(state));
	client->state = state;
}

static void
arm_timer(struct backend_client *client, int64_t ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (ms > 0)
		evtimer_add(client->timer, &timeout);
	else
		evtimer_del(client->timer);
}

#define trace(client, kind, ...) \
	do { \
		if ((client)->record != NULL) \
			record_event((client)->record, (client)->options.clock, kind, __VA_ARGS__); \
	} while (0)

static void
trace_reply(struct backend_client *client, const struct reply *reply)
{
	if (client->record == NULL)
		return;
	struct buffer text = {0};
	reply_append_text(&text, reply);
	trace(client, RECORD_EVENT_BACKEND_REPLY, "%s", buffer_text(&text));
	buffer_free(&text);
}

static void
write_line(struct backend_client *client, const char *line)
{
	ASSERT(strpbrk(line, "\r\n") == NULL);
	trace(client, RECORD_EVENT_BACKEND_SENT, "%s", line);
	stream_write(client->stream, line, strlen(line));
	stream_write(client->stream, "\r\n", 2);
}

static void
drop_command(struct backend_client *client, struct queued_command *queued)
{
	TAILQ_REMOVE(&client->queue, queued, next);
	memory_free(&queued->line);
	memory_free(&queued);
}

static void
destroy(struct backend_client *client)
{
	while (!TAILQ_EMPTY(&client->queue))
		drop_command(client, TAILQ_FIRST(&client->queue));
	stream_free(&client->stream);
	event_free(client->timer);
	memory_free(&client->addresses);
	client->magic = 0;
	memory_free(&client);
}

/* Event handlers stand between these two: a callback may free the client under them. */
static void
enter(struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	client->depth++;
}

static void
leave(struct backend_client *client)
{
	client->depth--;
	if (client->depth == 0 && client->doomed)
		destroy(client);
}

static void
fail(struct backend_client *client, enum backend_failure_kind kind, const struct reply *reply)
{
	struct backend_failure failure = {.kind = kind, .reply = reply, .handshake = client->state < STATE_READY};
	if (client->state == STATE_CLOSED)
		return;
	if (client->state != STATE_QUITTING)
		trace(client, RECORD_EVENT_NOTE, "backend %s %s (%s)", client->options.name, backend_failure_text(kind), state_text(client->state));
	change_state(client, STATE_CLOSED);
	arm_timer(client, 0);
	stream_free(&client->stream);
	if (client->callbacks != NULL)
		client->callbacks->on_failed(client->context, &failure);
}

/* Lets commands go as far as the backend's manners allow. */
static void
send_commands(struct backend_client *client)
{
	bool pipelining = (client->offered.bits & CAPABILITY_PIPELINING) != 0;
	struct queued_command *queued;
	if (client->state != STATE_READY)
		return;
	TAILQ_FOREACH(queued, &client->queue, next) {
		if (queued->sent)
			continue;
		if (client->outstanding > 0 && !pipelining)
			return;
		write_line(client, queued->line);
		queued->sent = true;
		if (client->outstanding++ == 0)
			arm_timer(client, client->options.config->timeouts.backend_command);
	}
}

/* The next reply has its own time; the one to the final dot has that of the delivery. */
static void
time_next_reply(struct backend_client *client)
{
	const struct queued_command *head = TAILQ_FIRST(&client->queue);
	bool timed = client->outstanding > 0 && head->command != BACKEND_COMMAND_END_OF_DATA;
	arm_timer(client, timed ? client->options.config->timeouts.backend_command : 0);
}

static void
say_hello(struct backend_client *client)
{
	bool lmtp = client->options.protocol != BACKEND_SMTP;
	char *line = memory_format("%s %s", lmtp ? "LHLO" : "EHLO", client->options.config->hostname);
	change_state(client, STATE_EXTENDED_HELLO);
	write_line(client, line);
	arm_timer(client, client->options.config->timeouts.backend_command);
	memory_free(&line);
}

/* Only an SMTP server can be us: we do not listen for LMTP, and a mail server on our machine may well greet with its name. */
static bool
is_loop(const struct backend_client *client, const struct reply *reply)
{
	return client->options.protocol == BACKEND_SMTP && greeting_names_host(reply->text, client->options.config->hostname);
}

static void
handle_greeting(struct backend_client *client, const struct reply *reply)
{
	if (reply->code == 421)
		fail(client, BACKEND_LEAVING, reply);
	else if (reply->code != 220)
		fail(client, reply->code >= 400 ? BACKEND_REFUSED : BACKEND_GARBAGE, reply);
	else if (is_loop(client, reply))
		fail(client, BACKEND_LOOP, NULL);
	else
		say_hello(client);
}

static void
become_ready(struct backend_client *client)
{
	struct buffer text = {0};
	capabilities_append_text(&text, &client->offered);
	trace(client, RECORD_EVENT_NOTE, "backend %s is ready, offers: %s", client->options.name, buffer_text(&text));
	buffer_free(&text);
	arm_timer(client, 0);
	client->opened_us = clock_monotonic_us(client->options.clock);
	change_state(client, STATE_READY);
	client->callbacks->on_ready(client->context);
}

static void
handle_hello(struct backend_client *client, const struct reply *reply)
{
	bool extended = client->state == STATE_EXTENDED_HELLO;
	if (reply->code == 250 && is_loop(client, reply)) {
		fail(client, BACKEND_LOOP, NULL);
	} else if (reply->code == 250) {
		if (extended)
			capabilities_parse(reply->text, &client->offered);
		become_ready(client);
	} else if (reply_is_permanent(reply) && extended && client->options.protocol == BACKEND_SMTP) {
		char *line = memory_format("HELO %s", client->options.config->hostname);
		change_state(client, STATE_HELLO); /* RFC 5321 3.2 */
		write_line(client, line);
		arm_timer(client, client->options.config->timeouts.backend_command);
		memory_free(&line);
	} else {
		fail(client, reply->code == 421 ? BACKEND_LEAVING : reply->code >= 400 ? BACKEND_REFUSED : BACKEND_GARBAGE, reply);
	}
}

/* Is this code an answer to this command at all? */
static bool
reply_fits(enum backend_command command, const struct reply *reply)
{
	if (reply->code >= 400)
		return true;
	if (command == BACKEND_COMMAND_DATA)
		return reply->code == 354;
	return reply->code < 300;
}

/* State and counts after a reply to a command. False: the connection is over. */
static bool
follow_reply(struct backend_client *client, enum backend_command command, const struct reply *reply)
{
	if (!reply_fits(command, reply)) {
		fail(client, BACKEND_GARBAGE, reply);
		return false;
	}
	/* A 421 to the final dot is that message's answer; the end of the connection follows by itself. */
	if (reply->code == 421 && command != BACKEND_COMMAND_END_OF_DATA) {
		fail(client, BACKEND_LEAVING, reply);
		return false;
	}
	if (command == BACKEND_COMMAND_RSET && reply->code >= 400) {
		fail(client, BACKEND_REFUSED, reply);
		return false;
	}
	if (reply_is_permanent(reply))
		client->refusals++;
	if (command == BACKEND_COMMAND_DATA && reply->code == 354)
		change_state(client, STATE_BODY);
	if (command == BACKEND_COMMAND_END_OF_DATA && client->outstanding == 0) {
		client->in_transaction = false;
		change_state(client, STATE_READY);
	}
	return true;
}

static void
handle_command_reply(struct backend_client *client, const struct reply *reply)
{
	struct queued_command *head = TAILQ_FIRST(&client->queue);
	if (client->outstanding == 0) {
		/* While idle: most often a 421 before the backend hangs up. */
		fail(client, reply->code == 421 ? BACKEND_LEAVING : BACKEND_GARBAGE, reply);
		return;
	}
	enum backend_command command = head->command;
	bool wanted = head->owner == client->owner && command != BACKEND_COMMAND_RSET && client->callbacks != NULL;
	size_t tag = head->tag;
	drop_command(client, head);
	client->outstanding--;
	if (!follow_reply(client, command, reply))
		return;
	time_next_reply(client);
	if (client->state == STATE_BODY)
		arm_timer(client, client->options.config->timeouts.backend_data_block);
	if (wanted)
		client->callbacks->on_reply(client->context, command, tag, reply);
	if (!client->doomed)
		send_commands(client);
}

static void
handle_reply(struct backend_client *client, const struct reply *reply)
{
	trace_reply(client, reply);
	switch (client->state) {
	case STATE_GREETING:
		handle_greeting(client, reply);
		break;
	case STATE_EXTENDED_HELLO:
	case STATE_HELLO:
		handle_hello(client, reply);
		break;
	case STATE_READY:
	case STATE_END_OF_DATA:
		handle_command_reply(client, reply);
		break;
	case STATE_BODY:
		/* It does not want the rest: the two sides no longer agree on where they are. */
		fail(client, reply_is_permanent(reply) ? BACKEND_REFUSED : BACKEND_LEAVING, reply);
		break;
	case STATE_QUITTING:
		if (reply->code == 221)
			fail(client, BACKEND_CLOSED, reply);
		break;
	case STATE_CONNECTING:
	case STATE_CLOSED:
		break;
	}
}

/* The rest of a reply, or of the replies to pipelined commands. */
static bool
is_owed_more(const struct backend_client *client, size_t left)
{
	return left > 0 || (client->state == STATE_READY && client->outstanding > 0);
}

static size_t
on_bytes(void *context, const char *bytes, size_t length)
{
	struct backend_client *client = context;
	size_t taken = 0;
	enter(client);
	while (taken < length && !client->doomed && client->state != STATE_CLOSED) {
		struct reply reply = {0};
		size_t used = 0;
		enum reply_parse_result result = reply_parse(span_make(bytes + taken, length - taken), &reply, &used);
		if (result == REPLY_INCOMPLETE && length - taken <= REPLY_BYTES_MAX) {
			reply_clear(&reply);
			break;
		}
		if (result == REPLY_COMPLETE)
			handle_reply(client, &reply);
		else
			fail(client, BACKEND_GARBAGE, NULL);
		taken += used;
		reply_clear(&reply);
	}
	if (client->stream != NULL && is_owed_more(client, length - taken))
		stream_acknowledge(client->stream);
	leave(client);
	return taken;
}

static void
on_connected(void *context)
{
	struct backend_client *client = context;
	enter(client);
	change_state(client, STATE_GREETING);
	arm_timer(client, client->options.config->timeouts.backend_command);
	leave(client);
}

static void
on_drained(void *context)
{
	struct backend_client *client = context;
	enter(client);
	if (client->state == STATE_BODY) {
		arm_timer(client, client->options.config->timeouts.backend_data_block);
		if (client->callbacks != NULL)
			client->callbacks->on_writable(client->context);
	}
	leave(client);
}

static void
on_closed(void *context, enum stream_close_reason reason, int error)
{
	struct backend_client *client = context;
	enter(client);
	if (client->state == STATE_CONNECTING) {
		trace(client, RECORD_EVENT_NOTE, "backend %s: %s: %s", client->options.name, stream_close_reason_text(reason), strerror(error));
		stream_free(&client->stream);
		connect_next(client);
	} else {
		fail(client, BACKEND_CLOSED, NULL);
	}
	leave(client);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct backend_client *client = context;
	(void)descriptor;
	(void)what;
	enter(client);
	if (client->state == STATE_CONNECTING) {
		/* The timer also carries what may not be told from inside backend_client_new. */
		stream_free(&client->stream);
		connect_next(client);
	} else {
		fail(client, client->state == STATE_QUITTING ? BACKEND_CLOSED : BACKEND_SILENT, NULL);
	}
	leave(client);
}

static const struct stream_callbacks stream_handlers = {
	.on_bytes = on_bytes,
	.on_drained = on_drained,
	.on_connected = on_connected,
	.on_closed = on_closed,
};

/* The one place where a connection is made. (In an empty chroot a Unix path leads nowhere: the master, which can see it, will hand
 * over a connected descriptor here.) */
static void
connect_next(struct backend_client *client)
{
	while (client->next_address < client->address_count) {
		const struct backend_address *address = &client->addresses[client->next_address++];
		client->stream = stream_connect(client->options.base, (const struct sockaddr *)&address->to, address->length, &stream_handlers,
		    client);
		if (client->stream != NULL) {
			arm_timer(client, client->options.config->timeouts.backend_connect);
			return;
		}
	}
	fail(client, BACKEND_UNREACHABLE, NULL);
}

struct backend_client *
backend_client_new(const struct backend_client_options *options, const struct backend_address *addresses, size_t count,
    const struct backend_client_callbacks *callbacks, void *context)
{
	struct backend_client *client = memory_new(sizeof *client);
	client->magic = CLIENT_MAGIC;
	client->options = *options;
	client->callbacks = callbacks;
	client->context = context;
	client->addresses = memory_new_array(count + 1, sizeof *addresses);
	memcpy(client->addresses, addresses, count * sizeof *addresses);
	client->address_count = count;
	client->state = STATE_CONNECTING;
	TAILQ_INIT(&client->queue);
	client->timer = evtimer_new(options->base, on_timer, client);
	ASSERT(client->timer != NULL);
	struct timeval at_once = {0, 0};
	evtimer_add(client->timer, &at_once);
	return client;
}

void
backend_client_free(struct backend_client **client_address)
{
	struct backend_client *client = *client_address;
	if (client == NULL)
		return;
	CHECK_MAGIC(client, CLIENT_MAGIC);
	*client_address = NULL;
	client->callbacks = NULL;
	client->record = NULL;
	if (client->depth == 0) {
		destroy(client);
		return;
	}
	client->doomed = true;
	arm_timer(client, 0);
	stream_free(&client->stream);
	client->state = STATE_CLOSED;
}

void
backend_client_part(struct backend_client **client_address)
{
	struct backend_client *client = *client_address;
	if (client != NULL && backend_client_is_idle(client)) {
		write_line(client, "QUIT");
		stream_close_after_flush(&client->stream);
	}
	backend_client_free(client_address);
}

void *
backend_client_keeper(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->options.keeper;
}

void
backend_client_set_owner(struct backend_client *client, const struct backend_client_callbacks *callbacks, void *context)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	client->owner++;
	client->callbacks = callbacks;
	client->context = context;
}

void
backend_client_set_record(struct backend_client *client, struct record *record)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	client->record = record;
}

static void
queue_command(struct backend_client *client, enum backend_command command, size_t tag, const char *line)
{
	struct queued_command *queued = memory_new(sizeof *queued);
	queued->command = command;
	queued->owner = client->owner;
	queued->tag = tag;
	queued->line = memory_copy_string(line);
	TAILQ_INSERT_TAIL(&client->queue, queued, next);
}

void
backend_client_command(struct backend_client *client, enum backend_command command, size_t tag, const char *line)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->state == STATE_CLOSED)
		return; /* its end is being told just now */
	ASSERT(client->state == STATE_READY);
	queue_command(client, command, tag, line);
	if (command == BACKEND_COMMAND_MAIL)
		client->in_transaction = true;
	/* Out of a reply's callback, handle_command_reply sends. */
	send_commands(client);
}

void
backend_client_drop_unsent(struct backend_client *client)
{
	struct queued_command *queued, *next;
	CHECK_MAGIC(client, CLIENT_MAGIC);
	for (queued = TAILQ_FIRST(&client->queue); queued != NULL; queued = next) {
		next = TAILQ_NEXT(queued, next);
		if (!queued->sent)
			drop_command(client, queued);
	}
}

void
backend_client_body(struct backend_client *client, const void *bytes, size_t length)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->state != STATE_BODY)
		return;
	stream_write(client->stream, bytes, length);
}

void
backend_client_final_dot(struct backend_client *client, size_t replies)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->state != STATE_BODY)
		return;
	change_state(client, STATE_END_OF_DATA);
	write_line(client, ".");
	client->messages++;
	for (size_t i = 0; i < replies; i++) {
		queue_command(client, BACKEND_COMMAND_END_OF_DATA, i, ".");
		TAILQ_LAST(&client->queue, command_queue)->sent = true;
	}
	client->outstanding = replies;
	time_next_reply(client);
}

bool
backend_client_has_output(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->stream != NULL && stream_output_length(client->stream) > 0;
}

bool
backend_client_reset(struct backend_client *client)
{
	struct queued_command *queued;
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->state != STATE_READY)
		return false;
	backend_client_drop_unsent(client);
	TAILQ_FOREACH(queued, &client->queue, next) {
		if (queued->command == BACKEND_COMMAND_DATA)
			return false; /* the answer may be 354, and then only a message gets us out */
	}
	if (client->in_transaction) {
		client->in_transaction = false;
		queue_command(client, BACKEND_COMMAND_RSET, 0, "RSET");
		send_commands(client);
	}
	return true;
}

void
backend_client_quit(struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	if (client->state == STATE_CLOSED || client->state == STATE_QUITTING)
		return;
	if (client->state == STATE_READY) {
		backend_client_drop_unsent(client);
		write_line(client, "QUIT");
	}
	change_state(client, STATE_QUITTING);
	arm_timer(client, QUIT_WAIT_MS);
}

const struct capability_set *
backend_client_capabilities(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return &client->offered;
}

int64_t
backend_client_opened_us(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->opened_us;
}

unsigned
backend_client_messages(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->messages;
}

unsigned
backend_client_refusals(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->refusals;
}

bool
backend_client_is_idle(const struct backend_client *client)
{
	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client->state == STATE_READY && TAILQ_EMPTY(&client->queue);
}
