/* The sessions' common ground: publishing of records, draining. */
#include "base/memory.h"
#include "front/front.h"
#include "front/session.h"

static void
release_in_flight(evutil_socket_t descriptor, short what, void *context)
{
	struct front *front = context;

	(void)descriptor;
	(void)what;
	for (size_t i = 0; i < front->releasing_count; i++)
		shared_in_flight_leave(front->page, front->releasing[i]);
	front->releasing_count = 0;
}

void
front_init(struct front *front)
{
	front->sessions = id_map_new();
	front->released = evtimer_new(front->base, release_in_flight, front);
}

void
front_clear(struct front *front)
{
	release_in_flight(-1, 0, front);
	event_free(front->released);
	id_map_free(&front->sessions);
	buffer_free(&front->scratch);
	memory_free(&front->releasing);
}

void
front_publish(struct front *front, const struct record *record, int in_flight)
{
	static const struct timeval next_turn = {0, 0};

	journal_client_record(front->journal, record);
	if (in_flight < 0)
		return;
	if (front->releasing_count == front->releasing_capacity) {
		front->releasing_capacity = front->releasing_capacity > 0 ? front->releasing_capacity * 2 : 64;
		front->releasing = memory_resize(front->releasing, front->releasing_capacity, sizeof *front->releasing);
	}
	front->releasing[front->releasing_count++] = in_flight;
	if (front->releasing_count == 1)
		evtimer_add(front->released, &next_turn);
}

static void
drain_idle(void *context, uint64_t id, void *object)
{
	(void)context;
	(void)id;
	session_drain(object, false);
}

static void
drain_now(void *context, uint64_t id, void *object)
{
	(void)context;
	(void)id;
	session_drain(object, true);
}

void
front_drain(struct front *front, bool now)
{
	front->draining = true;
	front->drain_over = front->drain_over || now;
	id_map_each(front->sessions, now ? drain_now : drain_idle, front);
}
