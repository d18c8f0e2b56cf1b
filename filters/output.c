/* What every filter uses: the names of the stages, questions to the answers known so far. Never asks anybody. */
#include "base/assert.h"
#include "base/memory.h"
#include "filters/filter.h"

const char *
filter_stage_text(enum filter_stage stage)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		FILTER_STAGES(X)
#undef X
	};

	ASSERT((unsigned)stage < STAGE_COUNT);
	return texts[stage];
}

void
filter_output_clear(struct filter_output *output)
{
	verdict_clear(&output->verdict);
	memory_free(&output->reason);
	edit_list_clear(&output->edits);
	facts_clear(&output->facts);
	dns_table_clear(&output->questions);
}

const struct dns_answer *
filter_lookup(const struct filter_job *job, struct filter_output *output, const char *name, uint16_t type)
{
	const struct dns_answer *answer = dns_table_find(job->answers, name, type);

	/* The table of questions knows an answer when it can take no more of them. */
	if (answer == NULL)
		answer = dns_table_find(&output->questions, name, type);
	if (answer == NULL)
		dns_table_ask(&output->questions, name, type);
	return answer;
}
