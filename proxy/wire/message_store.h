/* The bytes of one message as received (unstuffed, CR LF lines), append-only, then sealed and read by many.
 * Small messages stay in memory of their own; larger ones go to a sealed memfd; when the total over all proxies passes
 * the limit, to an unlinked spool file that is only read with pread (design section 4, step 6). */
#ifndef POSTERN_WIRE_MESSAGE_STORE_H
#define POSTERN_WIRE_MESSAGE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "wire/shared_memory.h"
#include "wire/spool.h"

struct message_store;

struct message_store_options {
	struct shared_memory *shared; /* for totals */
	struct shared_page *page; /* our page */
	uint64_t memory_limit; /* bytes over all processes before spooling starts */
	uint64_t spool_limit; /* bytes over all processes in spool files */
	struct spool_source spool; /* take NULL = no spool */
};

#define MESSAGE_STORE_SMALL (64u << 10) /* bytes kept in plain memory */

/* The options must outlive the store. */
struct message_store *message_store_new(const struct message_store_options *options);
void message_store_free(struct message_store **store);
/* False when there is no room (the client gets 452 4.3.1); the store then stays failed. */
bool message_store_append(struct message_store *store, const void *bytes, size_t length);
/* No more bytes: seals. False when that failed (452 4.3.1). */
bool message_store_finish(struct message_store *store);
uint64_t message_store_length(const struct message_store *store);
/* Reads up to `length` bytes at `offset`; returns how many, 0 at the end, -1 on an I/O error. After finish. */
int64_t message_store_read(struct message_store *store, uint64_t offset, void *bytes, size_t length);
/* All bytes as one run when the message is in memory or a memfd; {NULL,0} for a spool file (use read). After finish. */
struct span message_store_map(struct message_store *store);
/* A new descriptor (caller closes) for the message, sealed or read-only; -1 with errno set. After finish. */
int message_store_descriptor(struct message_store *store);
/* SHA-256 over all bytes, 32 bytes, computed once. False on an I/O error. */
bool message_store_hash(struct message_store *store, unsigned char *digest);

/* Receiver's side: opens what message_store_descriptor sent. Maps it only if it is sealed against shrinking and writing. */
struct message_store *message_store_open(int descriptor); /* takes it; NULL when it is neither */

#endif
