/* Listening sockets, shared by all proxies: accepting, and not accepting when that would hurt. */
#ifndef POSTERN_FRONT_LISTENER_H
#define POSTERN_FRONT_LISTENER_H

#include "front/front.h"

struct listener;

/* Takes the bound, listening descriptor. */
struct listener *listener_new(struct front *front, int descriptor);
/* Stops accepting and closes our copy of the descriptor. */
void listener_free(struct listener **listener);

#endif
