/* Making operational log lines. The settings below are this process's only global state: they are set once at its start,
 * and a line must be possible from anywhere. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"

#define LOG_LINE_MAX 4096

static void emit_to_standard_error(void *context, enum log_level level, const char *line);

static struct {
	log_emitter *emitter;
	void *emitter_context;
	enum log_level level;
	bool json;
	char role[32];
	char context[256];
} settings = {.emitter = emit_to_standard_error, .level = LOG_LEVEL_INFO, .role = "postern"};

static const char *const level_texts[] = {
#define X(name, text, description) [name] = text,
	LOG_LEVELS(X)
#undef X
};

const char *
log_level_text(enum log_level level)
{
	return level_texts[level];
}

int
log_level_from_text(const char *text)
{
	for (size_t level = 0; level < sizeof level_texts / sizeof level_texts[0]; level++)
		if (strcmp(level_texts[level], text) == 0)
			return (int)level;
	return -1;
}

static void
emit_to_standard_error(void *context, enum log_level level, const char *line)
{
	char out[LOG_LINE_MAX + 2];
	int length = snprintf(out, sizeof out, "%s\n", line);

	(void)context;
	(void)level;
	/* One write, so that lines of several processes do not mix. A full pipe loses the line, never our time. */
	ssize_t written = write(STDERR_FILENO, out, (size_t)length < sizeof out ? (size_t)length : sizeof out - 1);
	(void)written;
}

void
log_set_emitter(log_emitter *emitter, void *context)
{
	settings.emitter = emitter != NULL ? emitter : emit_to_standard_error;
	settings.emitter_context = context;
}

void
log_set_level(enum log_level level)
{
	settings.level = level;
}

void
log_set_json(bool json)
{
	settings.json = json;
}

void
log_set_role(const char *role, int index)
{
	if (index < 0)
		snprintf(settings.role, sizeof settings.role, "%s", role);
	else
		snprintf(settings.role, sizeof settings.role, "%s[%d]", role, index);
}

void
log_set_context(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(settings.context, sizeof settings.context, format, arguments);
	va_end(arguments);
}

const char *
log_get_context(void)
{
	return settings.context;
}

/* The last guard: whatever reached a line unescaped cannot start a new one or drive a terminal. */
static void
mask_controls(char *line)
{
	for (unsigned char *at = (unsigned char *)line; *at != '\0'; at++)
		if (*at < ' ' || *at == 0x7f)
			*at = '?';
}

static void
append_member(struct buffer *out, const char *name, const char *value)
{
	buffer_printf(out, "%c\"%s\":", out->length == 0 ? '{' : ',', name);
	escape_append_json(out, span_of(value));
}

static void
format_json(char *line, const char *now, enum log_level level, const char *format, va_list arguments)
{
	struct buffer out = {0};
	char text[LOG_LINE_MAX / 2]; /* escaping makes it longer */

	vsnprintf(text, sizeof text, format, arguments);
	append_member(&out, "time", now);
	append_member(&out, "level", log_level_text(level));
	append_member(&out, "role", settings.role);
	if (settings.context[0] != '\0')
		append_member(&out, "context", settings.context);
	append_member(&out, "message", text);
	buffer_append_char(&out, '}');
	if (out.length >= LOG_LINE_MAX) { /* half a JSON object helps nobody */
		buffer_clear(&out);
		append_member(&out, "time", now);
		append_member(&out, "level", log_level_text(level));
		append_member(&out, "role", settings.role);
		append_member(&out, "message", "(a line too long)");
		buffer_append_char(&out, '}');
	}
	snprintf(line, LOG_LINE_MAX, "%s", buffer_text(&out));
	buffer_free(&out);
}

static void
format_line(char *line, enum log_level level, const char *format, va_list arguments)
{
	char now[CLOCK_RFC3339_SIZE];
	int length;

	clock_format_rfc3339(clock_wall_us(clock_system()), now);
	if (settings.json) {
		format_json(line, now, level, format, arguments);
		return;
	}
	length = snprintf(line, LOG_LINE_MAX, "%s %s %s%s%s: ", now, log_level_text(level), settings.role,
	    settings.context[0] != '\0' ? " " : "", settings.context);
	vsnprintf(line + length, LOG_LINE_MAX - (size_t)length, format, arguments);
	mask_controls(line);
}

static void
log_line(enum log_level level, const char *format, va_list arguments)
{
	char line[LOG_LINE_MAX];

	if (level > settings.level)
		return;
	format_line(line, level, format, arguments);
	settings.emitter(settings.emitter_context, level, line);
}

#define LOG_FUNCTION(name, level) \
	void name(const char *format, ...) \
	{ \
		va_list arguments; \
		va_start(arguments, format); \
		log_line(level, format, arguments); \
		va_end(arguments); \
	}

LOG_FUNCTION(log_alarm, LOG_LEVEL_ALARM)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

/* Straight to standard error: at start there may be no other way out, and this line must not be lost. */
void
fatal(const char *format, ...)
{
	char line[LOG_LINE_MAX];
	va_list arguments;

	settings.json = false; /* making JSON needs memory, and that may be what is missing */
	va_start(arguments, format);
	format_line(line, LOG_LEVEL_ERROR, format, arguments);
	va_end(arguments);
	emit_to_standard_error(NULL, LOG_LEVEL_ERROR, line);
	exit(EXIT_FAILURE);
}
