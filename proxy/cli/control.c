/* Finding the control socket through the configuration, and asking. */
#include "cli/control.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "conf/config.h"
#include "master/control_socket.h"

static int
usage(FILE *to, const char *command, bool takes_json)
{
	fprintf(to, "usage: postern %s [-c FILE | --socket PATH]%s\n"
	            "  -c, --config FILE   default %s\n"
	            "  --socket PATH       the control socket itself, where the configuration cannot be read\n",
	    command, takes_json ? " [--json]" : "", CONFIG_DEFAULT_FILE);
	return to == stdout ? 0 : 2;
}

/* The value of a plain "name: value" line at the left margin, or NULL. */
static char *
find_plain_value(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += line != text;
		if (strncmp(line, name, length) == 0 && line[length] == ':') {
			const char *at = line + length + 1 + strspn(line + length + 1, " \t\"'");

			return memory_copy_text(at, strcspn(at, " \t\"'\r\n"));
		}
	}
	return NULL;
}

/* The running gateway must be reachable while its file is being changed and does not load: then the two lines that matter are
 * looked for without understanding the rest. */
static char *
socket_of_broken_config(const char *file_name)
{
	char text[65536], *directory, *path;
	FILE *file = fopen(file_name, "re");

	if (file == NULL)
		return NULL;
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	path = find_plain_value(text, "control_socket");
	if (path != NULL)
		return path;
	directory = find_plain_value(text, "data_directory");
	path = memory_format("%s/control", directory != NULL ? directory : "/var/lib/postern");
	memory_free(&directory);
	return path;
}

static char *
socket_of_config(const char *file_name)
{
	struct config_errors errors = {0};
	struct config *config = config_load_file(file_name, NULL, &errors);
	char *path = config != NULL ? memory_copy_string(config->control_socket) : socket_of_broken_config(file_name);

	if (path == NULL)
		fputs(buffer_text(&errors.text), stderr);
	config_free(&config);
	buffer_free(&errors.text);
	return path;
}

int
control_arguments_read(int argc, char **argv, bool takes_json, struct control_arguments *arguments)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *file_name = CONFIG_DEFAULT_FILE;
	int option;

	*arguments = (struct control_arguments){0};
	while ((option = getopt_long(argc, argv, "c:s:h", options, NULL)) != -1) {
		if (option == 'c')
			file_name = optarg;
		else if (option == 's')
			arguments->socket = memory_copy_string(optarg);
		else if (option == 'j' && takes_json)
			arguments->json = true;
		else
			return usage(option == 'h' ? stdout : stderr, argv[0], takes_json);
	}
	if (optind != argc)
		return usage(stderr, argv[0], takes_json);
	if (arguments->socket == NULL)
		arguments->socket = socket_of_config(file_name);
	return arguments->socket != NULL ? -1 : 1;
}

int
control_ask(const struct control_arguments *arguments, const char *line, struct buffer *answer)
{
	if (control_request(arguments->socket, line, answer))
		return 0;
	fwrite(answer->data, 1, answer->length, stderr);
	buffer_clear(answer);
	return 1;
}
