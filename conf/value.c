/* Numbers, sizes, durations and words of the configuration: text to value and back.
 * Never knows which option it reads: the row says range and words. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/escape.h"
#include "base/memory.h"
#include "conf/value.h"

#define QUOTED_BYTES_MAX 60

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit duration_units[] = {
	{"d", 24 * 3600 * 1000}, {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit size_units[] = {
	{"T", 1ull << 40}, {"G", 1ull << 30}, {"M", 1ull << 20}, {"K", 1ull << 10}, {"", 1}, {NULL, 0},
};

void
value_quote(struct buffer *out, const char *text)
{
	size_t length = strlen(text);
	size_t shown = length;

	if (shown > QUOTED_BYTES_MAX) {
		shown = QUOTED_BYTES_MAX;
		while (shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80)
			shown--; /* not in the middle of a UTF-8 character */
	}
	buffer_append_char(out, '"');
	escape_append(out, span_make(text, shown));
	buffer_append_string(out, shown < length ? "...\"" : "\"");
}

bool
value_parse_number(struct span text, uint64_t *number)
{
	*number = 0;
	if (text.length == 0)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, text.at[i] - '0', number))
			return false;
	}
	return true;
}

static bool
range_check(const struct schema_row *row, uint64_t value, const char *text, struct buffer *problem)
{
	if (value <= INT64_MAX && (int64_t)value >= row->minimum && (int64_t)value <= row->maximum)
		return true;
	value_quote(problem, text);
	buffer_append_string(problem, " is out of range: ");
	row->type->print_limit(row->minimum, problem);
	buffer_append_string(problem, " to ");
	row->type->print_limit(row->maximum, problem);
	return false;
}

/* Splits "25M" and multiplies. A number too large for 64 bits saturates, so that the range check names it. */
static bool
parse_with_unit(const struct unit *units, const char *text, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0)
		return false;
	for (const struct unit *unit = units; unit->suffix != NULL; unit++) {
		if (strcmp(text + digits, unit->suffix) != 0)
			continue;
		if (!value_parse_number(span_make(text, digits), value) || __builtin_mul_overflow(*value, unit->factor, value))
			*value = UINT64_MAX;
		return true;
	}
	return false;
}

static void
print_with_unit(const struct unit *units, uint64_t value, struct buffer *out)
{
	while (value % units->factor != 0)
		units++;
	buffer_printf(out, "%" PRIu64 "%s", value / units->factor, units->suffix);
}

static bool
boolean_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	(void)row;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*(bool *)field = i % 2 == 1;
			return true;
		}
	}
	value_quote(problem, text);
	buffer_append_string(problem, " is neither true nor false");
	return false;
}

static bool
boolean_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	(void)row;
	buffer_append_string(out, *(const bool *)field ? "true" : "false");
	return true;
}

const struct schema_type value_boolean = {
	.name = "true or false", .size = sizeof(bool), .parse = boolean_parse, .print = boolean_print,
};

static bool
count_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	uint64_t value;

	if (row->zero_word != NULL && strcmp(text, row->zero_word) == 0) {
		*(uint32_t *)field = 0;
		return true;
	}
	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0') {
		value_quote(problem, text);
		buffer_append_string(problem, " is not a whole number");
		if (row->zero_word != NULL)
			buffer_printf(problem, " or \"%s\"", row->zero_word);
		return false;
	}
	if (!value_parse_number(span_of(text), &value))
		value = UINT64_MAX;
	if (!range_check(row, value, text, problem))
		return false;
	*(uint32_t *)field = (uint32_t)value;
	return true;
}

static bool
count_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	uint32_t value = *(const uint32_t *)field;

	if (value == 0 && row->zero_word != NULL)
		buffer_append_string(out, row->zero_word);
	else
		buffer_printf(out, "%" PRIu32, value);
	return true;
}

static void
count_print_limit(int64_t limit, struct buffer *out)
{
	buffer_printf(out, "%" PRId64, limit);
}

const struct schema_type value_count = {
	.name = "number", .size = sizeof(uint32_t), .parse = count_parse, .print = count_print, .print_limit = count_print_limit,
};

static bool
size_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	uint64_t value;

	if (!parse_with_unit(size_units, text, &value)) {
		value_quote(problem, text);
		buffer_append_string(problem, " is not a size: bytes, or a number with K, M, G or T");
		return false;
	}
	if (!range_check(row, value, text, problem))
		return false;
	*(uint64_t *)field = value;
	return true;
}

static void
size_print_limit(int64_t limit, struct buffer *out)
{
	if (limit == 0)
		buffer_append_char(out, '0');
	else
		print_with_unit(size_units, (uint64_t)limit, out);
}

static bool
size_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	(void)row;
	size_print_limit((int64_t) * (const uint64_t *)field, out);
	return true;
}

const struct schema_type value_size = {
	.name = "size", .size = sizeof(uint64_t), .parse = size_parse, .print = size_print, .print_limit = size_print_limit,
};

static bool
duration_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	uint64_t value = 0;

	if (strcmp(text, "0") != 0 && !parse_with_unit(duration_units, text, &value)) {
		value_quote(problem, text);
		buffer_append_string(problem, " is not a duration: a number with ms, s, m, h or d");
		return false;
	}
	if (!range_check(row, value, text, problem))
		return false;
	*(int64_t *)field = (int64_t)value;
	return true;
}

static void
duration_print_limit(int64_t limit, struct buffer *out)
{
	if (limit == 0)
		buffer_append_string(out, "0s");
	else
		print_with_unit(duration_units, (uint64_t)limit, out);
}

static bool
duration_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	(void)row;
	duration_print_limit(*(const int64_t *)field, out);
	return true;
}

const struct schema_type value_duration = {
	.name = "duration", .size = sizeof(int64_t), .parse = duration_parse, .print = duration_print,
	.print_limit = duration_print_limit,
};

static int
word_index(const struct schema_row *row, const char *text, struct buffer *problem)
{
	for (int i = 0; row->words[i] != NULL; i++)
		if (strcmp(text, row->words[i]) == 0)
			return i;
	value_quote(problem, text);
	buffer_append_string(problem, " is not one of ");
	for (int i = 0; row->words[i] != NULL; i++)
		buffer_printf(problem, "%s%s", i > 0 ? ", " : "", row->words[i]);
	return -1;
}

static bool
choice_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	int index = word_index(row, text, problem);

	if (index < 0)
		return false;
	memcpy(field, &index, sizeof index); /* every enum of ours has the size of an int */
	return true;
}

static bool
choice_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	int index;

	memcpy(&index, field, sizeof index);
	buffer_append_string(out, row->words[index]);
	return true;
}

const struct schema_type value_choice = {
	.name = "one of", .size = sizeof(int), .parse = choice_parse, .print = choice_print,
};

const struct schema_type value_action = {
	.name = "one of", .size = sizeof(int), .parse = choice_parse, .print = choice_print,
};

static bool
word_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	if (word_index(row, text, problem) < 0)
		return false;
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_word = {
	.name = "one of", .size = sizeof(char *), .parse = word_parse, .print = value_text_print, .clear = value_text_clear,
};

void
value_text_clear(void *field)
{
	memory_free((char **)field);
}

bool
value_text_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	const char *text = *(char *const *)field;

	(void)row;
	if (text == NULL)
		return false;
	buffer_append_string(out, text);
	return true;
}
