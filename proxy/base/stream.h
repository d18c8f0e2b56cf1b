/* One non-blocking socket in an event loop: the only code that reads and writes sockets' bytes (and, later, TLS).
 *
 * Reading goes through one 64 KiB scratch buffer per process; a stream keeps only what its owner did not take.
 * Writing: stream_write appends; the bytes leave at the end of the running callback, or at stream_flush.
 * Callbacks may free the stream they were called for. */
#ifndef POSTERN_BASE_STREAM_H
#define POSTERN_BASE_STREAM_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

struct stream;

#define STREAM_CLOSE_REASONS(X) \
	X(STREAM_CLOSED_BY_PEER, "closed by peer") \
	X(STREAM_READ_ERROR, "read error") \
	X(STREAM_WRITE_ERROR, "write error") \
	X(STREAM_TIMEOUT, "timeout") \
	X(STREAM_CONNECT_FAILED, "connect failed") \
	X(STREAM_OUTPUT_OVERFLOW, "peer does not read")

enum stream_close_reason {
#define X(name, text) name,
	STREAM_CLOSE_REASONS(X)
#undef X
};
const char *stream_close_reason_text(enum stream_close_reason reason);

struct stream_callbacks {
	/* Bytes are there. Returns how many were taken; the rest is kept and offered again together with
	 * later bytes, or at once after stream_resume. While a stream is paused it is not called. */
	size_t (*on_bytes)(void *context, const char *bytes, size_t length);
	/* Everything written has left for the kernel (called once per drain, after output had been queued). May be NULL. */
	void (*on_drained)(void *context);
	/* The connection made by stream_connect is up. May be NULL for accepted sockets. */
	void (*on_connected)(void *context);
	/* The peer is gone or a timeout passed; the stream reads and writes no more; owner calls stream_free. error is an errno value
	 * or 0. After STREAM_TIMEOUT on an open connection a last word may still be written: stream_write, stream_close_after_flush. */
	void (*on_closed)(void *context, enum stream_close_reason reason, int error);
};

/* Takes the connected descriptor. Reading starts at once. `callbacks` must outlive the stream. Callbacks come only
 * out of the event loop, never from inside a call of this interface. */
struct stream *stream_new(struct event_base *base, int descriptor, const struct stream_callbacks *callbacks, void *context);
/* Starts a TCP or Unix connection; on_connected or on_closed follows, never from inside this call.
 * Returns NULL with errno set when no socket could be made. */
struct stream *stream_connect(struct event_base *base, const struct sockaddr *to, socklen_t to_length,
    const struct stream_callbacks *callbacks, void *context);
/* Closes the descriptor without further ado. Unsent bytes are lost. */
void stream_free(struct stream **stream);
/* Sends what is queued, then closes in the background (bounded by 10 s) and frees. No callbacks any more. What the peer still
 * sends is read and dropped for a moment: closing with unread bytes would reset the connection under our last reply. */
void stream_close_after_flush(struct stream **stream);

void stream_write(struct stream *stream, const void *bytes, size_t length);
/* Tries to send now. */
void stream_flush(struct stream *stream);
/* Bytes queued and not yet taken by the kernel. */
size_t stream_output_length(const struct stream *stream);
/* More than this queued closes the stream with STREAM_OUTPUT_OVERFLOW. 0: no limit (default). */
void stream_set_output_limit(struct stream *stream, size_t bytes);

/* Stops and restarts calls of on_bytes (and reading from the socket). A paused stream still notices that
 * the peer closed (EPOLLRDHUP) only through stream_peer_closed or a failing write. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream); /* on_bytes is called again soon, not from inside this call */
bool stream_is_paused(const struct stream *stream);
/* True when the peer has closed its side or reset, found without consuming bytes (works while paused). */
bool stream_peer_closed(const struct stream *stream);

/* Idle timeout: STREAM_TIMEOUT when neither read nor write moved bytes for so long (while not paused, or while output
 * waits). 0: none. Setting restarts it. */
void stream_set_timeout(struct stream *stream, int64_t timeout_ms);
/* Bytes read that the owner has not taken yet; dropped (for STARTTLS, later). Returns how many. Inside on_bytes all
 * bytes of that call are dropped and counted, whatever it returns. */
size_t stream_drop_input(struct stream *stream);
/* Acknowledges at once what has come, when more is expected: a peer with Nagle's algorithm that writes its answers one by one keeps
 * the second back until the first is acknowledged, which TCP puts off by 40 ms (RFC 9293 3.7.4, 3.8.6.3). */
void stream_acknowledge(struct stream *stream);
uint64_t stream_bytes_read(const struct stream *stream);
int stream_descriptor(const struct stream *stream);

/* The scratch buffer of this process, for code that reads a descriptor in one event callback and leaves nothing behind in it. */
#define STREAM_SCRATCH_SIZE (64u << 10)
char *stream_scratch(void);

#endif
