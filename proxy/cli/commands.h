/* The subcommands of postern. argv[0] is the subcommand's own name, options follow; the result is the exit status:
 * 0 done, 1 it failed or something is wrong, 2 the command line itself is wrong. */
#ifndef POSTERN_CLI_COMMANDS_H
#define POSTERN_CLI_COMMANDS_H

int cli_run(int argc, char **argv);
int cli_check_config(int argc, char **argv);
int cli_print_config(int argc, char **argv);
/* Its exit status says the verdict: see cli/check_message.h. */
int cli_check_message(int argc, char **argv);
int cli_trace(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_stop(int argc, char **argv);
/* `postern role NAME`: what the master executes for each of its children; not for people. */
int cli_role(int argc, char **argv);

#endif
