/* Message bytes from DATA or BDAT into the message store, under the line rules and limits (design section 4, step 6). */
#ifndef POSTERN_FRONT_RECEIVE_H
#define POSTERN_FRONT_RECEIVE_H

#include "front/transaction.h"

/* DATA was accepted and answered 354. */
void receive_begin_data(struct transaction *transaction);
/* BDAT: a chunk of so many octets follows (RFC 3030). */
void receive_begin_chunk(struct session *session, uint64_t octets, bool last);
/* Message bytes; returns how many were taken. May end the transaction. */
size_t receive_bytes(struct transaction *transaction, const char *bytes, size_t length);

#endif
