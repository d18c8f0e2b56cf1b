/* The grammar of RFC 5321 4.1.2 and 4.1.3, widened for UTF-8 by RFC 6531 3.3. Owns no state and keeps addresses as they were
 * written: it never rewrites a local part, never resolves a name and never decides whether a domain is ours. */
#include "mail/address.h"

#include <string.h>

#include "base/memory.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */
#define UTF8_LABEL_MAX 252 /* RFC 5890 4.2: no U-label of a 63-octet A-label is longer */

static const struct {
	const char *enhanced;
	const char *text;
} error_rows[] = {
#define X(name, enhanced, text) [name] = {enhanced, text},
	ADDRESS_ERRORS(X)
#undef X
};

const char *
address_error_text(enum address_error error)
{
	return error_rows[error].text;
}

const char *
address_error_enhanced(enum address_error error)
{
	return error_rows[error].enhanced;
}

/* ---- bytes: the locale must not have a say, so no <ctype.h> ---- */

static bool
is_digit(unsigned char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool
is_letter_or_digit(unsigned char byte)
{
	return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool
is_hex_digit(unsigned char byte)
{
	return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static bool
is_non_ascii(unsigned char byte)
{
	return byte >= 0x80;
}

/* atext of RFC 5322 3.2.3; RFC 6531 adds all non-ASCII characters (their encoding is checked for the path as a whole). */
static bool
is_atom_byte(unsigned char byte)
{
	return byte != '\0' && (is_letter_or_digit(byte) || is_non_ascii(byte) || strchr("!#$%&'*+-/=?^_`{|}~", byte) != NULL);
}

static struct span
span_part(struct span text, size_t from, size_t to)
{
	return span_make(text.at + from, to - from);
}

/* ---- UTF-8 (RFC 3629) ---- */

/* Length of the multi-byte character at the front, 0 when it is malformed, overlong, a surrogate or beyond U+10FFFF. */
static size_t
utf8_character_length(const unsigned char *at, size_t left)
{
	size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

	if (at[0] < 0xc2 || at[0] > 0xf4 || left < length)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f))
		return 0;
	if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

bool
utf8_is_valid(struct span text)
{
	const unsigned char *bytes = (const unsigned char *)text.at;

	for (size_t at = 0; at < text.length;) {
		if (bytes[at] < 0x80) {
			at++;
			continue;
		}
		size_t length = utf8_character_length(bytes + at, text.length - at);
		if (length == 0 || (bytes[at] == 0xc2 && bytes[at + 1] < 0xa0)) /* U+0080..U+009F are controls */
			return false;
		at += length;
	}
	return true;
}

bool
utf8_is_ascii(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (is_non_ascii(text.at[i]))
			return false;
	return true;
}

static enum address_error
encoding_check(struct span text, bool utf8_allowed)
{
	if (utf8_is_ascii(text))
		return ADDRESS_OK;
	if (!utf8_is_valid(text))
		return ADDRESS_BAD_UTF8;
	return utf8_allowed ? ADDRESS_OK : ADDRESS_NEEDS_SMTPUTF8;
}

/* ---- domains ---- */

static bool
label_is_valid(struct span label, bool underscore)
{
	if (label.length == 0 || label.length > (utf8_is_ascii(label) ? LABEL_MAX : UTF8_LABEL_MAX))
		return false;
	if (label.at[0] == '-' || label.at[label.length - 1] == '-')
		return false;
	for (size_t i = 0; i < label.length; i++) {
		unsigned char byte = label.at[i];
		if (!is_letter_or_digit(byte) && !is_non_ascii(byte) && byte != '-' && !(byte == '_' && underscore))
			return false;
	}
	return true;
}

static bool
labels_are_valid(struct span domain, bool underscore)
{
	size_t start = 0;

	for (size_t i = 0; i < domain.length; i++) {
		if (domain.at[i] != '.')
			continue;
		if (!label_is_valid(span_part(domain, start, i), underscore))
			return false;
		start = i + 1;
	}
	return label_is_valid(span_part(domain, start, domain.length), underscore);
}

bool
domain_is_valid(struct span domain, bool utf8_allowed, bool underscore)
{
	return domain.length > 0 && domain.length <= ADDRESS_DOMAIN_MAX && labels_are_valid(domain, underscore) &&
	    encoding_check(domain, utf8_allowed) == ADDRESS_OK;
}

/* ---- address literals (RFC 5321 4.1.3) ---- */

/* Snum is decimal, so leading zeros change nothing: inet_pton would refuse them. */
static bool
ipv4_is_valid(struct span text)
{
	size_t at = 0;

	for (int number = 0; number < 4; number++) {
		unsigned value = 0;
		size_t digits = 0;
		if (number > 0 && (at == text.length || text.at[at++] != '.'))
			return false;
		for (; at < text.length && is_digit(text.at[at]) && digits < 3; at++, digits++)
			value = value * 10 + (unsigned)(text.at[at] - '0');
		if (digits == 0 || value > 255)
			return false;
	}
	return at == text.length;
}

/* "::" stands for at least two groups here, which RFC 4291 (and so inet_pton) does not ask for. */
static bool
ipv6_is_valid(struct span text)
{
	bool compressed = text.length >= 2 && text.at[0] == ':' && text.at[1] == ':';
	size_t groups = 0;

	for (size_t at = compressed ? 2 : 0; at < text.length;) {
		size_t start = at;
		while (at < text.length && is_hex_digit(text.at[at]))
			at++;
		if (at < text.length && text.at[at] == '.')
			return (compressed ? groups <= 4 : groups == 6) && ipv4_is_valid(span_part(text, start, text.length));
		if (at == start || at - start > 4)
			return false;
		groups++;
		if (at == text.length)
			break;
		if (text.at[at++] != ':' || at == text.length)
			return false;
		if (text.at[at] == ':') {
			if (compressed)
				return false;
			compressed = true;
			at++;
		}
	}
	return compressed ? groups <= 6 : groups == 8;
}

/* Standardized-tag ":" 1*dcontent. The tag is not looked up: IANA's list may grow after we were built. */
static bool
general_literal_is_valid(struct span text, size_t colon)
{
	if (colon == 0 || colon + 1 == text.length || text.at[colon - 1] == '-')
		return false;
	for (size_t i = 0; i < colon; i++)
		if (!is_letter_or_digit(text.at[i]) && text.at[i] != '-')
			return false;
	for (size_t i = colon + 1; i < text.length; i++)
		if (text.at[i] < '!' || text.at[i] > '~' || strchr("[\\]", text.at[i]) != NULL)
			return false;
	return true;
}

bool
address_literal_is_valid(struct span literal)
{
	if (literal.length < 3 || literal.length > ADDRESS_DOMAIN_MAX || literal.at[0] != '[' || literal.at[literal.length - 1] != ']')
		return false;
	struct span inside = span_part(literal, 1, literal.length - 1);
	const char *colon = memchr(inside.at, ':', inside.length);
	if (colon == NULL)
		return ipv4_is_valid(inside);
	size_t tag_length = (size_t)(colon - inside.at);
	if (span_is_nocase(span_part(inside, 0, tag_length), "IPv6"))
		return ipv6_is_valid(span_part(inside, tag_length + 1, inside.length));
	return general_literal_is_valid(inside, tag_length);
}

/* ---- mailboxes: a scanner moves over the text; each scan_ function stops behind what it took ---- */

struct scanner {
	struct span text;
	size_t at;
	char end; /* the byte that ends a mailbox: '>' or, without brackets, ' ' */
	bool tolerant;
};

static bool
scanner_is_at(const struct scanner *scanner, char byte)
{
	return scanner->at < scanner->text.length && scanner->text.at[scanner->at] == byte;
}

static bool
scanner_is_at_end(const struct scanner *scanner)
{
	return scanner->at == scanner->text.length || scanner_is_at(scanner, scanner->end);
}

/* Quoted-string with qtextSMTP and quoted-pairSMTP: no controls, and only ASCII behind a backslash (RFC 6531 leaves that so). */
static enum address_error
scan_quoted_string(struct scanner *scanner)
{
	for (scanner->at++; scanner->at < scanner->text.length; scanner->at++) {
		unsigned char byte = scanner->text.at[scanner->at];
		if (byte == '"') {
			scanner->at++;
			return ADDRESS_OK;
		}
		if (byte == '\\') {
			if (++scanner->at == scanner->text.length)
				break;
			byte = scanner->text.at[scanner->at];
			if (is_non_ascii(byte))
				break;
		}
		if (byte < ' ' || byte == 0x7f)
			break;
	}
	return ADDRESS_BAD_QUOTED_STRING;
}

static enum address_error
scan_dot_string(struct scanner *scanner)
{
	size_t first = scanner->at;

	for (;;) {
		size_t start = scanner->at;
		while (scanner->at < scanner->text.length && is_atom_byte(scanner->text.at[scanner->at]))
			scanner->at++;
		if (scanner->at == start && !(scanner->tolerant && (scanner->at > first || scanner_is_at(scanner, '.'))))
			return ADDRESS_BAD_LOCAL_PART;
		if (!scanner_is_at(scanner, '.'))
			return ADDRESS_OK;
		scanner->at++;
	}
}

static enum address_error
scan_local_part(struct scanner *scanner, struct span *local_part)
{
	size_t start = scanner->at;
	enum address_error error = scanner_is_at(scanner, '"') ? scan_quoted_string(scanner) : scan_dot_string(scanner);

	if (error != ADDRESS_OK)
		return error;
	*local_part = span_part(scanner->text, start, scanner->at);
	return local_part->length > ADDRESS_LOCAL_PART_MAX && !scanner->tolerant ? ADDRESS_LOCAL_PART_TOO_LONG : ADDRESS_OK;
}

/* A literal is scanned to its bracket, because '>' may stand in it. */
static enum address_error
scan_literal(struct scanner *scanner, struct span *domain)
{
	size_t start = scanner->at;

	while (scanner->at < scanner->text.length && !scanner_is_at(scanner, ']'))
		scanner->at++;
	if (scanner->at == scanner->text.length)
		return ADDRESS_BAD_LITERAL;
	scanner->at++;
	*domain = span_part(scanner->text, start, scanner->at);
	if (domain->length > ADDRESS_DOMAIN_MAX)
		return ADDRESS_DOMAIN_TOO_LONG;
	return address_literal_is_valid(*domain) ? ADDRESS_OK : ADDRESS_BAD_LITERAL;
}

static enum address_error
scan_domain(struct scanner *scanner, struct span *domain)
{
	size_t start = scanner->at;

	if (scanner_is_at(scanner, '['))
		return scan_literal(scanner, domain);
	while (!scanner_is_at_end(scanner))
		scanner->at++;
	*domain = span_part(scanner->text, start, scanner->at);
	if (domain->length == 0)
		return ADDRESS_NO_DOMAIN;
	if (domain->length > ADDRESS_DOMAIN_MAX)
		return ADDRESS_DOMAIN_TOO_LONG;
	return labels_are_valid(*domain, scanner->tolerant) ? ADDRESS_OK : ADDRESS_BAD_DOMAIN;
}

/* local@domain, or postmaster alone where that is allowed. */
static enum address_error
scan_mailbox(struct scanner *scanner, bool postmaster_allowed, struct span *local_part, struct span *domain)
{
	enum address_error error = scan_local_part(scanner, local_part);

	if (error != ADDRESS_OK)
		return error;
	*domain = span_make("", 0);
	if (scanner_is_at_end(scanner))
		return postmaster_allowed && span_is_nocase(*local_part, "postmaster") ? ADDRESS_OK : ADDRESS_NO_DOMAIN;
	if (!scanner_is_at(scanner, '@'))
		return local_part->at[0] == '"' ? ADDRESS_BAD_QUOTED_STRING : ADDRESS_BAD_LOCAL_PART;
	scanner->at++;
	return scan_domain(scanner, domain);
}

/* A-d-l ":", e.g. "@one.example,@two.example:" (RFC 5321 4.1.2): must be accepted, and is then forgotten. */
static enum address_error
scan_source_route(struct scanner *scanner)
{
	while (scanner_is_at(scanner, '@')) {
		size_t start = ++scanner->at;
		while (!scanner_is_at_end(scanner) && !scanner_is_at(scanner, ',') && !scanner_is_at(scanner, ':'))
			scanner->at++;
		if (!labels_are_valid(span_part(scanner->text, start, scanner->at), false))
			return ADDRESS_BAD_ROUTE;
		if (scanner_is_at(scanner, ':')) {
			scanner->at++;
			return ADDRESS_OK;
		}
		if (!scanner_is_at(scanner, ','))
			return ADDRESS_BAD_ROUTE;
		scanner->at++;
	}
	return ADDRESS_BAD_ROUTE;
}

static void
address_set(struct address *address, struct span local_part, struct span domain)
{
	address->local_part = memory_copy_text(local_part.at, local_part.length);
	address->domain = memory_copy_text(domain.at, domain.length);
	address->domain_lower = memory_copy_text(domain.at, domain.length);
	for (char *byte = address->domain_lower; *byte != '\0'; byte++)
		if (*byte >= 'A' && *byte <= 'Z')
			*byte = (char)(*byte - 'A' + 'a');
}

/* ---- the public doors ---- */

/* Inside the brackets and over the closing one. */
static enum address_error
scan_bracketed(struct scanner *scanner, const struct address_options *options, struct span *local_part, struct span *domain)
{
	enum address_error error = ADDRESS_OK;

	scanner->at++;
	if (scanner_is_at(scanner, '>')) {
		scanner->at++;
		*local_part = *domain = span_make("", 0);
		return options->null_allowed ? ADDRESS_OK : ADDRESS_EMPTY;
	}
	if (scanner_is_at(scanner, '@')) {
		error = scan_source_route(scanner);
		if (error != ADDRESS_OK)
			return error;
		/* Postmaster without a domain is an alternative to a path, so it takes no route. */
		error = scan_mailbox(scanner, false, local_part, domain);
	} else {
		error = scan_mailbox(scanner, options->postmaster_allowed, local_part, domain);
	}
	if (error != ADDRESS_OK)
		return error;
	if (scanner->at == scanner->text.length)
		return ADDRESS_NO_BRACKETS;
	if (!scanner_is_at(scanner, '>'))
		return domain->length > 0 && domain->at[0] == '[' ? ADDRESS_BAD_LITERAL : ADDRESS_BAD_DOMAIN;
	scanner->at++;
	return ADDRESS_OK;
}

enum address_error
address_parse_path(struct span text, const struct address_options *options, struct address *address, size_t *taken)
{
	struct scanner scanner = {.text = text, .end = '>', .tolerant = options->tolerant};
	struct span local_part, domain;
	enum address_error error;
	size_t brackets = 0;

	memset(address, 0, sizeof *address);
	*taken = 0;
	if (text.length == 0 || text.at[0] == ' ')
		return ADDRESS_EMPTY;
	if (text.at[0] == '<') {
		error = scan_bracketed(&scanner, options, &local_part, &domain);
	} else if (options->lenient) {
		brackets = 2; /* they count although they are missing: a backend will get them */
		scanner.end = ' ';
		error = scan_mailbox(&scanner, options->postmaster_allowed, &local_part, &domain);
	} else {
		return ADDRESS_NO_BRACKETS;
	}
	if (error != ADDRESS_OK)
		return error;
	if (scanner.at < text.length && text.at[scanner.at] != ' ')
		return ADDRESS_TRAILING_BYTES;
	if (scanner.at + brackets > ADDRESS_PATH_MAX)
		return ADDRESS_TOO_LONG;
	error = encoding_check(span_part(text, 0, scanner.at), options->utf8_allowed);
	if (error != ADDRESS_OK)
		return error;
	address_set(address, local_part, domain);
	*taken = scanner.at;
	return ADDRESS_OK;
}

enum address_error
address_parse_mailbox(struct span text, bool utf8_allowed, struct address *address)
{
	struct address_options options = {.utf8_allowed = utf8_allowed, .lenient = true};
	size_t taken = 0;

	memset(address, 0, sizeof *address);
	if (text.length > 0 && text.at[0] == '<')
		return ADDRESS_BAD_LOCAL_PART;
	enum address_error error = address_parse_path(text, &options, address, &taken);
	if (error == ADDRESS_OK && taken < text.length) {
		address_clear(address);
		return ADDRESS_TRAILING_BYTES;
	}
	return error;
}

void
address_clear(struct address *address)
{
	memory_free(&address->local_part);
	memory_free(&address->domain);
	memory_free(&address->domain_lower);
}

char *
address_to_string(const struct address *address)
{
	if (address->local_part[0] == '\0')
		return memory_copy_string("");
	if (address->domain[0] == '\0')
		return memory_copy_string("postmaster");
	return memory_format("%s@%s", address->local_part, address->domain);
}
