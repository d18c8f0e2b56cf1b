/* The trace's days: one database file per UTC day, trace-2026-11-21.db, all in one directory. */
#ifndef POSTERN_JOURNAL_DAY_H
#define POSTERN_JOURNAL_DAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Days since 1970 UTC. */
static inline int64_t
day_of(int64_t wall_us)
{
	return wall_us / INT64_C(86400000000);
}

/* "DIRECTORY/trace-2026-11-21.db", caller frees. */
char *day_path(const char *directory, int64_t day);
/* The day a file name is of, -1 when it is none of ours. exact: only the database itself, not what SQLite keeps beside it and
 * not a damaged one set aside. */
int64_t day_from_name(const char *name, bool exact);
/* All days that have a database, newest first; *days is freed by the caller. False with errno set when the directory cannot be
 * read. */
bool day_list(const char *directory, int64_t **days, size_t *count);
/* Removes every file of days before `first`; returns how many databases went. */
size_t day_remove_before(const char *directory, int64_t first);

#endif
