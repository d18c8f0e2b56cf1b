/* By what the trace knows a message again when it is to be judged once more: SHA-256 over its first MiB, which is all of most messages and
 * costs a loop no more than a millisecond of any. */
#ifndef POSTERN_CHAIN_MESSAGE_DIGEST_H
#define POSTERN_CHAIN_MESSAGE_DIGEST_H

#include <stdbool.h>

#include "wire/message_store.h"

#define MESSAGE_DIGEST_BYTES (1u << 20)
#define MESSAGE_DIGEST_TEXT_SIZE 65 /* 64 hexadecimal digits */

/* The digest of what stands from `offset` on. False when it cannot be read. */
bool message_digest(struct message_store *message, uint64_t offset, char *text);

#endif
