/* postern check-message: the filters on a stored message, outside of any running gateway. Writes nothing but its answer, and asks nobody but DNS,
 * and not even that with --dns. */
#include "cli/check_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "conf/config.h"
#include "conf/schema.h"
#include "filters/headers.h"
#include "cli/commands.h"
#include "cli/dry_run.h"
#include "cli/dry_run_print.h"
#include "cli/question_source.h"
#include "cli/replay.h"
#include "cli/whole_file.h"

#define ZONE_MAX (16u << 20)

struct check {
	struct check_message_request request;
	struct config *config;
	struct question_source *questions;
	struct whole_message message;
	struct message_headers headers;
	struct replay replay; /* only with --replay */
	struct dry_run run;
};

enum check_message_exit
check_message_exit_for(enum verdict_kind kind)
{
	static const enum check_message_exit statuses[] = {
		[VERDICT_ACCEPT] = CHECK_MESSAGE_ACCEPT, [VERDICT_REJECT] = CHECK_MESSAGE_REJECT, [VERDICT_TEMPFAIL] = CHECK_MESSAGE_TEMPFAIL,
		[VERDICT_QUARANTINE] = CHECK_MESSAGE_QUARANTINE, [VERDICT_DISCARD] = CHECK_MESSAGE_DISCARD,
	};

	return statuses[kind];
}

static bool
fail(const char *what, const char *why)
{
	fprintf(stderr, "postern check-message: %s: %s\n", what, why);
	return false;
}

/* ---- configuration ---- */

/* Every verification filter this program has, with its defaults. */
static struct config *
config_built_in(struct config_errors *errors)
{
	struct buffer text = {0};
	bool first = true;

	buffer_append_string(&text, "hostname: localhost\ndomains: [localhost]\nbackends: [{url: \"maildir:mail\"}]\nquarantine: maildir:quarantine\nfilters: [");
	for (const struct schema_filter *filter = schema_filters; filter->name != NULL; filter++) {
		if (filter->place != FILTER_PLACE_AUTH || filter_find(filter->name) == NULL)
			continue;
		buffer_printf(&text, "%s%s", first ? "" : ", ", filter->name);
		first = false;
	}
	buffer_append_string(&text, "]\n");
	struct config *config = config_load_text("built-in", span_make(text.data, text.length), errors);
	buffer_free(&text);
	return config;
}

static bool
config_prepare(struct check *check)
{
	const struct check_message_request *request = &check->request;
	struct config_errors errors = {0};
	struct buffer problem = {0};
	bool good;

	check->config = request->config_file != NULL ? config_load_file(request->config_file, NULL, &errors) : config_built_in(&errors);
	good = check->config != NULL;
	if (!good)
		fputs(buffer_text(&errors.text), stderr);
	buffer_free(&errors.text);
	for (size_t i = 0; i < request->policy_count && good; i++)
		good = config_filter_option_set(check->config, request->policies[i], &problem) || fail("--policy", buffer_text(&problem));
	buffer_free(&problem);
	return good;
}

/* ---- what to judge ---- */

static bool
questions_prepare(struct check *check)
{
	const char *file = check->request.replay != NULL ? check->request.replay : check->request.zone_file;
	struct buffer text = {0}, problem = {0};

	if (check->request.replay != NULL)
		buffer_append_span(&text, span_make(check->replay.zone.data, check->replay.zone.length));
	else if (file != NULL && !whole_file_read(file, ZONE_MAX, &text)) {
		buffer_free(&text);
		return fail(file, strerror(errno));
	}
	if (file == NULL)
		check->questions = question_source_live(check->config, &problem);
	else
		check->questions = (check->request.replay != NULL ? question_source_recorded : question_source_zone)(
		    span_make(text.data, text.length), &problem);
	if (check->questions == NULL)
		fail(file != NULL ? file : "DNS", buffer_text(&problem));
	buffer_free(&text);
	buffer_free(&problem);
	return check->questions != NULL;
}

/* The same limits as in the daemon: beyond them no filter sees a message. */
static bool
headers_prepare(struct check *check)
{
	const struct config_limits *limits = &check->config->limits;

	message_headers_clear(&check->headers);
	return message_headers_read(check->message.store, limits->header_bytes, limits->header_count, &check->headers) == HEADER_SCAN_OK ||
	    fail(check->request.message, "its header block is beyond limits.header_bytes or limits.header_count: the gateway refuses it");
}

static bool
message_prepare(struct check *check)
{
	const char *file = check->request.message;
	struct buffer bytes = {0};
	bool good = whole_file_read(file, check->config->limits.message_size, &bytes) &&
	    whole_message_make(span_make(bytes.data, bytes.length), &check->message);

	if (!good)
		fail(file, errno == EFBIG ? "larger than limits.message_size" : strerror(errno));
	buffer_free(&bytes);
	return good && headers_prepare(check);
}

/* ---- replay ---- */

static bool
replay_prepare(struct check *check)
{
	const char *queue_id = check->request.replay;
	struct buffer problem = {0};
	bool good = queue_id == NULL || replay_find(check->config->data_directory, queue_id, &check->replay, &problem) ||
	    fail(queue_id, buffer_text(&problem));

	buffer_free(&problem);
	return good;
}

static bool
is_recorded_message(const struct check *check, uint64_t offset)
{
	char digest[MESSAGE_DIGEST_TEXT_SIZE];

	return message_store_length(check->message.store) - offset == check->replay.size_bytes &&
	    message_digest(check->message.store, offset, digest) && strcmp(digest, check->replay.digest) == 0;
}

/* The message that was judged, or a copy that got fields put in front: a quarantined one, or what a backend was given. */
static bool
replay_find_message(struct check *check)
{
	const struct header_block *block = &check->headers.block;
	struct whole_message message;

	if (check->request.replay == NULL || is_recorded_message(check, 0))
		return true;
	for (size_t i = 0; i < block->count; i++) {
		size_t offset = block->fields[i].offset + block->fields[i].length;
		struct span all = message_store_map(check->message.store);

		if (!is_recorded_message(check, offset))
			continue;
		if (!whole_message_make(span_make(all.at + offset, all.length - offset), &message))
			return fail(check->request.message, strerror(errno));
		message_store_free(&check->message.store);
		check->message = message;
		return headers_prepare(check);
	}
	return fail(check->request.message, "not the message of this queue ID: its hash differs");
}

/* ---- the run ---- */

static void
subject_from_request(struct check *check, struct dry_run_subject *subject, char **reverse_name)
{
	const struct check_message_request *request = &check->request;

	if (check->message.eight_bit)
		check->request.envelope.body = BODY_8BITMIME;
	subject->client = (struct filter_client){.address = request->client, .helo = request->helo, .extended = request->helo != NULL};
	subject->client.reverse_status = question_source_reverse(check->questions, &request->client, reverse_name);
	subject->client.reverse_name = *reverse_name;
	subject->envelope = &request->envelope;
	subject->now_us = request->now_us != 0 ? request->now_us : clock_wall_us(clock_system());
}

static void
subject_from_replay(const struct check *check, struct dry_run_subject *subject)
{
	const struct replay *replay = &check->replay;

	subject->client = (struct filter_client){.address = replay->client, .helo = replay->helo, .extended = replay->extended, .tls = replay->tls,
	    .reverse_name = replay->reverse_name, .reverse_status = replay->reverse_status};
	subject->envelope = &replay->envelope;
	subject->now_us = replay->now_us;
}

static bool
judge(struct check *check)
{
	struct dry_run_subject subject = {
		.config = check->config,
		.message = check->message.store,
		.headers = &check->headers.block,
		.questions = check->questions,
	};
	struct buffer problem = {0};
	char *reverse_name = NULL;

	if (check->request.replay != NULL)
		subject_from_replay(check, &subject);
	else
		subject_from_request(check, &subject, &reverse_name);
	bool good = dry_run(&subject, &check->run, &problem) || fail("configuration", buffer_text(&problem));
	memory_free(&reverse_name);
	buffer_free(&problem);
	return good;
}

/* Not an error: trying another policy is what a replay may be for. */
static void
say_what_differs(const struct check *check, const struct dry_run_recorded *recorded)
{
	if (recorded->queue_id == NULL)
		return;
	if (recorded->missing > 0)
		fprintf(stderr, "postern check-message: %zu questions to DNS have no answer in the trace; they count as failed\n", recorded->missing);
	if (strcmp(recorded->verdict, verdict_kind_text(check->run.verdict.kind)) != 0)
		fprintf(stderr, "postern check-message: the verdict was %s\n", recorded->verdict);
}

static int
print(const struct check *check)
{
	const struct dry_run_recorded recorded = {check->request.replay, check->replay.verdict, question_source_missing(check->questions)};
	struct buffer out = {0};

	say_what_differs(check, &recorded);
	if (check->request.json)
		dry_run_print_json(&check->run, &check->headers.block, &recorded, &out);
	else
		dry_run_print(&check->run, &check->headers.block, &recorded, &out);
	fwrite(out.data, 1, out.length, stdout);
	buffer_free(&out);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fail("standard output", strerror(errno));
		return CHECK_MESSAGE_ERROR;
	}
	return check_message_exit_for(check->run.verdict.kind);
}

int
cli_check_message(int argc, char **argv)
{
	struct check check = {0};
	int status = check_message_arguments(argc, argv, &check.request);

	if (status < 0) {
		status = CHECK_MESSAGE_ERROR;
		if (config_prepare(&check) && replay_prepare(&check) && questions_prepare(&check) && message_prepare(&check) &&
		    replay_find_message(&check) && judge(&check))
			status = print(&check);
	}
	dry_run_clear(&check.run);
	replay_clear(&check.replay);
	message_headers_clear(&check.headers);
	message_store_free(&check.message.store);
	question_source_free(&check.questions);
	config_free(&check.config);
	check_message_request_clear(&check.request);
	return status;
}
