/* The life of the deliver process: set-up, directories, sandbox, ledger, service, end. Holds no network and no message longer than it
 * takes to write it. */
#include "deliver/deliver.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "conf/child_config.h"
#include "deliver/ledger.h"
#include "deliver/maildir.h"
#include "deliver/poison.h"
#include "deliver/service.h"
#include "deliver/tmp_sweeper.h"
#include "wire/child.h"

#define DRAIN_MS 8000 /* at an orderly stop the proxies have ended before us */
#define TICK_S 60 /* expiry; another try for a ledger that could not be opened */

struct deliver {
	struct event_base *base;
	struct config *config;
	struct child *child;
	struct maildir **maildirs; /* by backend number; behind them the quarantine, when there is one */
	size_t maildir_count; /* without the quarantine */
	struct tmp_sweeper *sweeper;
	int poison; /* directory */
	char *ledger_path;
	struct ledger *ledger;
	struct deliver_service *service;
	struct event *tick_timer, *drain_timer;
	bool draining;
};

/* ---- orders of the master ---- */

static void
on_drain_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct deliver *deliver = context;

	(void)descriptor, (void)what;
	log_warning("stopping though some proxies are still there");
	event_base_loopexit(deliver->base, NULL);
}

/* Nothing is under way between two requests, but proxies that still finish their sessions need us: the end comes with the last of
 * them. Without a master they drain by themselves; we stay as long as they may. */
static void
on_drain(void *context)
{
	struct deliver *deliver = context;
	int64_t patience_ms = DRAIN_MS;

	deliver->draining = true;
	if (deliver->child == NULL || child_master_gone(deliver->child))
		patience_ms += deliver->config->timeouts.drain;
	struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
	if (deliver_service_peers(deliver->service) == 0)
		event_base_loopexit(deliver->base, NULL);
	else
		evtimer_add(deliver->drain_timer, &patience);
}

static void
on_idle(void *context)
{
	struct deliver *deliver = context;

	if (deliver->draining)
		event_base_loopexit(deliver->base, NULL);
}

static void
on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	struct deliver *deliver = context;

	(void)slot, (void)generation;
	if (role == ROLE_PROXY)
		deliver_service_add_peer(deliver->service, descriptor);
	else
		close(descriptor);
}

/* A reload that kept us: the Maildirs are the same in number and place. */
static void
on_configuration(void *context, uint32_t generation, const char *text)
{
	struct deliver *deliver = context;

	child_config_replace(&deliver->config, generation, text);
}

/* ---- life ---- */

/* The absolute path of a directory that the configuration names, made when it is missing. Caller frees. */
static char *
directory_path(const struct config *config, const char *name)
{
	char *path = name[0] == '/' ? memory_copy_string(name) : memory_format("%s/%s", config->data_directory, name);
	char resolved[PATH_MAX];

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		fatal("%s: %s", path, strerror(errno));
	if (realpath(path, resolved) == NULL)
		fatal("%s: %s", path, strerror(errno));
	memory_free(&path);
	return memory_copy_string(resolved);
}

/* What the sandbox is to leave open. */
struct reach {
	char *paths[SHARED_BACKENDS + 3];
	size_t count;
};

static const char *
reach_add(struct reach *reach, const struct config *config, const char *name)
{
	if (reach->count == sizeof reach->paths / sizeof reach->paths[0])
		fatal("too many backends");
	return reach->paths[reach->count++] = directory_path(config, name);
}

static struct maildir *
maildir_add(struct reach *reach, const struct config *config, const char *name)
{
	const char *path = reach_add(reach, config, name);
	struct maildir *maildir = maildir_open(path, config->hostname, clock_system());

	if (maildir == NULL)
		fatal("%s: %s", path, strerror(errno));
	return maildir;
}

static void
open_directories(struct deliver *deliver, struct reach *reach)
{
	static const char scheme[] = "maildir:"; /* the configuration keeps it */
	const struct config *config = deliver->config;

	deliver->ledger_path = memory_format("%s/ledger.db", reach_add(reach, config, "ledger"));
	const char *poison = reach_add(reach, config, "poison");
	deliver->poison = poison_open(poison);
	if (deliver->poison < 0)
		fatal("%s: %s", poison, strerror(errno));
	deliver->maildir_count = config->backend_count;
	deliver->maildirs = memory_new_array(config->backend_count + 1, sizeof(struct maildir *));
	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].protocol == BACKEND_MAILDIR)
			deliver->maildirs[i] = maildir_add(reach, config, config->backends[i].path);
	if (config->quarantine != NULL)
		deliver->maildirs[config->backend_count] = maildir_add(reach, config,
		    config->quarantine + (strncmp(config->quarantine, scheme, sizeof scheme - 1) == 0 ? sizeof scheme - 1 : 0));
}

/* All directories, then the sandbox, then what has to belong to our own user. */
static const char *
open_all(struct deliver *deliver, const struct child_setup *setup)
{
	struct reach reach = {0};

	open_directories(deliver, &reach);
	const char *sandbox = sandbox_enter(&(struct sandbox_options){
		.profile = SANDBOX_DELIVER,
		.role = "deliver",
		.log_only = setup->sandbox_log_only,
		.user = setup->user,
		.chroot_directory = setup->chroot_directory,
		.directories = (const char *const *)reach.paths,
		.directory_count = reach.count,
	});
	for (size_t i = 0; i < reach.count; i++)
		memory_free(&reach.paths[i]);
	return sandbox;
}

/* What libraries open at their first use, opened now. */
static void
warm_up(void)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned size;

	sqlite3_randomness(8, bytes);
	EVP_Digest("", 0, bytes, &size, EVP_sha256(), NULL);
}

static void
ledger_try(struct deliver *deliver)
{
	deliver->ledger = ledger_open(deliver->ledger_path, clock_system());
	if (deliver->ledger == NULL)
		log_alarm("ledger: %s cannot be used: mail for several recipients is taken one recipient at a time", deliver->ledger_path);
}

static void
on_tick(evutil_socket_t descriptor, short what, void *context)
{
	struct deliver *deliver = context;

	(void)descriptor, (void)what;
	if (deliver->ledger != NULL) {
		deliver_service_tick(deliver->service);
		return;
	}
	ledger_try(deliver);
	if (deliver->ledger != NULL)
		deliver_service_set_ledger(deliver->service, deliver->ledger);
}

static void
start(struct deliver *deliver, struct child_setup *setup)
{
	static const struct child_callbacks callbacks = {.on_drain = on_drain, .on_peer = on_peer, .on_configuration = on_configuration};
	static const struct timeval tick = {TICK_S, 0};

	deliver->base = event_base_new();
	if (deliver->base == NULL)
		fatal("no event loop");
	deliver->drain_timer = evtimer_new(deliver->base, on_drain_timer, deliver);
	deliver->tick_timer = event_new(deliver->base, -1, EV_PERSIST, on_tick, deliver);
	event_add(deliver->tick_timer, &tick);
	deliver->child = child_new(deliver->base, &callbacks, deliver);
	log_set_emitter(child_log_line, deliver->child);
	ledger_try(deliver);
	deliver->service = deliver_service_new(&(struct deliver_service_options){
		.base = deliver->base,
		.maildirs = deliver->maildirs,
		.maildir_count = deliver->maildir_count,
		.quarantine = deliver->maildirs[deliver->maildir_count],
		.poison = deliver->poison,
		.ledger = deliver->ledger,
		.clock = clock_system(),
		.page = shared_memory_page(setup->shared, setup->slot),
		.on_idle = on_idle,
		.context = deliver,
	});
	deliver->sweeper = tmp_sweeper_new(deliver->base, deliver->maildirs, deliver->maildir_count + 1, clock_system());
	for (unsigned i = 0; i < setup->peer_count; i++)
		on_peer(deliver, setup->peers[i].role, setup->peers[i].slot, setup->peers[i].generation, setup->peers[i].descriptor);
}

static void
finish(struct deliver *deliver)
{
	deliver_service_free(&deliver->service);
	ledger_close(&deliver->ledger);
	tmp_sweeper_free(&deliver->sweeper);
	for (size_t i = 0; i <= deliver->maildir_count; i++)
		maildir_close(&deliver->maildirs[i]);
	memory_free(&deliver->maildirs);
	close(deliver->poison);
	memory_free(&deliver->ledger_path);
	event_free(deliver->tick_timer);
	event_free(deliver->drain_timer);
	log_set_emitter(NULL, NULL);
	child_free(&deliver->child);
	config_free(&deliver->config);
	event_base_free(deliver->base);
}

int
deliver_process(void)
{
	struct child_setup setup;
	struct deliver deliver = {0};

	log_set_role("deliver", -1);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error to answer, not an end */
	umask(077);
	child_receive_setup(&setup);
	deliver.config = child_config_load(setup.config_name, setup.config_text);
	warm_up();
	const char *sandbox = open_all(&deliver, &setup);
	start(&deliver, &setup);
	child_ready(deliver.child, sandbox);
	event_base_dispatch(deliver.base);
	finish(&deliver);
	return 0;
}
