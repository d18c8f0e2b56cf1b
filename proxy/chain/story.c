/* What the trace tells about filters. One line each; all values are raw, readers escape them. */
#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"
#include "chain/message_digest.h"
#include "chain/run_parts.h"

static const struct clock *
clock_of(const struct chain_run *run)
{
	return run->chain->options.clock;
}

void
story_filter(struct chain_run *run, uint32_t index, enum verdict_kind kind, const char *outcome, const char *reason)
{
	const struct filter_cost *cost = &run->costs[index];

	record_event(run->subject.record, clock_of(run), RECORD_EVENT_FILTER,
	    "%s: %s%s%s%s; wall %llu us, CPU %llu us, DNS %llu ms, %u restarts", run_filter(run, index)->name, outcome, verdict_kind_text(kind),
	    reason != NULL ? ": " : "", reason != NULL ? reason : "", (unsigned long long)cost->wall_us, (unsigned long long)cost->cpu_us,
	    (unsigned long long)(cost->dns_us / 1000), cost->restarts);
}

/* "example.org MX -> ok, 2 records, 12 ms: 10 a.example.org, 20 b.example.org": behind the colon as zone files have it (dns/zone_file.h), so
 * that the answers can be used again. */
void
story_answer(struct chain_run *run, const struct dns_answer *answer, int64_t took_us)
{
	struct buffer text = {0};

	dns_answer_append_text(answer, true, &text);
	buffer_printf(&text, ", %lld ms: ", (long long)(took_us / 1000));
	if (answer->count == 0)
		buffer_append_string(&text, dns_status_zone_text(answer->status));
	for (size_t i = 0; i < answer->count && text.length < RECORD_EVENT_TEXT_MAX; i++) {
		buffer_append_string(&text, i == 0 ? "" : ", ");
		dns_record_append_text(&answer->records[i], answer->type, &text);
	}
	record_event(run->subject.record, clock_of(run), RECORD_EVENT_DNS, "%s", buffer_text(&text));
	buffer_free(&text);
}

/* ---- the rest ---- */

void
story_edits(struct chain_run *run, size_t from)
{
	for (size_t i = from; i < run->edits.count; i++) {
		const struct edit *edit = &run->edits.edits[i];
		struct buffer text = {0};

		edit_append_text(edit, &text);
		record_event(run->subject.record, clock_of(run), RECORD_EVENT_FILTER, "%s: edit: %s", edit->filter, buffer_text(&text));
		buffer_free(&text);
	}
}

/* What a replay (cli/replay.c) needs besides envelope and answers, to be judged as now. */
void
story_input(struct chain_run *run)
{
	const struct chain_subject *subject = &run->subject;
	char digest[MESSAGE_DIGEST_TEXT_SIZE] = "";

	if (!run->chain->options.config->trace || !message_digest(subject->message, 0, digest))
		return;
	record_event(subject->record, clock_of(run), RECORD_EVENT_FILTER, "input: sha256=%s esmtp=%d 8bit=%d utf8=%d reverse=%s", digest,
	    subject->extended, subject->envelope->body == BODY_8BITMIME, subject->envelope->smtputf8, reverse_status_text(subject->reverse_status));
}

/* What came out, and as of when. */
void
story_end(struct chain_run *run)
{
	struct buffer text = {0};

	facts_append_json(&run->facts, &text);
	record_event(run->subject.record, clock_of(run), RECORD_EVENT_FILTER, "all: %s%s%s; judged as of %lld, generation %u; facts %s",
	    verdict_kind_text(run->verdict.kind), run->verdict.filter != NULL ? " by " : "", run->verdict.filter != NULL ? run->verdict.filter : "",
	    (long long)run->job.job.now_us, (unsigned)run->chain->options.generation, buffer_text(&text));
	buffer_clear(&text);
	facts_append_summary(&run->facts, &text);
	record_set(&run->subject.record->facts, text.length > 0 ? buffer_text(&text) : NULL);
	buffer_free(&text);
}

void
story_note(struct chain_run *run, const char *format, ...)
{
	va_list arguments;
	char text[512];

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	record_event(run->subject.record, clock_of(run), RECORD_EVENT_FILTER, "%s", text);
}
