/* The loaded configuration as a value: freeing it and asking it. Never reads a file. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "conf/config.h"
#include "conf/schema.h"

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
