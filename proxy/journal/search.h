/* Reading the trace: opens the day databases read-only, beside a journal that writes them, as any user who may read the files.
 * What is damaged is said and skipped, never trusted. */
#ifndef POSTERN_JOURNAL_SEARCH_H
#define POSTERN_JOURNAL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "journal/record.h"

/* All that is given must match. Addresses: "local@domain" or "@domain", in any case; "" or "<>" is the null sender. */
struct search_query {
	const char *id; /* queue ID, or the ID of a session when no transaction has it */
	const char *session_id;
	const char *sender;
	const char *recipient;
	struct ip_address client; /* family 0: any */
	const char *message_id; /* with or without brackets */
	int64_t since_us; /* wall clock at the end of the record; 0: any */
	size_t limit; /* the newest so many */
	bool with_story;
};

struct search_results {
	struct record *records; /* oldest first */
	size_t count;
	struct buffer problems; /* lines: files that could not be read, records that are damaged */
};

/* False when the directory could not be read at all. */
bool search_run(const char *directory, const struct search_query *query, struct search_results *results);
void search_results_clear(struct search_results *results);

#endif
