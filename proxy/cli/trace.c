/* postern trace: finds records in the trace store and shows them. Reads only, beside a journal that may be writing. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/memory.h"
#include "base/network.h"
#include "mail/queue_id.h"
#include "conf/config.h"
#include "journal/search.h"
#include "cli/commands.h"
#include "cli/trace_print.h"

#define DEFAULT_LIMIT 100
#define LIMIT_MAX 1000000

struct request {
	struct search_query query;
	const char *config_file;
	const char *data_directory;
	bool json;
	bool searching; /* some criterion was given */
};

static int
usage(FILE *to)
{
	fputs("usage: postern trace QUEUEID [--json]          what happened to one message, step by step\n"
	      "       postern trace SEARCH... [--json]        one line for each match, the newest last\n"
	      "  --from ADDRESS      sender: local@domain, @domain, or <> for the null sender\n"
	      "  --to ADDRESS        any of the recipients: local@domain or @domain\n"
	      "  --ip ADDRESS        the client's address\n"
	      "  --message-id ID     with or without <>\n"
	      "  --session ID        all of one connection\n"
	      "  --since WHEN        90s, 30m, 2h, 7d ago, or 2026-11-21, 2026-11-21T10:00 (UTC)\n"
	      "  --limit N           the newest N (default 100)\n"
	      "  --json              one JSON object on each line\n"
	      "  -c, --config FILE   names the data directory; default " CONFIG_DEFAULT_FILE "\n"
	      "  --data DIRECTORY    the data directory itself\n"
	      "Exit status: 0 found, 1 nothing found or something could not be read, 2 wrong use.\n",
	    to);
	return to == stdout ? 0 : 2;
}

/* ---- values of options ---- */

static bool
parse_ago(const char *text, int64_t now_us, int64_t *time_us)
{
	static const struct {
		char unit;
		int64_t us;
	} units[] = {{'s', 1000000}, {'m', 60000000}, {'h', 3600000000}, {'d', 86400000000}, {'w', 604800000000}};
	char *end;

	errno = 0;
	int64_t number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || number < 0 || number > 1000000 || end[0] == '\0' || end[1] != '\0')
		return false;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (units[i].unit == end[0]) {
			*time_us = now_us - number * units[i].us;
			if (*time_us < 1)
				*time_us = 1;
			return true;
		}
	}
	return false;
}

/* A date, or a date and time to the minute or second, always UTC as in the log. */
static bool
parse_date(const char *text, int64_t *time_us)
{
	static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"};

	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
		struct tm date = {0};
		const char *end = strptime(text, formats[i], &date);
		if (end == NULL || (strcmp(end, "") != 0 && strcmp(end, "Z") != 0))
			continue;
		time_t seconds = timegm(&date);
		if (seconds <= 0)
			return false;
		*time_us = (int64_t)seconds * 1000000;
		return true;
	}
	return false;
}

static bool
parse_ip(const char *text, struct ip_address *address)
{
	size_t length = strlen(text);
	bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
	char *bare = bracketed ? memory_copy_text(text + 1, length - 2) : memory_copy_string(text);
	bool good = ip_address_parse(strncasecmp(bare, "IPv6:", 5) == 0 ? bare + 5 : bare, address);

	memory_free(&bare);
	return good;
}

/* "<a@b>" is "a@b". Cuts the argument itself. */
static char *
without_brackets(char *text)
{
	size_t length = strlen(text);

	if (length >= 2 && text[0] == '<' && text[length - 1] == '>') {
		text[length - 1] = '\0';
		text++;
	}
	return text;
}

static bool
parse_limit(const char *text, size_t *limit)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number < 1 || number > LIMIT_MAX)
		return false;
	*limit = (size_t)number;
	return true;
}

/* ---- the command line ---- */

enum { OPTION_SESSION = 256, OPTION_FROM, OPTION_TO, OPTION_IP, OPTION_MESSAGE_ID, OPTION_SINCE, OPTION_LIMIT, OPTION_JSON, OPTION_DATA };

static const struct option options[] = {{"session", required_argument, NULL, OPTION_SESSION},
    {"from", required_argument, NULL, OPTION_FROM}, {"to", required_argument, NULL, OPTION_TO},
    {"ip", required_argument, NULL, OPTION_IP}, {"message-id", required_argument, NULL, OPTION_MESSAGE_ID},
    {"since", required_argument, NULL, OPTION_SINCE}, {"limit", required_argument, NULL, OPTION_LIMIT},
    {"json", no_argument, NULL, OPTION_JSON}, {"data", required_argument, NULL, OPTION_DATA},
    {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};

static bool
bad_value(const char *option, const char *value)
{
	char *escaped = escape_copy(value);

	fprintf(stderr, "postern trace: --%s: cannot make sense of \"%s\"\n", option, escaped);
	memory_free(&escaped);
	return false;
}

static bool
take_option(struct request *request, int option, char *value)
{
	struct search_query *query = &request->query;
	int64_t now_us = clock_wall_us(clock_system());

	request->searching |= option >= OPTION_SESSION && option <= OPTION_SINCE;
	switch (option) {
	case OPTION_SESSION:
		query->session_id = value;
		return true;
	case OPTION_FROM:
		query->sender = without_brackets(value);
		return true;
	case OPTION_TO:
		query->recipient = without_brackets(value);
		return true;
	case OPTION_IP:
		return parse_ip(value, &query->client) || bad_value("ip", value);
	case OPTION_MESSAGE_ID:
		query->message_id = value;
		return true;
	case OPTION_SINCE:
		return parse_ago(value, now_us, &query->since_us) || parse_date(value, &query->since_us) || bad_value("since", value);
	case OPTION_LIMIT:
		return parse_limit(value, &query->limit) || bad_value("limit", value);
	case OPTION_JSON:
		return request->json = true;
	case OPTION_DATA:
		request->data_directory = value;
		return true;
	default:
		request->config_file = value;
		return true;
	}
}

/* Returns -1 to go on, or the exit status. */
static int
parse_arguments(struct request *request, int argc, char **argv)
{
	int option;

	*request = (struct request){.config_file = CONFIG_DEFAULT_FILE, .query.limit = DEFAULT_LIMIT};
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'h' || option == '?')
			return usage(option == 'h' ? stdout : stderr);
		if (!take_option(request, option, optarg))
			return 2;
	}
	if (optind < argc)
		request->query.id = argv[optind++];
	if (optind != argc || (request->query.id == NULL) != request->searching)
		return usage(stderr);
	request->query.with_story = request->query.id != NULL;
	return -1;
}

/* ---- the search ---- */

/* The directory with the day files, caller frees; NULL after saying why not. */
static char *
find_directory(const struct request *request)
{
	struct config_errors errors = {0};
	char *directory;

	if (request->data_directory != NULL) {
		directory = memory_format("%s/trace", request->data_directory);
		if (access(directory, F_OK) != 0 && errno == ENOENT) {
			memory_free(&directory);
			directory = memory_copy_string(request->data_directory);
		}
		return directory;
	}
	struct config *config = config_load_file(request->config_file, NULL, &errors);
	directory = config == NULL ? NULL : memory_format("%s/trace", config->data_directory);
	if (config == NULL)
		fprintf(stderr, "%spostern trace: --data DIRECTORY works without a configuration\n", buffer_text(&errors.text));
	config_free(&config);
	buffer_free(&errors.text);
	return directory;
}

/* IDs are written in capitals; whoever types one may not. */
static bool
search(const char *directory, struct search_query *query, struct search_results *results)
{
	struct search_query again = *query;
	bool readable = search_run(directory, query, results);

	if (!readable || results->count > 0 || query->id == NULL || query->id[strcspn(query->id, "abcdefghijklmnopqrstuvwxyz")] == '\0')
		return readable;
	search_results_clear(results);
	char *capitals = memory_copy_string(query->id);
	for (char *at = capitals; *at != '\0'; at++)
		if (*at >= 'a' && *at <= 'z')
			*at -= 'a' - 'A';
	again.id = capitals;
	readable = search_run(directory, &again, results);
	memory_free(&capitals);
	return readable;
}

static void
print_results(const struct request *request, const struct search_results *results)
{
	struct buffer out = {0};

	for (size_t i = 0; i < results->count; i++) {
		const struct record *record = &results->records[i];
		if (request->query.id != NULL && request->json) {
			trace_print_story_json(record, &out);
		} else if (request->query.id != NULL) {
			buffer_append_string(&out, i == 0 ? "" : "\n");
			trace_print_story(record, &out);
		} else {
			record_format_line(record, request->json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, &out);
			buffer_append_char(&out, '\n');
		}
		fwrite(out.data, 1, out.length, stdout);
		buffer_clear(&out);
	}
	if (request->query.id == NULL && results->count == request->query.limit)
		fprintf(stderr, "postern trace: only the newest %zu are shown (--limit)\n", results->count);
	buffer_free(&out);
}

static void
say_nothing_found(const struct request *request, const char *directory, bool complete)
{
	char *escaped = escape_copy(directory);
	char *where = memory_format("%s%s", complete ? "" : "what could be read of ", escaped);

	memory_free(&escaped);
	if (request->query.id == NULL) {
		fprintf(stderr, "postern trace: nothing in %s matches\n", where);
	} else {
		char *id = escape_copy(request->query.id);
		fprintf(stderr, "postern trace: no record of %s in %s%s\n", id, where,
		    queue_id_is_valid(request->query.id) ? "" : " (and it does not look like a queue ID)");
		memory_free(&id);
	}
	memory_free(&where);
}

int
cli_trace(int argc, char **argv)
{
	struct request request;
	struct search_results results;
	int status = parse_arguments(&request, argc, argv);

	if (status >= 0)
		return status;
	char *directory = find_directory(&request);
	if (directory == NULL)
		return 1;
	bool readable = search(directory, &request.query, &results);
	print_results(&request, &results);
	fputs(buffer_text(&results.problems), stderr);
	if (readable && results.count == 0)
		say_nothing_found(&request, directory, results.problems.length == 0);
	status = results.count > 0 && results.problems.length == 0 ? 0 : 1;
	search_results_clear(&results);
	memory_free(&directory);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "postern trace: cannot write: %s\n", strerror(errno));
		status = 1;
	}
	return status;
}
