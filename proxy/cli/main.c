/* postern: one program, its subcommands in one table. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments; /* NULL: not shown to people */
	const char *description;
} commands[] = {
	{"run", cli_run, "[-c FILE]", "the gateway, in the foreground"},
	{"check-config", cli_check_config, "[-c FILE]", "what is wrong with the configuration, as file:line:column"},
	{"print-config", cli_print_config, "[-c FILE]", "the effective configuration, defaults included"},
	{"check-message", cli_check_message, "MESSAGE OPTIONS", "what the filters would say of a stored message, and why"},
	{"trace", cli_trace, "QUEUEID | SEARCH", "what happened to a message, stage by stage"},
	{"status", cli_status, "[-c FILE] [--json]", "processes, sessions, messages, backends"},
	{"reload", cli_reload, "[-c FILE]", "takes the changed configuration into use without losing a session"},
	{"stop", cli_stop, "[-c FILE]", "ends the gateway in good order"},
	{"role", cli_role, NULL, NULL},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static int
usage(FILE *to)
{
	fprintf(to, "usage: postern COMMAND [OPTIONS]\n");
	for (size_t i = 0; i < COMMANDS; i++)
		if (commands[i].arguments != NULL)
			fprintf(to, "  %-13s %-19s %s\n", commands[i].name, commands[i].arguments, commands[i].description);
	return to == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "postern: no command %s\n", argv[1]);
	return usage(stderr);
}
