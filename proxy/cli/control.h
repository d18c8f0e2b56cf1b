/* What status, reload and stop have in common: options, and a question to the running master. */
#ifndef POSTERN_CLI_CONTROL_H
#define POSTERN_CLI_CONTROL_H

#include <stdbool.h>

#include "base/buffer.h"

struct control_arguments {
	char *socket; /* path; free with memory_free */
	bool json;
};

/* Reads "[-c FILE | --socket PATH] [--json]" (--json only where `takes_json`). Below 0: go on; else the exit status. */
int control_arguments_read(int argc, char **argv, bool takes_json, struct control_arguments *arguments);
/* Asks; prints what went wrong. The exit status. */
int control_ask(const struct control_arguments *arguments, const char *line, struct buffer *answer);

#endif
