/* The bytes of one socket: reads through the process's scratch buffer, keeps what the owner left, queues what it writes.
 *
 * Owns the descriptor, its four libevent events and both buffers. Never calls the owner from inside an owner's call: what has to
 * be told later goes through the `deferred` event, a timer of zero length, so that one busy stream cannot starve the others. */
#include "base/stream.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"

#define STREAM_MAGIC 0x5354524du
#define READ_LIMIT_PER_WAKE (256u << 10) /* then the other streams get their turn */
#define CLOSE_FLUSH_MS 10000
#define CLOSE_LINGER_MS 1000 /* after our last byte: waiting for the peer's end */
#define CLOSE_DISCARD_MAX (1u << 20)

enum stream_state {
	STATE_CONNECTING,
	STATE_OPEN,
	STATE_EXPIRED, /* timed out: the owner was told and may write a last word */
	STATE_CLOSED, /* the owner was or will be told, and has still to free it */
	STATE_CLOSING, /* left by its owner: flush, then wait a moment for the peer's end */
	STATE_FREED, /* left by its owner inside a callback: memory goes when that ends */
};

struct stream {
	uint32_t magic;
	int descriptor;
	enum stream_state state;
	bool running; /* inside one of our event handlers: settle() follows */
	bool paused;
	bool offer_again; /* stream_resume wants the kept bytes offered */
	bool drop_offered; /* stream_drop_input inside on_bytes */
	bool drain_owed; /* output was queued since the last on_drained */
	bool close_owed; /* on_closed is still to be called, with: */
	bool connected_owed; /* on_connected is still to be called */
	bool write_ended; /* shut down, STATE_CLOSING */
	enum stream_close_reason close_reason;
	int close_error;
	int write_error; /* a write failed: read what the peer said last, then close */
	const struct stream_callbacks *callbacks;
	void *context;
	size_t offered; /* bytes in the running on_bytes */
	size_t output_limit;
	size_t discarded;
	int64_t timeout_ms;
	uint64_t bytes_read;
	struct buffer input;
	struct buffer output;
	struct event readable;
	struct event writable;
	struct event timer;
	struct event deferred;
};

const char *
stream_close_reason_text(enum stream_close_reason reason)
{
	switch (reason) {
#define X(name, text) \
	case name: \
		return text;
		STREAM_CLOSE_REASONS(X)
#undef X
	}
	return "unknown";
}

/* Scratch, not state: nothing in it outlives an event callback. */
char *
stream_scratch(void)
{
	static char *scratch;
	if (scratch == NULL)
		scratch = memory_new(STREAM_SCRATCH_SIZE);
	return scratch;
}

static struct timeval
timeval_of_ms(int64_t ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void
defer(struct stream *stream)
{
	struct timeval at_once = {0, 0};
	if (!stream->running && !evtimer_pending(&stream->deferred, NULL))
		evtimer_add(&stream->deferred, &at_once);
}

/* Restarts the idle timer where it applies: something moved, or what it depends on changed. */
static void
restart_timer(struct stream *stream)
{
	if (stream->state != STATE_OPEN && stream->state != STATE_CONNECTING)
		return;
	bool waits = stream->state == STATE_CONNECTING || !stream->paused || stream->output.length > 0;
	if (stream->timeout_ms > 0 && waits) {
		struct timeval timeout = timeval_of_ms(stream->timeout_ms);
		evtimer_add(&stream->timer, &timeout);
	} else {
		evtimer_del(&stream->timer);
	}
}

static void
stop_events(struct stream *stream)
{
	event_del(&stream->readable);
	event_del(&stream->writable);
	evtimer_del(&stream->timer);
}

/* The stream is over; settle() tells the owner. */
static void
fail(struct stream *stream, enum stream_close_reason reason, int error)
{
	stop_events(stream);
	buffer_free(&stream->output);
	stream->drain_owed = false;
	stream->connected_owed = false;
	if (stream->state == STATE_CLOSING) {
		stream->state = STATE_FREED;
	} else {
		stream->close_owed = stream->state != STATE_EXPIRED;
		stream->state = STATE_CLOSED;
		stream->close_reason = reason;
		stream->close_error = error;
	}
	defer(stream);
}

static void
release(struct stream *stream)
{
	stop_events(stream);
	evtimer_del(&stream->deferred);
	if (stream->descriptor >= 0)
		close(stream->descriptor);
	buffer_free(&stream->input);
	buffer_free(&stream->output);
	stream->magic = 0;
	memory_free(&stream);
}

static void
send_output(struct stream *stream)
{
	bool may_write = stream->state == STATE_OPEN || stream->state == STATE_EXPIRED || stream->state == STATE_CLOSING;
	if (!may_write || stream->output.length == 0 || event_pending(&stream->writable, EV_WRITE, NULL))
		return;
	ssize_t sent;
	do {
		sent = send(stream->descriptor, stream->output.data, stream->output.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		/* The peer may have said why before it closed: settle() reads that first. */
		stream->write_error = errno;
		stream->drain_owed = false;
		buffer_free(&stream->output);
		defer(stream);
		return;
	}
	if (sent > 0) {
		buffer_consume(&stream->output, (size_t)sent);
		restart_timer(stream);
	}
	if (stream->output.length == 0)
		buffer_free(&stream->output); /* an idle session holds none */
	else
		event_add(&stream->writable, NULL);
}

/* Offers the kept bytes and `bytes` behind them; keeps what is not taken. */
static void
offer(struct stream *stream, const char *bytes, size_t length)
{
	bool kept = stream->input.length > 0;
	if (kept) {
		if (length > 0)
			buffer_append(&stream->input, bytes, length);
		bytes = stream->input.data;
		length = stream->input.length;
	}
	stream->offer_again = false;
	stream->drop_offered = false;
	stream->offered = length;
	size_t taken = stream->callbacks->on_bytes(stream->context, bytes, length);
	stream->offered = 0;
	ASSERT(taken <= length);
	if (stream->drop_offered)
		taken = length;
	if (kept)
		buffer_consume(&stream->input, taken);
	else if (taken < length)
		buffer_append(&stream->input, bytes + taken, length - taken);
	if (stream->input.length == 0)
		buffer_free(&stream->input);
}

static ssize_t
receive(struct stream *stream)
{
	ssize_t received;
	do {
		received = recv(stream->descriptor, stream_scratch(), STREAM_SCRATCH_SIZE, MSG_DONTWAIT);
	} while (received < 0 && errno == EINTR);
	return received;
}

static void
read_input(struct stream *stream)
{
	size_t limit = READ_LIMIT_PER_WAKE;
	while (stream->state == STATE_OPEN && !stream->paused && limit > 0) {
		ssize_t received = receive(stream);
		if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (received <= 0 && stream->write_error != 0)
			return; /* settle() reports the failed write */
		if (received <= 0) {
			fail(stream, received == 0 ? STREAM_CLOSED_BY_PEER : STREAM_READ_ERROR, received == 0 ? 0 : errno);
			return;
		}
		stream->bytes_read += (uint64_t)received;
		restart_timer(stream);
		offer(stream, stream_scratch(), (size_t)received);
		send_output(stream);
		if ((size_t)received < STREAM_SCRATCH_SIZE)
			return;
		limit -= (size_t)received;
	}
}

/* STATE_CLOSING: nobody wants these bytes. */
static void
discard_input(struct stream *stream)
{
	while (stream->state == STATE_CLOSING) {
		ssize_t received = receive(stream);
		if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (received == 0)
			event_del(&stream->readable);
		if (received < 0 || (received == 0 && stream->write_ended)) {
			fail(stream, STREAM_CLOSED_BY_PEER, 0);
			return;
		}
		if (received == 0)
			return;
		stream->discarded += (size_t)received;
		if (stream->discarded > CLOSE_DISCARD_MAX)
			fail(stream, STREAM_CLOSED_BY_PEER, 0);
	}
}

static void
continue_closing(struct stream *stream)
{
	if (stream->write_error != 0) {
		fail(stream, STREAM_WRITE_ERROR, 0);
		return;
	}
	if (stream->output.length == 0 && !stream->write_ended) {
		struct timeval linger = timeval_of_ms(CLOSE_LINGER_MS);
		stream->write_ended = true;
		shutdown(stream->descriptor, SHUT_WR);
		evtimer_add(&stream->timer, &linger);
		discard_input(stream);
	}
}

static void
tell_close(struct stream *stream)
{
	stream->close_owed = false;
	stream->callbacks->on_closed(stream->context, stream->close_reason, stream->close_error);
}

/* The end of each event handler: what was written leaves, what is owed to the owner is told, a freed stream goes. */
static void
settle(struct stream *stream)
{
	send_output(stream);
	if (stream->state == STATE_OPEN && stream->drain_owed && stream->output.length == 0 && stream->write_error == 0) {
		stream->drain_owed = false;
		if (stream->callbacks->on_drained != NULL)
			stream->callbacks->on_drained(stream->context);
		send_output(stream);
	}
	if (stream->state == STATE_OPEN && stream->write_error != 0) {
		read_input(stream);
		if (stream->state == STATE_OPEN)
			fail(stream, STREAM_WRITE_ERROR, stream->write_error);
	}
	if (stream->state == STATE_CLOSED && stream->close_owed)
		tell_close(stream);
	if (stream->state == STATE_CLOSING)
		continue_closing(stream);
	stream->running = false;
	if (stream->state == STATE_FREED)
		release(stream);
	else if (stream->state == STATE_OPEN && (stream->offer_again || (stream->drain_owed && stream->output.length == 0)))
		defer(stream);
}

static void
on_readable(evutil_socket_t descriptor, short what, void *context)
{
	struct stream *stream = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->running = true;
	if (stream->state == STATE_CLOSING)
		discard_input(stream);
	else if (stream->paused)
		event_del(&stream->readable); /* lazily: most pauses end before more bytes come */
	else
		read_input(stream);
	settle(stream);
}

static void
finish_connect(struct stream *stream)
{
	int error = 0;
	socklen_t length = sizeof error;
	if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error != 0) {
		fail(stream, STREAM_CONNECT_FAILED, error);
		return;
	}
	stream->state = STATE_OPEN;
	restart_timer(stream);
	if (!stream->paused)
		event_add(&stream->readable, NULL);
	if (stream->callbacks->on_connected != NULL)
		stream->callbacks->on_connected(stream->context);
}

static void
on_writable(evutil_socket_t descriptor, short what, void *context)
{
	struct stream *stream = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->running = true;
	if (stream->state == STATE_CONNECTING)
		finish_connect(stream);
	settle(stream);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct stream *stream = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->running = true;
	if (stream->state == STATE_OPEN) {
		stream->state = STATE_EXPIRED;
		event_del(&stream->readable);
		stream->callbacks->on_closed(stream->context, STREAM_TIMEOUT, 0);
	} else {
		fail(stream, STREAM_TIMEOUT, 0);
	}
	settle(stream);
}

static void
on_deferred(evutil_socket_t descriptor, short what, void *context)
{
	struct stream *stream = context;
	(void)descriptor;
	(void)what;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->running = true;
	if (stream->state == STATE_CONNECTING && stream->connected_owed) {
		stream->connected_owed = false;
		finish_connect(stream);
	}
	if (stream->state == STATE_OPEN && stream->offer_again && !stream->paused && stream->input.length > 0)
		offer(stream, NULL, 0);
	else
		stream->offer_again = false;
	settle(stream);
}

static struct stream *
make(struct event_base *base, int descriptor, const struct stream_callbacks *callbacks, void *context)
{
	struct stream *stream = memory_new(sizeof *stream);
	stream->magic = STREAM_MAGIC;
	stream->descriptor = descriptor;
	stream->callbacks = callbacks;
	stream->context = context;
	event_assign(&stream->readable, base, descriptor, EV_READ | EV_PERSIST, on_readable, stream);
	event_assign(&stream->writable, base, descriptor, EV_WRITE, on_writable, stream);
	evtimer_assign(&stream->timer, base, on_timer, stream);
	evtimer_assign(&stream->deferred, base, on_deferred, stream);
	/* Replies are whole when they are sent; waiting for more would only delay them. Fails on Unix sockets, which is fine. */
	int on = 1;
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return stream;
}

struct stream *
stream_new(struct event_base *base, int descriptor, const struct stream_callbacks *callbacks, void *context)
{
	ASSERT(descriptor >= 0 && callbacks->on_bytes != NULL && callbacks->on_closed != NULL);
	struct stream *stream = make(base, descriptor, callbacks, context);
	stream->state = STATE_OPEN;
	event_add(&stream->readable, NULL);
	return stream;
}

struct stream *
stream_connect(struct event_base *base, const struct sockaddr *to, socklen_t to_length,
    const struct stream_callbacks *callbacks, void *context)
{
	int descriptor = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return NULL;
	struct stream *stream = make(base, descriptor, callbacks, context);
	stream->state = STATE_CONNECTING;
	if (connect(descriptor, to, to_length) == 0) {
		stream->connected_owed = true;
		defer(stream);
	} else if (errno == EINPROGRESS || errno == EINTR) {
		event_add(&stream->writable, NULL);
	} else {
		fail(stream, STREAM_CONNECT_FAILED, errno);
	}
	return stream;
}

void
stream_free(struct stream **stream_address)
{
	struct stream *stream = *stream_address;
	if (stream == NULL)
		return;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	*stream_address = NULL;
	if (!stream->running) {
		release(stream);
		return;
	}
	stop_events(stream);
	close(stream->descriptor);
	stream->descriptor = -1;
	stream->state = STATE_FREED;
}

void
stream_close_after_flush(struct stream **stream_address)
{
	struct stream *stream = *stream_address;
	if (stream == NULL)
		return;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	if ((stream->state != STATE_OPEN && stream->state != STATE_EXPIRED) || stream->write_error != 0) {
		stream_free(stream_address);
		return;
	}
	*stream_address = NULL;
	stream->state = STATE_CLOSING;
	stream->drain_owed = false;
	struct timeval bound = timeval_of_ms(CLOSE_FLUSH_MS);
	evtimer_add(&stream->timer, &bound);
	event_add(&stream->readable, NULL);
	if (!stream->running) {
		stream->running = true;
		settle(stream);
	}
}

void
stream_write(struct stream *stream, const void *bytes, size_t length)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	bool open = stream->state == STATE_OPEN || stream->state == STATE_CONNECTING || stream->state == STATE_EXPIRED;
	if (!open || stream->write_error != 0 || length == 0)
		return;
	bool waited = stream->output.length > 0;
	buffer_append(&stream->output, bytes, length);
	stream->drain_owed = true;
	if (!waited && stream->paused)
		restart_timer(stream); /* from now on the peer must read */
	if (stream->output_limit > 0 && stream->output.length > stream->output_limit) {
		send_output(stream);
		if (stream->output.length > stream->output_limit) {
			fail(stream, STREAM_OUTPUT_OVERFLOW, 0);
			return;
		}
	}
	defer(stream);
}

void
stream_flush(struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	send_output(stream);
	if (stream->drain_owed && stream->output.length == 0)
		defer(stream);
}

size_t
stream_output_length(const struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	return stream->output.length;
}

void
stream_set_output_limit(struct stream *stream, size_t bytes)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->output_limit = bytes;
}

void
stream_pause(struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	if (stream->paused)
		return;
	stream->paused = true;
	if (stream->output.length == 0)
		restart_timer(stream);
}

void
stream_resume(struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	bool was_paused = stream->paused;
	stream->paused = false;
	if (stream->state == STATE_OPEN && !event_pending(&stream->readable, EV_READ, NULL))
		event_add(&stream->readable, NULL);
	if (was_paused)
		restart_timer(stream);
	if (stream->offered > 0 || stream->input.length > 0) {
		stream->offer_again = true;
		defer(stream);
	}
}

bool
stream_is_paused(const struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	return stream->paused;
}

bool
stream_peer_closed(const struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	if (stream->state == STATE_CONNECTING)
		return false;
	if (stream->state != STATE_OPEN || stream->write_error != 0)
		return true;
	/* POLLRDHUP sees the peer's end also behind bytes that nobody has read yet, which a peeking recv does not. */
	struct pollfd look = {.fd = stream->descriptor, .events = POLLRDHUP};
	return poll(&look, 1, 0) > 0 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void
stream_set_timeout(struct stream *stream, int64_t timeout_ms)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	stream->timeout_ms = timeout_ms;
	restart_timer(stream);
}

size_t
stream_drop_input(struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	size_t dropped = stream->offered > 0 ? stream->offered : stream->input.length;
	stream->drop_offered = stream->offered > 0;
	if (stream->offered == 0)
		buffer_free(&stream->input);
	return dropped;
}

void
stream_acknowledge(struct stream *stream)
{
	int on = 1;
	CHECK_MAGIC(stream, STREAM_MAGIC);
	if (stream->descriptor >= 0)
		setsockopt(stream->descriptor, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

uint64_t
stream_bytes_read(const struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	return stream->bytes_read;
}

int
stream_descriptor(const struct stream *stream)
{
	CHECK_MAGIC(stream, STREAM_MAGIC);
	return stream->descriptor;
}
