/* Generations and the end. What happens in a single seat is in seat.c; this file only decides which seats there are. */
#include "master/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "master/privileges.h"
#include "master/seat.h"
#include "master/workers.h"

#define FINISH_TIMEOUT_MS 10000 /* deliver and journal, at the end: what they hold is small */
#define AT_ONCE_TIMEOUT_MS 1000

const char *
supervisor_state_text(enum supervisor_state state)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		SUPERVISOR_STATES(X)
#undef X
	};
	return texts[state];
}

/* Seats. Retiring may free the seat at hand, so each walk takes the next one first. */

static unsigned
count_seats(const struct supervisor *supervisor, enum role role, const struct generation *generation)
{
	struct seat *seat;
	unsigned count = 0;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->role == role && (generation == NULL || seat->generation == generation))
			count++;
	return count;
}

static void
retire_seats(struct supervisor *supervisor, enum role role, const struct generation *generation, int64_t timeout_ms)
{
	struct seat *next;

	for (struct seat *seat = TAILQ_FIRST(&supervisor->seats); seat != NULL; seat = next) {
		next = TAILQ_NEXT(seat, entry);
		if (seat->role == role && (generation == NULL || seat->generation == generation))
			seat_retire(seat, timeout_ms);
	}
}

/* Before a generation is freed: those still leaving must not look at it. */
static void
forget_generation(struct supervisor *supervisor, struct generation **generation)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->generation == *generation) {
			ASSERT(seat->retired);
			seat->generation = NULL;
		}
	generation_free(generation);
}

static bool
generation_is_complete(const struct supervisor *supervisor, const struct generation *generation)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->generation == generation && !seat->retired && !seat_is_serving(seat))
			return false;
	return seat_is_serving(generation->deliver) && seat_is_serving(supervisor->journal);
}

/* Reload */

static void
start_generation(struct supervisor *supervisor, struct generation *generation)
{
	unsigned proxies = privileges_proxy_count(generation->config);

	supervisor->next = generation;
	supervisor->last_generation = generation->number;
	if (supervisor->journal == NULL)
		supervisor->journal = seat_new(supervisor, ROLE_JOURNAL, 0, generation, false);
	if (supervisor->current != NULL && generation_same_deliver(generation, supervisor->current))
		generation->deliver = supervisor->current->deliver;
	else
		generation->deliver = seat_new(supervisor, ROLE_DELIVER, 0, generation, false);
	workers_start(supervisor, generation);
	for (unsigned i = 0; i < proxies; i++)
		seat_new(supervisor, ROLE_PROXY, i, generation, false);
}

static void
answer_reloads(struct supervisor *supervisor, const char *error)
{
	supervisor->reloads_done = supervisor->reloads_begun;
	supervisor->callbacks->on_reloaded(supervisor->context, supervisor->reloads_done, error);
}

/* Each reason is a line that says file and place itself. */
static void
log_lines(const char *text)
{
	for (size_t length; *text != '\0'; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		log_error("reload: %.*s", (int)length, text);
	}
}

static void
begin_reload(struct supervisor *supervisor)
{
	struct buffer error = {0};
	struct generation *generation;

	supervisor->reloads_begun = supervisor->reloads_asked;
	generation = generation_load(supervisor->config_file, supervisor->last_generation + 1, supervisor->current, &error);
	if (generation == NULL) {
		log_error("reload: the configuration cannot be used, generation %u stays", supervisor->current->number);
		log_lines(buffer_text(&error));
		answer_reloads(supervisor, buffer_text(&error));
	} else {
		log_info("reload: generation %u starts", generation->number);
		start_generation(supervisor, generation);
	}
	buffer_free(&error);
}

/* Seats that stay follow the new configuration; the journal is told, so is a deliver that stays. */
static void
hand_over(struct supervisor *supervisor, struct seat *seat, struct generation *from, struct generation *to)
{
	if (seat == NULL || seat->generation != from)
		return;
	seat->generation = to;
	if (seat->process != NULL)
		process_send_configuration(seat->process, to->number, to->text);
	if (seat == supervisor->journal && seat->process != NULL && log_output_descriptor(supervisor->log_output) >= 0)
		process_send_log_file(seat->process, log_output_descriptor(supervisor->log_output));
}

static void
configure_log(struct supervisor *supervisor)
{
	struct buffer error = {0};

	if (!log_output_configure(supervisor->log_output, supervisor->current->config, &error))
		log_alarm("%s", buffer_text(&error));
	buffer_free(&error);
}

static void
switch_generation(struct supervisor *supervisor)
{
	struct generation *before = supervisor->current;

	supervisor->current = supervisor->next;
	supervisor->next = NULL;
	if (before == NULL) {
		supervisor->state = SUPERVISOR_RUNNING;
		log_info("generation 1 serves");
		supervisor->callbacks->on_serving(supervisor->context, supervisor->current->config);
		return;
	}
	configure_log(supervisor);
	supervisor->old = before;
	hand_over(supervisor, supervisor->journal, before, supervisor->current);
	if (supervisor->current->deliver == before->deliver)
		hand_over(supervisor, before->deliver, before, supervisor->current);
	log_info("reload: generation %u serves, generation %u drains", supervisor->current->number, before->number);
	listeners_free(&before->listeners);
	/* What is at a backend when the sessions' time is over is bounded by its own budget; killed there, it would double. */
	retire_seats(supervisor, ROLE_PROXY, before, before->config->timeouts.drain + before->config->timeouts.end_of_data);
	supervisor->answer_owed = true;
}

/* Who asked for the reload may rely on it: the next connection meets the new configuration. */
static void
answer_when_switched(struct supervisor *supervisor)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->generation == supervisor->old && seat->role == ROLE_PROXY && seat->process != NULL && seat->process->accepts)
			return;
	supervisor->answer_owed = false;
	answer_reloads(supervisor, NULL);
}

static void
end_old_generation(struct supervisor *supervisor)
{
	struct generation *old = supervisor->old;

	supervisor->old = NULL;
	log_info("generation %u has drained", old->number);
	if (old->deliver != supervisor->current->deliver)
		seat_retire(old->deliver, FINISH_TIMEOUT_MS);
	retire_seats(supervisor, ROLE_AUTH, old, FINISH_TIMEOUT_MS);
	forget_generation(supervisor, &old);
}

static void
abandon_next_generation(struct supervisor *supervisor, const char *reason)
{
	struct generation *next = supervisor->next;

	supervisor->next = NULL;
	log_error("reload: generation %u abandoned, generation %u stays: %s", next->number, supervisor->current->number, reason);
	retire_seats(supervisor, ROLE_PROXY, next, -1);
	retire_seats(supervisor, ROLE_AUTH, next, -1);
	retire_seats(supervisor, ROLE_DELIVER, next, -1);
	forget_generation(supervisor, &next);
	answer_reloads(supervisor, reason);
}

bool
supervisor_seat_failed(struct supervisor *supervisor, struct seat *seat, const char *reason)
{
	if (supervisor->next == NULL || seat->generation != supervisor->next)
		return false;
	if (supervisor->current == NULL) {
		supervisor->callbacks->on_failed(supervisor->context, reason);
		return false;
	}
	/* The seat is empty: retiring it frees it. */
	abandon_next_generation(supervisor, reason);
	return true;
}

uint64_t
supervisor_reload(struct supervisor *supervisor)
{
	uint64_t ticket = ++supervisor->reloads_asked;

	supervisor_advance(supervisor);
	return ticket;
}

/* The end */

static void
advance_stop(struct supervisor *supervisor)
{
	int64_t timeout_ms = supervisor->at_once ? AT_ONCE_TIMEOUT_MS : FINISH_TIMEOUT_MS;

	if (supervisor->state == SUPERVISOR_STOPPING_PROXIES && count_seats(supervisor, ROLE_PROXY, NULL) == 0) {
		supervisor->state = SUPERVISOR_STOPPING_DELIVER;
		retire_seats(supervisor, ROLE_AUTH, NULL, timeout_ms);
		retire_seats(supervisor, ROLE_DELIVER, NULL, timeout_ms);
	}
	if (supervisor->state == SUPERVISOR_STOPPING_DELIVER && count_seats(supervisor, ROLE_DELIVER, NULL) + count_seats(supervisor, ROLE_AUTH, NULL) == 0) {
		supervisor->state = SUPERVISOR_STOPPING_JOURNAL;
		supervisor->journal = NULL;
		retire_seats(supervisor, ROLE_JOURNAL, NULL, timeout_ms);
	}
	if (supervisor->state == SUPERVISOR_STOPPING_JOURNAL && count_seats(supervisor, ROLE_JOURNAL, NULL) == 0) {
		supervisor->state = SUPERVISOR_STOPPED;
		supervisor->callbacks->on_stopped(supervisor->context);
	}
}

void
supervisor_stop(struct supervisor *supervisor)
{
	const struct generation *generation = supervisor->current != NULL ? supervisor->current : supervisor->next;
	bool again = supervisor->state > SUPERVISOR_RUNNING;

	if (again) {
		if (!supervisor->at_once)
			log_info("stopping at once");
		supervisor->at_once = true;
		retire_seats(supervisor, ROLE_PROXY, NULL, -1);
		if (supervisor->state == SUPERVISOR_STOPPING_DELIVER) {
			retire_seats(supervisor, ROLE_AUTH, NULL, -1);
			retire_seats(supervisor, ROLE_DELIVER, NULL, -1);
		}
		if (supervisor->state == SUPERVISOR_STOPPING_JOURNAL)
			retire_seats(supervisor, ROLE_JOURNAL, NULL, -1);
	} else {
		log_info("stopping: sessions have %lld s", (long long)(generation->config->timeouts.drain / 1000));
		supervisor->state = SUPERVISOR_STOPPING_PROXIES;
		if (supervisor->reloads_done < supervisor->reloads_asked) {
			supervisor->reloads_begun = supervisor->reloads_asked;
			answer_reloads(supervisor, "postern is stopping");
		}
		/* Our copies too, or clients would wait in a queue that nobody reads. */
		if (supervisor->current != NULL)
			listeners_free(&supervisor->current->listeners);
		if (supervisor->next != NULL)
			listeners_free(&supervisor->next->listeners);
		retire_seats(supervisor, ROLE_PROXY, NULL, generation->config->timeouts.drain);
	}
	advance_stop(supervisor);
}

void
supervisor_advance(struct supervisor *supervisor)
{
	if (supervisor->state > SUPERVISOR_RUNNING) {
		advance_stop(supervisor);
		return;
	}
	if (supervisor->next != NULL && generation_is_complete(supervisor, supervisor->next))
		switch_generation(supervisor);
	if (supervisor->answer_owed)
		answer_when_switched(supervisor);
	if (supervisor->old != NULL && count_seats(supervisor, ROLE_PROXY, supervisor->old) == 0)
		end_old_generation(supervisor);
	if (supervisor->state == SUPERVISOR_RUNNING && supervisor->next == NULL && supervisor->old == NULL &&
	    supervisor->reloads_done < supervisor->reloads_asked)
		begin_reload(supervisor);
}

void
supervisor_reopen_log(struct supervisor *supervisor)
{
	int descriptor;

	if (supervisor->current == NULL)
		return;
	configure_log(supervisor);
	descriptor = log_output_descriptor(supervisor->log_output);
	if (descriptor >= 0 && supervisor->journal != NULL && supervisor->journal->process != NULL)
		process_send_log_file(supervisor->journal->process, descriptor);
	log_info("log file opened again");
}

static struct seat *
find_seat(const struct supervisor *supervisor, pid_t id)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->process != NULL && seat->process->id == id)
			return seat;
	return NULL;
}

static void
on_child_ended(evutil_socket_t descriptor, short what, void *context)
{
	struct supervisor *supervisor = context;
	pid_t id;
	int status;

	(void)descriptor;
	(void)what;
	while ((id = waitpid(-1, &status, WNOHANG)) > 0) {
		struct seat *seat = find_seat(supervisor, id);

		if (seat != NULL)
			seat_process_ended(seat, status);
	}
}

/* Birth and death */

static int
open_spool_directory(const struct config *config)
{
	char *path = privileges_path(config, DIRECTORY_SPOOL);
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		log_alarm("spool directory %s: %s", path, strerror(errno));
	memory_free(&path);
	return directory;
}

struct supervisor *
supervisor_new(struct event_base *base, const struct clock *clock, const char *config_file, struct generation *first,
    struct log_output *log_output, const struct supervisor_callbacks *callbacks, void *context)
{
	struct supervisor *supervisor = memory_new(sizeof *supervisor);

	supervisor->base = base;
	supervisor->clock = clock;
	supervisor->config_file = config_file;
	supervisor->log_output = log_output;
	supervisor->callbacks = callbacks;
	supervisor->context = context;
	supervisor->state = SUPERVISOR_STARTING;
	supervisor->started_us = clock_monotonic_us(clock);
	supervisor->shared = shared_memory_new(&supervisor->shared_descriptor);
	supervisor->own_page = shared_memory_page(supervisor->shared, 0);
	atomic_store(&supervisor->own_page->process_id, (uint32_t)getpid());
	supervisor->losses = losses_new(clock, supervisor->own_page);
	log_output_count_in(log_output, supervisor->own_page);
	supervisor->spool_directory = open_spool_directory(first->config);
	TAILQ_INIT(&supervisor->seats);
	supervisor->child_ended = evsignal_new(base, SIGCHLD, on_child_ended, supervisor);
	ASSERT(supervisor->child_ended != NULL && evsignal_add(supervisor->child_ended, NULL) == 0);
	start_generation(supervisor, first);
	return supervisor;
}

void
supervisor_free(struct supervisor **supervisor_address)
{
	struct supervisor *supervisor = *supervisor_address;
	struct seat *seat;

	if (supervisor == NULL)
		return;
	*supervisor_address = NULL;
	while ((seat = TAILQ_FIRST(&supervisor->seats)) != NULL) {
		if (seat->process != NULL) {
			kill(seat->process->id, SIGKILL);
			waitpid(seat->process->id, NULL, 0);
		}
		seat_free(seat);
	}
	event_free(supervisor->child_ended);
	generation_free(&supervisor->next);
	generation_free(&supervisor->current);
	generation_free(&supervisor->old);
	losses_free(&supervisor->losses);
	log_output_count_in(supervisor->log_output, NULL);
	shared_memory_free(&supervisor->shared);
	close(supervisor->shared_descriptor);
	if (supervisor->spool_directory >= 0)
		close(supervisor->spool_directory);
	memory_free(&supervisor);
}
