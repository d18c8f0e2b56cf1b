/* Operational log lines (not the per-transaction line, which the journal writes from the record).
 * A line is key=value text; log_* print "TIME LEVEL role[index] CONTEXT message". Context is set once
 * (session ID, action in progress). Untrusted values go through escape_* first; the emitter masks what is left. */
#ifndef POSTERN_BASE_LOG_H
#define POSTERN_BASE_LOG_H

#include <stdbool.h>

#define LOG_LEVELS(X) \
	X(LOG_LEVEL_ALARM, "alarm", "an administrator must act: mail is delayed or a peer is misconfigured") \
	X(LOG_LEVEL_ERROR, "error", "something failed that should not fail") \
	X(LOG_LEVEL_WARNING, "warning", "something unusual, handled") \
	X(LOG_LEVEL_INFO, "info", "the normal course of things") \
	X(LOG_LEVEL_DEBUG, "debug", "what a developer wants to see")

enum log_level {
#define X(name, text, description) name,
	LOG_LEVELS(X)
#undef X
};

const char *log_level_text(enum log_level level);
/* -1 when the name is unknown. */
int log_level_from_text(const char *text);

/* Where finished lines (no newline) go; default writes to standard error. Never blocks. */
typedef void log_emitter(void *context, enum log_level level, const char *line);
void log_set_emitter(log_emitter *emitter, void *context);
/* Lines below this level are not made. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
/* Lines are JSON objects from now on (not those of fatal). */
void log_set_json(bool json);
/* The role and index shown on each line, e.g. "proxy", 1. Index below 0: not shown. */
void log_set_role(const char *role, int index);
/* What we are doing and for whom; "" clears. Copied. */
void log_set_context(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *log_get_context(void);

void log_alarm(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The machine fails us at start: one line on standard error, exit status 1. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
