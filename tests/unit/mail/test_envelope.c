/* An envelope's memory: recipients come, go and stay in order. */
#include "suite.h"

#include <stdio.h>

#include "base/memory.h"
#include "mail/envelope.h"

START_TEST(recipients_in_order)
{
	struct envelope envelope = {0};
	char address[32];

	for (int i = 0; i < 1000; i++) {
		struct recipient *recipient;

		snprintf(address, sizeof address, "u%d@example.org", i);
		recipient = envelope_add_recipient(&envelope, address, "example.org");
		ck_assert_ptr_eq(recipient, &envelope.recipients[i]);
		ck_assert_uint_eq(recipient->notify, NOTIFY_UNSET);
		ck_assert_ptr_null(recipient->original_recipient);
	}
	ck_assert_uint_eq(envelope.recipient_count, 1000);
	ck_assert_str_eq(envelope.recipients[0].address, "u0@example.org");
	ck_assert_str_eq(envelope.recipients[999].address, "u999@example.org");
	ck_assert_ptr_ne(envelope.recipients[999].address, address);
	envelope_clear(&envelope);
	ck_assert_uint_eq(envelope.recipient_count, 0);
	ck_assert_ptr_null(envelope.recipients);
}
END_TEST

START_TEST(remove_and_add_around_growth)
{
	struct envelope envelope = {0};

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 5; i++)
			envelope_add_recipient(&envelope, "postmaster", "")->original_recipient = memory_copy_string("rfc822;x");
		for (int i = 0; i < 4; i++)
			envelope_remove_last_recipient(&envelope);
	}
	ck_assert_uint_eq(envelope.recipient_count, 40);
	while (envelope.recipient_count > 0)
		envelope_remove_last_recipient(&envelope);
	envelope_add_recipient(&envelope, "a@b", "b");
	ck_assert_str_eq(envelope.recipients[0].domain, "b");
	envelope_clear(&envelope);
}
END_TEST

START_TEST(clear_forgets_all)
{
	struct envelope envelope = {
		.sender = memory_copy_string("a@b"),
		.sender_domain = memory_copy_string("b"),
		.body = BODY_8BITMIME,
		.smtputf8 = true,
		.size_declared = true,
		.size = 5,
		.ret = memory_copy_string("HDRS"),
		.envelope_id = memory_copy_string("x"),
	};

	envelope_clear(&envelope);
	ck_assert_ptr_null(envelope.sender);
	ck_assert_int_eq(envelope.body, BODY_7BIT);
	ck_assert(!envelope.smtputf8 && !envelope.size_declared);
	envelope_clear(&envelope);
}
END_TEST

SUITE_MAIN("envelope", recipients_in_order, remove_and_add_around_growth, clear_forgets_all)
