/* Real processes as workers for the tests of chain/: each does with a job what the job's HELO tells it. */
#ifndef POSTERN_TESTS_CHAIN_WORKERS_H
#define POSTERN_TESTS_CHAIN_WORKERS_H

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "wire/channel.h"
#include "wire/shared_memory.h"
#include "filters/job.h"

#define PROXY_SLOT 1
#define FIRST_SLOT 2 /* of the workers */
#define GENERATION 7

struct helper {
	pid_t id;
	unsigned slot;
};

/* ---- inside the worker ---- */

struct helper_side {
	struct channel *channel;
	struct shared_page *page;
	unsigned slot;
};

/* Edits and facts of the deeds that have some. */
static void
helper_fill_findings(const char *deed, struct run_result *result)
{
	if (strcmp(deed, "edit") == 0) {
		edit_list_add_header(&result->edits, "spf", "X-Test", " yes");
		edit_list_set_verbatim(&result->edits);
		struct fact_record record = {0};
		fact_record_set(&record, "result", "pass");
		facts_set_record(&result->facts, "spf", "", &record);
	}
	if (strcmp(deed, "forged") == 0)
		edit_list_add_header(&result->edits, "spf", "X-Test", "yes\r\nBcc: all");
	if (strcmp(deed, "recipient") == 0)
		edit_list_add_recipient(&result->edits, "spf", "all@example.org", NULL);
	if (strcmp(deed, "reject") == 0) {
		result->filters[0].verdict.kind = VERDICT_REJECT;
		reply_set(&result->filters[0].verdict.reply, 550, "5.7.1", "no");
	}
}

static void
helper_fill_pending(const char *question, struct run_result *result)
{
	result->filters[0].outcome = FILTER_PENDING;
	result->next = 0;
	dns_table_ask(&result->questions, question, DNS_TYPE_TXT);
}

static void
helper_fill_result(const char *deed, const struct filter_job *job, struct run_result *result)
{
	char name[64];

	result->filters = memory_new(sizeof *result->filters);
	result->count = 1;
	result->next = 1;
	result->filters[0].name = memory_copy_string(strcmp(deed, "unsound") == 0 ? "dkim" : "spf");
	result->filters[0].outcome = FILTER_DONE;
	result->filters[0].reason = memory_format("by %d, %zu answers", (int)getpid(), job->answers->count);
	result->filters[0].wall_us = 11;
	snprintf(name, sizeof name, "q%zu.example", job->answers->count);
	if (strcmp(deed, "endless") == 0)
		helper_fill_pending(name, result);
	else if (strcmp(deed, "stale") == 0 || (strcmp(deed, "ahead") == 0 && job->stage == STAGE_MAIL && job->answers->count == 0))
		helper_fill_pending("same.example", result);
	else
		helper_fill_findings(deed, result);
}

static void
helper_answer(struct helper_side *side, const struct worker_job *job, const char *deed)
{
	struct run_result result = {0};
	struct buffer payload = {0};

	helper_fill_result(deed, &job->job, &result);
	ck_assert(worker_result_encode(strcmp(deed, "unknown") == 0 ? job->id + 1000 : job->id, &result, &payload));
	if (strcmp(deed, "garbage") == 0)
		buffer_truncate(&payload, payload.length - 1);
	channel_send(side->channel, WORKER_RESULT, &payload, NULL, 0);
	channel_flush(side->channel);
	buffer_free(&payload);
	run_result_clear(&result);
}

static bool
helper_on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct helper_side *side = context;
	struct worker_job job;

	(void)type, (void)descriptors, (void)count;
	if (!worker_job_decode(payload, &job))
		_exit(3);
	const char *deed = job.job.client.helo;
	if (job.job.stage == STAGE_MAIL && strncmp(deed, "ahead", 5) != 0)
		deed = "ok"; /* ahead of the message they behave */
	if (strcmp(deed, "mute") == 0)
		raise(SIGSTOP);
	shared_job_announce(side->page, PROXY_SLOT, job.id);
	if (strcmp(deed, "crash") == 0 || (strcmp(deed, "crash-first") == 0 && side->slot == FIRST_SLOT))
		raise(SIGKILL);
	if (strcmp(deed, "leave") == 0) {
		shared_job_clear(side->page);
		_exit(0);
	}
	if (strcmp(deed, "hang") == 0)
		raise(SIGSTOP);
	if (strcmp(deed, "slow") == 0)
		usleep(100000);
	shared_job_clear(side->page);
	helper_answer(side, &job, deed);
	worker_job_clear(&job);
	return true;
}

static void
helper_on_closed(void *context, const char *reason)
{
	(void)context, (void)reason;
	_exit(0);
}

static void
helper_live(struct shared_memory *shared, unsigned slot, int descriptor)
{
	static const struct channel_callbacks callbacks = {helper_on_frame, helper_on_closed};
	struct event_base *base = event_base_new();
	struct helper_side side = {.page = shared_memory_page(shared, slot), .slot = slot};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	side.channel = channel_new(base, descriptor, &callbacks, &side);
	event_base_dispatch(base);
	_exit(0);
}

/* ---- outside ---- */

/* Returns our end. */
static int
helper_start(struct helper *helper, struct shared_memory *shared, unsigned slot)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	shared_page_claim(shared_memory_page(shared, slot));
	helper->slot = slot;
	helper->id = fork();
	if (helper->id == 0) {
		close(ends[0]);
		helper_live(shared, slot, ends[1]);
	}
	close(ends[1]);
	return ends[0];
}

static void
helper_kill(struct helper *helper)
{
	if (helper->id <= 0)
		return;
	kill(helper->id, SIGKILL);
	waitpid(helper->id, NULL, 0);
	helper->id = 0;
}

#endif
