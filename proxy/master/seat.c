/* Filling a seat, and what follows an end. */
#include "master/seat.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/sandbox.h"
#include "master/privileges.h"
#include "master/workers.h"

#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 10000 /* after ends before READY */
#define HASTY_DELAY_MAX_MS 800 /* after ends just behind it: back within a second all the same */
#define HASTY_US 1000000

static void seat_fill(struct seat *seat);

/* Whom a process of this seat works with. */

static bool
are_peers(const struct seat *seat, const struct seat *other)
{
	const struct seat *proxy = seat->role == ROLE_PROXY ? seat : other, *server = proxy == seat ? other : seat;

	if (proxy->role != ROLE_PROXY || server->role == ROLE_PROXY)
		return false;
	if (server->role == ROLE_AUTH)
		return !server->spare && proxy->generation != NULL && proxy->generation == server->generation;
	if (server->role == ROLE_DELIVER)
		return proxy->generation != NULL && proxy->generation->deliver == server;
	return server->role == ROLE_JOURNAL;
}

void
seat_connect(struct seat *seat)
{
	struct seat *other;

	TAILQ_FOREACH (other, &seat->supervisor->seats, entry)
		if (other != seat && other->process != NULL && are_peers(seat, other))
			process_connect(seat->process, other->process);
}

static void
on_ready(void *context, struct process *process)
{
	struct seat *seat = context;
	struct buffer who = {0};

	seat->failures = 0;
	process_describe(process, &who);
	(seat->recycled ? log_debug : log_info)("%s serves generation %u, sandbox %s", buffer_text(&who), process->generation, process->sandbox);
	buffer_free(&who);
	if (seat->spare)
		workers_fill_gap(seat->supervisor, seat->generation, false);
	if (seat == seat->supervisor->journal)
		losses_deliver(seat->supervisor->losses, process);
	supervisor_advance(seat->supervisor);
}

static void
on_draining(void *context, struct process *process)
{
	struct seat *seat = context;

	(void)process;
	supervisor_advance(seat->supervisor);
}

static void
on_spool_wanted(void *context, struct process *process)
{
	struct seat *seat = context;

	process_send_spool_files(process, seat->supervisor->spool_directory);
}

static void
on_kill_worker(void *context, struct process *process, unsigned slot, uint32_t generation)
{
	struct seat *seat = context;

	workers_kill(seat->supervisor, process, slot, generation);
}

static void
on_log_line(void *context, struct process *process, enum log_level level, const char *line)
{
	struct seat *seat = context;

	(void)process;
	log_output_line(seat->supervisor->log_output, level, line);
}

static const struct process_callbacks process_callbacks = {.on_ready = on_ready, .on_draining = on_draining, .on_spool_wanted = on_spool_wanted,
    .on_kill_worker = on_kill_worker, .on_log_line = on_log_line};

/* In turn, so that a slot stays unused for as long as can be: until then its page tells what the one before was doing. */
static unsigned
free_slot(struct supervisor *supervisor)
{
	for (unsigned i = 1; i < SHARED_SLOTS; i++) {
		unsigned slot = 1 + (supervisor->last_slot + i - 1) % (SHARED_SLOTS - 1);

		if (supervisor->slots[slot] == NULL) {
			supervisor->last_slot = slot;
			return slot;
		}
	}
	return 0;
}

static struct process *
start_process(struct seat *seat, unsigned slot)
{
	struct supervisor *supervisor = seat->supervisor;
	const struct generation *generation = seat->generation;
	char *user = privileges_user(generation->config, seat->role);
	char *directory = privileges_chroot(generation->config, seat->role);
	struct process_launch launch = {
		.role = seat->role, .index = seat->index, .slot = slot, .generation = generation->number,
		.user = user, .chroot_directory = directory,
		.config_name = generation->config->file_name, .config_text = generation->text,
		.sandbox_log_only = generation->config->sandbox == SANDBOX_LOG,
		.shared_descriptor = supervisor->shared_descriptor,
		.base = supervisor->base, .clock = supervisor->clock, .callbacks = &process_callbacks, .context = seat,
	};
	struct process *process = process_start(&launch);

	memory_free(&user);
	memory_free(&directory);
	return process;
}

static void
send_the_rest(struct seat *seat)
{
	const struct generation *generation = seat->generation;
	int log_file = log_output_descriptor(seat->supervisor->log_output);

	if (seat->role == ROLE_PROXY)
		for (size_t i = 0; i < listeners_count(generation->listeners); i++)
			process_send_listener(seat->process, (unsigned)i, listeners_descriptor(generation->listeners, i));
	if (seat->role == ROLE_JOURNAL && log_file >= 0)
		process_send_log_file(seat->process, log_file);
	process_send_files(seat->process, generation->hosts, generation->resolv_conf);
	seat_connect(seat);
	process_send_start(seat->process);
}

static void
fill_later(struct seat *seat, int64_t delay_ms)
{
	struct timeval time = {.tv_sec = delay_ms / 1000, .tv_usec = (delay_ms % 1000) * 1000};

	evtimer_add(seat->respawn, &time);
}

static int64_t
delay_after(unsigned times, int64_t maximum_ms)
{
	int64_t delay_ms = DELAY_FIRST_MS;

	while (--times > 0 && delay_ms < maximum_ms)
		delay_ms *= 2;
	return delay_ms < maximum_ms ? delay_ms : maximum_ms;
}

static void
seat_fill(struct seat *seat)
{
	unsigned slot = free_slot(seat->supervisor);

	ASSERT(seat->process == NULL && !seat->retired);
	if (slot != 0) {
		shared_page_claim(shared_memory_page(seat->supervisor->shared, slot));
		seat->process = start_process(seat, slot);
	}
	if (seat->process == NULL) {
		log_alarm("cannot start %s[%u]: %s", role_name(seat->role), seat->index, slot == 0 ? "no page left" : strerror(errno));
		fill_later(seat, delay_after(++seat->failures, DELAY_MAX_MS));
		return;
	}
	seat->supervisor->slots[slot] = seat->process;
	send_the_rest(seat);
}

static void
on_respawn(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	seat_fill(context);
}

struct seat *
seat_new(struct supervisor *supervisor, enum role role, unsigned index, struct generation *generation, bool spare)
{
	struct seat *seat = memory_new(sizeof *seat);

	seat->supervisor = supervisor;
	seat->role = role;
	seat->index = index;
	seat->generation = generation;
	seat->spare = spare;
	seat->respawn = evtimer_new(supervisor->base, on_respawn, seat);
	ASSERT(seat->respawn != NULL);
	TAILQ_INSERT_TAIL(&supervisor->seats, seat, entry);
	seat_fill(seat);
	return seat;
}

void
seat_free(struct seat *seat)
{
	TAILQ_REMOVE(&seat->supervisor->seats, seat, entry);
	event_free(seat->respawn);
	process_free(&seat->process);
	memory_free(&seat);
}

void
seat_retire(struct seat *seat, int64_t timeout_ms)
{
	bool again = seat->retired;

	seat->retired = true;
	if (seat->process == NULL)
		seat_free(seat);
	else if (timeout_ms < 0)
		process_kill(seat->process, "it is not wanted any more");
	else if (!again || seat->process->state != PROCESS_DRAINING)
		process_drain(seat->process, timeout_ms);
}

bool
seat_is_serving(const struct seat *seat)
{
	return seat->process != NULL && seat->process->state == PROCESS_SERVING;
}

static void
describe_end(const struct seat *seat, int status, struct buffer *out)
{
	const struct process *process = seat->process;

	process_describe(process, out);
	buffer_append_string(out, " ended: ");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		buffer_append_string(out, "sandbox violation");
	else if (WIFSIGNALED(status))
		buffer_printf(out, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == SANDBOX_VIOLATION_STATUS)
		buffer_append_string(out, "sandbox violation (its own line names the system call)");
	else
		buffer_printf(out, "exit status %d", WEXITSTATUS(status));
	if (process->role == ROLE_AUTH)
		workers_describe_job(seat->supervisor, process->slot, out);
	if (process->killed_for != NULL)
		buffer_printf(out, ", killed because %s", process->killed_for);
}

/* The page of the dead: messages it held, counters, then nothing. */
static void
clear_page(struct seat *seat, const char *reason)
{
	struct supervisor *supervisor = seat->supervisor;
	struct shared_page *page = shared_memory_page(supervisor->shared, seat->process->slot);
	unsigned lost = seat->role == ROLE_PROXY ? losses_collect(supervisor->losses, page, reason) : 0;

	if (lost > 0)
		log_error("%s: %u messages were between end of data and reply; each has a record", reason, lost);
	shared_page_retire(page, supervisor->own_page);
	supervisor->slots[seat->process->slot] = NULL;
	if (seat != supervisor->journal && supervisor->journal != NULL && seat_is_serving(supervisor->journal))
		losses_deliver(supervisor->losses, supervisor->journal->process);
}

/* Puts the next one in: at once, unless the seat kills whoever sits down. `excused`: what ended it was its work, not the seat. */
static void
refill(struct seat *seat, bool was_ready, int64_t served_us, bool excused)
{
	if (!seat->recycled)
		seat->restarts++;
	if (!was_ready)
		fill_later(seat, delay_after(++seat->failures, DELAY_MAX_MS));
	else if (!excused && served_us < HASTY_US && ++seat->hasty_ends > 1)
		fill_later(seat, delay_after(seat->hasty_ends - 1, HASTY_DELAY_MAX_MS));
	else
		seat_fill(seat);
	if (served_us >= HASTY_US)
		seat->hasty_ends = 0;
}

/* A worker that has done its share leaves without an order. */
static bool
was_recycled(const struct seat *seat, int status)
{
	return seat->role == ROLE_AUTH && !seat->retired && seat->process->ready_us != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Recycled, killed by a job, or on a proxy's request. */
static bool
is_excused(const struct seat *seat)
{
	const struct shared_page *page = shared_memory_page(seat->supervisor->shared, seat->process->slot);

	return seat->role == ROLE_AUTH && (seat->recycled || seat->process->killed_for != NULL || atomic_load(&page->running_job) != 0);
}

static void
log_end(const struct seat *seat, int status, const char *reason)
{
	if (seat->recycled)
		log_debug("%s", reason);
	else if (seat->retired && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_info("%s", reason);
	else
		log_error("%s", reason);
}

void
seat_process_ended(struct seat *seat, int status)
{
	struct supervisor *supervisor = seat->supervisor;
	bool was_ready = seat->process->ready_us != 0, excused;
	int64_t served_us = was_ready ? clock_monotonic_us(supervisor->clock) - seat->process->ready_us : 0;
	struct buffer reason = {0};

	seat->recycled = was_recycled(seat, status);
	excused = is_excused(seat);
	describe_end(seat, status, &reason);
	log_end(seat, status, buffer_text(&reason));
	clear_page(seat, buffer_text(&reason));
	process_free(&seat->process);
	if (!seat->retired && !was_ready && supervisor_seat_failed(supervisor, seat, buffer_text(&reason)))
		seat = NULL; /* gone */
	else if (seat->retired)
		seat_free(seat);
	else {
		if (seat->role == ROLE_AUTH)
			workers_fill_gap(supervisor, seat->generation, seat->recycled);
		refill(seat, was_ready, served_us, excused);
	}
	buffer_free(&reason);
	supervisor_advance(supervisor);
}
