/* The command line of check-message, taken apart; and its exit status, on which scripts depend. */
#ifndef POSTERN_CLI_CHECK_MESSAGE_H
#define POSTERN_CLI_CHECK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "mail/envelope.h"
#include "filters/verdict.h"

enum check_message_exit {
	CHECK_MESSAGE_ACCEPT = 0,
	CHECK_MESSAGE_ERROR = 1, /* of usage or configuration; the file cannot be read */
	CHECK_MESSAGE_REJECT = 2,
	CHECK_MESSAGE_TEMPFAIL = 3,
	CHECK_MESSAGE_QUARANTINE = 4,
	CHECK_MESSAGE_DISCARD = 5,
};
enum check_message_exit check_message_exit_for(enum verdict_kind kind);

#define CHECK_MESSAGE_POLICIES_MAX 100

struct check_message_request {
	const char *message; /* path, or "-" */
	const char *config_file; /* NULL: the built-in verification filters with their defaults; never NULL with replay */
	const char *zone_file; /* NULL: live DNS */
	const char *helo; /* or NULL */
	struct ip_address client;
	struct envelope envelope;
	int64_t now_us; /* 0: the clock's */
	const char *policies[CHECK_MESSAGE_POLICIES_MAX]; /* "spf.fail=reject" */
	size_t policy_count;
	const char *replay; /* a queue ID: envelope, client, answers and time are those of the trace; or NULL */
	bool json;
};

/* Reads argv (argv[0] is the command's name). -1: go on; else the exit status, and what is wrong has been said. */
int check_message_arguments(int argc, char **argv, struct check_message_request *request);
void check_message_request_clear(struct check_message_request *request);

#endif
