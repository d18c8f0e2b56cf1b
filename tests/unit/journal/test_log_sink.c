/* Log lines into a file, a slow pipe, a file that is full, and the system logger. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "journal/log_sink.h"

#include "suite.h"

static char *
contents(int descriptor)
{
	char *text = memory_new(1 << 16);
	ck_assert_int_ge(pread(descriptor, text, (1 << 16) - 1, 0), 0);
	return text;
}

static int
temporary_file(void)
{
	FILE *file = tmpfile();
	ck_assert_ptr_nonnull(file);
	return fileno(file);
}

START_TEST(file_and_its_successor)
{
	int first = temporary_file(), second = temporary_file();
	struct log_sink *sink = log_sink_new(LOG_TARGET_FILE, "/nonexistent");

	log_sink_line(sink, LOG_LEVEL_INFO, span_of("one"));
	ck_assert(!log_sink_flush(sink)); /* no file yet: kept */
	log_sink_set_file(sink, dup(first));
	ck_assert(log_sink_flush(sink));
	log_sink_line(sink, LOG_LEVEL_ERROR, span_of("two\nforged\x7f"));
	ck_assert(log_sink_flush(sink));
	log_sink_set_file(sink, dup(second));
	log_sink_line(sink, LOG_LEVEL_INFO, span_of("three"));
	log_sink_free(&sink);
	char *text = contents(first);
	ck_assert_str_eq(text, "one\ntwo?forged?\n");
	memory_free(&text);
	text = contents(second);
	ck_assert_str_eq(text, "three\n");
	memory_free(&text);
}
END_TEST

START_TEST(slow_reader_of_standard_error)
{
	int ends[2];
	char line[500], text[65536];
	size_t got = 0, lines = 0;

	ck_assert_int_eq(pipe(ends), 0);
	int saved = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	struct log_sink *sink = log_sink_new(LOG_TARGET_STDERR, "/nonexistent");
	memset(line, 'x', sizeof line);
	for (int i = 0; i < 10000; i++) {
		log_sink_line(sink, LOG_LEVEL_INFO, span_make(line, sizeof line));
		log_sink_flush(sink); /* never waits */
	}
	ck_assert_uint_gt(log_sink_dropped(sink), 0);
	ck_assert_uint_le(log_sink_queued(sink), LOG_SINK_QUEUE_MAX);
	size_t expected = 10000 - log_sink_dropped(sink);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	for (bool done = false; !done;) {
		ssize_t size = read(ends[0], text, sizeof text);
		if (size > 0) {
			for (ssize_t i = 0; i < size; i++) {
				/* Every line whole. */
				ck_assert_int_eq(text[i], got % 501 == 500 ? '\n' : 'x');
				lines += text[i] == '\n';
				got++;
			}
		}
		done = log_sink_flush(sink) && size <= 0;
	}
	ck_assert_uint_eq(lines, expected);
	dup2(saved, STDERR_FILENO);
	log_sink_free(&sink);
}
END_TEST

START_TEST(full_disk_costs_lines)
{
	int full = open("/dev/full", O_WRONLY);
	struct log_sink *sink = log_sink_new(LOG_TARGET_FILE, "/nonexistent");

	ck_assert_int_ge(full, 0);
	log_sink_set_file(sink, full);
	log_sink_line(sink, LOG_LEVEL_INFO, span_of("one"));
	log_sink_line(sink, LOG_LEVEL_INFO, span_of("two"));
	ck_assert(log_sink_flush(sink));
	ck_assert_uint_eq(log_sink_dropped(sink), 2);
	ck_assert_str_eq(log_sink_problem(sink), "log file: No space left on device");
	log_sink_free(&sink);
}
END_TEST

static int
logger_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
	unlink(path);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	ck_assert_int_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
	return descriptor;
}

START_TEST(system_logger_and_its_restart)
{
	char directory[] = "/tmp/postern-sink-XXXXXX", packet[10000];
	ck_assert_ptr_nonnull(mkdtemp(directory));
	char *path = memory_format("%s/log", directory);
	struct log_sink *sink = log_sink_new(LOG_TARGET_SYSLOG, path);

	log_sink_line(sink, LOG_LEVEL_INFO, span_of("early"));
	ck_assert(!log_sink_flush(sink)); /* no logger yet: kept */
	int logger = logger_open(path);
	ck_assert(log_sink_flush(sink));
	ssize_t length = recv(logger, packet, sizeof packet - 1, MSG_DONTWAIT);
	ck_assert_int_gt(length, 0);
	packet[length] = '\0';
	ck_assert_int_eq(strncmp(packet, "<22>", 4), 0);
	char *end = memory_format("postern[%d]: early", getpid());
	ck_assert_str_eq(packet + 4 + 16, end);
	memory_free(&end);
	close(logger);
	logger = logger_open(path);
	log_sink_line(sink, LOG_LEVEL_ALARM, span_of("again"));
	ck_assert(log_sink_flush(sink));
	length = recv(logger, packet, sizeof packet - 1, MSG_DONTWAIT);
	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(strncmp(packet, "<17>", 4), 0);
	log_sink_free(&sink);
	close(logger);
	unlink(path);
	rmdir(directory);
	memory_free(&path);
}
END_TEST

SUITE_MAIN("log sink", file_and_its_successor, slow_reader_of_standard_error, full_disk_costs_lines, system_logger_and_its_restart)
