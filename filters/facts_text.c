/* Facts as JSON and as a word each. */
#include <string.h>

#include "base/escape.h"
#include "filters/facts.h"

static void
append_value(const struct fact_field *field, struct buffer *out)
{
	if (field->value == NULL)
		buffer_append_string(out, "null");
	else if (field->is_number)
		buffer_append_string(out, field->value);
	else
		escape_append_json(out, span_of(field->value));
}

static void
append_record(const struct fact_record *record, struct buffer *out)
{
	buffer_append_char(out, '{');
	for (size_t i = 0; i < record->count; i++) {
		buffer_append_string(out, i > 0 ? ", " : "");
		escape_append_json(out, span_of(record->fields[i].key));
		buffer_append_string(out, ": ");
		append_value(&record->fields[i], out);
	}
	buffer_append_char(out, '}');
}

static void
append_list(const struct fact *fact, struct buffer *out)
{
	buffer_append_char(out, '[');
	for (size_t i = 0; i < fact->count; i++) {
		buffer_append_string(out, i > 0 ? ", " : "");
		append_record(&fact->records[i], out);
	}
	buffer_append_char(out, ']');
}

void
facts_append_json(const struct facts *facts, struct buffer *out)
{
	buffer_append_char(out, '{');
	for (size_t i = 0; i < facts->count; i++) {
		const struct fact *fact = &facts->facts[i];

		/* Names have no bytes that would need escaping. */
		buffer_printf(out, "%s\"%s%s%s\": ", i > 0 ? ", " : "", fact->filter, fact->name[0] != '\0' ? "/" : "", fact->name);
		if (fact->kind == FACT_TEXT)
			append_value(&fact->records[0].fields[0], out);
		else if (fact->kind == FACT_RECORD)
			append_record(&fact->records[0], out);
		else
			append_list(fact, out);
	}
	buffer_append_char(out, '}');
}

/* NULL: this fact has no place in a summary. */
static const char *
result_of(const struct fact *fact)
{
	const char *result = NULL;

	if (fact->name[0] != '\0' || fact->kind == FACT_TEXT)
		return NULL;
	for (size_t i = 0; i < fact->count; i++) {
		const char *one = fact_record_get(&fact->records[i], "result");

		if (one != NULL && (result == NULL || strcmp(one, "pass") == 0))
			result = one;
	}
	return fact->kind == FACT_LIST && fact->count == 0 ? "none" : result;
}

void
facts_append_summary(const struct facts *facts, struct buffer *out)
{
	bool first = true;

	for (size_t i = 0; i < facts->count; i++) {
		const char *result = result_of(&facts->facts[i]);

		if (result == NULL)
			continue;
		buffer_printf(out, "%s%s=", first ? "" : " ", facts->facts[i].filter);
		escape_append_token(out, span_of(result));
		first = false;
	}
}
