/* The schema rows as YAML: with the values in force (print-config), or with defaults and descriptions (the reference).
 * Both load again. Works from the rows alone and knows no single option. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "conf/config.h"
#include "conf/schema.h"
#include "conf/value.h"

#define COMMENT_COLUMN 44
#define TEXT_WIDTH 110

/* True when YAML reads the text back as one plain scalar, in any place we print one. */
static bool
text_is_plain(const char *text)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/";
	static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.@:+-";
	size_t length = strlen(text);

	return length > 0 && strchr(first, text[0]) != NULL && strspn(text, more) == length && text[length - 1] != ':' &&
	    strcasecmp(text, "null") != 0;
}

/* One UTF-8 character (the text came out of libyaml, which lets no other through); *length is its bytes. */
static uint32_t
character_decode(const char *at, size_t *length)
{
	unsigned char lead = (unsigned char)at[0];
	uint32_t character;

	if (lead < 0x80) {
		*length = 1;
		return lead;
	}
	*length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	character = lead & (0x7fu >> *length);
	for (size_t i = 1; i < *length; i++) {
		if (((unsigned char)at[i] & 0xc0) != 0x80) {
			*length = i;
			return 0xfffd;
		}
		character = character << 6 | ((unsigned char)at[i] & 0x3f);
	}
	return character;
}

/* Letters of all scripts as they are; spaces of all kinds, bidirectional marks and what YAML forbids as escapes. */
static bool
character_is_shown(uint32_t character)
{
	return (character >= 0x20 && character < 0x7f) || (character > 0xa0 && character < 0x2000 && character != 0x61c) ||
	    (character >= 0x2070 && character < 0xd800);
}

static void
print_text(struct buffer *out, const char *text)
{
	size_t length;

	if (text_is_plain(text)) {
		buffer_append_string(out, text);
		return;
	}
	buffer_append_char(out, '"');
	for (const char *at = text; *at != '\0'; at += length) {
		uint32_t character = character_decode(at, &length);

		if (character == '"' || character == '\\')
			buffer_printf(out, "\\%c", (char)character);
		else if (character_is_shown(character))
			buffer_append(out, at, length);
		else
			buffer_printf(out, "\\U%08" PRIX32, character);
	}
	buffer_append_char(out, '"');
}

/* The comment behind a value: what it counts, and the default when the value is another. */
static void
print_comment(struct buffer *out, size_t line_start, const struct schema_row *row, const char *value)
{
	size_t used = out->length - line_start;

	buffer_printf(out, "%*s# %s", used < COMMENT_COLUMN ? (int)(COMMENT_COLUMN - used) : 1, "", row->unit);
	if (value != NULL && row->default_text != NULL && strcmp(value, row->default_text) != 0)
		buffer_printf(out, " (default %s)", row->default_text);
	buffer_append_char(out, '\n');
}

static void
print_scalar(struct buffer *out, const struct schema_row *row, const void *base, int indent, const char *prefix)
{
	struct buffer value = {0};
	size_t line_start = out->length;

	buffer_printf(out, "%*s%s", indent, "", prefix);
	if (!row->type->print(row, (const char *)base + row->offset, &value)) {
		buffer_printf(out, "#%s:", row->name);
		print_comment(out, line_start, row, NULL);
	} else {
		buffer_printf(out, "%s: ", row->name);
		print_text(out, buffer_text(&value));
		print_comment(out, line_start, row, buffer_text(&value));
	}
	buffer_free(&value);
}

static void
print_list(struct buffer *out, const struct schema_row *row, const void *base, int indent)
{
	size_t line_start = out->length;
	size_t count;
	const char *items = schema_list_get(row, base, &count);

	buffer_printf(out, "%*s%s:%s", indent, "", row->name, count == 0 ? " []" : "");
	print_comment(out, line_start, row, NULL);
	for (size_t i = 0; i < count; i++) {
		struct buffer value = {0};

		row->type->print(row, items + i * row->type->size, &value);
		buffer_printf(out, "%*s- ", indent + 2, "");
		print_text(out, buffer_text(&value));
		buffer_append_char(out, '\n');
		buffer_free(&value);
	}
}

static void print_row(struct buffer *out, const struct schema_row *row, const void *base, int indent);

static void
print_items(struct buffer *out, const struct schema_row *row, const void *base, int indent)
{
	size_t line_start = out->length;
	size_t count;
	const char *items = schema_list_get(row, base, &count);

	buffer_printf(out, "%*s%s:", indent, "", row->name);
	print_comment(out, line_start, row, NULL);
	for (size_t i = 0; i < count; i++) {
		const void *item = items + i * row->item_size;

		print_scalar(out, row->rows, item, indent + 2, "- ");
		for (const struct schema_row *inner = row->rows + 1; inner->name != NULL; inner++)
			print_row(out, inner, item, indent + 4);
	}
}

static void
print_filters(struct buffer *out, const struct schema_row *row, const void *base, int indent)
{
	size_t line_start = out->length;
	size_t count;
	const struct config_filter *filters = schema_list_get(row, base, &count);

	buffer_printf(out, "%*s%s:%s", indent, "", row->name, count == 0 ? " []" : "");
	print_comment(out, line_start, row, NULL);
	for (size_t i = 0; i < count; i++) {
		buffer_printf(out, "%*s- %s:\n", indent + 2, "", filters[i].name);
		for (const struct schema_row *inner = schema_filter_find(span_of(filters[i].name))->rows; inner->name != NULL; inner++)
			print_row(out, inner, &filters[i], indent + 6);
	}
}

static void
print_row(struct buffer *out, const struct schema_row *row, const void *base, int indent)
{
	size_t line_start = out->length;

	if (row->alias_of != NULL)
		return;
	switch (row->kind) {
	case SCHEMA_SCALAR:
		print_scalar(out, row, base, indent, "");
		break;
	case SCHEMA_LIST:
		print_list(out, row, base, indent);
		break;
	case SCHEMA_ITEMS:
		print_items(out, row, base, indent);
		break;
	case SCHEMA_SECTION:
		buffer_printf(out, "%*s%s:", indent, "", row->name);
		print_comment(out, line_start, row, NULL);
		for (const struct schema_row *inner = row->rows; inner->name != NULL; inner++)
			print_row(out, inner, base, indent + 2);
		break;
	case SCHEMA_FILTERS:
		print_filters(out, row, base, indent);
		break;
	}
}

void
config_print(const struct config *config, struct buffer *out)
{
	buffer_append_string(out, "# The configuration in force, defaults included. Loads again to the same.\n");
	for (const struct schema_row *row = schema_rows; row->name != NULL; row++)
		print_row(out, row, config, 0);
}

/* The reference. */

/* Words in lines of comment. */
static void
reference_wrap(struct buffer *out, const char *text, int indent)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (column == 0 || column + 1 + word > TEXT_WIDTH) {
			buffer_printf(out, "%s%*s#", column == 0 ? "" : "\n", indent, "");
			column = (size_t)indent + 1;
		}
		buffer_append_char(out, ' ');
		buffer_append(out, text, word);
		column += 1 + word;
		text += word;
		while (*text == ' ')
			text++;
	}
	if (column > 0)
		buffer_append_char(out, '\n');
}

static void
reference_type(struct buffer *out, const struct schema_row *row)
{
	buffer_printf(out, "%s%s", row->kind == SCHEMA_LIST ? "list of " : "", row->type->name);
	for (size_t i = 0; row->words != NULL && row->words[i] != NULL; i++)
		buffer_printf(out, "%s%s", i == 0 ? " " : ", ", row->words[i]);
	if (row->kind == SCHEMA_SCALAR && row->type->print_limit != NULL) {
		buffer_append_string(out, ", ");
		row->type->print_limit(row->minimum, out);
		buffer_append_string(out, " to ");
		row->type->print_limit(row->maximum, out);
		if (row->zero_word != NULL)
			buffer_printf(out, " or %s", row->zero_word);
	}
}

/* "name: what it counts (type, range; default)" and the description. */
static void
reference_heading(struct buffer *out, const struct schema_row *row, int indent)
{
	struct buffer line = {0};

	buffer_printf(&line, "%s: %s", row->name, row->unit);
	if (row->type != NULL) {
		buffer_append_string(&line, " (");
		reference_type(&line, row);
		if (row->required)
			buffer_append_string(&line, "; required");
		else if (row->default_text != NULL)
			buffer_printf(&line, "; default %s", row->default_text[0] != '\0' ? row->default_text : "\"\"");
		buffer_append_char(&line, ')');
	} else if (row->required) {
		buffer_append_string(&line, " (required)");
	}
	reference_wrap(out, buffer_text(&line), indent);
	buffer_free(&line);
	if (row->description != NULL)
		reference_wrap(out, row->description, indent);
}

/* The option itself: as it must be said when required, else commented out with its default or an example. */
static void
reference_value(struct buffer *out, const struct schema_row *row, int indent, const char *prefix)
{
	const char *text = row->default_text != NULL ? row->default_text : row->example;

	buffer_printf(out, "%*s%s%s%s:%s", indent, "", row->required ? "" : "#", prefix, row->name, row->kind == SCHEMA_LIST ? " [" : " ");
	print_text(out, text);
	buffer_append_string(out, row->kind == SCHEMA_LIST ? "]\n" : "\n");
}

static void reference_row(struct buffer *out, const struct schema_row *row, int indent);

/* Each filter commented out, its name like an option of the list. */
static void
reference_filters(struct buffer *out, const struct schema_row *row, int indent)
{
	buffer_printf(out, "%*s%s:\n", indent, "", row->name);
	for (const struct schema_filter *filter = schema_filters; filter->name != NULL; filter++) {
		char *heading = memory_format("%s: %s", filter->name, filter->unit);

		reference_wrap(out, heading, indent + 2);
		memory_free(&heading);
		reference_wrap(out, filter->description, indent + 2);
		buffer_printf(out, "%*s#- %s:\n", indent + 2, "", filter->name);
		for (const struct schema_row *inner = filter->rows; inner->name != NULL; inner++)
			reference_row(out, inner, indent + 6);
	}
}

static void
reference_row(struct buffer *out, const struct schema_row *row, int indent)
{
	const struct schema_row *inner = row->rows;

	if (row->alias_of != NULL)
		return;
	if (indent == 0)
		buffer_append_char(out, '\n');
	reference_heading(out, row, indent);
	if (row->kind == SCHEMA_FILTERS) {
		reference_filters(out, row, indent);
		return;
	}
	if (inner == NULL) {
		reference_value(out, row, indent, "");
		return;
	}
	buffer_printf(out, "%*s%s:\n", indent, "", row->name);
	if (row->kind == SCHEMA_ITEMS) {
		reference_heading(out, inner, indent + 2);
		reference_value(out, inner, indent + 2, "- ");
		inner++;
		indent += 2;
	}
	for (; inner->name != NULL; inner++)
		reference_row(out, inner, indent + 2);
}

void
config_print_reference(struct buffer *out)
{
	buffer_append_string(out,
	    "# postern: every option, in the words of `postern print-config --reference`. conf/minimal.yaml is what most people start from.\n"
	    "# Lines that begin with #NAME: show the default, or an example where there is none. Durations are numbers with ms, s, m, h or d;\n"
	    "# sizes are bytes or numbers with K, M, G or T (1K is 1024). `postern check-config` finds what is wrong, all of it at once.\n");
	for (const struct schema_row *row = schema_rows; row->name != NULL; row++)
		reference_row(out, row, 0);
}
