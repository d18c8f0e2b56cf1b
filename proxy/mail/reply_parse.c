/* Reads a reply from a backend's bytes (RFC 5321 4.2). A liberal receiver, but what is no reply is told apart at once. Never
 * waits: REPLY_INCOMPLETE says that more is needed. */
#include "mail/reply.h"

#include <string.h>

#include "base/memory.h"
#include "mail/printable.h"

struct reply_line {
	int code;
	bool last;
	struct span text;
};

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static struct span
span_from(struct span span, size_t skip)
{
	return (struct span){span.at + skip, span.length - skip};
}

static bool
line_parse(struct span text, struct reply_line *line)
{
	if (text.length < 3 || !is_digit(text.at[0]) || !is_digit(text.at[1]) || !is_digit(text.at[2]))
		return false;
	line->code = (text.at[0] - '0') * 100 + (text.at[1] - '0') * 10 + (text.at[2] - '0');
	if (line->code < 200 || line->code > 599)
		return false;
	/* "250" alone is a last line too. */
	line->last = text.length == 3 || text.at[3] == ' ';
	line->text = span_from(text, text.length == 3 ? 3 : 4);
	return line->last || text.at[3] == '-';
}

/* One to three digits; how many. */
static size_t
digits_length(struct span text)
{
	size_t length = 0;

	while (length < 3 && length < text.length && is_digit(text.at[length]))
		length++;
	return length;
}

/* Length of an enhanced code of that class at the front: class "." 1-3 digits "." 1-3 digits, then a blank or the end
 * (RFC 2034 4, RFC 3463 2). 0 when there is none. */
static size_t
enhanced_length(struct span text, int class)
{
	size_t at = 2, digits;

	if (text.length < 5 || text.at[0] - '0' != class || text.at[1] != '.')
		return 0;
	digits = digits_length(span_from(text, at));
	at += digits;
	if (digits == 0 || at == text.length || text.at[at] != '.')
		return 0;
	at++;
	digits = digits_length(span_from(text, at));
	at += digits;
	if (digits == 0 || (at < text.length && text.at[at] != ' '))
		return 0;
	return at;
}

/* Adds one line's text, without its enhanced code, to the reply being made. */
static void
line_collect(const struct reply_line *line, char *enhanced, size_t size, struct buffer *text)
{
	struct span words = line->text;
	size_t length = enhanced_length(words, line->code / 100);

	if (length > 0) {
		if (enhanced[0] == '\0' && length < size)
			memcpy(enhanced, words.at, length); /* zeroed before */
		words = span_from(words, length);
		if (words.length > 0)
			words = span_from(words, 1);
	}
	words = printable_cut(words, REPLY_TEXT_MAX);
	for (size_t i = 0; i < words.length; i++)
		buffer_append_char(text, words.at[i] == '\0' ? '?' : words.at[i]);
}

/* The line at `at` without its end; *next is behind the LF. False: not whole yet. */
static bool
line_find(struct span bytes, size_t at, struct span *line, size_t *next)
{
	const char *start = bytes.at + at;
	const char *feed = at < bytes.length ? memchr(start, '\n', bytes.length - at) : NULL;

	if (feed == NULL) {
		*line = span_from(bytes, at);
		return false;
	}
	*line = span_make(start, (size_t)(feed - start));
	if (line->length > 0 && line->at[line->length - 1] == '\r')
		line->length--;
	*next = (size_t)(feed - bytes.at) + 1;
	return true;
}

static enum reply_parse_result
reply_collect(struct span bytes, struct reply *made, struct buffer *text, size_t *taken)
{
	struct reply_line line = {0};
	size_t at = 0;

	for (int count = 0; !line.last; count++) {
		struct span raw;
		bool whole = line_find(bytes, at, &raw, &at);

		if (count == REPLY_LINES_MAX || raw.length > REPLY_LINE_MAX + (whole ? 0 : 1)) /* the end's CR may be in it */
			return REPLY_MALFORMED;
		if (!whole)
			return REPLY_INCOMPLETE;
		if (!line_parse(raw, &line) || (count > 0 && line.code != made->code))
			return REPLY_MALFORMED;
		made->code = line.code;
		if (count > 0)
			buffer_append_char(text, '\n');
		line_collect(&line, made->enhanced, sizeof made->enhanced, text);
	}
	*taken = at;
	return REPLY_COMPLETE;
}

enum reply_parse_result
reply_parse(struct span bytes, struct reply *reply, size_t *taken)
{
	struct reply made = {0};
	struct buffer text = {0};
	enum reply_parse_result result = reply_collect(bytes, &made, &text, taken);

	if (result != REPLY_COMPLETE) {
		buffer_free(&text);
		return result;
	}
	memory_free(&reply->text);
	*reply = made;
	reply->text = buffer_take_string(&text);
	return REPLY_COMPLETE;
}
