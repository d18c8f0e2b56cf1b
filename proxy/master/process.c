/* A child's control channel from the master's side. Whatever a child sends is one row of `requests` below, and that is all that the
 * privileged process will ever do for it. */
#include "master/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "wire/spool.h"
#include "wire/spool_stock.h"
#include "master/spawn.h"

#define CLOSED_CHANNEL_GRACE_MS 2000 /* a process without its channel should be gone by then */

const char *
process_state_text(enum process_state state)
{
	static const char *const texts[] = {
#define X(name, text, description) [name] = text,
		PROCESS_STATES(X)
#undef X
	};
	return texts[state];
}

void
process_describe(const struct process *process, struct buffer *out)
{
	buffer_printf(out, "%s[%u] (pid %d)", role_name(process->role), process->index, (int)process->id);
}

static void
set_deadline(struct process *process, int64_t timeout_ms)
{
	struct timeval time = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};

	evtimer_add(process->deadline, &time);
}

void
process_kill(struct process *process, const char *why)
{
	if (process->killed_for == NULL)
		process->killed_for = memory_copy_string(why);
	kill(process->id, SIGKILL);
}

static void
on_deadline(evutil_socket_t descriptor, short what, void *context)
{
	struct process *process = context;

	(void)descriptor;
	(void)what;
	if (process->channel == NULL)
		process_kill(process, "it closed its control channel and stayed");
	else if (process->state == PROCESS_STARTING)
		process_kill(process, "it was not ready in time");
	else
		process_kill(process, "it did not finish in time");
}

/* The child's requests */

static void
take_ready(struct process *process, struct frame_reader *payload)
{
	char *sandbox = frame_get_string(payload);

	if (sandbox == NULL || !frame_reader_finish(payload) || process->sandbox != NULL) {
		memory_free(&sandbox);
		payload->failed = true;
		return;
	}
	process->sandbox = sandbox;
	process->ready_us = clock_monotonic_us(process->clock);
	if (process->state != PROCESS_STARTING)
		return; /* was told to drain before it was up */
	evtimer_del(process->deadline);
	process->state = PROCESS_SERVING;
	process->callbacks->on_ready(process->context, process);
}

static void
take_draining(struct process *process, struct frame_reader *payload)
{
	if (!frame_reader_finish(payload) || process->state != PROCESS_DRAINING) {
		payload->failed = true;
		return;
	}
	process->accepts = false;
	process->callbacks->on_draining(process->context, process);
}

static void
take_spool_wanted(struct process *process, struct frame_reader *payload)
{
	if (!frame_reader_finish(payload) || process->role != ROLE_PROXY)
		payload->failed = true;
	else
		process->callbacks->on_spool_wanted(process->context, process);
}

static void
take_kill_worker(struct process *process, struct frame_reader *payload)
{
	uint8_t role = frame_get_u8(payload);
	uint16_t slot = frame_get_u16(payload);
	uint32_t generation = frame_get_u32(payload);

	if (!frame_reader_finish(payload) || process->role != ROLE_PROXY || role != ROLE_AUTH)
		payload->failed = true;
	else
		process->callbacks->on_kill_worker(process->context, process, slot, generation);
}

static void
take_log_line(struct process *process, struct frame_reader *payload)
{
	uint8_t level = frame_get_u8(payload);
	char *line = frame_get_string(payload);

	if (line == NULL || !frame_reader_finish(payload) || level > LOG_LEVEL_DEBUG)
		payload->failed = true;
	else
		process->callbacks->on_log_line(process->context, process, (enum log_level)level, line);
	memory_free(&line);
}

static const struct {
	uint16_t type;
	void (*take)(struct process *process, struct frame_reader *payload);
} requests[] = {
	{CONTROL_READY, take_ready},
	{CONTROL_LOG_LINE, take_log_line},
	{CONTROL_DRAINING, take_draining},
	{CONTROL_SPOOL_WANTED, take_spool_wanted},
	{CONTROL_KILL_WORKER, take_kill_worker},
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	(void)descriptors; /* none is expected; the channel closes what comes */
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
		if (requests[i].type == type && count == 0) {
			requests[i].take(context, payload);
			return !payload->failed;
		}
	return false;
}

static void
on_closed(void *context, const char *reason)
{
	struct process *process = context;

	(void)reason; /* its end, which follows, tells more */
	channel_free(&process->channel);
	set_deadline(process, CLOSED_CHANNEL_GRACE_MS);
}

static const struct channel_callbacks channel_callbacks = {.on_frame = on_frame, .on_closed = on_closed};

/* Sending */

/* Takes the descriptors. */
static bool
send_frame(struct process *process, uint16_t type, const struct buffer *payload, const int *descriptors, size_t count)
{
	static const struct buffer empty;

	if (process->channel == NULL) {
		for (size_t i = 0; i < count; i++)
			close(descriptors[i]);
		return false;
	}
	if (channel_send(process->channel, type, payload != NULL ? payload : &empty, descriptors, count))
		return true;
	process_kill(process, "it does not read its control channel");
	return false;
}

static int
copy_descriptor(int descriptor)
{
	int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		fatal("cannot copy a descriptor: %s", strerror(errno));
	return copy;
}

/* A memory file per receiver: a descriptor shared by several would share its read position too. */
static int
text_descriptor(const char *text)
{
	size_t length = strlen(text), done = 0;
	int descriptor = memfd_create("configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (descriptor < 0)
		fatal("cannot make a memory file: %s", strerror(errno));
	while (done < length) {
		ssize_t wrote = pwrite(descriptor, text + done, length - done, (off_t)done);

		if (wrote <= 0)
			fatal("cannot write a memory file: %s", strerror(errno));
		done += (size_t)wrote;
	}
	fcntl(descriptor, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return descriptor;
}

static void
send_setup(struct process *process, const struct process_launch *launch)
{
	struct buffer payload = {0};
	int descriptors[2] = {text_descriptor(launch->config_text), copy_descriptor(launch->shared_descriptor)};

	frame_put_u8(&payload, launch->role);
	frame_put_u16(&payload, (uint16_t)launch->index);
	frame_put_u16(&payload, (uint16_t)launch->slot);
	frame_put_u32(&payload, launch->generation);
	frame_put_string(&payload, launch->user);
	frame_put_string(&payload, launch->chroot_directory);
	frame_put_string(&payload, launch->config_name);
	frame_put_u8(&payload, launch->sandbox_log_only);
	send_frame(process, CONTROL_SETUP, &payload, descriptors, 2);
	buffer_free(&payload);
}

void
process_send_listener(struct process *process, unsigned index, int descriptor)
{
	struct buffer payload = {0};
	int copy = copy_descriptor(descriptor);

	frame_put_u16(&payload, (uint16_t)index);
	send_frame(process, CONTROL_LISTENER, &payload, &copy, 1);
	buffer_free(&payload);
}

void
process_send_files(struct process *process, const char *hosts, const char *resolv_conf)
{
	struct buffer payload = {0};

	frame_put_string(&payload, hosts);
	frame_put_string(&payload, resolv_conf);
	send_frame(process, CONTROL_FILES, &payload, NULL, 0);
	buffer_free(&payload);
}

void
process_send_start(struct process *process)
{
	send_frame(process, CONTROL_START, NULL, NULL, 0);
}

void
process_send_log_file(struct process *process, int descriptor)
{
	int copy = copy_descriptor(descriptor);

	send_frame(process, CONTROL_LOG_FILE, NULL, &copy, 1);
}

void
process_send_configuration(struct process *process, uint32_t generation, const char *text)
{
	struct buffer payload = {0};
	int descriptor = text_descriptor(text);

	frame_put_u32(&payload, generation);
	send_frame(process, CONTROL_CONFIGURATION, &payload, &descriptor, 1);
	buffer_free(&payload);
}

void
process_send_spool_files(struct process *process, int directory)
{
	int descriptors[2 * SPOOL_STOCK_BATCH];
	size_t count = 0;

	while (directory >= 0 && count < 2 * SPOOL_STOCK_BATCH && spool_file_make(directory, &descriptors[count], &descriptors[count + 1]))
		count += 2;
	if (count == 0)
		log_error("cannot make spool files: %s", strerror(errno));
	send_frame(process, CONTROL_SPOOL_FILES, NULL, descriptors, count);
}

bool
process_send_record(struct process *process, const struct buffer *record)
{
	return send_frame(process, CONTROL_RECORD, record, NULL, 0);
}

static void
send_peer(struct process *to, const struct process *about, int descriptor)
{
	struct buffer payload = {0};

	frame_put_u8(&payload, about->role);
	frame_put_u16(&payload, (uint16_t)about->slot);
	frame_put_u32(&payload, about->generation);
	send_frame(to, CONTROL_PEER, &payload, &descriptor, 1);
	buffer_free(&payload);
}

void
process_connect(struct process *one, struct process *other)
{
	int pair[2];

	if (one == NULL || other == NULL)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		fatal("cannot make a socket pair: %s", strerror(errno));
	send_peer(one, other, pair[0]);
	send_peer(other, one, pair[1]);
}

/* Life */

struct process *
process_start(const struct process_launch *launch)
{
	struct process *process;
	pid_t id;
	int control;

	if (!spawn_role(launch->role, &id, &control))
		return NULL;
	process = memory_new(sizeof *process);
	process->role = launch->role;
	process->index = launch->index;
	process->slot = launch->slot;
	process->generation = launch->generation;
	process->id = id;
	process->clock = launch->clock;
	process->callbacks = launch->callbacks;
	process->context = launch->context;
	process->accepts = true;
	process->started_us = clock_monotonic_us(launch->clock);
	process->channel = channel_new(launch->base, control, &channel_callbacks, process);
	process->deadline = evtimer_new(launch->base, on_deadline, process);
	ASSERT(process->deadline != NULL);
	set_deadline(process, PROCESS_READY_TIMEOUT_MS);
	send_setup(process, launch);
	return process;
}

void
process_drain(struct process *process, int64_t timeout_ms)
{
	if (process->state != PROCESS_DRAINING)
		send_frame(process, CONTROL_DRAIN, NULL, NULL, 0);
	process->state = PROCESS_DRAINING;
	set_deadline(process, timeout_ms + PROCESS_DRAIN_GRACE_MS);
}

void
process_free(struct process **process)
{
	struct process *gone = *process;

	if (gone == NULL)
		return;
	*process = NULL;
	if (gone->channel != NULL)
		channel_free(&gone->channel);
	event_free(gone->deadline);
	memory_free(&gone->sandbox);
	memory_free(&gone->killed_for);
	memory_free(&gone);
}
