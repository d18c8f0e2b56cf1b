/* A delivery's life, its one borrowed connection, and the choice of the next backend when one fails. */
#include "relay/delivery.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "relay/backend_commands.h"

static const struct pool_borrower borrower;

static const char *
state_text(enum delivery_state state)
{
	switch (state) {
#define X(name, text) \
	case name: \
		return text;
		DELIVERY_STATES(X)
#undef X
	}
	return "unknown";
}

void
delivery_change_state(struct delivery *delivery, enum delivery_state state)
{
	if (delivery->state != state)
		log_debug("delivery %s: %s -> %s", delivery->queue_id, state_text(delivery->state), state_text(state));
	delivery->state = state;
}

void
delivery_note(struct delivery *delivery, enum record_event_kind kind, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	record_event(delivery->record, delivery->relay->options.clock, kind, "%s", text);
}

static const char *
backend_name(const struct delivery *delivery)
{
	return backend_names_text(delivery->relay->names, delivery->backend);
}

void
delivery_forget_tries(struct delivery *delivery)
{
	delivery->tried = 0;
	delivery->fresh = false;
	delivery->failed = false;
	delivery->lacks_utf8 = false;
	reply_clear(&delivery->failure);
}

static void
give_up_backend(struct delivery *delivery)
{
	delivery->tried |= UINT64_C(1) << delivery->backend;
	delivery->fresh = false;
}

void
delivery_backend_failed(struct delivery *delivery, const struct reply *reply)
{
	give_up_backend(delivery);
	delivery->failed = true;
	reply_copy(&delivery->failure, reply);
}

void
delivery_map_reply(struct delivery *delivery, const struct reply *said, enum reply_step step, struct reply *mapped)
{
	bool alarm = false;
	reply_map(said, step, mapped, &alarm);
	reply_copy(&delivery->backend_reply, said);
	if (!alarm)
		return;
	struct buffer text = {0};
	reply_append_text(&text, said);
	relay_alarm(delivery->relay, delivery->backend, "does not take our mail: %s", buffer_text(&text));
	buffer_free(&text);
}

/* A connection that was used before and is hung up now was closed while it waited: that says nothing about the backend. */
static bool
is_stale(const struct delivery *delivery, const struct backend_failure *failure)
{
	return delivery->reused && !delivery->fresh && !failure->handshake &&
	    (failure->kind == BACKEND_CLOSED || failure->kind == BACKEND_LEAVING);
}

/* Mail waits at its senders as long as nobody does something about the backend. */
static void
say_alarm(struct delivery *delivery, const struct backend_failure *failure)
{
	const struct config *config = delivery->relay->options.config;
	if (failure->kind == BACKEND_LOOP)
		relay_alarm(delivery->relay, delivery->backend, "greets with our own name %s: mail loop", config->hostname);
	else if (failure->handshake && backend_failure_skips(failure->kind))
		relay_alarm(delivery->relay, delivery->backend, "%s; it is skipped for %lld s, then tried again", backend_failure_text(failure->kind),
		    (long long)((config->timeouts.backend_retry + 999) / 1000));
}

/* The failure of a connection, or of the attempt to get one, as something to answer. */
static void
note_failure(struct delivery *delivery, const struct backend_failure *failure)
{
	struct reply reply = {0};
	if (failure->reply != NULL && failure->kind == BACKEND_REFUSED)
		delivery_map_reply(delivery, failure->reply, REPLY_STEP_CONNECT, &reply);
	else
		backend_failure_reply(failure->kind, &reply);
	say_alarm(delivery, failure);
	if (failure->kind == BACKEND_SKIPPED || failure->kind == BACKEND_CROWDED || failure->kind == BACKEND_NAME_UNRESOLVED)
		delivery_note(delivery, RECORD_EVENT_NOTE, "backend %s %s", backend_name(delivery), backend_failure_text(failure->kind));
	/* "Skipped" tells less than why another one failed. */
	if (failure->kind == BACKEND_SKIPPED && delivery->failure.code != 0)
		reply_copy(&reply, &delivery->failure);
	delivery_backend_failed(delivery, &reply);
	reply_clear(&reply);
}

void
delivery_connection_failed(struct delivery *delivery, const struct backend_failure *failure)
{
	if (!failure->handshake) /* what it said before, to RCPT or DATA */
		reply_clear(&delivery->backend_reply);
	if (failure->reply != NULL)
		reply_copy(&delivery->backend_reply, failure->reply);
	if (is_stale(delivery, failure)) {
		delivery_note(delivery, RECORD_EVENT_NOTE, "the pooled connection to %s had gone, opening a new one", backend_name(delivery));
		delivery->fresh = true;
	} else {
		shared_count(delivery->relay->page, COUNTER_BACKEND_FAILURES, 1);
		note_failure(delivery, failure);
	}
}

/* Can the connection take this mail? If not, it goes back and its backend is done with. */
static bool
client_suits(struct delivery *delivery)
{
	const struct capability_set *offered = backend_client_capabilities(delivery->client);
	delivery->reached = backend_name(delivery);
	if (!delivery->envelope->smtputf8 || (offered->bits & CAPABILITY_SMTPUTF8) != 0)
		return true;
	delivery_note(delivery, RECORD_EVENT_NOTE, "backend %s does not offer SMTPUTF8, which this mail needs", backend_name(delivery));
	delivery_release(delivery);
	give_up_backend(delivery);
	delivery->lacks_utf8 = true;
	return false;
}

enum delivery_way
delivery_find_way(struct delivery *delivery)
{
	struct relay *relay = delivery->relay;
	const struct route *route = route_table_get(relay->routes, delivery->route);
	ASSERT(delivery->client == NULL && delivery->waiter == NULL);
	for (size_t i = 0; i < route->count; i++) {
		unsigned backend = route->backends[i];
		if ((delivery->tried & UINT64_C(1) << backend) != 0)
			continue;
		if (delivery->failed && backend != delivery->backend)
			delivery_note(delivery, RECORD_EVENT_NOTE, "trying the next backend, %s", backend_names_text(relay->names, backend));
		delivery->backend = backend;
		if (relay->options.config->backends[backend].protocol == BACKEND_MAILDIR)
			return DELIVERY_WAY_STORE;
		delivery->client = pool_borrow(relay->pool, backend, delivery->fresh, delivery->record, &borrower, delivery, &delivery->waiter);
		if (delivery->client == NULL)
			return DELIVERY_WAY_WAIT;
		delivery->reused = true;
		delivery_note(delivery, RECORD_EVENT_NOTE, "using a pooled connection to %s", backend_name(delivery));
		if (client_suits(delivery))
			return DELIVERY_WAY_CLIENT;
	}
	return DELIVERY_WAY_NONE;
}

void
delivery_no_way(struct delivery *delivery, struct reply *reply)
{
	/* Another backend, which failed just now, may take SMTPUTF8 mail. If there is none: RFC 6531 3.5. */
	if (delivery->lacks_utf8 && !delivery->failed)
		reply_set(reply, 550, "5.6.7", "The mail server cannot take internationalized mail (SMTPUTF8)");
	else if (delivery->failure.code != 0)
		reply_copy(reply, &delivery->failure);
	else
		backend_failure_reply(BACKEND_SKIPPED, reply);
}

static void
forget_said(struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->said_count; i++)
		memory_free(&delivery->said_recipients[i]);
	memory_free(&delivery->said_recipients);
	memory_free(&delivery->said_sender);
	delivery->said_count = 0;
	evtimer_del(delivery->hold_timer);
}

void
delivery_release(struct delivery *delivery)
{
	forget_said(delivery);
	pool_return(delivery->relay->pool, &delivery->client);
}

void
delivery_discard(struct delivery *delivery)
{
	forget_said(delivery);
	pool_discard(delivery->relay->pool, &delivery->client);
}

bool
delivery_uses_client(const struct delivery *delivery)
{
	switch (delivery->state) {
	case DELIVERY_CHECK_REPLY:
	case DELIVERY_SEND_ENVELOPE:
	case DELIVERY_SEND_BODY:
	case DELIVERY_SEND_END:
		return true;
	default:
		return delivery->client == NULL; /* nothing to take away */
	}
}

/* --- what is said --- */

const char *
delivery_address(const struct delivery *delivery, size_t index)
{
	const struct recipient *recipient = &delivery->envelope->recipients[index];
	/* Bare <postmaster> is the administrator's (RFC 5321 4.5.1). */
	return recipient->domain[0] == '\0' ? delivery->relay->options.config->postmaster : recipient->address;
}

void
delivery_say_mail(struct delivery *delivery, uint64_t size)
{
	struct buffer line = {0};
	backend_command_mail(&line, delivery->envelope, backend_client_capabilities(delivery->client), size);
	backend_client_command(delivery->client, BACKEND_COMMAND_MAIL, 0, buffer_text(&line));
	delivery->said_sender = memory_copy_string(delivery->envelope->sender);
	buffer_free(&line);
}

void
delivery_say_recipient(struct delivery *delivery, size_t index)
{
	struct buffer line = {0};
	backend_command_rcpt(&line, &delivery->envelope->recipients[index], delivery_address(delivery, index),
	    backend_client_capabilities(delivery->client));
	backend_client_command(delivery->client, BACKEND_COMMAND_RCPT, index, buffer_text(&line));
	buffer_free(&line);
}

void
delivery_remember_recipient(struct delivery *delivery, size_t index)
{
	delivery->said_recipients = memory_resize(delivery->said_recipients, delivery->said_count + 1, sizeof *delivery->said_recipients);
	delivery->said_recipients[delivery->said_count++] = memory_copy_string(delivery_address(delivery, index));
}

bool
delivery_said_recipient(const struct delivery *delivery, const char *address)
{
	for (size_t i = 0; i < delivery->said_count; i++) {
		if (strcmp(delivery->said_recipients[i], address) == 0)
			return true;
	}
	return false;
}

/* --- events of the connection --- */

/* Again, with what is left to try. */
static void
go_on(struct delivery *delivery)
{
	if (delivery->state == DELIVERY_CHECK_CONNECT)
		delivery_check_go_on(delivery);
	else
		delivery_send_go_on(delivery);
}

static void
on_client(void *context, struct backend_client *client, bool reused)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	delivery->client = client;
	delivery->reused = reused;
	if (reused)
		delivery_note(delivery, RECORD_EVENT_NOTE, "using a pooled connection to %s", backend_name(delivery));
	if (!client_suits(delivery))
		go_on(delivery);
	else if (delivery->state == DELIVERY_CHECK_CONNECT)
		delivery_check_connected(delivery);
	else
		delivery_send_connected(delivery);
}

static void
on_refused(void *context, const struct backend_failure *failure)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	note_failure(delivery, failure);
	go_on(delivery);
}

static void
on_reclaim(void *context)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	if (delivery_uses_client(delivery))
		return;
	delivery_note(delivery, RECORD_EVENT_NOTE, "others wait for a connection to %s: giving ours back", backend_name(delivery));
	delivery_release(delivery);
}

static void
on_reply(void *context, enum backend_command command, size_t tag, const struct reply *reply)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	if (delivery->state == DELIVERY_CHECK_REPLY)
		delivery_check_reply(delivery, command, reply);
	else
		delivery_send_reply(delivery, command, tag, reply);
}

static void
on_writable(void *context)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	if (delivery->state == DELIVERY_SEND_BODY)
		delivery_send_block(delivery);
}

static void
on_failed(void *context, const struct backend_failure *failure)
{
	struct delivery *delivery = context;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	switch (delivery->state) {
	case DELIVERY_CHECK_REPLY:
		delivery_connection_failed(delivery, failure);
		delivery_discard(delivery);
		delivery_check_go_on(delivery);
		break;
	case DELIVERY_SEND_ENVELOPE:
	case DELIVERY_SEND_BODY:
	case DELIVERY_SEND_END:
		delivery_send_failed(delivery, failure);
		break;
	default: /* held: nothing is lost, the envelope is said again on another */
		delivery_discard(delivery);
		break;
	}
}

static const struct pool_borrower borrower = {
	.on_client = on_client,
	.on_refused = on_refused,
	.on_reclaim = on_reclaim,
	.client = {.on_reply = on_reply, .on_writable = on_writable, .on_failed = on_failed},
};

/* --- life --- */

static void
on_hold_timer(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	delivery_hold_ended(context);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct delivery *delivery = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	if (delivery->state == DELIVERY_SEND_BEGIN)
		delivery_send_begin(delivery);
	else
		delivery_send_expired(delivery);
}

struct delivery *
delivery_new(struct relay *relay, int route, const struct envelope *envelope, struct record *record, const char *queue_id,
    const struct delivery_callbacks *callbacks, void *context)
{
	struct delivery *delivery = memory_new(sizeof *delivery);
	ASSERT(route >= 0 && (size_t)route < route_table_count(relay->routes));
	delivery->magic = DELIVERY_MAGIC;
	delivery->relay = relay;
	delivery->route = route;
	delivery->envelope = envelope;
	delivery->record = record;
	snprintf(delivery->queue_id, sizeof delivery->queue_id, "%s", queue_id);
	delivery->callbacks = callbacks;
	delivery->context = context;
	delivery->in_flight = -1;
	delivery->timer = evtimer_new(relay->options.base, on_timer, delivery);
	delivery->hold_timer = evtimer_new(relay->options.base, on_hold_timer, delivery);
	ASSERT(delivery->timer != NULL && delivery->hold_timer != NULL);
	relay->deliveries++;
	return delivery;
}

void
delivery_free(struct delivery **delivery_address)
{
	struct delivery *delivery = *delivery_address;
	if (delivery == NULL)
		return;
	CHECK_MAGIC(delivery, DELIVERY_MAGIC);
	*delivery_address = NULL;
	pool_cancel(delivery->relay->pool, &delivery->waiter);
	delivery_release(delivery); /* closes it when a message is on the way */
	delivery_outcome_clear(delivery);
	event_free(delivery->timer);
	event_free(delivery->hold_timer);
	reply_clear(&delivery->failure);
	reply_clear(&delivery->mail_refusal);
	reply_clear(&delivery->backend_reply);
	reply_clear(&delivery->reply);
	delivery->relay->deliveries--;
	delivery->magic = 0;
	memory_free(&delivery);
}
