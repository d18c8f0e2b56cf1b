/* What makes two deliveries of a message "the same": a hash over body and header fields, without those that relays add on the way. */
#ifndef POSTERN_FRONT_FINGERPRINT_H
#define POSTERN_FRONT_FINGERPRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/header.h"
#include "wire/message_store.h"

#define FINGERPRINT_SIZE 32

/* SHA-256 over the message but its trace header fields (Received, Return-Path, authentication results and their like).
 * False when the message cannot be read. */
bool fingerprint_make(struct message_store *message, const struct header_block *headers, uint8_t *digest);

#endif
