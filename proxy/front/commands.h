/* The command table: check, then filter, then proceed. */
#ifndef POSTERN_FRONT_COMMANDS_H
#define POSTERN_FRONT_COMMANDS_H

#include "base/buffer.h"
#include "front/session.h"

/* Handles one command line without its line end. more_input: bytes are already waiting behind it, which is a protocol error
 * for commands that end a pipelining group (RFC 2920 3.1). */
void session_command(struct session *session, struct span line, bool more_input);

#endif
