/* A client connection: its birth, its input in lines or message bytes, its replies, its end. What commands mean is in
 * commands.c, what becomes of a message in transaction.c and its neighbours. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "front/commands.h"
#include "front/receive.h"
#include "front/session.h"
#include "front/transaction.h"
#include "mail/command.h"

#define OUTPUT_LIMIT (256u << 10) /* a client that sends commands and never reads the replies is cut off here */
#define DRAIN_IDLE_MS 2000 /* silence between transactions that ends a session of a draining process */
#define IPV6_CLIENT_PREFIX 64 /* one customer's network counts as one client */

static size_t on_bytes(void *context, const char *bytes, size_t length);
static void on_closed(void *context, enum stream_close_reason reason, int error);
static void session_free(struct session **session);

static const struct stream_callbacks stream_callbacks = {.on_bytes = on_bytes, .on_closed = on_closed};

void
session_change_state(struct session *session, enum session_state state)
{
	static const char *const texts[] = {
#define X(name, text, description) [name] = text,
		SESSION_STATES(X)
#undef X
	};

	if (session->state == state)
		return;
	log_debug("session=%s state %s -> %s", session->session_id, texts[session->state], texts[state]);
	session->state = state;
}

struct record *
session_record(struct session *session)
{
	return session->transaction != NULL ? transaction_record(session->transaction) : &session->record;
}

/* --- replies --- */

static void
count_error(struct session *session)
{
	session->errors++;
	if (session->transaction == NULL)
		session->record.result = RECORD_REFUSED;
	if (session->errors <= session->front->config->limits.errors || session->state == SESSION_ENDED)
		return;
	session_reply_text(session, 421, "4.7.0", "%s Error: too many errors", session->front->config->hostname);
}

/* The client is sent away: an open transaction ends with that. A session outside of one was refused, except one that had its
 * messages through and then said nothing more, and all those of a process that drains. Returns the reply to be said. */
static const struct reply *
note_hang_up(struct session *session, const struct reply *reply)
{
	bool idle = session->transactions > 0 && strcmp(reply->enhanced, "4.4.2") == 0;

	if (session->transaction != NULL)
		return transaction_cut_off(session->transaction, reply);
	if (!idle && !session->front->draining)
		session->record.result = RECORD_REFUSED;
	return reply;
}

void
session_reply(struct session *session, const struct reply *reply)
{
	struct buffer wire = {0}, text = {0};

	if (session->client_gone || session->state == SESSION_ENDED)
		return;
	if (reply->code == 421)
		reply = note_hang_up(session, reply);
	reply_append_wire(&wire, reply, session->transaction != NULL && transaction_is_utf8(session->transaction));
	stream_write(session->stream, wire.data, wire.length);
	reply_append_text(&text, reply);
	record_event(session_record(session), session->front->clock, RECORD_EVENT_REPLY, "%s", buffer_text(&text));
	if (session->transaction == NULL && reply->code >= 400)
		record_set(&session->record.reply, buffer_text(&text));
	buffer_free(&wire);
	buffer_free(&text);
	if (reply->code == 421)
		session_end(session);
	else if (reply_is_permanent(reply))
		count_error(session);
}

void
session_reply_text(struct session *session, int code, const char *enhanced, const char *format, ...)
{
	struct reply reply = {0};
	va_list arguments;
	char text[REPLY_TEXT_MAX];

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	reply_set(&reply, code, enhanced, "%s", text);
	session_reply(session, &reply);
	reply_clear(&reply);
}

/* --- waiting and ending --- */

void
session_await_command(struct session *session)
{
	int64_t timeout_ms = session->front->config->timeouts.command;

	if (session->front->draining && session->transaction == NULL && timeout_ms > DRAIN_IDLE_MS)
		timeout_ms = DRAIN_IDLE_MS;
	stream_set_timeout(session->stream, timeout_ms);
}

void
session_wait(struct session *session)
{
	session_change_state(session, SESSION_WAITING);
	stream_pause(session->stream);
}

static void
say_service_ends(struct session *session)
{
	session_reply_text(session, 421, "4.3.2", "%s Service shutting down, try again", session->front->config->hostname);
}

void
session_proceed(struct session *session)
{
	if (session->front->drain_over)
		say_service_ends(session); /* it was let off at the deadline to hear what became of its message */
	if (session->state == SESSION_ENDED) {
		if (!session->inside_input)
			session_free(&session);
		return;
	}
	session_change_state(session, SESSION_COMMANDS);
	session_await_command(session);
	stream_resume(session->stream);
}

void
session_end(struct session *session)
{
	session_change_state(session, SESSION_ENDED);
}

/* --- birth and death --- */

static void
on_reverse_name(void *context, enum reverse_status status, const char *name)
{
	struct session *session = context;

	session->reverse_question = 0;
	session->reverse_status = status;
	if (status == REVERSE_CONFIRMED)
		session->reverse_name = memory_copy_string(name);
	record_set(&session->record.reverse_name, session->reverse_name);
	if (session->transaction != NULL)
		transaction_reverse_name_known(session->transaction);
}

static bool
line_feeds_allowed(const struct front *front, const struct ip_address *client)
{
	return front->config->line_ends == LINE_ENDS_NORMALISE || network_list_contains(&front->config->line_ends_exceptions, client);
}

static void
begin_record(struct session *session)
{
	const struct front *front = session->front;
	char address[IP_ADDRESS_TEXT_SIZE];

	snprintf(session->record.session_id, sizeof session->record.session_id, "%s", session->session_id);
	session->record.started_us = clock_wall_us(front->clock);
	session->record.began_monotonic_us = clock_monotonic_us(front->clock);
	session->record.client = session->client;
	session->record.client_port = session->client_port;
	record_event(&session->record, front->clock, RECORD_EVENT_CONNECT, "[%s]:%u", ip_address_format(&session->client, address),
	    session->client_port);
}

/* Over a limit: 421 with the reason, or NULL when there is room. Also enters the session into the counts. */
static const char *
check_limits(struct session *session)
{
	struct front *front = session->front;

	shared_gauge_add(front->page, GAUGE_SESSIONS, 1);
	session->address_hash = ip_address_hash(&session->client, IPV6_CLIENT_PREFIX);
	if (shared_address_enter(front->shared, front->slot, session->address_hash) > front->config->limits.sessions_per_address)
		return "too many connections from your address";
	if (shared_gauge_total(front->shared, GAUGE_SESSIONS) > front->config->limits.sessions)
		return "too many connections, try again later";
	if (front->draining)
		return "service is restarting, try again";
	return NULL;
}

struct session *
session_new(struct front *front, int descriptor, const struct sockaddr *peer)
{
	struct session *session = memory_new(sizeof *session);
	const char *refusal;

	session->magic = SESSION_MAGIC;
	session->front = front;
	session->id = id_map_add(front->sessions, session);
	queue_id_make(&front->ids, session->session_id);
	ip_address_from_sockaddr(peer, &session->client, &session->client_port);
	session->bare_line_feeds = line_feeds_allowed(front, &session->client);
	session->stream = stream_new(front->base, descriptor, &stream_callbacks, session);
	stream_set_output_limit(session->stream, OUTPUT_LIMIT);
	stream_set_timeout(session->stream, front->config->timeouts.command);
	begin_record(session);
	refusal = check_limits(session);
	if (refusal != NULL) {
		shared_count(front->page, COUNTER_SESSIONS_REFUSED, 1);
		session->record.result = RECORD_REFUSED;
		session_reply_text(session, 421, strstr(refusal, "address") != NULL ? "4.7.0" : "4.3.2", "%s Error: %s", front->config->hostname,
		    refusal);
		session_free(&session);
		return NULL;
	}
	shared_count(front->page, COUNTER_SESSIONS_ACCEPTED, 1);
	session->reverse_status = REVERSE_TEMPERROR;
	session->reverse_question = resolver_ask_reverse(front->resolver, &session->client, on_reverse_name, session);
	session_reply_text(session, 220, NULL, "%s ESMTP postern", front->config->hostname);
	return session;
}

static void
publish_refusal(struct session *session)
{
	struct front *front = session->front;

	if (!session->spoke && session->client_gone && session->record.result != RECORD_REFUSED) {
		shared_count(front->page, COUNTER_PROBES, 1);
		return;
	}
	if (session->record.result != RECORD_REFUSED)
		return;
	session->record.finished_us = clock_wall_us(front->clock);
	front_publish(front, &session->record, -1);
}

static void
session_free(struct session **session_address)
{
	struct session *session = *session_address;
	struct front *front = session->front;

	CHECK_MAGIC(session, SESSION_MAGIC);
	if (session->transaction != NULL)
		transaction_free(&session->transaction);
	publish_refusal(session);
	if (session->reverse_question != 0)
		resolver_cancel(front->resolver, session->reverse_question);
	shared_address_leave(front->shared, front->slot, session->address_hash);
	shared_gauge_add(front->page, GAUGE_SESSIONS, -1);
	id_map_remove(front->sessions, session->id);
	if (session->client_gone)
		stream_free(&session->stream);
	else
		stream_close_after_flush(&session->stream);
	memory_free(&session->reverse_name);
	memory_free(&session->helo);
	record_clear(&session->record);
	session->magic = 0;
	memory_free(session_address);
	if (front->on_session_ended != NULL)
		front->on_session_ended(front->context);
}

void
session_drain(struct session *session, bool now)
{
	if (!now) {
		if (session->state == SESSION_COMMANDS)
			session_await_command(session);
		return;
	}
	if (session->transaction != NULL && transaction_is_being_delivered(session->transaction))
		return; /* its budget bounds it; ending it now could double the message */
	say_service_ends(session);
	session_end(session);
	if (!session->inside_input)
		session_free(&session);
}

/* --- input --- */

static void
refuse_line(struct session *session, int code, const char *enhanced, const char *text)
{
	record_event(session_record(session), session->front->clock, RECORD_EVENT_COMMAND, "(%s)", text);
	session_reply_text(session, code, enhanced, "%s", text);
}

/* A bare line feed hides a second line from peers that see one: said, and the end of the session, as Postfix does. */
static bool
line_end_is_refused(struct session *session, struct span line)
{
	if (line.length > 0 && line.at[line.length - 1] == '\r')
		return false;
	if (session->bare_line_feeds)
		return false;
	refuse_line(session, 500, "5.5.2", "bare <LF> received; lines end in <CR><LF>");
	session_end(session);
	return true;
}

static void
handle_line(struct session *session, struct span line, bool more_input)
{
	if (line_end_is_refused(session, line))
		return;
	if (line.length > 0 && line.at[line.length - 1] == '\r')
		line.length--;
	session->spoke = true;
	if (memchr(line.at, '\0', line.length) != NULL || memchr(line.at, '\r', line.length) != NULL) {
		refuse_line(session, 500, "5.5.2", "NUL or bare <CR> in command");
		if (command_is_foreign_protocol(line)) /* the first line of a TLS handshake mostly has a NUL */
			session_end(session);
		return;
	}
	session_command(session, line, more_input);
}

/* The stream's time limit is for silence; a byte now and then would stretch one command (or unwanted chunk) for ever. Asked each
 * time some of it came and it is not complete; says 421 when it has taken too long. */
static void
bound_input(struct session *session, int64_t limit_ms)
{
	int64_t now_us = clock_monotonic_us(session->front->clock);

	if (session->input_began_us == 0)
		session->input_began_us = now_us;
	if (now_us - session->input_began_us > limit_ms * 1000)
		session_reply_text(session, 421, "4.4.2", "%s Error: timeout exceeded", session->front->config->hostname);
}

static size_t
skip_line(struct session *session, size_t taken, bool ends)
{
	session->skipping_line = !ends;
	if (ends) {
		session->input_began_us = 0;
		refuse_line(session, 500, "5.5.6", "line too long");
	} else {
		bound_input(session, session->front->config->timeouts.command);
	}
	return taken;
}

/* Takes one command line, or nothing while it is not complete. */
static size_t
take_line(struct session *session, const char *bytes, size_t length)
{
	const char *end = memchr(bytes, '\n', length);
	size_t taken = end != NULL ? (size_t)(end - bytes) + 1 : length;

	if (session->skipping_line || taken > COMMAND_LINE_MAX)
		return skip_line(session, taken, end != NULL);
	if (end == NULL) {
		bound_input(session, session->front->config->timeouts.command);
		return 0;
	}
	session->input_began_us = 0;
	handle_line(session, span_make(bytes, taken - 1), taken < length);
	return taken;
}

static void
answer_swallowed(struct session *session)
{
	session_change_state(session, SESSION_COMMANDS);
	session_reply_text(session, 503, "5.5.1", "%s", session->transaction == NULL ? "MAIL first" : "no valid recipients");
}

void
session_swallow(struct session *session, uint64_t octets)
{
	session->swallow_left = octets;
	session_change_state(session, SESSION_SWALLOW);
	if (octets == 0)
		answer_swallowed(session);
}

static size_t
swallow(struct session *session, size_t length)
{
	size_t taken = length < session->swallow_left ? length : (size_t)session->swallow_left;

	session->swallow_left -= taken;
	if (session->swallow_left == 0) {
		session->input_began_us = 0;
		answer_swallowed(session);
	} else {
		bound_input(session, session->front->config->timeouts.data_total);
	}
	return taken;
}

static size_t
take_input(struct session *session, const char *bytes, size_t length)
{
	switch (session->state) {
	case SESSION_COMMANDS:
		return take_line(session, bytes, length);
	case SESSION_DATA:
	case SESSION_CHUNK:
		return receive_bytes(session->transaction, bytes, length);
	case SESSION_SWALLOW:
		return swallow(session, length);
	case SESSION_WAITING:
		return 0;
	case SESSION_ENDED:
		return length;
	}
	return length;
}

static size_t
on_bytes(void *context, const char *bytes, size_t length)
{
	struct session *session = context;
	size_t total = 0;

	CHECK_MAGIC(session, SESSION_MAGIC);
	session->inside_input = true;
	while (total < length) {
		size_t taken = take_input(session, bytes + total, length - total);

		if (taken == 0)
			break;
		total += taken;
	}
	session->inside_input = false;
	if (session->state == SESSION_ENDED)
		session_free(&session);
	return total;
}

static void
on_closed(void *context, enum stream_close_reason reason, int error)
{
	struct session *session = context;
	bool timed_out = reason == STREAM_TIMEOUT;

	CHECK_MAGIC(session, SESSION_MAGIC);
	record_event(session_record(session), session->front->clock, RECORD_EVENT_CONNECT, "%s%s%s", stream_close_reason_text(reason),
	    error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
	if (timed_out && session->front->draining && session->transaction == NULL)
		say_service_ends(session);
	else if (timed_out && session->state != SESSION_WAITING)
		session_reply_text(session, 421, "4.4.2", "%s Error: timeout exceeded", session->front->config->hostname);
	else
		session->client_gone = true;
	session_end(session);
	if (session->transaction != NULL && transaction_is_being_delivered(session->transaction))
		return; /* the outcome must be known and written down: session_proceed frees */
	session_free(&session);
}
