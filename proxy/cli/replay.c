/* Reads what chain/story.c wrote. Believes nothing of it: a story may be cut, old, or damaged. */
#include "cli/replay.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dns/table.h"
#include "journal/search.h"

static bool
fail(struct buffer *problem, const char *what)
{
	buffer_append_string(problem, what);
	return false;
}

/* ---- answers: "NAME TYPE -> STATUS, ..., N ms: DATA, DATA" ---- */

/* The end of the first item of a list: a comma outside of double quotes, or the end. */
static const char *
item_end(const char *at)
{
	bool quoted = false;

	for (; *at != '\0'; at++) {
		if (quoted && *at == '\\' && at[1] != '\0')
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else if (!quoted && at[0] == ',' && at[1] == ' ')
			break;
	}
	return at;
}

static void
append_lines(struct replay *replay, const char *name, const char *type, const char *data)
{
	for (;;) {
		const char *end = item_end(data);

		/* A name that begins like a comment. */
		buffer_printf(&replay->zone, "%s%s\t%s\t%.*s\n", name[0] == '#' ? "\\" : "", name, type, (int)(end - data), data);
		if (*end == '\0')
			return;
		data = end + 2;
	}
}

static bool
take_answer(struct replay *replay, char *text, size_t length, struct buffer *problem)
{
	char *arrow = strstr(text, " -> ");
	char *data = arrow != NULL ? strstr(arrow, " ms: ") : NULL;
	char *type;

	if (data == NULL)
		return fail(problem, "an answer of DNS is not in the form this version writes");
	*arrow = '\0';
	type = strrchr(text, ' ');
	if (type == NULL)
		return fail(problem, "an answer of DNS has no type");
	*type++ = '\0';
	if (length >= RECORD_EVENT_TEXT_MAX) {
		buffer_printf(problem, "the answer to %s %s was too long for the trace", text, type);
		return false;
	}
	append_lines(replay, text, type, data + strlen(" ms: "));
	return true;
}

/* ---- what the filters were given, and what they said ---- */

static bool
parse_reverse(const char *text, enum reverse_status *status)
{
	static const enum reverse_status all[] = {REVERSE_CONFIRMED, REVERSE_NONE, REVERSE_MISMATCH, REVERSE_TEMPERROR};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (strcmp(text, reverse_status_text(all[i])) == 0) {
			*status = all[i];
			return true;
		}
	return false;
}

static bool
take_input(struct replay *replay, const char *text, struct buffer *problem)
{
	int extended, eight_bit, utf8;
	char reverse[16];

	if (sscanf(text, "input: sha256=%64[0-9a-f] esmtp=%d 8bit=%d utf8=%d reverse=%15s", replay->digest, &extended, &eight_bit, &utf8,
	        reverse) != 5 || strlen(replay->digest) != MESSAGE_DIGEST_TEXT_SIZE - 1 || !parse_reverse(reverse, &replay->reverse_status))
		return fail(problem, "what the filters were given is not in the form this version writes");
	replay->extended = extended != 0;
	replay->envelope.body = eight_bit != 0 ? BODY_8BITMIME : BODY_7BIT;
	replay->envelope.smtputf8 = utf8 != 0;
	return true;
}

/* "all: reject by spf; judged as of 1700000000000000, ..." */
static bool
take_verdict(struct replay *replay, const char *text, struct buffer *problem)
{
	const char *verdict = text + strlen("all: ");
	const char *time = strstr(text, "; judged as of ");

	if (time == NULL)
		return fail(problem, "the verdict is not in the form this version writes");
	memory_free(&replay->verdict);
	replay->verdict = memory_copy_text(verdict, strcspn(verdict, " ;"));
	replay->now_us = strtoll(time + strlen("; judged as of "), NULL, 10);
	return true;
}

static bool
take_event(struct replay *replay, enum record_event_kind kind, struct span span, struct buffer *problem)
{
	char *text = memory_copy_text(span.at, span.length);
	bool good = true;

	if (kind == RECORD_EVENT_DNS)
		good = take_answer(replay, text, span.length, problem);
	else if (kind == RECORD_EVENT_FILTER && strncmp(text, "input: ", 7) == 0)
		good = take_input(replay, text, problem);
	else if (kind == RECORD_EVENT_FILTER && strncmp(text, "all: ", 5) == 0)
		good = take_verdict(replay, text, problem);
	memory_free(&text);
	return good;
}

/* ---- the record ---- */

static char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');
	char *domain = memory_copy_string(at != NULL ? at + 1 : "");

	for (char *byte = domain; *byte != '\0'; byte++)
		*byte = (char)((unsigned char)*byte < 0x80 ? tolower((unsigned char)*byte) : *byte);
	return domain;
}

static void
take_envelope(struct replay *replay, const struct record *record)
{
	replay->envelope.sender = memory_copy_string(record->sender);
	replay->envelope.sender_domain = domain_of(record->sender);
	for (size_t i = 0; i < record->recipient_count; i++) {
		char *domain;

		if (!record->recipients[i].accepted)
			continue;
		domain = domain_of(record->recipients[i].address);
		envelope_add_recipient(&replay->envelope, record->recipients[i].address, domain);
		memory_free(&domain);
	}
	replay->client = record->client;
	replay->helo = memory_copy_string(record->helo);
	replay->reverse_name = memory_copy_string(record->reverse_name);
	replay->tls = memory_copy_string(record->tls);
	replay->size_bytes = record->size_bytes;
}

bool
replay_from_record(const struct record *record, struct replay *replay, struct buffer *problem)
{
	struct span story = span_make(record->story.data, record->story.length), text;
	enum record_event_kind kind;
	int64_t at_us;

	if (record->sender == NULL)
		return fail(problem, "no sender: it never was a message");
	if (record->recipients_unnamed > 0)
		return fail(problem, "it had more recipients than the trace names");
	take_envelope(replay, record);
	for (size_t offset = 0; record_story_next(story, &offset, &at_us, &kind, &text);)
		if (!take_event(replay, kind, text, problem))
			return false;
	if (replay->digest[0] == '\0' || replay->verdict == NULL)
		return fail(problem, "the trace has no story of filters for it");
	return true;
}

bool
replay_find(const char *data_directory, const char *queue_id, struct replay *replay, struct buffer *problem)
{
	struct search_query query = {.id = queue_id, .limit = 1, .with_story = true};
	struct search_results results;
	char *directory = memory_format("%s/trace", data_directory);
	bool good = search_run(directory, &query, &results);

	if (!good || results.problems.length > 0)
		buffer_append_span(problem, span_make(results.problems.data, results.problems.length));
	else if (results.count == 0 || strcmp(results.records[0].queue_id, queue_id) != 0)
		good = fail(problem, "the trace does not have it");
	if (good && results.count > 0)
		good = replay_from_record(&results.records[0], replay, problem);
	search_results_clear(&results);
	memory_free(&directory);
	return good;
}

void
replay_clear(struct replay *replay)
{
	envelope_clear(&replay->envelope);
	memory_free(&replay->helo);
	memory_free(&replay->reverse_name);
	memory_free(&replay->tls);
	memory_free(&replay->verdict);
	buffer_free(&replay->zone);
	*replay = (struct replay){0};
}
