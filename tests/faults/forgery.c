/* Answers of a worker that has been taken over: what leaves it is not what its own checks let pass. Stands between the worker and the encoder
 * of its results. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "filters/job.h"
#include "faults.h"

#define NAME_SIZE 32

static char forgery[NAME_SIZE]; /* "" = none */

bool __real_worker_result_encode(uint64_t id, const struct run_result *result, struct buffer *payload);
bool __wrap_worker_result_encode(uint64_t id, const struct run_result *result, struct buffer *payload);

void
forgery_choose(const char *how)
{
	snprintf(forgery, sizeof forgery, "%.*s", how != NULL ? (int)strcspn(how, "@") : 0, how != NULL ? how : "");
}

static bool
is(const char *how)
{
	return strcmp(forgery, how) == 0;
}

bool
__wrap_worker_result_encode(uint64_t id, const struct run_result *honest, struct buffer *payload)
{
	/* The worker clears what it made after this; what is added here goes with it. */
	struct run_result *result = (struct run_result *)honest;

	if (is("id"))
		id += 1000;
	else if (is("index"))
		result->filters[0].index = 7;
	else if (is("next"))
		result->next = 1000000;
	else if (is("name"))
		memcpy(result->filters[0].name, "other", strlen(result->filters[0].name));
	else if (is("edit"))
		edit_list_add_header(&result->edits, "fault", "X-Fault", "value\r\nX-Forged: yes");
	else if (is("edit-nul"))
		edit_list_replace_body(&result->edits, "fault", span_make("a\0b\r\n", 5));
	else if (is("author"))
		facts_set_text(&result->facts, "spf", "", "pass");
	else if (is("question"))
		dns_table_ask(&result->questions, "more.example", DNS_TYPE_TXT);
	bool good = __real_worker_result_encode(id, result, payload);
	if (is("rest"))
		buffer_append_string(payload, "and something behind it");
	else if (is("short"))
		payload->length -= 3;
	return good;
}
