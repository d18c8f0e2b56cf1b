/* The life of an auth worker: set-up, filters opened, sandbox, jobs one after the other, end. Holds nothing between two jobs, and opens
 * nothing after the sandbox: it may be killed at any instant, and only the job it has announced is lost. */
#include "filters/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "wire/channel.h"
#include "wire/child.h"
#include "conf/child_config.h"
#include "filters/job.h"
#include "filters/run.h"

#define IDLE_MS 20 /* without a job: then a worker that has done its share leaves */
#define OVERTIME 2 /* times its share, for one that is never idle */
#define DRAIN_MARGIN_MS 10000 /* beyond what the proxies have for draining */

struct worker {
	struct event_base *base;
	struct config *config;
	struct filter_set *filters;
	struct child *child;
	const struct clock *clock;
	struct shared_page *page;
	uint32_t generation;
	LIST_HEAD(peers, peer) peers;
	struct event *idle_timer, *drain_timer;
	uint64_t jobs; /* run so far */
	bool draining;
};

/* A proxy. */
struct peer {
	struct worker *worker;
	struct channel *channel;
	unsigned slot;
	LIST_ENTRY(peer) link;
};

static struct timeval
timeval_of(int64_t ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- jobs ---- */

static void
on_idle(evutil_socket_t descriptor, short what, void *context)
{
	struct worker *worker = context;

	(void)descriptor, (void)what;
	event_base_loopexit(worker->base, NULL);
}

/* What a proxy has sent meanwhile and we have not read it sends again, to another worker. */
static void
count_job(struct worker *worker)
{
	const struct timeval idle = timeval_of(IDLE_MS);
	uint64_t share = worker->config->auth_worker_recycle;

	worker->jobs++;
	if (worker->jobs >= share * OVERTIME)
		event_base_loopexit(worker->base, NULL);
	else if (worker->jobs >= share)
		event_add(worker->idle_timer, &idle);
}

/* True when the job speaks of our configuration and has what its stage needs. */
static bool
job_is_ours(const struct worker *worker, const struct worker_job *job, size_t descriptor_count)
{
	return job->job.generation == worker->generation && filter_set_covers(worker->filters, job->first, job->end) &&
	    descriptor_count == (job->job.stage >= STAGE_MESSAGE ? 1 : 0);
}

/* Reads the job, runs it and encodes what came of it. */
static bool
job_do(struct worker *worker, struct frame_reader *payload, int *descriptors, size_t descriptor_count, struct buffer *answer)
{
	struct run_result result = {0};
	struct worker_job job;
	bool good;

	if (!worker_job_decode(payload, &job))
		return false;
	good = job_is_ours(worker, &job, descriptor_count);
	if (good && descriptor_count == 1) {
		good = worker_job_open_message(&job, descriptors[0], &worker->config->limits);
		descriptors[0] = -1;
	}
	if (good) {
		filter_run(worker->filters, worker->clock, &job.job, job.ask, job.first, job.end, &result);
		/* Every part of a result is bounded, and all of them together fit. */
		ASSERT(worker_result_encode(job.id, &result, answer));
	}
	run_result_clear(&result);
	worker_job_clear(&job);
	return good;
}

/* Announced before the first byte is looked at, and until there is nothing left that could go wrong. */
static bool
on_job(struct peer *peer, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	struct worker *worker = peer->worker;
	struct frame_reader front = *payload;
	struct buffer answer = {0};
	bool good;

	shared_job_announce(worker->page, peer->slot, frame_get_u64(&front));
	good = job_do(worker, payload, descriptors, descriptor_count, &answer);
	shared_job_clear(worker->page);
	if (good) {
		channel_send(peer->channel, WORKER_RESULT, &answer, NULL, 0);
		channel_flush(peer->channel); /* before the next job, which may take long */
		count_job(worker);
	}
	buffer_free(&answer);
	return good;
}

/* ---- proxies ---- */

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t descriptor_count)
{
	return type == WORKER_JOB && on_job(context, payload, descriptors, descriptor_count);
}

static void
leave_when_drained(struct worker *worker)
{
	if (worker->draining && LIST_EMPTY(&worker->peers))
		event_base_loopexit(worker->base, NULL);
}

static void
peer_remove(struct peer *peer)
{
	LIST_REMOVE(peer, link);
	channel_free(&peer->channel);
	memory_free_block(peer);
}

static void
on_closed(void *context, const char *reason)
{
	struct peer *peer = context;
	struct worker *worker = peer->worker;

	if (strcmp(reason, "malformed frame") == 0)
		log_error("the proxy in slot %u sent a job that makes no sense", peer->slot);
	peer_remove(peer);
	leave_when_drained(worker);
}

static void
on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	static const struct channel_callbacks callbacks = {on_frame, on_closed};
	struct worker *worker = context;
	struct peer *peer;

	(void)generation; /* each job says its own */
	if (role != ROLE_PROXY) {
		close(descriptor);
		return;
	}
	peer = memory_new(sizeof *peer);
	peer->worker = worker;
	peer->slot = slot;
	peer->channel = channel_new(worker->base, descriptor, &callbacks, peer);
	LIST_INSERT_HEAD(&worker->peers, peer, link);
}

/* ---- orders of the master ---- */

static void
on_drain_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct worker *worker = context;

	(void)descriptor, (void)what;
	log_warning("stopping though some proxies are still there");
	event_base_loopexit(worker->base, NULL);
}

/* Proxies that finish their sessions still need us: the end comes with the last of them. */
static void
on_drain(void *context)
{
	struct worker *worker = context;
	const struct timeval patience = timeval_of(worker->config->timeouts.drain + DRAIN_MARGIN_MS);

	worker->draining = true;
	event_add(worker->drain_timer, &patience);
	leave_when_drained(worker);
}

/* ---- life ---- */

/* What needs files or makes descriptors. */
static void
open_everything(struct worker *worker, const struct child_setup *setup)
{
	struct buffer problem = {0};
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;

	worker->clock = clock_system();
	worker->generation = setup->generation;
	worker->page = shared_memory_page(setup->shared, setup->slot);
	worker->base = event_base_new();
	if (worker->base == NULL)
		fatal("no event loop");
	worker->idle_timer = evtimer_new(worker->base, on_idle, worker);
	worker->drain_timer = evtimer_new(worker->base, on_drain_timer, worker);
	EVP_Digest("", 0, digest, &size, EVP_sha256(), NULL); /* libcrypto reads its configuration at the first use */
	worker->filters = filter_set_open(worker->config, &problem);
	if (worker->filters == NULL)
		fatal("%s", buffer_text(&problem));
}

/* What is private and writable counts; the message, mapped read-only, does not. The sanitizers need more than any limit allows. */
static void
limit_memory(const struct worker *worker)
{
#if !defined(__SANITIZE_ADDRESS__)
	const struct rlimit limit = {worker->config->auth_worker_memory, worker->config->auth_worker_memory};

	if (setrlimit(RLIMIT_DATA, &limit) != 0)
		fatal("cannot limit the memory: %s", strerror(errno));
#else
	(void)worker;
#endif
}

static const char *
enter_sandbox(const struct child_setup *setup)
{
	const struct sandbox_options options = {
		.profile = SANDBOX_AUTH,
		.role = "auth",
		.log_only = setup->sandbox_log_only,
		.user = setup->user,
		.chroot_directory = setup->chroot_directory,
	};

	return sandbox_enter(&options);
}

static void
start(struct worker *worker, const struct child_setup *setup)
{
	static const struct child_callbacks callbacks = {.on_drain = on_drain, .on_peer = on_peer};

	worker->child = child_new(worker->base, &callbacks, worker);
	log_set_emitter(child_log_line, worker->child);
	for (unsigned i = 0; i < setup->peer_count; i++)
		on_peer(worker, setup->peers[i].role, setup->peers[i].slot, setup->peers[i].generation, setup->peers[i].descriptor);
}

static void
finish(struct worker *worker)
{
	struct peer *peer;

	while ((peer = LIST_FIRST(&worker->peers)) != NULL)
		peer_remove(peer);
	filter_set_close(&worker->filters);
	event_free(worker->idle_timer);
	event_free(worker->drain_timer);
	log_set_emitter(NULL, NULL);
	child_free(&worker->child);
	config_free(&worker->config);
	event_base_free(worker->base);
}

int
auth_worker_process(void)
{
	struct child_setup setup;
	struct worker worker = {0};

	signal(SIGPIPE, SIG_IGN);
	child_receive_setup(&setup);
	log_set_role("auth", (int)setup.index);
	worker.config = child_config_load(setup.config_name, setup.config_text);
	open_everything(&worker, &setup);
	limit_memory(&worker);
	const char *sandbox = enter_sandbox(&setup);
	start(&worker, &setup);
	child_ready(worker.child, sandbox);
	event_base_dispatch(worker.base);
	finish(&worker);
	return 0;
}
