/* The life of the master: check, bind, start, serve signals and the control socket, stop. */
#include "master/master.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "master/control_socket.h"
#include "master/generation.h"
#include "master/log_output.h"
#include "master/privileges.h"
#include "master/status.h"
#include "master/supervise.h"

struct master {
	const struct master_options *options;
	struct event_base *base;
	struct log_output *log_output;
	struct control_socket *control;
	struct supervisor *supervisor;
	struct event *signals[8];
	size_t signal_count;
	int status;
};

/* Signals: each is one row. */

static void
order_stop(struct master *master)
{
	supervisor_stop(master->supervisor);
}

static void
order_reload(struct master *master)
{
	supervisor_reload(master->supervisor);
}

static void
order_reopen(struct master *master)
{
	supervisor_reopen_log(master->supervisor);
}

static const struct {
	int number;
	void (*run)(struct master *master);
} orders[] = {
	{SIGTERM, order_stop},
	{SIGINT, order_stop},
	{SIGHUP, order_reload},
	{SIGUSR1, order_reopen},
};

static void
on_signal(evutil_socket_t number, short what, void *context)
{
	struct master *master = context;

	(void)what;
	for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
		if (orders[i].number == number)
			orders[i].run(master);
}

static void
listen_to_signals(struct master *master)
{
	for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
		struct event *event = evsignal_new(master->base, orders[i].number, on_signal, master);

		ASSERT(event != NULL && evsignal_add(event, NULL) == 0);
		master->signals[master->signal_count++] = event;
	}
}

/* What the supervisor tells. */

static void
on_serving(void *context, const struct config *config)
{
	struct master *master = context;

	if (master->options->on_serving != NULL)
		master->options->on_serving(config);
}

static void
on_failed(void *context, const char *reason)
{
	struct master *master = context;

	log_error("cannot start: %s", reason);
	master->status = EXIT_FAILURE;
	event_base_loopbreak(master->base);
}

static void
on_reloaded(void *context, uint64_t ticket, const char *error)
{
	struct master *master = context;

	if (master->control != NULL)
		control_socket_reloaded(master->control, ticket, error);
}

static void
on_stopped(void *context)
{
	struct master *master = context;

	log_info("stopped");
	event_base_loopbreak(master->base);
}

static const struct supervisor_callbacks supervisor_callbacks = {
	.on_serving = on_serving, .on_failed = on_failed, .on_reloaded = on_reloaded, .on_stopped = on_stopped};

/* What the control socket asks. */

static void
control_status(void *context, bool json, struct buffer *out)
{
	struct master *master = context;

	(json ? status_write_json : status_write_text)(master->supervisor, out);
}

static uint64_t
control_reload(void *context)
{
	struct master *master = context;

	return supervisor_reload(master->supervisor);
}

static void
control_stop(void *context)
{
	struct master *master = context;

	supervisor_stop(master->supervisor);
}

static const struct control_callbacks control_callbacks = {.status = control_status, .reload = control_reload, .stop = control_stop};

/* Descriptors 0, 1 and 2 exist, so that no socket of ours takes their place. */
static void
keep_standard_descriptors(void)
{
	int descriptor;

	do
		descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (descriptor >= 0 && descriptor <= STDERR_FILENO && fcntl(descriptor, F_SETFD, 0) == 0);
	if (descriptor >= 0)
		close(descriptor);
}

static void
prepare_process(struct master *master)
{
	keep_standard_descriptors();
	umask(0022);
	signal(SIGPIPE, SIG_IGN);
	log_set_role("master", -1);
	privileges_raise_limits();
	master->base = event_base_new();
	if (master->base == NULL)
		fatal("cannot make an event loop");
	master->log_output = log_output_new();
}

/* False, with lines in `error`, when something stands against a start; nothing is left behind then. */
static bool
start(struct master *master, struct buffer *error)
{
	struct generation *first = generation_load(master->options->config_file, 1, NULL, error);
	char *group;

	if (first == NULL)
		return false;
	group = privileges_user(first->config, ROLE_PROXY);
	if (log_output_configure(master->log_output, first->config, error))
		master->control = control_socket_new(master->base, first->config->control_socket, group[0] != '\0' ? group : NULL,
		    &control_callbacks, master, error);
	memory_free(&group);
	if (master->control == NULL) {
		generation_free(&first);
		return false;
	}
	log_set_emitter(log_output_line, master->log_output);
	listen_to_signals(master);
	master->supervisor = supervisor_new(master->base, clock_system(), master->options->config_file, first, master->log_output,
	    &supervisor_callbacks, master);
	return true;
}

static void
finish(struct master *master)
{
	supervisor_free(&master->supervisor);
	control_socket_free(&master->control);
	for (size_t i = 0; i < master->signal_count; i++)
		event_free(master->signals[i]);
	log_set_emitter(NULL, NULL);
	log_output_free(&master->log_output);
	event_base_free(master->base);
}

int
master_run(const struct master_options *options)
{
	struct master master = {.options = options, .status = EXIT_SUCCESS};
	struct buffer error = {0};

	prepare_process(&master);
	if (start(&master, &error)) {
		event_base_dispatch(master.base);
	} else {
		/* Each line says file and place itself. */
		if (write(STDERR_FILENO, error.data, error.length) < 0)
			master.status = EXIT_FAILURE;
		master.status = EXIT_FAILURE;
	}
	buffer_free(&error);
	finish(&master);
	return master.status;
}
