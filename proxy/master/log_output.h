/* Where the master's own lines (and those of children that have no journal) go: standard error, a file, or the system logger,
 * as configured. Never blocks: what cannot be written at once is dropped and counted. */
#ifndef POSTERN_MASTER_LOG_OUTPUT_H
#define POSTERN_MASTER_LOG_OUTPUT_H

#include <stdbool.h>

#include "base/log.h"
#include "conf/config.h"
#include "wire/shared_memory.h"

struct log_output;

struct log_output *log_output_new(void);
void log_output_free(struct log_output **output);
/* Follows the configuration (target, file, level). False, with a line in `error`, when the file cannot be opened: the old
 * target then stays. Opens the file again even if its name is the same. */
bool log_output_configure(struct log_output *output, const struct config *config, struct buffer *error);
/* The log file for the journal, -1 when the target is no file. */
int log_output_descriptor(const struct log_output *output);
/* Drops are counted in this page from now on; NULL: no more. */
void log_output_count_in(struct log_output *output, struct shared_page *page);
/* A log_emitter with the output as context. */
void log_output_line(void *output, enum log_level level, const char *line);

#endif
