/* The payload of a message between processes: typed writers into a buffer, bounded typed readers out of it.
 * Never a struct cast. A reader error is sticky; a payload not read to its end is an error. Little-endian. */
#ifndef POSTERN_WIRE_FRAME_H
#define POSTERN_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define FRAME_PAYLOAD_MAX (8u << 20) /* bytes in one payload */
#define FRAME_DESCRIPTORS_MAX 8 /* descriptors attached to one frame */

void frame_put_u8(struct buffer *payload, uint8_t value);
void frame_put_u16(struct buffer *payload, uint16_t value);
void frame_put_u32(struct buffer *payload, uint32_t value);
void frame_put_u64(struct buffer *payload, uint64_t value);
void frame_put_i64(struct buffer *payload, int64_t value);
void frame_put_bool(struct buffer *payload, bool value);
/* Length and bytes. */
void frame_put_span(struct buffer *payload, struct span value);
/* A string; NULL and "" are kept apart. */
void frame_put_string(struct buffer *payload, const char *value);

struct frame_reader {
	const char *at;
	size_t left;
	bool failed;
};

void frame_reader_init(struct frame_reader *reader, const void *payload, size_t length);
/* After a failure all of these return 0, an empty span or NULL. */
uint8_t frame_get_u8(struct frame_reader *reader);
uint16_t frame_get_u16(struct frame_reader *reader);
uint32_t frame_get_u32(struct frame_reader *reader);
uint64_t frame_get_u64(struct frame_reader *reader);
int64_t frame_get_i64(struct frame_reader *reader);
bool frame_get_bool(struct frame_reader *reader); /* anything but 0 and 1 fails */
struct span frame_get_span(struct frame_reader *reader); /* points into the payload */
/* A copy of a string (caller frees), or NULL as it was put; a NUL inside fails. */
char *frame_get_string(struct frame_reader *reader);
/* A count of things of which each takes at least `minimum_bytes`: fails if more are promised than can be left. */
uint32_t frame_get_count(struct frame_reader *reader, size_t minimum_bytes);
/* True when everything was read and nothing failed. */
bool frame_reader_finish(const struct frame_reader *reader);

#endif
