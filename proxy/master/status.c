/* Gathering is here once; the two ways of writing it follow. */
#include "master/status.h"

#include <stdio.h>
#include <unistd.h>

#include "base/escape.h"
#include "master/seat.h"
#include "relay/capabilities.h"

static int64_t
now_us(const struct supervisor *supervisor)
{
	return clock_monotonic_us(supervisor->clock);
}

void
status_of_backend(const struct supervisor *supervisor, size_t index, struct backend_status *status)
{
	int64_t learned_at_us = 0, now = now_us(supervisor);

	*status = (struct backend_status){0};
	for (unsigned slot = 1; index < SHARED_BACKENDS && slot < SHARED_SLOTS; slot++) {
		const struct process *process = supervisor->slots[slot];
		struct shared_backend *seen;
		int64_t skip_us, learned_us;

		/* Another generation numbers its backends its own way. */
		if (process == NULL || process->generation != supervisor->current->number || process->role != ROLE_PROXY)
			continue;
		seen = &shared_memory_page(supervisor->shared, slot)->backends[index];
		status->open_connections += atomic_load(&seen->open_connections);
		if (atomic_load(&seen->consecutive_failures) > status->consecutive_failures)
			status->consecutive_failures = atomic_load(&seen->consecutive_failures);
		skip_us = atomic_load(&seen->skip_until_us) - now;
		if (skip_us / 1000 > status->skipped_for_ms)
			status->skipped_for_ms = skip_us / 1000;
		learned_us = atomic_load(&seen->learned_at_us);
		if (learned_us > learned_at_us) {
			learned_at_us = learned_us;
			status->learned = true;
			status->capabilities = atomic_load(&seen->capabilities);
			status->size_limit = atomic_load(&seen->size_limit);
		}
	}
}

static const char *
backend_state(const struct config_backend *backend, const struct backend_status *status)
{
	if (status->skipped_for_ms > 0)
		return "skipped";
	if (backend->protocol == BACKEND_MAILDIR || status->learned)
		return status->consecutive_failures > 0 ? "failing" : "up";
	return status->consecutive_failures > 0 ? "failing" : "unknown";
}

static const char *
process_state(const struct seat *seat)
{
	if (seat->process == NULL)
		return "waiting";
	return seat->spare && seat->process->state == PROCESS_SERVING ? "spare" : process_state_text(seat->process->state);
}

/* For people */

static void
append_duration(struct buffer *out, int64_t us)
{
	long long s = us / 1000000;

	if (s < 60)
		buffer_printf(out, "%llds", s);
	else if (s < 3600)
		buffer_printf(out, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		buffer_printf(out, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		buffer_printf(out, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void
write_process_line(struct buffer *out, const char *role, int index, pid_t id, uint32_t generation, const char *state, int64_t up_us,
    unsigned restarts, const char *sandbox)
{
	char name[32];
	struct buffer up = {0};

	if (index < 0)
		snprintf(name, sizeof name, "%s", role);
	else
		snprintf(name, sizeof name, "%s[%d]", role, index);
	append_duration(&up, up_us);
	buffer_printf(out, "  %-12s %8d %10u  %-9s %8s %8u  ", name, (int)id, generation, state, buffer_text(&up), restarts);
	escape_append(out, span_of(sandbox));
	buffer_append_char(out, '\n');
	buffer_free(&up);
}

static void
write_processes(const struct supervisor *supervisor, struct buffer *out)
{
	const struct seat *seat;

	buffer_printf(out, "\nprocesses\n  %-12s %8s %10s  %-9s %8s %8s  %s\n", "role", "pid", "generation", "state", "up", "restarts", "sandbox");
	write_process_line(out, "master", -1, getpid(), supervisor->current->number, "serving", now_us(supervisor) - supervisor->started_us, 0, "none");
	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		write_process_line(out, role_name(seat->role), (int)seat->index, seat->process != NULL ? seat->process->id : 0,
		    seat->generation != NULL ? seat->generation->number : 0, process_state(seat),
		    seat->process != NULL ? now_us(supervisor) - seat->process->started_us : 0, seat->restarts,
		    seat->process != NULL && seat->process->sandbox != NULL ? seat->process->sandbox : "-");
}

static void
append_capabilities(struct buffer *out, unsigned bits, const char *between, bool quoted)
{
	static const char *const names[] = {
#define X(name, bit, text) [bit] = text,
		CAPABILITIES(X)
#undef X
	};
	const char *comma = "";

	for (size_t bit = 0; bit < sizeof names / sizeof names[0]; bit++)
		if ((bits & 1u << bit) != 0) {
			buffer_printf(out, quoted ? "%s\"%s\"" : "%s%s", comma, names[bit]);
			comma = between;
		}
}

static void
write_backends(const struct supervisor *supervisor, struct buffer *out)
{
	const struct config *config = supervisor->current->config;

	buffer_append_string(out, "\nbackends\n");
	for (size_t i = 0; i < config->backend_count; i++) {
		struct backend_status status;

		status_of_backend(supervisor, i, &status);
		buffer_append_string(out, "  ");
		escape_append(out, span_of(config->backends[i].url));
		buffer_printf(out, "  %s", backend_state(&config->backends[i], &status));
		if (status.skipped_for_ms > 0)
			buffer_printf(out, " for %lld ms", (long long)status.skipped_for_ms);
		if (status.consecutive_failures > 0)
			buffer_printf(out, ", %u failures in a row", status.consecutive_failures);
		if (config->backends[i].protocol != BACKEND_MAILDIR)
			buffer_printf(out, ", %llu of %u connections open", (unsigned long long)status.open_connections, config->backends[i].max_connections);
		if (status.learned) {
			buffer_append_string(out, ", offers ");
			append_capabilities(out, status.capabilities, " ", false);
			if (status.size_limit > 0)
				buffer_printf(out, " (%llu bytes)", (unsigned long long)status.size_limit);
		}
		buffer_append_char(out, '\n');
	}
}

static void
write_numbers(const struct supervisor *supervisor, struct buffer *out)
{
	buffer_append_string(out, "\nnow\n");
	for (int i = 0; i < GAUGE_COUNT; i++)
		buffer_printf(out, "  %-26s %12llu\n", shared_gauge_name(i), (unsigned long long)shared_gauge_total(supervisor->shared, i));
	buffer_append_string(out, "\nsince the start\n");
	for (int i = 0; i < COUNTER_COUNT; i++)
		buffer_printf(out, "  %-26s %12llu  %s\n", shared_counter_name(i), (unsigned long long)shared_counter_total(supervisor->shared, i),
		    shared_counter_description(i));
}

void
status_write_text(const struct supervisor *supervisor, struct buffer *out)
{
	const struct generation *current = supervisor->current;
	char loaded[CLOCK_RFC3339_SIZE];

	if (current == NULL) {
		buffer_printf(out, "postern is %s\n", supervisor_state_text(supervisor->state));
		return;
	}
	clock_format_rfc3339(current->loaded_us, loaded);
	buffer_printf(out, "postern is %s, up ", supervisor_state_text(supervisor->state));
	append_duration(out, now_us(supervisor) - supervisor->started_us);
	buffer_printf(out, "\ngeneration %u of %s, loaded %s", current->number, current->config->file_name, loaded);
	if (supervisor->next != NULL)
		buffer_printf(out, "; generation %u starts", supervisor->next->number);
	if (supervisor->old != NULL)
		buffer_printf(out, "; generation %u drains", supervisor->old->number);
	buffer_append_string(out, "\nlistens on");
	for (size_t i = 0; i < current->config->listener_count; i++)
		buffer_printf(out, "%s %s", i > 0 ? "," : "", current->config->listeners[i].address);
	buffer_append_char(out, '\n');
	write_processes(supervisor, out);
	write_backends(supervisor, out);
	write_numbers(supervisor, out);
}

/* As JSON */

static void
json_string(struct buffer *out, const char *name, const char *value)
{
	buffer_printf(out, "\"%s\": ", name);
	if (value == NULL)
		buffer_append_string(out, "null");
	else
		escape_append_json(out, span_of(value));
}

static void
json_process(struct buffer *out, const char *role, int index, pid_t id, uint32_t generation, const char *state, int64_t up_us,
    unsigned restarts, const char *sandbox)
{
	buffer_append_string(out, "{");
	json_string(out, "role", role);
	buffer_printf(out, ", \"index\": %d, \"pid\": %d, \"generation\": %u, ", index, (int)id, generation);
	json_string(out, "state", state);
	buffer_printf(out, ", \"uptime_ms\": %lld, \"restarts\": %u, ", (long long)(up_us / 1000), restarts);
	json_string(out, "sandbox", sandbox);
	buffer_append_string(out, "}");
}

static void
json_processes(const struct supervisor *supervisor, struct buffer *out)
{
	const struct seat *seat;

	buffer_append_string(out, "\"processes\": [\n  ");
	json_process(out, "master", 0, getpid(), supervisor->current->number, "serving", now_us(supervisor) - supervisor->started_us, 0, "none");
	TAILQ_FOREACH (seat, &supervisor->seats, entry) {
		const struct process *process = seat->process;

		buffer_append_string(out, ",\n  ");
		json_process(out, role_name(seat->role), (int)seat->index, process != NULL ? process->id : 0,
		    seat->generation != NULL ? seat->generation->number : 0, process_state(seat),
		    process != NULL ? now_us(supervisor) - process->started_us : 0, seat->restarts, process != NULL ? process->sandbox : NULL);
	}
	buffer_append_string(out, "]");
}

static void
json_backend(const struct config_backend *backend, const struct backend_status *status, struct buffer *out)
{
	buffer_append_string(out, "{");
	json_string(out, "url", backend->url);
	buffer_append_string(out, ", ");
	json_string(out, "state", backend_state(backend, status));
	buffer_printf(out, ", \"skipped_for_ms\": %lld, \"failures\": %u, \"open_connections\": %llu, \"max_connections\": %u, \"capabilities\": ",
	    (long long)status->skipped_for_ms, status->consecutive_failures, (unsigned long long)status->open_connections,
	    backend->max_connections);
	if (status->learned) {
		buffer_append_string(out, "[");
		append_capabilities(out, status->capabilities, ", ", true);
		buffer_append_string(out, "]");
	} else {
		buffer_append_string(out, "null");
	}
	buffer_printf(out, ", \"size_limit\": %llu}", (unsigned long long)status->size_limit);
}

static void
json_numbers(const struct supervisor *supervisor, struct buffer *out)
{
	buffer_append_string(out, "\"gauges\": {");
	for (int i = 0; i < GAUGE_COUNT; i++)
		buffer_printf(out, "%s\"%s\": %llu", i > 0 ? ", " : "", shared_gauge_name(i),
		    (unsigned long long)shared_gauge_total(supervisor->shared, i));
	buffer_append_string(out, "},\n \"counters\": {");
	for (int i = 0; i < COUNTER_COUNT; i++)
		buffer_printf(out, "%s\"%s\": %llu", i > 0 ? ", " : "", shared_counter_name(i),
		    (unsigned long long)shared_counter_total(supervisor->shared, i));
	buffer_append_string(out, "}");
}

static void
json_generation(struct buffer *out, const char *name, const struct generation *generation)
{
	buffer_printf(out, "\"%s\": ", name);
	if (generation != NULL)
		buffer_printf(out, "%u", generation->number);
	else
		buffer_append_string(out, "null");
}

static void
json_head(const struct supervisor *supervisor, struct buffer *out)
{
	const struct generation *current = supervisor->current;

	json_string(out, "state", supervisor_state_text(supervisor->state));
	buffer_printf(out, ", \"uptime_ms\": %lld, ", (long long)((now_us(supervisor) - supervisor->started_us) / 1000));
	json_generation(out, "generation", current);
	buffer_append_string(out, ", ");
	json_generation(out, "generation_starting", supervisor->next);
	buffer_append_string(out, ", ");
	json_generation(out, "generation_draining", supervisor->old);
	buffer_append_string(out, ", ");
	json_string(out, "configuration", supervisor->config_file);
}

void
status_write_json(const struct supervisor *supervisor, struct buffer *out)
{
	const struct config *config;

	buffer_append_string(out, "{");
	json_head(supervisor, out);
	if (supervisor->current != NULL) {
		config = supervisor->current->config;
		buffer_append_string(out, ",\n \"listeners\": [");
		for (size_t i = 0; i < config->listener_count; i++) {
			buffer_append_string(out, i > 0 ? ", " : "");
			escape_append_json(out, span_of(config->listeners[i].address));
		}
		buffer_append_string(out, "],\n ");
		json_processes(supervisor, out);
		buffer_append_string(out, ",\n \"backends\": [");
		for (size_t i = 0; i < config->backend_count; i++) {
			struct backend_status status;

			status_of_backend(supervisor, i, &status);
			buffer_append_string(out, i > 0 ? ",\n  " : "\n  ");
			json_backend(&config->backends[i], &status, out);
		}
		buffer_append_string(out, "],\n ");
		json_numbers(supervisor, out);
	}
	buffer_append_string(out, "}\n");
}
