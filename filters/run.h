/* Runs the adjacent filters of a job in order: the one engine of the worker process, of check-message, of tests and fuzz targets.
 * Reads no clock but to measure what a filter cost. */
#ifndef POSTERN_FILTERS_RUN_H
#define POSTERN_FILTERS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "conf/config.h"
#include "filters/filter.h"

/* The opened filters of a configuration. */
struct filter_set;

/* Opens the filters of config->filters whose place is the auth workers; NULL: *problem says which cannot be opened and why. The
 * configuration must outlive the set. */
struct filter_set *filter_set_open(const struct config *config, struct buffer *problem);
void filter_set_close(struct filter_set **set);
/* True when filters[first] .. filters[end - 1] are a run of ours: at least one, each of them opened. */
bool filter_set_covers(const struct filter_set *set, uint32_t first, uint32_t end);

/* What one filter said in this run. */
struct filter_result {
	uint32_t index; /* in config->filters */
	char *name;
	enum filter_outcome outcome;
	struct verdict verdict; /* of a failed one: what its on_error says. Its reason is below */
	char *reason; /* one line, or NULL; of a failed one: what went wrong */
	uint64_t wall_us, cpu_us; /* spent on it in this run */
};

struct run_result {
	/* In order. The last one may be pending; after an ask pass with new questions all are. */
	struct filter_result *filters;
	size_t count;
	uint32_t next; /* the filter to go on with: filters[next]; the job's `end` when there is nothing left to do */
	struct edit_list edits; /* of those that finished; checked */
	struct facts facts; /* of those that finished */
	struct dns_table questions; /* of the pending ones */
};

/* Runs filters[first] .. filters[end - 1] at the job's stage, as far as it gets: to the end, to the first verdict that ends the chain, or to the
 * first pending one. `ask`: before that all of them may name what envelope and headers show; if one question of those is new, nothing
 * is run. A filter that asks nothing new though pending, or whose edits are refused, has failed. `result` must be zeroed or cleared. */
void filter_run(struct filter_set *set, const struct clock *clock, const struct filter_job *job, bool ask, uint32_t first, uint32_t end,
    struct run_result *result);
void run_result_clear(struct run_result *result);
/* What a result that came from a worker must be like, whoever wrote it there: true when it can be the answer to a run of filters[first] ..
 * filters[end - 1]: indexes ascend and are of that run, names are those of the configuration, what is pending comes last and has questions,
 * edits and facts are those of filters that finished. */
bool run_result_is_sound(const struct run_result *result, const struct config *config, uint32_t first, uint32_t end);

/* What a lost or failed filter means for the message. `reason` is copied into the verdict. */
void filter_on_error(const struct config_filter *settings, const char *reason, struct verdict *verdict);

#endif
