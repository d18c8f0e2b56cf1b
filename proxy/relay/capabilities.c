/* Reads what a backend says about itself. Pure: no I/O, no memory of its own. */
#include "relay/capabilities.h"

#include <string.h>

static const struct {
	unsigned bit;
	const char *text;
} keywords[] = {
#define X(name, bit, text) {name, text},
	CAPABILITIES(X)
#undef X
};

/* The first word of text, which ends at a blank or at the end of the line. */
static struct span
first_word(struct span line)
{
	size_t length = 0;
	while (length < line.length && line.at[length] != ' ' && line.at[length] != '\t' && line.at[length] != '=')
		length++;
	return span_make(line.at, length);
}

/* A decimal number; 0 (no limit named, RFC 1870 3) for anything else, also when it is too large. */
static uint64_t
parse_size(struct span digits)
{
	uint64_t value = 0;
	if (digits.length == 0 || digits.length > 19)
		return 0;
	for (size_t i = 0; i < digits.length; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return 0;
		value = value * 10 + (uint64_t)(digits.at[i] - '0');
	}
	return value;
}

static void
parse_line(struct span line, struct capability_set *set)
{
	while (line.length > 0 && (line.at[line.length - 1] == ' ' || line.at[line.length - 1] == '\t'))
		line.length--;
	struct span word = first_word(line);
	for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
		if (!span_is_nocase(word, keywords[i].text))
			continue;
		set->bits |= keywords[i].bit;
		if (keywords[i].bit == CAPABILITY_SIZE && line.length > word.length)
			set->size = parse_size(span_make(line.at + word.length + 1, line.length - word.length - 1));
	}
}

void
capabilities_parse(const char *text, struct capability_set *set)
{
	*set = (struct capability_set){0};
	/* The first line is the server's name and a greeting: whatever words are in it, they are no keywords. */
	for (const char *line = strchr(text, '\n'); line != NULL;) {
		const char *next = strchr(line + 1, '\n');
		parse_line(span_make(line + 1, next != NULL ? (size_t)(next - line - 1) : strlen(line + 1)), set);
		line = next;
	}
}

void
capabilities_append_text(struct buffer *out, const struct capability_set *set)
{
	const char *separator = "";
	for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
		if ((set->bits & keywords[i].bit) == 0)
			continue;
		buffer_printf(out, "%s%s", separator, keywords[i].text);
		if (keywords[i].bit == CAPABILITY_SIZE && set->size > 0)
			buffer_printf(out, "=%llu", (unsigned long long)set->size);
		separator = " ";
	}
}

bool
greeting_names_host(const char *text, const char *hostname)
{
	struct span name = span_make(text, strcspn(text, " \t\n"));
	if (name.length > 1 && name.at[name.length - 1] == '.')
		name.length--;
	return name.length > 0 && span_is_nocase(name, hostname);
}
