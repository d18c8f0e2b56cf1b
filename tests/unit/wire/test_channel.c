/* Channels over real socket pairs: batches, parts, descriptors, and a peer that does not keep to the protocol. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "suite.h"
#include "wire/channel.h"

#define KEEP_MAX 4096

struct side {
	struct event_base *base;
	struct channel *channel;
	size_t frames, bytes, closed, descriptors;
	uint16_t types[KEEP_MAX];
	uint32_t values[KEEP_MAX]; /* first u32 of each payload */
	int kept[KEEP_MAX]; /* descriptors, when keep is set */
	bool keep, free_on_frame, free_on_closed, refuse, answer;
	bool wrong; /* payload damaged */
	const char *reason;
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct side *side = context;
	size_t index = side->frames++ % KEEP_MAX;
	side->types[index] = type;
	side->bytes += payload->left;
	side->values[index] = payload->left >= 4 ? frame_get_u32(payload) : 0;
	for (size_t i = 0; i < payload->left; i++) {
		if (payload->at[i] != (char)(side->values[index] + i))
			side->wrong = true;
	}
	for (size_t i = 0; i < count; i++) {
		if ((fcntl(descriptors[i], F_GETFD) & FD_CLOEXEC) == 0)
			side->wrong = true;
		if (side->keep) {
			side->kept[side->descriptors] = descriptors[i];
			descriptors[i] = -1;
		}
		side->descriptors++;
	}
	if (side->answer)
		channel_send(side->channel, type, NULL, NULL, 0);
	if (side->free_on_frame)
		channel_free(&side->channel);
	return !side->refuse;
}

static void
on_closed(void *context, const char *reason)
{
	struct side *side = context;
	side->closed++;
	side->reason = reason;
	if (side->free_on_closed)
		channel_free(&side->channel);
}

static const struct channel_callbacks callbacks = {on_frame, on_closed};

static void
make_pair(int *pair)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void
start(struct side *side, struct event_base *base, int descriptor)
{
	memset(side, 0, sizeof *side);
	side->base = base;
	side->channel = channel_new(base, descriptor, &callbacks, side);
}

static void
turn(struct event_base *base)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static bool
send_value(struct channel *channel, uint16_t type, uint32_t value, size_t filling, const int *descriptors, size_t count)
{
	struct buffer payload = {0};
	frame_put_u32(&payload, value);
	for (size_t i = 0; i < filling; i++)
		buffer_append_char(&payload, (char)(value + i));
	bool queued = channel_send(channel, type, &payload, descriptors, count);
	buffer_free(&payload);
	return queued;
}

/* A descriptor that can be told from others: a file with `number` in it. */
static int
numbered_file(uint32_t number)
{
	int descriptor = memfd_create("numbered", MFD_CLOEXEC);
	ck_assert_int_eq(pwrite(descriptor, &number, sizeof number, 0), sizeof number);
	return descriptor;
}

static uint32_t
number_in(int descriptor)
{
	uint32_t number = 0;
	ck_assert_int_eq(pread(descriptor, &number, sizeof number, 0), sizeof number);
	return number;
}

static size_t
open_descriptors(void)
{
	size_t count = 0;
	for (int i = 0; i < 1024; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

START_TEST(frames_of_all_sizes_in_order)
{
	static struct side one, two;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	static const size_t sizes[] = {0, 1, 100, 65524, 65525, 65536, 70000, 1 << 20, FRAME_PAYLOAD_MAX - 4, 3};
	size_t count = sizeof sizes / sizeof sizes[0], bytes = 0;
	for (size_t i = 0; i < count; i++) {
		ck_assert(send_value(one.channel, (uint16_t)(1000 + i), (uint32_t)i, sizes[i], NULL, 0));
		bytes += sizes[i] + 4;
	}
	ck_assert(channel_send(one.channel, 65535, NULL, NULL, 0));
	ck_assert_uint_eq(channel_queued(one.channel), bytes + 8 * (count + 1));
	for (int i = 0; i < 200; i++)
		turn(base);
	ck_assert_uint_eq(two.frames, count + 1);
	ck_assert_uint_eq(two.bytes, bytes);
	ck_assert(!two.wrong);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(two.types[i], 1000 + i);
		ck_assert_uint_eq(two.values[i], i);
	}
	ck_assert_uint_eq(two.types[count], 65535);
	ck_assert_uint_eq(channel_queued(one.channel), 0);
	channel_free(&one.channel);
	turn(base);
	ck_assert_uint_eq(two.closed, 1);
	ck_assert_str_eq(two.reason, "closed by the other side");
	channel_free(&two.channel);
	event_base_free(base);
}
END_TEST

START_TEST(many_small_frames_leave_in_one_write)
{
	static struct side one;
	struct event_base *base = event_base_new();
	int pair[2];
	char bytes[4096];
	make_pair(pair);
	start(&one, base, pair[0]);
	for (uint32_t i = 0; i < 100; i++)
		send_value(one.channel, 1, i, 0, NULL, 0);
	ck_assert_int_eq(recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT), -1); /* the end of the loop turn */
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT), 1200);
	send_value(one.channel, 1, 0, 0, NULL, 0);
	channel_flush(one.channel);
	ck_assert_int_eq(recv(pair[1], bytes, sizeof bytes, MSG_DONTWAIT), 12);
	turn(base);
	channel_free(&one.channel);
	close(pair[1]);
	event_base_free(base);
}
END_TEST

/* Descriptors stay with their frame, however frames with and without are mixed. */
START_TEST(descriptors_find_their_frame)
{
	static struct side one, two;
	size_t before = open_descriptors(), expected = 0;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	two.keep = true;
	for (uint32_t i = 0; i < 200; i++) {
		int descriptors[FRAME_DESCRIPTORS_MAX];
		size_t count = i % 5 == 0 ? i % (FRAME_DESCRIPTORS_MAX + 1) : 0;
		for (size_t k = 0; k < count; k++)
			descriptors[k] = numbered_file((uint32_t)expected++);
		ck_assert(send_value(one.channel, (uint16_t)count, i, i * 37 % 3000, descriptors, count));
		if (i % 13 == 0)
			turn(base);
	}
	turn(base);
	ck_assert_uint_eq(two.frames, 200);
	ck_assert_uint_eq(two.descriptors, expected);
	ck_assert_uint_gt(expected, 100);
	ck_assert(!two.wrong);
	for (size_t i = 0; i < expected; i++) {
		ck_assert_uint_eq(number_in(two.kept[i]), i);
		close(two.kept[i]);
	}
	channel_free(&one.channel);
	channel_free(&two.channel);
	event_base_free(base);
	ck_assert_uint_eq(open_descriptors(), before); /* ours were closed after sending */
}
END_TEST

START_TEST(descriptors_not_taken_are_closed)
{
	static struct side one, two;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	size_t before = open_descriptors();
	int descriptor = numbered_file(1);
	send_value(one.channel, 1, 1, 0, &descriptor, 1);
	turn(base);
	ck_assert_uint_eq(two.descriptors, 1);
	ck_assert_uint_eq(open_descriptors(), before);
	/* never sent: closed with the channel */
	descriptor = numbered_file(2);
	send_value(one.channel, 1, 1, 0, &descriptor, 1);
	channel_free(&one.channel);
	ck_assert_uint_eq(open_descriptors(), before - 1);
	channel_free(&two.channel);
	event_base_free(base);
}
END_TEST

START_TEST(limits)
{
	static struct side one;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	channel_set_limit(one.channel, 1000);
	size_t before = open_descriptors();
	ck_assert(send_value(one.channel, 1, 1, 500, NULL, 0));
	int descriptor = numbered_file(1);
	ck_assert(!send_value(one.channel, 1, 1, 500, &descriptor, 1));
	ck_assert_uint_eq(channel_queued(one.channel), 512);
	ck_assert_uint_eq(open_descriptors(), before);
	channel_set_limit(one.channel, 64 << 20);
	ck_assert(!send_value(one.channel, 1, 1, FRAME_PAYLOAD_MAX, NULL, 0)); /* too large for one frame */
	ck_assert(send_value(one.channel, 1, 1, FRAME_PAYLOAD_MAX - 4, NULL, 0));
	channel_free(&one.channel);
	close(pair[1]);
	event_base_free(base);
}
END_TEST

START_TEST(freed_inside_callbacks)
{
	static struct side one, two;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	two.free_on_frame = true;
	one.free_on_closed = true;
	for (uint32_t i = 0; i < 5; i++)
		send_value(one.channel, 1, i, 10, NULL, 0);
	turn(base);
	ck_assert_ptr_null(two.channel);
	ck_assert_uint_eq(two.frames, 1);
	ck_assert_uint_eq(one.closed, 1);
	ck_assert_ptr_null(one.channel);
	event_base_free(base);
}
END_TEST

START_TEST(refused_frame_closes)
{
	static struct side one, two;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	two.refuse = true;
	send_value(one.channel, 1, 1, 0, NULL, 0);
	send_value(one.channel, 1, 2, 0, NULL, 0);
	turn(base);
	ck_assert_uint_eq(two.frames, 1);
	ck_assert_uint_eq(two.closed, 1);
	ck_assert_str_eq(two.reason, "malformed frame");
	ck_assert(!send_value(two.channel, 1, 1, 0, NULL, 0));
	channel_free(&two.channel);
	channel_free(&one.channel);
	event_base_free(base);
}
END_TEST

/* What the other side said before it died is heard, though writing to it fails. */
START_TEST(last_frames_of_a_dead_peer)
{
	static struct side one, two;
	struct event_base *base = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	start(&two, base, pair[1]);
	send_value(two.channel, 9, 77, 0, NULL, 0);
	ck_assert(channel_drain(two.channel, 100));
	channel_free(&two.channel);
	send_value(one.channel, 1, 1, 100, NULL, 0);
	channel_flush(one.channel);
	ck_assert_uint_eq(one.closed, 0);
	ck_assert(!send_value(one.channel, 1, 1, 100, NULL, 0));
	turn(base);
	ck_assert_uint_eq(one.frames, 1);
	ck_assert_uint_eq(one.values[0], 77);
	ck_assert_uint_eq(one.closed, 1);
	ck_assert_str_eq(one.reason, "closed by the other side");
	channel_free(&one.channel);
	event_base_free(base);
}
END_TEST

/* Sends raw bytes with descriptors, as a peer that has gone wrong would. */
static void
send_raw(int descriptor, const void *bytes, size_t length, const int *attached, size_t count)
{
	char control[CMSG_SPACE(sizeof(int) * 64)];
	struct iovec io = {(void *)(uintptr_t)bytes, length};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	memset(control, 0, sizeof control);
	if (count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(header), attached, sizeof(int) * count);
	}
	ck_assert_int_eq(sendmsg(descriptor, &message, 0), (ssize_t)length);
}

static void
expect_failure(const char *reason, const void *bytes, size_t length, size_t count, bool end)
{
	static struct side one;
	size_t before = open_descriptors();
	struct event_base *base = event_base_new();
	int pair[2], files[64];
	make_pair(pair);
	start(&one, base, pair[0]);
	for (size_t i = 0; i < count; i++)
		files[i] = numbered_file(1);
	send_raw(pair[1], bytes, length, files, count);
	for (size_t i = 0; i < count; i++)
		close(files[i]);
	if (end)
		shutdown(pair[1], SHUT_WR);
	turn(base);
	ck_assert_uint_eq(one.closed, 1);
	ck_assert_str_eq(one.reason, reason);
	channel_free(&one.channel);
	close(pair[1]);
	event_base_free(base);
	ck_assert_uint_eq(open_descriptors(), before);
}

START_TEST(protocol_errors)
{
	expect_failure("malformed frame header", "\x01\x00\x80\x00\x01\x00\x00\x00", 8, 0, false); /* payload above 8 MiB */
	expect_failure("malformed frame header", "\xff\xff\xff\xff\x01\x00\x00\x00", 8, 0, false);
	expect_failure("malformed frame header", "\x00\x00\x00\x00\x01\x00\x09\x00", 8, 0, false); /* nine descriptors */
	expect_failure("malformed frame header", "\x00\x00\x00\x00\x01\x00\x00\x01", 8, 0, false);
	expect_failure("descriptors missing", "\x00\x00\x00\x00\x01\x00\x01\x00", 8, 0, false);
	expect_failure("descriptors missing", "\x00\x00\x00\x00\x01\x00\x02\x00", 8, 1, false);
	expect_failure("descriptors nobody announced", "\x00\x00\x00\x00\x01\x00\x00\x00", 8, 1, false);
	expect_failure("truncated or foreign control data", "\x00\x00\x00\x00\x01\x00\x08\x00", 8, 20, false);
	expect_failure("closed inside a frame", "\x05\x00\x00\x00\x01\x00\x00\x00zz", 10, 0, true);
	expect_failure("closed inside a frame", "\x05", 1, 0, true);
}
END_TEST

START_TEST(frame_in_single_bytes)
{
	static struct side one;
	struct event_base *base = event_base_new();
	int pair[2], file = numbered_file(42);
	make_pair(pair);
	start(&one, base, pair[0]);
	one.keep = true;
	static const char frame[] = "\x05\x00\x00\x00\x07\x00\x01\x00\x09\x00\x00\x00\x09\x00\x00\x00\x00\x08\x00\x00\x00";
	for (size_t i = 0; i < 21; i++) {
		send_raw(pair[1], frame + i, 1, &file, i == 0 ? 1 : 0);
		turn(base);
		ck_assert_uint_eq(one.frames, i < 12 ? 0 : i < 20 ? 1 : 2);
	}
	ck_assert_uint_eq(one.types[0], 7);
	ck_assert_uint_eq(one.descriptors, 1);
	ck_assert_uint_eq(number_in(one.kept[0]), 42);
	close(one.kept[0]);
	close(file);
	channel_free(&one.channel);
	close(pair[1]);
	event_base_free(base);
}
END_TEST

/* A full socket with descriptors waiting: everything arrives once the other side reads. */
START_TEST(slow_reader_and_drain)
{
	static struct side one, two;
	struct event_base *base = event_base_new(), *other = event_base_new();
	int pair[2];
	make_pair(pair);
	start(&one, base, pair[0]);
	for (uint32_t i = 0; i < 300; i++) {
		int file = numbered_file(i);
		ck_assert(send_value(one.channel, 1, i, 10000, &file, 1));
		turn(base);
	}
	ck_assert_uint_gt(channel_queued(one.channel), 1 << 20);
	ck_assert(!channel_drain(one.channel, 30)); /* nobody reads */
	start(&two, other, pair[1]);
	two.keep = true;
	fflush(NULL);
	pid_t reader = fork();
	if (reader == 0) {
		while (two.closed == 0)
			event_base_loop(other, EVLOOP_ONCE);
		for (uint32_t i = 0; i < 300; i++) {
			if (two.values[i] != i || number_in(two.kept[i]) != i)
				_exit(2);
		}
		_exit(two.frames == 300 && !two.wrong ? 0 : 1);
	}
	close(pair[1]);
	ck_assert(channel_drain(one.channel, 5000));
	ck_assert_uint_eq(channel_queued(one.channel), 0);
	shutdown(pair[0], SHUT_RDWR);
	channel_free(&one.channel);
	int status;
	ck_assert_int_eq(waitpid(reader, &status, 0), reader);
	ck_assert_int_eq(status, 0);
	event_base_free(base);
}
END_TEST

/* Descriptors in flight beyond the limit (ETOOMANYREFS): back-pressure, not an error. Root is exempt from the limit. */
START_TEST(too_many_descriptors_in_flight)
{
	static struct side one, two;
	int pair[2];
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit limit = {24, 24};
		if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(3);
		struct event_base *base = event_base_new(), *other = event_base_new();
		make_pair(pair);
		start(&one, base, pair[0]);
		setrlimit(RLIMIT_NOFILE, &limit);
		for (uint32_t i = 0; channel_queued(one.channel) < 48; i++) { /* four do not fit */
			int file = memfd_create("x", MFD_CLOEXEC);
			if (file < 0 || !send_value(one.channel, 1, i, 0, &file, 1))
				break;
			channel_flush(one.channel);
		}
		size_t stuck = channel_queued(one.channel);
		start(&two, other, pair[1]);
		for (int i = 0; i < 100; i++) {
			event_base_loop(other, EVLOOP_NONBLOCK);
			usleep(2000);
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
		_exit(stuck > 0 && one.closed == 0 && two.closed == 0 && channel_queued(one.channel) == 0 && two.descriptors > 24 ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

SUITE_MAIN("channel", frames_of_all_sizes_in_order, many_small_frames_leave_in_one_write, descriptors_find_their_frame,
    descriptors_not_taken_are_closed, limits, freed_inside_callbacks, refused_frame_closes, last_frames_of_a_dead_peer, protocol_errors,
    frame_in_single_bytes, slow_reader_and_drain, too_many_descriptors_in_flight)
