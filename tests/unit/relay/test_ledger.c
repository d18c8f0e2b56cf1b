/* Several recipients, one reply, different outcomes: what the ledger makes of them. The ledger itself is a stand-in (deliver_stub.h). */
#include "world.h"

#define ONE_LMTP "  - {url: \"lmtp://127.0.0.1:%u\"}\n"

static struct world world;

static void
start(void)
{
	world_init(&world, 1, true);
	world_start(&world, ONE_LMTP, "recipient_cache: 0s\n");
}

START_TEST(no_lookup_while_empty)
{
	start();
	ck_assert_int_eq(mail_quickly(&world, "a@example.com", "b@example.org"), 250);
	ck_assert_uint_eq(world.deliver->lookups, 0);
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
	ck_assert_uint_eq(world.deliver->entry_count, 2);
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
	ck_assert_uint_eq(world.deliver->entry_count, 1);
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

START_TEST(without_the_ledger_one_recipient)
{
	struct mail mail;
	start();
	world.deliver->connected = false;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 452);
	ck_assert_str_eq(mail.recipient.enhanced, "4.5.3");
	world.deliver->lost = true;
	ck_assert_int_eq(mail_send(&mail), 250);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(ledger_lost_at_rcpt_and_at_send)
{
	struct mail mail;
	start();
	shared_gauge_add(shared_memory_page(world.shared, 3), GAUGE_LEDGER_ENTRIES, 1);
	world.deliver->lost = true;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 452);
	mail_free(&mail);
	/* Two recipients accepted while it was there; gone at the end: nothing may be doubled. */
	world.deliver->lost = false;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	world.deliver->lost = true;
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert_uint_eq(world.stubs[0]->messages, 0);
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
	world.deliver->lost = true;
	ck_assert_int_eq(mail_send(&mail), 451);
	ck_assert(mail_story_has(&mail, "the retry may double"));
	mail_free(&mail);
	world_free(&world);
}
END_TEST

START_TEST(freed_while_asking)
{
	struct mail mail;
	start();
	shared_gauge_add(shared_memory_page(world.shared, 3), GAUGE_LEDGER_ENTRIES, 1);
	world.deliver->hangs = true;
	mail_init(&mail, &world, "a@example.com");
	mail_ask(&mail, "b@example.org");
	world_run_ms(&world, 5);
	mail_free(&mail);
	ck_assert_ptr_null(world.deliver->calls);
	world.deliver->hangs = false;
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	world.deliver->hangs = true;
	mail_begin_send(&mail, MESSAGE, strlen(MESSAGE), 5000);
	world_run_ms(&world, 5);
	ck_assert_ptr_nonnull(world.deliver->calls);
	mail_free(&mail);
	ck_assert_ptr_null(world.deliver->calls);
	world_free(&world);
}
END_TEST

START_TEST(maildir_with_mixed_outcomes)
{
	struct mail mail;
	world_init(&world, 0, false);
	world_start(&world, "  - {url: \"maildir:/nowhere\"}\n", "");
	world.deliver->store_reply = "no space";
	mail_init(&mail, &world, "a@example.com");
	ck_assert_int_eq(mail_recipient(&mail, "b@example.org"), 250);
	ck_assert_int_eq(mail_recipient(&mail, "c@example.org"), 250);
	ck_assert_int_eq(mail_send(&mail), 452);
	ck_assert_uint_eq(world.deliver->entry_count, 1);
	mail_free(&mail);
	world_free(&world);
}
END_TEST

SUITE_MAIN("ledger", no_lookup_while_empty, mixed_and_its_retry, deferred_ones_are_sent_again, another_message_is_another,
    without_the_ledger_one_recipient, ledger_lost_at_rcpt_and_at_send, record_fails, freed_while_asking, maildir_with_mixed_outcomes)
