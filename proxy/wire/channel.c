/* Frames over one end of a Unix stream socket pair, with descriptors attached to a frame's first byte.
 *
 * The kernel never merges bytes of two messages with descriptors into one read and never reorders, so received descriptors wait in
 * a queue and each frame takes as many as its header says. Owns every descriptor between channel_send and sendmsg, and
 * between recvmsg and on_frame. Never blocks, but for channel_drain; never calls its owner from inside a call of the owner. */
#include "wire/channel.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/stream.h"

#define CHANNEL_MAGIC 0x4348414eu
#define HEADER_SIZE 8
#define DEFAULT_LIMIT (64u << 20)
#define READS_PER_WAKE 16
#define SEND_AT_ONCE (256u << 10)
#define RETRY_MS 10 /* descriptors in flight beyond the limit, or no kernel memory */

/* Descriptors that leave with the byte at `position`. */
struct attachment {
	uint64_t position;
	int descriptors[FRAME_DESCRIPTORS_MAX];
	size_t count;
};

struct channel {
	uint32_t magic;
	int descriptor;
	bool running; /* inside an event handler: freeing waits for its end */
	bool freed;
	bool write_broken; /* the other side is gone; what it sent before is still read */
	const char *closing; /* the reason on_closed is to be called with */
	bool closed; /* on_closed was called */
	const struct channel_callbacks *callbacks;
	void *context;
	size_t limit;
	struct buffer output;
	uint64_t sent; /* stream position of the first byte in `output` */
	struct attachment *attachments; /* in order of position */
	size_t attachment_first, attachment_end, attachment_capacity;
	struct buffer input; /* a part of a frame */
	int received[2 * FRAME_DESCRIPTORS_MAX]; /* not yet claimed by a frame */
	size_t received_count;
	struct event readable;
	struct event writable;
	struct event deferred; /* flush, retry and what has to be told later */
};

static void
close_all(int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (descriptors[i] >= 0)
			close(descriptors[i]);
		descriptors[i] = -1;
	}
}

static void
defer(struct channel *channel, long after_ms)
{
	struct timeval after = {after_ms / 1000, after_ms % 1000 * 1000};
	if (!evtimer_pending(&channel->deferred, NULL))
		evtimer_add(&channel->deferred, &after);
}

static void
drop_output(struct channel *channel)
{
	for (size_t i = channel->attachment_first; i < channel->attachment_end; i++)
		close_all(channel->attachments[i].descriptors, channel->attachments[i].count);
	channel->attachment_first = channel->attachment_end = 0;
	buffer_free(&channel->output);
}

static void
release(struct channel *channel)
{
	event_del(&channel->readable);
	event_del(&channel->writable);
	evtimer_del(&channel->deferred);
	drop_output(channel);
	close_all(channel->received, channel->received_count);
	memory_free(&channel->attachments);
	buffer_free(&channel->input);
	close(channel->descriptor);
	channel->magic = 0;
	memory_free(&channel);
}

/* The channel is over; on_closed follows from finish_event(). */
static void
fail(struct channel *channel, const char *reason)
{
	if (channel->closing != NULL)
		return;
	channel->closing = reason;
	event_del(&channel->readable);
	event_del(&channel->writable);
	drop_output(channel);
	if (!channel->running)
		defer(channel, 0);
}

/* ---- sending ---- */

static void
attach(struct channel *channel, uint64_t position, const int *descriptors, size_t count)
{
	if (channel->attachment_first == channel->attachment_end)
		channel->attachment_first = channel->attachment_end = 0;
	if (channel->attachment_end == channel->attachment_capacity && channel->attachment_first > 0) {
		size_t left = channel->attachment_end - channel->attachment_first;
		memmove(channel->attachments, channel->attachments + channel->attachment_first, left * sizeof *channel->attachments);
		channel->attachment_first = 0;
		channel->attachment_end = left;
	}
	if (channel->attachment_end == channel->attachment_capacity) {
		channel->attachment_capacity = channel->attachment_capacity == 0 ? 4 : 2 * channel->attachment_capacity;
		channel->attachments = memory_resize(channel->attachments, channel->attachment_capacity, sizeof *channel->attachments);
	}
	struct attachment *attachment = &channel->attachments[channel->attachment_end++];
	attachment->position = position;
	attachment->count = count;
	memcpy(attachment->descriptors, descriptors, count * sizeof *descriptors);
}

/* One sendmsg: as many whole and partial frames as go without passing the next descriptors. */
static ssize_t
send_once(struct channel *channel)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FRAME_DESCRIPTORS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec bytes = {.iov_base = channel->output.data, .iov_len = channel->output.length};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	struct attachment *next = &channel->attachments[channel->attachment_first];
	struct attachment *end = &channel->attachments[channel->attachment_end];
	bool attached = next != end && next->position == channel->sent;

	if (attached) {
		size_t size = next->count * sizeof(int);
		memset(&control, 0, sizeof control);
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(size);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(header), next->descriptors, size);
	}
	struct attachment *stop = attached ? next + 1 : next;
	if (stop != end && stop->position - channel->sent < bytes.iov_len)
		bytes.iov_len = stop->position - channel->sent;
	if (bytes.iov_len > SEND_AT_ONCE)
		bytes.iov_len = SEND_AT_ONCE;

	ssize_t sent = sendmsg(channel->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0) {
		if (attached) {
			close_all(next->descriptors, next->count);
			channel->attachment_first++;
		}
		channel->sent += (uint64_t)sent;
		buffer_consume(&channel->output, (size_t)sent);
	}
	return sent;
}

/* Sends until all is gone or the kernel takes no more. Returns 0 or the errno value that stopped it. */
static int
send_output(struct channel *channel)
{
	while (channel->output.length > 0) {
		ssize_t sent = send_once(channel);
		if (sent < 0 && errno != EINTR)
			return errno;
	}
	buffer_free(&channel->output);
	return 0;
}

static void
break_writing(struct channel *channel)
{
	channel->write_broken = true;
	drop_output(channel);
	if (!channel->running)
		defer(channel, 0);
}

void
channel_flush(struct channel *channel)
{
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	if (channel->closing != NULL || channel->write_broken || channel->freed)
		return;
	switch (send_output(channel)) {
	case 0:
		event_del(&channel->writable);
		break;
	case EAGAIN:
		event_add(&channel->writable, NULL);
		break;
	case ETOOMANYREFS:
	case ENOBUFS:
	case ENOMEM:
		/* Back-pressure without an event that ends it: the socket is writable all the time. */
		event_del(&channel->writable);
		defer(channel, RETRY_MS);
		break;
	default:
		break_writing(channel);
	}
}

bool
channel_send(struct channel *channel, uint16_t type, const struct buffer *payload, const int *descriptors, size_t count)
{
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	ASSERT(count <= FRAME_DESCRIPTORS_MAX);
	size_t length = payload == NULL ? 0 : payload->length;
	bool over = channel->closing != NULL || channel->write_broken || length > FRAME_PAYLOAD_MAX ||
	    channel->output.length + HEADER_SIZE + length > channel->limit;
	if (over) {
		for (size_t i = 0; i < count; i++)
			close(descriptors[i]);
		return false;
	}
	if (count > 0)
		attach(channel, channel->sent + channel->output.length, descriptors, count);
	frame_put_u32(&channel->output, (uint32_t)length);
	frame_put_u16(&channel->output, type);
	frame_put_u8(&channel->output, (uint8_t)count);
	frame_put_u8(&channel->output, 0);
	if (length > 0)
		buffer_append(&channel->output, payload->data, length);
	if (!event_pending(&channel->writable, EV_WRITE, NULL))
		defer(channel, 0);
	return true;
}

size_t
channel_queued(const struct channel *channel)
{
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	return channel->output.length;
}

void
channel_set_limit(struct channel *channel, size_t bytes)
{
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	channel->limit = bytes;
}

bool
channel_drain(struct channel *channel, int timeout_ms)
{
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	int64_t deadline = clock_monotonic_us(clock_system()) + (int64_t)timeout_ms * 1000;
	while (channel->closing == NULL && !channel->write_broken) {
		int error = send_output(channel);
		int64_t left = (deadline - clock_monotonic_us(clock_system())) / 1000;
		if (error == 0)
			return true;
		if (left <= 0)
			return false;
		struct pollfd wait = {.fd = channel->descriptor, .events = POLLOUT};
		if (error == EAGAIN)
			poll(&wait, 1, (int)left);
		else if (error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM)
			poll(NULL, 0, left < RETRY_MS ? (int)left : RETRY_MS);
		else
			break_writing(channel);
	}
	return false;
}

/* ---- receiving ---- */

/* Takes the descriptors out of the control data. False: truncated, not ours, or more than any frame may have. */
static bool
collect_descriptors(struct channel *channel, struct msghdr *message)
{
	bool good = (message->msg_flags & MSG_CTRUNC) == 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
			good = false;
			continue;
		}
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
			if (channel->received_count < sizeof channel->received / sizeof channel->received[0]) {
				channel->received[channel->received_count++] = descriptor;
			} else {
				close(descriptor);
				good = false;
			}
		}
	}
	return good;
}

/* One recvmsg into the scratch buffer. As recv: bytes, 0 at the end, -1 with errno (EPROTO: bad control data). */
static ssize_t
receive(struct channel *channel)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * FRAME_DESCRIPTORS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec bytes = {.iov_base = stream_scratch(), .iov_len = STREAM_SCRATCH_SIZE};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
	ssize_t received;
	do {
		received = recvmsg(channel->descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received >= 0 && !collect_descriptors(channel, &message)) {
		errno = EPROTO;
		return -1;
	}
	return received;
}

/* Hands the first frame of `bytes` to the owner. Returns its size; 0: not complete or the channel failed. */
static size_t
dispatch_frame(struct channel *channel, struct span bytes)
{
	struct frame_reader header, payload;
	if (bytes.length < HEADER_SIZE)
		return 0;
	frame_reader_init(&header, bytes.at, HEADER_SIZE);
	size_t length = frame_get_u32(&header);
	uint16_t type = frame_get_u16(&header);
	size_t count = frame_get_u8(&header);
	uint8_t zero = frame_get_u8(&header);
	if (length > FRAME_PAYLOAD_MAX || count > FRAME_DESCRIPTORS_MAX || zero != 0) {
		fail(channel, "malformed frame header");
		return 0;
	}
	if (bytes.length < HEADER_SIZE + length)
		return 0;
	if (count > channel->received_count) {
		fail(channel, "descriptors missing");
		return 0;
	}
	int descriptors[FRAME_DESCRIPTORS_MAX];
	memcpy(descriptors, channel->received, count * sizeof *descriptors);
	channel->received_count -= count;
	memmove(channel->received, channel->received + count, channel->received_count * sizeof *descriptors);
	frame_reader_init(&payload, bytes.at + HEADER_SIZE, length);
	bool good = channel->callbacks->on_frame(channel->context, type, &payload, descriptors, count);
	close_all(descriptors, count);
	if (!good && !channel->freed)
		fail(channel, "malformed frame");
	return HEADER_SIZE + length;
}

/* All complete frames in `bytes`. Returns how many bytes they took. */
static size_t
dispatch_frames(struct channel *channel, struct span bytes)
{
	size_t done = 0;
	while (!channel->freed && channel->closing == NULL) {
		size_t size = dispatch_frame(channel, span_make(bytes.at + done, bytes.length - done));
		if (size == 0)
			break;
		done += size;
	}
	return done;
}

static void
take_input(struct channel *channel, const char *bytes, size_t length)
{
	size_t done;
	if (channel->input.length > 0) {
		buffer_append(&channel->input, bytes, length);
		done = dispatch_frames(channel, span_make(channel->input.data, channel->input.length));
		buffer_consume(&channel->input, done);
	} else {
		done = dispatch_frames(channel, span_make(bytes, length));
		if (done < length)
			buffer_append(&channel->input, bytes + done, length - done);
	}
	if (channel->input.length == 0)
		buffer_free(&channel->input);
	/* What is left belongs to the frame that has begun; one frame has at most so many. */
	size_t expected = channel->input.length == 0 ? 0 : FRAME_DESCRIPTORS_MAX;
	if (channel->received_count > expected && !channel->freed)
		fail(channel, "descriptors nobody announced");
}

static void
read_input(struct channel *channel)
{
	for (int i = 0; i < READS_PER_WAKE && !channel->freed && channel->closing == NULL; i++) {
		ssize_t received = receive(channel);
		if (received > 0) {
			take_input(channel, stream_scratch(), (size_t)received);
			continue;
		}
		if (received == 0)
			fail(channel, channel->input.length > 0 ? "closed inside a frame" : "closed by the other side");
		else if (errno == EPROTO)
			fail(channel, "truncated or foreign control data");
		else if (errno == ECONNRESET)
			fail(channel, "closed by the other side");
		else if (errno != EAGAIN)
			fail(channel, "read error");
		return;
	}
}

/* ---- events ---- */

static void
finish_event(struct channel *channel)
{
	if (!channel->freed && channel->write_broken && channel->closing == NULL)
		fail(channel, "closed by the other side");
	if (!channel->freed && channel->closing != NULL && !channel->closed) {
		channel->closed = true;
		channel->callbacks->on_closed(channel->context, channel->closing);
	}
	channel->running = false;
	if (channel->freed)
		release(channel);
}

static void
on_readable(evutil_socket_t descriptor, short what, void *context)
{
	struct channel *channel = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	channel->running = true;
	read_input(channel);
	finish_event(channel);
}

/* The socket takes bytes again, or the loop turn after channel_send, or something is to be told. */
static void
on_turn(evutil_socket_t descriptor, short what, void *context)
{
	struct channel *channel = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	channel->running = true;
	channel_flush(channel);
	/* Nothing can be written any more: hear what the other side said last (a socket holds less than one turn's reads). */
	if (channel->write_broken)
		read_input(channel);
	finish_event(channel);
}

struct channel *
channel_new(struct event_base *base, int descriptor, const struct channel_callbacks *callbacks, void *context)
{
	ASSERT(descriptor >= 0 && callbacks->on_frame != NULL && callbacks->on_closed != NULL);
	struct channel *channel = memory_new(sizeof *channel);
	channel->magic = CHANNEL_MAGIC;
	channel->descriptor = descriptor;
	channel->callbacks = callbacks;
	channel->context = context;
	channel->limit = DEFAULT_LIMIT;
	event_assign(&channel->readable, base, descriptor, EV_READ | EV_PERSIST, on_readable, channel);
	event_assign(&channel->writable, base, descriptor, EV_WRITE, on_turn, channel);
	evtimer_assign(&channel->deferred, base, on_turn, channel);
	event_add(&channel->readable, NULL);
	return channel;
}

void
channel_free(struct channel **channel_address)
{
	struct channel *channel = *channel_address;
	if (channel == NULL)
		return;
	CHECK_MAGIC(channel, CHANNEL_MAGIC);
	*channel_address = NULL;
	if (channel->running)
		channel->freed = true;
	else
		release(channel);
}
