/* A run's questions to DNS. Each is asked once; its answer, whatever it is, stays. */
#include "base/assert.h"
#include "base/memory.h"
#include "chain/run_parts.h"

static void
question_remove(struct chain_question *question)
{
	LIST_REMOVE(question, link);
	question->run->question_count--;
	memory_free(&question);
}

static void
on_answer(void *context, const struct dns_answer *answer)
{
	struct chain_question *question = context;
	struct chain_run *run = question->run;

	ASSERT(run->magic == CHAIN_RUN_MAGIC);
	story_answer(run, answer, clock_monotonic_us(run->chain->options.clock) - question->asked_us);
	dns_table_add(&run->answers, answer);
	question_remove(question);
	if (run->question_count == 0)
		run_answered(run);
}

static void
ask(struct chain_run *run, const struct dns_answer *wanted)
{
	struct chain_question *question = memory_new(sizeof *question);

	question->run = run;
	question->asked_us = clock_monotonic_us(run->chain->options.clock);
	LIST_INSERT_HEAD(&run->questions, question, link);
	run->question_count++;
	question->id = resolver_ask(run->chain->options.resolver, wanted->name, wanted->type, on_answer, question);
}

/* A question the table does not take (it is full, or the name is none) is answered by that: dns_table_find says so to the filter. */
size_t
questions_ask(struct chain_run *run, const struct dns_table *wanted)
{
	const struct dns_answer *question;
	size_t asked = 0;

	if (run->question_count == 0)
		run->waiting_since_us = clock_monotonic_us(run->chain->options.clock);
	for (size_t at = 0; (question = dns_table_next_open(wanted, &at)) != NULL;) {
		if (!dns_table_ask(&run->answers, question->name, question->type))
			continue;
		ask(run, question);
		asked++;
	}
	return asked;
}

void
questions_cancel(struct chain_run *run)
{
	struct chain_question *question;

	while ((question = LIST_FIRST(&run->questions)) != NULL) {
		resolver_cancel(run->chain->options.resolver, question->id);
		question_remove(question);
	}
}
