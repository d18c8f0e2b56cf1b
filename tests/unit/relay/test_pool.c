/* Connections to the backend over time: reused, retired, held, reclaimed, waited for, shared among proxies. */
#include "world.h"

#define ONE_SMTP "  - {url: \"smtp://127.0.0.1:%u\"}\n"

static struct world world;

static void
start(unsigned stubs, const char *backends, const char *more)
{
	world_init(&world, stubs, false);
	world_start(&world, backends, more);
}

START_TEST(connections_are_reused)
{
	start(1, ONE_SMTP, "recipient_cache: 0s\n");
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_uint_eq(world.stubs[0]->total, 1);
	ck_assert_uint_eq(world.stubs[0]->messages, 20);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RSET"), 0);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->gauges[GAUGE_BACKEND_CONNECTIONS]), 1);
	world_free(&world);
}
END_TEST

START_TEST(retired_after_messages)
{
	start(1, ONE_SMTP, "pool: {messages: 3}\n");
	for (int i = 0; i < 7; i++)
		ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_uint_eq(world.stubs[0]->total, 3);
	world_run_ms(&world, 20);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "QUIT"), 2);
	ck_assert_uint_eq(world.stubs[0]->open, 1);
	world_free(&world);
}
END_TEST

START_TEST(retired_after_refusals)
{
	struct mail mail;
	start(1, ONE_SMTP, "pool: {refusals: 3}\n");
	stub_add_rule(world.stubs[0], "RCPT TO:<bad", "550 5.1.1 no\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "good@example.org"), 250);
	for (int i = 0; i < 7; i++) {
		char *address = memory_format("bad%d@example.org", i);
		ck_assert_int_eq(mail_recipient(&mail, address), 550);
		memory_free(&address);
	}
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(world.stubs[0]->total, 3);
	world_run_ms(&world, 20);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "QUIT"), 2);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(retired_by_age_and_idleness)
{
	start(1, ONE_SMTP, "pool: {age: 200ms}\n");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	world_run_ms(&world, 600);
	ck_assert_uint_eq(world.stubs[0]->open, 0);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "QUIT"), 1);
	world_free(&world);
	start(1, ONE_SMTP, "pool: {idle: 200ms}\n");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	world_run_ms(&world, 600);
	ck_assert_uint_eq(world.stubs[0]->open, 0);
	world_free(&world);
	start(1, ONE_SMTP, "pool: {idle: 0s}\n");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	world_run_ms(&world, 20);
	ck_assert_uint_eq(world.stubs[0]->open, 0);
	world_free(&world);
}
END_TEST

START_TEST(a_stale_connection_is_replaced)
{
	struct mail mail;
	start(1, ONE_SMTP, "recipient_cache: 0s\n");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	/* The backend hangs up when it hears MAIL again, once: as if it had hung up just before. */
	stub_add_rule(world.stubs[0], "MAIL", STUB_CLOSE, 1);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_uint_eq(world.stubs[0]->total, 2);
	stub_add_rule(world.stubs[0], "MAIL", "421 4.4.2 idle too long\r\n", 1);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_uint_eq(world.stubs[0]->total, 3);
	/* Hung up while the client sends its message: the envelope is said again. */
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	stub_drop(world.stubs[0]->connections);
	world_run_ms(&world, 10);
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
	/* Twice in a row is the backend's fault. */
	stub_add_rule(world.stubs[0], "MAIL", STUB_CLOSE, 2);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 451);
	world_free(&world);
}
END_TEST

START_TEST(hold_ends_and_the_envelope_is_said_again)
{
	struct mail mail;
	start(1, ONE_SMTP, "timeouts: {backend_hold: 100ms}\nrecipient_cache: 0s\n");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RSET"), 0);
	world_run_ms(&world, 150);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RSET"), 1);
	ck_assert(mail_story_has(&mail, "the client is slow"));
	/* Not held a second time. */
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	world_run_ms(&world, 10);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RSET"), 2);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "MAIL"), 3);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT TO:<b@example.org>"), 2);
	ck_assert_uint_eq(world.stubs[0]->total, 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* Many slow clients, few connections: every recipient is checked, every mail sent, never more connections than allowed. */
START_TEST(slow_clients_do_not_occupy_the_backend)
{
	enum { CLIENTS = 100 };
	static struct mail mails[CLIENTS];
	start(1, "  - {url: \"smtp://127.0.0.1:%u\", max_connections: 3}\n", "recipient_cache: 0s\n");
	for (int i = 0; i < CLIENTS; i++) {
		mail_init(&mails[i], &world, "a@example.com");
		mail_ask(&mails[i], "b@example.org");
	}
	for (int i = 0; i < CLIENTS; i++) {
		world_run_until(&world, &mails[i].answered);
		ck_assert_int_eq(mails[i].recipient.code, 250);
	}
	ck_assert_uint_le(world.stubs[0]->open_max, 3);
	/* All of them dribble on; another one's mail goes at once. */
	int64_t began_us = clock_monotonic_us(clock_system());
	ck_assert_int_eq(mail_quickly(&world, "quick@example.com", "b@example.org"), 250);
	ck_assert_int_lt(clock_monotonic_us(clock_system()) - began_us, 200000);
	for (int i = 0; i < CLIENTS; i++)
		mail_begin_send(&mails[i], MESSAGE, strlen(MESSAGE), 5000);
	for (int i = 0; i < CLIENTS; i++) {
		world_run_until(&world, &mails[i].done);
		ck_assert_int_eq(mails[i].result.code, 250);
		mail_free(&mails[i]);
	}
	ck_assert_uint_le(world.stubs[0]->open_max, 3);
	ck_assert_uint_eq(world.stubs[0]->messages, CLIENTS + 1);
	world_free(&world);
}
END_TEST

START_TEST(the_wait_is_bounded_and_in_order)
{
	struct mail first, second, third;
	start(1, "  - {url: \"smtp://127.0.0.1:%u\", max_connections: 1}\n",
	    "timeouts: {backend_wait: 300ms, backend_command: 2s}\nrecipient_cache: 0s\n");
	stub_add_rule(world.stubs[0], "RCPT TO:<slow@", STUB_HANG, 1);
	mail_init(&first, &world, "a@example.com");
	mail_ask(&first, "slow@example.org");
	world_run_ms(&world, 20);
	mail_init(&second, &world, "a@example.com");
	mail_ask(&second, "b@example.org");
	world_run_ms(&world, 200);
	mail_init(&third, &world, "a@example.com");
	mail_ask(&third, "c@example.org");
	world_run_until(&world, &second.answered);
	ck_assert_int_eq(second.recipient.code, 451);
	ck_assert_str_eq(second.recipient.enhanced, "4.3.2");
	ck_assert_uint_eq(third.answered, 0);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->gauges[GAUGE_BACKEND_WAITING]), 1);
	/* The first gives up; its connection, with an answer outstanding, is closed or given on. */
	delivery_free(&first.delivery);
	world_run_until(&world, &third.answered);
	mail_free(&first);
	mail_free(&second);
	mail_free(&third);
	world_free(&world);
}
END_TEST

START_TEST(two_proxies_share_the_limit)
{
	enum { CLIENTS = 40 };
	static struct mail mails[CLIENTS];
	start(1, "  - {url: \"smtp://127.0.0.1:%u\", max_connections: 2}\n", "recipient_cache: 0s\ntimeouts: {backend_wait: 5s}\n");
	world_start_second(&world);
	for (int i = 0; i < CLIENTS; i++) {
		mail_init_at(&mails[i], &world, i % 2 == 0 ? world.relay : world.second, "a@example.com");
		mail_ask(&mails[i], "b@example.org");
	}
	for (int i = 0; i < CLIENTS; i++) {
		world_run_until(&world, &mails[i].answered);
		ck_assert_int_eq(mails[i].recipient.code, 250);
		mail_begin_send(&mails[i], MESSAGE, strlen(MESSAGE), 8000);
	}
	for (int i = 0; i < CLIENTS; i++) {
		world_run_until(&world, &mails[i].done);
		ck_assert_int_eq(mails[i].result.code, 250);
		mail_free(&mails[i]);
	}
	ck_assert_uint_le(world.stubs[0]->open_max, 2);
	/* One proxy has all of them idle; the other still gets one. */
	for (int i = 0; i < 3; i++) {
		struct mail mail;
		mail_init_at(&mail, &world, i % 2 == 0 ? world.relay : world.second, "a@example.com");
		ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
		ck_assert_int_eq(mail_send(&mail), 250);
		mail_free(&mail);
	}
	ck_assert_uint_le(world.stubs[0]->open_max, 2);
	world_free(&world);
}
END_TEST

/* Both proxies always have a line; neither may starve, whether there are fewer connections than proxies or more. */
static struct mail rival_mails[2][4];
static unsigned rival_done[2];

static void
rivals_go_round(void)
{
	for (int proxy = 0; proxy < 2; proxy++) {
		for (int i = 0; i < 4; i++) {
			struct mail *mail = &rival_mails[proxy][i];
			if (mail->done) {
				ck_assert_int_eq(mail->result.code, 250);
				rival_done[proxy]++;
				mail_free(mail);
				mail->world = NULL;
			}
			if (mail->world == NULL) {
				mail_init_at(mail, &world, proxy == 0 ? world.relay : world.second, "a@example.com");
				mail_ask(mail, "b@example.org");
			}
			if (mail->answered && mail->view.count == 0) {
				ck_assert_int_eq(mail->recipient.code, 250);
				mail_begin_send(mail, MESSAGE, strlen(MESSAGE), 8000);
			}
		}
	}
}

START_TEST(proxies_do_not_starve_each_other)
{
	for (int limit = 1; limit <= 3; limit++) {
		char *backends = memory_format("  - {url: \"smtp://127.0.0.1:%%u\", max_connections: %d}\n", limit);
		start(1, backends, "recipient_cache: 0s\n");
		world_start_second(&world);
		memset(rival_mails, 0, sizeof rival_mails);
		memset(rival_done, 0, sizeof rival_done);
		int64_t end_us = clock_monotonic_us(clock_system()) + 1500000;
		while (clock_monotonic_us(clock_system()) < end_us) {
			rivals_go_round();
			event_base_loop(world.base, EVLOOP_ONCE);
		}
		unsigned total = rival_done[0] + rival_done[1];
		ck_assert_msg(rival_done[0] > total / 10 && rival_done[1] > total / 10, "limit %d: %u and %u", limit, rival_done[0],
		    rival_done[1]);
		ck_assert_uint_le(world.stubs[0]->open_max, (unsigned)limit);
		for (int i = 0; i < 8; i++)
			mail_free(&rival_mails[i / 4][i % 4]);
		world_free(&world);
		memory_free(&backends);
	}
}
END_TEST

/* The backend's own limit is lower than the one we were told: it serves what it has, the others wait. */
START_TEST(backend_with_a_lower_limit)
{
	enum { CLIENTS = 10 };
	static struct mail mails[CLIENTS];
	start(1, ONE_SMTP, "recipient_cache: 0s\n");
	for (int i = 0; i < CLIENTS; i++) {
		mail_init(&mails[i], &world, "a@example.com");
		mail_ask(&mails[i], "b@example.org");
		if (i == 1)
			world_run_until(&world, &mails[1].answered);
		if (i == 1)
			stub_add_rule(world.stubs[0], "", "421 4.7.0 too many connections\r\n", -1);
	}
	for (int i = 0; i < CLIENTS; i++) {
		world_run_until(&world, &mails[i].answered);
		ck_assert_int_eq(mails[i].recipient.code, 250);
		mail_begin_send(&mails[i], MESSAGE, strlen(MESSAGE), 8000);
		world_run_until(&world, &mails[i].done);
		ck_assert_int_eq(mails[i].result.code, 250);
		mail_free(&mails[i]);
	}
	world_free(&world);
}
END_TEST

START_TEST(cache_spares_the_check)
{
	struct mail mail;
	start(1, ONE_SMTP, "");
	stub_add_rule(world.stubs[0], "RCPT TO:<bad@", "550 5.1.1 no\r\n", -1);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "bad@example.org"), 550);
	mail_init(&mail, &world, "a@example.com");
	ck_assert(mail_ask(&mail, "bad@example.org"));
	ck_assert_int_eq(mail.recipient.code, 550);
	envelope_remove_last_recipient(&mail.envelope);
	ck_assert(mail_ask(&mail, "b@example.org"));
	ck_assert_int_eq(mail.recipient.code, 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT"), 2);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT"), 3);
	mail_free(&mail);
	/* Another sender may be treated otherwise. */
	ck_assert_int_eq(mail_quickly(&world, "other@example.com", "bad@example.org"), 550);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT TO:<bad@"), 2);
	world_free(&world);
}
END_TEST

/* The cache said yes, the backend now says no: the message's reply says so, and the cache is right again. */
START_TEST(cache_was_wrong)
{
	struct mail mail;
	start(1, ONE_SMTP, "");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	stub_add_rule(world.stubs[0], "RCPT TO:<b@", "550 5.1.1 gone\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert(mail_ask(&mail, "b@example.org"));
	ck_assert_int_eq(mail_send(&mail), 550);
	ck_assert_uint_eq(world.stubs[0]->messages, 1);
	mail_free(&mail);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 550);
	world_free(&world);
}
END_TEST

/* A server that answers DATA with 354 though no recipient is left: nothing but closing is safe. */
START_TEST(data_without_recipients)
{
	struct mail mail;
	start(1, ONE_SMTP, "");
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	stub_add_rule(world.stubs[0], "RCPT", "450 4.2.1 not now\r\n", -1);
	stub_add_rule(world.stubs[0], "DATA", "354 go on\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert(mail_ask(&mail, "b@example.org"));
	ck_assert_int_eq(mail_send(&mail), 450);
	world_run_ms(&world, 20);
	ck_assert_uint_eq(world.stubs[0]->open, 0);
	ck_assert_uint_eq(world.stubs[0]->messages, 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

SUITE_MAIN("pool", connections_are_reused, retired_after_messages, retired_after_refusals, retired_by_age_and_idleness,
    a_stale_connection_is_replaced, hold_ends_and_the_envelope_is_said_again, slow_clients_do_not_occupy_the_backend,
    the_wait_is_bounded_and_in_order, two_proxies_share_the_limit, proxies_do_not_starve_each_other, backend_with_a_lower_limit, cache_spares_the_check, cache_was_wrong,
    data_without_recipients)
