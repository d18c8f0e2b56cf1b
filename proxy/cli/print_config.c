/* postern print-config: the configuration in force with its defaults, or the reference of all options. Changes nothing. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buffer.h"
#include "conf/config.h"
#include "cli/commands.h"

static int
usage(FILE *to)
{
	fprintf(to,
	    "usage: postern print-config [-c FILE | --reference]\n"
	    "  -c, --config FILE   default %s\n"
	    "  -r, --reference     every option with type, range, default and description\n",
	    CONFIG_DEFAULT_FILE);
	return to == stdout ? 0 : 2;
}

static bool
print_file(const char *file_name, struct buffer *out)
{
	struct config_errors errors = {0};
	struct config *config = config_load_file(file_name, NULL, &errors);
	bool ok = config != NULL;

	if (ok)
		config_print(config, out);
	else
		fputs(buffer_text(&errors.text), stderr);
	config_free(&config);
	buffer_free(&errors.text);
	return ok;
}

int
cli_print_config(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"reference", no_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *file_name = CONFIG_DEFAULT_FILE;
	bool reference = false;
	struct buffer out = {0};
	bool ok = true;
	int option;

	while ((option = getopt_long(argc, argv, "c:rh", options, NULL)) != -1) {
		if (option == 'c')
			file_name = optarg;
		else if (option == 'r')
			reference = true;
		else
			return usage(option == 'h' ? stdout : stderr);
	}
	if (optind != argc)
		return usage(stderr);
	if (reference)
		config_print_reference(&out);
	else
		ok = print_file(file_name, &out);
	fwrite(out.data, 1, out.length, stdout);
	buffer_free(&out);
	return ok && fflush(stdout) == 0 ? 0 : 1;
}
