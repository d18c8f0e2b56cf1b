/* Queue IDs: golden value, order, uniqueness when the clock stands still or steps back. */
#include "suite.h"

#include <string.h>

#include "mail/queue_id.h"

#define WALL_US INT64_C(1795292104123456) /* 2026-11-21T20:15:04.123456Z */

START_TEST(golden)
{
	struct clock_manual manual;
	struct queue_id_source source;
	char id[QUEUE_ID_SIZE];

	clock_manual_init(&manual, 1000);
	queue_id_source_init(&source, &manual.clock, 0xfffff);
	/* 1 ms: bit 28 of 70; then the sequence 0 and 20 bits of ones. */
	queue_id_make(&source, id);
	ck_assert_str_eq(id, "0000000080ZZZZ");
	queue_id_make(&source, id);
	ck_assert_str_eq(id, "0000000081ZZZZ");
	ck_assert_int_eq(queue_id_time_ms(id), 1);
}
END_TEST

START_TEST(time_comes_back)
{
	struct clock_manual manual;
	struct queue_id_source source;
	char id[QUEUE_ID_SIZE];

	clock_manual_init(&manual, WALL_US);
	queue_id_source_init(&source, &manual.clock, 0x12345678); /* only 20 bits are used */
	ck_assert_uint_eq(source.instance, 0x45678);
	queue_id_make(&source, id);
	ck_assert_uint_eq(strlen(id), QUEUE_ID_LENGTH);
	ck_assert(queue_id_is_valid(id));
	ck_assert_int_eq(queue_id_time_ms(id), WALL_US / 1000);
}
END_TEST

START_TEST(rising_always)
{
	struct clock_manual manual;
	struct queue_id_source source;
	char id[QUEUE_ID_SIZE], last[QUEUE_ID_SIZE] = "";

	clock_manual_init(&manual, WALL_US);
	queue_id_source_init(&source, &manual.clock, 7);
	for (int i = 0; i < 20000; i++) {
		if (i == 3000)
			clock_manual_advance(&manual, 1000); /* slower than the IDs ran ahead */
		if (i == 10000)
			manual.wall_us -= INT64_C(3600) * 1000000; /* steps back an hour */
		if (i == 15000)
			manual.wall_us += INT64_C(7200) * 1000000;
		queue_id_make(&source, id);
		ck_assert(strcmp(last, id) < 0);
		memcpy(last, id, sizeof last);
	}
	ck_assert_int_ge(queue_id_time_ms(id), manual.wall_us / 1000);
}
END_TEST

START_TEST(overflow_moves_the_millisecond)
{
	struct clock_manual manual;
	struct queue_id_source source;
	char id[QUEUE_ID_SIZE];

	clock_manual_init(&manual, WALL_US);
	queue_id_source_init(&source, &manual.clock, 7);
	for (int i = 0; i < 256; i++)
		queue_id_make(&source, id);
	ck_assert_int_eq(queue_id_time_ms(id), WALL_US / 1000);
	queue_id_make(&source, id);
	ck_assert_int_eq(queue_id_time_ms(id), WALL_US / 1000 + 1);
}
END_TEST

START_TEST(instances_differ)
{
	struct clock_manual manual;
	struct queue_id_source a, b;
	char id_a[QUEUE_ID_SIZE], id_b[QUEUE_ID_SIZE];

	clock_manual_init(&manual, WALL_US);
	queue_id_source_init(&a, &manual.clock, 1);
	queue_id_source_init(&b, &manual.clock, 2);
	queue_id_make(&a, id_a);
	queue_id_make(&b, id_b);
	ck_assert_str_ne(id_a, id_b);
}
END_TEST

START_TEST(validity)
{
	ck_assert(queue_id_is_valid("0123456789ABCD"));
	ck_assert(!queue_id_is_valid(""));
	ck_assert(!queue_id_is_valid("0123456789ABC"));
	ck_assert(!queue_id_is_valid("0123456789ABCDE"));
	ck_assert(!queue_id_is_valid("0123456789ABCI"));
	ck_assert(!queue_id_is_valid("0123456789abcd"));
	ck_assert_int_eq(queue_id_time_ms("0123456789ABCU"), -1);
	ck_assert_int_eq(queue_id_time_ms("ZZZZZZZZZZZZZZ"), (INT64_C(1) << 42) - 1);
}
END_TEST

SUITE_MAIN("queue_id", golden, time_comes_back, rising_always, overflow_moves_the_millisecond, instances_differ, validity)
