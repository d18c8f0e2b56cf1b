/* Frames from outside: the payload readers under any script of calls, and a channel fed with any bytes.
 * First byte of the input: how many bytes of script follow; then the script, then the bytes. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "wire/channel.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_one(struct frame_reader *reader, uint8_t what)
{
	struct frame_reader before = *reader;
	char *text = NULL;
	struct span span = {NULL, 0};
	uint64_t value = 0;
	switch (what % 8) {
	case 0:
		value = frame_get_u8(reader);
		break;
	case 1:
		value = frame_get_u16(reader);
		break;
	case 2:
		value = frame_get_u32(reader);
		break;
	case 3:
		value = (uint64_t)frame_get_i64(reader);
		break;
	case 4:
		value = frame_get_bool(reader);
		ASSERT(value <= 1);
		break;
	case 5:
		span = frame_get_span(reader);
		ASSERT(span.length <= before.left);
		ASSERT(span.length == 0 || (span.at > before.at && span.at + span.length == reader->at));
		break;
	case 6:
		text = frame_get_string(reader);
		ASSERT(text == NULL || strlen(text) + 4 == before.left - reader->left);
		break;
	default:
		value = frame_get_count(reader, 1 + what / 8);
		ASSERT(value * (1 + what / 8) <= reader->left);
	}
	ASSERT(reader->left <= before.left);
	ASSERT(reader->at == before.at + (before.left - reader->left));
	ASSERT(!before.failed || reader->failed); /* sticky */
	ASSERT(!reader->failed || (text == NULL && !frame_reader_finish(reader)));
	ASSERT(!before.failed || (value == 0 && span.at == NULL));
	memory_free(&text);
}

struct listener {
	const uint8_t *bytes; /* what was sent: frames must come out of it unchanged, one behind the other */
	size_t at, size;
	unsigned closed;
};

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct listener *listener = context;
	const uint8_t *header = listener->bytes + listener->at;
	(void)descriptors;
	ASSERT(count == 0 && listener->closed == 0);
	ASSERT(listener->at + 8 + payload->left <= listener->size);
	ASSERT(type == (header[4] | header[5] << 8));
	ASSERT(payload->left == 0 || memcmp(payload->at, header + 8, payload->left) == 0);
	listener->at += 8 + payload->left;
	return type != 0xffff;
}

static void
on_closed(void *context, const char *reason)
{
	struct listener *listener = context;
	ASSERT(reason != NULL);
	listener->closed++;
}

static void
feed_channel(const uint8_t *bytes, size_t size, size_t piece)
{
	static const struct channel_callbacks callbacks = {on_frame, on_closed};
	struct listener listener = {.bytes = bytes, .size = size};
	struct event_base *base = event_base_new();
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return;
	struct channel *channel = channel_new(base, pair[0], &callbacks, &listener);
	for (size_t done = 0; done < size && listener.closed == 0;) {
		ssize_t sent = send(pair[1], bytes + done, size - done < piece ? size - done : piece, MSG_DONTWAIT | MSG_NOSIGNAL);
		done += sent > 0 ? (size_t)sent : 0;
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	shutdown(pair[1], SHUT_WR);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ASSERT(listener.closed == 1);
	channel_free(&channel);
	close(pair[1]);
	event_base_free(base);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	if (size == 0)
		return 0;
	size_t script = data[0] % size;
	const uint8_t *payload = data + 1 + script;
	size_t length = size - 1 - script;
	frame_reader_init(&reader, payload, length);
	for (size_t i = 0; i < script; i++)
		read_one(&reader, data[1 + i]);
	feed_channel(payload, length, length / 3 + 1 + script);
	return 0;
}
