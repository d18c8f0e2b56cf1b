/* The rows that describe every option: the loader, print-config and the reference are walks over them.
 * A new option is one row in schema.c and one member of struct config; nothing else says it again. */
#ifndef POSTERN_CONF_SCHEMA_H
#define POSTERN_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "conf/config.h"

struct schema_row;

/* How one kind of value is read from a YAML scalar and written as one. `field` is the member the row points at. */
struct schema_type {
	const char *name; /* as the reference calls it */
	size_t size; /* bytes of the member; elements of a list lie so far apart */
	/* The member is zeroed before. On failure says why in `problem` and leaves nothing to free. */
	bool (*parse)(const struct schema_row *row, const char *text, void *field, struct buffer *problem);
	/* Appends the text that parse reads (not yet quoted for YAML). False: the option is unset. */
	bool (*print)(const struct schema_row *row, const void *field, struct buffer *out);
	void (*clear)(void *field); /* NULL: nothing to free */
	/* A limit of the range in the type's own notation; NULL: the type has no range. */
	void (*print_limit)(int64_t limit, struct buffer *out);
};

enum schema_kind {
	SCHEMA_SCALAR, /* name: value */
	SCHEMA_LIST, /* name: [value, value] */
	SCHEMA_SECTION, /* name: {rows}; members of the same struct */
	SCHEMA_ITEMS, /* name: [{rows}, {rows}]; an array of structs; a bare value stands for {first row: value} */
	SCHEMA_FILTERS, /* filters: an ordered list of {filter name: settings} */
};

struct schema_row {
	const char *name; /* NULL ends a table */
	enum schema_kind kind;
	const struct schema_type *type; /* SCALAR; of each element of a LIST */
	size_t offset; /* of the member; for LIST and ITEMS of the pointer to the elements */
	size_t count_offset; /* LIST, ITEMS: of the size_t that counts them */
	size_t item_size; /* ITEMS */
	const struct schema_row *rows; /* SECTION, ITEMS */
	int64_t minimum, maximum; /* of the value in its base unit; LIST and ITEMS: of the number of elements */
	const char *zero_word; /* the word that stands for 0 */
	const char *const *words; /* choices, ended by NULL */
	bool required;
	const char *default_text; /* as the file would say it; NULL: unset, or worked out in check.c */
	const char *example; /* shown in the reference where there is no default */
	const char *alias_of; /* a second spelling of that top-level option: never printed, has no default of its own */
	const char *unit; /* a few words: what is counted, in what */
	const char *description;
};

/* The top level. */
extern const struct schema_row schema_rows[];

/* A filter that `filters` may name, and its settings: members of struct config_filter. One table per filter, in schema_filter.c. */
struct schema_filter {
	const char *name; /* NULL ends the list */
	enum config_filter_place place;
	const struct schema_row *rows;
	const char *unit; /* a few words: what it checks */
	const char *description;
};
extern const struct schema_filter schema_filters[];
/* NULL when there is none of that name. */
const struct schema_filter *schema_filter_find(struct span name);

/* The row of that name in a table, or NULL. */
const struct schema_row *schema_find(const struct schema_row *rows, struct span name);
/* The name in the table a misspelt one was probably meant to be, or NULL. */
const char *schema_suggest(const struct schema_row *rows, struct span name);
/* The section that has an option of that name, "" for the top level, or NULL. */
const char *schema_section_of(struct span name);
size_t schema_count(const struct schema_row *rows);

/* Elements of a LIST or ITEMS row in the struct at `base`. */
void *schema_list_get(const struct schema_row *row, const void *base, size_t *count);
void schema_list_set(const struct schema_row *row, void *base, void *items, size_t count);
/* Frees everything a table's rows own in the struct at `base`. */
void schema_clear(const struct schema_row *rows, void *base);

#endif
