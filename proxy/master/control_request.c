/* The client's side of the control socket: a subcommand's question. Blocks; never used by a process of the gateway. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/control_socket.h"

static bool
fail(struct buffer *answer, const char *path, const char *why)
{
	buffer_clear(answer);
	buffer_printf(answer, "control socket %s: %s\n", path, why);
	return false;
}

static bool
exchange(int descriptor, const char *line, struct buffer *answer)
{
	ssize_t got;

	if (send(descriptor, line, strlen(line), MSG_NOSIGNAL) < 0 || send(descriptor, "\n", 1, MSG_NOSIGNAL) < 0)
		return false;
	while ((got = read(descriptor, buffer_reserve(answer, 16384), 16384)) != 0) {
		if (got < 0 && errno != EINTR)
			return false;
		if (got > 0)
			buffer_added(answer, (size_t)got);
	}
	return true;
}

bool
control_request(const char *path, const char *line, struct buffer *answer)
{
	static const char ok[] = "ok\n", error[] = "error: ";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool exchanged;

	if (descriptor < 0 || strlen(path) >= sizeof address.sun_path)
		return fail(answer, path, descriptor < 0 ? strerror(errno) : "the path is too long");
	memcpy(address.sun_path, path, strlen(path));
	if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
		fail(answer, path, errno == ENOENT || errno == ECONNREFUSED ? "postern is not running" : strerror(errno));
		close(descriptor);
		return false;
	}
	exchanged = exchange(descriptor, line, answer);
	close(descriptor);
	if (!exchanged)
		return fail(answer, path, strerror(errno));
	if (answer->length >= sizeof ok - 1 && memcmp(answer->data, ok, sizeof ok - 1) == 0) {
		buffer_consume(answer, sizeof ok - 1);
		return true;
	}
	if (answer->length >= sizeof error - 1 && memcmp(answer->data, error, sizeof error - 1) == 0) {
		buffer_consume(answer, sizeof error - 1);
		return false;
	}
	return fail(answer, path, "no answer");
}
