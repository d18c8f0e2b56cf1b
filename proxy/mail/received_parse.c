/* Reading of the "from" part of a Received field.
 *
 *   Postfix    from HELO (NAME [ADDRESS]) (using TLS...) by ...
 *   Sendmail   from HELO (USER@NAME [ADDRESS] (may be forged)) by ...
 *   Exim       from NAME ([ADDRESS]:PORT helo=HELO) by ...        from [ADDRESS] (helo=HELO) by ...
 *   qmail      from NAME (HELO HELO) (ADDRESS) by ...
 *   Exchange   from HELO (ADDRESS) by ...
 *
 * A client chooses its HELO, its user name (ident) and the subject of its certificate; so the word behind "from" is no address unless
 * it is Exim's, in a comment the last address in brackets counts, and of several comments the first one with an address. */
#include "mail/received_parse.h"

#include <string.h>

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static struct span
skip(struct span text, size_t length)
{
	return span_make(text.at + length, text.length - length);
}

static struct span
trim(struct span text)
{
	while (text.length > 0 && is_blank(text.at[0]))
		text = skip(text, 1);
	while (text.length > 0 && is_blank(text.at[text.length - 1]))
		text.length--;
	return text;
}

/* Takes the first run of bytes that are no blanks off `text`. */
static struct span
take_word(struct span *text)
{
	struct span word = {text->at, 0};

	while (word.length < text->length && !is_blank(text->at[word.length]))
		word.length++;
	*text = trim(skip(*text, word.length));
	return word;
}

/* Takes a comment, which stands at the front, off `text`: what is between its parentheses. One without an end reaches to the end. */
static struct span
take_comment(struct span *text)
{
	size_t at = 0, depth = 0;

	do {
		char byte = text->at[at++];

		if (byte == '\\' && at < text->length)
			at++;
		else if (byte == '(')
			depth++;
		else if (byte == ')')
			depth--;
	} while (depth > 0 && at < text->length);
	struct span inside = span_make(text->at + 1, at - (depth == 0 ? 2 : 1));
	*text = trim(skip(*text, at));
	return inside;
}

static bool
parse_address(struct span text, struct ip_address *address)
{
	static const char prefix[] = "IPv6:"; /* RFC 5321 4.1.3 */
	char copy[IP_ADDRESS_TEXT_SIZE];

	if (text.length > sizeof prefix - 1 && span_is_nocase(span_make(text.at, sizeof prefix - 1), prefix))
		text = skip(text, sizeof prefix - 1);
	if (text.length == 0 || text.length >= sizeof copy || memchr(text.at, '\0', text.length) != NULL)
		return false;
	memcpy(copy, text.at, text.length);
	copy[text.length] = '\0';
	return ip_address_parse(copy, address);
}

/* "[192.0.2.1]" */
static bool
parse_literal(struct span text, struct ip_address *address)
{
	return text.length > 2 && text.at[0] == '[' && text.at[text.length - 1] == ']' &&
	    parse_address(span_make(text.at + 1, text.length - 2), address);
}

/* "helo=NAME" where a word begins, or "HELO NAME" at the front. */
static bool
is_helo_at(struct span inside, size_t at)
{
	const char *here = inside.at + at;

	if (inside.length - at < 5 || !span_is_nocase(span_make(here, 4), "helo"))
		return false;
	return at == 0 ? here[4] == '=' || is_blank(here[4]) : here[4] == '=' && is_blank(here[-1]);
}

/* Takes what the client called itself, and all behind it, off a comment. */
static bool
take_helo(struct span *inside, struct span *helo)
{
	for (size_t at = 0; at < inside->length; at++) {
		if (!is_helo_at(*inside, at))
			continue;
		struct span rest = trim(skip(*inside, at + 5));
		*helo = take_word(&rest);
		inside->length = at;
		return true;
	}
	return false;
}

/* The last address in brackets, not counting comments in the comment; or the comment is nothing but an address. */
static bool
find_address(struct span inside, struct ip_address *address)
{
	bool found = false, any_bracket = false;
	size_t depth = 0, opened = 0;
	bool open = false;

	for (size_t at = 0; at < inside.length; at++) {
		char byte = inside.at[at];

		if (byte == '\\') {
			at++;
		} else if (byte == '(') {
			depth++;
		} else if (byte == ')' && depth > 0) {
			depth--;
		} else if (byte == '[' && depth == 0) {
			open = any_bracket = true;
			opened = at;
		} else if (byte == ']' && depth == 0 && open) {
			struct ip_address candidate;

			open = false;
			found = parse_address(span_make(inside.at + opened + 1, at - opened - 1), &candidate);
			if (found)
				*address = candidate;
		}
	}
	return any_bracket ? found : parse_address(trim(inside), address);
}

/* Exim knows no name: "[ADDRESS] (helo=HELO)", "[ADDRESS] (port=PORT helo=HELO)". */
static bool
is_exim_literal(struct span name, struct span inside, struct ip_address *address)
{
	static const char port[] = "port=";

	return (inside.length == 0 || (inside.length >= sizeof port - 1 && span_is(span_make(inside.at, sizeof port - 1), port))) &&
	    parse_literal(name, address);
}

static void
read_comments(struct span text, struct span name, struct received_from *from)
{
	bool first = true;

	for (; text.length > 0 && text.at[0] == '('; first = false) {
		struct span inside = take_comment(&text);
		bool has_helo = take_helo(&inside, &from->helo);

		if (find_address(inside, &from->client) || (first && has_helo && is_exim_literal(name, inside, &from->client))) {
			from->kind = RECEIVED_FROM_CLIENT;
			return;
		}
	}
}

void
received_from_parse(struct span value, struct received_from *from)
{
	struct span text = trim(value), name;

	*from = (struct received_from){.kind = RECEIVED_FROM_INSIDE};
	if (!span_is_nocase(take_word(&text), "from"))
		return;
	name = take_word(&text);
	from->kind = RECEIVED_FROM_UNKNOWN;
	from->helo = name;
	read_comments(text, name, from);
	if (from->kind != RECEIVED_FROM_CLIENT)
		from->client = (struct ip_address){0};
}
