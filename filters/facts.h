/* What filters found out, for the filters behind them, the headers, the log and `check-message --json`. An ordered list of facts;
 * a fact belongs to a filter ("spf") and is the filter's own one, or has a name besides ("spf/helo"). It is a text, a record of
 * key=value, or a list of such records (one per DKIM signature). Bounded: values are cut, and what is beyond is left out and counted.
 * Values may be any bytes but NUL that a stranger made up: whoever shows them escapes them. */
#ifndef POSTERN_FILTERS_FACTS_H
#define POSTERN_FILTERS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/frame.h"

#define FACTS_MAX 200 /* facts in one list */
#define FACT_RECORDS_MAX 100 /* records of one list fact */
#define FACT_FIELDS_MAX 32 /* fields of one record */
#define FACT_NAME_MAX 64 /* bytes of a filter's or fact's name, or of a key: letters, digits, '_', '-', '.' */
#define FACT_VALUE_MAX 4096 /* bytes of a value */
#define FACTS_BYTES_MAX (256u << 10) /* of all names, keys and values */

enum fact_kind {
	FACT_TEXT,
	FACT_RECORD,
	FACT_LIST,
	FACT_KIND_COUNT
};

struct fact_field {
	char *key; /* "" in a FACT_TEXT */
	char *value; /* NULL: known to be absent (null in JSON) */
	bool is_number; /* the value is a decimal integer */
};

/* Zeroed = empty. */
struct fact_record {
	struct fact_field *fields;
	size_t count;
	bool is_bad; /* something did not fit */
};

struct fact {
	char *filter;
	char *name; /* "" for the filter's own fact */
	enum fact_kind kind;
	struct fact_record *records; /* FACT_TEXT and FACT_RECORD have one, FACT_LIST any number */
	size_t count;
};

/* Zeroed = empty. */
struct facts {
	struct fact *facts;
	size_t count;
	size_t bytes;
	uint32_t dropped; /* facts and records that did not fit or were malformed */
};

/* Builds a record: sets a field, again if it is there. All is copied. */
void fact_record_set(struct fact_record *record, const char *key, const char *value);
void fact_record_set_number(struct fact_record *record, const char *key, int64_t value);
void fact_record_clear(struct fact_record *record);
/* The value; NULL when there is none. */
const char *fact_record_get(const struct fact_record *record, const char *key);
/* False when there is none that is a number. */
bool fact_record_get_number(const struct fact_record *record, const char *key, int64_t *value);

/* Adds a fact, in place of one of the same filter and name. Records are taken over and left empty, whatever happens. False: left out. */
bool facts_set_text(struct facts *facts, const char *filter, const char *name, const char *value);
bool facts_set_record(struct facts *facts, const char *filter, const char *name, struct fact_record *record);
/* An empty list; one record more in a list, which is made when it is not there. */
bool facts_set_list(struct facts *facts, const char *filter, const char *name);
bool facts_add_to_list(struct facts *facts, const char *filter, const char *name, struct fact_record *record);
/* Moves the facts of `from`, which must all be of that filter (no filter speaks for another), to `to`. `from` is then clear. False: some
 * were another filter's, and left out. */
bool facts_take(struct facts *to, struct facts *from, const char *filter);
void facts_clear(struct facts *facts);

/* NULL when there is none. */
const struct fact *facts_find(const struct facts *facts, const char *filter, const char *name);
/* Shortcuts that are NULL for what is not there or of another kind. */
const char *facts_text(const struct facts *facts, const char *filter, const char *name);
const struct fact_record *facts_record(const struct facts *facts, const char *filter, const char *name);
/* "spf", "result" -> "pass": a field of a filter's own record. */
const char *facts_value(const struct facts *facts, const char *filter, const char *key);

void facts_encode(const struct facts *facts, struct buffer *payload);
/* Takes over `facts` (cleared or zeroed before). False when malformed or beyond the limits; it is then clear. */
bool facts_decode(struct frame_reader *payload, struct facts *facts);

/* {"spf": {"result": "pass", ...}, "dkim": [{...}], "spf/helo": {...}} */
void facts_append_json(const struct facts *facts, struct buffer *out);
/* "spf=pass dkim=pass clamav=clean" for the log line: the field "result" of every filter's own fact; of a list the first "pass", else the
 * first, else "none". Nothing when there are none. */
void facts_append_summary(const struct facts *facts, struct buffer *out);

#endif
