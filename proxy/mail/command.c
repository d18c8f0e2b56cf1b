/* Takes SMTP command lines and the arguments of MAIL, RCPT, BDAT, EHLO apart: syntax and the reply code of each mistake.
 * Never looks at session states, never decides about policy, never sees a line end. */
#include "mail/command.h"

#include <string.h>

#include "base/memory.h"

#define SIZE_DIGITS_MAX 20 /* RFC 1870 */
#define ENVELOPE_ID_MAX 100 /* RFC 3461 4.4 */
#define ORIGINAL_RECIPIENT_MAX 500 /* RFC 3461 */

const char *
command_verb_text(enum command_verb verb)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		COMMAND_VERBS(X)
#undef X
	};
	return texts[verb];
}

static bool
fail(struct command_error *error, int code, const char *enhanced, const char *text)
{
	error->code = code;
	error->enhanced = enhanced;
	error->text = text;
	return false;
}

/* ---- spans ---- */

static struct span
span_skip(struct span text, size_t count)
{
	return span_make(text.at + count, text.length - count);
}

static bool
span_starts_nocase(struct span text, const char *prefix)
{
	size_t length = strlen(prefix);

	return text.length >= length && span_is_nocase(span_make(text.at, length), prefix);
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

static struct span
span_trim(struct span text)
{
	while (text.length > 0 && is_blank(text.at[0]))
		text = span_skip(text, 1);
	while (text.length > 0 && is_blank(text.at[text.length - 1]))
		text.length--;
	return text;
}

/* Takes the bytes up to `separator` off the front, and the separator; false when nothing is left. */
static bool
span_next(struct span *rest, char separator, struct span *part)
{
	if (rest->length == 0)
		return false;
	const char *end = memchr(rest->at, separator, rest->length);
	size_t length = end == NULL ? rest->length : (size_t)(end - rest->at);
	*part = span_make(rest->at, length);
	*rest = span_skip(*rest, end == NULL ? length : length + 1);
	return true;
}

/* ---- the line ---- */

static enum command_verb
verb_find(struct span word)
{
	static const enum command_verb verbs[] = {
#define X(name, text) name,
		COMMAND_VERBS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (span_is_nocase(word, command_verb_text(verbs[i])))
			return verbs[i];
	return COMMAND_UNKNOWN;
}

struct command
command_parse(struct span line)
{
	size_t length = 0;

	while (length < line.length && !is_blank(line.at[length]))
		length++;
	struct span word = span_make(line.at, length);
	return (struct command){
	    .verb = verb_find(word),
	    .word = word,
	    .argument = length < line.length ? span_trim(span_skip(line, length)) : span_make("", 0),
	};
}

/* "Host: example.org", "Subject: ...": a field name, a colon, then a blank or the end. No SMTP command looks so, and what follows
 * would be somebody's request body or a message taken for commands. */
static bool
line_is_header_field(struct span line)
{
	size_t colon = 0;

	for (; colon < line.length && line.at[colon] != ':'; colon++) {
		char byte = line.at[colon];
		if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') && !(byte >= '0' && byte <= '9') && byte != '-')
			return false;
	}
	if (colon == 0 || colon == line.length || verb_find(span_make(line.at, colon)) != COMMAND_UNKNOWN)
		return false;
	return colon + 1 == line.length || is_blank(line.at[colon + 1]);
}

static bool
line_ends_with_request_version(struct span line)
{
	static const char *const versions[] = {" HTTP/", " SIP/", " RTSP/"};
	static const size_t digits = sizeof "1.1" - 1;

	for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
		size_t length = strlen(versions[i]) + digits;
		if (line.length >= length && span_starts_nocase(span_skip(line, line.length - length), versions[i]))
			return true;
	}
	return false;
}

/* A TLS record (handshake, major version 3), or the older ClientHello in SSL 2 clothes. */
static bool
line_is_tls(struct span line)
{
	const unsigned char *bytes = (const unsigned char *)line.at;

	return (line.length >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03) ||
	    (line.length >= 4 && (bytes[0] & 0x80) != 0 && bytes[2] == 0x01 && bytes[3] <= 0x03);
}

bool
command_is_foreign_protocol(struct span line)
{
	static const char *const methods[] = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"};
	struct span word = command_parse(line).word;

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (span_is_nocase(word, methods[i]))
			return true;
	return line_is_header_field(line) || line_is_tls(line) || line_ends_with_request_version(line) ||
	    span_starts_nocase(line, "SSH-");
}

/* ---- values ---- */

/* Digits only, no more than SIZE_DIGITS_MAX. *overflow: right in form, but more than 64 bits hold. */
static bool
number_parse(struct span text, uint64_t *number, bool *overflow)
{
	*number = 0;
	*overflow = false;
	if (text.length == 0 || text.length > SIZE_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(text.at[i] - '0');
		if (*number > (UINT64_MAX - digit) / 10)
			*overflow = true;
		else
			*number = *number * 10 + digit;
	}
	return true;
}

static int
hex_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1; /* RFC 3461 4: upper case only */
}

/* xtext (RFC 3461 4) that decodes to printable ASCII, as 4.2 and 4.4 ask: a line end smuggled in as +0D+0A would break out of
 * the delivery report. With `utf8` also non-ASCII, raw or encoded (RFC 6533 3). */
static bool
xtext_is_valid(struct span text, bool utf8)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = text.at[i];
		if (byte == '+') {
			if (text.length - i < 3 || hex_value(text.at[i + 1]) < 0 || hex_value(text.at[i + 2]) < 0)
				return false;
			byte = (unsigned char)(hex_value(text.at[i + 1]) * 16 + hex_value(text.at[i + 2]));
			if (byte < ' ' || byte == 0x7f || (byte > 0x7f && !utf8))
				return false;
			i += 2;
		} else if (byte <= ' ' || byte == '=' || byte == 0x7f || (byte > 0x7f && !utf8)) {
			return false;
		}
	}
	return text.length > 0;
}

/* addr-type is an atom (RFC 5322 3.2.3). */
static bool
address_type_is_valid(struct span type)
{
	for (size_t i = 0; i < type.length; i++)
		if (type.at[i] <= ' ' || type.at[i] > '~' || strchr("()<>[]:;@\\,.\"", type.at[i]) != NULL)
			return false;
	return type.length > 0;
}

static char *
span_copy(struct span text)
{
	return memory_copy_text(text.at, text.length);
}

/* ---- parameters: one row each ---- */

struct parameter_target {
	struct mail_arguments *mail; /* one of the two is set */
	struct rcpt_arguments *rcpt;
	bool smtputf8; /* RCPT: of the transaction */
};

struct parameter {
	const char *keyword;
	size_t offered; /* offset of its bool in struct command_offer */
	/* value.at is NULL when there was no "=". */
	bool (*take)(struct span value, const struct parameter_target *target, struct command_error *error);
};

static bool
take_size(struct span value, const struct parameter_target *target, struct command_error *error)
{
	bool overflow;

	if (!number_parse(value, &target->mail->size, &overflow))
		return fail(error, 501, "5.5.4", "bad SIZE parameter");
	if (overflow)
		return fail(error, 552, "5.3.4", "message size exceeds any limit");
	target->mail->size_declared = true;
	return true;
}

/* BINARYMIME is a value we know of and do not offer (RFC 3030): also a bad value. */
static bool
take_body(struct span value, const struct parameter_target *target, struct command_error *error)
{
	if (span_is_nocase(value, "8BITMIME"))
		target->mail->body = BODY_8BITMIME;
	else if (!span_is_nocase(value, "7BIT"))
		return fail(error, 501, "5.5.4", "BODY must be 7BIT or 8BITMIME");
	return true;
}

static bool
take_smtputf8(struct span value, const struct parameter_target *target, struct command_error *error)
{
	if (value.at != NULL)
		return fail(error, 501, "5.5.4", "SMTPUTF8 takes no value");
	target->mail->smtputf8 = true;
	return true;
}

static bool
take_ret(struct span value, const struct parameter_target *target, struct command_error *error)
{
	if (span_is_nocase(value, "FULL"))
		target->mail->ret = memory_copy_string("FULL");
	else if (span_is_nocase(value, "HDRS"))
		target->mail->ret = memory_copy_string("HDRS");
	else
		return fail(error, 501, "5.5.4", "RET must be FULL or HDRS");
	return true;
}

static bool
take_envelope_id(struct span value, const struct parameter_target *target, struct command_error *error)
{
	if (value.length > ENVELOPE_ID_MAX || !xtext_is_valid(value, false))
		return fail(error, 501, "5.5.4", "bad ENVID parameter");
	target->mail->envelope_id = span_copy(value);
	return true;
}

static bool
take_notify(struct span value, const struct parameter_target *target, struct command_error *error)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {{"NEVER", NOTIFY_NEVER}, {"SUCCESS", NOTIFY_SUCCESS}, {"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};
	size_t elements = 0, commas = 0, known = 0;
	struct span rest = value, element;
	unsigned notify = NOTIFY_UNSET;

	for (size_t i = 0; i < value.length; i++)
		commas += value.at[i] == ',';
	for (; span_next(&rest, ',', &element); elements++)
		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			if (span_is_nocase(element, words[i].word)) {
				notify |= words[i].bit;
				known++;
			}
	if (known != elements || elements != commas + 1)
		return fail(error, 501, "5.5.4", "bad NOTIFY parameter");
	if ((notify & NOTIFY_NEVER) != 0 && elements != 1)
		return fail(error, 501, "5.5.4", "NOTIFY=NEVER must stand alone");
	target->rcpt->notify = notify;
	return true;
}

/* Raw UTF-8 only in a transaction with SMTPUTF8 and for the address type made for it (RFC 6533 3). */
static bool
take_original_recipient(struct span value, const struct parameter_target *target, struct command_error *error)
{
	struct span rest = value, type = span_make("", 0);

	span_next(&rest, ';', &type);
	bool utf8_type = span_is_nocase(type, "utf-8");
	if (value.length > ORIGINAL_RECIPIENT_MAX || !address_type_is_valid(type) || !xtext_is_valid(rest, utf8_type))
		return fail(error, 501, "5.5.4", "bad ORCPT parameter");
	if (!utf8_is_ascii(rest) && (!target->smtputf8 || !utf8_is_valid(rest)))
		return fail(error, 501, "5.5.4", "bad characters in ORCPT parameter");
	target->rcpt->original_recipient = span_copy(value);
	return true;
}

static const struct parameter mail_parameters[] = {
	{"SIZE", offsetof(struct command_offer, size), take_size},
	{"BODY", offsetof(struct command_offer, eight_bit_mime), take_body},
	{"SMTPUTF8", offsetof(struct command_offer, smtputf8), take_smtputf8},
	{"RET", offsetof(struct command_offer, dsn), take_ret},
	{"ENVID", offsetof(struct command_offer, dsn), take_envelope_id},
	{NULL, 0, NULL},
};

static const struct parameter rcpt_parameters[] = {
	{"NOTIFY", offsetof(struct command_offer, dsn), take_notify},
	{"ORCPT", offsetof(struct command_offer, dsn), take_original_recipient},
	{NULL, 0, NULL},
};

/* esmtp-param (RFC 5321 4.1.2; RFC 6531 3.3 lets non-ASCII into the value): letters, digits, hyphens, and when there is an "="
 * then at least one byte, no "=", no control. */
static bool
parameter_split(struct span word, struct span *keyword, struct span *value)
{
	const char *equals = memchr(word.at, '=', word.length);
	size_t length = equals == NULL ? word.length : (size_t)(equals - word.at);

	*keyword = span_make(word.at, length);
	*value = equals == NULL ? span_make(NULL, 0) : span_skip(word, length + 1);
	if (length == 0 || word.at[0] == '-' || (equals != NULL && value->length == 0))
		return false;
	for (size_t i = 0; i < length; i++) {
		char byte = word.at[i];
		if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') && !(byte >= '0' && byte <= '9') && byte != '-')
			return false;
	}
	for (size_t i = 0; i < value->length; i++) {
		unsigned char byte = value->at[i];
		if (byte <= ' ' || byte == '=' || byte == 0x7f)
			return false;
	}
	return true;
}

static bool
parameter_is_offered(const struct parameter *row, const struct command_offer *offer)
{
	return *(const bool *)((const char *)offer + row->offered);
}

static bool
parameters_parse(struct span rest, const struct parameter *rows, const struct command_offer *offer, const struct parameter_target *target,
    struct command_error *error)
{
	struct span word, keyword, value;
	unsigned seen = 0;

	while (span_next(&rest, ' ', &word)) {
		if (word.length == 0)
			continue;
		if (!parameter_split(word, &keyword, &value))
			return fail(error, 501, "5.5.4", "malformed parameter");
		const struct parameter *row = rows;
		while (row->keyword != NULL && !span_is_nocase(keyword, row->keyword))
			row++;
		if (row->keyword == NULL || !parameter_is_offered(row, offer))
			return fail(error, 555, "5.5.4", "parameter not recognized or not implemented");
		unsigned bit = 1u << (row - rows);
		if ((seen & bit) != 0)
			return fail(error, 501, "5.5.4", "parameter given twice");
		seen |= bit;
		if (!row->take(value, target, error))
			return false;
	}
	return true;
}

/* ---- MAIL and RCPT ---- */

/* What is particular to one of the two. */
struct path_syntax {
	const char *prefix; /* "FROM:" */
	const char *usage;
	const char *bad_address; /* enhanced code (RFC 3463 3.2: sender and recipient have one each) */
	bool null_allowed, postmaster_allowed;
};

static bool
fail_address(struct command_error *error, enum address_error problem, const struct path_syntax *syntax)
{
	const char *enhanced = address_error_enhanced(problem);

	/* RFC 6531 3.5: 553 (or 550), X.6.7, so that the client knows that it is not the mailbox that is wrong. */
	if (problem == ADDRESS_NEEDS_SMTPUTF8)
		return fail(error, 553, enhanced, address_error_text(problem));
	if (strncmp(enhanced, "5.1.", 4) == 0)
		enhanced = syntax->bad_address;
	return fail(error, 501, enhanced, address_error_text(problem));
}

/* "FROM:<path>" at the front of the argument. SMTPUTF8 comes behind the path that needs it, so non-ASCII is allowed here and
 * *path, the bytes of the path, is for the caller to judge. *rest starts behind it. */
static bool
path_parse(struct span argument, const struct path_syntax *syntax, bool lenient, struct address *address, struct span *path,
    struct span *rest, struct command_error *error)
{
	struct address_options options = {
	    .null_allowed = syntax->null_allowed,
	    .postmaster_allowed = syntax->postmaster_allowed,
	    .utf8_allowed = true,
	    .lenient = lenient,
	    /* A recipient is ours and will be asked for; a sender is a stranger's, and refusing it refuses the mail. RFC 5321 4.5.3.1
	     * sets what must be taken at least; forwarders (SRS) and lists write more than 64 octets. */
	    .tolerant = lenient && syntax->null_allowed,
	};
	size_t taken;

	if (!span_starts_nocase(argument, syntax->prefix))
		return fail(error, 501, "5.5.4", syntax->usage);
	struct span text = span_skip(argument, strlen(syntax->prefix));
	if (text.length > 0 && is_blank(text.at[0])) {
		if (!lenient)
			return fail(error, 501, "5.5.4", syntax->usage);
		text = span_trim(text);
	}
	enum address_error problem = address_parse_path(text, &options, address, &taken);
	if (problem != ADDRESS_OK)
		return fail_address(error, problem, syntax);
	*path = span_make(text.at, taken);
	*rest = span_skip(text, taken);
	return true;
}

bool
command_parse_mail(struct span argument, const struct command_offer *offer, struct mail_arguments *out, struct command_error *error)
{
	static const struct path_syntax syntax = {
	    .prefix = "FROM:",
	    .usage = "syntax: MAIL FROM:<address>",
	    .bad_address = "5.1.7",
	    .null_allowed = true,
	};
	struct parameter_target target = {.mail = out};
	struct span path, rest;

	memset(out, 0, sizeof *out);
	if (!path_parse(argument, &syntax, offer->lenient_addresses, &out->sender, &path, &rest, error) ||
	    !parameters_parse(rest, mail_parameters, offer, &target, error))
		return false;
	if (!utf8_is_ascii(path) && !out->smtputf8)
		return fail_address(error, ADDRESS_NEEDS_SMTPUTF8, &syntax);
	return true;
}

void
mail_arguments_clear(struct mail_arguments *arguments)
{
	address_clear(&arguments->sender);
	memory_free(&arguments->ret);
	memory_free(&arguments->envelope_id);
}

bool
command_parse_rcpt(struct span argument, const struct command_offer *offer, bool smtputf8, struct rcpt_arguments *out, struct command_error *error)
{
	static const struct path_syntax syntax = {
	    .prefix = "TO:",
	    .usage = "syntax: RCPT TO:<address>",
	    .bad_address = "5.1.3",
	    .postmaster_allowed = true,
	};
	struct parameter_target target = {.rcpt = out, .smtputf8 = smtputf8};
	struct span path, rest;

	memset(out, 0, sizeof *out);
	if (!path_parse(argument, &syntax, offer->lenient_addresses, &out->recipient, &path, &rest, error))
		return false;
	if (!utf8_is_ascii(path) && !smtputf8)
		return fail_address(error, ADDRESS_NEEDS_SMTPUTF8, &syntax);
	return parameters_parse(rest, rcpt_parameters, offer, &target, error);
}

void
rcpt_arguments_clear(struct rcpt_arguments *arguments)
{
	address_clear(&arguments->recipient);
	memory_free(&arguments->original_recipient);
}

/* ---- BDAT, EHLO, HELO ---- */

bool
command_parse_bdat(struct span argument, uint64_t *size, bool *last)
{
	struct span rest = argument, number = span_make("", 0);
	bool overflow;

	span_next(&rest, ' ', &number);
	rest = span_trim(rest);
	*last = span_is_nocase(rest, "LAST");
	return number_parse(number, size, &overflow) && !overflow && (rest.length == 0 || *last);
}

/* More than the grammar: an underscore and a dot at the end, both seen in names of machines that send wanted mail. */
bool
command_parse_hello(struct span argument, bool utf8_allowed)
{
	if (argument.length > 1 && argument.at[0] == '[')
		return address_literal_is_valid(argument);
	if (argument.length > 1 && argument.at[argument.length - 1] == '.')
		argument.length--;
	return domain_is_valid(argument, utf8_allowed, true);
}

bool
command_hello_is_harmless(struct span argument)
{
	for (size_t i = 0; i < argument.length; i++) {
		char byte = argument.at[i];

		if (byte < ' ' || byte > '~' || strchr("()<>[]@,;\"\\", byte) != NULL)
			return false;
	}
	return argument.length > 0;
}
