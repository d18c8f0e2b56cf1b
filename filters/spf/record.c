/* From the text of a record to its terms. Every syntax error anywhere in the record is found before any term is used (RFC 7208 4.6).
 * Never expands macros, never asks. */
#include "filters/spf/record.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/memory.h"

#include "filters/spf/macro.h"

#define VERSION "v=spf1"
#define VERSION_LENGTH (sizeof VERSION - 1)

struct mechanism_rule {
	const char *name;
	enum spf_argument argument;
	bool asks;
};

static const struct mechanism_rule mechanism_rules[] = {
#define X(mechanism, name, argument, asks) [mechanism] = {name, argument, asks},
	SPF_MECHANISMS(X)
#undef X
};
#define MECHANISM_COUNT (sizeof mechanism_rules / sizeof mechanism_rules[0])

bool
spf_mechanism_asks(enum spf_mechanism mechanism)
{
	return mechanism_rules[mechanism].asks;
}

const char *
spf_syntax_text(enum spf_syntax error)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		SPF_SYNTAX_ERRORS(X)
#undef X
	};
	return (size_t)error < sizeof texts / sizeof texts[0] ? texts[error] : "unknown";
}

static struct span
span_from(struct span text, size_t start)
{
	return span_make(text.at + start, text.length - start);
}

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

/* ---- prefix lengths ---- */

/* Digits without leading zeros, not over `most`. */
static bool
prefix_length_parse(struct span digits, unsigned most, uint8_t *prefix_length)
{
	unsigned value = 0;

	if (digits.length == 0 || digits.length > 3 || (digits.length > 1 && digits.at[0] == '0'))
		return false;
	for (size_t i = 0; i < digits.length; i++) {
		if (!is_digit(digits.at[i]))
			return false;
		value = value * 10 + (unsigned)(digits.at[i] - '0');
	}
	*prefix_length = (uint8_t)value;
	return value <= most;
}

/* Where the digits at the end of the text begin. */
static size_t
digits_at_end(struct span text)
{
	size_t start = text.length;

	while (start > 0 && is_digit(text.at[start - 1]))
		start--;
	return start;
}

/* dual-cidr-length, taken off the end, because a domain-spec may hold slashes itself: [ "/" number ] [ "//" number ]. */
static enum spf_syntax
prefix_lengths_take(struct span *text, struct spf_term *term)
{
	term->prefix_length_4 = 32;
	term->prefix_length_6 = 128;
	size_t digits = digits_at_end(*text);
	if (digits < text->length && digits >= 2 && text->at[digits - 1] == '/' && text->at[digits - 2] == '/') {
		if (!prefix_length_parse(span_from(*text, digits), 128, &term->prefix_length_6))
			return SPF_SYNTAX_BAD_PREFIX_LENGTH;
		text->length = digits - 2;
		digits = digits_at_end(*text);
	}
	if (digits < text->length && digits >= 1 && text->at[digits - 1] == '/') {
		if (!prefix_length_parse(span_from(*text, digits), 32, &term->prefix_length_4))
			return SPF_SYNTAX_BAD_PREFIX_LENGTH;
		text->length = digits - 1;
	}
	return SPF_SYNTAX_OK;
}

/* ---- arguments: each takes what follows the mechanism's name ---- */

static enum spf_syntax
network_parse(struct span argument, int family, struct ip_network *network)
{
	char address[IP_ADDRESS_TEXT_SIZE];
	unsigned bits = family == AF_INET ? 32 : 128;

	if (argument.length == 0 || argument.at[0] != ':')
		return SPF_SYNTAX_BAD_ADDRESS;
	argument = span_from(argument, 1);
	const char *slash = memchr(argument.at, '/', argument.length);
	size_t length = slash != NULL ? (size_t)(slash - argument.at) : argument.length;
	/* inet_pton takes no leading zeros and no short forms, as RFC 7208 5.6 wants it. An IPv4-mapped network stays IPv6 here: it
	 * matches no client, since those are IPv4 then (RFC 7208 5). */
	if (length >= sizeof address || memchr(argument.at, '\0', length) != NULL)
		return SPF_SYNTAX_BAD_ADDRESS;
	memcpy(address, argument.at, length);
	address[length] = '\0';
	*network = (struct ip_network){{.family = family == AF_INET ? 4 : 6}, (uint8_t)bits};
	if (inet_pton(family, address, network->address.bytes) != 1)
		return SPF_SYNTAX_BAD_ADDRESS;
	if (slash != NULL && !prefix_length_parse(span_from(argument, length + 1), bits, &network->prefix_length))
		return SPF_SYNTAX_BAD_PREFIX_LENGTH;
	return SPF_SYNTAX_OK;
}

/* [ ":" domain-spec ] */
static enum spf_syntax
domain_parse(struct span argument, bool required, struct spf_term *term)
{
	if (argument.length == 0)
		return required ? SPF_SYNTAX_NO_DOMAIN : SPF_SYNTAX_OK;
	if (argument.at[0] != ':')
		return SPF_SYNTAX_UNEXPECTED_ARGUMENT;
	term->domain_spec = span_from(argument, 1);
	return spf_domain_spec_check(term->domain_spec);
}

static enum spf_syntax
argument_parse(struct span argument, struct spf_term *term)
{
	enum spf_argument wanted = mechanism_rules[term->mechanism].argument;

	switch (wanted) {
	case SPF_ARGUMENT_NONE:
		return argument.length == 0 ? SPF_SYNTAX_OK : SPF_SYNTAX_UNEXPECTED_ARGUMENT;
	case SPF_ARGUMENT_DOMAIN:
	case SPF_ARGUMENT_OPTIONAL_DOMAIN:
		return domain_parse(argument, wanted == SPF_ARGUMENT_DOMAIN, term);
	case SPF_ARGUMENT_OPTIONAL_DOMAIN_AND_PREFIXES: {
		enum spf_syntax error = prefix_lengths_take(&argument, term);
		return error != SPF_SYNTAX_OK ? error : domain_parse(argument, false, term);
	}
	case SPF_ARGUMENT_NETWORK_4:
		return network_parse(argument, AF_INET, &term->network);
	case SPF_ARGUMENT_NETWORK_6:
		return network_parse(argument, AF_INET6, &term->network);
	}
	return SPF_SYNTAX_UNEXPECTED_ARGUMENT;
}

/* ---- terms ---- */

static bool
qualifier_parse(char byte, enum spf_result *qualifier)
{
	switch (byte) {
	case '+':
		*qualifier = SPF_PASS;
		return true;
	case '-':
		*qualifier = SPF_FAIL;
		return true;
	case '~':
		*qualifier = SPF_SOFTFAIL;
		return true;
	case '?':
		*qualifier = SPF_NEUTRAL;
		return true;
	default:
		*qualifier = SPF_PASS;
		return false;
	}
}

static struct spf_term *
term_add(struct spf_record *record, struct span text)
{
	if (record->count == record->capacity) {
		record->capacity = record->capacity > 0 ? 2 * record->capacity : 16;
		record->terms = memory_resize(record->terms, record->capacity, sizeof *record->terms);
	}
	struct spf_term *term = &record->terms[record->count++];
	*term = (struct spf_term){.text = text};
	return term;
}

static enum spf_syntax
directive_parse(struct span text, struct spf_record *record)
{
	struct spf_term *term = term_add(record, text);

	if (qualifier_parse(text.at[0], &term->qualifier))
		text = span_from(text, 1);
	size_t length = 0;
	while (length < text.length && text.at[length] != ':' && text.at[length] != '/')
		length++;
	struct span name = span_make(text.at, length);
	for (size_t i = 0; i < MECHANISM_COUNT; i++) {
		if (!span_is_nocase(name, mechanism_rules[i].name))
			continue;
		term->mechanism = (enum spf_mechanism)i;
		return argument_parse(span_from(text, length), term);
	}
	for (size_t i = 0; i < length; i++)
		if (name.at[i] < '!' || name.at[i] > '~')
			return SPF_SYNTAX_BAD_CHARACTER;
	return SPF_SYNTAX_UNKNOWN_MECHANISM;
}

/* RFC 7208 6: redirect= and exp= once each, their names not taken for unknown modifiers. */
static enum spf_syntax
modifier_parse(struct span name, struct span value, struct spf_record *record)
{
	struct span *place = span_is_nocase(name, "redirect") ? &record->redirect : span_is_nocase(name, "exp") ? &record->explanation : NULL;

	if (place == NULL)
		return spf_macro_check(value, SPF_MACRO_IN_MODIFIER);
	if (place->length > 0)
		return SPF_SYNTAX_REPEATED_MODIFIER;
	*place = value;
	return spf_domain_spec_check(value);
}

/* The length of a modifier's name, when '=' follows it: ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ). 0: the term is no modifier. */
static size_t
modifier_name_length(struct span text)
{
	size_t length = 0;

	if (!is_letter(text.at[0]))
		return 0;
	while (length < text.length &&
	    (is_letter(text.at[length]) || is_digit(text.at[length]) || text.at[length] == '-' || text.at[length] == '_' || text.at[length] == '.'))
		length++;
	return length < text.length && text.at[length] == '=' ? length : 0;
}

static enum spf_syntax
term_parse(struct span text, struct spf_record *record)
{
	size_t name = modifier_name_length(text);

	if (name > 0)
		return modifier_parse(span_make(text.at, name), span_from(text, name + 1), record);
	return directive_parse(text, record);
}

bool
spf_record_is_spf(struct span text)
{
	return text.length >= VERSION_LENGTH && span_is_nocase(span_make(text.at, VERSION_LENGTH), VERSION) &&
	    (text.length == VERSION_LENGTH || text.at[VERSION_LENGTH] == ' ');
}

enum spf_syntax
spf_record_parse(struct span text, struct spf_record *record, struct span *faulty)
{
	enum spf_syntax error = SPF_SYNTAX_OK;
	size_t at = VERSION_LENGTH;

	*record = (struct spf_record){0};
	while (error == SPF_SYNTAX_OK) {
		while (at < text.length && text.at[at] == ' ')
			at++;
		if (at == text.length)
			break;
		const char *space = memchr(text.at + at, ' ', text.length - at);
		size_t end = space != NULL ? (size_t)(space - text.at) : text.length;
		*faulty = span_make(text.at + at, end - at);
		error = term_parse(*faulty, record);
		at = end;
	}
	return error;
}

void
spf_record_clear(struct spf_record *record)
{
	memory_free(&record->terms);
	*record = (struct spf_record){0};
}
