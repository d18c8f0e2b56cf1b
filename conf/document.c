/* Text to libyaml's node tree. The text is first read event by event: the tree alone does not show anchors, aliases and tags,
 * and building it from hostile text (deep nesting, alias cycles) is what we want to avoid. Knows no option. */
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "conf/document.h"

#define DEPTH_MAX 16
#define EVENTS_MAX 500000

struct reader {
	const char *file_name;
	struct span text;
	struct config_errors *errors;
};

void
document_error(struct config_errors *errors, const char *file_name, size_t line, size_t column, struct span what)
{
	errors->count++;
	if (errors->count > DOCUMENT_ERRORS_SHOWN_MAX)
		return;
	buffer_printf(&errors->text, "%s:%zu:%zu: ", file_name, line + 1, column + 1);
	buffer_append_span(&errors->text, what);
	buffer_append_char(&errors->text, '\n');
	if (errors->count == DOCUMENT_ERRORS_SHOWN_MAX)
		buffer_printf(&errors->text, "%s: too many errors, no more are shown\n", file_name);
}

static void
error_at(const struct reader *reader, yaml_mark_t mark, const char *what)
{
	document_error(reader->errors, reader->file_name, mark.line, mark.column, span_of(what));
}

/* The decoder of libyaml names only an offset. */
static yaml_mark_t
mark_of_offset(struct span text, size_t offset)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < offset && i < text.length; i++) {
		mark.column++;
		if (text.at[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static void
error_of_parser(const struct reader *reader, const yaml_parser_t *parser)
{
	struct buffer what = {0};
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_READER_ERROR)
		mark = mark_of_offset(reader->text, parser->problem_offset);
	buffer_printf(&what, "not valid YAML: %s", parser->problem != NULL ? parser->problem : "unreadable");
	if (parser->context != NULL) {
		buffer_printf(&what, " %s", parser->context);
		if (parser->context_mark.line != mark.line)
			buffer_printf(&what, " that begins on line %zu", parser->context_mark.line + 1);
	}
	document_error(reader->errors, reader->file_name, mark.line, mark.column, span_make(buffer_text(&what), what.length));
	buffer_free(&what);
}

static const char *
anchor_or_tag(const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL)
		return "anchors are not supported";
	return tag != NULL ? "tags are not supported" : NULL;
}

/* Why this event is not for us, or NULL. */
static const char *
event_refusal(const yaml_event_t *event, unsigned *documents, unsigned *depth)
{
	const char *refusal = NULL;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return ++*documents > 1 ? "a second document begins here; there can be only one" : NULL;
	case YAML_ALIAS_EVENT:
		return "aliases are not supported";
	case YAML_SCALAR_EVENT:
		return anchor_or_tag(event->data.scalar.anchor, event->data.scalar.tag);
	case YAML_SEQUENCE_START_EVENT:
		refusal = anchor_or_tag(event->data.sequence_start.anchor, event->data.sequence_start.tag);
		break;
	case YAML_MAPPING_START_EVENT:
		refusal = anchor_or_tag(event->data.mapping_start.anchor, event->data.mapping_start.tag);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		--*depth;
		return NULL;
	default:
		return NULL;
	}
	if (++*depth > DEPTH_MAX && refusal == NULL)
		refusal = "nested too deeply";
	return refusal;
}

static bool
text_scan(const struct reader *reader, yaml_parser_t *parser)
{
	unsigned documents = 0;
	unsigned depth = 0;
	bool end = false;

	for (size_t count = 0; !end; count++) {
		yaml_event_t event;
		const char *refusal;

		if (!yaml_parser_parse(parser, &event)) {
			error_of_parser(reader, parser);
			return false;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		refusal = event_refusal(&event, &documents, &depth);
		if (refusal == NULL && count >= EVENTS_MAX)
			refusal = "too many values";
		if (refusal != NULL)
			error_at(reader, event.start_mark, refusal);
		yaml_event_delete(&event);
		if (refusal != NULL)
			return false;
	}
	return true;
}

static void
parser_start(yaml_parser_t *parser, struct span text)
{
	if (!yaml_parser_initialize(parser))
		fatal("out of memory");
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text.at, text.length);
}

static bool
text_is_sane(const struct reader *reader)
{
	const char *nul;

	if (reader->text.length > DOCUMENT_BYTES_MAX) {
		error_at(reader, (yaml_mark_t){0}, "larger than 4 MiB");
		return false;
	}
	nul = reader->text.length > 0 ? memchr(reader->text.at, '\0', reader->text.length) : NULL;
	if (nul != NULL) {
		error_at(reader, mark_of_offset(reader->text, (size_t)(nul - reader->text.at)), "a NUL byte; the file must be UTF-8 text");
		return false;
	}
	return true;
}

bool
document_parse(yaml_document_t *document, const char *file_name, struct span text, struct config_errors *errors)
{
	const struct reader reader = {file_name, span_make(text.length > 0 ? text.at : "", text.length), errors};
	yaml_parser_t parser;
	bool ok;

	if (!text_is_sane(&reader))
		return false;
	parser_start(&parser, reader.text);
	ok = text_scan(&reader, &parser);
	yaml_parser_delete(&parser);
	if (!ok)
		return false;
	parser_start(&parser, reader.text);
	ok = yaml_parser_load(&parser, document);
	if (!ok)
		error_of_parser(&reader, &parser);
	yaml_parser_delete(&parser);
	return ok;
}
