/* The trace store on a real disk: write, search, change of day, retention, damage, and how long a record takes. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "journal/day.h"
#include "journal/search.h"
#include "journal/store.h"
#include "mail/queue_id.h"

#include "suite.h"

#define NOON INT64_C(1795262400000000) /* 2026-11-21T12:00:00Z */
#define DAY_US INT64_C(86400000000)

static void
swallow(void *context, enum log_level level, const char *line)
{
	(void)level, (void)line;
	++*(int *)context;
}

static char *
make_directory(void)
{
	char *directory = memory_copy_string("/tmp/postern store #%XXXXXX"); /* a name that a URI must encode */
	ck_assert_ptr_nonnull(mkdtemp(directory));
	return directory;
}

static void
remove_directory(char **directory)
{
	char *command = memory_format("rm -r '%s'", *directory);
	ck_assert_int_eq(system(command), 0);
	memory_free(&command);
	memory_free(directory);
}

static void
fill(struct record *record, const struct clock *clock, const char *queue_id, const char *sender, const char *recipient)
{
	memset(record, 0, sizeof *record);
	snprintf(record->queue_id, sizeof record->queue_id, "%s", queue_id);
	strcpy(record->session_id, "SESSION1");
	record->result = RECORD_ACCEPTED;
	record->started_us = clock_wall_us(clock) - 41000;
	record->finished_us = clock_wall_us(clock);
	ip_address_parse("192.0.2.7", &record->client);
	record_set(&record->sender, sender);
	record_add_recipient(record, recipient, true, "250 2.1.5 Ok");
	record_set(&record->message_id, "<m1@example.com>");
	record_event(record, clock, RECORD_EVENT_NOTE, "hello");
}

static void
add(struct store *store, const struct clock *clock, const char *queue_id, const char *sender, const char *recipient)
{
	struct record record;
	fill(&record, clock, queue_id, sender, recipient);
	ck_assert(store_add(store, &record));
	record_clear(&record);
}

/* The queue IDs found, joined by blanks, must be `expected`. */
static void
check_found(const char *directory, struct search_query query, const char *expected)
{
	struct search_results results;
	struct buffer found = {0};

	if (query.limit == 0)
		query.limit = 100;
	ck_assert(search_run(directory, &query, &results));
	for (size_t i = 0; i < results.count; i++)
		buffer_printf(&found, "%s%s", i == 0 ? "" : " ", results.records[i].queue_id);
	ck_assert_str_eq(buffer_text(&found), expected);
	ck_assert_str_eq(buffer_text(&results.problems), "");
	buffer_free(&found);
	search_results_clear(&results);
}

START_TEST(searches)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct search_query query;
	struct record record;

	clock_manual_init(&clock, NOON);
	struct store *store = store_new(directory, 30, &clock.clock);
	add(store, &clock.clock, "Q1", "Alice@Example.COM", "u@example.org");
	clock_manual_advance(&clock, 60000000);
	add(store, &clock.clock, "Q2", "", "u@example.net");
	clock_manual_advance(&clock, 60000000);
	fill(&record, &clock.clock, "Q3", "bob@example.com", "first@example.org");
	record_add_recipient(&record, "Hidden.Third@EXAMPLE.net", true, "");
	record_add_recipient(&record, "Hidden.Third@EXAMPLE.net", true, "");
	record_set(&record.message_id, "<m3@example.com>");
	ip_address_parse("2001:db8::9", &record.client);
	ck_assert(store_add(store, &record));
	record_clear(&record);
	check_found(directory, (struct search_query){.sender = "@example.com"}, ""); /* not yet committed */
	store_commit(store);
	ck_assert_uint_eq(store_stored(store), 3);

	/* The store is still open: a reader beside the writer. */
	check_found(directory, (struct search_query){.id = "Q2"}, "Q2");
	check_found(directory, (struct search_query){.id = "SESSION1"}, "Q1 Q2 Q3");
	check_found(directory, (struct search_query){.id = "Q4"}, "");
	check_found(directory, (struct search_query){.session_id = "SESSION1", .limit = 2}, "Q2 Q3");
	check_found(directory, (struct search_query){.sender = "alice@EXAMPLE.com"}, "Q1");
	check_found(directory, (struct search_query){.sender = "@Example.com"}, "Q1 Q3");
	check_found(directory, (struct search_query){.sender = "@ample.com"}, "");
	check_found(directory, (struct search_query){.sender = "@example.co"}, "");
	check_found(directory, (struct search_query){.sender = "<>"}, "Q2");
	check_found(directory, (struct search_query){.recipient = "hidden.third@example.NET"}, "Q3");
	check_found(directory, (struct search_query){.recipient = "@example.net"}, "Q2 Q3");
	check_found(directory, (struct search_query){.recipient = "@example.net", .sender = "bob@example.com"}, "Q3");
	check_found(directory, (struct search_query){.message_id = "m3@example.com"}, "Q3");
	check_found(directory, (struct search_query){.message_id = "<m1@example.com>"}, "Q1 Q2");
	memset(&query, 0, sizeof query);
	ip_address_parse("2001:db8:0::9", &query.client);
	check_found(directory, query, "Q3");
	check_found(directory, (struct search_query){.since_us = NOON + 60000000}, "Q2 Q3");
	check_found(directory, (struct search_query){.since_us = NOON + 60000001, .recipient = "@example.net"}, "Q3");
	check_found(directory, (struct search_query){.since_us = NOON + DAY_US}, "");
	check_found(directory, (struct search_query){.limit = 1}, "Q3");
	store_free(&store);
	check_found(directory, (struct search_query){.id = "Q1"}, "Q1");
	remove_directory(&directory);
}
END_TEST

START_TEST(story_comes_back)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct search_results results;
	size_t offset = 0;
	int64_t at;
	enum record_event_kind kind;
	struct span text;

	clock_manual_init(&clock, NOON);
	struct store *store = store_new(directory, 0, &clock.clock);
	add(store, &clock.clock, "Q1", "a@b", "c@d");
	store_free(&store);
	ck_assert(search_run(directory, &(struct search_query){.id = "Q1", .limit = 9, .with_story = true}, &results));
	ck_assert_uint_eq(results.count, 1);
	ck_assert(record_story_next(span_make(results.records[0].story.data, results.records[0].story.length), &offset, &at, &kind, &text));
	ck_assert(kind == RECORD_EVENT_NOTE && span_is(text, "hello"));
	ck_assert_str_eq(results.records[0].recipients[0].reply, "250 2.1.5 Ok");
	search_results_clear(&results);
	remove_directory(&directory);
}
END_TEST

static bool
exists(const char *directory, const char *name)
{
	char *path = memory_format("%s/%s", directory, name);
	bool found = access(path, F_OK) == 0;
	memory_free(&path);
	return found;
}

static void
touch(const char *directory, const char *name)
{
	char *path = memory_format("%s/%s", directory, name);
	int descriptor = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(descriptor, 0);
	close(descriptor);
	memory_free(&path);
}

START_TEST(days_change_and_go)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct queue_id_source source;
	char id[QUEUE_ID_SIZE];
	int lines = 0;

	log_set_emitter(swallow, &lines);
	clock_manual_init(&clock, NOON + DAY_US / 2 - 1000); /* just before midnight */
	queue_id_source_init(&source, &clock.clock, 7);
	queue_id_make(&source, id);
	struct store *store = store_new(directory, 2, &clock.clock);
	add(store, &clock.clock, "EVENING", "a@b", "c@d");
	clock_manual_advance(&clock, 2000);
	add(store, &clock.clock, id, "a@b", "c@d"); /* made yesterday, finished today */
	store_commit(store);
	ck_assert(exists(directory, "trace-2026-11-21.db") && exists(directory, "trace-2026-11-22.db"));
	ck_assert(!exists(directory, "trace-2026-11-21.db-wal"));
	check_found(directory, (struct search_query){.id = id}, id);
	char *both = memory_format("EVENING %s", id);
	check_found(directory, (struct search_query){.sender = "a@b"}, both);
	check_found(directory, (struct search_query){.since_us = NOON + DAY_US / 2}, id);
	check_found(directory, (struct search_query){.sender = "a@b", .limit = 1}, id);

	touch(directory, "trace-2026-11-19.db-wal");
	touch(directory, "trace-2026-11-19.db.damaged-1");
	touch(directory, "trace-2026-02-31.db");
	touch(directory, "trace-2026-11-19.dbx");
	clock_manual_advance(&clock, 2 * DAY_US); /* the 24th: the 21st is past two days, the 22nd is not */
	store_tick(store);
	ck_assert(!exists(directory, "trace-2026-11-21.db") && exists(directory, "trace-2026-11-22.db"));
	ck_assert(!exists(directory, "trace-2026-11-19.db-wal") && !exists(directory, "trace-2026-11-19.db.damaged-1"));
	ck_assert(exists(directory, "trace-2026-02-31.db") && exists(directory, "trace-2026-11-19.dbx"));
	ck_assert_int_eq(lines, 1);
	memory_free(&both);
	store_free(&store);
	remove_directory(&directory);
}
END_TEST

static void
overwrite(const char *directory, const char *name, long offset, const char *bytes, size_t length)
{
	char *path = memory_format("%s/%s", directory, name);
	int descriptor = open(path, O_WRONLY);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(pwrite(descriptor, bytes, length, offset), (ssize_t)length);
	close(descriptor);
	memory_free(&path);
}

START_TEST(damaged_database_is_set_aside)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct search_results results;
	int lines = 0;

	log_set_emitter(swallow, &lines);
	clock_manual_init(&clock, NOON);
	touch(directory, "trace-2026-11-21.db");
	overwrite(directory, "trace-2026-11-21.db", 0, "this is no database, however long one looks at it.......", 56);
	ck_assert(search_run(directory, &(struct search_query){.id = "Q1", .limit = 9}, &results));
	ck_assert_uint_eq(results.count, 0);
	ck_assert_ptr_nonnull(strstr(buffer_text(&results.problems), "trace-2026-11-21.db: file is not a database\n"));
	search_results_clear(&results);

	struct store *store = store_new(directory, 0, &clock.clock);
	add(store, &clock.clock, "Q1", "a@b", "c@d");
	store_commit(store);
	check_found(directory, (struct search_query){.id = "Q1"}, "Q1");
	ck_assert_int_eq(lines, 1);
	ck_assert(exists(directory, "trace-2026-11-21.db.damaged-1795262400"));
	store_free(&store);
	remove_directory(&directory);
}
END_TEST

static bool
exists_at(const char *directory, const char *name, long offset)
{
	struct stat status;
	char *path = memory_format("%s/%s", directory, name);
	bool there = stat(path, &status) == 0 && status.st_size > offset;
	memory_free(&path);
	return there;
}

START_TEST(damaged_pages_do_not_crash)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct search_results results;
	char junk[4096], id[16];

	clock_manual_init(&clock, NOON);
	struct store *store = store_new(directory, 0, &clock.clock);
	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof id, "Q%d", i);
		add(store, &clock.clock, id, "a@b", "c@d");
	}
	store_free(&store);
	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (char)(i * 131 + 7);
	for (long page = 1; exists_at(directory, "trace-2026-11-21.db", page * 4096); page++) {
		overwrite(directory, "trace-2026-11-21.db", page * 4096 + 100, junk, 3000);
		ck_assert(search_run(directory, &(struct search_query){.sender = "a@b", .limit = 1000, .with_story = true}, &results));
		search_results_clear(&results);
		ck_assert(search_run(directory, &(struct search_query){.limit = 1000}, &results));
		search_results_clear(&results);
	}
	ck_assert(search_run(directory, &(struct search_query){.id = "Q7", .limit = 9}, &results));
	ck_assert_uint_gt(results.problems.length, 0);
	search_results_clear(&results);
	remove_directory(&directory);
}
END_TEST

START_TEST(damaged_record_shows_its_summary)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct search_results results;
	sqlite3 *database;

	clock_manual_init(&clock, NOON);
	struct store *store = store_new(directory, 0, &clock.clock);
	add(store, &clock.clock, "Q1", "a@b", "c@d");
	store_free(&store);
	char *path = day_path(directory, day_of(NOON));
	ck_assert_int_eq(sqlite3_open(path, &database), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(database, "UPDATE records SET body = x'01ffffff7f78'", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(database);
	ck_assert(search_run(directory, &(struct search_query){.id = "Q1", .limit = 9}, &results));
	ck_assert_uint_eq(results.count, 1);
	ck_assert_str_eq(results.records[0].recipients[0].address, "c@d");
	ck_assert(results.records[0].result == RECORD_ACCEPTED);
	ck_assert_ptr_nonnull(strstr(buffer_text(&results.problems), "record Q1: record claims an impossible size"));
	search_results_clear(&results);
	memory_free(&path);
	remove_directory(&directory);
}
END_TEST

START_TEST(lock_and_missing_directory_cost_records_only)
{
	char *directory = make_directory();
	struct clock_manual clock;
	struct record record;
	sqlite3 *database;
	int lines = 0;

	log_set_emitter(swallow, &lines);
	clock_manual_init(&clock, NOON);
	clock.monotonic_us = 1000000;
	fill(&record, &clock.clock, "Q1", "a@b", "c@d");
	struct store *store = store_new(directory, 0, &clock.clock);
	ck_assert(store_add(store, &record));
	store_commit(store);
	char *path = day_path(directory, day_of(NOON));
	ck_assert_int_eq(sqlite3_open(path, &database), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 1000; i++)
		ck_assert(!store_add(store, &record)); /* only the first one waits for the lock */
	ck_assert_uint_eq(store_lost(store), 1000);
	ck_assert_int_eq(lines, 1);
	sqlite3_exec(database, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(database);
	clock_manual_advance(&clock, 5000000);
	ck_assert(store_add(store, &record));
	clock_manual_advance(&clock, 60000000);
	store_tick(store); /* tells of the rest */
	ck_assert_int_eq(lines, 2);
	store_free(&store);
	memory_free(&path);
	remove_directory(&directory);

	store = store_new("/nonexistent", 3, &clock.clock);
	ck_assert(!store_add(store, &record));
	ck_assert_uint_eq(store_lost(store), 1);
	store_free(&store);
	record_clear(&record);
}
END_TEST

/* A transaction as it usually is, different enough from its neighbours. */
static void
fill_usual(struct record *record, const struct clock *now, int number)
{
	char text[80];

	memset(record, 0, sizeof *record);
	snprintf(record->queue_id, sizeof record->queue_id, "4K7QZ2M9%06d", number);
	snprintf(record->session_id, sizeof record->session_id, "4K7QZ2M8%06d", number);
	record->result = RECORD_ACCEPTED;
	record->started_us = record->finished_us = clock_wall_us(now);
	snprintf(text, sizeof text, "192.0.%d.%d", number * 7919 % 251, number * 104729 % 241);
	ip_address_parse(text, &record->client);
	snprintf(text, sizeof text, "sender%u@example%d.com", (unsigned)number * 2654435761u, number % 97);
	record_set(&record->sender, text);
	snprintf(text, sizeof text, "user%u@example.org", (unsigned)number * 40503u % 5000);
	record_add_recipient(record, text, true, "250 2.1.5 Ok");
	snprintf(text, sizeof text, "<%08x.%d@mail.example%d.com>", (unsigned)number * 2246822519u, number, number % 97);
	record_set(&record->message_id, text);
	record_set(&record->helo, "mail.example.com");
	for (int i = 0; i < 24; i++)
		record_event(record, now, i % RECORD_EVENT_COUNT, "250-%u something that a client or a backend said %d", (unsigned)number * (unsigned)i, i);
}

START_TEST(ten_thousand_records)
{
	char *directory = make_directory();
	struct clock_manual now;
	struct record *records = memory_new_array(10000, sizeof *records);
	struct stat status;

	clock_manual_init(&now, NOON);
	for (int i = 0; i < 10000; i++)
		fill_usual(&records[i], &now.clock, i);
	struct store *store = store_new(directory, 0, &now.clock);
	int64_t began = clock_monotonic_us(clock_system());
	clock_t processor_began = clock();
	for (int i = 0; i < 10000; i++)
		ck_assert(store_add(store, &records[i]));
	store_commit(store);
	int64_t took = clock_monotonic_us(clock_system()) - began;
	double processor = (double)(clock() - processor_began) * 1e6 / CLOCKS_PER_SEC;
	store_free(&store);
	char *path = day_path(directory, day_of(NOON));
	ck_assert_int_eq(stat(path, &status), 0);
	printf("10,000 records of %zu bytes of story: %.1f us (%.1f us processor) and %ld bytes each\n", records[0].story.length,
	    (double)took / 10000, processor / 10000,
	    (long)status.st_size / 10000);
	ck_assert_msg(took < 10000 * 1000, "a record took over a millisecond");

	began = clock_monotonic_us(clock_system());
	check_found(directory, (struct search_query){.id = "4K7QZ2M9004711"}, "4K7QZ2M9004711");
	check_found(directory, (struct search_query){.sender = records[4711].sender, .recipient = "@example.org"}, "4K7QZ2M9004711");
	check_found(directory, (struct search_query){.recipient = "@example.org", .limit = 2}, "4K7QZ2M9009998 4K7QZ2M9009999");
	printf("three searches: %.1f ms\n", (double)(clock_monotonic_us(clock_system()) - began) / 1000);
	for (int i = 0; i < 10000; i++)
		record_clear(&records[i]);
	memory_free(&records);
	memory_free(&path);
	remove_directory(&directory);
}
END_TEST

SUITE_MAIN("store", searches, story_comes_back, days_change_and_go, damaged_database_is_set_aside, damaged_pages_do_not_crash,
    damaged_record_shows_its_summary, lock_and_missing_directory_cost_records_only, ten_thousand_records)
