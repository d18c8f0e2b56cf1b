/* Shared pages: sums, client addresses over processes, messages in flight, the end of a process. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "suite.h"
#include "wire/shared_memory.h"

static struct shared_memory *
make(unsigned processes)
{
	int descriptor;
	struct shared_memory *memory = shared_memory_new(&descriptor);
	close(descriptor);
	for (unsigned i = 0; i < processes; i++)
		atomic_store(&shared_memory_page(memory, i)->process_id, i + 1000);
	return memory;
}

START_TEST(seen_by_another_process)
{
	int descriptor;
	struct shared_memory *memory = shared_memory_new(&descriptor);
	struct shared_page *page = shared_memory_page(memory, 159);
	pid_t child = fork();
	if (child == 0) {
		struct shared_memory *mine = shared_memory_map(dup(descriptor));
		atomic_store(&shared_memory_page(mine, 159)->process_id, (uint32_t)getpid());
		shared_count(shared_memory_page(mine, 159), COUNTER_SESSIONS_ACCEPTED, 7);
		_exit(ftruncate(descriptor, 0) == 0); /* sealed: nobody can cut it off */
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(atomic_load(&page->process_id), (uint32_t)child);
	ck_assert_uint_eq(shared_counter_total(memory, COUNTER_SESSIONS_ACCEPTED), 7);
	struct stat status_of_file;
	ck_assert_int_eq(fstat(descriptor, &status_of_file), 0);
	ck_assert_int_lt(status_of_file.st_blocks * 512, 4 << 20); /* large, but sparse */
	close(descriptor);
	shared_memory_free(&memory);
	ck_assert_ptr_null(memory);
}
END_TEST

START_TEST(totals_count_living_processes)
{
	struct shared_memory *memory = make(2);
	for (unsigned slot = 0; slot < 3; slot++) {
		shared_count(shared_memory_page(memory, slot), COUNTER_PROBES, 10);
		shared_gauge_add(shared_memory_page(memory, slot), GAUGE_SESSIONS, 5);
		shared_gauge_add(shared_memory_page(memory, slot), GAUGE_SESSIONS, -2);
	}
	ck_assert_uint_eq(shared_counter_total(memory, COUNTER_PROBES), 20);
	ck_assert_uint_eq(shared_gauge_total(memory, GAUGE_SESSIONS), 6);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		ck_assert_str_ne(shared_counter_name(i), shared_counter_description(i));
	for (unsigned i = 0; i < GAUGE_COUNT; i++)
		ck_assert_ptr_nonnull(shared_gauge_name(i));
	ck_assert_str_eq(shared_counter_name(COUNTER_PROBES), "probes");
	shared_memory_free(&memory);
}
END_TEST

START_TEST(addresses_are_counted_over_processes)
{
	struct shared_memory *memory = make(3);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 77), 1);
	ck_assert_uint_eq(shared_address_enter(memory, 1, 77), 2);
	ck_assert_uint_eq(shared_address_enter(memory, 2, 77), 3);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 78), 1);
	shared_address_leave(memory, 1, 77);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 77), 3);
	atomic_store(&shared_memory_page(memory, 2)->process_id, 0); /* a dead one no longer counts */
	ck_assert_uint_eq(shared_address_enter(memory, 0, 77), 3);
	shared_address_leave(memory, 2, 999); /* never came: nothing happens */
	shared_address_leave(memory, 1, 77); /* none left */
	ck_assert_uint_eq(shared_address_enter(memory, 1, 77), 4);
	ck_assert_uint_eq(shared_address_enter(memory, 1, 0), 1);
	ck_assert_uint_eq(shared_address_enter(memory, 1, 0), 1);
	shared_memory_free(&memory);
}
END_TEST

/* All in one chain of the table: room for 64, then strangers are not counted but not refused either. */
START_TEST(full_chain_fails_open)
{
	struct shared_memory *memory = make(1);
	for (uint64_t i = 1; i <= 64; i++)
		ck_assert_uint_eq(shared_address_enter(memory, 0, i * SHARED_ADDRESSES + 5), 1);
	uint64_t stranger = 1000ull * SHARED_ADDRESSES + 5;
	ck_assert_uint_eq(shared_address_enter(memory, 0, stranger), 1);
	ck_assert_uint_eq(shared_address_enter(memory, 0, stranger), 1);
	shared_address_leave(memory, 0, stranger);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 64ull * SHARED_ADDRESSES + 5), 2);
	/* one in the middle ends: its room is used, those behind it are still found */
	shared_address_leave(memory, 0, 30ull * SHARED_ADDRESSES + 5);
	ck_assert_uint_eq(shared_address_enter(memory, 0, stranger), 1);
	ck_assert_uint_eq(shared_address_enter(memory, 0, stranger), 2);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 64ull * SHARED_ADDRESSES + 5), 3);
	shared_memory_free(&memory);
}
END_TEST

START_TEST(address_table_against_a_plain_count)
{
	struct shared_memory *memory = make(1);
	struct shared_page *page = shared_memory_page(memory, 0);
	static unsigned expected[512];
	memset(expected, 0, sizeof expected);
	uint32_t random = 1;
	for (int i = 0; i < 200000; i++) {
		random = random * 1664525u + 1013904223u;
		unsigned who = (random >> 8) % 512;
		/* 512 addresses on 40 places: long chains, few of them living */
		uint64_t hash = (uint64_t)(who + 1) * SHARED_ADDRESSES + SHARED_ADDRESSES - 20 + who % 40;
		if (expected[who] < 3 && (random & 128) != 0 && i % 7 < 3) {
			unsigned total = shared_address_enter(memory, 0, hash);
			ck_assert(total == expected[who] + 1 || (total == 1 && expected[who] == 0));
			struct shared_address *entry = NULL;
			for (unsigned k = 0; k < SHARED_ADDRESSES; k++) {
				if (atomic_load(&page->addresses[k].hash) == hash) {
					ck_assert_ptr_null(entry); /* never twice */
					entry = &page->addresses[k];
				}
			}
			if (entry != NULL)
				expected[who]++;
		} else if (expected[who] > 0) {
			shared_address_leave(memory, 0, hash);
			expected[who]--;
		}
		if (i > 2000)
			i += 100; /* the scan above is slow */
	}
	for (unsigned who = 0; who < 512; who++) {
		uint64_t hash = (uint64_t)(who + 1) * SHARED_ADDRESSES + SHARED_ADDRESSES - 20 + who % 40;
		while (expected[who]-- > 0)
			shared_address_leave(memory, 0, hash);
	}
	for (unsigned k = 0; k < SHARED_ADDRESSES; k++)
		ck_assert_uint_eq(atomic_load(&page->addresses[k].sessions), 0);
	shared_memory_free(&memory);
}
END_TEST

START_TEST(in_flight)
{
	struct shared_memory *memory = make(1);
	struct shared_page *page = shared_memory_page(memory, 0);
	int index = shared_in_flight_enter(page, "4K7QZ2M9XW3B");
	ck_assert_int_ge(index, 0);
	ck_assert_str_eq(page->in_flight[index].queue_id, "4K7QZ2M9XW3B");
	ck_assert_uint_eq(page->in_flight[index].state, IN_FLIGHT_RECEIVED);
	struct ip_address client;
	char sender[300];
	memset(sender, 'x', sizeof sender);
	sender[sizeof sender - 1] = '\0';
	ck_assert(ip_address_parse("192.0.2.7", &client));
	shared_in_flight_describe(page, index, &client, sender, "u@example.org", NULL);
	ck_assert_uint_eq(strlen(page->in_flight_notes[index].sender), SHARED_NOTE_SIZE - 1);
	ck_assert_str_eq(page->in_flight_notes[index].recipient, "u@example.org");
	ck_assert_str_eq(page->in_flight_notes[index].message_id, "");
	ck_assert(ip_address_equal(&page->in_flight_notes[index].client, &client));
	shared_in_flight_describe(page, -1, &client, "a", "b", "c"); /* not tracked: ignored */
	shared_in_flight_set(page, index, IN_FLIGHT_FINAL_DOT);
	ck_assert_uint_eq(page->in_flight[index].state, IN_FLIGHT_FINAL_DOT);
	int same = shared_in_flight_enter(page, "4K7QZ2M9XW3B"); /* a place of its own */
	ck_assert_int_ne(same, index);
	shared_in_flight_leave(page, same);
	int longest = shared_in_flight_enter(page, "0123456789012345678901234567890");
	ck_assert_str_eq(page->in_flight[longest].queue_id, "0123456789012345678");
	shared_in_flight_leave(page, longest);
	shared_in_flight_leave(page, index);
	ck_assert_uint_eq(page->in_flight[index].state, IN_FLIGHT_FREE);
	static char seen[SHARED_IN_FLIGHT];
	memset(seen, 0, sizeof seen);
	for (int i = 0; i < SHARED_IN_FLIGHT; i++) {
		char *id = memory_format("%012d", i);
		int at = shared_in_flight_enter(page, id);
		memory_free(&id);
		ck_assert(at >= 0 && at < SHARED_IN_FLIGHT && !seen[at]);
		seen[at] = 1;
	}
	ck_assert_int_eq(shared_in_flight_enter(page, "full"), -1);
	shared_in_flight_set(page, -1, IN_FLIGHT_DELIVERED); /* not tracked: ignored */
	shared_in_flight_leave(page, -1);
	shared_in_flight_leave(page, 1234);
	ck_assert_int_eq(shared_in_flight_enter(page, "room"), 1234);
	shared_memory_free(&memory);
}
END_TEST

START_TEST(retired_page_leaves_its_counters)
{
	struct shared_memory *memory = make(2);
	struct shared_page *master = shared_memory_page(memory, 0), *dead = shared_memory_page(memory, 1);
	shared_count(master, COUNTER_MESSAGES_ACCEPTED, 3);
	shared_count(dead, COUNTER_MESSAGES_ACCEPTED, 4);
	shared_count(dead, COUNTER_COUNT - 1, 9);
	shared_gauge_add(dead, GAUGE_SESSIONS, 12);
	shared_address_enter(memory, 1, 5);
	shared_in_flight_enter(dead, "x");
	atomic_store(&dead->addresses[SHARED_ADDRESSES - 1].hash, 1);
	shared_page_retire(dead, master);
	ck_assert_uint_eq(shared_counter_total(memory, COUNTER_MESSAGES_ACCEPTED), 7);
	ck_assert_uint_eq(shared_counter_total(memory, COUNTER_COUNT - 1), 9);
	ck_assert_uint_eq(shared_gauge_total(memory, GAUGE_SESSIONS), 0);
	ck_assert_uint_eq(shared_address_enter(memory, 0, 5), 1);
	for (size_t i = 0; i < sizeof *dead; i++)
		ck_assert_int_eq(((char *)dead)[i], 0);
	/* what a worker was doing stays to be read until the page has a new owner */
	shared_job_announce(dead, 3, 77);
	shared_page_retire(dead, master);
	ck_assert_uint_eq(dead->running_job, 77);
	ck_assert_uint_eq(dead->running_proxy_slot, 3);
	shared_page_claim(dead);
	ck_assert_uint_eq(dead->running_job, 0);
	ck_assert_uint_eq(dead->running_proxy_slot, 0);
	/* a page that is no shared mapping is cleared as well */
	struct shared_page *plain = memory_new(sizeof *plain);
	shared_count(plain, COUNTER_PROBES, 2);
	shared_page_retire(plain, master);
	ck_assert_uint_eq(plain->counters[COUNTER_PROBES], 0);
	ck_assert_uint_eq(master->counters[COUNTER_PROBES], 2);
	memory_free(&plain);
	shared_memory_free(&memory);
}
END_TEST

SUITE_MAIN("shared_memory", seen_by_another_process, totals_count_living_processes, addresses_are_counted_over_processes,
    full_chain_fails_open, address_table_against_a_plain_count, in_flight, retired_page_leaves_its_counters)
