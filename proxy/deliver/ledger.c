/* The ledger in an SQLite file. Write-ahead log with synchronous=FULL: a commit is one appended and fsynced run of bytes, and SQLite fsyncs
 * the folder when it makes the log. Never keeps anything in memory that the disk does not have. */
#include "deliver/ledger.h"

#include <sqlite3.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

#define BUSY_TIMEOUT_MS 2000 /* another deliver process is writing: at a reload there are two for a while */

struct ledger {
	sqlite3 *database;
	const struct clock *clock;
	sqlite3_stmt *insert, *find_address, *find_message, *expire, *count;
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS outcomes("
    " sequence INTEGER PRIMARY KEY AUTOINCREMENT," /* order of recording, whatever the clock does */
    " address_key BLOB NOT NULL, message_key BLOB NOT NULL, outcome INTEGER NOT NULL,"
    " code INTEGER NOT NULL, enhanced TEXT NOT NULL, text TEXT, queue_id TEXT NOT NULL, recorded_us INTEGER NOT NULL,"
    " UNIQUE(address_key, message_key));"
    "CREATE INDEX IF NOT EXISTS outcomes_recorded ON outcomes(recorded_us);";

#define COLUMNS "address_key, message_key, outcome, code, enhanced, text, queue_id"

static bool
complain(struct ledger *ledger, const char *doing)
{
	log_error("ledger: %s: %s", doing, sqlite3_errmsg(ledger->database));
	return false;
}

static bool
run(struct ledger *ledger, const char *sql)
{
	return sqlite3_exec(ledger->database, sql, NULL, NULL, NULL) == SQLITE_OK || complain(ledger, "cannot be set up");
}

static bool
prepare(struct ledger *ledger, const char *sql, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v3(ledger->database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK ||
	    complain(ledger, "cannot be used");
}

static bool
set_up(struct ledger *ledger)
{
	sqlite3_busy_timeout(ledger->database, BUSY_TIMEOUT_MS);
	return run(ledger, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;") &&
	    run(ledger, schema) &&
	    prepare(ledger, "INSERT OR REPLACE INTO outcomes(" COLUMNS ", recorded_us) VALUES(?, ?, ?, ?, ?, ?, ?, ?)", &ledger->insert) &&
	    prepare(ledger, "SELECT " COLUMNS " FROM outcomes WHERE address_key = ? AND recorded_us > ? ORDER BY sequence DESC LIMIT ?",
		&ledger->find_address) &&
	    prepare(ledger, "SELECT " COLUMNS " FROM outcomes WHERE address_key = ? AND recorded_us > ? AND message_key = ?4"
		" ORDER BY sequence DESC LIMIT ?3", &ledger->find_message) &&
	    prepare(ledger, "DELETE FROM outcomes WHERE recorded_us <= ?", &ledger->expire) &&
	    prepare(ledger, "SELECT count(*) FROM outcomes WHERE recorded_us > ?", &ledger->count) && ledger_expire(ledger);
}

struct ledger *
ledger_open(const char *path, const struct clock *clock)
{
	struct ledger *ledger = memory_new(sizeof *ledger);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

	ledger->clock = clock;
	if (sqlite3_open_v2(path, &ledger->database, flags, NULL) != SQLITE_OK) {
		complain(ledger, "cannot be opened");
		ledger_close(&ledger);
		return NULL;
	}
	if (!set_up(ledger))
		ledger_close(&ledger);
	return ledger;
}

void
ledger_close(struct ledger **address)
{
	struct ledger *ledger = *address;

	if (ledger == NULL)
		return;
	sqlite3_finalize(ledger->insert);
	sqlite3_finalize(ledger->find_address);
	sqlite3_finalize(ledger->find_message);
	sqlite3_finalize(ledger->expire);
	sqlite3_finalize(ledger->count);
	sqlite3_close(ledger->database);
	memory_free(address);
}

static int64_t
oldest_kept_us(const struct ledger *ledger)
{
	return clock_wall_us(ledger->clock) - LEDGER_KEPT_US;
}

static bool
insert(struct ledger *ledger, const struct ledger_entry *entry)
{
	sqlite3_stmt *statement = ledger->insert;

	sqlite3_bind_blob(statement, 1, entry->address_key, LEDGER_KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_blob(statement, 2, entry->message_key, LEDGER_KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_int(statement, 3, (int)entry->outcome);
	sqlite3_bind_int(statement, 4, entry->reply.code);
	sqlite3_bind_text(statement, 5, entry->reply.enhanced, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 6, entry->reply.text, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 7, entry->queue_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 8, clock_wall_us(ledger->clock));
	int result = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return result == SQLITE_DONE || complain(ledger, "cannot record");
}

bool
ledger_record(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
	if (sqlite3_exec(ledger->database, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return complain(ledger, "cannot record");
	bool ok = true;
	for (size_t i = 0; i < count && ok; i++)
		ok = insert(ledger, &entries[i]);
	if (ok && sqlite3_exec(ledger->database, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
		return true;
	if (ok)
		complain(ledger, "cannot record");
	/* Some errors have rolled back already; then this one says so, and that is fine. */
	sqlite3_exec(ledger->database, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

static const char *
column_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	return text != NULL ? (const char *)text : "";
}

/* False for a row that we did not write like this. */
static bool
read_row(sqlite3_stmt *row, struct ledger_entry *entry)
{
	int outcome = sqlite3_column_int(row, 2), code = sqlite3_column_int(row, 3);
	const char *enhanced = column_text(row, 4), *queue_id = column_text(row, 6);

	if (sqlite3_column_bytes(row, 0) != LEDGER_KEY_SIZE || sqlite3_column_bytes(row, 1) != LEDGER_KEY_SIZE ||
	    outcome <= LEDGER_NONE || outcome > LEDGER_DEFERRED || strlen(enhanced) >= sizeof entry->reply.enhanced ||
	    strlen(queue_id) >= sizeof entry->queue_id || (code != 0 && (code < 200 || code > 599)))
		return false;
	*entry = (struct ledger_entry){.outcome = (enum ledger_outcome)outcome};
	memcpy(entry->address_key, sqlite3_column_blob(row, 0), LEDGER_KEY_SIZE);
	memcpy(entry->message_key, sqlite3_column_blob(row, 1), LEDGER_KEY_SIZE);
	strcpy(entry->queue_id, queue_id);
	if (code != 0)
		reply_set(&entry->reply, code, enhanced[0] != '\0' ? enhanced : NULL, "%s", column_text(row, 5));
	return true;
}

int
ledger_lookup(struct ledger *ledger, const uint8_t *address_key, const uint8_t *message_key, struct ledger_entry *entries, size_t capacity)
{
	sqlite3_stmt *statement = message_key != NULL ? ledger->find_message : ledger->find_address;
	size_t count = 0;
	int result;

	sqlite3_bind_blob(statement, 1, address_key, LEDGER_KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, oldest_kept_us(ledger));
	sqlite3_bind_int64(statement, 3, (int64_t)capacity);
	if (message_key != NULL)
		sqlite3_bind_blob(statement, 4, message_key, LEDGER_KEY_SIZE, SQLITE_STATIC);
	while ((result = sqlite3_step(statement)) == SQLITE_ROW && count < capacity)
		if (read_row(statement, &entries[count]))
			count++;
	if (result != SQLITE_DONE && result != SQLITE_ROW)
		complain(ledger, "cannot be read");
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	if (result == SQLITE_DONE || result == SQLITE_ROW)
		return (int)count;
	while (count > 0)
		reply_clear(&entries[--count].reply);
	return -1;
}

bool
ledger_expire(struct ledger *ledger)
{
	sqlite3_bind_int64(ledger->expire, 1, oldest_kept_us(ledger));
	int result = sqlite3_step(ledger->expire);
	sqlite3_reset(ledger->expire);
	return result == SQLITE_DONE || complain(ledger, "cannot expire");
}

int64_t
ledger_count(struct ledger *ledger)
{
	int64_t count = -1;

	sqlite3_bind_int64(ledger->count, 1, oldest_kept_us(ledger));
	if (sqlite3_step(ledger->count) == SQLITE_ROW)
		count = sqlite3_column_int64(ledger->count, 0);
	else
		complain(ledger, "cannot be read");
	sqlite3_reset(ledger->count);
	return count;
}
