/* Who is the spare, who works. Proxies know nothing of spares: they see workers come and go. */
#include "master/workers.h"

#include "master/privileges.h"

void
workers_start(struct supervisor *supervisor, struct generation *generation)
{
	unsigned count = privileges_auth_worker_count(generation->config);

	for (unsigned i = 0; i < count; i++)
		seat_new(supervisor, ROLE_AUTH, i, generation, false);
	if (count > 0)
		seat_new(supervisor, ROLE_AUTH, count, generation, true);
}

static struct seat *
find_spare(const struct supervisor *supervisor, const struct generation *generation)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->generation == generation && seat->spare && !seat->retired && seat_is_serving(seat))
			return seat;
	return NULL;
}

static struct seat *
find_gap(const struct supervisor *supervisor, const struct generation *generation)
{
	struct seat *seat;

	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->generation == generation && seat->role == ROLE_AUTH && !seat->spare && !seat->retired && seat->process == NULL)
			return seat;
	return NULL;
}

void
workers_fill_gap(struct supervisor *supervisor, const struct generation *generation, bool quietly)
{
	struct seat *spare = find_spare(supervisor, generation), *gap = find_gap(supervisor, generation);

	if (spare == NULL || gap == NULL)
		return;
	spare->spare = false;
	gap->spare = true;
	seat_connect(spare);
	(quietly ? log_debug : log_info)("%s[%u], until now the spare, takes the place of %s[%u]", role_name(spare->role), spare->index,
	    role_name(gap->role), gap->index);
}

/* A worker of the asker's own generation that it is connected to; not the spare, and no process of another role. */
static struct process *
find_worker(const struct supervisor *supervisor, const struct process *asker, unsigned slot, uint32_t generation)
{
	struct seat *seat;

	if (asker->generation != generation)
		return NULL;
	TAILQ_FOREACH (seat, &supervisor->seats, entry)
		if (seat->role == ROLE_AUTH && !seat->spare && seat->process != NULL && seat->process->slot == slot &&
		    seat->process->generation == generation)
			return seat->process;
	return NULL;
}

void
workers_kill(struct supervisor *supervisor, const struct process *asker, unsigned slot, uint32_t generation)
{
	struct process *worker = find_worker(supervisor, asker, slot, generation);
	struct buffer who = {0};

	process_describe(asker, &who);
	if (worker != NULL) {
		buffer_append_string(&who, " asked for it");
		process_kill(worker, buffer_text(&who));
	} else {
		log_info("%s asked for the end of a worker that is not there (slot %u, generation %u)", buffer_text(&who), slot, generation);
	}
	buffer_free(&who);
}

void
workers_describe_job(const struct supervisor *supervisor, unsigned slot, struct buffer *out)
{
	struct shared_page *page = shared_memory_page(supervisor->shared, slot);
	uint64_t job = atomic_load(&page->running_job);
	uint32_t proxy_slot = atomic_load(&page->running_proxy_slot);

	if (job == 0)
		return;
	buffer_printf(out, ", running job %llu of ", (unsigned long long)job);
	/* Written by the dead: maybe anything. */
	if (proxy_slot < SHARED_SLOTS && supervisor->slots[proxy_slot] != NULL)
		process_describe(supervisor->slots[proxy_slot], out);
	else
		buffer_append_string(out, "a process that has gone");
}
