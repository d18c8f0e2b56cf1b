/* A child's end of the control channel: the blocking set-up before the sandbox, then the master's orders in the event loop.
 * Owns descriptor 3. Nothing here trusts the master less than the binary itself, but a misread order must not pass silently. */
#include "wire/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "wire/spool_stock.h"

#define HEADER_SIZE 8 /* wire/channel.h */
#define CONFIG_SIZE_MAX (16 << 20)
#define FREE_DRAIN_MS 100

/* ---- set-up, blocking ---- */

struct order {
	uint16_t type;
	struct buffer payload;
	struct frame_reader reader;
	int descriptors[FRAME_DESCRIPTORS_MAX];
	size_t count;
};

static void
collect_descriptors(struct order *order, struct msghdr *message)
{
	if (message->msg_flags & MSG_CTRUNC)
		fatal("set-up: descriptors were lost (too many open files?)");
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			fatal("set-up: foreign control data");
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (order->count + count > FRAME_DESCRIPTORS_MAX)
			fatal("set-up: too many descriptors");
		memcpy(order->descriptors + order->count, CMSG_DATA(header), count * sizeof(int));
		order->count += count;
	}
}

/* Exactly `length` bytes: what follows belongs to the channel that takes over later. */
static void
receive_exactly(struct order *order, char *into, size_t length)
{
	while (length > 0) {
		union {
			char space[CMSG_SPACE(sizeof(int) * FRAME_DESCRIPTORS_MAX)];
			struct cmsghdr align;
		} control;
		struct iovec bytes = {.iov_base = into, .iov_len = length};
		struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
		ssize_t received = recvmsg(CONTROL_DESCRIPTOR, &message, MSG_CMSG_CLOEXEC);
		if (received < 0 && errno == EAGAIN) {
			struct pollfd wait = {.fd = CONTROL_DESCRIPTOR, .events = POLLIN};
			poll(&wait, 1, -1);
			continue;
		}
		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0)
			fatal("set-up: descriptor %d: %s", CONTROL_DESCRIPTOR, strerror(errno));
		if (received == 0)
			fatal("set-up: the master is gone");
		collect_descriptors(order, &message);
		into += received;
		length -= (size_t)received;
	}
}

static void
receive_order(struct order *order)
{
	char header[HEADER_SIZE];
	struct frame_reader reader;
	*order = (struct order){0};
	receive_exactly(order, header, sizeof header);
	frame_reader_init(&reader, header, sizeof header);
	size_t length = frame_get_u32(&reader);
	order->type = frame_get_u16(&reader);
	size_t count = frame_get_u8(&reader);
	if (length > FRAME_PAYLOAD_MAX || frame_get_u8(&reader) != 0)
		fatal("set-up: malformed frame");
	if (length > 0) {
		receive_exactly(order, buffer_reserve(&order->payload, length), length);
		buffer_added(&order->payload, length);
	}
	if (count != order->count)
		fatal("set-up: order %u came with %zu descriptors instead of %zu", order->type, order->count, count);
	frame_reader_init(&order->reader, order->payload.data, length);
}

static void
expect_descriptors(const struct order *order, size_t count)
{
	if (order->count != count)
		fatal("set-up: order %u has %zu descriptors, not %zu", order->type, order->count, count);
}

static char *
read_config(int descriptor)
{
	struct stat status;
	if (fstat(descriptor, &status) < 0 || status.st_size > CONFIG_SIZE_MAX)
		fatal("set-up: the configuration cannot be read");
	size_t size = (size_t)status.st_size, done = 0;
	char *text = memory_new(size + 1);
	while (done < size) {
		ssize_t got = pread(descriptor, text + done, size - done, (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			fatal("set-up: the configuration cannot be read");
		done += (size_t)got;
	}
	close(descriptor);
	return text;
}

static void
take_setup(struct child_setup *setup, struct order *order)
{
	struct frame_reader *reader = &order->reader;
	unsigned role = frame_get_u8(reader);
	setup->role = role;
	setup->index = frame_get_u16(reader);
	setup->slot = frame_get_u16(reader);
	setup->generation = frame_get_u32(reader);
	setup->user = frame_get_string(reader);
	setup->chroot_directory = frame_get_string(reader);
	setup->config_name = frame_get_string(reader);
	setup->sandbox_log_only = frame_get_u8(reader) == 1;
	bool whole = setup->user != NULL && setup->chroot_directory != NULL && setup->config_name != NULL;
	if (!whole || role >= ROLE_COUNT || setup->slot >= SHARED_SLOTS)
		fatal("set-up: values out of range");
	expect_descriptors(order, 2);
	setup->config_text = read_config(order->descriptors[0]);
	setup->shared = shared_memory_map(order->descriptors[1]);
}

static void
take_listener(struct child_setup *setup, struct order *order)
{
	unsigned index = frame_get_u16(&order->reader);
	expect_descriptors(order, 1);
	if (index >= sizeof setup->listeners / sizeof setup->listeners[0])
		fatal("set-up: listener %u is too many", index);
	if (setup->listeners[index] >= 0)
		fatal("set-up: listener %u came twice", index);
	setup->listeners[index] = order->descriptors[0];
	if (index >= setup->listener_count)
		setup->listener_count = index + 1;
}

static void
take_peer(struct child_setup *setup, struct order *order)
{
	unsigned role = frame_get_u8(&order->reader);
	expect_descriptors(order, 1);
	if (role >= ROLE_COUNT || setup->peer_count == sizeof setup->peers / sizeof setup->peers[0])
		fatal("set-up: unknown or too many peers");
	struct child_peer *peer = &setup->peers[setup->peer_count++];
	peer->role = role;
	peer->slot = frame_get_u16(&order->reader);
	peer->generation = frame_get_u32(&order->reader);
	peer->descriptor = order->descriptors[0];
}

static void
take_files(struct child_setup *setup, struct order *order)
{
	expect_descriptors(order, 0);
	memory_free(&setup->hosts_text);
	memory_free(&setup->resolv_conf_text);
	setup->hosts_text = frame_get_string(&order->reader);
	setup->resolv_conf_text = frame_get_string(&order->reader);
}

static void
take_log_file(struct child_setup *setup, struct order *order)
{
	expect_descriptors(order, 1);
	if (setup->log_file >= 0)
		close(setup->log_file);
	setup->log_file = order->descriptors[0];
}

static void
take_order(struct child_setup *setup, struct order *order)
{
	switch (order->type) {
	case CONTROL_SETUP:
		if (setup->shared != NULL)
			fatal("set-up: came twice");
		take_setup(setup, order);
		break;
	case CONTROL_LISTENER:
		take_listener(setup, order);
		break;
	case CONTROL_PEER:
		take_peer(setup, order);
		break;
	case CONTROL_FILES:
		take_files(setup, order);
		break;
	case CONTROL_LOG_FILE:
		take_log_file(setup, order);
		break;
	case CONTROL_START:
		expect_descriptors(order, 0);
		break;
	default:
		fatal("set-up: unexpected order %u", order->type);
	}
	if (!frame_reader_finish(&order->reader))
		fatal("set-up: malformed order %u", order->type);
}

void
child_receive_setup(struct child_setup *setup)
{
	struct order order;
	memset(setup, 0, sizeof *setup);
	setup->log_file = -1;
	for (size_t i = 0; i < sizeof setup->listeners / sizeof setup->listeners[0]; i++)
		setup->listeners[i] = -1;
	fcntl(CONTROL_DESCRIPTOR, F_SETFD, FD_CLOEXEC);
	do {
		receive_order(&order);
		take_order(setup, &order);
		buffer_free(&order.payload);
	} while (order.type != CONTROL_START);
	if (setup->shared == NULL)
		fatal("set-up: started without a set-up");
	if (setup->hosts_text == NULL)
		setup->hosts_text = memory_copy_string("");
	if (setup->resolv_conf_text == NULL)
		setup->resolv_conf_text = memory_copy_string("");
	struct shared_page *page = shared_memory_page(setup->shared, setup->slot);
	atomic_store(&page->role, setup->role);
	atomic_store(&page->generation, setup->generation);
	atomic_store(&page->process_id, (uint32_t)getpid());
}

/* ---- orders, in the event loop ---- */

struct child {
	struct channel *channel; /* NULL: the master is gone */
	const struct child_callbacks *callbacks;
	void *context;
	bool drained; /* on_drain was called */
	struct spool_stock spool; /* ask is NULL until child_spool_source */
};

static void
drain_once(struct child *child)
{
	if (child->drained)
		return;
	child->drained = true;
	child->callbacks->on_drain(child->context);
	if (child->channel != NULL)
		channel_send(child->channel, CONTROL_DRAINING, &(struct buffer){0}, NULL, 0);
}

static bool
on_peer_order(struct child *child, struct frame_reader *payload, int *descriptors, size_t count)
{
	unsigned role = frame_get_u8(payload);
	unsigned slot = frame_get_u16(payload);
	uint32_t generation = frame_get_u32(payload);
	if (!frame_reader_finish(payload) || count != 1 || role >= ROLE_COUNT)
		return false;
	int descriptor = descriptors[0];
	descriptors[0] = -1;
	child->callbacks->on_peer(child->context, role, slot, generation, descriptor);
	return true;
}

static bool
on_log_file_order(struct child *child, struct frame_reader *payload, int *descriptors, size_t count)
{
	if (!frame_reader_finish(payload) || count != 1)
		return false;
	if (child->callbacks->on_log_file != NULL) {
		int descriptor = descriptors[0];
		descriptors[0] = -1;
		child->callbacks->on_log_file(child->context, descriptor);
	}
	return true;
}

static bool
on_configuration_order(struct child *child, struct frame_reader *payload, int *descriptors, size_t count)
{
	uint32_t generation = frame_get_u32(payload);
	if (!frame_reader_finish(payload) || count != 1)
		return false;
	if (child->callbacks->on_configuration != NULL) {
		char *text = read_config(descriptors[0]);
		descriptors[0] = -1;
		child->callbacks->on_configuration(child->context, generation, text);
		memory_free(&text);
	}
	return true;
}

static bool
on_order(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct child *child = context;
	switch (type) {
	case CONTROL_PEER:
		return on_peer_order(child, payload, descriptors, count);
	case CONTROL_LOG_FILE:
		return on_log_file_order(child, payload, descriptors, count);
	case CONTROL_CONFIGURATION:
		return on_configuration_order(child, payload, descriptors, count);
	case CONTROL_SPOOL_FILES:
		if (!frame_reader_finish(payload) || child->spool.ask == NULL || count % 2 != 0)
			return false;
		spool_stock_add(&child->spool, descriptors, count);
		return true;
	case CONTROL_RECORD:
		if (child->callbacks->on_record == NULL)
			return true;
		child->callbacks->on_record(child->context, payload);
		return frame_reader_finish(payload);
	case CONTROL_DRAIN:
		if (!frame_reader_finish(payload))
			return false;
		drain_once(child);
		return true;
	default:
		return false;
	}
}

static void
on_master_gone(void *context, const char *reason)
{
	struct child *child = context;
	(void)reason; /* there is nobody left to tell */
	channel_free(&child->channel);
	drain_once(child);
}

static const struct channel_callbacks control_callbacks = {.on_frame = on_order, .on_closed = on_master_gone};

struct child *
child_new(struct event_base *base, const struct child_callbacks *callbacks, void *context)
{
	ASSERT(callbacks->on_drain != NULL && callbacks->on_peer != NULL);
	struct child *child = memory_new(sizeof *child);
	child->callbacks = callbacks;
	child->context = context;
	child->channel = channel_new(base, CONTROL_DESCRIPTOR, &control_callbacks, child);
	return child;
}

void
child_ready(struct child *child, const char *sandbox_description)
{
	struct buffer payload = {0};
	if (child->channel == NULL)
		return;
	frame_put_string(&payload, sandbox_description);
	channel_send(child->channel, CONTROL_READY, &payload, NULL, 0);
	buffer_free(&payload);
}

void
child_log_line(void *context, enum log_level level, const char *line)
{
	struct child *child = context;
	struct buffer payload = {0};
	if (child->channel == NULL)
		return;
	frame_put_u8(&payload, (uint8_t)level);
	frame_put_string(&payload, line);
	channel_send(child->channel, CONTROL_LOG_LINE, &payload, NULL, 0);
	buffer_free(&payload);
}

static void
ask_for_spool_files(void *context)
{
	struct child *child = context;
	if (child->channel != NULL)
		channel_send(child->channel, CONTROL_SPOOL_WANTED, &(struct buffer){0}, NULL, 0);
}

struct spool_source
child_spool_source(struct child *child)
{
	ASSERT(child->spool.ask == NULL);
	spool_stock_init(&child->spool, ask_for_spool_files, child);
	return (struct spool_source){.take = spool_stock_take, .context = &child->spool};
}

void
child_kill_worker(struct child *child, enum role role, unsigned slot, uint32_t generation)
{
	struct buffer payload = {0};
	if (child->channel == NULL)
		return;
	frame_put_u8(&payload, (uint8_t)role);
	frame_put_u16(&payload, (uint16_t)slot);
	frame_put_u32(&payload, generation);
	channel_send(child->channel, CONTROL_KILL_WORKER, &payload, NULL, 0);
	buffer_free(&payload);
}

bool
child_master_gone(const struct child *child)
{
	return child->channel == NULL;
}

void
child_free(struct child **child)
{
	if (*child == NULL)
		return;
	if ((*child)->channel != NULL)
		channel_drain((*child)->channel, FREE_DRAIN_MS);
	channel_free(&(*child)->channel);
	spool_stock_clear(&(*child)->spool);
	memory_free(child);
}
