/* A child's set-up and its orders: the test is the master, a forked process the child with descriptor 3. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "suite.h"
#include "wire/child.h"

struct master {
	struct event_base *base;
	struct channel *channel;
	struct shared_memory *shared;
	int shared_descriptor;
	char *ready;
	char log[200];
	bool closed, kill_wanted;
	pid_t child;
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct master *master = context;
	(void)descriptors;
	(void)count;
	if (type == CONTROL_READY) {
		master->ready = frame_get_string(payload);
	} else if (type == CONTROL_LOG_LINE) {
		unsigned level = frame_get_u8(payload);
		char *line = frame_get_string(payload);
		snprintf(master->log, sizeof master->log, "%u %s", level, line);
		memory_free(&line);
	} else if (type == CONTROL_KILL_WORKER) {
		master->kill_wanted = frame_get_u8(payload) == ROLE_AUTH && frame_get_u16(payload) == 33 && frame_get_u32(payload) == 7;
	}
	return frame_reader_finish(payload);
}

static void
on_closed(void *context, const char *reason)
{
	struct master *master = context;
	(void)reason;
	master->closed = true;
}

static const struct channel_callbacks callbacks = {on_frame, on_closed};

/* Starts `life` in a child with its end of the control channel as descriptor 3; its result is the exit status. */
static void
master_start(struct master *master, int (*life)(void))
{
	int pair[2];
	*master = (struct master){.base = event_base_new()};
	master->shared = shared_memory_new(&master->shared_descriptor);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	fflush(NULL);
	master->child = fork();
	if (master->child == 0) {
		close(pair[0]);
		if (pair[1] != CONTROL_DESCRIPTOR)
			dup2(pair[1], CONTROL_DESCRIPTOR);
		if (pair[1] != CONTROL_DESCRIPTOR)
			close(pair[1]);
		_exit(life());
	}
	close(pair[1]);
	master->channel = channel_new(master->base, pair[0], &callbacks, master);
}

static int
master_end(struct master *master)
{
	int status;
	channel_free(&master->channel);
	ck_assert_int_eq(waitpid(master->child, &status, 0), master->child);
	shared_memory_free(&master->shared);
	close(master->shared_descriptor);
	event_base_free(master->base);
	memory_free(&master->ready);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void
send_setup(struct master *master, unsigned slot)
{
	struct buffer payload = {0};
	int config = memfd_create("config", MFD_CLOEXEC);
	ck_assert_int_eq(write(config, "hostname: x\n", 12), 12);
	int descriptors[2] = {config, dup(master->shared_descriptor)};
	frame_put_u8(&payload, ROLE_PROXY);
	frame_put_u16(&payload, 1);
	frame_put_u16(&payload, (uint16_t)slot);
	frame_put_u32(&payload, 7);
	frame_put_string(&payload, "");
	frame_put_string(&payload, "/var/empty");
	frame_put_string(&payload, "demo.yaml");
	frame_put_u8(&payload, 1);
	channel_send(master->channel, CONTROL_SETUP, &payload, descriptors, 2);
	buffer_free(&payload);
}

static void
send_listener(struct master *master, unsigned index)
{
	struct buffer payload = {0};
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	frame_put_u16(&payload, (uint16_t)index);
	channel_send(master->channel, CONTROL_LISTENER, &payload, &descriptor, 1);
	buffer_free(&payload);
}

static void
send_peer(struct master *master, enum role role, unsigned slot)
{
	struct buffer payload = {0};
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	frame_put_u8(&payload, role);
	frame_put_u16(&payload, (uint16_t)slot);
	frame_put_u32(&payload, 6);
	channel_send(master->channel, CONTROL_PEER, &payload, pair, 1);
	buffer_free(&payload);
}

static void
send_files(struct master *master)
{
	struct buffer payload = {0};
	char *hosts = memory_new(300001);
	memset(hosts, 'h', 300000);
	frame_put_string(&payload, hosts);
	frame_put_string(&payload, "nameserver 127.0.0.1\n");
	channel_send(master->channel, CONTROL_FILES, &payload, NULL, 0);
	memory_free(&hosts);
	buffer_free(&payload);
}

#define EXPECT(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "child: line %d: %s\n", __LINE__, #condition); \
			return 99; \
		} \
	} while (0)

static bool
is_socket(int descriptor)
{
	int type;
	socklen_t length = sizeof type;
	return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && (fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0;
}

static int
check_setup(struct child_setup *setup)
{
	EXPECT(setup->role == ROLE_PROXY && setup->index == 1 && setup->slot == 12 && setup->generation == 7);
	EXPECT(strcmp(setup->user, "") == 0 && strcmp(setup->chroot_directory, "/var/empty") == 0);
	EXPECT(strcmp(setup->config_name, "demo.yaml") == 0 && strcmp(setup->config_text, "hostname: x\n") == 0);
	EXPECT(setup->sandbox_log_only);
	EXPECT(setup->listener_count == 3 && setup->listeners[1] == -1);
	EXPECT(is_socket(setup->listeners[0]) && is_socket(setup->listeners[2]));
	EXPECT(setup->peer_count == 2 && setup->peers[0].role == ROLE_DELIVER && setup->peers[1].role == ROLE_JOURNAL);
	EXPECT(setup->peers[1].slot == 21 && setup->peers[1].generation == 6 && is_socket(setup->peers[1].descriptor));
	EXPECT(strlen(setup->hosts_text) == 300000 && strcmp(setup->resolv_conf_text, "nameserver 127.0.0.1\n") == 0);
	EXPECT(setup->log_file == -1);
	shared_count(shared_memory_page(setup->shared, setup->slot), COUNTER_PROBES, 5);
	return 0;
}

struct life {
	struct event_base *base;
	struct child *child;
	unsigned drains, peers, records, log_files, configurations;
};

static void
on_drain(void *context)
{
	struct life *life = context;
	life->drains++;
	event_base_loopbreak(life->base);
}

static void
on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	struct life *life = context;
	life->peers += role == ROLE_DELIVER && slot == 33 && generation == 6 && is_socket(descriptor);
	close(descriptor);
}

static void
on_log_file(void *context, int descriptor)
{
	struct life *life = context;
	life->log_files++;
	close(descriptor);
}

static void
on_record(void *context, struct frame_reader *record)
{
	struct life *life = context;
	life->records += frame_get_u32(record) == 4711;
	child_log_line(life->child, LOG_LEVEL_INFO, "record seen");
}

static void
on_configuration(void *context, uint32_t generation, const char *text)
{
	struct life *life = context;
	life->configurations += generation == 8 && strcmp(text, "hostname: y\n") == 0;
}

static const struct child_callbacks orders = {
	.on_drain = on_drain, .on_peer = on_peer, .on_log_file = on_log_file, .on_record = on_record, .on_configuration = on_configuration,
};

static int
whole_life(void)
{
	static struct child_setup setup;
	child_receive_setup(&setup);
	int wrong = check_setup(&setup);
	if (wrong != 0)
		return wrong;
	struct life life = {.base = event_base_new()};
	life.child = child_new(life.base, &orders, &life);
	child_ready(life.child, "seccomp,user");
	child_kill_worker(life.child, ROLE_AUTH, 33, 7);
	event_base_dispatch(life.base);
	EXPECT(life.drains == 1 && life.peers == 1 && life.records == 1 && life.log_files == 1 && life.configurations == 1);
	EXPECT(!child_master_gone(life.child));
	child_log_line(life.child, LOG_LEVEL_WARNING, "last words");
	child_free(&life.child);
	return 0;
}

static void
turn(struct master *master)
{
	for (int i = 0; i < 50 && !master->closed; i++) {
		event_base_loop(master->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static void
send_whole_setup(struct master *master)
{
	send_setup(master, 12);
	send_listener(master, 2);
	send_listener(master, 0);
	send_peer(master, ROLE_DELIVER, 20);
	send_files(master);
	send_peer(master, ROLE_JOURNAL, 21);
	channel_send(master->channel, CONTROL_START, NULL, NULL, 0);
}

START_TEST(set_up_and_orders)
{
	struct master master;
	struct buffer record = {0};
	master_start(&master, whole_life);
	send_whole_setup(&master);
	/* orders right behind the set-up are not swallowed by it */
	send_peer(&master, ROLE_DELIVER, 33);
	frame_put_u32(&record, 4711);
	channel_send(master.channel, CONTROL_RECORD, &record, NULL, 0);
	buffer_free(&record);
	int file = memfd_create("log", MFD_CLOEXEC);
	channel_send(master.channel, CONTROL_LOG_FILE, NULL, &file, 1);
	struct buffer configuration = {0};
	file = memfd_create("config", MFD_CLOEXEC);
	ck_assert_int_eq(write(file, "hostname: y\n", 12), 12);
	frame_put_u32(&configuration, 8);
	channel_send(master.channel, CONTROL_CONFIGURATION, &configuration, &file, 1);
	buffer_free(&configuration);
	for (int i = 0; i < 100 && master.log[0] == '\0'; i++)
		turn(&master);
	ck_assert_str_eq(master.ready, "seccomp,user");
	ck_assert(master.kill_wanted);
	ck_assert_str_eq(master.log, "3 record seen");
	struct shared_page *page = shared_memory_page(master.shared, 12);
	ck_assert_uint_eq(page->process_id, (uint32_t)master.child);
	ck_assert_uint_eq(page->generation, 7);
	ck_assert_uint_eq(page->counters[COUNTER_PROBES], 5);
	channel_send(master.channel, CONTROL_DRAIN, NULL, NULL, 0);
	for (int i = 0; i < 100 && !master.closed; i++)
		turn(&master);
	ck_assert_str_eq(master.log, "2 last words");
	ck_assert_int_eq(master_end(&master), 0);
}
END_TEST

static int
orphan_life(void)
{
	static struct child_setup setup;
	child_receive_setup(&setup);
	struct life life = {.base = event_base_new()};
	life.child = child_new(life.base, &orders, &life);
	event_base_dispatch(life.base);
	EXPECT(life.drains == 1);
	EXPECT(child_master_gone(life.child));
	child_ready(life.child, "x"); /* nobody hears it, nothing breaks */
	child_log_line(life.child, LOG_LEVEL_INFO, "x");
	child_kill_worker(life.child, ROLE_AUTH, 1, 1);
	event_base_loop(life.base, EVLOOP_NONBLOCK);
	EXPECT(life.drains == 1);
	child_free(&life.child);
	return 0;
}

START_TEST(master_gone_means_drain)
{
	struct master master;
	master_start(&master, orphan_life);
	send_setup(&master, 1);
	channel_send(master.channel, CONTROL_START, NULL, NULL, 0);
	turn(&master);
	ck_assert_int_eq(master_end(&master), 0);
}
END_TEST

/* An order nobody knows ends the channel: a misread order must not pass silently. */
START_TEST(unknown_order_means_drain)
{
	struct master master;
	master_start(&master, orphan_life);
	send_setup(&master, 1);
	channel_send(master.channel, CONTROL_START, NULL, NULL, 0);
	channel_send(master.channel, 999, NULL, NULL, 0);
	for (int i = 0; i < 100 && !master.closed; i++)
		turn(&master);
	ck_assert(master.closed);
	ck_assert_int_eq(master_end(&master), 0);
}
END_TEST

static int
only_setup(void)
{
	static struct child_setup setup;
	if (freopen("/dev/null", "w", stderr) == NULL)
		return 98;
	child_receive_setup(&setup);
	return 0;
}

/* Each of these must end the child with fatal(), whose status is 1. */
START_TEST(wrong_set_ups_are_fatal)
{
	struct master master;
	for (int kind = 0; kind < 8; kind++) {
		master_start(&master, only_setup);
		struct buffer payload = {0};
		frame_put_u8(&payload, 0);
		if (kind != 0 && kind != 5)
			send_setup(&master, 1);
		switch (kind) {
		case 0: /* START without SETUP */
			break;
		case 1:
			send_setup(&master, 1);
			break;
		case 2:
			send_listener(&master, 32);
			break;
		case 3: /* no descriptor, payload too short */
			channel_send(master.channel, CONTROL_PEER, &payload, NULL, 0);
			break;
		case 4:
			channel_send(master.channel, CONTROL_DRAIN, NULL, NULL, 0);
			break;
		case 5:
			send_setup(&master, SHARED_SLOTS);
			break;
		case 6: /* a rest nobody reads */
			channel_send(master.channel, CONTROL_START, &payload, NULL, 0);
			break;
		case 7:
			send_listener(&master, 3);
			send_listener(&master, 3);
			break;
		}
		buffer_free(&payload);
		channel_send(master.channel, CONTROL_START, NULL, NULL, 0);
		for (int i = 0; i < 100 && !master.closed; i++)
			turn(&master);
		ck_assert_int_eq(master_end(&master), 1);
	}
	master_start(&master, only_setup); /* gone in the middle */
	send_setup(&master, 1);
	turn(&master);
	ck_assert_int_eq(master_end(&master), 1);
}
END_TEST

SUITE_MAIN("child", set_up_and_orders, master_gone_means_drain, unknown_order_means_drain, wrong_set_ups_are_fatal)
