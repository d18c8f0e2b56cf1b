/* Binding, and finding again what is bound already. */
#include "master/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#define LISTEN_BACKLOG 4096 /* the kernel takes the lower of this and net.core.somaxconn */

struct listener {
	int descriptor;
	bool wildcard; /* "*": IPv6 and IPv4 in one socket */
	struct sockaddr_storage address;
	socklen_t address_length;
};

struct listeners {
	struct listener *items;
	size_t count;
};

static bool
is_wildcard(const struct config_listener *wanted)
{
	return wanted->address[0] == '*';
}

static const struct listener *
find(const struct listeners *listeners, const struct config_listener *wanted)
{
	for (size_t i = 0; listeners != NULL && i < listeners->count; i++) {
		const struct listener *listener = &listeners->items[i];

		if (listener->wildcard == is_wildcard(wanted) && listener->address_length == wanted->socket_address_length &&
		    memcmp(&listener->address, &wanted->socket_address, listener->address_length) == 0)
			return listener;
	}
	return NULL;
}

/* -1 with errno set. */
static int
bind_and_listen(const struct sockaddr *address, socklen_t length, bool wildcard)
{
	int one = 1, only_6 = !wildcard, error;
	int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -1;
	if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
	    (address->sa_family != AF_INET6 || setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &only_6, sizeof only_6) == 0) &&
	    bind(descriptor, address, length) == 0 && listen(descriptor, LISTEN_BACKLOG) == 0)
		return descriptor;
	error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

static int
open_listener(const struct config_listener *wanted)
{
	const struct sockaddr *address = (const struct sockaddr *)&wanted->socket_address;
	struct sockaddr_in any = {.sin_family = AF_INET};
	int descriptor = bind_and_listen(address, wanted->socket_address_length, is_wildcard(wanted));

	if (descriptor >= 0 || errno != EAFNOSUPPORT || !is_wildcard(wanted) || address->sa_family != AF_INET6)
		return descriptor;
	/* A kernel without IPv6. */
	any.sin_port = ((const struct sockaddr_in6 *)address)->sin6_port;
	return bind_and_listen((const struct sockaddr *)&any, sizeof any, true);
}

struct listeners *
listeners_new(const struct config *config, const struct listeners *before, struct buffer *error)
{
	struct listeners *listeners = memory_new(sizeof *listeners);

	listeners->items = memory_new_array(config->listener_count, sizeof *listeners->items);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *wanted = &config->listeners[i];
		const struct listener *kept = find(before, wanted);
		struct listener *listener = &listeners->items[listeners->count];

		listener->descriptor = kept != NULL ? fcntl(kept->descriptor, F_DUPFD_CLOEXEC, 0) : open_listener(wanted);
		if (listener->descriptor < 0) {
			buffer_printf(error, "%s: cannot listen on %s: %s%s\n", config->file_name, wanted->address, strerror(errno),
			    errno == EACCES ? " (ports below 1024 need root or CAP_NET_BIND_SERVICE)" : "");
			listeners_free(&listeners);
			return NULL;
		}
		listener->wildcard = is_wildcard(wanted);
		listener->address = wanted->socket_address;
		listener->address_length = wanted->socket_address_length;
		listeners->count++;
	}
	return listeners;
}

void
listeners_free(struct listeners **listeners)
{
	if (*listeners == NULL)
		return;
	for (size_t i = 0; i < (*listeners)->count; i++)
		close((*listeners)->items[i].descriptor);
	memory_free(&(*listeners)->items);
	memory_free(listeners);
}

size_t
listeners_count(const struct listeners *listeners)
{
	return listeners == NULL ? 0 : listeners->count;
}

int
listeners_descriptor(const struct listeners *listeners, size_t index)
{
	return listeners->items[index].descriptor;
}
