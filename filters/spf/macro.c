/* Macro strings, read token by token: the check and the expansion walk the same tokens, so that what one accepts the other can expand.
 * Knows nothing of DNS; what %{p} needs is asked of the caller. */
#include "filters/spf/macro.h"

#include <string.h>

#include "base/assert.h"
#include "dns/name.h"

#define PARTS_MAX 1000 /* more parts than any value has: larger numbers in a macro mean the same */
#define NAME_TAIL_KEPT 512 /* of a name being expanded */
_Static_assert(NAME_TAIL_KEPT > DNS_NAME_WIRE_MAX, "all that can be asked");

struct token {
	struct span literal; /* what it stands for, unless it has a letter */
	bool is_macro; /* "%{...}", "%%", "%_" or "%-" */
	char letter; /* in lower case; 0 = none */
	bool url_escape; /* the letter was upper case: RFC 7208 7.3 */
	unsigned parts; /* right-hand parts to keep; 0 = all */
	bool reverse;
	struct span delimiters;
};

static bool
is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool
is_one_of(char byte, const char *set)
{
	return byte != '\0' && strchr(set, byte) != NULL;
}

static bool
is_literal(char byte, enum spf_macro_place place)
{
	return (byte > ' ' && byte <= '~' && byte != '%') || (byte == ' ' && place == SPF_MACRO_IN_EXPLANATION);
}

/* ---- tokens ---- */

static enum spf_syntax
letter_read(char byte, enum spf_macro_place place, struct token *token)
{
	token->letter = (char)(byte | 0x20);
	token->url_escape = byte != token->letter;
	if (!is_letter(byte) || !is_one_of(token->letter, "slodiphvcrt"))
		return SPF_SYNTAX_UNKNOWN_MACRO;
	if (place == SPF_MACRO_IN_DOMAIN && is_one_of(token->letter, "crt"))
		return SPF_SYNTAX_MACRO_FOR_EXPLANATIONS;
	return SPF_SYNTAX_OK;
}

/* The inside of "%{...}" and the closing brace: letter, digits, "r", delimiters. */
static enum spf_syntax
braces_read(struct span text, enum spf_macro_place place, size_t *at, struct token *token)
{
	if (*at == text.length)
		return SPF_SYNTAX_BAD_MACRO;
	enum spf_syntax error = letter_read(text.at[(*at)++], place, token);
	if (error != SPF_SYNTAX_OK)
		return error;
	size_t digits = *at;
	for (; *at < text.length && is_digit(text.at[*at]); (*at)++)
		if (token->parts < PARTS_MAX)
			token->parts = token->parts * 10 + (unsigned)(text.at[*at] - '0');
	if (*at > digits && token->parts == 0)
		return SPF_SYNTAX_ZERO_PARTS;
	if (*at < text.length && (text.at[*at] == 'r' || text.at[*at] == 'R')) {
		token->reverse = true;
		(*at)++;
	}
	size_t start = *at;
	while (*at < text.length && is_one_of(text.at[*at], ".-+,/_="))
		(*at)++;
	if (*at == text.length || text.at[*at] != '}')
		return SPF_SYNTAX_BAD_MACRO;
	token->delimiters = *at > start ? span_make(text.at + start, *at - start) : span_make(".", 1);
	(*at)++;
	return SPF_SYNTAX_OK;
}

static enum spf_syntax
percent_read(struct span text, enum spf_macro_place place, size_t *at, struct token *token)
{
	char second = *at + 1 < text.length ? text.at[*at + 1] : '\0';

	*at += 2;
	token->is_macro = true;
	switch (second) {
	case '%':
		token->literal = span_make("%", 1);
		return SPF_SYNTAX_OK;
	case '_':
		token->literal = span_make(" ", 1);
		return SPF_SYNTAX_OK;
	case '-':
		token->literal = span_make("%20", 3);
		return SPF_SYNTAX_OK;
	case '{':
		return braces_read(text, place, at, token);
	default:
		return SPF_SYNTAX_BAD_PERCENT;
	}
}

/* The token at *at, which is not the end; moves *at behind it. */
static enum spf_syntax
token_read(struct span text, enum spf_macro_place place, size_t *at, struct token *token)
{
	size_t start = *at;

	*token = (struct token){0};
	if (text.at[start] == '%')
		return percent_read(text, place, at, token);
	while (*at < text.length && is_literal(text.at[*at], place))
		(*at)++;
	token->literal = span_make(text.at + start, *at - start);
	return *at > start ? SPF_SYNTAX_OK : SPF_SYNTAX_BAD_CHARACTER;
}

/* ---- the check ---- */

/* Walks all tokens; `last` is the final one. */
static enum spf_syntax
tokens_check(struct span text, enum spf_macro_place place, struct token *last)
{
	enum spf_syntax error = SPF_SYNTAX_OK;

	for (size_t at = 0; at < text.length && error == SPF_SYNTAX_OK;)
		error = token_read(text, place, &at, last);
	return error;
}

enum spf_syntax
spf_macro_check(struct span text, enum spf_macro_place place)
{
	struct token last;

	return tokens_check(text, place, &last);
}

static bool
looks_like_address(struct span text)
{
	size_t dots = 0;

	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '.')
			dots++;
		else if (!is_digit(text.at[i]))
			return false;
	}
	return dots == 3;
}

/* "." toplabel ["."] at the end of the literal. RFC 7208 7.1: letters, digits and inner hyphens, not digits alone. */
static bool
ends_in_top_label(struct span literal)
{
	size_t end = literal.length;
	bool all_digits = true;

	if (end > 0 && literal.at[end - 1] == '.')
		end--;
	size_t start = end;
	while (start > 0 && (is_letter(literal.at[start - 1]) || is_digit(literal.at[start - 1]) || literal.at[start - 1] == '-')) {
		start--;
		all_digits = all_digits && is_digit(literal.at[start]);
	}
	if (start == end || start == 0 || literal.at[start - 1] != '.')
		return false;
	return !all_digits && literal.at[start] != '-' && literal.at[end - 1] != '-';
}

enum spf_syntax
spf_domain_spec_check(struct span text)
{
	struct token last;

	if (text.length == 0)
		return SPF_SYNTAX_NO_DOMAIN;
	enum spf_syntax error = tokens_check(text, SPF_MACRO_IN_DOMAIN, &last);
	if (error != SPF_SYNTAX_OK || last.is_macro || ends_in_top_label(last.literal))
		return error;
	return looks_like_address(text) ? SPF_SYNTAX_DOMAIN_IS_ADDRESS : SPF_SYNTAX_BAD_DOMAIN;
}

/* ---- the expansion ---- */

static bool
is_delimiter(const struct token *token, char byte)
{
	return memchr(token->delimiters.at, byte, token->delimiters.length) != NULL;
}

/* RFC 3986 2.3: what needs no escape in a URL. */
static bool
is_unreserved(char byte)
{
	return is_letter(byte) || is_digit(byte) || is_one_of(byte, "-._~");
}

static void
part_append(const struct token *token, struct span part, struct buffer *out)
{
	if (!token->url_escape) {
		buffer_append_span(out, part);
		return;
	}
	for (size_t i = 0; i < part.length; i++) {
		if (is_unreserved(part.at[i]))
			buffer_append_char(out, part.at[i]);
		else
			buffer_printf(out, "%%%02X", (unsigned char)part.at[i]);
	}
}

/* The number of parts; *kept_start and *kept_end bound those that stay: the last `parts` ones of the value, or, because reversing comes
 * first, the first ones of a value that is to be reversed. */
static void
kept_find(const struct token *token, struct span value, size_t *kept_start, size_t *kept_end)
{
	unsigned found = 0;

	*kept_start = 0;
	*kept_end = value.length;
	if (token->parts == 0)
		return;
	for (size_t i = 0; i < value.length; i++) {
		size_t at = token->reverse ? i : value.length - 1 - i;
		if (!is_delimiter(token, value.at[at]) || ++found < token->parts)
			continue;
		if (token->reverse)
			*kept_end = at;
		else
			*kept_start = at + 1;
		return;
	}
}

/* Splits at the delimiters, reverses, keeps the right-hand parts, joins with dots: RFC 7208 7.3. */
static void
value_append(const struct token *token, struct span value, struct buffer *out)
{
	size_t start, end;

	kept_find(token, value, &start, &end);
	while (start <= end) {
		size_t part_start = start, part_end = end;
		if (token->reverse) {
			for (part_start = end; part_start > start && !is_delimiter(token, value.at[part_start - 1]);)
				part_start--;
		} else {
			for (part_end = start; part_end < end && !is_delimiter(token, value.at[part_end]);)
				part_end++;
		}
		part_append(token, span_make(value.at + part_start, part_end - part_start), out);
		if (token->reverse ? part_start == start : part_end == end)
			return;
		buffer_append_char(out, '.');
		if (token->reverse)
			end = part_start - 1;
		else
			start = part_end + 1;
	}
}

/* "1.2.3.4", or for IPv6 its nibbles with dots between (upper case, as the RFC's test suite has them in explanations). */
static void
address_append_dotted(const struct ip_address *address, struct buffer *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char text[IP_ADDRESS_TEXT_SIZE];

	if (address->family == 4) {
		buffer_append_string(out, ip_address_format(address, text));
		return;
	}
	for (size_t i = 0; i < sizeof address->bytes; i++) {
		char two[4] = {digits[address->bytes[i] >> 4], '.', digits[address->bytes[i] & 15], '.'};
		buffer_append(out, two, i + 1 < sizeof address->bytes ? 4 : 3);
	}
}

/* The value of a letter, in `scratch` when it has to be made. False: not known yet. */
static bool
value_find(char letter, const struct spf_macro_values *values, struct buffer *scratch, struct span *value)
{
	char text[DNS_NAME_TEXT_SIZE];

	switch (letter) {
	case 'l':
		*value = span_of(values->local_part);
		return true;
	case 'o':
		*value = span_of(values->sender_domain);
		return true;
	case 'd':
		*value = span_of(values->domain);
		return true;
	case 'h':
		*value = span_of(values->helo);
		return true;
	case 'r':
		*value = span_of(values->receiver);
		return true;
	case 'v':
		*value = span_of(values->client.family == 4 ? "in-addr" : "ip6");
		return true;
	case 's':
		buffer_printf(scratch, "%s@%s", values->local_part, values->sender_domain);
		break;
	case 'i':
		address_append_dotted(&values->client, scratch);
		break;
	case 'c':
		buffer_append_string(scratch, ip_address_format(&values->client, text));
		break;
	case 't':
		buffer_printf(scratch, "%lld", (long long)values->now_s);
		break;
	default:
		ASSERT(letter == 'p');
		if (!values->validated_name(values->context, text))
			return false;
		buffer_append_string(scratch, text);
	}
	*value = span_make(scratch->data, scratch->length);
	return true;
}

static bool
token_append(const struct token *token, const struct spf_macro_values *values, struct buffer *out)
{
	struct buffer scratch = {0};
	struct span value;

	if (token->letter == 0) {
		buffer_append_span(out, token->literal);
		return true;
	}
	bool known = value_find(token->letter, values, &scratch, &value);
	if (known)
		value_append(token, value, out);
	buffer_free(&scratch);
	return known;
}

bool
spf_macro_expand(struct span text, enum spf_macro_place place, const struct spf_macro_values *values, struct buffer *out)
{
	struct token token;

	for (size_t at = 0; at < text.length;) {
		enum spf_syntax error = token_read(text, place, &at, &token);
		ASSERT(error == SPF_SYNTAX_OK);
		if (!token_append(&token, values, out))
			return false;
		if (place == SPF_MACRO_IN_EXPLANATION && out->length > SPF_EXPLANATION_MAX)
			return true;
		if (place == SPF_MACRO_IN_DOMAIN && out->length > 2 * NAME_TAIL_KEPT)
			buffer_consume(out, out->length - NAME_TAIL_KEPT);
	}
	return true;
}
