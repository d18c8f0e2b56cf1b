/* postern stop: comes back when the gateway has ended. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/control.h"

int
cli_stop(int argc, char **argv)
{
	struct control_arguments arguments;
	struct buffer answer = {0};
	int status = control_arguments_read(argc, argv, false, &arguments);

	if (status < 0)
		status = control_ask(&arguments, "stop", &answer);
	buffer_free(&answer);
	memory_free(&arguments.socket);
	return status;
}
