/* The built-in filters. One row each; nothing else here, so that a test can bring filters of its own in place of this file. */
#include <string.h>

#include "filters/filter.h"
#include "filters/spf/spf_filter.h"

const struct filter *
filter_find(const char *name)
{
	static const struct filter *const filters[] = {
		&spf_filter,
		NULL,
	};

	for (size_t i = 0; filters[i] != NULL; i++)
		if (strcmp(filters[i]->name, name) == 0)
			return filters[i];
	return NULL;
}
