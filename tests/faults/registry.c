/* Brings the filter "fault" into the program: found by its name, and known to the configuration with on_error as its only option. */
#include <string.h>

#include "conf/schema.h"
#include "conf/value.h"
#include "faults.h"

#define ROWS_MAX 64 /* filters */

const struct filter *__real_filter_find(const char *name);
const struct filter *__wrap_filter_find(const char *name);
extern const struct schema_filter __real_schema_filters[];

const struct filter *
__wrap_filter_find(const char *name)
{
	return strcmp(name, fault_filter.name) == 0 ? &fault_filter : __real_filter_find(name);
}

/* In the order of enum config_action. */
static const char *const on_error_words[] = {"accept", "reject", "tempfail", "quarantine", NULL};

static const struct schema_row fault_rows[] = {
	{.name = "on_error", .type = &value_action, .offset = offsetof(struct config_filter, on_error), .words = on_error_words,
	    .default_text = "tempfail", .unit = "when the filter cannot judge a message", .description = "As with every filter."},
	{.name = NULL},
};

/* What the rest of the program sees in place of conf/schema_filter.c's table: that table, and one row more. */
struct schema_filter __wrap_schema_filters[ROWS_MAX];

__attribute__((constructor)) static void
fill_schema_filters(void)
{
	size_t count = 0;

	for (; __real_schema_filters[count].name != NULL && count < ROWS_MAX - 2; count++)
		__wrap_schema_filters[count] = __real_schema_filters[count];
	__wrap_schema_filters[count] = (struct schema_filter){
		.name = fault_filter.name,
		.place = FILTER_PLACE_AUTH,
		.rows = fault_rows,
		.unit = "what could go wrong",
		.description = "Does what the sender's local part says.",
	};
}
