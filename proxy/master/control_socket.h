/* The Unix socket behind `postern status`, `reload` and `stop`: one line in, an answer, end of file. Only root, our own user and the
 * socket's group are heard. The first line of an answer is "ok" or "error: ..."; what follows is the answer's text. */
#ifndef POSTERN_MASTER_CONTROL_SOCKET_H
#define POSTERN_MASTER_CONTROL_SOCKET_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct control_socket;

struct control_callbacks {
	void (*status)(void *context, bool json, struct buffer *out);
	uint64_t (*reload)(void *context); /* a ticket; control_socket_reloaded answers it later */
	void (*stop)(void *context);
};

/* group: name of the group that may use it besides root and us, NULL = our own. NULL, with a line in `error`, when
 * impossible: also when another postern answers there. */
struct control_socket *control_socket_new(struct event_base *base, const char *path, const char *group, const struct control_callbacks *callbacks,
    void *context, struct buffer *error);
/* Closes and removes it; who still waits gets end of file. */
void control_socket_free(struct control_socket **control);
/* Answers all who asked for a reload with a ticket up to this one. */
void control_socket_reloaded(struct control_socket *control, uint64_t ticket, const char *error);

/* The other side, for the subcommands: sends one line and collects the answer's text; blocks. False on "error: ..." or when nobody
 * is there; the text then says why. */
bool control_request(const char *path, const char *line, struct buffer *answer);

#endif
