/* fork and exec. Between the two only async-signal-safe calls. */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What of our environment a child may see. */
static const char *const kept_variables[] = {"LANG", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
#define KEPT_VARIABLES (sizeof kept_variables / sizeof kept_variables[0])

extern char **environ;

static void
keep_environment(char **kept)
{
	size_t count = 0;

	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		for (size_t i = 0; i < KEPT_VARIABLES; i++) {
			size_t length = strlen(kept_variables[i]);

			if (count < KEPT_VARIABLES && strncmp(*entry, kept_variables[i], length) == 0 && (*entry)[length] == '=')
				kept[count++] = *entry;
		}
	kept[count] = NULL;
}

/* The signals that are orders to the master do not reach the children (a terminal's Ctrl-C goes to the whole foreground group, a
 * service manager may signal the whole group): they follow the control channel alone. */
static void
set_signals(void)
{
	static const int ignored[] = {SIGINT, SIGHUP, SIGTERM, SIGUSR1, SIGPIPE};
	struct sigaction action;
	sigset_t none;

	memset(&action, 0, sizeof action);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		sigaction(ignored[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void
become_role(int control, const char *role, char **environment)
{
	static const char failure[] = "postern: cannot start myself again through /proc/self/exe\n";
	char *arguments[] = {(char *)"postern", (char *)"role", (char *)role, NULL};
	int null = open("/dev/null", O_RDONLY);

	setsid();
	set_signals();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	/* dup2 onto itself would leave close-on-exec set. */
	if (control == CONTROL_DESCRIPTOR ? fcntl(control, F_SETFD, 0) == 0 : dup2(control, CONTROL_DESCRIPTOR) >= 0)
		if (close_range(CONTROL_DESCRIPTOR + 1, ~0U, 0) == 0)
			execve("/proc/self/exe", arguments, environment);
	if (write(STDERR_FILENO, failure, sizeof failure - 1) < 0)
		_exit(126);
	_exit(127);
}

bool
spawn_role(enum role role, pid_t *process, int *control)
{
	char *environment[KEPT_VARIABLES + 1];
	const char *name = role_name(role);
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	keep_environment(environment);
	*process = fork();
	if (*process == 0)
		become_role(pair[1], name, environment);
	error = errno;
	close(pair[1]);
	if (*process < 0) {
		close(pair[0]);
		errno = error;
		return false;
	}
	*control = pair[0];
	return true;
}
