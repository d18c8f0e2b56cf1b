/* The journal process as the master starts it, sandbox and all: records and lines go in, the log file and the trace come out. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "journal/journal.h"
#include "journal/journal_client.h"
#include "journal/search.h"
#include "wire/channel.h"
#include "wire/roles.h"

#include "suite.h"

struct stage {
	struct event_base *base;
	struct channel *control;
	struct shared_memory *shared;
	int shared_descriptor;
	struct journal_client *client;
	char *directory; /* data directory */
	char *trace;
	char *log;
	pid_t process;
	bool ready;
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct stage *stage = context;

	(void)descriptors, (void)count;
	if (type == CONTROL_READY) {
		char *sandbox = frame_get_string(payload);
		ck_assert_ptr_nonnull(strstr(sandbox, "seccomp"));
		memory_free(&sandbox);
		stage->ready = true;
		event_base_loopbreak(stage->base);
	} else if (type == CONTROL_LOG_LINE) {
		frame_get_u8(payload);
		char *line = frame_get_string(payload);
		fprintf(stderr, "told the master: %s\n", line);
		memory_free(&line);
	}
	return true;
}

static void
on_closed(void *context, const char *reason)
{
	struct stage *stage = context;
	(void)reason;
	channel_free(&stage->control);
	event_base_loopbreak(stage->base);
}

static const struct channel_callbacks callbacks = {.on_frame = on_frame, .on_closed = on_closed};

static void
socket_pair(int *pair)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void
run(struct stage *stage, int64_t milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
	event_base_loopexit(stage->base, &time);
	event_base_dispatch(stage->base);
}

static int
configuration(struct stage *stage, const char *more)
{
	int descriptor = memfd_create("configuration", MFD_CLOEXEC);
	dprintf(descriptor, "hostname: mx1.example.org\ndomains: [example.org]\nbackends: [{url: 'maildir:mail'}]\n"
	    "listen: [{address: '127.0.0.1:2525'}]\ndata_directory: %s\n%s\n", stage->directory, more);
	return descriptor;
}

static void
send_peer(struct stage *stage, unsigned slot, int descriptor)
{
	struct buffer payload = {0};
	frame_put_u8(&payload, ROLE_PROXY);
	frame_put_u16(&payload, (uint16_t)slot);
	frame_put_u32(&payload, 1);
	channel_send(stage->control, CONTROL_PEER, &payload, &descriptor, 1);
	buffer_free(&payload);
}

static void
send_log_file(struct stage *stage)
{
	int descriptor = open(stage->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	ck_assert_int_ge(descriptor, 0);
	channel_send(stage->control, CONTROL_LOG_FILE, NULL, &descriptor, 1);
}

/* Forks the journal as descriptor 3 expects it and sends its set-up. */
static void
stage_start(struct stage *stage, const char *more)
{
	int pair[2], proxy[2];
	struct buffer payload = {0};

	socket_pair(pair);
	stage->process = fork();
	ck_assert_int_ge(stage->process, 0);
	if (stage->process == 0) {
		if (dup2(pair[1], CONTROL_DESCRIPTOR) < 0)
			_exit(99);
		closefrom(CONTROL_DESCRIPTOR + 1);
		_exit(journal_process());
	}
	close(pair[1]);
	stage->control = channel_new(stage->base, pair[0], &callbacks, stage);
	frame_put_u8(&payload, ROLE_JOURNAL);
	frame_put_u16(&payload, 0);
	frame_put_u16(&payload, 1);
	frame_put_u32(&payload, 1);
	frame_put_string(&payload, "");
	frame_put_string(&payload, "");
	frame_put_string(&payload, "test.yaml");
	frame_put_u8(&payload, 0);
	int descriptors[] = {configuration(stage, more), dup(stage->shared_descriptor)};
	channel_send(stage->control, CONTROL_SETUP, &payload, descriptors, 2);
	buffer_free(&payload);
	socket_pair(proxy);
	send_log_file(stage);
	send_peer(stage, 2, proxy[1]);
	journal_client_connect(stage->client, proxy[0]);
	channel_send(stage->control, CONTROL_START, NULL, NULL, 0);
	stage->ready = false;
	run(stage, 5000);
	ck_assert(stage->ready);
}

static void
stage_open(struct stage *stage)
{
	memset(stage, 0, sizeof *stage);
	signal(SIGPIPE, SIG_IGN);
	stage->directory = memory_copy_string("/tmp/postern-journal-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(stage->directory));
	stage->trace = memory_format("%s/trace", stage->directory);
	stage->log = memory_format("%s/log", stage->directory);
	stage->base = event_base_new();
	stage->shared = shared_memory_new(&stage->shared_descriptor);
	stage->client = journal_client_new(stage->base, shared_memory_page(stage->shared, 2));
}

/* Waits for the journal; its exit status. */
static int
stage_wait(struct stage *stage)
{
	int status = 0;
	while (stage->control != NULL)
		run(stage, 20000);
	ck_assert_int_eq(waitpid(stage->process, &status, 0), stage->process);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void
stage_close(struct stage *stage)
{
	char *command = memory_format("rm -r '%s'", stage->directory);
	journal_client_free(&stage->client);
	shared_memory_free(&stage->shared);
	event_base_free(stage->base);
	ck_assert_int_eq(system(command), 0);
	memory_free(&command);
	memory_free(&stage->directory);
	memory_free(&stage->trace);
	memory_free(&stage->log);
}

static void
send_record(struct stage *stage, const char *queue_id, enum record_result result)
{
	struct record record = {.result = result};
	record.started_us = record.finished_us = clock_wall_us(clock_system());
	snprintf(record.queue_id, sizeof record.queue_id, "%s", queue_id);
	strcpy(record.session_id, "S1");
	record_set(&record.sender, "a@example.com");
	record_event(&record, clock_system(), RECORD_EVENT_NOTE, "hello");
	journal_client_record(stage->client, &record);
	record_clear(&record);
}

static size_t
found(struct stage *stage, const char *sender)
{
	struct search_results results;
	ck_assert(search_run(stage->trace, &(struct search_query){.sender = sender, .limit = 100000}, &results));
	ck_assert_str_eq(buffer_text(&results.problems), "");
	size_t count = results.count;
	search_results_clear(&results);
	return count;
}

/* Lines of the log, or of a file it was renamed to, that contain `text`. */
static size_t
logged(const char *path, const char *text)
{
	FILE *file = fopen(path, "r");
	char line[4096];
	size_t count = 0;
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof line, file) != NULL)
		count += strstr(line, text) != NULL;
	fclose(file);
	return count;
}

START_TEST(whole_life)
{
	struct stage stage;
	stage_open(&stage);
	stage_start(&stage, "log: {to: 'file:/tmp/not-opened-by-the-journal'}");
	send_record(&stage, "Q1", RECORD_ACCEPTED);
	send_record(&stage, "", RECORD_NONE);
	journal_client_log_line(stage.client, LOG_LEVEL_WARNING, "a proxy says something");
	run(&stage, 400);
	ck_assert_uint_eq(found(&stage, "a@example.com"), 2); /* while it runs */
	ck_assert_uint_eq(logged(stage.log, " qid=Q1 result=accepted "), 1);
	ck_assert_uint_eq(logged(stage.log, "a proxy says something"), 1);
	ck_assert_uint_eq(logged(stage.log, "result=none"), 0);

	/* The log is rotated. */
	char *rotated = memory_format("%s.1", stage.log);
	ck_assert_int_eq(rename(stage.log, rotated), 0);
	send_log_file(&stage);
	run(&stage, 50);
	for (int i = 0; i < 2000; i++)
		send_record(&stage, "Q2", RECORD_TEMPFAILED);

	/* Drain while records are still on their way: all of them count. */
	channel_send(stage.control, CONTROL_DRAIN, NULL, NULL, 0);
	run(&stage, 20);
	journal_client_drain(stage.client, 5000);
	journal_client_free(&stage.client);
	ck_assert_int_eq(stage_wait(&stage), 0);
	ck_assert_uint_eq(found(&stage, "a@example.com"), 2002);
	ck_assert_uint_eq(logged(rotated, " qid=Q1 "), 1);
	ck_assert_uint_eq(logged(stage.log, " qid=Q2 result=tempfailed"), 2000);
	ck_assert_uint_eq(atomic_load(&shared_memory_page(stage.shared, 1)->counters[COUNTER_RECORDS_STORED]), 2002);
	memory_free(&rotated);
	stage_close(&stage);
}
END_TEST

START_TEST(killed_and_replaced)
{
	struct stage stage;
	stage_open(&stage);
	stage_start(&stage, "log: {format: json, to: 'file:/tmp/not-opened-by-the-journal'}");
	send_record(&stage, "Q1", RECORD_ACCEPTED);
	run(&stage, 400);
	kill(stage.process, SIGKILL);
	ck_assert_int_eq(stage_wait(&stage), 1000 + SIGKILL);
	send_record(&stage, "Q2", RECORD_ACCEPTED); /* waits in the proxy */
	ck_assert_uint_eq(found(&stage, "a@example.com"), 1); /* read beside a log that nobody finished */
	stage_start(&stage, "trace: {enabled: false}\nlog: {format: json, to: 'file:/tmp/not-opened-by-the-journal'}");
	send_record(&stage, "Q3", RECORD_ACCEPTED);
	run(&stage, 400);
	ck_assert_uint_eq(found(&stage, "a@example.com"), 3);
	ck_assert_uint_eq(logged(stage.log, "\"qid\":\"Q3\""), 1);

	/* A record of the master's, one that is malformed, and then the master is gone. */
	struct record record = {.result = RECORD_PROCESS_LOST};
	struct buffer payload = {0};
	record_set(&record.sender, "lost@example.com");
	record_encode(&record, true, &payload);
	channel_send(stage.control, CONTROL_RECORD, &payload, NULL, 0);
	buffer_truncate(&payload, payload.length / 2);
	channel_send(stage.control, CONTROL_RECORD, &payload, NULL, 0);
	ck_assert(channel_drain(stage.control, 1000));
	channel_free(&stage.control);
	run(&stage, 300);
	send_record(&stage, "Q4", RECORD_ACCEPTED);
	run(&stage, 100);
	journal_client_free(&stage.client);
	ck_assert_int_eq(stage_wait(&stage), 0);
	ck_assert_uint_eq(found(&stage, "lost@example.com"), 1);
	ck_assert_uint_eq(found(&stage, "a@example.com"), 4);
	record_clear(&record);
	buffer_free(&payload);
	stage_close(&stage);
}
END_TEST

SUITE_MAIN("journal", whole_life, killed_and_replaced)
