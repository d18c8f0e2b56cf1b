/* Accepts in small rounds. Pauses when descriptors have run out, and when this proxy carries well more than its share, so that
 * the others take the next ones. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "front/listener.h"
#include "front/session.h"
#include "wire/roles.h"

#define ACCEPT_ROUND 32 /* connections per wake, so that sessions under way are not starved */
#define PAUSE_MS 100
#define SHARE_SLACK 8 /* sessions over the mean that are still fine */

struct listener {
	struct front *front;
	int descriptor;
	struct event *readable;
	struct event *resume;
};

static void
pause_accepting(struct listener *listener)
{
	static const struct timeval pause = {0, PAUSE_MS * 1000};

	shared_count(listener->front->page, COUNTER_ACCEPT_PAUSED, 1);
	event_del(listener->readable);
	evtimer_add(listener->resume, &pause);
}

static void
on_resume(evutil_socket_t descriptor, short what, void *context)
{
	struct listener *listener = context;

	(void)descriptor;
	(void)what;
	event_add(listener->readable, NULL);
}

/* Our sessions against the mean of the proxies of our generation; alone, there is nobody to leave them to. */
static bool
carries_too_much(const struct front *front)
{
	uint32_t generation = atomic_load(&front->page->generation);
	uint64_t own = atomic_load(&front->page->gauges[GAUGE_SESSIONS]);
	uint64_t total = 0;
	unsigned proxies = 0;

	for (unsigned slot = 0; slot < SHARED_SLOTS; slot++) {
		const struct shared_page *page = shared_memory_page(front->shared, slot);

		if (atomic_load(&page->process_id) == 0 || atomic_load(&page->role) != ROLE_PROXY ||
		    atomic_load(&page->generation) != generation)
			continue;
		total += atomic_load(&page->gauges[GAUGE_SESSIONS]);
		proxies++;
	}
	return proxies > 1 && own > total / proxies + total / proxies / 4 + SHARE_SLACK;
}

static void
on_readable(evutil_socket_t descriptor, short what, void *context)
{
	struct listener *listener = context;

	(void)what;
	if (carries_too_much(listener->front)) {
		pause_accepting(listener);
		return;
	}
	for (int i = 0; i < ACCEPT_ROUND; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof peer;
		int accepted = accept4(descriptor, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (accepted >= 0) {
			session_new(listener->front, accepted, (struct sockaddr *)&peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_alarm("cannot accept connections: out of descriptors or memory (errno %d)", errno);
			pause_accepting(listener);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

struct listener *
listener_new(struct front *front, int descriptor)
{
	struct listener *listener = memory_new(sizeof *listener);

	listener->front = front;
	listener->descriptor = descriptor;
	evutil_make_socket_nonblocking(descriptor);
	listener->readable = event_new(front->base, descriptor, EV_READ | EV_PERSIST, on_readable, listener);
	listener->resume = evtimer_new(front->base, on_resume, listener);
	event_add(listener->readable, NULL);
	return listener;
}

void
listener_free(struct listener **listener_address)
{
	struct listener *listener = *listener_address;

	event_free(listener->readable);
	event_free(listener->resume);
	close(listener->descriptor);
	memory_free(listener_address);
}
