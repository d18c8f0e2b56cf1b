/* The loaded configuration as a value: freeing it and asking it. Never reads a file. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "conf/config.h"
#include "conf/schema.h"
#include "conf/value.h"

void
config_free(struct config **config)
{
	if (*config == NULL)
		return;
	schema_clear(schema_rows, *config);
	memory_free(&(*config)->domains_sorted.items); /* the strings are those of domains */
	memory_free(&(*config)->file_name);
	memory_free(config);
}

static int
compare_to_item(const void *domain, const void *item)
{
	return strcmp(domain, *(char *const *)item);
}

bool
config_domain_is_ours(const struct config *config, const char *domain)
{
	const struct string_list *sorted = &config->domains_sorted;

	return sorted->count > 0 && bsearch(domain, sorted->items, sorted->count, sizeof *sorted->items, compare_to_item) != NULL;
}

bool
network_list_contains(const struct network_list *list, const struct ip_address *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (ip_network_contains(&list->items[i], address))
			return true;
	return false;
}

static struct config_filter *
filter_by_name(struct config *config, struct span name)
{
	for (size_t i = 0; i < config->filter_count; i++)
		if (span_is(name, config->filters[i].name))
			return &config->filters[i];
	return NULL;
}

/* The value goes through a field of its own: what is refused changes nothing. */
static bool
scalar_set(const struct schema_row *row, void *base, const char *text, struct buffer *problem)
{
	void *field = memory_new(row->type->size);
	bool ok = row->type->parse(row, text, field, problem);

	if (ok) {
		if (row->type->clear != NULL)
			row->type->clear((char *)base + row->offset);
		memcpy((char *)base + row->offset, field, row->type->size);
	}
	memory_free(&field);
	return ok;
}

bool
config_filter_option_set(struct config *config, const char *assignment, struct buffer *problem)
{
	const char *dot = strchr(assignment, '.');
	const char *equals = dot != NULL ? strchr(dot, '=') : NULL;
	struct config_filter *filter;
	const struct schema_row *row;

	if (equals == NULL) {
		value_quote(problem, assignment);
		buffer_append_string(problem, " is not FILTER.OPTION=VALUE");
		return false;
	}
	filter = filter_by_name(config, span_make(assignment, (size_t)(dot - assignment)));
	row = filter == NULL ? NULL :
	    schema_find(schema_filter_find(span_of(filter->name))->rows, span_make(dot + 1, (size_t)(equals - dot - 1)));
	if (row == NULL || row->kind != SCHEMA_SCALAR) {
		value_quote(problem, assignment);
		buffer_append_string(problem, filter == NULL ? ": there is no such filter in the configuration" : ": the filter has no such option");
		return false;
	}
	return scalar_set(row, filter, equals + 1, problem);
}
