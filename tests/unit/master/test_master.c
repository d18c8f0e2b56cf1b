/* The real master with children that play their roles: this same program, executed again as `role NAME`, as the master does it.
 * The fake proxy speaks a tiny line protocol, so that a test can see generations, peers and messages under way. */
#include "master/master.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "conf/config.h"
#include "journal/record.h"
#include "master/control_socket.h"
#include "master/privileges.h"
#include "wire/child.h"

#include "suite.h"

#define WITH_WORKERS "filters: [spf]\nauth_workers: 2\n"

/* ---- the children ---- */

struct fake {
	struct child_setup setup;
	struct config *config;
	struct event_base *base;
	struct child *child;
	struct event *listeners[8];
	unsigned sessions;
	bool draining;
	int deliver; /* proxy: peer */
	struct {
		unsigned slot;
		int descriptor;
	} workers[16]; /* proxy: peers */
	unsigned worker_count;
	struct spool_source spool;
	FILE *records; /* journal */
};

struct fake_session {
	struct fake *fake;
	int descriptor;
	struct event *readable;
};

/* What a test told this role to do: the contents of data_directory/fake-ROLE. */
static bool
fake_is_told(const struct fake *fake, const char *what)
{
	char path[512], text[64] = "";
	FILE *file;

	snprintf(path, sizeof path, "%s/fake-%s", fake->config->data_directory, role_name(fake->setup.role));
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fgets(text, sizeof text, file) == NULL)
		text[0] = '\0';
	fclose(file);
	return strcmp(text, what) == 0;
}

static void
fake_leave_when_done(struct fake *fake)
{
	if (fake->draining && fake->sessions == 0)
		event_base_loopbreak(fake->base);
}

/* The workers that are still there, each asked: "SLOT:PID SLOT:PID ". */
static void
fake_list_workers(struct fake *fake, char *answer, size_t size)
{
	size_t length = 0;

	answer[0] = '\0';
	for (unsigned i = 0; i < fake->worker_count; i++) {
		struct pollfd ready = {.fd = fake->workers[i].descriptor, .events = POLLIN};
		char pid[16];
		ssize_t got = -1;

		if (send(ready.fd, "w", 1, MSG_NOSIGNAL) == 1 && poll(&ready, 1, 2000) == 1)
			got = read(ready.fd, pid, sizeof pid - 1);
		if (got <= 0)
			continue;
		pid[got] = '\0';
		length += (size_t)snprintf(answer + length, size - length, "%u:%s ", fake->workers[i].slot, pid);
	}
	snprintf(answer + length, size - length, "\n");
}

static void
fake_read_page(struct fake *fake, unsigned slot, char *answer, size_t size)
{
	struct shared_page *page = shared_memory_page(fake->setup.shared, slot);

	snprintf(answer, size, "job %u of %s\n", (unsigned)page->running_job,
	    page->running_proxy_slot == fake->setup.slot ? "mine" : "another");
}

/* Gives the worker a job that is its end; what its page says then. */
static void
fake_crash_worker(struct fake *fake, unsigned slot, char *answer, size_t size)
{
	snprintf(answer, size, "no such worker\n");
	for (unsigned i = 0; i < fake->worker_count; i++) {
		struct pollfd ready = {.fd = fake->workers[i].descriptor, .events = POLLIN};
		char byte;

		if (fake->workers[i].slot != slot || send(ready.fd, "c", 1, MSG_NOSIGNAL) != 1)
			continue;
		if (poll(&ready, 1, 2000) != 1 || read(ready.fd, &byte, 1) > 0)
			snprintf(answer, size, "lives\n");
		else
			fake_read_page(fake, slot, answer, size);
	}
}

static bool
fake_worker_command(struct fake *fake, const char *line, char *answer, size_t size)
{
	unsigned role, slot, generation;

	if (strcmp(line, "workers\n") == 0) {
		fake_list_workers(fake, answer, size);
	} else if (sscanf(line, "crash %u", &slot) == 1) {
		fake_crash_worker(fake, slot, answer, size);
	} else if (sscanf(line, "page %u", &slot) == 1) {
		fake_read_page(fake, slot, answer, size);
	} else if (sscanf(line, "kill %u %u %u", &role, &slot, &generation) == 3) {
		child_kill_worker(fake->child, role, slot, generation);
		snprintf(answer, size, "ok\n");
	} else if (sscanf(line, "hang %u", &slot) == 1 || sscanf(line, "leave %u", &slot) == 1) {
		for (unsigned i = 0; i < fake->worker_count; i++)
			if (fake->workers[i].slot == slot && send(fake->workers[i].descriptor, line, 1, MSG_NOSIGNAL) == 1)
				snprintf(answer, size, "ok\n");
	} else {
		return false;
	}
	return true;
}

static void
fake_command(struct fake_session *session, const char *line, char *answer, size_t size)
{
	struct fake *fake = session->fake;
	struct shared_page *page = shared_memory_page(fake->setup.shared, fake->setup.slot);
	struct pollfd ready = {.fd = fake->deliver, .events = POLLIN};
	unsigned state;
	char id[32], pid[16] = "none";

	if (sscanf(line, "flight %20s %u", id, &state) == 2) {
		shared_in_flight_set(page, shared_in_flight_enter(page, id), (enum in_flight_state)state);
		shared_count(page, COUNTER_SESSIONS_ACCEPTED, 7);
		snprintf(answer, size, "ok\n");
	} else if (strcmp(line, "deliver\n") == 0) {
		/* A byte to deliver and its process number back: the pair works both ways. */
		if (fake->deliver >= 0 && send(fake->deliver, "x", 1, MSG_NOSIGNAL) == 1 && poll(&ready, 1, 1000) == 1) {
			ssize_t got = read(fake->deliver, pid, sizeof pid - 1);
			pid[got > 0 ? got : 0] = '\0';
		}
		snprintf(answer, size, "%s\n", pid);
	} else if (strcmp(line, "spool\n") == 0) {
		int writer = -1, reader = -1;
		char byte = 0;
		bool taken = fake->spool.take(fake->spool.context, &writer, &reader);
		bool works = taken && write(writer, "x", 1) == 1 && pread(reader, &byte, 1, 0) == 1 && byte == 'x' && write(reader, "y", 1) < 0;
		snprintf(answer, size, "%s\n", works ? "works" : taken ? "broken" : "none");
		close(writer);
		close(reader);
	} else if (strcmp(line, "forbidden\n") == 0) {
		int opened = open("/etc/passwd", O_RDWR);
		snprintf(answer, size, "%d\n", opened);
	} else if (!fake_worker_command(fake, line, answer, size)) {
		snprintf(answer, size, "what?\n");
	}
}

static void
fake_on_readable(evutil_socket_t descriptor, short what, void *context)
{
	struct fake_session *session = context;
	char line[256], answer[256];
	ssize_t got = read(descriptor, line, sizeof line - 1);

	(void)what;
	if (got > 0) {
		line[got] = '\0';
		fake_command(session, line, answer, sizeof answer);
		if (send(descriptor, answer, strlen(answer), MSG_NOSIGNAL) > 0)
			return;
	}
	session->fake->sessions--;
	event_free(session->readable);
	close(descriptor);
	fake_leave_when_done(session->fake);
	free(session);
}

static void
fake_on_acceptable(evutil_socket_t listener, short what, void *context)
{
	struct fake *fake = context;
	int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct fake_session *session;
	char greeting[64];

	(void)what;
	if (descriptor < 0)
		return;
	session = memory_new(sizeof *session);
	session->fake = fake;
	session->descriptor = descriptor;
	session->readable = event_new(fake->base, descriptor, EV_READ | EV_PERSIST, fake_on_readable, session);
	event_add(session->readable, NULL);
	fake->sessions++;
	snprintf(greeting, sizeof greeting, "220 %u %d %u\n", fake->setup.generation, (int)getpid(), fake->setup.index);
	if (send(descriptor, greeting, strlen(greeting), MSG_NOSIGNAL) < 0)
		return;
}

static void
fake_on_drain(void *context)
{
	struct fake *fake = context;

	fake->draining = true;
	for (unsigned i = 0; i < fake->setup.listener_count; i++) {
		close(event_get_fd(fake->listeners[i]));
		event_free(fake->listeners[i]);
	}
	fake->setup.listener_count = 0;
	fake_leave_when_done(fake);
}

static void
fake_deliver_on_byte(evutil_socket_t descriptor, short what, void *context)
{
	char byte, pid[16];

	(void)what;
	(void)context;
	if (read(descriptor, &byte, 1) != 1) {
		event_base_loopbreak(NULL); /* never */
		return;
	}
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	if (write(descriptor, pid, strlen(pid)) < 0)
		return;
}

struct fake_client { /* of a worker */
	struct fake *fake;
	unsigned slot;
	struct event *readable;
};

/* A byte is a job. */
static void
fake_worker_on_byte(evutil_socket_t descriptor, short what, void *context)
{
	struct fake_client *client = context;
	const struct child_setup *setup = &client->fake->setup;
	char byte, pid[16];

	(void)what;
	if (read(descriptor, &byte, 1) != 1) {
		event_del(client->readable);
		close(descriptor);
		return;
	}
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	if (byte == 'l')
		_exit(0);
	if (byte == 'w') {
		if (write(descriptor, pid, strlen(pid)) < 0)
			return;
		return;
	}
	shared_job_announce(shared_memory_page(setup->shared, setup->slot), client->slot, 42);
	if (byte == 'c')
		__builtin_trap();
	for (;;)
		poll(NULL, 0, 1000);
}

static void
fake_worker_on_peer(struct fake *fake, unsigned slot, int descriptor)
{
	struct fake_client *client = memory_new(sizeof *client);

	client->fake = fake;
	client->slot = slot;
	client->readable = event_new(fake->base, descriptor, EV_READ | EV_PERSIST, fake_worker_on_byte, client);
	event_add(client->readable, NULL);
}

static void
fake_on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	struct fake *fake = context;

	if (fake->setup.role == ROLE_AUTH) {
		if (generation != fake->setup.generation || role != ROLE_PROXY)
			abort();
		fake_worker_on_peer(fake, slot, descriptor);
	}
	if (fake->setup.role == ROLE_PROXY && role == ROLE_AUTH) {
		if (generation != fake->setup.generation || fake->worker_count == sizeof fake->workers / sizeof fake->workers[0])
			abort();
		fake->workers[fake->worker_count].slot = slot;
		fake->workers[fake->worker_count++].descriptor = descriptor;
	}
	if (fake->setup.role == ROLE_PROXY && role == ROLE_DELIVER) {
		if (fake->deliver >= 0)
			close(fake->deliver);
		fake->deliver = descriptor;
	} else if (fake->setup.role == ROLE_DELIVER) {
		/* One event per peer; a peer that left makes it readable once and is forgotten. */
		event_base_once(fake->base, descriptor, EV_READ, fake_deliver_on_byte, fake, NULL);
	}
}

static void
fake_on_record(void *context, struct frame_reader *payload)
{
	struct fake *fake = context;
	struct record record;

	if (!record_decode(payload, &record))
		return;
	fprintf(fake->records, "%s|%s|%s\n", record.queue_id, record_result_text(record.result), record.reason);
	fflush(fake->records);
	record_clear(&record);
}

static void
fake_on_configuration(void *context, uint32_t generation, const char *text)
{
	struct fake *fake = context;

	if (fake->records != NULL) {
		fprintf(fake->records, "configuration|%u|%zu\n", generation, strlen(text));
		fflush(fake->records);
	}
}

static void
fake_on_log_file(void *context, int descriptor)
{
	(void)context;
	if (write(descriptor, "journal was here\n", 17) < 0)
		abort();
	close(descriptor);
}

static int
fake_role(void)
{
	static const struct child_callbacks callbacks = {.on_drain = fake_on_drain, .on_peer = fake_on_peer, .on_record = fake_on_record,
	    .on_configuration = fake_on_configuration, .on_log_file = fake_on_log_file};
	struct fake *fake = memory_new(sizeof *fake);
	struct config_errors errors = {0};
	char path[512];

	child_receive_setup(&fake->setup);
	fake->deliver = -1;
	fake->base = event_base_new();
	fake->config = config_load_text(fake->setup.config_name, span_of(fake->setup.config_text), &errors);
	if (fake->config == NULL || fake_is_told(fake, "die"))
		_exit(3);
	if (fake->setup.role == ROLE_JOURNAL) {
		snprintf(path, sizeof path, "%s/records", fake->config->data_directory);
		fake->records = fopen(path, "ae");
	}
	for (unsigned i = 0; i < fake->setup.peer_count; i++)
		fake_on_peer(fake, fake->setup.peers[i].role, fake->setup.peers[i].slot, fake->setup.peers[i].generation,
		    fake->setup.peers[i].descriptor);
	for (unsigned i = 0; i < fake->setup.listener_count; i++) {
		fake->listeners[i] = event_new(fake->base, fake->setup.listeners[i], EV_READ | EV_PERSIST, fake_on_acceptable, fake);
		event_add(fake->listeners[i], NULL);
	}
	if (fake->setup.log_file >= 0)
		fake_on_log_file(fake, fake->setup.log_file);
	struct sandbox_options sandbox = {
	    .profile = fake->setup.role == ROLE_PROXY ? SANDBOX_PROXY : fake->setup.role == ROLE_AUTH ? SANDBOX_AUTH : SANDBOX_JOURNAL,
	    .role = role_name(fake->setup.role), .user = fake->setup.user, .chroot_directory = fake->setup.chroot_directory};
	const char *description = sandbox_enter(&sandbox);
	fake->child = child_new(fake->base, &callbacks, fake);
	if (fake->setup.role == ROLE_PROXY)
		fake->spool = child_spool_source(fake->child);
	child_ready(fake->child, description);
	event_base_dispatch(fake->base);
	child_free(&fake->child);
	_exit(0); /* what a test is about is not whether a fake frees its memory */
}

/* ---- the frame of a test ---- */

struct gateway {
	char directory[64];
	char config_file[128];
	char control[128];
	int port, second_port;
	pid_t master;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
sleep_ms(int ms)
{
	usleep((useconds_t)ms * 1000);
}

static int
free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
	close(descriptor);
	return ntohs(address.sin_port);
}

static void
write_config(struct gateway *gateway, int port, const char *more)
{
	FILE *file = fopen(gateway->config_file, "we");

	fprintf(file,
	    "hostname: mx.test.example\ndomains: [example.org]\nlisten:\n  - address: \"127.0.0.1:%d\"\nbackends:\n  - url: maildir:mail\n"
	    "data_directory: %s\nproxies: 2\nuser: \"\"\ntimeouts: {drain: 2s}\nlimits: {sessions: 500}\n%s",
	    port, gateway->directory, more);
	fclose(file);
}

static void
launch(struct gateway *gateway)
{
	gateway->master = fork();
	if (gateway->master == 0) {
		char errors[128];
		struct master_options options = {.config_file = gateway->config_file};
		int descriptor;

		snprintf(errors, sizeof errors, "%s/stderr", gateway->directory);
		descriptor = open(errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(descriptor, 1);
		dup2(descriptor, 2);
		close(descriptor);
		exit(master_run(&options));
	}
}

/* 0 when nobody answers. */
static int
connect_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
		return descriptor;
	close(descriptor);
	return 0;
}

static void
read_line(int descriptor, char *line, size_t size)
{
	struct pollfd ready = {.fd = descriptor, .events = POLLIN};
	ssize_t got = poll(&ready, 1, 5000) == 1 ? read(descriptor, line, size - 1) : 0;

	line[got > 0 ? got : 0] = '\0';
}

/* Opens a session; which generation, process and index greeted. Waits up to 5 s for one that does. */
static int
open_session(int port, unsigned *generation, int *pid)
{
	int64_t end = now_ms() + 5000;
	unsigned index;

	while (now_ms() < end) {
		int descriptor = connect_port(port);
		char line[128];

		if (descriptor > 0) {
			read_line(descriptor, line, sizeof line);
			if (sscanf(line, "220 %u %d %u", generation, pid, &index) == 3)
				return descriptor;
			close(descriptor);
		}
		sleep_ms(10);
	}
	ck_abort_msg("nobody greets on port %d", port);
	return -1;
}

static void
say(int descriptor, const char *line, char *answer, size_t size)
{
	ck_assert_int_eq(send(descriptor, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
	read_line(descriptor, answer, size);
}

static char *
read_file(const struct gateway *gateway, const char *name)
{
	char path[256];
	struct buffer text = {0};
	FILE *file;
	size_t got = 0;

	snprintf(path, sizeof path, "%s/%s", gateway->directory, name);
	file = fopen(path, "re");
	while (file != NULL && (got = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		buffer_added(&text, got);
	if (file != NULL)
		fclose(file);
	return buffer_take_string(&text);
}

static bool
file_says(const struct gateway *gateway, const char *name, const char *what)
{
	int64_t end = now_ms() + 5000;
	bool found = false;

	while (!found && now_ms() < end) {
		char *text = read_file(gateway, name);

		found = strstr(text, what) != NULL;
		memory_free(&text);
		if (!found)
			sleep_ms(10);
	}
	return found;
}

static void
tell_fake(const struct gateway *gateway, const char *role, const char *what)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/fake-%s", gateway->directory, role);
	if (what == NULL) {
		unlink(path);
		return;
	}
	file = fopen(path, "we");
	fputs(what, file);
	fclose(file);
}

static void
gateway_make(struct gateway *gateway)
{
	strcpy(gateway->directory, "/tmp/master-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(gateway->directory));
	ck_assert_int_eq(chmod(gateway->directory, 0755), 0);
	snprintf(gateway->config_file, sizeof gateway->config_file, "%s/postern.yaml", gateway->directory);
	snprintf(gateway->control, sizeof gateway->control, "%s/control", gateway->directory);
	gateway->port = free_port();
	gateway->second_port = free_port();
	write_config(gateway, gateway->port, "");
}

static void
gateway_start_with(struct gateway *gateway, const char *more)
{
	unsigned generation;
	int pid;

	gateway_make(gateway);
	write_config(gateway, gateway->port, more);
	launch(gateway);
	close(open_session(gateway->port, &generation, &pid));
	ck_assert_uint_eq(generation, 1);
	ck_assert(file_says(gateway, "stderr", "generation 1 serves"));
}

static void
gateway_start(struct gateway *gateway)
{
	gateway_start_with(gateway, "");
}

static int
wait_master(struct gateway *gateway, int64_t within_ms)
{
	int64_t end = now_ms() + within_ms;
	int status;

	while (now_ms() < end) {
		if (waitpid(gateway->master, &status, WNOHANG) == gateway->master)
			return status;
		sleep_ms(10);
	}
	ck_abort_msg("the master did not end");
	return -1;
}

static void
gateway_remove(struct gateway *gateway)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", gateway->directory);
	ck_assert_int_eq(system(command), 0);
}

static void
gateway_stop(struct gateway *gateway)
{
	int status;

	kill(gateway->master, SIGTERM);
	status = wait_master(gateway, 15000);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "master status %x", status);
	gateway_remove(gateway);
}

static bool
ask(struct gateway *gateway, const char *line, struct buffer *answer)
{
	buffer_clear(answer);
	return control_request(gateway->control, line, answer);
}

/* Process number of the first of that role in `status json`; 0 when it is not there or not serving. */
static int
pid_of(struct gateway *gateway, const char *role)
{
	struct buffer answer = {0};
	char wanted[64];
	int pid = 0;
	const char *at;

	ck_assert(ask(gateway, "status json", &answer));
	snprintf(wanted, sizeof wanted, "\"role\": \"%s\"", role);
	at = strstr(buffer_text(&answer), wanted);
	if (at != NULL && strstr(at, "\"state\": \"serving\"") != NULL && strstr(at, "\"state\": \"serving\"") < strchr(at, '}'))
		sscanf(strstr(at, "\"pid\""), "\"pid\": %d", &pid);
	buffer_free(&answer);
	return pid;
}

/* How many processes of that role are in that state. */
static unsigned
count_of(struct gateway *gateway, const char *role, const char *state)
{
	struct buffer answer = {0};
	char wanted[64], in_state[64];
	unsigned count = 0;

	ck_assert(ask(gateway, "status json", &answer));
	snprintf(wanted, sizeof wanted, "\"role\": \"%s\"", role);
	snprintf(in_state, sizeof in_state, "\"state\": \"%s\"", state);
	for (const char *at = buffer_text(&answer); (at = strstr(at, wanted)) != NULL; at++) {
		const char *found = strstr(at, in_state);
		count += found != NULL && found < strchr(at, '}');
	}
	buffer_free(&answer);
	return count;
}

static void
wait_for_workers(struct gateway *gateway, unsigned serving, unsigned spares)
{
	for (int64_t end = now_ms() + 5000; now_ms() < end; sleep_ms(10))
		if (count_of(gateway, "auth", "serving") == serving && count_of(gateway, "auth", "spare") == spares)
			return;
	ck_abort_msg("%u serve, %u are spares", count_of(gateway, "auth", "serving"), count_of(gateway, "auth", "spare"));
}

/* Until the master has reaped it. */
static void
wait_for_death(int pid)
{
	for (int64_t end = now_ms() + 5000; now_ms() < end && kill(pid, 0) == 0;)
		sleep_ms(1);
	ck_assert_int_eq(kill(pid, 0), -1);
}

struct workers {
	unsigned count, slots[16];
	int pids[16];
};

/* As the proxy behind this session sees them. */
static struct workers
workers_of(int session)
{
	struct workers workers = {0};
	char text[256];
	int length;

	say(session, "workers\n", text, sizeof text);
	for (const char *at = text; sscanf(at, "%u:%d %n", &workers.slots[workers.count], &workers.pids[workers.count], &length) == 2; at += length)
		workers.count++;
	return workers;
}

static bool
has_worker(const struct workers *workers, int pid)
{
	for (unsigned i = 0; i < workers->count; i++)
		if (workers->pids[i] == pid)
			return true;
	return false;
}

/* ---- tests ---- */

START_TEST(test_starts_shows_and_stops)
{
	struct gateway gateway;
	struct buffer answer = {0};
	struct stat status;
	int ended, proxy;

	gateway_start(&gateway);
	ck_assert(ask(&gateway, "status json", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "\"generation\": 1"));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "\"role\": \"proxy\", \"index\": 1"));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "\"sandbox\": \"seccomp"));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "\"url\": \"maildir:mail\", \"state\": \"up\""));
	ck_assert(ask(&gateway, "status", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "postern is running"));
	ck_assert(!ask(&gateway, "dance", &answer));
	ck_assert_str_eq(buffer_text(&answer), "unknown command\n");
	ck_assert_int_eq(stat(gateway.control, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0660);
	proxy = pid_of(&gateway, "proxy");
	ck_assert_int_gt(proxy, 0);
	ck_assert(ask(&gateway, "stop", &answer)); /* comes back when all is over */
	ended = wait_master(&gateway, 1000);
	ck_assert(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
	ck_assert_int_eq(kill(proxy, 0), -1);
	ck_assert_int_ne(stat(gateway.control, &status), 0);
	ck_assert_int_eq(connect_port(gateway.port), 0);
	gateway_remove(&gateway);
	buffer_free(&answer);
}
END_TEST

START_TEST(test_dead_proxy_is_replaced_and_its_messages_are_recorded)
{
	struct gateway gateway;
	unsigned generation;
	char answer[256], expected[128];
	int pid, again, session, other;
	struct buffer status = {0};
	int64_t killed_at;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	say(session, "flight 0123456789ABCD 1", answer, sizeof answer);
	say(session, "flight 3123456789ABCD 2", answer, sizeof answer);
	ck_assert_str_eq(answer, "ok\n");
	killed_at = now_ms();
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(file_says(&gateway, "stderr", "2 messages were between end of data and reply"));
	ck_assert(file_says(&gateway, "records", "0123456789ABCD|process-lost|proxy["));
	snprintf(expected, sizeof expected, "(pid %d) ended: signal 9 (Killed)", pid);
	ck_assert(file_says(&gateway, "records", expected));
	ck_assert(file_says(&gateway, "records", "3123456789ABCD|process-lost-window|proxy["));
	/* Both seats are filled again within a second. */
	do {
		ck_assert_int_lt(now_ms() - killed_at, 1000);
		ck_assert(ask(&gateway, "status json", &status));
		sleep_ms(10);
	} while (strstr(buffer_text(&status), "\"restarts\": 1") == NULL || strstr(buffer_text(&status), "\"state\": \"starting\"") != NULL);
	/* What the dead one counted is not lost. */
	ck_assert_ptr_nonnull(strstr(buffer_text(&status), "\"sessions_accepted\": 14"));
	close(session);
	other = open_session(gateway.port, &generation, &again);
	ck_assert_int_ne(again, pid);
	say(other, "deliver\n", answer, sizeof answer);
	ck_assert_int_eq(atoi(answer), pid_of(&gateway, "deliver"));
	close(other);
	gateway_stop(&gateway);
	buffer_free(&status);
}
END_TEST

START_TEST(test_dead_deliver_and_journal_are_replaced)
{
	struct gateway gateway;
	unsigned generation;
	char answer[256];
	int pid, session, deliver, journal, next = 0;
	int64_t end;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	deliver = pid_of(&gateway, "deliver");
	journal = pid_of(&gateway, "journal");
	kill(journal, SIGKILL);
	kill(deliver, SIGKILL);
	for (end = now_ms() + 1000; now_ms() < end && (next == 0 || next == deliver); sleep_ms(10))
		next = pid_of(&gateway, "deliver");
	ck_assert_int_ne(next, deliver);
	ck_assert_int_ne(next, 0);
	/* The session in the surviving proxy talks to the new one. */
	say(session, "deliver\n", answer, sizeof answer);
	ck_assert_int_eq(atoi(answer), next);
	/* Records made while there is no journal reach the next one. */
	for (end = now_ms() + 1000; now_ms() < end && pid_of(&gateway, "journal") == 0;)
		sleep_ms(10);
	journal = pid_of(&gateway, "journal");
	say(session, "flight 0123456789ABCD 3", answer, sizeof answer);
	tell_fake(&gateway, "journal", "die");
	kill(journal, SIGKILL);
	sleep_ms(50);
	kill(pid, SIGKILL);
	sleep_ms(300);
	tell_fake(&gateway, "journal", NULL);
	ck_assert(file_says(&gateway, "records", "0123456789ABCD|process-lost-window|"));
	close(session);
	gateway_stop(&gateway);
}
END_TEST

/* A proxy that may open nothing gets spool files, more than are in stock, and none stays behind by name. */
START_TEST(test_spool_files_are_handed_over)
{
	struct gateway gateway;
	unsigned generation;
	char answer[64], path[128];
	int pid, session, names = 0;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	for (unsigned i = 0; i < 40; i++) {
		int64_t end = now_ms() + 1000;

		do
			say(session, "spool\n", answer, sizeof answer);
		while (strcmp(answer, "none\n") == 0 && now_ms() < end);
		ck_assert_str_eq(answer, "works\n");
	}
	snprintf(path, sizeof path, "%s/spool", gateway.directory);
	sleep_ms(200); /* the last are being made */
	DIR *directory = opendir(path);
	for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
		names += entry->d_name[0] != '.';
	closedir(directory);
	ck_assert_int_eq(names, 0);
	close(session);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(test_sandbox_violation_is_told)
{
	struct gateway gateway;
	unsigned generation;
	char answer[64];
	int pid, session;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	say(session, "forbidden\n", answer, sizeof answer);
	ck_assert_str_eq(answer, "");
	ck_assert(file_says(&gateway, "stderr", "proxy: sandbox: system call 257 refused"));
	ck_assert(file_says(&gateway, "stderr", "ended: sandbox violation"));
	close(session);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(test_reload_keeps_sessions_and_listeners)
{
	struct gateway gateway;
	struct buffer answer = {0};
	unsigned generation;
	char text[64], more[128];
	int pid, session, after;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	snprintf(more, sizeof more, "postmaster: me@example.org\n");
	write_config(&gateway, gateway.port, more);
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	after = open_session(gateway.port, &generation, &pid);
	ck_assert_uint_eq(generation, 2);
	/* The old session is served by the old generation, which is still connected to the one deliver. */
	say(session, "deliver\n", text, sizeof text);
	ck_assert_int_eq(atoi(text), pid_of(&gateway, "deliver"));
	ck_assert(file_says(&gateway, "records", "configuration|2|"));
	close(session);
	ck_assert(file_says(&gateway, "stderr", "generation 1 has drained"));
	/* Another port: bound before, the old one gone after. */
	write_config(&gateway, gateway.second_port, "");
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	close(open_session(gateway.second_port, &generation, &pid));
	ck_assert_uint_eq(generation, 3);
	close(after);
	ck_assert(file_says(&gateway, "stderr", "generation 2 has drained"));
	ck_assert_int_eq(connect_port(gateway.port), 0);
	gateway.port = gateway.second_port;
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

/* Whatever is wrong with the new one, the old one stays, and the reason comes back. */
START_TEST(test_reload_is_abandoned)
{
	struct gateway gateway;
	struct buffer answer = {0};
	unsigned generation;
	int pid, taken;

	gateway_start(&gateway);
	write_config(&gateway, gateway.port, "colour: red\n");
	ck_assert(!ask(&gateway, "reload", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "postern.yaml:12:1: "));
	write_config(&gateway, gateway.port, "control_socket: /tmp/elsewhere\n");
	ck_assert(!ask(&gateway, "reload", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "control_socket cannot change in a reload"));
	/* A port that is taken. */
	taken = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)gateway.second_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(taken, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(taken, 1), 0);
	write_config(&gateway, gateway.second_port, "");
	ck_assert(!ask(&gateway, "reload", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "cannot listen on 127.0.0.1:"));
	close(taken);
	/* Proxies that do not come up. */
	write_config(&gateway, gateway.second_port, "");
	tell_fake(&gateway, "proxy", "die");
	ck_assert(!ask(&gateway, "reload", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "ended: exit status 3"));
	sleep_ms(100); /* the killed proxy's copy */
	ck_assert_int_eq(connect_port(gateway.second_port), 0);
	tell_fake(&gateway, "proxy", NULL);
	close(open_session(gateway.port, &generation, &pid));
	ck_assert_uint_eq(generation, 1);
	/* And then it works again. */
	write_config(&gateway, gateway.port, "");
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

START_TEST(test_new_maildirs_get_a_new_deliver)
{
	struct gateway gateway;
	struct buffer answer = {0};
	unsigned generation;
	char text[64];
	int pid, session, old_deliver, new_deliver;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	old_deliver = pid_of(&gateway, "deliver");
	write_config(&gateway, gateway.port, "");
	FILE *file = fopen(gateway.config_file, "re");
	char whole[2048];
	whole[fread(whole, 1, sizeof whole - 1, file)] = '\0';
	fclose(file);
	memcpy(strstr(whole, "maildir:mail"), "maildir:post", 12);
	file = fopen(gateway.config_file, "we");
	fputs(whole, file);
	fclose(file);
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	/* The draining generation keeps its deliver, the new one has its own. */
	say(session, "deliver\n", text, sizeof text);
	ck_assert_int_eq(atoi(text), old_deliver);
	int fresh = open_session(gateway.port, &generation, &pid);
	say(fresh, "deliver\n", text, sizeof text);
	new_deliver = atoi(text);
	ck_assert_int_ne(new_deliver, old_deliver);
	ck_assert_int_gt(new_deliver, 0);
	close(session);
	ck_assert(file_says(&gateway, "stderr", "generation 1 has drained"));
	for (int64_t end = now_ms() + 3000; now_ms() < end && kill(old_deliver, 0) == 0;)
		sleep_ms(10);
	ck_assert_int_eq(kill(old_deliver, 0), -1);
	close(fresh);
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

/* Reloads asked for while one drains wait, and become one. */
START_TEST(test_reloads_are_coalesced)
{
	struct gateway gateway;
	struct buffer answer = {0};
	unsigned generation;
	int pid, session, status;
	pid_t askers[3];

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	ck_assert(ask(&gateway, "reload", &answer));
	for (size_t i = 0; i < 3; i++) {
		askers[i] = fork();
		if (askers[i] == 0) {
			close(session); /* only the test holds it */
			_exit(ask(&gateway, "reload", &answer) ? 0 : 1);
		}
	}
	sleep_ms(300);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(waitpid(askers[i], &status, WNOHANG), 0);
	close(session);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(waitpid(askers[i], &status, 0), askers[i]);
		ck_assert_int_eq(status, 0);
	}
	close(open_session(gateway.port, &generation, &pid));
	ck_assert_uint_eq(generation, 3);
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

START_TEST(test_many_reloads_under_connections)
{
	struct gateway gateway;
	struct buffer answer = {0};
	unsigned generation, refused = 0, greeted = 0;
	int pid, stop[2], status;
	pid_t client;

	gateway_start(&gateway);
	ck_assert_int_eq(pipe(stop), 0);
	client = fork();
	if (client == 0) {
		struct pollfd told = {.fd = stop[0], .events = POLLIN | POLLHUP};

		close(stop[1]);
		while (poll(&told, 1, 0) == 0) {
			int descriptor = connect_port(gateway.port);
			char line[64] = "";

			if (descriptor > 0)
				read_line(descriptor, line, sizeof line);
			if (strncmp(line, "220 ", 4) == 0)
				greeted++;
			else
				refused++;
			if (descriptor > 0)
				close(descriptor);
		}
		_exit(refused == 0 && greeted > 50 ? 0 : 1);
	}
	close(stop[0]);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	close(stop[1]);
	ck_assert_int_eq(waitpid(client, &status, 0), client);
	ck_assert_int_eq(status, 0);
	close(open_session(gateway.port, &generation, &pid));
	ck_assert_uint_eq(generation, 21);
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

START_TEST(test_stop_waits_and_second_stop_does_not)
{
	struct gateway gateway;
	unsigned generation;
	int pid, session, status;
	int64_t began;

	gateway_start(&gateway);
	session = open_session(gateway.port, &generation, &pid);
	kill(gateway.master, SIGTERM);
	sleep_ms(200);
	ck_assert_int_eq(waitpid(gateway.master, &status, WNOHANG), 0);
	ck_assert_int_eq(connect_port(gateway.port), 0);
	began = now_ms();
	kill(gateway.master, SIGINT);
	status = wait_master(&gateway, 3000);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_lt(now_ms() - began, 3000);
	close(session);
	gateway_remove(&gateway);
}
END_TEST

START_TEST(test_children_leave_a_dead_master)
{
	struct gateway gateway;
	int pids[3];
	static const char *const roles[] = {"proxy", "deliver", "journal"};

	gateway_start(&gateway);
	for (size_t i = 0; i < 3; i++)
		pids[i] = pid_of(&gateway, roles[i]);
	kill(gateway.master, SIGKILL);
	wait_master(&gateway, 1000);
	for (size_t i = 0; i < 3; i++) {
		for (int64_t end = now_ms() + 3000; now_ms() < end && kill(pids[i], 0) == 0;)
			sleep_ms(10);
		ck_assert_msg(kill(pids[i], 0) == -1, "%s is still there", roles[i]);
	}
	/* The socket it left behind is no hindrance. */
	launch(&gateway);
	unsigned generation;
	int pid;
	close(open_session(gateway.port, &generation, &pid));
	gateway_stop(&gateway);
}
END_TEST

START_TEST(test_log_file_is_reopened)
{
	struct gateway gateway;
	char more[160], path[128], moved[128];

	gateway_make(&gateway);
	snprintf(path, sizeof path, "%s/log", gateway.directory);
	snprintf(moved, sizeof moved, "%s/log.1", gateway.directory);
	snprintf(more, sizeof more, "log: {to: \"file:%s\"}\n", path);
	write_config(&gateway, gateway.port, more);
	launch(&gateway);
	ck_assert(file_says(&gateway, "log", "generation 1 serves"));
	ck_assert(file_says(&gateway, "log", "journal was here"));
	ck_assert_int_eq(rename(path, moved), 0);
	kill(gateway.master, SIGUSR1);
	ck_assert(file_says(&gateway, "log", "log file opened again"));
	ck_assert(file_says(&gateway, "log", "journal was here"));
	gateway_stop(&gateway);
}
END_TEST

static void
check_does_not_start(struct gateway *gateway, const char *why)
{
	int status = wait_master(gateway, 5000);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %x", status);
	if (!file_says(gateway, "stderr", why)) {
		char *said = read_file(gateway, "stderr");
		ck_abort_msg("expected: %s\nsaid: %s", why, said);
	}
	ck_assert_int_eq(connect_port(gateway->port), 0);
	gateway_remove(gateway);
}

START_TEST(test_what_prevents_a_start)
{
	struct gateway gateway, other;
	struct rlimit limit;

	gateway_make(&gateway);
	write_config(&gateway, gateway.port, "colour: red\nshape: round\n");
	launch(&gateway);
	check_does_not_start(&gateway, "postern.yaml:13:1: ");

	gateway_make(&gateway);
	tell_fake(&gateway, "proxy", "die");
	launch(&gateway);
	check_does_not_start(&gateway, "cannot start: proxy[");

	gateway_make(&gateway);
	write_config(&gateway, gateway.port, "");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	gateway.master = fork();
	if (gateway.master == 0) {
		const struct rlimit low = {200, 200};
		struct master_options options = {.config_file = gateway.config_file};
		char path[128];

		snprintf(path, sizeof path, "%s/stderr", gateway.directory);
		dup2(open(path, O_WRONLY | O_CREAT, 0600), 2);
		setrlimit(RLIMIT_NOFILE, &low);
		exit(master_run(&options));
	}
	check_does_not_start(&gateway, "the hard limit is 200");

	/* Two on one data directory. */
	gateway_start(&other);
	gateway = other;
	write_config(&gateway, gateway.second_port, "");
	launch(&gateway);
	int status = wait_master(&gateway, 5000);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	ck_assert(file_says(&gateway, "stderr", "another postern is running there"));
	gateway_stop(&other);
}
END_TEST

/* As root with users of its own: the right owners, the right processes. Uses users every Debian has. */
START_TEST(test_missing_users_are_told)
{
	struct gateway gateway;

	if (geteuid() != 0)
		return;
	gateway_make(&gateway);
	FILE *file = fopen(gateway.config_file, "we");
	fprintf(file,
	    "hostname: mx.test.example\ndomains: [example.org]\nlisten:\n  - address: \"127.0.0.1:%d\"\nbackends:\n  - url: maildir:mail\n"
	    "data_directory: %s\nuser: nosuchuser\n",
	    gateway.port, gateway.directory);
	fclose(file);
	launch(&gateway);
	ck_assert(file_says(&gateway, "stderr", "there is no user nosuchuser-journal"));
	char *said = read_file(&gateway, "stderr");
	ck_assert_ptr_null(strstr(said, "nosuchuser-auth")); /* nobody needs it */
	memory_free(&said);
	check_does_not_start(&gateway, "there is no user nosuchuser-deliver (for deliver); make it: adduser --system");

	gateway_make(&gateway);
	write_config(&gateway, gateway.port, WITH_WORKERS);
	file = fopen(gateway.config_file, "re");
	char whole[2048];
	whole[fread(whole, 1, sizeof whole - 1, file)] = '\0';
	fclose(file);
	memcpy(strstr(whole, "user: \"\""), "user: nx", 8);
	file = fopen(gateway.config_file, "we");
	fputs(whole, file);
	fclose(file);
	launch(&gateway);
	check_does_not_start(&gateway, "there is no user nx-auth (for auth); make it: adduser --system");
}
END_TEST

/* Every proxy has every worker from its first session on, and none has the spare. */
START_TEST(test_workers_serve_with_the_generation)
{
	struct gateway gateway;
	unsigned generation;
	int pid, other_pid, session, other;
	struct workers workers, others;
	struct buffer answer = {0};
	struct stat status;
	char path[128];

	gateway_start_with(&gateway, WITH_WORKERS);
	ck_assert_uint_eq(count_of(&gateway, "auth", "serving"), 2);
	ck_assert_uint_eq(count_of(&gateway, "auth", "spare"), 1);
	session = open_session(gateway.port, &generation, &pid);
	do
		other = open_session(gateway.port, &generation, &other_pid);
	while (other_pid == pid);
	workers = workers_of(session);
	others = workers_of(other);
	ck_assert_uint_eq(workers.count, 2);
	ck_assert_uint_eq(others.count, 2);
	for (unsigned i = 0; i < 2; i++)
		ck_assert(has_worker(&others, workers.pids[i]));
	/* So does a proxy that comes later. */
	kill(pid, SIGKILL);
	close(session);
	do
		session = open_session(gateway.port, &generation, &pid);
	while (pid == other_pid);
	ck_assert_uint_eq(workers_of(session).count, 2);
	ck_assert(ask(&gateway, "status", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "auth[2]"));
	snprintf(path, sizeof path, "%s/poison", gateway.directory);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_eq(status.st_mode & 0777, 0700);
	close(session);
	close(other);
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

/* The spare takes over at once, again and again; the proxy can read what the dead one was doing; no message is called lost. */
START_TEST(test_worker_killed_by_a_job_is_replaced_by_the_spare)
{
	struct gateway gateway;
	unsigned generation;
	char line[64], answer[64], *text;
	int pid, session;
	struct workers workers;

	gateway_start_with(&gateway, WITH_WORKERS);
	session = open_session(gateway.port, &generation, &pid);
	for (unsigned i = 0; i < 6; i++) {
		struct workers before = workers_of(session);
		int64_t began = now_ms();

		ck_assert_uint_eq(before.count, 2);
		snprintf(line, sizeof line, "crash %u\n", before.slots[0]);
		say(session, line, answer, sizeof answer);
		ck_assert_str_eq(answer, "job 42 of mine\n");
		do
			workers = workers_of(session);
		while (workers.count < 2 && now_ms() - began < 5000);
		ck_assert_uint_eq(workers.count, 2);
		ck_assert(has_worker(&workers, before.pids[1]) && !has_worker(&workers, before.pids[0]));
		ck_assert_msg(now_ms() - began < 500, "replaced after %lld ms", (long long)(now_ms() - began));
		wait_for_workers(&gateway, 2, 1);
		/* The page still tells, though the master has counted it out and others have been started since. */
		snprintf(line, sizeof line, "page %u\n", before.slots[0]);
		say(session, line, answer, sizeof answer);
		ck_assert_str_eq(answer, "job 42 of mine\n");
	}
	ck_assert(file_says(&gateway, "stderr", "ended: signal 4 (Illegal instruction), running job 42 of proxy["));
	ck_assert(file_says(&gateway, "stderr", "until now the spare, takes the place of auth["));
	text = read_file(&gateway, "records");
	ck_assert_str_eq(text, "");
	memory_free(&text);
	close(session);
	gateway_stop(&gateway);
}
END_TEST

/* More deaths at one instant than there are spares. */
START_TEST(test_all_workers_killed)
{
	struct gateway gateway;
	unsigned generation;
	int pid, session;
	struct workers workers;

	gateway_start_with(&gateway, WITH_WORKERS);
	session = open_session(gateway.port, &generation, &pid);
	workers = workers_of(session);
	for (unsigned i = 0; i < workers.count; i++)
		kill(workers.pids[i], SIGKILL);
	for (unsigned i = 0; i < workers.count; i++)
		wait_for_death(workers.pids[i]);
	wait_for_workers(&gateway, 2, 1);
	ck_assert_uint_eq(workers_of(session).count, 2);
	close(session);
	gateway_stop(&gateway);
}
END_TEST

/* Only a worker, only of the asker's generation. */
START_TEST(test_proxy_asks_for_the_end_of_a_worker)
{
	struct gateway gateway;
	unsigned generation;
	char line[64], answer[64], expected[96];
	int pid, session;
	struct workers workers;

	gateway_start_with(&gateway, WITH_WORKERS);
	session = open_session(gateway.port, &generation, &pid);
	workers = workers_of(session);
	snprintf(line, sizeof line, "hang %u\n", workers.slots[1]);
	say(session, line, answer, sizeof answer);
	ck_assert_str_eq(answer, "ok\n");
	snprintf(line, sizeof line, "kill %d %u %u\n", ROLE_AUTH, workers.slots[1], generation + 1);
	say(session, line, answer, sizeof answer);
	snprintf(line, sizeof line, "kill %d %u %u\n", ROLE_AUTH, 65535u, generation);
	say(session, line, answer, sizeof answer);
	for (unsigned slot = 0; slot < 16; slot++)
		if (slot != workers.slots[0] && slot != workers.slots[1]) {
			snprintf(line, sizeof line, "kill %d %u %u\n", ROLE_AUTH, slot, generation);
			say(session, line, answer, sizeof answer);
		}
	ck_assert(file_says(&gateway, "stderr", "asked for the end of a worker that is not there (slot 65535, generation 1)"));
	sleep_ms(100);
	ck_assert_int_eq(kill(workers.pids[1], 0), 0);
	ck_assert_int_gt(pid_of(&gateway, "deliver"), 0);
	snprintf(line, sizeof line, "kill %d %u %u\n", ROLE_AUTH, workers.slots[1], generation);
	say(session, line, answer, sizeof answer);
	snprintf(expected, sizeof expected, "(pid %d) asked for it", pid);
	ck_assert(file_says(&gateway, "stderr", expected));
	wait_for_workers(&gateway, 2, 1);
	workers = workers_of(session);
	ck_assert_uint_eq(workers.count, 2);
	/* Another role: such a proxy is not trusted any more. */
	snprintf(line, sizeof line, "kill %d %u %u\n", ROLE_DELIVER, 1u, generation);
	say(session, line, answer, sizeof answer);
	snprintf(expected, sizeof expected, "(pid %d) ended", pid);
	close(session);
	ck_assert(file_says(&gateway, "stderr", expected));
	ck_assert_int_gt(pid_of(&gateway, "deliver"), 0);
	gateway_stop(&gateway);
}
END_TEST

START_TEST(test_recycled_worker_is_replaced_without_noise)
{
	struct gateway gateway;
	unsigned generation;
	char line[64], answer[64], *text;
	int pid, session;
	struct buffer status = {0};

	gateway_start_with(&gateway, WITH_WORKERS);
	session = open_session(gateway.port, &generation, &pid);
	char *before = read_file(&gateway, "stderr");
	for (unsigned i = 0; i < 4; i++) {
		struct workers workers = workers_of(session), after;

		ck_assert_uint_eq(workers.count, 2);
		snprintf(line, sizeof line, "leave %u\n", workers.slots[0]);
		say(session, line, answer, sizeof answer);
		ck_assert_str_eq(answer, "ok\n");
		do
			after = workers_of(session);
		while (after.count != 2 || has_worker(&after, workers.pids[0]));
		wait_for_workers(&gateway, 2, 1);
	}
	text = read_file(&gateway, "stderr");
	ck_assert_str_eq(text, before);
	ck_assert(ask(&gateway, "status json", &status));
	ck_assert_ptr_null(strstr(buffer_text(&status), "\"restarts\": 1"));
	memory_free(&text);
	memory_free(&before);
	buffer_free(&status);
	close(session);
	gateway_stop(&gateway);
}
END_TEST

/* Filters come and go by reload; sessions of the old generation keep their workers, replaced when they die. */
START_TEST(test_workers_come_and_go_by_reload)
{
	struct gateway gateway;
	unsigned generation;
	int pid, first, second, third;
	struct buffer answer = {0};
	struct workers workers;

	gateway_start(&gateway);
	ck_assert_int_eq(pid_of(&gateway, "auth"), 0);
	first = open_session(gateway.port, &generation, &pid);
	ck_assert_uint_eq(workers_of(first).count, 0);
	write_config(&gateway, gateway.port, WITH_WORKERS);
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	ck_assert_uint_eq(workers_of(first).count, 0);
	close(first);
	ck_assert(file_says(&gateway, "stderr", "generation 1 has drained"));
	second = open_session(gateway.port, &generation, &pid);
	ck_assert_uint_eq(generation, 2);
	workers = workers_of(second);
	ck_assert_uint_eq(workers.count, 2);
	write_config(&gateway, gateway.port, "");
	ck_assert_msg(ask(&gateway, "reload", &answer), "%s", buffer_text(&answer));
	third = open_session(gateway.port, &generation, &pid);
	ck_assert_uint_eq(generation, 3);
	ck_assert_uint_eq(workers_of(third).count, 0);
	kill(workers.pids[0], SIGKILL);
	wait_for_death(workers.pids[0]);
	wait_for_workers(&gateway, 2, 1);
	ck_assert_uint_eq(workers_of(second).count, 2);
	close(second);
	ck_assert(file_says(&gateway, "stderr", "generation 2 has drained"));
	wait_for_workers(&gateway, 0, 0);
	/* Workers that do not come up: the reload is abandoned. */
	tell_fake(&gateway, "auth", "die");
	write_config(&gateway, gateway.port, WITH_WORKERS);
	ck_assert(!ask(&gateway, "reload", &answer));
	ck_assert_ptr_nonnull(strstr(buffer_text(&answer), "auth["));
	ck_assert_uint_eq(workers_of(third).count, 0);
	wait_for_workers(&gateway, 0, 0);
	close(third);
	gateway_stop(&gateway);
	buffer_free(&answer);
}
END_TEST

/* Workers that die before their handshake wait; a spare that is there fills the gap meanwhile. */
START_TEST(test_back_off_before_the_handshake)
{
	struct gateway gateway;
	unsigned generation;
	int pid, session;
	struct workers workers;

	gateway_start_with(&gateway, WITH_WORKERS);
	session = open_session(gateway.port, &generation, &pid);
	tell_fake(&gateway, "auth", "die");
	workers = workers_of(session);
	kill(workers.pids[0], SIGKILL);
	ck_assert(file_says(&gateway, "stderr", "ended: exit status 3"));
	wait_for_workers(&gateway, 2, 0);
	workers = workers_of(session);
	ck_assert_uint_eq(workers.count, 2);
	kill(workers.pids[0], SIGKILL);
	wait_for_death(workers.pids[0]);
	wait_for_workers(&gateway, 1, 0);
	tell_fake(&gateway, "auth", NULL);
	wait_for_workers(&gateway, 2, 1);
	ck_assert_uint_eq(workers_of(session).count, 2);
	close(session);
	gateway_stop(&gateway);
}
END_TEST

static struct config *
config_with(const char *more)
{
	struct config_errors errors = {0};
	char text[512];

	snprintf(text, sizeof text, "hostname: mx.test.example\ndomains: [example.org]\nbackends:\n  - url: maildir:mail\n%s", more);
	struct config *config = config_load_text("test.yaml", span_of(text), &errors);
	ck_assert_msg(config != NULL, "%s", buffer_text(&errors.text));
	return config;
}

START_TEST(test_workers_are_in_the_budget)
{
	struct config *without = config_with("proxies: 2\nauth_workers: 10\n"), *with = config_with("proxies: 2\nauth_workers: 10\nfilters: [spf]\n");
	struct config *automatic = config_with("filters: [spf]\n"), *many = config_with("proxies: 64\nauth_workers: 64\nfilters: [spf]\n");
	struct buffer error = {0};

	ck_assert_uint_eq(privileges_auth_worker_count(without), 0);
	ck_assert_uint_eq(privileges_auth_worker_count(with), 10);
	ck_assert_uint_ge(privileges_auth_worker_count(automatic), 2);
	ck_assert_uint_ge(privileges_descriptor_budget(with), privileges_descriptor_budget(without) + 10);
	ck_assert(!privileges_check_budget(many, &error));
	ck_assert_str_eq(buffer_text(&error), "test.yaml: proxies: 64 and auth_workers: 64 (and one spare) are too many, at most 76 processes together\n");
	config_free(&without);
	config_free(&with);
	config_free(&automatic);
	config_free(&many);
	buffer_free(&error);
}
END_TEST

#define main run_suite
int run_suite(void);
SUITE_MAIN("master", test_starts_shows_and_stops, test_dead_proxy_is_replaced_and_its_messages_are_recorded,
    test_dead_deliver_and_journal_are_replaced, test_sandbox_violation_is_told, test_spool_files_are_handed_over,
    test_reload_keeps_sessions_and_listeners,
    test_reload_is_abandoned, test_new_maildirs_get_a_new_deliver, test_reloads_are_coalesced, test_many_reloads_under_connections,
    test_stop_waits_and_second_stop_does_not, test_children_leave_a_dead_master, test_log_file_is_reopened, test_what_prevents_a_start,
    test_missing_users_are_told, test_workers_serve_with_the_generation, test_worker_killed_by_a_job_is_replaced_by_the_spare,
    test_all_workers_killed, test_proxy_asks_for_the_end_of_a_worker, test_recycled_worker_is_replaced_without_noise,
    test_workers_come_and_go_by_reload, test_back_off_before_the_handshake, test_workers_are_in_the_budget)
#undef main

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "role") == 0)
		return fake_role();
	return run_suite();
}
