/* The listening sockets of one configuration. Those a reload keeps are the same sockets: no connection waiting in them is lost. */
#ifndef POSTERN_MASTER_LISTENERS_H
#define POSTERN_MASTER_LISTENERS_H

#include "base/buffer.h"
#include "conf/config.h"

struct listeners;

/* Binds what `before` (may be NULL) does not have already. NULL, with a line in `error`, when one cannot be bound. */
struct listeners *listeners_new(const struct config *config, const struct listeners *before, struct buffer *error);
/* Closes our copies; children keep theirs. */
void listeners_free(struct listeners **listeners);
size_t listeners_count(const struct listeners *listeners);
int listeners_descriptor(const struct listeners *listeners, size_t index);

#endif
