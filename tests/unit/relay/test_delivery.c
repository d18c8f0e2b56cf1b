/* A delivery against a scripted backend on loopback: the ways a mail can go, and all the ways a backend can misbehave. */
#include "world.h"

#define ONE_SMTP "  - {url: \"smtp://127.0.0.1:%u\"}\n"
#define TWO_SMTP "  - {url: \"smtp://127.0.0.1:%u\"}\n  - {url: \"smtp://127.0.0.1:%u\"}\n"
#define ONE_LMTP "  - {url: \"lmtp://127.0.0.1:%u\"}\n"
#define QUICK "timeouts: {backend_command: 200ms, backend_connect: 200ms, backend_data_block: 300ms}\nrecipient_cache: 0s\n"

static struct world world;

static void
start(unsigned stubs, bool lmtp, const char *backends, const char *more)
{
	world_init(&world, stubs, lmtp);
	world_start(&world, backends, more);
}

START_TEST(accepted)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_str_eq(mail.recipient.enhanced, "2.1.5");
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_str_eq(mail.result.enhanced, "2.0.0");
	ck_assert_uint_eq(mail.asked_to_finish, 1);
	ck_assert(mail.delivered);
	ck_assert_str_eq(mail.backend_reply.text, "Ok: queued");
	ck_assert(strncmp(mail.backend, "127.0.0.1:", 10) == 0);
	ck_assert_str_eq(buffer_text(&world.stubs[0]->bodies), "Received: from test\r\n" MESSAGE ".\r\n");
	ck_assert_str_eq(buffer_text(&world.stubs[0]->heard),
	    "EHLO " WORLD_HOSTNAME "\nMAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>\nDATA\n");
	ck_assert(mail_story_has(&mail, "MAIL FROM:<a@example.com>"));
	ck_assert(mail_story_has(&mail, "354 go on"));
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->in_flight[mail.in_flight].state), IN_FLIGHT_DELIVERED);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(two_recipients_of_which_one_is_refused)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	stub_add_rule(world.stubs[0], "RCPT TO:<bad@", "550-5.1.1 no such\r\n550 5.1.1 user\r\n", -1);
	mail_init(&mail, &world, "");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "bad@example.org"), 550);
	ck_assert_str_eq(mail.recipient.text, "no such user");
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	/* One connection, held; MAIL said once. */
	ck_assert_uint_eq(stub_heard(world.stubs[0], "MAIL"), 1);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT"), 3);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(without_pipelining_and_with_helo)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "timeouts: {backend_hold: 0s}\n");
	world.stubs[0]->hello = "500 5.5.1 what?\r\n";
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_str_eq(buffer_text(&world.stubs[0]->heard),
	    "EHLO " WORLD_HOSTNAME "\nHELO " WORLD_HOSTNAME "\n"
	    "MAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>\nRSET\nMAIL FROM:<a@example.com>\nRCPT TO:<c@example.org>\nRSET\n"
	    "MAIL FROM:<a@example.com>\nRCPT TO:<b@example.org>\nRCPT TO:<c@example.org>\nDATA\n");
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(lmtp_each_recipient)
{
	struct mail mail;
	start(1, true, ONE_LMTP, "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "LHLO"), 1);
	ck_assert_int_eq(mail.replies[0].code, 250);
	ck_assert_int_eq(mail.replies[1].code, 250);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(lmtp_all_refused)
{
	struct mail mail;
	start(1, true, ONE_LMTP, "");
	stub_add_rule(world.stubs[0], ".", "552 5.2.2 full\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 552);
	ck_assert_str_eq(mail.result.enhanced, "5.2.2");
	ck_assert_int_eq(ledger_count(world.ledger), 0);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* What the backend answers at one step, and what the client hears at RCPT or at the end. */
static const struct {
	const char *prefix, *reply;
	int code;
	const char *enhanced;
} refusals[] = {
	{"", "554 5.3.2 go away\r\n", 451, "4.3.5"},
	{"", "421 4.3.2 busy\r\n", 451, "4.3.2"},
	{"", "450 4.3.2 busy\r\n", 450, "4.3.2"},
	{"", STUB_CLOSE, 451, "4.4.2"},
	{"", STUB_HANG, 451, "4.4.1"},
	{"", "HTTP/1.1 200 OK\r\n", 451, "4.3.0"},
	{"", "354 go on\r\n", 451, "4.3.0"},
	{"", "220 " WORLD_HOSTNAME " ESMTP\r\n", 451, "4.4.6"},
	{"EHLO", "421 4.3.2 no\r\n", 451, "4.3.2"},
	{"EHLO", "451 4.3.2 no\r\n", 451, "4.3.2"},
	{"EHLO", STUB_CLOSE, 451, "4.4.2"},
	{"EHLO", STUB_HANG, 451, "4.4.1"},
	{"EHLO", "250-x\r\n220 y\r\n", 451, "4.3.0"},
	{"MAIL", "550 5.7.1 not you\r\n", 550, "5.7.1"},
	{"MAIL", "452 4.3.1 full\r\n", 452, "4.3.1"},
	{"MAIL", "421 4.3.2 closing\r\n", 451, "4.3.2"},
	{"MAIL", "530 5.7.0 authenticate\r\n", 451, "4.3.5"},
	{"MAIL", "503 5.5.1 bad sequence\r\n", 451, "4.3.5"},
	{"MAIL", STUB_CLOSE, 451, "4.4.2"},
	{"MAIL", STUB_HANG, 451, "4.4.1"},
	{"MAIL", "354 what\r\n", 451, "4.3.0"},
	{"RCPT", "550 5.1.1 unknown\r\n", 550, "5.1.1"},
	{"RCPT", "550 unknown\r\n", 550, "5.0.0"},
	{"RCPT", "450 4.2.0 greylisted\r\n", 450, "4.2.0"},
	{"RCPT", "421 4.3.2 closing\r\n", 451, "4.3.2"},
	{"RCPT", "555 5.5.4 parameter\r\n", 451, "4.3.5"},
	{"RCPT", STUB_CLOSE, 451, "4.4.2"},
	{"RCPT", STUB_HANG, 451, "4.4.1"},
	{"RCPT", "garbage\r\n", 451, "4.3.0"},
	{"DATA", "554 5.5.1 no\r\n", 451, "4.3.5"},
	{"DATA", "452 4.3.1 full\r\n", 452, "4.3.1"},
	{"DATA", "250 2.0.0 what\r\n", 451, "4.3.0"},
	{"DATA", STUB_CLOSE, 451, "4.4.2"},
	{"DATA", STUB_HANG, 451, "4.4.1"},
	{".", "554 5.7.1 spam\r\n", 554, "5.7.1"},
	{".", "451 4.3.0 disk\r\n", 451, "4.3.0"},
	{".", "421 4.3.2 closing\r\n", 451, "4.3.2"},
	{".", "502 5.5.1 what\r\n", 451, "4.3.5"},
	{".", STUB_CLOSE, 451, "4.4.2"},
	{".", "354 again\r\n", 451, "4.3.0"},
	{".", "\r\n", 451, "4.3.0"},
};

START_TEST(refused_at_each_step)
{
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		struct mail mail;
		start(1, false, ONE_SMTP, QUICK);
		stub_add_rule(world.stubs[0], refusals[i].prefix, refusals[i].reply, -1);
		mail_init(&mail, &world, "a@example.com");
		int code = mail_recipient(&mail, "b@example.org");
		const char *enhanced = mail.recipient.enhanced;
		if (code == 250) {
			code = mail_send(&mail);
			enhanced = mail.result.enhanced;
		}
		ck_assert_msg(code == refusals[i].code && strcmp(enhanced, refusals[i].enhanced) == 0, "%s -> %.20s: %d %s",
		    refusals[i].prefix, refusals[i].reply, code, enhanced);
		mail_free(&mail);
		world_free(&world);
	}
}
END_TEST

/* The backend closes after each byte it could say: 250 only when all was said. */
START_TEST(closed_at_each_byte)
{
	size_t whole = strlen("220 backend ESMTP\r\n" STUB_HELLO) + 2 * strlen("250 2.0.0 Ok\r\n") + strlen("354 go on\r\n") +
	    strlen("250 2.0.0 Ok: queued\r\n");
	for (size_t at = 1; at <= whole; at++) {
		start(1, false, ONE_SMTP, QUICK);
		world.stubs[0]->close_after = at;
		int code = mail_quickly(&world, "a@example.com", "b@example.org");
		ck_assert_msg(code == (at == whole ? 250 : 451), "closed after %zu of %zu bytes: %d", at, whole, code);
		if (code == 451)
			ck_assert_uint_le(world.stubs[0]->messages, 1);
		world_free(&world);
	}
}
END_TEST

START_TEST(lmtp_closed_at_each_byte_of_the_end)
{
	size_t before = strlen("220 backend ESMTP\r\n" STUB_HELLO) + strlen("250 2.0.0 Ok\r\n") + 2 * strlen("250 2.1.5 Ok\r\n") +
	    strlen("354 go on\r\n");
	size_t reply = strlen("250 2.0.0 Ok: queued\r\n");
	for (size_t at = before; at <= before + 2 * reply; at++) {
		struct mail mail;
		start(1, true, ONE_LMTP, QUICK);
		world.stubs[0]->close_after = at;
		mail_init(&mail, &world, "a@example.com");
		ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
		ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
		int code = mail_send(&mail);
		ck_assert_int_eq(code, at == before + 2 * reply ? 250 : 451);
		/* The one whose 250 came is in the ledger, the other is unknown. */
		ck_assert_int_eq(ledger_count(world.ledger), code == 451 && at >= before + reply ? 1 : 0);
		mail_free(&mail);
		world_free(&world);
	}
}
END_TEST

START_TEST(hangs_after_the_final_dot)
{
	struct mail mail;
	start(1, false, ONE_SMTP, QUICK);
	stub_add_rule(world.stubs[0], ".", STUB_HANG, -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 600);
	world_run_until(&world, &mail.done);
	ck_assert_int_eq(mail.result.code, 451);
	ck_assert_str_eq(mail.result.enhanced, "4.4.7");
	ck_assert(mail_story_has(&mail, "may have the message"));
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->in_flight[mail.in_flight].state), IN_FLIGHT_FINAL_DOT);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(endless_garbage_is_cut_off)
{
	char *line = memory_new(200001);
	memset(line, 'x', 200000);
	memcpy(line, "220-", 4);
	start(1, false, ONE_SMTP, QUICK);
	stub_add_rule(world.stubs[0], "", line, -1);
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 451);
	world_free(&world);
	start(1, false, ONE_SMTP, QUICK);
	for (size_t i = 0; i + 9 <= 200000; i += 9)
		memcpy(line + i, "250-abc\r\n", 9);
	stub_add_rule(world.stubs[0], "EHLO", line, -1);
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 451);
	world_free(&world);
	memory_free(&line);
}
END_TEST

START_TEST(client_gone_before_the_final_dot)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	mail.may_finish = false;
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert_str_eq(mail.result.enhanced, "4.3.2");
	ck_assert(!mail.delivered);
	world_run_ms(&world, 20);
	ck_assert_uint_eq(world.stubs[0]->messages, 0);
	ck_assert_uint_eq(world.stubs[0]->open, 0);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->in_flight[mail.in_flight].state), IN_FLIGHT_RECEIVED);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* Freed in each state; whatever the backend says later finds nobody. */
START_TEST(freed_at_any_moment)
{
	for (int ms = 0; ms < 30; ms++) {
		struct mail mail;
		start(1, ms % 2 == 1, ms % 2 == 1 ? ONE_LMTP : ONE_SMTP, "");
		mail_init(&mail, &world, "a@example.com");
		mail_ask(&mail, "b@example.org");
		for (int turn = 0; turn < ms && mail.delivery != NULL; turn++) {
			struct timeval soon = {0, 1000};
			event_base_loopexit(world.base, &soon);
			event_base_loop(world.base, EVLOOP_ONCE);
			if (mail.answered && mail.view.count == 0)
				mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 5000);
		}
		delivery_free(&mail.delivery);
		ck_assert_int_eq(mail_quickly(&world, "a@example.com", "c@example.org"), 250);
		mail_free(&mail);
		world_free(&world);
	}
}
END_TEST

START_TEST(freed_in_the_answer)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	mail_init(&mail, &world, "a@example.com");
	mail.free_on_answer = true;
	mail_recipient(&mail, "b@example.org");
	ck_assert_ptr_null(mail.delivery);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* --- several backends --- */

START_TEST(failover_when_the_first_is_down)
{
	struct mail mail;
	world_init(&world, 2, false);
	stub_stop_listening(world.stubs[0]);
	world_start(&world, TWO_SMTP, "");
	world.stubs[0]->event = NULL;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(world.stubs[1]->messages, 1);
	ck_assert(mail_story_has(&mail, "cannot be reached"));
	ck_assert(mail_story_has(&mail, "trying the next backend"));
	mail_free(&mail);
	/* It is skipped now. */
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "x@example.org"), 250);
	ck_assert(mail_story_has(&mail, "is not tried yet"));
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(skipped_then_probed)
{
	world_init(&world, 1, false);
	stub_stop_listening(world.stubs[0]);
	world_start(&world, ONE_SMTP, "timeouts: {backend_retry: 300ms}\n");
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 451);
	stub_listen(world.stubs[0]);
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 451); /* skipped */
	ck_assert_uint_eq(world.stubs[0]->total, 0);
	world_run_ms(&world, 350);
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 250);
	world_free(&world);
}
END_TEST

static const struct {
	const char *prefix, *reply;
} failovers[] = {
	{"", "421 4.3.2 busy\r\n"}, {"", "554 no\r\n"}, {"", STUB_CLOSE}, {"", STUB_HANG}, {"", "220 " WORLD_HOSTNAME "\r\n"},
	{"EHLO", STUB_CLOSE}, {"MAIL", "452 4.3.1 full\r\n"}, {"MAIL", STUB_CLOSE}, {"MAIL", "530 5.7.0 auth\r\n"}, {"RCPT", STUB_CLOSE},
	{"RCPT", "421 bye\r\n"}, {"DATA", STUB_CLOSE}, {"DATA", "452 4.3.1 full\r\n"}, {"DATA", "554 5.5.1 no\r\n"}, {"DATA", STUB_HANG}};

START_TEST(failover_at_each_step)
{
	for (size_t i = 0; i < sizeof failovers / sizeof failovers[0]; i++) {
		start(2, false, TWO_SMTP, QUICK);
		stub_add_rule(world.stubs[0], failovers[i].prefix, failovers[i].reply, -1);
		int code = mail_quickly(&world, "a@example.com", "b@example.org");
		ck_assert_msg(code == 250, "%s -> %.20s: %d", failovers[i].prefix, failovers[i].reply, code);
		ck_assert_uint_eq(world.stubs[0]->messages, 0);
		ck_assert_uint_eq(world.stubs[1]->messages, 1);
		world_free(&world);
	}
}
END_TEST

START_TEST(no_failover_after_the_final_dot)
{
	static const char *const replies[] = {STUB_CLOSE, "451 4.3.0 no\r\n", "421 bye\r\n", "554 5.7.1 no\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
		start(2, false, TWO_SMTP, QUICK);
		stub_add_rule(world.stubs[0], ".", replies[i], -1);
		ck_assert_int_ne(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
		ck_assert_uint_eq(world.stubs[0]->messages, 1);
		ck_assert_uint_eq(world.stubs[1]->messages, 0);
		world_free(&world);
	}
}
END_TEST

START_TEST(name_with_several_addresses)
{
	world_init(&world, 1, false);
	char *backends = memory_format("  - {url: \"smtp://two.test:%u\"}\n", world.stubs[0]->port);
	world_start(&world, backends, QUICK);
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 250); /* 127.0.0.2 refuses */
	world_free(&world);
	memory_free(&backends);
	start(0, false, "  - {url: \"smtp://nowhere.invalid\"}\n", "");
	ck_assert_int_eq(mail_quickly(&world, "", "b@example.org"), 451);
	world_free(&world);
}
END_TEST

/* --- parameters --- */

START_TEST(parameters_are_passed_on)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "timeouts: {backend_hold: 0s}\n");
	world.stubs[0]->hello = STUB_HELLO_ALL;
	mail_init(&mail, &world, "ä@example.com");
	mail.envelope.smtputf8 = true;
	mail.envelope.body = BODY_8BITMIME;
	mail.envelope.ret = memory_copy_string("HDRS");
	mail.envelope.envelope_id = memory_copy_string("id1");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	mail.envelope.recipients[0].notify = NOTIFY_FAILURE;
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "MAIL FROM:<ä@example.com> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id1"), 1);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "MAIL FROM:<ä@example.com> SIZE=45 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id1"), 1);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT TO:<b@example.org> NOTIFY=FAILURE"), 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(smtputf8_needs_a_backend_that_has_it)
{
	struct mail mail;
	start(1, false, ONE_SMTP, QUICK);
	mail_init(&mail, &world, "ä@example.com");
	mail.envelope.smtputf8 = true;
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 550);
	ck_assert_str_eq(mail.recipient.enhanced, "5.6.7");
	mail_free(&mail);
	world_free(&world);
	/* The second takes it. */
	start(2, false, TWO_SMTP, QUICK);
	world.stubs[1]->hello = STUB_HELLO_ALL;
	mail_init(&mail, &world, "ä@example.com");
	mail.envelope.smtputf8 = true;
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_uint_eq(world.stubs[1]->messages, 1);
	mail_free(&mail);
	world_free(&world);
	/* The second might, but is down. */
	start(2, false, TWO_SMTP, QUICK);
	stub_add_rule(world.stubs[1], "", "421 later\r\n", -1);
	mail_init(&mail, &world, "ä@example.com");
	mail.envelope.smtputf8 = true;
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 451);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(bare_postmaster)
{
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "postmaster"), 250);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT TO:<postmaster@example.org>"), 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* --- bodies --- */

START_TEST(bodies_arrive_as_they_are)
{
	static const char dots[] = ".\r\n..\r\n.x\r\nx.\r\n\r\n.\r\n";
	struct buffer large = {0}, expected = {0};
	struct mail mail;
	start(1, false, ONE_SMTP, "");
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	ck_assert_int_eq(mail_send_text(&mail, dots, strlen(dots)), 250);
	ck_assert_str_eq(buffer_text(&world.stubs[0]->bodies), "Received: from test\r\n..\r\n...\r\n..x\r\nx.\r\n\r\n..\r\n.\r\n");
	mail_free(&mail);
	/* Several blocks, with and without lines to be stuffed at every place. */
	for (unsigned i = 0; i < 100000; i++)
		buffer_printf(&large, "%.*s%u\r\n", (int)(i % 3), "..", i);
	buffer_append_string(&expected, "Received: from test\r\n");
	bool at_line_start = true;
	data_lines_stuff(span_make(large.data, large.length), &at_line_start, &expected);
	buffer_append_string(&expected, ".\r\n");
	buffer_clear(&world.stubs[0]->bodies);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	ck_assert_int_eq(mail_send_text(&mail, large.data, large.length), 250);
	ck_assert_uint_eq(world.stubs[0]->bodies.length, expected.length);
	ck_assert_int_eq(memcmp(world.stubs[0]->bodies.data, expected.data, expected.length), 0);
	mail_free(&mail);
	buffer_free(&large);
	buffer_free(&expected);
	world_free(&world);
}
END_TEST

START_TEST(refused_in_the_middle_of_the_body)
{
	struct buffer large = {0};
	struct mail mail;
	for (unsigned i = 0; i < 1000000; i++)
		buffer_append_string(&large, "0123456789 0123456789 0123456789\r\n");
	start(1, false, ONE_SMTP, QUICK);
	stub_add_rule(world.stubs[0], "DATA", "354 go on\r\n552 5.3.4 too large\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	ck_assert_int_eq(mail_send_text(&mail, large.data, large.length), 552);
	mail_free(&mail);
	world_free(&world);
	buffer_free(&large);
}
END_TEST

/* A backend that stops reading: the connection is closed, the second backend gets the mail. */
START_TEST(backend_does_not_read_the_body)
{
	struct buffer large = {0};
	struct mail mail;
	for (unsigned i = 0; i < 1000000; i++)
		buffer_append_string(&large, "0123456789 0123456789 0123456789\r\n");
	start(2, false, TWO_SMTP, QUICK);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	mail_begin_send(&mail, large.data, large.length, 8000);
	while (stub_heard(world.stubs[0], "DATA") == 0)
		event_base_loop(world.base, EVLOOP_ONCE);
	stream_pause(world.stubs[0]->connections->stream);
	world_run_until(&world, &mail.done);
	ck_assert_int_eq(mail.result.code, 250);
	ck_assert_uint_eq(world.stubs[1]->messages, 1);
	ck_assert_uint_eq(world.stubs[1]->bodies.length, large.length + strlen("Received: from test\r\n.\r\n"));
	mail_free(&mail);
	world_free(&world);
	buffer_free(&large);
}
END_TEST

/* --- maildir --- */

START_TEST(maildir_backend)
{
	struct mail mail;
	start(0, false, "  - {url: \"maildir:/nowhere\"}\n", "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert(mail_ask(&mail, "b@example.org"));
	ck_assert_int_eq(mail.recipient.code, 250);
	ck_assert(mail_ask(&mail, "c@example.org"));
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert_int_eq(folder_count(&world.folder, "mail/b@example.org/new", NULL), 1);
	ck_assert_int_eq(folder_count(&world.folder, "mail/c@example.org/new", NULL), 1);
	ck_assert_uint_eq(mail.asked_to_finish, 1);
	ck_assert_str_eq(mail.backend, "maildir:/nowhere");
	mail_free(&mail);
	/* Nobody there to write it: in time, 451. */
	deliver_stop(&world);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 300);
	world_run_until(&world, &mail.done);
	ck_assert_int_eq(mail.result.code, 451);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* --- offers --- */

START_TEST(offer_is_the_intersection)
{
	struct relay_offer offer;
	world_init(&world, 2, false);
	world.stubs[0]->hello = STUB_HELLO_ALL;
	world.stubs[1]->hello = STUB_HELLO_ALL;
	world_start(&world, TWO_SMTP, "");
	relay_get_offer(world.relay, &offer);
	ck_assert_uint_eq(offer.capabilities,
	    CAPABILITY_PIPELINING | CAPABILITY_8BITMIME | CAPABILITY_ENHANCEDSTATUSCODES | CAPABILITY_CHUNKING | CAPABILITY_SIZE);
	ck_assert_uint_eq(offer.size, 50u << 20);
	world_run_ms(&world, 50); /* both are asked at the start */
	relay_get_offer(world.relay, &offer);
	ck_assert_uint_eq(offer.capabilities & (CAPABILITY_SMTPUTF8 | CAPABILITY_DSN | CAPABILITY_8BITMIME),
	    CAPABILITY_SMTPUTF8 | CAPABILITY_DSN | CAPABILITY_8BITMIME);
	ck_assert_uint_eq(offer.size, 10000000 - 65536);
	world_free(&world);
	world_init(&world, 2, false);
	world.stubs[0]->hello = STUB_HELLO_ALL;
	world.stubs[1]->hello = "250-x\r\n250 DSN\r\n";
	world_start(&world, TWO_SMTP, "");
	world_run_ms(&world, 50);
	relay_get_offer(world.relay, &offer);
	ck_assert_uint_eq(offer.capabilities & (CAPABILITY_SMTPUTF8 | CAPABILITY_DSN | CAPABILITY_8BITMIME), CAPABILITY_DSN);
	world_free(&world);
	start(0, false, "  - {url: \"maildir:/nowhere\"}\n", "");
	relay_get_offer(world.relay, &offer);
	ck_assert_uint_eq(offer.capabilities & (CAPABILITY_SMTPUTF8 | CAPABILITY_DSN | CAPABILITY_8BITMIME),
	    CAPABILITY_SMTPUTF8 | CAPABILITY_DSN | CAPABILITY_8BITMIME);
	ck_assert(relay_route_stamps_return_path(world.relay, 0));
	world_free(&world);
}
END_TEST

SUITE_MAIN("delivery", accepted, two_recipients_of_which_one_is_refused, without_pipelining_and_with_helo, lmtp_each_recipient,
    lmtp_all_refused, refused_at_each_step, closed_at_each_byte, lmtp_closed_at_each_byte_of_the_end, hangs_after_the_final_dot,
    endless_garbage_is_cut_off, client_gone_before_the_final_dot, freed_at_any_moment, freed_in_the_answer,
    failover_when_the_first_is_down, skipped_then_probed, failover_at_each_step, no_failover_after_the_final_dot,
    name_with_several_addresses, parameters_are_passed_on, smtputf8_needs_a_backend_that_has_it, bare_postmaster,
    bodies_arrive_as_they_are, refused_in_the_middle_of_the_body, backend_does_not_read_the_body, maildir_backend,
    offer_is_the_intersection)
