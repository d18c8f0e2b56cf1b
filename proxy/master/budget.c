/* How many processes and descriptors a configuration needs, and whether the machine gives them. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "master/privileges.h"
#include "wire/message_store.h"
#include "wire/shared_memory.h"
#include "dns/resolver.h"

#define DESCRIPTORS_BESIDE (256 + RESOLVER_UDP_SOCKETS + RESOLVER_TCP_SOCKETS) /* DNS, channels, descriptors in flight, the rest of a process */
/* Proxies and workers of a generation: there can be two, each with a deliver; beside them journal, master, those that are just leaving. */
#define PROCESSES_MAX ((SHARED_SLOTS - 8) / 2)
#define WORKERS_MIN 2 /* one that hangs must not be all of them */
#define DESCRIPTORS_PER_WORKER 3 /* its channel, and the messages of the two jobs it may have */

static unsigned
core_count(void)
{
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < 1)
		return 1;
	return (unsigned)CPU_COUNT(&cores);
}

static unsigned
at_most(unsigned number, unsigned limit)
{
	return number < limit ? number : limit;
}

unsigned
privileges_proxy_count(const struct config *config)
{
	if (config->proxies != 0)
		return config->proxies;
	return at_most(core_count(), config->filter_count > 0 ? PROCESSES_MAX / 2 : PROCESSES_MAX);
}

unsigned
privileges_auth_worker_count(const struct config *config)
{
	unsigned others = privileges_proxy_count(config) + 1, count;

	if (config->filter_count == 0)
		return 0;
	if (config->auth_workers != 0)
		return config->auth_workers;
	count = at_most(core_count(), others < PROCESSES_MAX ? PROCESSES_MAX - others : 0);
	return count > WORKERS_MIN ? count : WORKERS_MIN;
}

/* With the spare. */
static unsigned
worker_processes(const struct config *config)
{
	unsigned workers = privileges_auth_worker_count(config);

	return workers > 0 ? workers + 1 : 0;
}

void
privileges_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

uint64_t
privileges_descriptor_budget(const struct config *config)
{
	unsigned proxies = privileges_proxy_count(config);
	/* A proxy a quarter above its share stops accepting. */
	uint64_t sessions = proxies == 1 ? config->limits.sessions : config->limits.sessions / proxies * 5 / 4 + 16;
	/* Only messages beyond plain memory have a descriptor, and only so many fit. */
	uint64_t messages = (config->limits.message_memory + config->limits.spool_size) / MESSAGE_STORE_SMALL;
	uint64_t backends = 0;

	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].protocol != BACKEND_MAILDIR)
			backends += config->backends[i].max_connections;
	if (messages > sessions / 2)
		messages = sessions / 2; /* the other half talks, or holds small ones */
	return sessions + messages + backends + config->listener_count + (uint64_t)DESCRIPTORS_PER_WORKER * privileges_auth_worker_count(config) +
	    DESCRIPTORS_BESIDE;
}

bool
privileges_check_budget(const struct config *config, struct buffer *error)
{
	uint64_t needed = privileges_descriptor_budget(config);
	struct rlimit limit;

	if (privileges_proxy_count(config) + worker_processes(config) > PROCESSES_MAX) {
		buffer_printf(error, "%s: proxies: %u", config->file_name, privileges_proxy_count(config));
		if (worker_processes(config) > 0)
			buffer_printf(error, " and auth_workers: %u (and one spare)", privileges_auth_worker_count(config));
		buffer_printf(error, " are too many, at most %u processes together\n", (unsigned)PROCESSES_MAX);
		return false;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed) {
		buffer_printf(error,
		    "%s: limits.sessions %u over %u proxies (and backends' max_connections) may need %llu open files in one process, but the "
		    "hard limit is %llu: raise it (ulimit -Hn, LimitNOFILE=) or lower limits.sessions\n",
		    config->file_name, config->limits.sessions, privileges_proxy_count(config), (unsigned long long)needed,
		    (unsigned long long)limit.rlim_max);
		return false;
	}
	return true;
}
