/* The command line of check-message. Says at once what is wrong with it; opens no file. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/memory.h"
#include "mail/address.h"
#include "conf/config.h"
#include "cli/check_message.h"

static int
usage(FILE *to)
{
	fputs("usage: postern check-message [-c FILE] MESSAGE --ip ADDRESS --from SENDER --to RECIPIENT [OPTION...]\n"
	      "       postern check-message [-c FILE] MESSAGE --replay QUEUEID [--policy KEY=VALUE...] [--json]\n"
	      "  MESSAGE              a file, or - for standard input; lines may end with LF or CR LF\n"
	      "  --ip ADDRESS         the client's address\n"
	      "  --from SENDER        local@domain, or <> for the null sender\n"
	      "  --to RECIPIENT       may be given several times\n"
	      "  --helo NAME          what the client called itself\n"
	      "  --dns ZONE           answers from this file only: NAME tab TYPE tab DATA; what is not in it does not exist\n"
	      "  --at UNIXTIME        the time to judge at; default now\n"
	      "  --policy KEY=VALUE   a filter's option for this run, such as spf.fail=reject; several may follow\n"
	      "  --replay QUEUEID     judges the message as it was judged then: envelope, client, answers and time are those of the trace\n"
	      "  --json               one JSON object\n"
	      "  -c, --config FILE    filters, limits and name of this configuration; default: all verification filters\n"
	      "Exit status: 0 accept, 2 reject, 3 tempfail, 4 quarantine, 5 discard; 1 something is wrong with the call.\n",
	    to);
	return to == stdout ? CHECK_MESSAGE_ACCEPT : CHECK_MESSAGE_ERROR;
}

static bool
complain(const char *what, const char *value)
{
	char *escaped = escape_copy(value);

	fprintf(stderr, "postern check-message: %s: %s\n", what, escaped);
	memory_free(&escaped);
	return false;
}

/* ---- values ---- */

/* With or without angle brackets. */
static bool
parse_address(const char *text, bool is_sender, struct address *address)
{
	struct address_options options = {.null_allowed = is_sender, .postmaster_allowed = !is_sender, .utf8_allowed = true};
	char *path = text[0] == '<' ? memory_copy_string(text) : memory_format("<%s>", text);
	size_t taken = 0;
	enum address_error error = address_parse_path(span_of(path), &options, address, &taken);

	if (error == ADDRESS_OK && path[taken] != '\0') {
		address_clear(address);
		error = ADDRESS_TRAILING_BYTES;
	}
	memory_free(&path);
	return error == ADDRESS_OK || complain(address_error_text(error), text);
}

static bool
take_sender(struct check_message_request *request, const char *text)
{
	struct envelope *envelope = &request->envelope;
	struct address address = {0};

	if (!parse_address(text, true, &address))
		return false;
	memory_free(&envelope->sender);
	memory_free(&envelope->sender_domain);
	envelope->sender = address_to_string(&address);
	envelope->sender_domain = memory_copy_string(address.domain_lower != NULL ? address.domain_lower : "");
	envelope->smtputf8 = envelope->smtputf8 || !utf8_is_ascii(span_of(text));
	address_clear(&address);
	return true;
}

static bool
take_recipient(struct check_message_request *request, const char *text)
{
	struct address address = {0};

	if (!parse_address(text, false, &address))
		return false;
	char *mailbox = address_to_string(&address);
	envelope_add_recipient(&request->envelope, mailbox, address.domain_lower != NULL ? address.domain_lower : "");
	request->envelope.smtputf8 = request->envelope.smtputf8 || !utf8_is_ascii(span_of(text));
	memory_free(&mailbox);
	address_clear(&address);
	return true;
}

static bool
take_time(struct check_message_request *request, const char *text)
{
	char *end;

	errno = 0;
	long long seconds = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || seconds <= 0 || seconds > INT64_MAX / 1000000)
		return complain("not a UNIX time in seconds", text);
	request->now_us = seconds * 1000000;
	return true;
}

static bool
take_policy(struct check_message_request *request, const char *text)
{
	if (request->policy_count == CHECK_MESSAGE_POLICIES_MAX)
		return complain("too many policies", text);
	request->policies[request->policy_count++] = text;
	return true;
}

/* "spf.fail=reject", not a file. */
static bool
looks_like_policy(const char *text)
{
	size_t filter = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	size_t option = text[filter] == '.' ? strspn(text + filter + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-.") : 0;

	return filter > 0 && option > 0 && text[filter + 1 + option] == '=';
}

/* ---- options ---- */

enum { OPTION_IP = 256, OPTION_FROM, OPTION_TO, OPTION_HELO, OPTION_DNS, OPTION_AT, OPTION_POLICY, OPTION_REPLAY, OPTION_JSON };

static const struct option options[] = {
	{"ip", required_argument, NULL, OPTION_IP}, {"from", required_argument, NULL, OPTION_FROM}, {"to", required_argument, NULL, OPTION_TO},
	{"helo", required_argument, NULL, OPTION_HELO}, {"dns", required_argument, NULL, OPTION_DNS}, {"at", required_argument, NULL, OPTION_AT},
	{"replay", required_argument, NULL, OPTION_REPLAY}, {"policy", required_argument, NULL, OPTION_POLICY}, {"json", no_argument, NULL, OPTION_JSON}, {"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'}, {0},
};

static bool
take_option(struct check_message_request *request, int option, const char *value)
{
	switch (option) {
	case OPTION_IP:
		return ip_address_parse(value, &request->client) || complain("not an IP address", value);
	case OPTION_FROM:
		return take_sender(request, value);
	case OPTION_TO:
		return take_recipient(request, value);
	case OPTION_HELO:
		request->helo = value;
		return true;
	case OPTION_DNS:
		request->zone_file = value;
		return true;
	case OPTION_AT:
		return take_time(request, value);
	case OPTION_POLICY:
		return take_policy(request, value);
	case OPTION_REPLAY:
		request->replay = value;
		return true;
	case OPTION_JSON:
		request->json = true;
		return true;
	default:
		request->config_file = value;
		return true;
	}
}

static bool
is_complete(const struct check_message_request *request)
{
	const struct envelope *envelope = &request->envelope;

	if (request->replay != NULL && (request->client.family != 0 || envelope->sender != NULL || envelope->recipient_count > 0 ||
	        request->helo != NULL || request->zone_file != NULL || request->now_us != 0))
		return complain("--replay takes client, envelope, answers and time from the trace", request->replay);
	if (request->replay != NULL && request->message != NULL)
		return true;
	const char *missing = request->message == NULL ? "MESSAGE" : request->client.family == 0 ? "--ip" :
	    envelope->sender == NULL ? "--from" : envelope->recipient_count == 0 ? "--to" : NULL;

	return missing == NULL || complain("missing", missing);
}

int
check_message_arguments(int argc, char **argv, struct check_message_request *request)
{
	int option;

	*request = (struct check_message_request){0};
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'h' || option == '?')
			return usage(option == 'h' ? stdout : stderr);
		if (!take_option(request, option, optarg))
			return CHECK_MESSAGE_ERROR;
		while (option == OPTION_POLICY && optind < argc && looks_like_policy(argv[optind]))
			if (!take_policy(request, argv[optind++]))
				return CHECK_MESSAGE_ERROR;
	}
	if (optind < argc)
		request->message = argv[optind++];
	if (optind < argc) {
		complain("one message at a time, not also", argv[optind]);
		return usage(stderr);
	}
	if (!is_complete(request))
		return usage(stderr);
	if (request->replay != NULL && request->config_file == NULL)
		request->config_file = CONFIG_DEFAULT_FILE;
	return -1;
}

void
check_message_request_clear(struct check_message_request *request)
{
	envelope_clear(&request->envelope);
}
