/* One connection's life, its queue of commands, and its events. Owns the stream, the queue and the timer of the step under way. Never
 * decides what a transaction says; never retries. What replies mean is in backend_replies.c. */
#include "relay/backend_client_parts.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"

#define QUIT_WAIT_MS 2000
/* No reply that reply_parse would take is longer; a peer that sends more without a line end is cut off. */
#define REPLY_BYTES_MAX (128u << 10)

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

void
client_change_state(struct backend_client *client, enum client_state state)
{
	log_debug("backend %s: %s -> %s", client->options.name, state_text(client->state), state_text(state));
	client->state = state;
}

void
client_arm_timer(struct backend_client *client, int64_t ms)
{
	struct timeval timeout = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	if (ms > 0)
		evtimer_add(client->timer, &timeout);
	else
		evtimer_del(client->timer);
}

void
client_write_line(struct backend_client *client, const char *line)
{
	ASSERT(strpbrk(line, "\r\n") == NULL);
	client_trace(client, RECORD_EVENT_BACKEND_SENT, "%s", line);
	stream_write(client->stream, line, strlen(line));
	stream_write(client->stream, "\r\n", 2);
}

void
client_drop_command(struct backend_client *client, struct queued_command *queued)
{
	TAILQ_REMOVE(&client->queue, queued, next);
	memory_free(&queued->line);
	memory_free(&queued);
}

static void
destroy(struct backend_client *client)
{
	while (!TAILQ_EMPTY(&client->queue))
		client_drop_command(client, TAILQ_FIRST(&client->queue));
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

void
client_fail(struct backend_client *client, enum backend_failure_kind kind, const struct reply *reply)
{
	struct backend_failure failure = {.kind = kind, .reply = reply, .handshake = client->state < STATE_READY};
	if (client->state == STATE_CLOSED)
		return;
	if (client->state != STATE_QUITTING)
		client_trace(client, RECORD_EVENT_NOTE, "backend %s %s (%s)", client->options.name, backend_failure_text(kind), state_text(client->state));
	client_change_state(client, STATE_CLOSED);
	client_arm_timer(client, 0);
	stream_free(&client->stream);
	if (client->callbacks != NULL)
		client->callbacks->on_failed(client->context, &failure);
}

/* Lets commands go as far as the backend's manners allow. */
void
client_send_commands(struct backend_client *client)
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
		client_write_line(client, queued->line);
		queued->sent = true;
		if (client->outstanding++ == 0)
			client_arm_timer(client, client->options.config->timeouts.backend_command);
	}
}

/* The next reply has its own time; the one to the final dot has that of the delivery. */
void
client_time_next_reply(struct backend_client *client)
{
	const struct queued_command *head = TAILQ_FIRST(&client->queue);
	bool timed = client->outstanding > 0 && head->command != BACKEND_COMMAND_END_OF_DATA;
	client_arm_timer(client, timed ? client->options.config->timeouts.backend_command : 0);
}

/* The rest of a reply, or of the replies to pipelined commands. */
static bool
is_owed_more(const struct backend_client *client, size_t left)
{
	return left > 0 || ((client->state == STATE_READY || client->state == STATE_END_OF_DATA) && client->outstanding > 0);
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
			client_handle_reply(client, &reply);
		else
			client_fail(client, BACKEND_GARBAGE, NULL);
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
	client_change_state(client, STATE_GREETING);
	client_arm_timer(client, client->options.config->timeouts.backend_command);
	leave(client);
}

static void
on_drained(void *context)
{
	struct backend_client *client = context;
	enter(client);
	if (client->state == STATE_BODY) {
		client_arm_timer(client, client->options.config->timeouts.backend_data_block);
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
		client_trace(client, RECORD_EVENT_NOTE, "backend %s: %s: %s", client->options.name, stream_close_reason_text(reason), strerror(error));
		stream_free(&client->stream);
		connect_next(client);
	} else {
		client_fail(client, BACKEND_CLOSED, NULL);
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
		client_fail(client, client->state == STATE_QUITTING ? BACKEND_CLOSED : BACKEND_SILENT, NULL);
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
			client_arm_timer(client, client->options.config->timeouts.backend_connect);
			return;
		}
	}
	client_fail(client, BACKEND_UNREACHABLE, NULL);
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
	client_arm_timer(client, 0);
	stream_free(&client->stream);
	client->state = STATE_CLOSED;
}

void
backend_client_part(struct backend_client **client_address)
{
	struct backend_client *client = *client_address;
	if (client != NULL && backend_client_is_idle(client)) {
		client_write_line(client, "QUIT");
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
	client_send_commands(client);
}

void
backend_client_drop_unsent(struct backend_client *client)
{
	struct queued_command *queued, *next;
	CHECK_MAGIC(client, CLIENT_MAGIC);
	for (queued = TAILQ_FIRST(&client->queue); queued != NULL; queued = next) {
		next = TAILQ_NEXT(queued, next);
		if (!queued->sent)
			client_drop_command(client, queued);
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
	client_change_state(client, STATE_END_OF_DATA);
	client_write_line(client, ".");
	client->messages++;
	for (size_t i = 0; i < replies; i++) {
		queue_command(client, BACKEND_COMMAND_END_OF_DATA, i, ".");
		TAILQ_LAST(&client->queue, command_queue)->sent = true;
	}
	client->outstanding = replies;
	client_time_next_reply(client);
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
		client_send_commands(client);
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
		client_write_line(client, "QUIT");
	}
	client_change_state(client, STATE_QUITTING);
	client_arm_timer(client, QUIT_WAIT_MS);
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
