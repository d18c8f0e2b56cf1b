/* postern check-config: everything that is wrong with a configuration, as file:line:column: what. Changes nothing. */
#include <getopt.h>
#include <stdio.h>

#include "base/buffer.h"
#include "conf/config.h"
#include "cli/commands.h"

static int
usage(FILE *to)
{
	fprintf(to, "usage: postern check-config [-c FILE]\n  -c, --config FILE   default %s\n", CONFIG_DEFAULT_FILE);
	return to == stdout ? 0 : 2;
}

int
cli_check_config(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *file_name = CONFIG_DEFAULT_FILE;
	struct config_errors errors = {0};
	struct config *config;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'c')
			file_name = optarg;
		else
			return usage(option == 'h' ? stdout : stderr);
	}
	if (optind != argc)
		return usage(stderr);
	config = config_load_file(file_name, NULL, &errors);
	if (config != NULL)
		printf("%s: ok\n", file_name);
	else
		fputs(buffer_text(&errors.text), stderr);
	config_free(&config);
	buffer_free(&errors.text);
	return errors.count == 0 ? 0 : 1;
}
