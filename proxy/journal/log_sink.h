/* Where log lines end up: standard error, the system logger, or a file that the master opens. Lines are gathered and written
 * together; what a slow reader does not take waits here up to a bound, then lines are dropped and counted. */
#ifndef POSTERN_JOURNAL_LOG_SINK_H
#define POSTERN_JOURNAL_LOG_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/log.h"
#include "conf/config.h"

#define LOG_SINK_QUEUE_MAX (4u << 20) /* bytes */
#define LOG_SINK_SYSTEM_LOGGER "/dev/log"

struct log_sink;

/* logger: path of the system logger's socket, connected to when the target is LOG_TARGET_SYSLOG. */
struct log_sink *log_sink_new(enum log_target target, const char *logger);
/* Writes what goes out at once; the rest is lost. */
void log_sink_free(struct log_sink **sink);
void log_sink_set_target(struct log_sink *sink, enum log_target target);
/* The log file, open for appending; takes the descriptor and closes the one before. Until the first one comes, lines wait. */
void log_sink_set_file(struct log_sink *sink, int descriptor);
/* Queues one line (no newline in it; control characters are masked). */
void log_sink_line(struct log_sink *sink, enum log_level level, struct span line);
/* Writes what is queued, without waiting for a reader (a disk may take its time). False when something is left: call again soon. */
bool log_sink_flush(struct log_sink *sink);
size_t log_sink_queued(const struct log_sink *sink);
/* Lines dropped since log_sink_new. */
uint64_t log_sink_dropped(const struct log_sink *sink);
/* What the last failure was, "" when there was none. */
const char *log_sink_problem(const struct log_sink *sink);

#endif
