/* A relay with everything around it, in one event loop: configuration, shared memory, resolver, stubs; and a client's mail that goes
 * through it. */
#ifndef POSTERN_TESTS_WORLD_H
#define POSTERN_TESTS_WORLD_H

#include "backend_stub.h"
#include "base/log.h"
#include "conf/config.h"
#include "deliver/folder.h"
#include "deliver/ledger.h"
#include "deliver/maildir.h"
#include "deliver/service.h"
#include "mail/data_lines.h"
#include "relay/capabilities.h"
#include "relay/relay.h"
#include "relay/relay_parts.h"
#include "suite.h"
#include "wire/message_store.h"

#define WORLD_STUBS 4
#define WORLD_HOSTNAME "mx1.example.org"

struct world {
	struct event_base *base;
	struct config *config;
	struct shared_memory *shared;
	int shared_descriptor;
	struct resolver *resolver;
	struct folder folder; /* of deliver: "ledger", "mail/" */
	struct deliver_client *deliver;
	struct deliver_service *service; /* what a deliver process does, in our loop; NULL = none is there */
	struct ledger *ledger;
	struct maildir *maildirs[1];
	struct relay *relay;
	struct relay *second; /* another proxy, in slot 2 */
	struct stub *stubs[WORLD_STUBS];
	struct message_store_options store_options;
};

static inline void
deliver_start(struct world *world, bool with_ledger)
{
	int pair[2];
	if (with_ledger) {
		world->ledger = ledger_open(folder_path(&world->folder, "ledger"), clock_system());
		ck_assert_ptr_nonnull(world->ledger);
	}
	world->maildirs[0] = maildir_open(folder_path(&world->folder, "mail"), WORLD_HOSTNAME, clock_system());
	ck_assert_ptr_nonnull(world->maildirs[0]);
	struct deliver_service_options options = {.base = world->base,
		.maildirs = world->maildirs,
		.maildir_count = 1,
		.ledger = world->ledger,
		.clock = clock_system(),
		.page = shared_memory_page(world->shared, 3)};
	world->service = deliver_service_new(&options);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	deliver_service_add_peer(world->service, pair[0]);
	deliver_client_connect(world->deliver, pair[1]);
	while (!deliver_client_is_introduced(world->deliver))
		event_base_loop(world->base, EVLOOP_ONCE);
}

/* It dies, and the master clears its page. */
static inline void
deliver_stop(struct world *world)
{
	if (world->service == NULL)
		return;
	deliver_service_free(&world->service);
	maildir_close(&world->maildirs[0]);
	ledger_close(&world->ledger);
	atomic_store(&shared_memory_page(world->shared, 3)->gauges[GAUGE_LEDGER_ENTRIES], 0);
	while (deliver_client_is_connected(world->deliver))
		event_base_loop(world->base, EVLOOP_ONCE);
}

/* One that takes requests and never answers; returns its end. */
static inline int
deliver_hang(struct world *world)
{
	int pair[2];
	deliver_stop(world);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	deliver_client_connect(world->deliver, pair[1]);
	return pair[0];
}

/* Stubs first; then world_start with the backends' YAML, in which %u stands for their ports in order. */
static inline void
world_init(struct world *world, unsigned stubs, bool lmtp)
{
	*world = (struct world){.base = event_base_new()};
	log_set_level(LOG_LEVEL_ALARM);
	for (unsigned i = 0; i < stubs; i++)
		world->stubs[i] = stub_new(world->base, lmtp);
}

static inline void
world_start(struct world *world, const char *backends, const char *more)
{
	struct buffer text = {0};
	struct config_errors errors = {0};
	unsigned stub = 0;
	buffer_printf(&text, "hostname: %s\ndomains: [example.org, example.net]\nlisten: [\"127.0.0.1:2525\"]\nbackends:\n", WORLD_HOSTNAME);
	for (const char *at = backends; *at != '\0'; at++) {
		if (at[0] == '%' && at[1] == 'u') {
			buffer_printf(&text, "%u", world->stubs[stub++]->port);
			at++;
		} else {
			buffer_append_char(&text, *at);
		}
	}
	buffer_append_string(&text, more);
	world->config = config_load_text("test.yaml", span_make(text.data, text.length), &errors);
	if (world->config == NULL)
		ck_abort_msg("%s", buffer_text(&errors.text));
	buffer_free(&text);
	world->shared = shared_memory_new(&world->shared_descriptor);
	struct resolver_options resolver = {.resolv_conf_text = "nameserver 127.0.0.1\n",
		.hosts_text = "127.0.0.1 backend.test\n127.0.0.2 two.test\n127.0.0.1 two.test\n",
		.timeout_ms = 500,
		.cache_bytes = 1 << 20};
	world->resolver = resolver_new(world->base, &resolver);
	ck_assert_ptr_nonnull(world->resolver);
	world->deliver = deliver_client_new(world->base);
	folder_make(&world->folder);
	deliver_start(world, true);
	world->store_options = (struct message_store_options){.shared = world->shared,
		.page = shared_memory_page(world->shared, 1),
		.memory_limit = 1 << 28,
		.spool_limit = 0};
	struct relay_options relay = {world->base, world->config, clock_system(), world->resolver, world->deliver, world->shared, 1};
	for (unsigned slot = 1; slot <= 3; slot++)
		atomic_store(&shared_memory_page(world->shared, slot)->process_id, 1000 + slot);
	world->relay = relay_new(&relay);
}

static inline void
world_start_second(struct world *world)
{
	struct relay_options relay = {world->base, world->config, clock_system(), world->resolver, world->deliver, world->shared, 2};
	world->second = relay_new(&relay);
}

static inline void
world_on_guard(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	*(bool *)context = true;
}

/* Runs the loop until *condition is no longer 0, at most 10 s. */
static inline void
world_run_until(struct world *world, const unsigned *condition)
{
	bool over = false;
	struct timeval limit = {10, 0};
	struct event *guard = evtimer_new(world->base, world_on_guard, &over);
	evtimer_add(guard, &limit);
	while (*condition == 0 && !over)
		event_base_loop(world->base, EVLOOP_ONCE);
	event_free(guard);
	ck_assert_msg(*condition != 0, "nothing happened");
}

static inline void
world_run_ms(struct world *world, int ms)
{
	bool over = false;
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};
	struct event *guard = evtimer_new(world->base, world_on_guard, &over);
	evtimer_add(guard, &limit);
	while (!over)
		event_base_loop(world->base, EVLOOP_ONCE);
	event_free(guard);
}

static inline void
world_free(struct world *world)
{
	relay_free(&world->relay);
	relay_free(&world->second);
	resolver_free(&world->resolver);
	deliver_stop(world);
	deliver_client_free(&world->deliver);
	folder_remove(&world->folder);
	shared_memory_free(&world->shared);
	close(world->shared_descriptor);
	config_free(&world->config);
	world_run_ms(world, 5);
	for (unsigned i = 0; i < WORLD_STUBS; i++)
		stub_free(&world->stubs[i]);
	event_base_free(world->base);
}

/* --- a client's transaction --- */

struct mail {
	struct world *world;
	struct envelope envelope;
	struct record record;
	struct delivery *delivery;
	struct message_store *message;
	struct view view;
	unsigned answered; /* a recipient was */
	unsigned done;
	bool may_finish;
	unsigned asked_to_finish;
	bool free_on_answer;
	int in_flight;
	struct reply recipient; /* last answer to RCPT */
	struct reply result;
	struct reply backend_reply;
	struct reply replies[16];
	char backend[64];
	bool delivered;
};

static inline void
mail_on_recipient(void *context, size_t index, const struct reply *reply)
{
	struct mail *mail = context;
	ck_assert_uint_eq(index + 1, mail->envelope.recipient_count);
	mail->answered++;
	reply_copy(&mail->recipient, reply);
	if (mail->free_on_answer)
		delivery_free(&mail->delivery);
}

static inline void
mail_on_done(void *context, const struct delivery_result *result)
{
	struct mail *mail = context;
	mail->done++;
	reply_copy(&mail->result, &result->reply);
	if (result->backend_reply.code != 0)
		reply_copy(&mail->backend_reply, &result->backend_reply);
	for (size_t i = 0; i < mail->envelope.recipient_count && i < 16; i++)
		reply_copy(&mail->replies[i], &result->recipient_replies[i]);
	snprintf(mail->backend, sizeof mail->backend, "%s", result->backend != NULL ? result->backend : "");
	mail->delivered = result->delivered;
	delivery_free(&mail->delivery);
}

static inline bool
mail_may_finish(void *context)
{
	struct mail *mail = context;
	mail->asked_to_finish++;
	return mail->may_finish;
}

static const struct delivery_callbacks mail_callbacks = {mail_on_recipient, mail_on_done, mail_may_finish};

static inline void
mail_init_at(struct mail *mail, struct world *world, struct relay *relay, const char *sender)
{
	*mail = (struct mail){.world = world, .may_finish = true, .in_flight = -1};
	mail->envelope.sender = memory_copy_string(sender);
	mail->envelope.sender_domain = memory_copy_string("");
	mail->record.began_monotonic_us = clock_monotonic_us(clock_system());
	mail->delivery = delivery_new(relay, relay_route_find(relay, "example.org"), &mail->envelope, &mail->record, "4K7QZ2M9XW3BAA",
	    &mail_callbacks, mail);
}

static inline void
mail_init(struct mail *mail, struct world *world, const char *sender)
{
	mail_init_at(mail, world, world->relay, sender);
}

/* Asks for a recipient without waiting. True: answered at once. */
static inline bool
mail_ask(struct mail *mail, const char *address)
{
	struct reply reply = {0};
	mail->answered = 0;
	envelope_add_recipient(&mail->envelope, address, strchr(address, '@') != NULL ? strchr(address, '@') + 1 : "");
	bool answered = delivery_check_recipient(mail->delivery, mail->envelope.recipient_count - 1, &reply);
	if (answered) {
		reply_copy(&mail->recipient, &reply);
		mail->answered = 1;
	}
	reply_clear(&reply);
	return answered;
}

/* The code RCPT was answered with; a refused recipient is taken off, as front does. */
static inline int
mail_recipient(struct mail *mail, const char *address)
{
	mail_ask(mail, address);
	world_run_until(mail->world, &mail->answered);
	if (!reply_is_positive(&mail->recipient))
		envelope_remove_last_recipient(&mail->envelope);
	return mail->recipient.code;
}

static inline void
mail_begin_send(struct mail *mail, const char *text, size_t length, int64_t budget_ms)
{
	uint8_t hash[32] = {0};
	mail->message = message_store_new(&mail->world->store_options);
	ck_assert(message_store_append(mail->message, text, length));
	ck_assert(message_store_finish(mail->message));
	message_store_hash(mail->message, hash);
	view_init(&mail->view, mail->message);
	view_add_text(&mail->view, span_of("Received: from test\r\n"));
	view_add_range(&mail->view, 0, length);
	mail->view.has_dot_lines = memmem(text, length, "\n.", 2) != NULL || (length > 0 && text[0] == '.');
	mail->in_flight = shared_in_flight_enter(shared_memory_page(mail->world->shared, 1), "4K7QZ2M9XW3BAA");
	delivery_send(mail->delivery, &mail->view, mail->in_flight, hash, clock_monotonic_us(clock_system()) + budget_ms * 1000);
}

#define MESSAGE "Subject: test\r\n\r\nHello\r\n"

/* The code of the final reply. */
static inline int
mail_send_text(struct mail *mail, const char *text, size_t length)
{
	mail_begin_send(mail, text, length, 8000);
	world_run_until(mail->world, &mail->done);
	return mail->result.code;
}

static inline int
mail_send(struct mail *mail)
{
	return mail_send_text(mail, MESSAGE, strlen(MESSAGE));
}

static inline void
mail_free(struct mail *mail)
{
	delivery_free(&mail->delivery);
	if (mail->in_flight >= 0)
		shared_in_flight_leave(shared_memory_page(mail->world->shared, 1), mail->in_flight);
	view_clear(&mail->view);
	message_store_free(&mail->message);
	envelope_clear(&mail->envelope);
	record_clear(&mail->record);
	reply_clear(&mail->recipient);
	reply_clear(&mail->result);
	reply_clear(&mail->backend_reply);
	for (size_t i = 0; i < 16; i++)
		reply_clear(&mail->replies[i]);
}

/* One whole mail; the final code, or that of RCPT when it was refused. */
static inline int
mail_quickly(struct world *world, const char *sender, const char *recipient)
{
	struct mail mail;
	mail_init(&mail, world, sender);
	int code = mail_recipient(&mail, recipient);
	if (code == 250)
		code = mail_send(&mail);
	mail_free(&mail);
	return code;
}

/* Does the story contain this text? */
static inline bool
mail_story_has(const struct mail *mail, const char *text)
{
	return mail->record.story.length > 0 && memmem(mail->record.story.data, mail->record.story.length, text, strlen(text)) != NULL;
}

#endif
