/* The server's side. Bounded in everything: connections, line length, output, time. */
#include "master/control_socket.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"

#define CONNECTIONS_MAX 32
#define LINE_MAX_BYTES 64
#define OUTPUT_MAX (4u << 20)
#define IDLE_TIMEOUT_MS 10000
#define GROUPS_MAX 256

struct connection {
	LIST_ENTRY(connection) entry;
	struct control_socket *control;
	struct stream *stream;
	uint64_t ticket; /* of the reload it waits for; 0 = none */
	bool answered;
};

struct control_socket {
	int descriptor;
	char *path;
	gid_t group;
	struct event_base *base;
	struct event *acceptable;
	const struct control_callbacks *callbacks;
	void *context;
	LIST_HEAD(, connection) connections;
	unsigned count;
};

static void
connection_free(struct connection *connection)
{
	LIST_REMOVE(connection, entry);
	connection->control->count--;
	if (connection->stream != NULL)
		stream_free(&connection->stream);
	memory_free(&connection);
}

/* Sends the whole answer and leaves the rest to the stream. */
static void
answer(struct connection *connection, const struct buffer *text)
{
	stream_write(connection->stream, text->data, text->length);
	stream_close_after_flush(&connection->stream);
	connection_free(connection);
}

static void
answer_error(struct connection *connection, const char *what)
{
	struct buffer text = {0};

	buffer_printf(&text, "error: %s%s", what, what[0] != '\0' && what[strlen(what) - 1] == '\n' ? "" : "\n");
	answer(connection, &text);
	buffer_free(&text);
}

/* Commands */

static void
command_status(struct connection *connection, bool json)
{
	struct buffer text = {0};

	buffer_append_string(&text, "ok\n");
	connection->control->callbacks->status(connection->control->context, json, &text);
	answer(connection, &text);
	buffer_free(&text);
}

static void
command_status_text(struct connection *connection)
{
	command_status(connection, false);
}

static void
command_status_json(struct connection *connection)
{
	command_status(connection, true);
}

static void
command_reload(struct connection *connection)
{
	struct control_socket *control = connection->control;

	stream_set_timeout(connection->stream, 0);
	/* The answer may come from inside the call: it must find this connection by its ticket then. */
	connection->ticket = UINT64_MAX;
	uint64_t ticket = control->callbacks->reload(control->context);
	LIST_FOREACH (connection, &control->connections, entry)
		if (connection->ticket == UINT64_MAX)
			connection->ticket = ticket;
}

/* The answer is the end of file when we are gone. */
static void
command_stop(struct connection *connection)
{
	struct control_socket *control = connection->control;

	stream_set_timeout(connection->stream, 0);
	stream_write(connection->stream, "ok\n", 3);
	stream_flush(connection->stream);
	control->callbacks->stop(control->context);
}

static const struct {
	const char *line;
	void (*run)(struct connection *connection);
} commands[] = {
	{"status", command_status_text},
	{"status json", command_status_json},
	{"reload", command_reload},
	{"stop", command_stop},
};

static void
run_line(struct connection *connection, struct span line)
{
	connection->answered = true;
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (span_is(line, commands[i].line)) {
			commands[i].run(connection);
			return;
		}
	answer_error(connection, "unknown command");
}

static size_t
on_bytes(void *context, const char *bytes, size_t length)
{
	struct connection *connection = context;
	const char *end = memchr(bytes, '\n', length);

	if (connection->answered)
		return length; /* one line is all we hear */
	if (end == NULL && length < LINE_MAX_BYTES)
		return 0;
	if (end == NULL)
		answer_error(connection, "line too long");
	else
		run_line(connection, span_make(bytes, (size_t)(end - bytes)));
	return length;
}

static void
on_closed(void *context, enum stream_close_reason reason, int error)
{
	(void)reason;
	(void)error;
	connection_free(context);
}

static const struct stream_callbacks stream_callbacks = {.on_bytes = on_bytes, .on_closed = on_closed};

void
control_socket_reloaded(struct control_socket *control, uint64_t ticket, const char *error)
{
	struct connection *next;

	for (struct connection *connection = LIST_FIRST(&control->connections); connection != NULL; connection = next) {
		struct buffer text = {0};

		next = LIST_NEXT(connection, entry);
		/* UINT64_MAX: asked in this very moment, and so the latest of them. */
		if (connection->ticket == 0 || (connection->ticket > ticket && connection->ticket != UINT64_MAX))
			continue;
		if (error != NULL) {
			answer_error(connection, error);
			continue;
		}
		buffer_append_string(&text, "ok\n");
		answer(connection, &text);
		buffer_free(&text);
	}
}

/* Who may speak. */
static bool
is_welcome(const struct control_socket *control, int descriptor)
{
	struct ucred peer;
	gid_t groups[GROUPS_MAX];
	socklen_t length = sizeof peer;

	if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == control->group)
		return true;
	length = sizeof groups;
	if (getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0)
		return false;
	for (size_t i = 0; i < length / sizeof groups[0]; i++)
		if (groups[i] == control->group)
			return true;
	return false;
}

static void
add_connection(struct control_socket *control, int descriptor)
{
	struct connection *connection = memory_new(sizeof *connection);

	connection->control = control;
	LIST_INSERT_HEAD(&control->connections, connection, entry);
	control->count++;
	connection->stream = stream_new(control->base, descriptor, &stream_callbacks, connection);
	stream_set_timeout(connection->stream, IDLE_TIMEOUT_MS);
	stream_set_output_limit(connection->stream, OUTPUT_MAX);
}

static void
on_acceptable(evutil_socket_t listener, short what, void *context)
{
	struct control_socket *control = context;
	struct sockaddr_un from;
	socklen_t length = sizeof from;
	int descriptor = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (descriptor < 0)
		return;
	if (control->count >= CONNECTIONS_MAX || !is_welcome(control, descriptor)) {
		log_warning("control socket: %s", control->count >= CONNECTIONS_MAX ? "too many connections" : "a stranger was refused");
		close(descriptor);
		return;
	}
	add_connection(control, descriptor);
}

static bool
fill_address(const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof address->sun_path)
		return false;
	memcpy(address->sun_path, path, strlen(path));
	return true;
}

/* A socket left behind by a master that was killed is removed; one that answers is somebody's. */
static bool
remove_stale(const struct sockaddr_un *address)
{
	int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered = probe >= 0 && (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
	struct stat status;

	if (probe >= 0)
		close(probe);
	if (answered) {
		errno = EADDRINUSE;
		return false;
	}
	if (lstat(address->sun_path, &status) != 0)
		return errno == ENOENT;
	if (!S_ISSOCK(status.st_mode)) {
		errno = EEXIST;
		return false;
	}
	return unlink(address->sun_path) == 0;
}

static bool
listen_there(struct control_socket *control, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177); /* nobody gets in before the group is set */
	bool bound = bind(control->descriptor, (const struct sockaddr *)address, sizeof *address) == 0;

	umask(mask);
	return bound && (control->group == getegid() || chown(control->path, (uid_t)-1, control->group) == 0) &&
	    chmod(control->path, 0660) == 0 && listen(control->descriptor, CONNECTIONS_MAX) == 0;
}

struct control_socket *
control_socket_new(struct event_base *base, const char *path, const char *group, const struct control_callbacks *callbacks, void *context,
    struct buffer *error)
{
	struct control_socket *control = memory_new(sizeof *control);
	struct group *entry = group != NULL ? getgrnam(group) : NULL;
	struct sockaddr_un address;

	control->path = memory_copy_string(path);
	control->group = entry != NULL ? entry->gr_gid : getegid();
	control->base = base;
	control->callbacks = callbacks;
	control->context = context;
	LIST_INIT(&control->connections);
	control->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->descriptor < 0 || !fill_address(path, &address) || !remove_stale(&address) || !listen_there(control, &address)) {
		buffer_printf(error, "control socket %s: %s\n", path, errno == EADDRINUSE ? "another postern is running there" : strerror(errno));
		if (control->descriptor >= 0)
			close(control->descriptor);
		memory_free(&control->path);
		memory_free(&control);
		return NULL;
	}
	control->acceptable = event_new(base, control->descriptor, EV_READ | EV_PERSIST, on_acceptable, control);
	ASSERT(control->acceptable != NULL && event_add(control->acceptable, NULL) == 0);
	return control;
}

void
control_socket_free(struct control_socket **control_address)
{
	struct control_socket *control = *control_address;

	if (control == NULL)
		return;
	*control_address = NULL;
	while (!LIST_EMPTY(&control->connections))
		connection_free(LIST_FIRST(&control->connections));
	event_free(control->acceptable);
	close(control->descriptor);
	unlink(control->path);
	memory_free(&control->path);
	memory_free(&control);
}
