/* Three targets, one line at a time. The system logger is spoken to directly: syslog(3) would wait for a slow one. */
#include "master/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "base/memory.h"

#define SYSTEM_LOGGER "/dev/log"

struct log_output {
	enum log_target target;
	int file; /* -1 = none */
	int logger; /* socket of the system logger, -1 = none yet */
	struct shared_page *page;
};

struct log_output *
log_output_new(void)
{
	struct log_output *output = memory_new(sizeof *output);

	output->target = LOG_TARGET_STDERR;
	output->file = -1;
	output->logger = -1;
	return output;
}

static void
close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

void
log_output_free(struct log_output **output)
{
	if (*output == NULL)
		return;
	close_descriptor(&(*output)->file);
	close_descriptor(&(*output)->logger);
	memory_free(output);
}

bool
log_output_configure(struct log_output *output, const struct config *config, struct buffer *error)
{
	int level = config->log_level != NULL ? log_level_from_text(config->log_level) : -1, file = -1;

	if (config->log_target == LOG_TARGET_FILE) {
		file = open(config->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
		if (file < 0) {
			buffer_printf(error, "%s: log file %s: %s\n", config->file_name, config->log_file, strerror(errno));
			return false;
		}
	}
	close_descriptor(&output->file);
	output->file = file;
	output->target = config->log_target;
	log_set_level(level >= 0 ? (enum log_level)level : LOG_LEVEL_INFO);
	log_set_json(config->log_format == LOG_FORMAT_JSON);
	return true;
}

int
log_output_descriptor(const struct log_output *output)
{
	return output->file;
}

void
log_output_count_in(struct log_output *output, struct shared_page *page)
{
	output->page = page;
}

/* A pipe or terminal that polls as writable takes PIPE_BUF bytes without waiting; the descriptor may be shared with a shell, so it
 * must not be made non-blocking. */
static bool
write_line(int descriptor, const char *line)
{
	struct iovec parts[2] = {{(void *)line, strlen(line)}, {(void *)"\n", 1}};
	struct pollfd ready = {.fd = descriptor, .events = POLLOUT};

	if (parts[0].iov_len > 4000)
		parts[0].iov_len = 4000;
	return poll(&ready, 1, 0) == 1 && writev(descriptor, parts, 2) > 0;
}

static bool
send_to_logger(struct log_output *output, enum log_level level, const char *line)
{
	static const int priorities[] = {[LOG_LEVEL_ALARM] = LOG_ALERT, [LOG_LEVEL_ERROR] = LOG_ERR, [LOG_LEVEL_WARNING] = LOG_WARNING,
	    [LOG_LEVEL_INFO] = LOG_INFO, [LOG_LEVEL_DEBUG] = LOG_DEBUG};
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SYSTEM_LOGGER};
	char packet[4200];
	int length = snprintf(packet, sizeof packet, "<%d>postern[%d]: %.4000s", LOG_MAIL | priorities[level], (int)getpid(), line);

	for (int attempt = 0; attempt < 2; attempt++) {
		if (output->logger < 0) {
			output->logger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
			if (output->logger < 0 || connect(output->logger, (struct sockaddr *)&address, sizeof address) != 0) {
				close_descriptor(&output->logger);
				return false;
			}
		}
		if (send(output->logger, packet, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		close_descriptor(&output->logger); /* the logger was restarted */
	}
	return false;
}

void
log_output_line(void *context, enum log_level level, const char *line)
{
	struct log_output *output = context;
	bool done;

	switch (output->target) {
	case LOG_TARGET_SYSLOG:
		done = send_to_logger(output, level, line);
		break;
	case LOG_TARGET_FILE:
		done = write_line(output->file, line);
		break;
	case LOG_TARGET_STDERR:
	default:
		done = write_line(STDERR_FILENO, line);
		break;
	}
	if (!done && output->page != NULL)
		shared_count(output->page, COUNTER_LOG_LINES_DROPPED, 1);
}
