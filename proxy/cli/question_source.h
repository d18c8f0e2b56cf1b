/* Where a dry run's DNS answers come from: a zone file alone, the story of a message in the trace, or a live resolver. Blocks until they are there. */
#ifndef POSTERN_CLI_QUESTION_SOURCE_H
#define POSTERN_CLI_QUESTION_SOURCE_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/network.h"
#include "dns/resolver.h"
#include "dns/table.h"
#include "conf/config.h"

struct question_source;

/* Answers out of the text of a zone file (dns/zone_file.h) and from nowhere else. NULL: *problem says which line is wrong. */
struct question_source *question_source_zone(struct span text, struct buffer *problem);
/* The same; a question that the text has no line for is answered "server failure" and counts as missing. */
struct question_source *question_source_recorded(struct span text, struct buffer *problem);
/* The resolver of the configuration on an event loop of its own; each question has the configured time. */
struct question_source *question_source_live(const struct config *config, struct buffer *problem);
void question_source_free(struct question_source **source);

/* Answers every open question of the table. */
void question_source_answer(struct question_source *source, struct dns_table *table);
/* The forward-confirmed name of an address (RFC 8601 3); *name is NULL or the caller's to free. */
enum reverse_status question_source_reverse(struct question_source *source, const struct ip_address *address, char **name);
/* Questions that were not on record. */
size_t question_source_missing(const struct question_source *source);

#endif
