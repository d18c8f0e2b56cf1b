/* Owns the open day's database and its batch. Never waits longer than a short lock timeout; after a failure it leaves the disk
 * alone for a while and counts what is lost meanwhile. */
#include "journal/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"

#include "journal/day.h"
#include "journal/store_format.h"

#define STORE_MAGIC 0x53544f52u
#define LOCK_TIMEOUT_MS 250 /* somebody with a database shell may hold a lock */
#define RETRY_US INT64_C(5000000)
#define SAY_US INT64_C(60000000)
#define RECIPIENTS_SHOWN 3

struct store {
	uint32_t magic;
	char *directory;
	uint32_t retention_days;
	const struct clock *clock;
	sqlite3 *database; /* NULL: none open */
	sqlite3_stmt *insert_record;
	sqlite3_stmt *insert_address;
	int64_t day; /* of the open database */
	int64_t tidied_day; /* retention was applied on this day */
	size_t batch; /* records in the open transaction */
	bool in_transaction;
	int64_t retry_at_us; /* monotonic; 0 = now */
	int64_t said_at_us; /* monotonic; 0 = never */
	uint64_t stored, lost, lost_said;
	char problem[200];
	struct store_packer packer;
	struct buffer key;
};

/* ---- troubles ---- */

static void
say_losses(struct store *store)
{
	int64_t now = clock_monotonic_us(store->clock);

	if (store->lost == store->lost_said || (store->said_at_us != 0 && now - store->said_at_us < SAY_US))
		return;
	log_alarm("trace store: %" PRIu64 " records lost: %s", store->lost - store->lost_said, store->problem);
	store->lost_said = store->lost;
	store->said_at_us = now;
}

static void
lose(struct store *store, uint64_t count)
{
	store->lost += count;
	say_losses(store);
}

static void
close_database(struct store *store)
{
	sqlite3_finalize(store->insert_record);
	sqlite3_finalize(store->insert_address);
	sqlite3_close(store->database);
	store->insert_record = store->insert_address = NULL;
	store->database = NULL;
	store->in_transaction = false;
}

/* A damaged (or newer) database is kept for the administrator under another name; the next record starts a fresh one. */
static void
set_aside(struct store *store)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char *path = day_path(store->directory, store->day);
	char *aside = memory_format("%s.damaged-%" PRId64, path, clock_wall_us(store->clock) / 1000000);

	log_error("trace store: %s: set aside as %s: %s", path, aside, store->problem);
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
		char *from = memory_format("%s%s", path, suffixes[i]);
		char *to = memory_format("%s%s", aside, suffixes[i]);
		if (rename(from, to) != 0 && i == 0)
			store->retry_at_us = clock_monotonic_us(store->clock) + RETRY_US;
		memory_free(&from);
		memory_free(&to);
	}
	memory_free(&path);
	memory_free(&aside);
}

/* Something failed: the batch is gone, the database closed, the disk left alone for a while. Always returns false. */
static bool
fail(struct store *store, const char *doing)
{
	int code = store->database == NULL ? SQLITE_CANTOPEN : sqlite3_errcode(store->database) & 0xff;
	const char *words = store->database == NULL ? "out of memory" : sqlite3_errmsg(store->database);
	struct buffer escaped = {0};

	escape_append(&escaped, span_of(words));
	snprintf(store->problem, sizeof store->problem, "%s: %s", doing, buffer_text(&escaped));
	buffer_free(&escaped);
	size_t lost = store->batch;
	store->batch = 0;
	if (store->in_transaction)
		sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
	close_database(store);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		set_aside(store);
	else
		store->retry_at_us = clock_monotonic_us(store->clock) + RETRY_US;
	lose(store, lost);
	return false;
}

/* ---- opening and closing a day ---- */

static bool
execute(struct store *store, const char *statement)
{
	return sqlite3_exec(store->database, statement, NULL, NULL, NULL) == SQLITE_OK;
}

static int
read_version(struct store *store)
{
	sqlite3_stmt *statement = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(store->database, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return version;
}

static bool
prepare(struct store *store)
{
	return sqlite3_prepare_v3(store->database,
	           "INSERT INTO records (queue_id, session_id, started_us, finished_us, sender, recipients, client, message_id, result,"
	           " body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	           -1, SQLITE_PREPARE_PERSISTENT, &store->insert_record, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v3(store->database, "INSERT OR IGNORE INTO addresses (role, address, record) VALUES (?, ?, ?)", -1,
	        SQLITE_PREPARE_PERSISTENT, &store->insert_address, NULL) == SQLITE_OK;
}

static bool
open_day(struct store *store, int64_t day)
{
	char *path = day_path(store->directory, day);
	int code = sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	memory_free(&path);
	store->day = day;
	if (code != SQLITE_OK)
		return fail(store, "cannot open");
	sqlite3_busy_timeout(store->database, LOCK_TIMEOUT_MS);
	/* WAL: readers never stop us. NORMAL: a machine that crashes may lose the last seconds of trace, never its consistency. */
	if (!execute(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
	                    "PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 33554432"))
		return fail(store, "cannot set up");
	int version = read_version(store);
	if (version > STORE_FORMAT_VERSION) {
		snprintf(store->problem, sizeof store->problem, "made by a newer version (format %d)", version);
		close_database(store);
		set_aside(store);
		return false;
	}
	if (!execute(store, store_schema) || !prepare(store))
		return fail(store, "cannot make tables");
	store->retry_at_us = 0;
	return true;
}

/* The orderly end of a database: without a write-ahead log beside it, anybody who may read the file can open it. */
static void
close_day(struct store *store)
{
	if (store->database == NULL)
		return;
	store_commit(store);
	if (store->database != NULL)
		execute(store, "PRAGMA journal_mode = DELETE");
	close_database(store);
}

static void
apply_retention(struct store *store, int64_t today)
{
	if (store->tidied_day == today)
		return;
	store->tidied_day = today;
	if (store->retention_days == 0)
		return;
	size_t removed = day_remove_before(store->directory, today - (int64_t)store->retention_days);
	if (removed > 0)
		log_info("trace store: %zu days past retention removed", removed);
}

/* The right database is open and a batch has begun. */
static bool
begin(struct store *store)
{
	int64_t today = day_of(clock_wall_us(store->clock));

	if (store->database != NULL && store->day != today)
		close_day(store);
	if (store->database == NULL) {
		if (store->retry_at_us != 0 && clock_monotonic_us(store->clock) < store->retry_at_us)
			return false;
		apply_retention(store, today);
		/* A second try: the first may have set a damaged file aside. */
		if (!open_day(store, today) && (store->retry_at_us != 0 || !open_day(store, today)))
			return false;
	}
	if (!store->in_transaction) {
		if (!execute(store, "BEGIN IMMEDIATE"))
			return fail(store, "cannot begin");
		store->in_transaction = true;
	}
	return true;
}

/* ---- one record ---- */

static void
bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	if (text == NULL || text[0] == '\0')
		sqlite3_bind_null(statement, index);
	else
		sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static void
bind_recipients(struct store *store, const struct record *record)
{
	const struct record_recipient *named[RECIPIENTS_SHOWN];
	size_t all = record_named_recipients(record, named, RECIPIENTS_SHOWN);

	buffer_clear(&store->key);
	for (size_t i = 0; i < all && i < RECIPIENTS_SHOWN; i++)
		buffer_printf(&store->key, "%s%s", i == 0 ? "" : ",", named[i]->address);
	if (all + record->recipients_unnamed > RECIPIENTS_SHOWN)
		buffer_printf(&store->key, ",... (%zu)", all + record->recipients_unnamed);
	sqlite3_bind_text(store->insert_record, 6, buffer_text(&store->key), (int)store->key.length, SQLITE_TRANSIENT);
}

static bool
insert_record(struct store *store, const struct record *record)
{
	sqlite3_stmt *statement = store->insert_record;
	char client[IP_ADDRESS_TEXT_SIZE] = "";

	store_pack(&store->packer, record);
	if (record->client.family != 0)
		ip_address_format(&record->client, client);
	bind_text(statement, 1, record->queue_id);
	sqlite3_bind_text(statement, 2, record->session_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, record->started_us);
	sqlite3_bind_int64(statement, 4, record->finished_us);
	sqlite3_bind_text(statement, 5, record->sender, -1, SQLITE_STATIC); /* NULL and "" are kept apart */
	bind_recipients(store, record);
	bind_text(statement, 7, client);
	if (record->message_id == NULL) {
		sqlite3_bind_null(statement, 8);
	} else {
		struct span key = store_message_id_key(record->message_id);
		sqlite3_bind_text(statement, 8, key.at, (int)key.length, SQLITE_STATIC);
	}
	sqlite3_bind_text(statement, 9, record_result_text(record->result), -1, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 10, store->packer.packed.data, (int)store->packer.packed.length, SQLITE_STATIC);
	bool inserted = sqlite3_step(statement) == SQLITE_DONE;
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return inserted;
}

static bool
insert_address(struct store *store, enum store_address_role role, const char *address, int64_t record_id)
{
	buffer_clear(&store->key);
	store_address_key(span_of(address), &store->key);
	sqlite3_bind_int(store->insert_address, 1, role);
	sqlite3_bind_text(store->insert_address, 2, store->key.data, (int)store->key.length, SQLITE_STATIC);
	sqlite3_bind_int64(store->insert_address, 3, record_id);
	bool inserted = sqlite3_step(store->insert_address) == SQLITE_DONE;
	sqlite3_reset(store->insert_address);
	return inserted;
}

static bool
insert_all(struct store *store, const struct record *record)
{
	if (!insert_record(store, record))
		return false;
	int64_t id = sqlite3_last_insert_rowid(store->database);
	if (record->sender != NULL && !insert_address(store, STORE_SENDER, record->sender, id))
		return false;
	for (size_t i = 0; i < record->recipient_count; i++)
		if (!insert_address(store, STORE_RECIPIENT, record->recipients[i].address, id))
			return false;
	return true;
}

/* ---- the interface ---- */

struct store *
store_new(const char *directory, uint32_t retention_days, const struct clock *clock)
{
	struct store *store = memory_new(sizeof *store);

	store->magic = STORE_MAGIC;
	store->directory = memory_copy_string(directory);
	store->retention_days = retention_days;
	store->clock = clock;
	store->tidied_day = -1;
	store_packer_init(&store->packer);
	return store;
}

void
store_set_retention(struct store *store, uint32_t retention_days)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	if (retention_days != store->retention_days)
		store->tidied_day = -1;
	store->retention_days = retention_days;
}

void
store_free(struct store **address)
{
	struct store *store = *address;

	if (store == NULL)
		return;
	CHECK_MAGIC(store, STORE_MAGIC);
	close_day(store);
	store->said_at_us = 0;
	say_losses(store);
	store_packer_free(&store->packer);
	buffer_free(&store->key);
	memory_free(&store->directory);
	memory_free(address);
}

bool
store_add(struct store *store, const struct record *record)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	if (!begin(store)) {
		lose(store, 1);
		return false;
	}
	store->batch++;
	if (!insert_all(store, record))
		return fail(store, "cannot write");
	if (store->batch >= STORE_BATCH_RECORDS)
		store_commit(store);
	return true;
}

void
store_commit(struct store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	if (!store->in_transaction)
		return;
	if (!execute(store, "COMMIT")) {
		fail(store, "cannot commit");
		return;
	}
	store->in_transaction = false;
	store->stored += store->batch;
	store->batch = 0;
}

void
store_tick(struct store *store)
{
	CHECK_MAGIC(store, STORE_MAGIC);
	int64_t today = day_of(clock_wall_us(store->clock));
	if (store->database != NULL && store->day != today)
		close_day(store);
	apply_retention(store, today);
	say_losses(store);
}

uint64_t
store_stored(const struct store *store)
{
	return store->stored;
}

uint64_t
store_lost(const struct store *store)
{
	return store->lost;
}

bool
store_has_batch(const struct store *store)
{
	return store->in_transaction;
}
