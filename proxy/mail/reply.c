/* Our own replies: holds, copies and writes them, and turns a backend's reply into one for our client. Reading a backend's
 * bytes is in reply_parse.c. Never decides what happened: that is the session's and the relay's part. */
#include "mail/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/printable.h"

static void
reply_set_enhanced(struct reply *reply, const char *enhanced)
{
	size_t length = strlen(enhanced);

	ASSERT(length < sizeof reply->enhanced);
	memmove(reply->enhanced, enhanced, length + 1); /* it may be the reply's own */
}

void
reply_set(struct reply *reply, int code, const char *enhanced, const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	ASSERT(code >= 200 && code <= 599);
	va_start(arguments, format);
	/* Made before the old text goes: the arguments may contain it. */
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	ASSERT(length >= 0);
	reply_set_enhanced(reply, enhanced != NULL ? enhanced : "");
	memory_free(&reply->text);
	reply->code = code;
	reply->text = text;
}

void
reply_copy(struct reply *to, const struct reply *from)
{
	if (to == from)
		return;
	memory_free(&to->text);
	*to = *from;
	to->text = memory_copy_string(from->text);
}

void
reply_clear(struct reply *reply)
{
	memory_free(&reply->text);
	*reply = (struct reply){0};
}

/* One line of the text, and what is left behind its '\n'; false when nothing is left. */
static bool
text_next_line(const char **rest, struct span *line)
{
	const char *end;

	if (*rest == NULL)
		return false;
	end = strchr(*rest, '\n');
	*line = end != NULL ? span_make(*rest, (size_t)(end - *rest)) : span_of(*rest);
	*rest = end != NULL ? end + 1 : NULL;
	return true;
}

static void
append_wire_line(struct buffer *out, const struct reply *reply, struct span text, bool last, bool utf8)
{
	struct buffer line = {0};
	struct span cut;

	/* RFC 5321 4.2: the blank is sent even when nothing follows. */
	buffer_printf(&line, "%d%c%s", reply->code, last ? ' ' : '-', reply->enhanced);
	if (text.length > 0 && reply->enhanced[0] != '\0')
		buffer_append_char(&line, ' ');
	printable_append(&line, text, PRINTABLE_BLANK | (utf8 ? PRINTABLE_UTF8 : 0), NULL);
	cut = printable_cut(span_make(line.data, line.length), REPLY_WIRE_LINE_MAX - 2);
	buffer_append_span(out, cut);
	buffer_append_string(out, "\r\n");
	buffer_free(&line);
}

void
reply_append_wire(struct buffer *out, const struct reply *reply, bool utf8)
{
	const char *rest = reply->text;
	struct span line;

	ASSERT(reply->code != 0);
	while (text_next_line(&rest, &line))
		append_wire_line(out, reply, line, rest == NULL, utf8);
}

void
reply_append_text(struct buffer *out, const struct reply *reply)
{
	const char *rest = reply->text;
	struct span line;

	buffer_printf(out, "%03d", reply->code);
	if (reply->enhanced[0] != '\0')
		buffer_printf(out, " %s", reply->enhanced);
	while (text_next_line(&rest, &line)) {
		if (line.length == 0)
			continue;
		buffer_append_char(out, ' ');
		buffer_append_span(out, line);
	}
}

/* 5xx replies that blame us, not the message: a client that heard them would bounce good mail. */
static bool
code_is_about_us(int code)
{
	switch (code) {
	case 500: /* command not recognised */
	case 501: /* syntax error */
	case 502: /* not implemented */
	case 503: /* bad sequence */
	case 504: /* parameter not implemented */
	case 530: /* authentication required, or STARTTLS first */
	case 535: /* authentication failed */
	case 538: /* encryption required for authentication */
	case 555: /* MAIL/RCPT parameter not recognised */
		return true;
	default:
		return false;
	}
}

static bool
refusal_may_pass(int code, enum reply_step step)
{
	return (step == REPLY_STEP_MAIL || step == REPLY_STEP_RCPT || step == REPLY_STEP_END_OF_DATA) && !code_is_about_us(code);
}

/* The backend's words in one line that is safe to say. */
static char *
text_for_client(const char *text)
{
	struct buffer joined = {0}, clean = {0};
	struct span line;

	while (text_next_line(&text, &line)) {
		if (joined.length > 0)
			buffer_append_char(&joined, ' ');
		buffer_append_span(&joined, line);
	}
	printable_append(&clean, printable_cut(span_make(joined.data, joined.length), REPLY_TEXT_MAX),
	    PRINTABLE_BLANK | PRINTABLE_UTF8, NULL);
	buffer_free(&joined);
	return buffer_take_string(&clean);
}

void
reply_map(const struct reply *backend, enum reply_step step, struct reply *client, bool *alarm)
{
	int code = backend->code == 421 ? 451 : backend->code; /* the backend closes, we do not */
	char enhanced[sizeof backend->enhanced] = "";
	char *text;

	ASSERT(backend->code >= 200 && backend->code <= 599);
	*alarm = reply_is_permanent(backend) && !refusal_may_pass(code, step);
	if (*alarm) {
		reply_set(client, 451, "4.3.5", "The mail system behind this server is not in order, please try again later");
		return;
	}
	if (code < 300 || code >= 400) {
		snprintf(enhanced, sizeof enhanced, "%s", backend->enhanced[0] != '\0' ? backend->enhanced : "X.0.0");
		enhanced[0] = (char)('0' + code / 100);
	}
	text = text_for_client(backend->text);
	reply_set(client, code, enhanced, "%s", text);
	memory_free(&text);
}
