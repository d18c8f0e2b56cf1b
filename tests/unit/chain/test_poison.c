/* What one proxy has seen all of them know, for a day, and also after that proxy has gone. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

#include "chain/poison.h"

#define HOUR_US (INT64_C(3600) * 1000000)

static struct shared_memory *
make_shared(void)
{
	int descriptor;
	struct shared_memory *shared = shared_memory_new(&descriptor);

	close(descriptor);
	for (unsigned slot = 0; slot < 4; slot++) /* the master and three proxies */
		atomic_store(&shared_memory_page(shared, slot)->process_id, 1000 + slot);
	return shared;
}

static struct message_store *
make_message(const char *text)
{
	static const struct message_store_options options;
	struct message_store *message = message_store_new(&options);

	ck_assert(message_store_append(message, text, strlen(text)) && message_store_finish(message));
	return message;
}

START_TEST(two_kills)
{
	struct shared_memory *shared = make_shared();
	struct message_store *bad = make_message("bad"), *good = make_message("good"), *same = make_message("bad");
	struct clock_manual clock;

	clock_manual_init(&clock, 0);
	ck_assert(!poison_is_known(shared, &clock.clock, bad));
	ck_assert(!poison_note_kill(shared, 1, &clock.clock, bad));
	ck_assert(!poison_is_known(shared, &clock.clock, bad));
	clock_manual_advance(&clock, 2 * HOUR_US);
	ck_assert(poison_note_kill(shared, 2, &clock.clock, same)); /* another proxy, another transaction */
	ck_assert(poison_is_known(shared, &clock.clock, bad) && poison_is_known(shared, &clock.clock, same));
	ck_assert(!poison_is_known(shared, &clock.clock, good));
	message_store_free(&bad);
	message_store_free(&good);
	message_store_free(&same);
	shared_memory_free(&shared);
}
END_TEST

START_TEST(forgotten_after_a_day)
{
	struct shared_memory *shared = make_shared();
	struct message_store *bad = make_message("bad");
	struct clock_manual clock;

	clock_manual_init(&clock, 0);
	clock_manual_advance(&clock, POISON_HOURS * HOUR_US * 2);
	poison_note_kill(shared, 1, &clock.clock, bad);
	ck_assert(poison_note_kill(shared, 1, &clock.clock, bad));
	clock_manual_advance(&clock, POISON_HOURS * HOUR_US - 1);
	ck_assert(poison_is_known(shared, &clock.clock, bad));
	clock_manual_advance(&clock, 2);
	ck_assert(!poison_is_known(shared, &clock.clock, bad));
	message_store_free(&bad);
	shared_memory_free(&shared);
}
END_TEST

START_TEST(outlives_its_proxy)
{
	struct shared_memory *shared = make_shared();
	struct message_store *bad = make_message("bad");
	struct clock_manual clock;

	clock_manual_init(&clock, 0);
	poison_note_kill(shared, 1, &clock.clock, bad);
	shared_page_retire(shared_memory_page(shared, 1), shared_memory_page(shared, 0));
	ck_assert(!poison_is_known(shared, &clock.clock, bad));
	ck_assert(poison_note_kill(shared, 2, &clock.clock, bad));
	shared_page_retire(shared_memory_page(shared, 2), shared_memory_page(shared, 0));
	ck_assert(poison_is_known(shared, &clock.clock, bad));
	message_store_free(&bad);
	shared_memory_free(&shared);
}
END_TEST

START_TEST(the_oldest_make_room)
{
	struct shared_memory *shared = make_shared();
	struct message_store *first = make_message("first"), *last = NULL;
	struct clock_manual clock;

	clock_manual_init(&clock, 0);
	poison_note_kill(shared, 1, &clock.clock, first);
	poison_note_kill(shared, 1, &clock.clock, first);
	for (int i = 0; i < SHARED_POISONS; i++) {
		char text[16];

		ck_assert(poison_is_known(shared, &clock.clock, first));
		clock_manual_advance(&clock, 1000);
		snprintf(text, sizeof text, "%d", i);
		message_store_free(&last);
		last = make_message(text);
		poison_note_kill(shared, 1, &clock.clock, last);
	}
	ck_assert(!poison_is_known(shared, &clock.clock, first));
	ck_assert(poison_note_kill(shared, 1, &clock.clock, last));
	message_store_free(&first);
	message_store_free(&last);
	shared_memory_free(&shared);
}
END_TEST

SUITE_MAIN("poison", two_kills, forgotten_after_a_day, outlives_its_proxy, the_oldest_make_room)
