/* How records are shown to people and to programs. */
#ifndef POSTERN_CLI_TRACE_PRINT_H
#define POSTERN_CLI_TRACE_PRINT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "journal/record.h"

/* What happened, first in words, then event by event with the time since the beginning. */
void trace_print_story(const struct record *record, struct buffer *out);
/* The same as one JSON object on one line: the members of the log line, recipients and story. */
void trace_print_story_json(const struct record *record, struct buffer *out);

#endif
