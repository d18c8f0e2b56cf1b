/* postern role NAME: the life of one child, started by the master with its control channel as descriptor 3. Not for people. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "wire/roles.h"
#include "filters/worker.h"
#include "deliver/deliver.h"
#include "journal/journal.h"
#include "front/proxy.h"
#include "cli/commands.h"

static const struct {
	enum role role;
	int (*process)(void); /* the whole life; the result is the exit status */
} roles[] = {
	{ROLE_PROXY, proxy_process},
	{ROLE_DELIVER, deliver_process},
	{ROLE_JOURNAL, journal_process},
	{ROLE_AUTH, auth_worker_process},
};

/* A person who tries it gets a sentence instead of a strange failure. */
static bool
was_started_by_master(void)
{
	int kind;
	socklen_t length = sizeof kind;

	return getsockopt(CONTROL_DESCRIPTOR, SOL_SOCKET, SO_TYPE, &kind, &length) == 0 && kind == SOCK_STREAM;
}

int
cli_role(int argc, char **argv)
{
	int role = argc == 2 ? role_from_name(argv[1]) : -1;

	if (!was_started_by_master()) {
		fprintf(stderr, "postern role is how the master starts its processes; use postern run\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if ((int)roles[i].role == role) {
			log_set_role(argv[1], -1);
			return roles[i].process();
		}
	fprintf(stderr, "postern role: no such role\n");
	return 2;
}
