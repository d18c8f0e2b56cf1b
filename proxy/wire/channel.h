/* A framed stream over a Unix socket pair between two of our processes, with descriptors attached.
 * Frame on the wire: u32 payload length, u16 type, u8 number of descriptors, u8 zero, payload. */
#ifndef POSTERN_WIRE_CHANNEL_H
#define POSTERN_WIRE_CHANNEL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/frame.h"

struct channel;

struct channel_callbacks {
	/* One frame. `descriptors` (count of them, close-on-exec) belong to the callee: take one by setting its slot to -1;
	 * what is left is closed. Return false for a frame that is malformed (unknown type, payload not consumed):
	 * the channel is then closed with "malformed frame". May free the channel. */
	bool (*on_frame)(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count);
	/* The other side is gone or broke the protocol; owner calls channel_free. */
	void (*on_closed)(void *context, const char *reason);
};

/* Takes the descriptor (one end of a socketpair(AF_UNIX, SOCK_STREAM)). */
struct channel *channel_new(struct event_base *base, int descriptor, const struct channel_callbacks *callbacks, void *context);
void channel_free(struct channel **channel);
/* Queues a frame and tries to send at the end of this loop turn (channel_flush: now). The descriptors are
 * taken and closed after sending. False when `channel_queued` is over the limit: nothing was queued, descriptors closed. */
bool channel_send(struct channel *channel, uint16_t type, const struct buffer *payload, const int *descriptors, size_t count);
void channel_flush(struct channel *channel);
/* Bytes waiting. */
size_t channel_queued(const struct channel *channel);
/* Limit of channel_queued, default 64 MiB. */
void channel_set_limit(struct channel *channel, size_t bytes);
/* Blocks until everything queued was written or timeout_ms passed; only for processes that are about to end. */
bool channel_drain(struct channel *channel, int timeout_ms);

#endif
