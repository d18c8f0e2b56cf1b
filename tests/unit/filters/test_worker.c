/* A worker's whole life: forked as the master would start it, with one filter of this file in place of filters/registry.c. What the
 * filter does the sender of the message says. */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#include "base/memory.h"
#include "base/sandbox.h"
#include "filters/job.h"
#include "filters/worker.h"
#include "wire/channel.h"
#include "wire/roles.h"
#include "wire/shared_memory.h"

#define WORKER_SLOT 3
#define FIRST_PROXY_SLOT 5
#define PROXIES 2
#define GENERATION 7

/* ---- the filter ---- */

static void
misbehave(const char *how)
{
	char *arguments[] = {(char *)"true", NULL};

	if (strcmp(how, "socket") == 0)
		socket(AF_INET, SOCK_STREAM, 0);
	else if (strcmp(how, "open") == 0)
		syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDWR);
	else if (strcmp(how, "execve") == 0)
		execve("/bin/true", arguments, NULL);
	else if (strcmp(how, "ptrace") == 0)
		syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
	else if (strcmp(how, "executable") == 0)
		mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else if (strcmp(how, "abort") == 0)
		abort();
	else if (strcmp(how, "hang") == 0)
		for (volatile bool forever = true; forever;)
			;
	else if (strcmp(how, "hog") == 0)
		for (size_t size = 1 << 20;; size = 8 << 20)
			memset(memory_new(size), 1, size);
}

static void
test_ask(void *state, const struct filter_job *job, struct filter_output *output)
{
	(void)state;
	if (strcmp(job->envelope->sender, "ask") == 0)
		filter_lookup(job, output, "example.com", DNS_TYPE_TXT);
}

static enum filter_outcome
test_run(void *state, const struct filter_job *job, struct filter_output *output)
{
	struct span text = message_store_map(job->message);

	(void)state;
	misbehave(job->envelope->sender);
	if (strcmp(job->envelope->sender, "reject") == 0)
		output->verdict.kind = VERDICT_REJECT;
	output->reason = memory_format("%s: %zu headers, %.*s", job->queue_id, job->headers->count, (int)(text.length - job->headers->body_offset),
	    text.at + job->headers->body_offset);
	edit_list_add_header(&output->edits, "spf", "X-Test", "seen");
	facts_set_text(&output->facts, "spf", "", "seen");
	return FILTER_DONE;
}

const struct filter *
filter_find(const char *name)
{
	static const struct filter filter = {.name = "spf", .stages = 1u << STAGE_MESSAGE, .ask = test_ask, .run = test_run};

	return strcmp(name, "spf") == 0 ? &filter : NULL;
}

/* ---- the master and the proxies ---- */

struct stage {
	struct event_base *base;
	struct shared_memory *shared;
	int shared_descriptor;
	pid_t process;
	struct channel *control;
	bool ready, draining;
	struct proxy {
		struct stage *stage;
		struct channel *channel;
		bool waiting; /* for a result */
		uint64_t id;
		struct run_result result;
		const char *closed;
	} proxies[PROXIES];
};

static bool
on_control(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct stage *stage = context;

	(void)descriptors, (void)count;
	if (type == CONTROL_READY) {
		char *sandbox = frame_get_string(payload);

		ck_assert_ptr_nonnull(strstr(sandbox, "seccomp"));
		memory_free(&sandbox);
		stage->ready = true;
	} else if (type == CONTROL_DRAINING) {
		stage->draining = true;
	} else {
		ck_assert_int_eq(type, CONTROL_LOG_LINE);
		frame_get_u8(payload);
		char *line = frame_get_string(payload);
		memory_free(&line);
	}
	event_base_loopbreak(stage->base);
	return frame_reader_finish(payload);
}

static void
on_control_closed(void *context, const char *reason)
{
	struct stage *stage = context;

	(void)reason;
	channel_free(&stage->control);
	event_base_loopbreak(stage->base);
}

static bool
on_result(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct proxy *proxy = context;

	(void)descriptors;
	ck_assert(type == WORKER_RESULT && count == 0);
	run_result_clear(&proxy->result);
	ck_assert(worker_result_decode(payload, &proxy->id, &proxy->result));
	proxy->waiting = false;
	event_base_loopbreak(proxy->stage->base);
	return true;
}

static void
on_worker_closed(void *context, const char *reason)
{
	struct proxy *proxy = context;

	proxy->closed = reason;
	channel_free(&proxy->channel);
	event_base_loopbreak(proxy->stage->base);
}

static const struct channel_callbacks control_callbacks = {on_control, on_control_closed}, proxy_callbacks = {on_result, on_worker_closed};

/* One turn of the loop: until something happened, or long enough. */
static void
turn(struct stage *stage, int64_t milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(stage->base, &time);
	event_base_dispatch(stage->base);
}

static void
socket_pair(int *pair)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void
send_setup(struct stage *stage, const char *more)
{
	struct buffer payload = {0};
	int configuration = memfd_create("configuration", MFD_CLOEXEC);
	int descriptors[] = {configuration, dup(stage->shared_descriptor)};

	dprintf(configuration, "hostname: mx1.example.org\ndomains: [example.org]\nbackends: ['maildir:mail']\nfilters: [spf]\n%s\n", more);
	frame_put_u8(&payload, ROLE_AUTH);
	frame_put_u16(&payload, 0);
	frame_put_u16(&payload, WORKER_SLOT);
	frame_put_u32(&payload, GENERATION);
	frame_put_string(&payload, "");
	frame_put_string(&payload, "");
	frame_put_string(&payload, "test.yaml");
	frame_put_u8(&payload, 0);
	channel_send(stage->control, CONTROL_SETUP, &payload, descriptors, 2);
	buffer_free(&payload);
}

static void
send_peer(struct stage *stage, unsigned number)
{
	struct proxy *proxy = &stage->proxies[number];
	struct buffer payload = {0};
	int pair[2];

	socket_pair(pair);
	frame_put_u8(&payload, ROLE_PROXY);
	frame_put_u16(&payload, (uint16_t)(FIRST_PROXY_SLOT + number));
	frame_put_u32(&payload, GENERATION);
	channel_send(stage->control, CONTROL_PEER, &payload, &pair[1], 1);
	buffer_free(&payload);
	*proxy = (struct proxy){.stage = stage};
	proxy->channel = channel_new(stage->base, pair[0], &proxy_callbacks, proxy);
}

static void
stage_open(struct stage *stage, const char *more)
{
	int pair[2];

	memset(stage, 0, sizeof *stage);
	signal(SIGPIPE, SIG_IGN);
	stage->base = event_base_new();
	stage->shared = shared_memory_new(&stage->shared_descriptor);
	socket_pair(pair);
	stage->process = fork();
	ck_assert_int_ge(stage->process, 0);
	if (stage->process == 0) {
		if (dup2(pair[1], CONTROL_DESCRIPTOR) < 0)
			_exit(99);
		closefrom(CONTROL_DESCRIPTOR + 1);
		_exit(auth_worker_process());
	}
	close(pair[1]);
	stage->control = channel_new(stage->base, pair[0], &control_callbacks, stage);
	send_setup(stage, more);
	send_peer(stage, 0);
	channel_send(stage->control, CONTROL_START, NULL, NULL, 0);
	send_peer(stage, 1); /* a proxy that comes later */
	turn(stage, 10000);
	ck_assert(stage->ready);
}

/* Waits for the worker's end. */
static int
stage_wait(struct stage *stage)
{
	int status = 0;

	while (stage->control != NULL || stage->proxies[0].channel != NULL || stage->proxies[1].channel != NULL)
		turn(stage, 20000);
	ck_assert_int_eq(waitpid(stage->process, &status, 0), stage->process);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void
stage_close(struct stage *stage)
{
	for (unsigned i = 0; i < PROXIES; i++) {
		channel_free(&stage->proxies[i].channel);
		run_result_clear(&stage->proxies[i].result);
	}
	channel_free(&stage->control);
	shared_memory_free(&stage->shared);
	close(stage->shared_descriptor);
	event_base_free(stage->base);
}

static int
sealed_message(const char *text)
{
	int descriptor = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
	return descriptor;
}

struct job_options {
	uint64_t id;
	const char *sender;
	bool ask;
	const struct dns_table *answers;
	uint32_t generation;
	uint32_t end;
	bool no_message;
};

static void
send_job_with(struct stage *stage, unsigned number, struct job_options options)
{
	struct proxy *proxy = &stage->proxies[number];
	struct envelope envelope = {.sender = memory_copy_string(options.sender), .sender_domain = memory_copy_string("")};
	struct worker_job job = {.id = options.id, .ask = options.ask, .first = 0, .end = options.end,
	    .job = {.stage = STAGE_MESSAGE, .queue_id = "Q1", .hostname = "mx1.example.org", .envelope = &envelope, .generation = options.generation,
	        .answers = options.answers}};
	struct buffer payload = {0};
	int message = sealed_message("Subject: x\r\nTo: y\r\n\r\nbody");

	ck_assert(worker_job_encode(&job, &payload));
	run_result_clear(&proxy->result);
	proxy->waiting = true;
	ck_assert(channel_send(proxy->channel, WORKER_JOB, &payload, &message, options.no_message ? 0 : 1));
	if (options.no_message)
		close(message);
	buffer_free(&payload);
	envelope_clear(&envelope);
}

static void
send_job(struct stage *stage, unsigned number, uint64_t id, const char *sender)
{
	send_job_with(stage, number, (struct job_options){.id = id, .sender = sender, .generation = GENERATION, .end = 1});
}

static void
await_result(struct stage *stage, unsigned number)
{
	for (int i = 0; stage->proxies[number].waiting && stage->proxies[number].closed == NULL && i < 100; i++)
		turn(stage, 10000);
	ck_assert(!stage->proxies[number].waiting);
}

static struct shared_page *
worker_page(struct stage *stage)
{
	return shared_memory_page(stage->shared, WORKER_SLOT);
}

/* ---- tests ---- */

START_TEST(jobs_of_two_proxies)
{
	struct stage stage;

	stage_open(&stage, "");
	for (uint64_t i = 1; i <= 50; i++) {
		unsigned number = i % 2;
		const struct run_result *result = &stage.proxies[number].result;

		send_job(&stage, number, i, i % 5 == 0 ? "reject" : "a@example.com");
		await_result(&stage, number);
		ck_assert_uint_eq(stage.proxies[number].id, i);
		ck_assert(result->count == 1 && result->next == 1);
		ck_assert_int_eq(result->filters[0].outcome, FILTER_DONE);
		ck_assert_int_eq(result->filters[0].verdict.kind, i % 5 == 0 ? VERDICT_REJECT : VERDICT_ACCEPT);
		ck_assert_str_eq(result->filters[0].reason, "Q1: 2 headers, body");
		ck_assert_str_eq(result->edits.edits[0].name, "X-Test");
		ck_assert_str_eq(facts_text(&result->facts, "spf", ""), "seen");
		ck_assert_uint_eq(atomic_load(&worker_page(&stage)->running_job), 0);
	}
	ck_assert_uint_eq(atomic_load(&worker_page(&stage)->role), ROLE_AUTH);
	kill(stage.process, SIGKILL);
	ck_assert_int_eq(stage_wait(&stage), 1000 + SIGKILL);
	stage_close(&stage);
}
END_TEST

START_TEST(questions_and_answers)
{
	struct stage stage;
	struct dns_table answers = {0};
	struct dns_answer answer;

	stage_open(&stage, "");
	send_job_with(&stage, 0, (struct job_options){.id = 1, .sender = "ask", .ask = true, .generation = GENERATION, .end = 1});
	await_result(&stage, 0);
	ck_assert_int_eq(stage.proxies[0].result.filters[0].outcome, FILTER_PENDING);
	ck_assert_uint_eq(stage.proxies[0].result.questions.open, 1);
	dns_answer_init(&answer, DNS_STATUS_TIMEOUT, "example.com", DNS_TYPE_TXT);
	ck_assert(dns_table_add(&answers, &answer));
	send_job_with(&stage, 0, (struct job_options){.id = 2, .sender = "ask", .ask = true, .generation = GENERATION, .end = 1, .answers = &answers});
	await_result(&stage, 0);
	ck_assert_int_eq(stage.proxies[0].result.filters[0].outcome, FILTER_DONE);
	dns_answer_clear(&answer);
	dns_table_clear(&answers);
	kill(stage.process, SIGKILL);
	stage_wait(&stage);
	stage_close(&stage);
}
END_TEST

/* The process ends, and its page names the job to blame; the job behind it was not begun. */
static void
expect_end(const char *how, int status)
{
	struct stage stage;

	stage_open(&stage, "auth_worker_memory: 64M");
	send_job(&stage, 0, 1, "a@example.com");
	await_result(&stage, 0);
	send_job(&stage, 1, 0x100000002, how);
	send_job(&stage, 1, 3, "a@example.com");
	int ended = stage_wait(&stage);
	ck_assert_msg(ended == status, "%s: ended with %d", how, ended);
	ck_assert_msg(atomic_load(&worker_page(&stage)->running_job) == 0x100000002, "%s: wrong job", how);
	ck_assert_uint_eq(atomic_load(&worker_page(&stage)->running_proxy_slot), FIRST_PROXY_SLOT + 1);
	ck_assert(stage.proxies[1].waiting);
	stage_close(&stage);
}

START_TEST(forbidden_calls_end_it)
{
	expect_end("socket", SANDBOX_VIOLATION_STATUS);
	expect_end("open", SANDBOX_VIOLATION_STATUS);
	expect_end("execve", SANDBOX_VIOLATION_STATUS);
	expect_end("ptrace", SANDBOX_VIOLATION_STATUS);
	expect_end("executable", SANDBOX_VIOLATION_STATUS);
}
END_TEST

START_TEST(crashes)
{
	expect_end("abort", 1000 + SIGABRT);
#if !defined(__SANITIZE_ADDRESS__)
	expect_end("hog", 1);
#endif
}
END_TEST

START_TEST(killed_while_it_hangs)
{
	struct stage stage;

	stage_open(&stage, "");
	send_job(&stage, 0, 9, "hang");
	while (atomic_load(&worker_page(&stage)->running_job) != 9)
		turn(&stage, 5);
	kill(stage.process, SIGKILL);
	ck_assert_int_eq(stage_wait(&stage), 1000 + SIGKILL);
	ck_assert_uint_eq(atomic_load(&worker_page(&stage)->running_job), 9);
	ck_assert_uint_eq(atomic_load(&worker_page(&stage)->running_proxy_slot), FIRST_PROXY_SLOT);
	stage_close(&stage);
}
END_TEST

START_TEST(leaves_after_its_share)
{
	struct stage stage;

	stage_open(&stage, "auth_worker_recycle: 3");
	for (uint64_t i = 1; i <= 3; i++) {
		send_job(&stage, 0, i, "a@example.com");
		await_result(&stage, 0);
	}
	ck_assert_int_eq(stage_wait(&stage), 0);
	stage_close(&stage);
	/* Never idle: at twice its share it leaves all the same, with the last result sent. */
	stage_open(&stage, "auth_worker_recycle: 3");
	for (uint64_t i = 1; i <= 6; i++)
		send_job(&stage, 0, i, "a@example.com");
	ck_assert_int_eq(stage_wait(&stage), 0);
	ck_assert_uint_eq(stage.proxies[0].id, 6);
	stage_close(&stage);
}
END_TEST

START_TEST(drains)
{
	struct stage stage;

	stage_open(&stage, "");
	channel_send(stage.control, CONTROL_DRAIN, NULL, NULL, 0);
	while (!stage.draining)
		turn(&stage, 10000);
	/* Sessions that go on still need it. */
	channel_free(&stage.proxies[0].channel);
	send_job(&stage, 1, 1, "a@example.com");
	await_result(&stage, 1);
	channel_free(&stage.proxies[1].channel);
	ck_assert_int_eq(stage_wait(&stage), 0);
	stage_close(&stage);
}
END_TEST

START_TEST(master_gone)
{
	struct stage stage;

	stage_open(&stage, "");
	channel_free(&stage.control);
	send_job(&stage, 0, 1, "a@example.com");
	await_result(&stage, 0);
	channel_free(&stage.proxies[0].channel);
	channel_free(&stage.proxies[1].channel);
	ck_assert_int_eq(stage_wait(&stage), 0);
	stage_close(&stage);
}
END_TEST

/* Jobs that make no sense cost their proxy its channel, and nobody else anything. */
START_TEST(jobs_that_make_no_sense)
{
	static const struct job_options cases[] = {
		{.id = 1, .sender = "a", .generation = GENERATION + 1, .end = 1},
		{.id = 1, .sender = "a", .generation = GENERATION, .end = 2},
		{.id = 1, .sender = "a", .generation = GENERATION, .end = 1, .no_message = true},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct stage stage;

		stage_open(&stage, "");
		send_job_with(&stage, 0, cases[i]);
		while (stage.proxies[0].closed == NULL)
			turn(&stage, 10000);
		ck_assert(stage.proxies[0].waiting);
		send_job(&stage, 1, 2, "a@example.com");
		await_result(&stage, 1);
		ck_assert_uint_eq(atomic_load(&worker_page(&stage)->running_job), 0);
		kill(stage.process, SIGKILL);
		stage_wait(&stage);
		stage_close(&stage);
	}
}
END_TEST

SUITE_MAIN("worker", jobs_of_two_proxies, questions_and_answers, forbidden_calls_end_it, crashes, killed_while_it_hangs, leaves_after_its_share,
    drains, master_gone, jobs_that_make_no_sense)
