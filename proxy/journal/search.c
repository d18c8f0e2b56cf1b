/* One query over the day databases, newest day first. Writes nothing, and takes nothing it reads on trust. */
#include "journal/search.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/memory.h"

#include "mail/queue_id.h"

#include "journal/day.h"
#include "journal/store_format.h"

#define LOCK_TIMEOUT_MS 2000
#define LENGTH_MAX (16 << 20) /* longest value SQLite may hand out */

enum column { COLUMN_QUEUE_ID, COLUMN_SESSION_ID, COLUMN_STARTED, COLUMN_FINISHED, COLUMN_SENDER, COLUMN_RECIPIENTS, COLUMN_CLIENT,
	COLUMN_MESSAGE_ID, COLUMN_RESULT, COLUMN_BODY };
#define SELECT \
	"SELECT queue_id, session_id, started_us, finished_us, sender, recipients, client, message_id, result, body FROM records WHERE 1"

/* ---- problems ---- */

static void
add_problem(struct search_results *results, const char *path, const char *record_name, const char *what)
{
	escape_append(&results->problems, span_of(path));
	buffer_append_string(&results->problems, ": ");
	if (record_name != NULL) {
		buffer_append_string(&results->problems, "record ");
		escape_append(&results->problems, span_of(record_name[0] == '\0' ? "without queue ID" : record_name));
		buffer_append_string(&results->problems, ": ");
	}
	escape_append(&results->problems, span_of(what));
	buffer_append_char(&results->problems, '\n');
}

/* ---- opening ---- */

/* A file name as a URI (RFC 3986 2.1): everything but plain characters is percent-encoded. */
static char *
make_uri(const char *path, const char *parameters)
{
	struct buffer uri = {0};

	buffer_append_string(&uri, "file:");
	for (const unsigned char *at = (const unsigned char *)path; *at != '\0'; at++) {
		if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || strchr("/-_.", *at) != NULL)
			buffer_append_char(&uri, (char)*at);
		else
			buffer_printf(&uri, "%%%02X", *at);
	}
	buffer_printf(&uri, "?%s", parameters);
	return buffer_take_string(&uri);
}

static int
open_with(const char *path, const char *parameters, sqlite3 **database)
{
	char *uri = make_uri(path, parameters);
	int code = sqlite3_open_v2(uri, database, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);

	memory_free(&uri);
	if (code != SQLITE_OK)
		return code;
	sqlite3_busy_timeout(*database, LOCK_TIMEOUT_MS);
	/* The file may have been tampered with: no functions from its schema, no values without bound. */
	sqlite3_db_config(*database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(*database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_limit(*database, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
	return sqlite3_exec(*database, "PRAGMA cell_size_check = 1; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
}

/* Opens for reading. A database in WAL mode whose log was not left beside it cannot be opened by somebody who may not write into
 * the directory; but nobody writes it either, so it is then read as it lies. */
static bool
open_database(const char *path, sqlite3 **database, struct search_results *results)
{
	int code = open_with(path, "mode=ro", database);

	if (((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY) && access(path, R_OK) == 0) {
		char *log = memory_format("%s-wal", path);
		if (access(log, F_OK) != 0 && errno == ENOENT) {
			sqlite3_close(*database);
			*database = NULL;
			code = open_with(path, "mode=ro&immutable=1", database);
		}
		memory_free(&log);
	}
	if (code == SQLITE_OK)
		return true;
	if (access(path, F_OK) == 0) /* else retention just removed it */
		add_problem(results, path, NULL, *database == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(*database));
	sqlite3_close(*database);
	*database = NULL;
	return false;
}

static bool
version_is_known(sqlite3 *database, const char *path, struct search_results *results)
{
	sqlite3_stmt *statement = NULL;
	int version = -1;

	if (sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	if (version > STORE_FORMAT_VERSION)
		add_problem(results, path, NULL, "written by a newer version of postern");
	return version > 0 && version <= STORE_FORMAT_VERSION; /* 0: the journal is just making it */
}

/* ---- the query ---- */

/* SQL text and its values, in order. */
struct conditions {
	struct buffer text;
	struct buffer values[12];
	int count;
};

static struct buffer *
add_value(struct conditions *conditions)
{
	return &conditions->values[conditions->count++];
}

static void
add_condition(struct conditions *conditions, const char *text, struct span value)
{
	if (conditions->text.length == 0)
		buffer_append_string(&conditions->text, SELECT);
	buffer_append_string(&conditions->text, text);
	buffer_append_span(add_value(conditions), value);
}

static void
add_address(struct conditions *conditions, enum store_address_role role, const char *address)
{
	struct buffer key = {0};

	if (strcmp(address, "<>") == 0)
		address = "";
	store_address_key(span_of(address), &key);
	if (address[0] == '@' && address[1] != '\0') {
		add_condition(conditions,
		    role == STORE_SENDER ? " AND id IN (SELECT record FROM addresses WHERE role = 0 AND address >= ? AND address < ?)" :
		                           " AND id IN (SELECT record FROM addresses WHERE role = 1 AND address >= ? AND address < ?)",
		    span_make(key.data, key.length));
		key.data[key.length - 1]++; /* behind "domain@" */
		buffer_append(add_value(conditions), key.data, key.length);
	} else {
		add_condition(conditions,
		    role == STORE_SENDER ? " AND id IN (SELECT record FROM addresses WHERE role = 0 AND address = ?)" :
		                           " AND id IN (SELECT record FROM addresses WHERE role = 1 AND address = ?)",
		    span_make(key.data, key.length));
	}
	buffer_free(&key);
}

enum id_meaning { ID_IS_QUEUE_ID, ID_IS_SESSION_ID };

static void
build(struct conditions *conditions, const struct search_query *query, enum id_meaning meaning)
{
	char client[IP_ADDRESS_TEXT_SIZE];

	memset(conditions, 0, sizeof *conditions);
	if (query->id != NULL)
		add_condition(conditions, meaning == ID_IS_QUEUE_ID ? " AND queue_id = ?" : " AND session_id = ?", span_of(query->id));
	if (query->session_id != NULL)
		add_condition(conditions, " AND session_id = ?", span_of(query->session_id));
	if (query->sender != NULL)
		add_address(conditions, STORE_SENDER, query->sender);
	if (query->recipient != NULL)
		add_address(conditions, STORE_RECIPIENT, query->recipient);
	if (query->client.family != 0)
		add_condition(conditions, " AND client = ?", span_of(ip_address_format(&query->client, client)));
	if (query->message_id != NULL)
		add_condition(conditions, " AND message_id = ?", store_message_id_key(query->message_id));
	/* Alone, the time leads through its index; beside another condition the other one does, and `+` keeps the planner to that. */
	bool alone = conditions->count == 0;
	if (alone)
		buffer_append_string(&conditions->text, SELECT);
	buffer_append_string(&conditions->text, alone ? " AND finished_us >= ?" : " AND +finished_us >= ?");
	buffer_append_string(&conditions->text, alone ? " ORDER BY finished_us DESC, id DESC LIMIT ?" : " ORDER BY id DESC LIMIT ?");
}

static void
conditions_free(struct conditions *conditions)
{
	buffer_free(&conditions->text);
	for (int i = 0; i < conditions->count; i++)
		buffer_free(&conditions->values[i]);
}

/* ---- rows ---- */

static const char *
column_text(sqlite3_stmt *statement, enum column column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);
	return text == NULL ? "" : text;
}

/* What the row itself tells, when its body is damaged. */
static void
fill_from_columns(struct record *record, sqlite3_stmt *statement)
{
	const char *recipients = column_text(statement, COLUMN_RECIPIENTS);

	memset(record, 0, sizeof *record);
	snprintf(record->queue_id, sizeof record->queue_id, "%s", column_text(statement, COLUMN_QUEUE_ID));
	snprintf(record->session_id, sizeof record->session_id, "%s", column_text(statement, COLUMN_SESSION_ID));
	record->started_us = sqlite3_column_int64(statement, COLUMN_STARTED);
	record->finished_us = sqlite3_column_int64(statement, COLUMN_FINISHED);
	if (sqlite3_column_type(statement, COLUMN_SENDER) != SQLITE_NULL)
		record_set(&record->sender, column_text(statement, COLUMN_SENDER));
	if (recipients[0] != '\0')
		record_add_recipient(record, recipients, true, "");
	ip_address_parse(column_text(statement, COLUMN_CLIENT), &record->client);
	if (sqlite3_column_type(statement, COLUMN_MESSAGE_ID) != SQLITE_NULL)
		record_set(&record->message_id, column_text(statement, COLUMN_MESSAGE_ID));
	for (int i = 0; i < RECORD_RESULT_COUNT; i++)
		if (strcmp(column_text(statement, COLUMN_RESULT), record_result_text(i)) == 0)
			record->result = i;
	record_set(&record->reason, "(the record is damaged, only its summary could be read)");
}

static void
add_row(struct search_results *results, sqlite3_stmt *statement, const char *path, bool with_story)
{
	if ((results->count & (results->count - 1)) == 0)
		results->records = memory_resize(results->records, results->count == 0 ? 1 : 2 * results->count, sizeof *results->records);
	struct record *record = &results->records[results->count++];
	const char *body = sqlite3_column_blob(statement, COLUMN_BODY);
	size_t length = (size_t)sqlite3_column_bytes(statement, COLUMN_BODY);
	const char *problem = store_unpack(span_make(body == NULL ? "" : body, body == NULL ? 0 : length), record);

	if (problem != NULL) {
		add_problem(results, path, column_text(statement, COLUMN_QUEUE_ID), problem);
		fill_from_columns(record, statement);
	}
	if (!with_story)
		buffer_free(&record->story);
}

/* Rows of one database, newest first, behind those found so far. */
static void
run_statement(sqlite3 *database, const char *path, const struct search_query *query, enum id_meaning meaning,
    struct search_results *results)
{
	struct conditions conditions;
	sqlite3_stmt *statement = NULL;
	int code;

	build(&conditions, query, meaning);
	code = sqlite3_prepare_v2(database, buffer_text(&conditions.text), -1, &statement, NULL);
	if (code == SQLITE_OK) {
		int index = 1;
		for (int i = 0; i < conditions.count; i++)
			sqlite3_bind_text(statement, index++, buffer_text(&conditions.values[i]), (int)conditions.values[i].length,
			    SQLITE_STATIC);
		sqlite3_bind_int64(statement, index++, query->since_us);
		sqlite3_bind_int64(statement, index++, (sqlite3_int64)(query->limit - results->count));
		while ((code = sqlite3_step(statement)) == SQLITE_ROW)
			add_row(results, statement, path, query->with_story);
	}
	if (code != SQLITE_DONE)
		add_problem(results, path, NULL, sqlite3_errmsg(database));
	sqlite3_finalize(statement);
	conditions_free(&conditions);
}

static void
search_day(const char *directory, int64_t day, const struct search_query *query, enum id_meaning meaning,
    struct search_results *results)
{
	char *path = day_path(directory, day);
	sqlite3 *database = NULL;

	if (results->count < query->limit && open_database(path, &database, results)) {
		if (version_is_known(database, path, results))
			run_statement(database, path, query, meaning, results);
		sqlite3_close(database);
	}
	memory_free(&path);
}

/* ---- all days ---- */

static void
search_days(const char *directory, const int64_t *days, size_t count, const struct search_query *query, enum id_meaning meaning,
    struct search_results *results)
{
	for (size_t i = 0; i < count; i++)
		if (query->since_us == 0 || days[i] >= day_of(query->since_us))
			search_day(directory, days[i], query, meaning, results);
}

/* A queue ID tells when it was made: its record is in the file of that day or, finished after midnight, of the next. Only when
 * it is in neither all the others are opened. */
static void
search_id(const char *directory, const int64_t *days, size_t count, const struct search_query *query,
    struct search_results *results)
{
	int64_t time_ms = queue_id_time_ms(query->id);
	int64_t made = time_ms < 0 ? -2 : day_of(time_ms * 1000);

	for (size_t i = 0; i < count; i++)
		if (days[i] == made || days[i] == made + 1)
			search_day(directory, days[i], query, ID_IS_QUEUE_ID, results);
	for (size_t i = 0; i < count && results->count == 0; i++)
		if (days[i] != made && days[i] != made + 1)
			search_day(directory, days[i], query, ID_IS_QUEUE_ID, results);
	if (results->count == 0) {
		buffer_clear(&results->problems); /* the same will be said again */
		search_days(directory, days, count, query, ID_IS_SESSION_ID, results);
	}
}

bool
search_run(const char *directory, const struct search_query *query, struct search_results *results)
{
	int64_t *days;
	size_t count;

	memset(results, 0, sizeof *results);
	if (!day_list(directory, &days, &count)) {
		add_problem(results, directory, NULL, strerror(errno));
		return false;
	}
	if (query->id != NULL)
		search_id(directory, days, count, query, results);
	else
		search_days(directory, days, count, query, ID_IS_QUEUE_ID, results);
	memory_free(&days);
	for (size_t i = 0; i < results->count / 2; i++) {
		struct record other = results->records[i];
		results->records[i] = results->records[results->count - 1 - i];
		results->records[results->count - 1 - i] = other;
	}
	return true;
}

void
search_results_clear(struct search_results *results)
{
	for (size_t i = 0; i < results->count; i++)
		record_clear(&results->records[i]);
	memory_free(&results->records);
	buffer_free(&results->problems);
	memset(results, 0, sizeof *results);
}
