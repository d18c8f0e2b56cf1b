/* Streams over real socket pairs and TCP on the loopback interface. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/stream.h"
#include "suite.h"

enum reaction { TAKE_ALL, TAKE_LINES, TAKE_NONE, FREE_IT, CLOSE_IT, PAUSE_AFTER_LINE, ECHO, DROP_IT };

struct owner {
	struct event_base *base;
	struct stream *stream;
	enum reaction reaction;
	bool free_on_closed, free_on_drained, last_word;
	struct buffer got;
	size_t calls, drained, connected, closed;
	enum stream_close_reason reason;
	int error;
	size_t dropped, chain; /* chain: writes to be made out of on_drained */
};

static size_t
line_length(const char *bytes, size_t length)
{
	const char *end = memchr(bytes, '\n', length);
	return end == NULL ? 0 : (size_t)(end - bytes) + 1;
}

static size_t
on_bytes(void *context, const char *bytes, size_t length)
{
	struct owner *owner = context;
	size_t taken = length;
	owner->calls++;
	switch (owner->reaction) {
	case TAKE_ALL:
		break;
	case TAKE_NONE:
		taken = 0;
		break;
	case TAKE_LINES:
		for (taken = 0; line_length(bytes + taken, length - taken) > 0;)
			taken += line_length(bytes + taken, length - taken);
		break;
	case PAUSE_AFTER_LINE:
		taken = line_length(bytes, length);
		if (taken > 0)
			stream_pause(owner->stream);
		break;
	case ECHO:
		stream_write(owner->stream, bytes, length);
		break;
	case DROP_IT:
		owner->dropped = stream_drop_input(owner->stream);
		taken = 0;
		break;
	case FREE_IT:
		stream_free(&owner->stream);
		return 1;
	case CLOSE_IT:
		stream_write(owner->stream, "bye\r\n", 5);
		stream_close_after_flush(&owner->stream);
		ck_assert_ptr_null(owner->stream);
		return 1;
	}
	buffer_append(&owner->got, bytes, taken);
	return taken;
}

static void
on_drained(void *context)
{
	struct owner *owner = context;
	owner->drained++;
	if (owner->free_on_drained)
		stream_free(&owner->stream);
	else if (owner->chain > 0) {
		owner->chain--;
		stream_write(owner->stream, "x", 1);
	}
}

static void
on_connected(void *context)
{
	struct owner *owner = context;
	owner->connected++;
}

static void
on_closed(void *context, enum stream_close_reason reason, int error)
{
	struct owner *owner = context;
	owner->closed++;
	owner->reason = reason;
	owner->error = error;
	if (owner->last_word) {
		stream_write(owner->stream, "421 idle\r\n", 10);
		stream_close_after_flush(&owner->stream);
	}
	if (owner->free_on_closed)
		stream_free(&owner->stream);
}

static const struct stream_callbacks callbacks = {on_bytes, on_drained, on_connected, on_closed};

/* A stream on one end of a pair; the other end is returned. */
static int
owner_start(struct owner *owner, enum reaction reaction)
{
	int pair[2];
	*owner = (struct owner){.reaction = reaction, .base = event_base_new()};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	owner->stream = stream_new(owner->base, pair[0], &callbacks, owner);
	return pair[1];
}

static void
owner_end(struct owner *owner, int peer)
{
	stream_free(&owner->stream);
	buffer_free(&owner->got);
	event_base_free(owner->base);
	if (peer >= 0)
		close(peer);
}

/* Runs the loop until nothing happens for a moment. */
static void
turn(struct owner *owner)
{
	for (int idle = 0; idle < 3;) {
		size_t before = owner->calls + owner->drained + owner->closed + owner->connected;
		event_base_loop(owner->base, EVLOOP_NONBLOCK);
		if (before == owner->calls + owner->drained + owner->closed + owner->connected) {
			idle++;
			usleep(1000);
		}
	}
}

static void
turn_for(struct owner *owner, int ms)
{
	int64_t end = clock_monotonic_us(clock_system()) + ms * 1000;
	while (clock_monotonic_us(clock_system()) < end) {
		event_base_loop(owner->base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

static size_t
read_some(int peer, char *bytes, size_t size)
{
	ssize_t got = recv(peer, bytes, size, MSG_DONTWAIT);
	return got < 0 ? 0 : (size_t)got;
}

START_TEST(keeps_what_is_not_taken)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_LINES);
	ck_assert_int_eq(write(peer, "one\ntw", 6), 6);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "one\n");
	ck_assert_uint_eq(owner.calls, 1);
	ck_assert_int_eq(write(peer, "o\nthree", 7), 7);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "one\ntwo\n");
	ck_assert_uint_eq(owner.calls, 2);
	ck_assert_uint_eq(stream_drop_input(owner.stream), 5);
	ck_assert_uint_eq(stream_drop_input(owner.stream), 0);
	ck_assert_int_eq(write(peer, "four\n", 5), 5);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "one\ntwo\nfour\n");
	ck_assert_uint_eq(stream_bytes_read(owner.stream), 18);
	owner_end(&owner, peer);
}
END_TEST

START_TEST(pause_keeps_and_resume_offers_again)
{
	struct owner owner;
	int peer = owner_start(&owner, PAUSE_AFTER_LINE);
	ck_assert_int_eq(write(peer, "a\nb\nc", 5), 5);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "a\n");
	ck_assert(stream_is_paused(owner.stream));
	ck_assert_int_eq(write(peer, "\n", 1), 1);
	turn(&owner);
	ck_assert_uint_eq(owner.calls, 1);
	stream_resume(owner.stream);
	ck_assert_uint_eq(owner.calls, 1); /* never from inside the call */
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "a\nb\n");
	stream_resume(owner.stream);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "a\nb\nc\n");
	/* resumed and paused again before the loop turned: not offered */
	size_t calls = owner.calls;
	ck_assert_int_eq(write(peer, "d\n", 2), 2);
	stream_resume(owner.stream);
	stream_pause(owner.stream);
	turn(&owner);
	ck_assert_uint_eq(owner.calls, calls);
	stream_resume(owner.stream);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "a\nb\nc\nd\n");
	owner_end(&owner, peer);
}
END_TEST

START_TEST(drop_inside_the_callback)
{
	struct owner owner;
	int peer = owner_start(&owner, DROP_IT);
	ck_assert_int_eq(write(peer, "STARTTLS\r\nMAIL", 14), 14);
	turn(&owner);
	ck_assert_uint_eq(owner.dropped, 14);
	owner.reaction = TAKE_ALL;
	ck_assert_int_eq(write(peer, "x", 1), 1);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "x");
	owner_end(&owner, peer);
}
END_TEST

START_TEST(freed_inside_each_callback)
{
	struct owner owner;
	int peer = owner_start(&owner, FREE_IT);
	char bytes[8];
	ck_assert_int_eq(write(peer, "hello", 5), 5);
	turn(&owner);
	ck_assert_ptr_null(owner.stream);
	ck_assert_int_le(recv(peer, bytes, sizeof bytes, 0), 0); /* closed at once (reset: unread bytes) */
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	owner.free_on_drained = true;
	stream_write(owner.stream, "hi", 2);
	turn(&owner);
	ck_assert_ptr_null(owner.stream);
	ck_assert_uint_eq(owner.drained, 1);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 2);
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	owner.free_on_closed = true;
	close(peer);
	turn(&owner);
	ck_assert_ptr_null(owner.stream);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.reason, STREAM_CLOSED_BY_PEER);
	owner_end(&owner, -1);
}
END_TEST

START_TEST(writes_leave_at_the_end_of_the_callback)
{
	struct owner owner;
	char bytes[16];
	int peer = owner_start(&owner, ECHO);
	ck_assert_int_eq(write(peer, "ping", 4), 4);
	event_base_loop(owner.base, EVLOOP_ONCE);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 4); /* one turn: no deferral */
	ck_assert_uint_eq(owner.drained, 1);
	/* outside of a callback: with the next turn, or at flush */
	stream_write(owner.stream, "a", 1);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 0);
	stream_flush(owner.stream);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 1);
	ck_assert_uint_eq(owner.drained, 1); /* told by the loop only */
	turn(&owner);
	ck_assert_uint_eq(owner.drained, 2);
	stream_write(owner.stream, "bc", 2);
	stream_write(owner.stream, "d", 1);
	ck_assert_uint_eq(stream_output_length(owner.stream), 3);
	turn(&owner);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 3);
	ck_assert_uint_eq(owner.drained, 3);
	turn(&owner);
	ck_assert_uint_eq(owner.drained, 3); /* once per drain */
	owner.chain = 5;
	stream_write(owner.stream, "e", 1);
	turn(&owner);
	ck_assert_uint_eq(owner.drained, 9);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 6);
	owner_end(&owner, peer);
}
END_TEST

START_TEST(large_output_waits_for_the_peer)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	size_t size = 5 << 20, read_back = 0;
	char *block = memory_new(size);
	for (size_t i = 0; i < size; i++)
		block[i] = (char)(i * 7 + i / 251);
	stream_write(owner.stream, block, size);
	turn(&owner);
	ck_assert_uint_gt(stream_output_length(owner.stream), 0);
	ck_assert_uint_eq(owner.drained, 0);
	char *got = memory_new(size);
	while (read_back < size) {
		read_back += read_some(peer, got + read_back, size - read_back);
		event_base_loop(owner.base, EVLOOP_NONBLOCK);
	}
	turn(&owner);
	ck_assert_mem_eq(block, got, size);
	ck_assert_uint_eq(owner.drained, 1);
	memory_free(&block);
	memory_free(&got);
	owner_end(&owner, peer);
}
END_TEST

START_TEST(large_input_is_taken_in_fair_portions)
{
	struct owner owner;
	int pair[2], size = 4 << 20;
	owner = (struct owner){.reaction = TAKE_ALL, .base = event_base_new()};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	char *block = memory_new(1 << 20);
	ssize_t sent = send(pair[1], block, 1 << 20, MSG_DONTWAIT);
	memory_free(&block);
	owner.stream = stream_new(owner.base, pair[0], &callbacks, &owner);
	size_t most = 0, before = 0;
	while (owner.got.length < (size_t)sent) {
		event_base_loop(owner.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		if (owner.got.length - before > most)
			most = owner.got.length - before;
		before = owner.got.length;
	}
	ck_assert_uint_le(most, 256 << 10);
	owner_end(&owner, pair[1]);
}
END_TEST

START_TEST(output_limit_closes)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	char *block = memory_new(1 << 20);
	stream_set_output_limit(owner.stream, 2 << 20);
	for (int i = 0; i < 10 && owner.closed == 0; i++) {
		stream_write(owner.stream, block, 1 << 20);
		ck_assert_uint_eq(owner.closed, 0); /* never from inside the call */
	}
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.reason, STREAM_OUTPUT_OVERFLOW);
	stream_write(owner.stream, block, 10); /* ignored */
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	memory_free(&block);
	owner_end(&owner, peer);
}
END_TEST

START_TEST(peer_closed_is_seen_while_paused)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	ck_assert(!stream_peer_closed(owner.stream));
	stream_pause(owner.stream);
	ck_assert_int_eq(write(peer, "unread", 6), 6);
	turn(&owner);
	ck_assert(!stream_peer_closed(owner.stream));
	shutdown(peer, SHUT_WR);
	turn(&owner);
	ck_assert(stream_peer_closed(owner.stream)); /* behind bytes nobody read */
	ck_assert_uint_eq(owner.calls, 0);
	ck_assert_uint_eq(owner.closed, 0);
	stream_resume(owner.stream);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "unread"); /* first the bytes, then the end */
	ck_assert_uint_eq(owner.closed, 1);
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	stream_pause(owner.stream);
	close(peer);
	ck_assert(stream_peer_closed(owner.stream));
	stream_write(owner.stream, "x", 1);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.reason, STREAM_WRITE_ERROR);
	ck_assert_int_eq(owner.error, EPIPE);
	owner_end(&owner, -1);
}
END_TEST

START_TEST(last_words_are_heard_before_a_write_error)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	ck_assert_int_eq(write(peer, "554 no\r\n", 8), 8);
	close(peer);
	stream_write(owner.stream, "EHLO x\r\n", 8);
	stream_flush(owner.stream);
	ck_assert_uint_eq(owner.calls, 0);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "554 no\r\n");
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_uint_eq(owner.drained, 0);
	owner_end(&owner, -1);
}
END_TEST

START_TEST(idle_timeout)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	stream_set_timeout(owner.stream, 60);
	for (int i = 0; i < 4; i++) { /* bytes restart it */
		turn_for(&owner, 30);
		ck_assert_int_eq(write(peer, "x", 1), 1);
	}
	turn_for(&owner, 20);
	ck_assert_uint_eq(owner.closed, 0);
	turn_for(&owner, 80);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.reason, STREAM_TIMEOUT);
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	stream_set_timeout(owner.stream, 40);
	stream_pause(owner.stream);
	turn_for(&owner, 100);
	ck_assert_uint_eq(owner.closed, 0); /* paused: we are the ones who wait */
	stream_resume(owner.stream);
	turn_for(&owner, 20);
	ck_assert_uint_eq(owner.closed, 0); /* a fresh start */
	turn_for(&owner, 60);
	ck_assert_uint_eq(owner.closed, 1);
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	char *block = memory_new(4 << 20);
	stream_set_timeout(owner.stream, 40);
	stream_pause(owner.stream);
	stream_write(owner.stream, block, 4 << 20);
	turn_for(&owner, 100);
	ck_assert_uint_eq(owner.closed, 1); /* output waits */
	ck_assert_int_eq(owner.reason, STREAM_TIMEOUT);
	memory_free(&block);
	owner_end(&owner, peer);

	peer = owner_start(&owner, TAKE_ALL);
	char bytes[32];
	owner.last_word = true;
	stream_set_timeout(owner.stream, 20);
	turn_for(&owner, 50);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_ptr_null(owner.stream);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 10);
	close(peer);
	turn(&owner);
	owner_end(&owner, -1);

	peer = owner_start(&owner, TAKE_ALL); /* a last word without closing, to a peer that is gone: told once all the same */
	stream_set_timeout(owner.stream, 20);
	turn_for(&owner, 50);
	ck_assert_uint_eq(owner.closed, 1);
	stream_resume(owner.stream);
	ck_assert_int_eq(write(peer, "late", 4), 4);
	stream_write(owner.stream, "x", 1);
	turn(&owner);
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 1);
	close(peer);
	stream_write(owner.stream, "y", 1);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_uint_eq(owner.calls + owner.drained, 0);
	owner_end(&owner, -1);

	peer = owner_start(&owner, TAKE_ALL);
	stream_set_timeout(owner.stream, 20);
	stream_set_timeout(owner.stream, 0);
	turn_for(&owner, 50);
	ck_assert_uint_eq(owner.closed, 0);
	owner_end(&owner, peer);
}
END_TEST

/* A listening TCP socket on the loopback interface. */
static int
listen_loopback(struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(listener, (struct sockaddr *)address, sizeof *address), 0);
	ck_assert_int_eq(listen(listener, 5), 0);
	getsockname(listener, (struct sockaddr *)address, &length);
	return listener;
}

START_TEST(connects_over_tcp)
{
	struct sockaddr_in address;
	int listener = listen_loopback(&address);
	struct owner owner = {.reaction = TAKE_ALL, .base = event_base_new()};
	owner.stream = stream_connect(owner.base, (struct sockaddr *)&address, sizeof address, &callbacks, &owner);
	ck_assert_ptr_nonnull(owner.stream);
	stream_write(owner.stream, "early", 5); /* waits for the connection */
	ck_assert_uint_eq(owner.connected, 0);
	int peer = accept(listener, NULL, NULL);
	turn(&owner);
	ck_assert_uint_eq(owner.connected, 1);
	char bytes[16];
	ck_assert_int_eq(recv(peer, bytes, sizeof bytes, 0), 5);
	ck_assert_int_eq(write(peer, "220 hi", 6), 6);
	turn(&owner);
	ck_assert_str_eq(buffer_text(&owner.got), "220 hi");
	/* a reset is an error with its number */
	struct linger hard = {1, 0};
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(peer);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.reason, STREAM_READ_ERROR);
	ck_assert_int_eq(owner.error, ECONNRESET);
	owner_end(&owner, listener);
}
END_TEST

START_TEST(connect_failures)
{
	struct sockaddr_in address;
	int listener = listen_loopback(&address);
	close(listener);
	struct owner owner = {.reaction = TAKE_ALL, .base = event_base_new()};
	owner.stream = stream_connect(owner.base, (struct sockaddr *)&address, sizeof address, &callbacks, &owner);
	stream_write(owner.stream, "early", 5);
	ck_assert_uint_eq(owner.closed, 0);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_uint_eq(owner.connected, 0);
	ck_assert_int_eq(owner.reason, STREAM_CONNECT_FAILED);
	ck_assert_int_eq(owner.error, ECONNREFUSED);
	stream_free(&owner.stream);

	/* fails inside connect(2): still told by the loop */
	owner.closed = 0;
	struct sockaddr_storage nowhere = {.ss_family = AF_UNIX};
	strcpy((char *)&nowhere + sizeof(sa_family_t), "/nonexistent/socket");
	owner.stream = stream_connect(owner.base, (struct sockaddr *)&nowhere, 40, &callbacks, &owner);
	ck_assert_ptr_nonnull(owner.stream);
	ck_assert_uint_eq(owner.closed, 0);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_int_eq(owner.error, ENOENT);
	stream_free(&owner.stream);

	/* freed before anything was told */
	owner.stream = stream_connect(owner.base, (struct sockaddr *)&nowhere, 40, &callbacks, &owner);
	stream_free(&owner.stream);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);

	/* no descriptor left */
	struct rlimit limit, none;
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){3, limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	errno = 0;
	owner.stream = stream_connect(owner.base, (struct sockaddr *)&address, sizeof address, &callbacks, &owner);
	int error = errno;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_ptr_null(owner.stream);
	ck_assert_int_eq(error, EMFILE);
	owner_end(&owner, -1);
}
END_TEST

START_TEST(close_after_flush_delivers_everything)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	size_t size = 3 << 20, read_back = 0;
	char *block = memory_new(size);
	stream_write(owner.stream, block, size);
	stream_close_after_flush(&owner.stream);
	ck_assert_ptr_null(owner.stream);
	ssize_t got = -1;
	ck_assert_int_eq(write(peer, "ignored", 7), 7);
	while (got != 0) {
		event_base_loop(owner.base, EVLOOP_NONBLOCK);
		got = recv(peer, block, size, MSG_DONTWAIT);
		if (got > 0)
			read_back += (size_t)got;
	}
	ck_assert_uint_eq(read_back, size);
	close(peer);
	turn(&owner);
	ck_assert_uint_eq(owner.calls + owner.closed + owner.drained, 0);
	memory_free(&block);
	owner_end(&owner, -1);
}
END_TEST

/* The client has pipelined more commands than we want to read: our last reply must arrive all the same, not a reset. */
START_TEST(close_with_unread_input_loses_no_reply)
{
	struct sockaddr_in address;
	int listener = listen_loopback(&address);
	struct owner owner = {.reaction = CLOSE_IT, .base = event_base_new()};
	int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
	owner.stream = stream_new(owner.base, accept(listener, NULL, NULL), &callbacks, &owner);
	char *block = memory_new(200 << 10), bytes[16];
	ck_assert_int_gt(send(peer, block, 200 << 10, MSG_DONTWAIT), 0);
	turn_for(&owner, 20);
	ck_assert_ptr_null(owner.stream);
	ck_assert_uint_eq(owner.calls, 1);
	ck_assert_int_eq(recv(peer, bytes, sizeof bytes, 0), 5);
	ck_assert_int_eq(recv(peer, bytes, sizeof bytes, 0), 0);
	close(peer);
	turn_for(&owner, 20);
	memory_free(&block);
	owner_end(&owner, listener);
}
END_TEST

START_TEST(close_after_flush_is_bounded)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	stream_write(owner.stream, "bye", 3);
	stream_close_after_flush(&owner.stream);
	turn_for(&owner, 1200); /* the peer neither reads nor closes */
	char bytes[8];
	ck_assert_uint_eq(read_some(peer, bytes, sizeof bytes), 3);
	ck_assert_int_eq(send(peer, "x", 1, MSG_NOSIGNAL), -1); /* really closed, not only shut down */
	ck_assert_int_eq(errno, EPIPE);
	owner_end(&owner, peer);
}
END_TEST

START_TEST(closed_stream_is_quiet)
{
	struct owner owner;
	int peer = owner_start(&owner, TAKE_ALL);
	close(peer);
	turn(&owner);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert(stream_peer_closed(owner.stream));
	stream_write(owner.stream, "x", 1);
	stream_flush(owner.stream);
	stream_pause(owner.stream);
	stream_resume(owner.stream);
	stream_set_timeout(owner.stream, 1);
	turn_for(&owner, 10);
	ck_assert_uint_eq(owner.closed, 1);
	ck_assert_uint_eq(stream_output_length(owner.stream), 0);
	ck_assert_str_eq(stream_close_reason_text(owner.reason), "closed by peer");
	stream_close_after_flush(&owner.stream);
	ck_assert_ptr_null(owner.stream);
	owner_end(&owner, -1);
}
END_TEST

SUITE_MAIN("stream", keeps_what_is_not_taken, pause_keeps_and_resume_offers_again, drop_inside_the_callback, freed_inside_each_callback,
    writes_leave_at_the_end_of_the_callback, large_output_waits_for_the_peer, large_input_is_taken_in_fair_portions, output_limit_closes,
    peer_closed_is_seen_while_paused, last_words_are_heard_before_a_write_error, idle_timeout, connects_over_tcp, connect_failures,
    close_after_flush_delivers_everything, close_with_unread_input_loses_no_reply, close_after_flush_is_bounded, closed_stream_is_quiet)
