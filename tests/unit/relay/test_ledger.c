/* Several recipients, one reply, different outcomes: what the ledger makes of them. */
#include "world.h"

#define ONE_LMTP "  - {url: \"lmtp://127.0.0.1:%u\"}\n"

static struct world world;

static void
start(void)
{
	world_init(&world, 1, true);
	world_start(&world, ONE_LMTP, "recipient_cache: 0s\n");
}

/* A Maildir answers at once, so a check that does not has asked the ledger. */
START_TEST(no_lookup_while_empty)
{
	struct mail mail;
	world_init(&world, 0, false);
	world_start(&world, "  - {url: \"maildir:/nowhere\"}\n", "");
	mail_init(&mail, &world, "a@example.com");
	ck_assert(mail_ask(&mail, "b@example.org"));
	shared_gauge_add(shared_memory_page(world.shared, 3), GAUGE_LEDGER_ENTRIES, 1);
	ck_assert(!mail_ask(&mail, "c@example.org"));
	world_run_until(&world, &mail.answered);
	ck_assert_int_eq(mail.recipient.code, 250);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* One is taken, one refused: 451. Then each hears its own, and nobody gets the message twice. */
START_TEST(mixed_and_its_retry)
{
	struct mail mail;
	start();
	stub_add_rule(world.stubs[0], ".full@", "552 5.2.2 mailbox full\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "full@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert(mail.delivered);
	ck_assert_int_eq(mail.replies[0].code, 250);
	ck_assert_int_eq(mail.replies[1].code, 552);
	ck_assert_int_eq(ledger_count(world.ledger), 2);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->in_flight[mail.in_flight].state), IN_FLIGHT_RECEIVED);
	mail_free(&mail);
	/* The retry. Nobody is refused at RCPT, though the backend would. */
	stub_add_rule(world.stubs[0], "RCPT TO:<b@", "552 5.2.2 full now\r\n", -1);
	unsigned asked = stub_heard(world.stubs[0], "RCPT");
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "full@example.org"), 452);
	ck_assert_str_eq(mail.recipient.enhanced, "4.5.3");
	ck_assert_int_eq(mail_send(&mail), 250);
	ck_assert(mail_story_has(&mail, "was delivered before"));
	mail_free(&mail);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "full@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 552);
	ck_assert_str_eq(mail.result.text, "mailbox full");
	mail_free(&mail);
	ck_assert_uint_eq(world.stubs[0]->messages, 1);
	ck_assert_uint_eq(stub_heard(world.stubs[0], "RCPT"), asked);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(world.shared, 1)->counters[COUNTER_LEDGER_HITS]), 2);
	world_free(&world);
}
END_TEST

/* Taken and deferred: the retry sends only to the deferred one. */
START_TEST(deferred_ones_are_sent_again)
{
	struct mail mail;
	start();
	stub_add_rule(world.stubs[0], ".later@", "452 4.2.2 over quota\r\n", 1);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "later@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 452);
	ck_assert_int_eq(ledger_count(world.ledger), 1);
	mail_free(&mail);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "later@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 452);
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
	ck_assert_uint_eq(world.stubs[0]->messages, 2);
	world_free(&world);
}
END_TEST

/* The same two people, another message: it is delivered. */
START_TEST(another_message_is_another)
{
	struct mail mail;
	start();
	stub_add_rule(world.stubs[0], ".full@", "552 5.2.2 mailbox full\r\n", 1);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	mail_recipient(&mail, "full@example.org");
	ck_assert_int_eq(mail_send(&mail), 451);
	mail_free(&mail);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "full@example.org"), 250);
	ck_assert_int_eq(mail_send_text(&mail, "Other\r\n", 7), 250);
	mail_free(&mail);
	ck_assert_uint_eq(world.stubs[0]->messages, 2);
	/* Another sender: nothing recorded, so all go together. */
	mail_init(&mail, &world, "other@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "full@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

static void
one_recipient_only(void)
{
	struct mail mail;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 452);
	ck_assert_str_eq(mail.recipient.enhanced, "4.5.3");
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
}

/* No deliver, one whose ledger does not work: mail goes on, one recipient at a time. */
START_TEST(without_the_ledger_one_recipient)
{
	start();
	deliver_stop(&world);
	one_recipient_only();
	deliver_start(&world, false);
	one_recipient_only();
	deliver_stop(&world);
	deliver_start(&world, true);
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	world_free(&world);
}
END_TEST

/* Two recipients accepted while the ledger was there; gone at the end: nothing may be doubled. */
START_TEST(ledger_lost_before_sending)
{
	struct mail mail;
	start();
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	deliver_stop(&world);
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert_uint_eq(world.stubs[0]->messages, 0);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

/* It dies while the backend has the message: the next one, soon there, records the outcomes. */
START_TEST(deliver_restarts_while_sending)
{
	struct mail mail;
	start();
	stub_add_rule(world.stubs[0], ".full@", "552 5.2.2 mailbox full\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	mail_recipient(&mail, "full@example.org");
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 8000);
	while (world.stubs[0]->messages == 0)
		event_base_loop(world.base, EVLOOP_ONCE);
	deliver_stop(&world);
	deliver_start(&world, true);
	world_run_until(&world, &mail.done);
	ck_assert_int_eq(mail.result.code, 451);
	ck_assert_int_eq(ledger_count(world.ledger), 2);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(record_fails)
{
	struct mail mail;
	start();
	stub_add_rule(world.stubs[0], ".full@", "552 5.2.2 mailbox full\r\n", -1);
	mail_init(&mail, &world, "a@example.com");
	mail_recipient(&mail, "b@example.org");
	mail_recipient(&mail, "full@example.org");
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 8000);
	while (world.stubs[0]->messages == 0)
		event_base_loop(world.base, EVLOOP_ONCE);
	deliver_stop(&world);
	world_run_until(&world, &mail.done);
	ck_assert_int_eq(mail.result.code, 451);
	ck_assert(mail_story_has(&mail, "the retry may double"));
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(freed_while_asking)
{
	struct mail mail;
	start();
	int other_end = deliver_hang(&world);
	mail_init(&mail, &world, "a@example.com");
	ck_assert(!mail_ask(&mail, "b@example.org"));
	world_run_ms(&world, 5);
	mail_free(&mail);
	deliver_start(&world, true);
	close(other_end);
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	other_end = deliver_hang(&world);
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 5000);
	world_run_ms(&world, 5);
	mail_free(&mail);
	close(other_end);
	world_run_ms(&world, 5);
	world_free(&world);
}
END_TEST

START_TEST(maildir_with_mixed_outcomes)
{
	struct mail mail;
	world_init(&world, 0, false);
	world_start(&world, "  - {url: \"maildir:/nowhere\"}\n", "");
	/* A file where the recipient's folder should be. */
	close(open(folder_path(&world.folder, "mail/c@example.org"), O_CREAT | O_WRONLY, 0600));
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert_int_eq(mail.replies[0].code, 250);
	ck_assert_int_eq(mail.replies[1].code, 451);
	ck_assert_int_eq(ledger_count(world.ledger), 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

SUITE_MAIN("ledger", no_lookup_while_empty, mixed_and_its_retry, deferred_ones_are_sent_again, another_message_is_another,
    without_the_ledger_one_recipient, ledger_lost_before_sending, deliver_restarts_while_sending, record_fails, freed_while_asking,
    maildir_with_mixed_outcomes)
