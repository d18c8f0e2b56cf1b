/* Judges edits one at a time, and lists as a whole. Changes an edit only into its normal form. Never sees the message. */
#include "mail/edits_check.h"

#include <string.h>

#include "base/memory.h"
#include "mail/address.h"
#include "mail/command.h"
#include "mail/header.h"

const char *
edit_error_text(enum edit_error error)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		EDIT_ERRORS(X)
#undef X
	};

	return (size_t)error < sizeof texts / sizeof texts[0] ? texts[error] : "unknown";
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* --- header fields --- */

/* RFC 5322 3.6.8: ftext, and no more of it than header.h finds again. */
static enum edit_error
check_name(const char *name)
{
	size_t length = strlen(name);

	if (length == 0)
		return EDIT_BAD_NAME;
	if (length >= HEADER_NAME_MAX)
		return EDIT_NAME_TOO_LONG;
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] >= 127 || name[i] == ':')
			return EDIT_BAD_NAME;
	return EDIT_OK;
}

static enum edit_error
check_bytes(struct span value, const struct edit_rules *rules)
{
	if (utf8_is_ascii(value) || rules->eight_bit_headers)
		return EDIT_OK;
	if (!rules->smtputf8)
		return EDIT_NOT_ASCII;
	return utf8_is_valid(value) ? EDIT_OK : EDIT_BAD_UTF8;
}

static bool
is_blank_line(struct span line)
{
	for (size_t i = 0; i < line.length; i++)
		if (!is_blank(line.at[i]))
			return false;
	return true;
}

/* The front of `rest` up to CR LF or LF, and steps behind that. */
static bool
next_line(struct span *rest, struct span *line)
{
	const char *end;

	if (rest->at == NULL)
		return false;
	end = memchr(rest->at, '\n', rest->length);
	*line = span_make(rest->at, end != NULL ? (size_t)(end - rest->at) : rest->length);
	*rest = end != NULL ? span_make(end + 1, rest->length - line->length - 1) : span_make(NULL, 0);
	if (end != NULL && line->length > 0 && line->at[line->length - 1] == '\r')
		line->length--;
	return true;
}

/* Lines behind the first must begin with a blank: anything else would start a field of its own, or the body. */
static enum edit_error
fold(const struct edit *edit, const struct edit_rules *rules, struct buffer *folded)
{
	struct span rest = span_of(edit->value), line;
	size_t before = strlen(edit->name) + 1; /* bytes of the line so far */

	if (!edit->verbatim && !is_blank(edit->value[0])) {
		buffer_append_char(folded, ' ');
		before++;
	}
	for (bool first = true; next_line(&rest, &line); first = false, before = 0) {
		if (memchr(line.at, '\r', line.length) != NULL || (!first && (line.length == 0 || !is_blank(line.at[0]))))
			return EDIT_BAD_LINE_END;
		/* To some parsers a line of blanks is the end of the header block. */
		if (!first && is_blank_line(line))
			continue;
		if (before + line.length > EDIT_LINE_MAX && !rules->long_lines)
			return EDIT_LINE_TOO_LONG;
		if (!first)
			buffer_append_string(folded, "\r\n");
		buffer_append_span(folded, line);
	}
	return EDIT_OK;
}

static enum edit_error
check_value(struct edit *edit, const struct edit_rules *rules)
{
	enum edit_error error = check_bytes(span_of(edit->value), rules);
	struct buffer folded = {0};

	if (error == EDIT_OK)
		error = fold(edit, rules, &folded);
	if (error == EDIT_OK) {
		memory_free(&edit->value);
		edit->value = buffer_take_string(&folded);
	}
	buffer_free(&folded);
	return error;
}

static enum edit_error
check_header(struct edit *edit, const struct edit_rules *rules)
{
	enum edit_error error = check_name(edit->name);

	if (error != EDIT_OK)
		return error;
	if (edit->index > EDIT_INDEX_MAX)
		return EDIT_BAD_INDEX;
	if ((edit->kind == EDIT_CHANGE_HEADER || edit->kind == EDIT_DELETE_HEADER) && edit->index == 0)
		return EDIT_BAD_INDEX;
	return edit->value != NULL ? check_value(edit, rules) : EDIT_OK;
}

/* --- addresses --- */

/* With or without angle brackets, nothing before and nothing behind. */
static enum edit_error
check_address(struct edit *edit, const struct edit_rules *rules)
{
	struct address_options options = {
		.null_allowed = edit->kind == EDIT_CHANGE_SENDER,
		.postmaster_allowed = edit->kind != EDIT_CHANGE_SENDER,
		.utf8_allowed = rules->smtputf8,
		.tolerant = edit->kind == EDIT_CHANGE_SENDER, /* as at MAIL: one that puts back what was there must not fail */
	};
	struct address address = {0};
	struct buffer path = {0};
	size_t taken = 0;
	enum address_error error;

	buffer_printf(&path, edit->value[0] == '<' ? "%s" : "<%s>", edit->value);
	error = address_parse_path(span_make(path.data, path.length), &options, &address, &taken);
	if (error == ADDRESS_OK && taken != path.length)
		error = ADDRESS_TRAILING_BYTES;
	if (error == ADDRESS_OK) {
		memory_free(&edit->value);
		edit->value = address_to_string(&address);
	}
	address_clear(&address);
	buffer_free(&path);
	if (error == ADDRESS_NEEDS_SMTPUTF8)
		return EDIT_ADDRESS_NEEDS_SMTPUTF8;
	return error == ADDRESS_OK ? EDIT_OK : EDIT_BAD_ADDRESS;
}

/* As a client could have said them with MAIL or RCPT, whoever the path names. */
static enum edit_error
check_parameters(const struct edit *edit, const struct edit_rules *rules)
{
	const struct command_offer offer = {.size = true, .eight_bit_mime = true, .smtputf8 = rules->smtputf8, .dsn = true};
	struct buffer line = {0};
	struct command_error error;
	bool good;

	if (edit->parameters == NULL)
		return EDIT_OK;
	if (edit->kind == EDIT_CHANGE_SENDER) {
		struct mail_arguments arguments;

		buffer_printf(&line, "FROM:<> %s", edit->parameters);
		good = command_parse_mail(span_make(line.data, line.length), &offer, &arguments, &error);
		mail_arguments_clear(&arguments);
	} else {
		struct rcpt_arguments arguments;

		buffer_printf(&line, "TO:<postmaster> %s", edit->parameters);
		good = command_parse_rcpt(span_make(line.data, line.length), &offer, rules->smtputf8, &arguments, &error);
		rcpt_arguments_clear(&arguments);
	}
	buffer_free(&line);
	return good ? EDIT_OK : EDIT_BAD_PARAMETERS;
}

/* --- body --- */

static enum edit_error
check_body(struct edit *edit)
{
	struct span rest = span_make(edit->body.data, edit->body.length), line;
	struct buffer body = {0};

	if (edit->body.length == 0)
		return EDIT_OK;
	if (memchr(edit->body.data, '\0', edit->body.length) != NULL)
		return EDIT_BODY_HAS_NUL;
	buffer_reserve(&body, edit->body.length + 2);
	while (next_line(&rest, &line)) {
		if (memchr(line.at, '\r', line.length) != NULL) {
			buffer_free(&body);
			return EDIT_BODY_BARE_CR;
		}
		/* Behind the last line end there is an empty line that is none. */
		if (rest.at == NULL && line.length == 0)
			break;
		buffer_append_span(&body, line);
		buffer_append_string(&body, "\r\n");
	}
	buffer_free(&edit->body);
	edit->body = body;
	return EDIT_OK;
}

/* --- all --- */

enum edit_error
edit_check(struct edit *edit, const struct edit_rules *rules)
{
	enum edit_error error = EDIT_OK;

	if (edit_kind_is_header(edit->kind))
		return check_header(edit, rules);
	if (edit->kind == EDIT_REPLACE_BODY)
		return check_body(edit);
	error = check_address(edit, rules);
	return error != EDIT_OK ? error : check_parameters(edit, rules);
}

static void
describe(const struct edit_list *list, size_t index, enum edit_error error, struct buffer *out)
{
	if (out == NULL)
		return;
	buffer_printf(out, "%s", edit_error_text(error));
	if (index < list->count) {
		buffer_append_string(out, ": ");
		edit_append_text(&list->edits[index], out);
	}
}

/* Both together within the limits, counted anew: normal forms may be longer than what was given. */
static bool
fits_behind(const struct edit_list *to, const struct edit_list *from)
{
	size_t text = to->text_bytes, body = to->body_bytes;

	if (from->overflowed || to->overflowed || to->count + from->count > EDIT_COUNT_MAX)
		return false;
	for (size_t i = 0; i < from->count; i++) {
		const struct edit *edit = &from->edits[i];

		if (edit->value != NULL && strlen(edit->value) > EDIT_TEXT_MAX)
			return false;
		text += edit_text_bytes(edit);
		body += edit->body.length;
	}
	return text <= EDIT_LIST_TEXT_MAX && body <= EDIT_BODY_MAX;
}

enum edit_error
edit_list_accept(struct edit_list *to, struct edit_list *from, const struct edit_rules *rules, struct buffer *bad)
{
	enum edit_error error = EDIT_OK;
	size_t i;

	for (i = 0; i < from->count && error == EDIT_OK; i++)
		error = edit_check(&from->edits[i], rules);
	if (error != EDIT_OK)
		i--;
	else if (!fits_behind(to, from))
		error = EDIT_TOO_MANY;
	if (error != EDIT_OK)
		describe(from, i, error, bad);
	for (i = 0; i < from->count && error == EDIT_OK; i++)
		edit_list_take(to, &from->edits[i]);
	edit_list_clear(from);
	return error;
}
