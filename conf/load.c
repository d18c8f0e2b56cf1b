/* YAML text to struct config: walks node tree and schema rows side by side, and goes on after errors so that one run shows all.
 * Knows kinds of rows, never single options; those that belong together are judged in check.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "conf/document.h"
#include "conf/loader.h"
#include "conf/value.h"

static void load_value(struct loader *loader, const struct schema_row *row, void *base, const yaml_node_t *node);

void
loader_error(struct loader *loader, const yaml_node_t *node, const char *format, ...)
{
	yaml_mark_t mark = node != NULL ? node->start_mark : (yaml_mark_t){0};
	struct buffer what = {0};
	va_list arguments;
	char *text;

	if (loader->path.length > 0)
		buffer_printf(&what, "%s: ", buffer_text(&loader->path));
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		buffer_append_string(&what, text);
		free(text);
	}
	va_end(arguments);
	document_error(loader->errors, loader->file_name, mark.line, mark.column, span_make(buffer_text(&what), what.length));
	buffer_free(&what);
}

const yaml_node_t *
loader_root(struct loader *loader)
{
	return yaml_document_get_root_node(&loader->document);
}

static const yaml_node_t *
node_get(struct loader *loader, int index)
{
	return yaml_document_get_node(&loader->document, index);
}

static struct span
node_text(const yaml_node_t *node)
{
	return span_make((const char *)node->data.scalar.value, node->data.scalar.length);
}

const yaml_node_t *
loader_key(struct loader *loader, const yaml_node_t *node, const char *key)
{
	if (node == NULL || node->type != YAML_MAPPING_NODE)
		return node;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = node_get(loader, pair->key);

		if (name->type == YAML_SCALAR_NODE && span_is(node_text(name), key))
			return node_get(loader, pair->value);
	}
	return node;
}

const yaml_node_t *
loader_item(struct loader *loader, const yaml_node_t *node, size_t index)
{
	if (node == NULL || node->type != YAML_SEQUENCE_NODE ||
	    index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return node;
	return node_get(loader, node->data.sequence.items.start[index]);
}

static size_t
root_index(const char *name)
{
	const struct schema_row *row = schema_find(schema_rows, span_of(name));

	ASSERT(row != NULL);
	return (size_t)(row - schema_rows);
}

bool
loader_was_given(const struct loader *loader, const char *name)
{
	return loader->root_lines[root_index(name)] != 0;
}

bool
loader_is_sound(const struct loader *loader, const char *name)
{
	return !loader->root_failed[root_index(name)];
}

/* "key:" with nothing behind it, or with everything behind it commented out. */
static bool
node_is_empty(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	return node->data.scalar.length == 0 || span_is(node_text(node), "~") || span_is_nocase(node_text(node), "null");
}

/* True when the text can be a C string that is safe to show, to log and to hand to the system. */
static bool
scalar_is_clean(struct loader *loader, const yaml_node_t *node)
{
	struct span text = node_text(node);

	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '\0')
			loader_error(loader, node, "a NUL byte in the value");
		else if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
			loader_error(loader, node, "a control character (0x%02x) in the value", (unsigned)text.at[i]);
		else
			continue;
		return false;
	}
	return true;
}

static void
load_scalar(struct loader *loader, const struct schema_row *row, void *field, const yaml_node_t *node)
{
	struct buffer problem = {0};

	if (node->type != YAML_SCALAR_NODE) {
		loader_error(loader, node, "must be a single value, not a %s", node->type == YAML_SEQUENCE_NODE ? "list" : "mapping");
		return;
	}
	if (node_is_empty(node)) {
		loader_error(loader, node, "has no value");
		return;
	}
	if (!scalar_is_clean(loader, node))
		return;
	if (!row->type->parse(row, (const char *)node->data.scalar.value, field, &problem))
		loader_error(loader, node, "%s", buffer_text(&problem));
	buffer_free(&problem);
}

/* The number of elements of a list, or false when it is none or has too few or too many. */
static bool
list_count(struct loader *loader, const struct schema_row *row, const yaml_node_t *node, size_t *count)
{
	*count = 0;
	if (node->type == YAML_SEQUENCE_NODE) {
		*count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	} else if (!node_is_empty(node)) {
		loader_error(loader, node, "must be a list, like [one, two]");
		return false;
	}
	if ((int64_t)*count >= row->minimum && (int64_t)*count <= row->maximum)
		return true;
	if (*count == 0)
		loader_error(loader, node, "must not be empty");
	else
		loader_error(loader, node, "has %zu entries, at most %lld are possible", *count, (long long)row->maximum);
	return false;
}

static void
load_list(struct loader *loader, const struct schema_row *row, void *base, const yaml_node_t *node)
{
	size_t path_length = loader->path.length;
	size_t count;
	char *items;

	if (!list_count(loader, row, node, &count) || count == 0)
		return;
	items = memory_new_array(count, row->type->size);
	schema_list_set(row, base, items, count);
	for (size_t i = 0; i < count; i++) {
		buffer_printf(&loader->path, "[%zu]", i);
		load_scalar(loader, row, items + i * row->type->size, loader_item(loader, node, i));
		buffer_truncate(&loader->path, path_length);
	}
}

static void
report_unknown(struct loader *loader, const struct schema_row *rows, const yaml_node_t *key)
{
	struct buffer quoted = {0};
	struct span name = node_text(key);
	/* Not for errors that are only counted: a file of nothing but wrong names would take long. */
	const char *suggestion = loader->errors->count < DOCUMENT_ERRORS_SHOWN_MAX ? schema_suggest(rows, name) : NULL;
	const char *section = schema_section_of(name);

	value_quote(&quoted, (const char *)key->data.scalar.value);
	if (section != NULL && section[0] == '\0')
		loader_error(loader, key, "%s is not known here, it belongs at the top level", buffer_text(&quoted));
	else if (section != NULL)
		loader_error(loader, key, "%s is not known here, it belongs under \"%s\"", buffer_text(&quoted), section);
	else if (suggestion != NULL)
		loader_error(loader, key, "%s is not known here, did you mean \"%s\"?", buffer_text(&quoted), suggestion);
	else
		loader_error(loader, key, "%s is not known here", buffer_text(&quoted));
	buffer_free(&quoted);
}

/* Notes where an option was given. False, with an error, when it was given before, perhaps by its other spelling. */
static bool
note_given(struct loader *loader, const struct schema_row *row, const yaml_node_t *key, size_t *line)
{
	if (row->alias_of != NULL)
		line = &loader->root_lines[root_index(row->alias_of)];
	if (*line != 0) {
		loader_error(loader, key, "%s is given a second time, first on line %zu", row->name, *line);
		return false;
	}
	*line = key->start_mark.line + 1;
	return true;
}

/* Reads the pairs of a mapping; lines[] says per row where it was given. */
static void
load_pairs(struct loader *loader, const struct schema_row *rows, void *base, const yaml_node_t *mapping, size_t *lines)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = node_get(loader, pair->key);
		size_t path_length = loader->path.length;
		const struct schema_row *row;
		unsigned errors_before;

		if (key->type != YAML_SCALAR_NODE) {
			loader_error(loader, key, "the name of an option must be a word");
			continue;
		}
		row = schema_find(rows, node_text(key));
		if (row == NULL) {
			report_unknown(loader, rows, key);
			continue;
		}
		if (!note_given(loader, row, key, &lines[row - rows]))
			continue;
		buffer_printf(&loader->path, "%s%s", path_length > 0 ? "." : "", row->name);
		errors_before = loader->errors->count;
		load_value(loader, row, base, node_get(loader, pair->value));
		if (rows == schema_rows && loader->errors->count > errors_before)
			loader->root_failed[row - rows] = true;
		buffer_truncate(&loader->path, path_length);
	}
}

static void
load_default(struct loader *loader, const struct schema_row *row, void *base)
{
	struct buffer problem = {0};
	bool ok = true;

	if (row->kind == SCHEMA_SECTION) {
		for (const struct schema_row *inner = row->rows; inner->name != NULL; inner++)
			load_default(loader, inner, base);
	} else if (row->default_text == NULL) {
		return;
	} else if (row->kind == SCHEMA_ITEMS) {
		void *item = memory_new_array(1, row->item_size);

		schema_list_set(row, base, item, 1);
		ok = row->rows->type->parse(row->rows, row->default_text, (char *)item + row->rows->offset, &problem);
		for (const struct schema_row *inner = row->rows + 1; inner->name != NULL; inner++)
			load_default(loader, inner, item);
	} else {
		ASSERT(row->kind == SCHEMA_SCALAR);
		ok = row->type->parse(row, row->default_text, (char *)base + row->offset, &problem);
	}
	ASSERT(ok); /* a default that its own type refuses */
	buffer_free(&problem);
}

static void
load_missing(struct loader *loader, const struct schema_row *rows, void *base, const yaml_node_t *node, const size_t *lines)
{
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		if (lines[row - rows] != 0)
			continue;
		if (row->required) {
			loader_error(loader, node, "%s is missing", row->name);
			if (rows == schema_rows)
				loader->root_failed[row - rows] = true;
		}
		load_default(loader, row, base);
	}
}

/* A mapping for a table of rows; node is a mapping, or empty. False when it is neither. */
static bool
load_mapping(struct loader *loader, const struct schema_row *rows, void *base, const yaml_node_t *node, size_t *lines)
{
	ASSERT(schema_count(rows) <= LOADER_ROWS_MAX);
	if (node->type == YAML_MAPPING_NODE) {
		load_pairs(loader, rows, base, node, lines);
	} else if (!node_is_empty(node)) {
		loader_error(loader, node, "must be a mapping: lines of name: value");
		return false;
	}
	load_missing(loader, rows, base, node, lines);
	return true;
}

static void
load_item(struct loader *loader, const struct schema_row *row, void *item, const yaml_node_t *node)
{
	size_t lines[LOADER_ROWS_MAX] = {0};

	if (node->type == YAML_SCALAR_NODE && !node_is_empty(node)) {
		load_scalar(loader, row->rows, (char *)item + row->rows->offset, node);
		lines[0] = node->start_mark.line + 1;
		load_missing(loader, row->rows, item, node, lines);
	} else {
		load_mapping(loader, row->rows, item, node, lines);
	}
}

static void
load_items(struct loader *loader, const struct schema_row *row, void *base, const yaml_node_t *node)
{
	size_t path_length = loader->path.length;
	size_t count;
	char *items;

	if (!list_count(loader, row, node, &count))
		return;
	items = memory_new_array(count, row->item_size);
	schema_list_set(row, base, items, count);
	for (size_t i = 0; i < count; i++) {
		buffer_printf(&loader->path, "[%zu]", i);
		load_item(loader, row, items + i * row->item_size, loader_item(loader, node, i));
		buffer_truncate(&loader->path, path_length);
	}
}

/* The name and the settings (NULL: a bare name) of {name: settings}. False, with an error, when it is neither. */
static bool
filter_split(struct loader *loader, const yaml_node_t *node, const yaml_node_t **name, const yaml_node_t **settings)
{
	*name = node;
	*settings = NULL;
	if (node->type == YAML_MAPPING_NODE && node->data.mapping.pairs.top - node->data.mapping.pairs.start == 1) {
		*name = node_get(loader, node->data.mapping.pairs.start->key);
		*settings = node_get(loader, node->data.mapping.pairs.start->value);
	}
	if ((*name)->type == YAML_SCALAR_NODE)
		return true;
	loader_error(loader, *name, "an entry names one filter: {name: settings}");
	return false;
}

static void
load_filter(struct loader *loader, struct config_filter *filter, const yaml_node_t *node)
{
	static const yaml_node_t nothing = {.type = YAML_SCALAR_NODE, .data.scalar.style = YAML_PLAIN_SCALAR_STYLE};
	size_t lines[LOADER_ROWS_MAX] = {0};
	size_t path_length = loader->path.length;
	const struct schema_filter *kind;
	const yaml_node_t *name, *settings;

	if (!filter_split(loader, node, &name, &settings))
		return;
	kind = schema_filter_find(node_text(name));
	if (kind == NULL) {
		struct buffer quoted = {0};

		value_quote(&quoted, (const char *)name->data.scalar.value);
		loader_error(loader, name, "filter %s is not known", buffer_text(&quoted));
		buffer_free(&quoted);
		return;
	}
	filter->name = kind->name;
	filter->place = kind->place;
	buffer_printf(&loader->path, ".%s", kind->name);
	load_mapping(loader, kind->rows, filter, settings != NULL ? settings : &nothing, lines);
	buffer_truncate(&loader->path, path_length);
}

static void
load_filters(struct loader *loader, const struct schema_row *row, void *base, const yaml_node_t *node)
{
	size_t path_length = loader->path.length;
	size_t count;
	struct config_filter *filters;

	if (!list_count(loader, row, node, &count) || count == 0)
		return;
	filters = memory_new_array(count, sizeof *filters);
	schema_list_set(row, base, filters, count);
	for (size_t i = 0; i < count; i++) {
		buffer_printf(&loader->path, "[%zu]", i);
		load_filter(loader, &filters[i], loader_item(loader, node, i));
		buffer_truncate(&loader->path, path_length);
	}
}

static void
load_value(struct loader *loader, const struct schema_row *row, void *base, const yaml_node_t *node)
{
	size_t lines[LOADER_ROWS_MAX] = {0};

	switch (row->kind) {
	case SCHEMA_SCALAR:
		load_scalar(loader, row, (char *)base + row->offset, node);
		break;
	case SCHEMA_LIST:
		load_list(loader, row, base, node);
		break;
	case SCHEMA_SECTION:
		load_mapping(loader, row->rows, base, node, lines);
		break;
	case SCHEMA_ITEMS:
		load_items(loader, row, base, node);
		break;
	case SCHEMA_FILTERS:
		load_filters(loader, row, base, node);
		break;
	}
}

struct config *
config_load_text(const char *file_name, struct span text, struct config_errors *errors)
{
	unsigned errors_before = errors->count;
	struct loader loader = {.file_name = file_name, .errors = errors};
	static const yaml_node_t nothing = {.type = YAML_SCALAR_NODE, .data.scalar.style = YAML_PLAIN_SCALAR_STYLE};
	const yaml_node_t *root;

	if (!document_parse(&loader.document, file_name, text, errors))
		return NULL;
	loader.config = memory_new(sizeof *loader.config);
	loader.config->file_name = memory_copy_string(file_name);
	root = loader_root(&loader);
	if (load_mapping(&loader, schema_rows, loader.config, root != NULL ? root : &nothing, loader.root_lines))
		config_check(&loader);
	yaml_document_delete(&loader.document);
	buffer_free(&loader.path);
	if (errors->count > errors_before)
		config_free(&loader.config);
	return loader.config;
}

/* False with errno set; a file larger than allowed is cut one byte later, for the parser to refuse. */
static bool
file_read(const char *file_name, struct buffer *contents)
{
	int descriptor = open(file_name, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (descriptor < 0)
		return false;
	while (got != 0 && contents->length <= DOCUMENT_BYTES_MAX) {
		got = read(descriptor, buffer_reserve(contents, 65536), 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		buffer_added(contents, (size_t)got);
	}
	int error = errno;
	close(descriptor);
	errno = error;
	return got >= 0;
}

struct config *
config_load_file(const char *file_name, char **text, struct config_errors *errors)
{
	struct buffer contents = {0};
	struct config *config;

	if (text != NULL)
		*text = NULL;
	if (!file_read(file_name, &contents)) {
		errors->count++;
		buffer_printf(&errors->text, "%s: cannot be read: %s\n", file_name, strerror(errno));
		buffer_free(&contents);
		return NULL;
	}
	config = config_load_text(file_name, span_make(contents.data, contents.length), errors);
	if (text != NULL)
		*text = buffer_take_string(&contents);
	buffer_free(&contents);
	return config;
}
