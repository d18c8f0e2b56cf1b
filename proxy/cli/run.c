/* postern run: the gateway in the foreground. On a terminal it says, once it serves, how to try it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "conf/config.h"
#include "master/master.h"
#include "master/privileges.h"
#include "cli/commands.h"

static int
usage(FILE *to)
{
	fprintf(to, "usage: postern run [-c FILE] [--hints]\n"
	            "  -c, --config FILE   default %s\n"
	            "  --hints             say how to try it, as on a terminal\n",
	    CONFIG_DEFAULT_FILE);
	return to == stdout ? 0 : 2;
}

/* "*:25" and "[::]:25" are reached at a loopback address too. */
static void
append_server(struct buffer *out, const char *address)
{
	const char *port = strrchr(address, ':');

	if (address[0] == '*' || strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0)
		buffer_printf(out, "127.0.0.1%s", port);
	else
		buffer_append_string(out, address);
}

static void
append_maildirs(struct buffer *out, const struct config *config, const char *recipient)
{
	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].protocol == BACKEND_MAILDIR) {
			char *path = privileges_path(config, config->backends[i].path);

			buffer_printf(out, "  The message is then in   %s/%s/new\n", path, recipient);
			memory_free(&path);
			return;
		}
	if (config->backend_count > 0)
		buffer_printf(out, "  The message is then at   %s\n", config->backends[0].url);
}

static void
print_hints(const struct config *config)
{
	const char *domain = config->domains.count > 0 ? config->domains.items[0] : "example.org";
	char *recipient = memory_format("someone@%s", domain);
	struct buffer out = {0};

	buffer_append_string(&out, "\npostern serves.\n");
	for (size_t i = 0; i < config->listener_count; i++)
		buffer_printf(&out, "  It listens on            %s\n", config->listeners[i].address);
	if (config->listener_count > 0) {
		buffer_append_string(&out, "  Send a message with      swaks --server ");
		append_server(&out, config->listeners[0].address);
		buffer_printf(&out, " --from you@example.com --to %s\n", recipient);
	}
	append_maildirs(&out, config, recipient);
	buffer_printf(&out, "  Its story is shown by    %s trace -c %s QUEUEID   (the ID is in the reply to the message)\n",
	    program_invocation_name, config->file_name);
	buffer_printf(&out, "  The gateway's state by   %s status -c %s\n", program_invocation_name, config->file_name);
	buffer_append_string(&out, "  Ctrl-C ends it.\n\n");
	fwrite(out.data, 1, out.length, stdout);
	fflush(stdout);
	buffer_free(&out);
	memory_free(&recipient);
}

int
cli_run(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"hints", no_argument, NULL, 'i'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct master_options master = {.config_file = CONFIG_DEFAULT_FILE};
	bool hints = isatty(STDOUT_FILENO);
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'c')
			master.config_file = optarg;
		else if (option == 'i')
			hints = true;
		else
			return usage(option == 'h' ? stdout : stderr);
	}
	if (optind != argc)
		return usage(stderr);
	master.on_serving = hints ? print_hints : NULL;
	return master_run(&master);
}
