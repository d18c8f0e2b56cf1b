/* postern status: what the running gateway is doing. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/control.h"

int
cli_status(int argc, char **argv)
{
	struct control_arguments arguments;
	struct buffer answer = {0};
	int status = control_arguments_read(argc, argv, true, &arguments);

	if (status < 0)
		status = control_ask(&arguments, arguments.json ? "status json" : "status", &answer);
	fwrite(answer.data, 1, answer.length, stdout);
	buffer_free(&answer);
	memory_free(&arguments.socket);
	return status;
}
