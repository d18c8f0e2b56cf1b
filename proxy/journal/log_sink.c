/* Owns the log file's descriptor and the system logger's socket; never opens a file. The descriptors of standard error are shared
 * with other processes, so they stay as blocking as they came: poll decides what may be written. */
#include "journal/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"

#define LOG_SINK_MAGIC 0x4c4f4753u
#define SYSLOG_LINE_MAX 8000 /* usual bound of a system logger */
#define LEVEL_MARK '0' /* queue: one byte '0' + level, the line, a newline */

struct log_sink {
	uint32_t magic;
	enum log_target target;
	char *logger_path;
	int file; /* -1: none yet */
	int logger; /* -1: not connected */
	struct buffer queue;
	size_t partial; /* bytes of the first queued line (without its mark) that are out already */
	uint64_t dropped;
	char problem[120];
};

struct log_sink *
log_sink_new(enum log_target target, const char *logger)
{
	struct log_sink *sink = memory_new(sizeof *sink);

	sink->magic = LOG_SINK_MAGIC;
	sink->logger_path = memory_copy_string(logger);
	sink->file = sink->logger = -1;
	log_sink_set_target(sink, target);
	return sink;
}

static void
close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

void
log_sink_free(struct log_sink **address)
{
	struct log_sink *sink = *address;

	if (sink == NULL)
		return;
	CHECK_MAGIC(sink, LOG_SINK_MAGIC);
	log_sink_flush(sink);
	close_descriptor(&sink->file);
	close_descriptor(&sink->logger);
	buffer_free(&sink->queue);
	memory_free(&sink->logger_path);
	memory_free(address);
}

static void
set_problem(struct log_sink *sink, const char *where, int error)
{
	snprintf(sink->problem, sizeof sink->problem, "%s: %s", where, strerror(error));
}

static bool
connect_logger(struct log_sink *sink)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (sink->logger >= 0)
		return true;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", sink->logger_path);
	sink->logger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sink->logger >= 0 && connect(sink->logger, (struct sockaddr *)&address, sizeof address) == 0)
		return true;
	set_problem(sink, sink->logger_path, errno);
	close_descriptor(&sink->logger);
	return false;
}

void
log_sink_set_target(struct log_sink *sink, enum log_target target)
{
	CHECK_MAGIC(sink, LOG_SINK_MAGIC);
	sink->target = target;
	if (target == LOG_TARGET_SYSLOG) {
		tzset(); /* reads its file now, before a sandbox closes */
		connect_logger(sink);
	}
}

void
log_sink_set_file(struct log_sink *sink, int descriptor)
{
	CHECK_MAGIC(sink, LOG_SINK_MAGIC);
	close_descriptor(&sink->file);
	sink->file = descriptor;
	/* Half a line went to the old file; the whole of it goes to the new one. */
	sink->partial = 0;
}

void
log_sink_line(struct log_sink *sink, enum log_level level, struct span line)
{
	CHECK_MAGIC(sink, LOG_SINK_MAGIC);
	if (sink->queue.length + line.length + 2 > LOG_SINK_QUEUE_MAX) {
		sink->dropped++;
		return;
	}
	buffer_append_char(&sink->queue, (char)(LEVEL_MARK + level));
	char *to = buffer_reserve(&sink->queue, line.length + 1);
	for (size_t i = 0; i < line.length; i++) {
		unsigned char byte = (unsigned char)line.at[i];
		to[i] = (char)(byte < ' ' || byte == 0x7f ? '?' : byte);
	}
	to[line.length] = '\n';
	buffer_added(&sink->queue, line.length + 1);
}

/* ---- writing ---- */

/* The queue's first line behind its mark, with the newline. */
static struct span
first_line(const struct log_sink *sink)
{
	const char *end = memchr(sink->queue.data, '\n', sink->queue.length);
	return span_make(sink->queue.data + 1, (size_t)(end - sink->queue.data));
}

static void
drop_first(struct log_sink *sink, int error, const char *where)
{
	set_problem(sink, where, error);
	sink->dropped++;
	sink->partial = 0;
	buffer_consume(&sink->queue, first_line(sink).length + 1);
}

/* As many whole lines as fit, without their marks, into `block`; the first one without what is out already. Returns its length. */
static size_t
gather(const struct log_sink *sink, char *block, size_t size)
{
	struct span rest = span_make(sink->queue.data, sink->queue.length);
	size_t partial = sink->partial, length = 0;

	while (rest.length > 0 && length < size) {
		size_t line = (size_t)((const char *)memchr(rest.at, '\n', rest.length) - rest.at); /* without mark, with newline */
		size_t part = line - partial < size - length ? line - partial : size - length;
		memcpy(block + length, rest.at + 1 + partial, part);
		length += part;
		if (part < line - partial)
			break;
		partial = 0;
		rest = span_make(rest.at + line + 1, rest.length - line - 1);
	}
	return length;
}

static void
consume(struct log_sink *sink, size_t length)
{
	while (length > 0) {
		size_t left = first_line(sink).length - sink->partial;
		if (length < left) {
			sink->partial += length;
			return;
		}
		length -= left;
		buffer_consume(&sink->queue, first_line(sink).length + 1);
		sink->partial = 0;
	}
}

/* A pipe or terminal that polls as writable takes PIPE_BUF bytes without waiting; only a file takes any amount. */
static bool
write_stream(struct log_sink *sink, int descriptor, bool regular)
{
	char block[1 << 16];

	while (sink->queue.length > 0) {
		struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
		if (!regular && poll(&ready, 1, 0) == 0)
			return false;
		size_t length = gather(sink, block, regular ? sizeof block : PIPE_BUF);
		ssize_t written = write(descriptor, block, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN)
			return false;
		if (written < 0) /* disk full, reader gone: waiting would not help the lines to come */
			drop_first(sink, errno, descriptor == sink->file ? "log file" : "standard error");
		else
			consume(sink, (size_t)written);
	}
	return true;
}

static size_t
format_packet(char *packet, size_t size, enum log_level level, struct span line)
{
	static const int priorities[] = {[LOG_LEVEL_ALARM] = LOG_ALERT, [LOG_LEVEL_ERROR] = LOG_ERR, [LOG_LEVEL_WARNING] = LOG_WARNING,
	    [LOG_LEVEL_INFO] = LOG_INFO, [LOG_LEVEL_DEBUG] = LOG_DEBUG};
	char date[32];
	time_t now = time(NULL);
	struct tm local;

	localtime_r(&now, &local); /* RFC 3164 4.1.2 wants local time */
	strftime(date, sizeof date, "%b %e %H:%M:%S", &local);
	size_t length = line.length < SYSLOG_LINE_MAX ? line.length : SYSLOG_LINE_MAX;
	int written = snprintf(packet, size, "<%d>%s postern[%d]: %.*s", LOG_MAIL | priorities[level], date, (int)getpid(), (int)length,
	    line.at);
	return (size_t)written;
}

static bool
write_logger(struct log_sink *sink)
{
	char packet[SYSLOG_LINE_MAX + 100];

	while (sink->queue.length > 0) {
		struct span line = first_line(sink);
		unsigned level = (unsigned char)sink->queue.data[0] - (unsigned)LEVEL_MARK;
		line.length--; /* a datagram needs no newline */
		size_t length = format_packet(packet, sizeof packet, level, line);
		bool connected = connect_logger(sink);
		if (connected && send(sink->logger, packet, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			if (errno == EAGAIN || errno == ENOBUFS)
				return false;
			set_problem(sink, sink->logger_path, errno);
			close_descriptor(&sink->logger); /* the logger was started anew */
			connected = connect_logger(sink) && send(sink->logger, packet, length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
		}
		if (!connected)
			return false; /* kept, up to the bound, until there is a logger again */
		buffer_consume(&sink->queue, line.length + 2);
	}
	return true;
}

bool
log_sink_flush(struct log_sink *sink)
{
	struct stat status;

	CHECK_MAGIC(sink, LOG_SINK_MAGIC);
	if (sink->queue.length == 0)
		return true;
	switch (sink->target) {
	case LOG_TARGET_SYSLOG:
		return write_logger(sink);
	case LOG_TARGET_FILE:
		return sink->file >= 0 && write_stream(sink, sink->file, fstat(sink->file, &status) == 0 && S_ISREG(status.st_mode));
	case LOG_TARGET_STDERR:
	default:
		return write_stream(sink, STDERR_FILENO, fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode));
	}
}

size_t
log_sink_queued(const struct log_sink *sink)
{
	return sink->queue.length;
}

uint64_t
log_sink_dropped(const struct log_sink *sink)
{
	return sink->dropped;
}

const char *
log_sink_problem(const struct log_sink *sink)
{
	return sink->problem;
}
