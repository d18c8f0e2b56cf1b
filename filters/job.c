/* Encoding and decoding of jobs and results. Decoders take nothing on trust: what they return is within the limits, or nothing. */
#include "filters/job.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define QUEUE_ID_MAX 64
#define RECIPIENT_BYTES_MIN 13 /* three lengths and the notify bits */
#define FILTER_RESULT_BYTES_MIN 32
#define NOTIFY_ALL (NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY)

/* ---- texts ---- */

static bool
put_text(struct buffer *payload, const char *text, size_t limit)
{
	if (text != NULL && strlen(text) > limit)
		return false;
	frame_put_string(payload, text);
	return true;
}

static char *
get_text(struct frame_reader *payload, size_t limit)
{
	char *text = frame_get_string(payload);

	if (text != NULL && strlen(text) > limit) {
		payload->failed = true;
		memory_free(&text);
	}
	return text;
}

/* One that must be there: empty perhaps, never NULL. */
static char *
get_required(struct frame_reader *payload, size_t limit)
{
	char *text = get_text(payload, limit);

	if (text == NULL)
		payload->failed = true;
	return text;
}

/* A number below `count`. */
static unsigned
get_choice(struct frame_reader *payload, unsigned count)
{
	unsigned value = frame_get_u8(payload);

	if (value >= count)
		payload->failed = true;
	return payload->failed ? 0 : value;
}

/* ---- the client ---- */

static void
put_address(struct buffer *payload, const struct ip_address *address)
{
	size_t length = address->family == 4 ? 4 : address->family == 6 ? 16 : 0;

	frame_put_u8(payload, address->family);
	buffer_append(payload, address->bytes, length);
}

static void
get_address(struct frame_reader *payload, struct ip_address *address)
{
	size_t length;

	address->family = frame_get_u8(payload);
	length = address->family == 4 ? 4 : address->family == 6 ? 16 : 0;
	if (length == 0 && address->family != 0)
		payload->failed = true;
	for (size_t i = 0; i < length; i++)
		address->bytes[i] = frame_get_u8(payload);
}

static bool
put_client(struct buffer *payload, const struct filter_client *client)
{
	put_address(payload, &client->address);
	put_address(payload, &client->relay);
	frame_put_u8(payload, (uint8_t)client->reverse_status);
	frame_put_bool(payload, client->extended);
	return put_text(payload, client->reverse_name, JOB_TEXT_MAX) && put_text(payload, client->helo, JOB_TEXT_MAX) &&
	    put_text(payload, client->tls, JOB_TEXT_MAX);
}

static void
get_client(struct frame_reader *payload, struct filter_client *client, struct worker_job_parts *parts)
{
	get_address(payload, &client->address);
	get_address(payload, &client->relay);
	client->reverse_status = get_choice(payload, REVERSE_TEMPERROR + 1);
	client->extended = frame_get_bool(payload);
	client->reverse_name = parts->reverse_name = get_text(payload, JOB_TEXT_MAX);
	client->helo = parts->helo = get_text(payload, JOB_TEXT_MAX);
	client->tls = parts->tls = get_text(payload, JOB_TEXT_MAX);
}

/* ---- the envelope ---- */

static bool
put_recipient(struct buffer *payload, const struct recipient *recipient)
{
	frame_put_u8(payload, (uint8_t)recipient->notify);
	return put_text(payload, recipient->address, JOB_TEXT_MAX) && put_text(payload, recipient->domain, JOB_TEXT_MAX) &&
	    put_text(payload, recipient->original_recipient, JOB_TEXT_MAX);
}

static bool
put_envelope(struct buffer *payload, const struct envelope *envelope)
{
	bool ok = put_text(payload, envelope->sender, JOB_TEXT_MAX) && put_text(payload, envelope->sender_domain, JOB_TEXT_MAX) &&
	    put_text(payload, envelope->ret, JOB_TEXT_MAX) && put_text(payload, envelope->envelope_id, JOB_TEXT_MAX);

	frame_put_u8(payload, (uint8_t)envelope->body);
	frame_put_bool(payload, envelope->smtputf8);
	frame_put_bool(payload, envelope->size_declared);
	frame_put_u64(payload, envelope->size);
	frame_put_u32(payload, (uint32_t)envelope->recipient_count);
	for (size_t i = 0; ok && i < envelope->recipient_count; i++)
		ok = put_recipient(payload, &envelope->recipients[i]) && payload->length <= FRAME_PAYLOAD_MAX;
	return ok;
}

static void
get_recipient(struct frame_reader *payload, struct envelope *envelope)
{
	unsigned notify = frame_get_u8(payload);
	char *address = get_required(payload, JOB_TEXT_MAX);
	char *domain = get_required(payload, JOB_TEXT_MAX);
	char *original = get_text(payload, JOB_TEXT_MAX);

	if ((notify & ~NOTIFY_ALL) != 0)
		payload->failed = true;
	if (!payload->failed) {
		struct recipient *recipient = envelope_add_recipient(envelope, address, domain);

		recipient->notify = notify;
		recipient->original_recipient = original;
		original = NULL;
	}
	memory_free(&address);
	memory_free(&domain);
	memory_free(&original);
}

static void
get_envelope(struct frame_reader *payload, struct envelope *envelope)
{
	envelope->sender = get_text(payload, JOB_TEXT_MAX);
	envelope->sender_domain = get_text(payload, JOB_TEXT_MAX);
	if ((envelope->sender == NULL) != (envelope->sender_domain == NULL))
		payload->failed = true;
	envelope->ret = get_text(payload, JOB_TEXT_MAX);
	envelope->envelope_id = get_text(payload, JOB_TEXT_MAX);
	envelope->body = get_choice(payload, BODY_8BITMIME + 1);
	envelope->smtputf8 = frame_get_bool(payload);
	envelope->size_declared = frame_get_bool(payload);
	envelope->size = frame_get_u64(payload);
	for (uint32_t left = frame_get_count(payload, RECIPIENT_BYTES_MIN); left > 0 && !payload->failed; left--)
		get_recipient(payload, envelope);
}

/* ---- a job ---- */

bool
worker_job_encode(const struct worker_job *job, struct buffer *payload)
{
	static const struct edit_list no_edits;
	static const struct facts no_facts;
	static const struct dns_table no_answers;
	static const struct envelope no_envelope;
	const struct filter_job *what = &job->job;
	bool ok;

	frame_put_u64(payload, job->id);
	frame_put_bool(payload, job->ask);
	frame_put_u32(payload, job->first);
	frame_put_u32(payload, job->end);
	frame_put_u8(payload, (uint8_t)what->stage);
	frame_put_i64(payload, what->now_us);
	frame_put_u32(payload, what->generation);
	ok = put_text(payload, what->queue_id, QUEUE_ID_MAX) && put_text(payload, what->hostname, JOB_TEXT_MAX) &&
	    put_client(payload, &what->client) && put_envelope(payload, what->envelope != NULL ? what->envelope : &no_envelope);
	if (!ok)
		return false;
	edit_list_encode(what->edits != NULL ? what->edits : &no_edits, payload);
	facts_encode(what->facts != NULL ? what->facts : &no_facts, payload);
	dns_table_encode(what->answers != NULL ? what->answers : &no_answers, payload);
	return payload->length <= FRAME_PAYLOAD_MAX;
}

static void
get_job(struct frame_reader *payload, struct worker_job *job)
{
	struct filter_job *what = &job->job;

	job->id = frame_get_u64(payload);
	job->ask = frame_get_bool(payload);
	job->first = frame_get_u32(payload);
	job->end = frame_get_u32(payload);
	what->stage = get_choice(payload, STAGE_COUNT);
	what->now_us = frame_get_i64(payload);
	what->generation = frame_get_u32(payload);
	if (job->id == 0 || job->first >= job->end)
		payload->failed = true;
	what->queue_id = job->parts.queue_id = get_text(payload, QUEUE_ID_MAX);
	what->hostname = job->parts.hostname = get_required(payload, JOB_TEXT_MAX);
	get_client(payload, &what->client, &job->parts);
	get_envelope(payload, &job->parts.envelope);
}

bool
worker_job_decode(struct frame_reader *payload, struct worker_job *job)
{
	struct worker_job_parts *parts = &job->parts;

	*job = (struct worker_job){0};
	get_job(payload, job);
	if (payload->failed || !edit_list_decode(payload, &parts->edits) || !facts_decode(payload, &parts->facts) ||
	    !dns_table_decode(payload, &parts->answers) || !frame_reader_finish(payload)) {
		worker_job_clear(job);
		return false;
	}
	job->job.envelope = &parts->envelope;
	job->job.edits = &parts->edits;
	job->job.facts = &parts->facts;
	job->job.answers = &parts->answers;
	return true;
}

bool
worker_job_open_message(struct worker_job *job, int descriptor, const struct config_limits *limits)
{
	struct worker_job_parts *parts = &job->parts;

	ASSERT(parts->message == NULL);
	parts->message = message_store_open(descriptor);
	if (parts->message == NULL)
		return false;
	/* A header block beyond the limits is shown as empty; the proxy has refused such a message long before. */
	(void)message_headers_read(parts->message, limits->header_bytes, limits->header_count, &parts->headers);
	job->job.message = parts->message;
	job->job.headers = &parts->headers.block;
	return true;
}

void
worker_job_clear(struct worker_job *job)
{
	struct worker_job_parts *parts = &job->parts;

	memory_free(&parts->queue_id);
	memory_free(&parts->hostname);
	memory_free(&parts->reverse_name);
	memory_free(&parts->helo);
	memory_free(&parts->tls);
	envelope_clear(&parts->envelope);
	edit_list_clear(&parts->edits);
	facts_clear(&parts->facts);
	dns_table_clear(&parts->answers);
	message_headers_clear(&parts->headers);
	message_store_free(&parts->message);
	*job = (struct worker_job){0};
}

/* ---- a result ---- */

/* What is too long for the frame is cut: words only a person reads. */
static void
put_cut(struct buffer *payload, const char *text, size_t limit)
{
	if (text == NULL)
		frame_put_string(payload, NULL);
	else
		frame_put_span(payload, span_make(text, strnlen(text, limit)));
}

static void
put_verdict(struct buffer *payload, const struct verdict *verdict)
{
	frame_put_u8(payload, (uint8_t)verdict->kind);
	frame_put_u16(payload, (uint16_t)verdict->reply.code);
	if (verdict->reply.code != 0) {
		frame_put_string(payload, verdict->reply.enhanced);
		put_cut(payload, verdict->reply.text, JOB_REPLY_TEXT_MAX);
	}
}

static void
get_verdict(struct frame_reader *payload, struct verdict *verdict)
{
	char *enhanced, *text;
	int code;

	verdict->kind = get_choice(payload, VERDICT_REJECT + 1);
	code = frame_get_u16(payload);
	if (code != 0) {
		enhanced = get_required(payload, sizeof verdict->reply.enhanced - 1);
		text = get_required(payload, JOB_REPLY_TEXT_MAX);
		if (code < 400 || code > 599)
			payload->failed = true;
		if (!payload->failed)
			reply_set(&verdict->reply, code, enhanced, "%s", text);
		memory_free(&enhanced);
		memory_free(&text);
	}
	if (!verdict_reply_fits(verdict))
		payload->failed = true;
}

static void
put_filter_result(struct buffer *payload, const struct filter_result *filter)
{
	frame_put_u32(payload, filter->index);
	frame_put_string(payload, filter->name);
	frame_put_u8(payload, (uint8_t)filter->outcome);
	frame_put_u64(payload, filter->wall_us);
	frame_put_u64(payload, filter->cpu_us);
	put_cut(payload, filter->reason, JOB_TEXT_MAX);
	put_verdict(payload, &filter->verdict);
}

static void
get_filter_result(struct frame_reader *payload, struct filter_result *filter)
{
	filter->index = frame_get_u32(payload);
	filter->name = get_required(payload, JOB_TEXT_MAX);
	filter->outcome = get_choice(payload, FILTER_FAILED + 1);
	filter->wall_us = frame_get_u64(payload);
	filter->cpu_us = frame_get_u64(payload);
	filter->reason = get_text(payload, JOB_TEXT_MAX);
	get_verdict(payload, &filter->verdict);
	/* Signed here: name and reason stand beside it. */
	if (!payload->failed && filter->verdict.kind != VERDICT_ACCEPT) {
		filter->verdict.filter = memory_copy_string(filter->name);
		filter->verdict.reason = memory_copy_string(filter->reason);
	}
	if (filter->outcome == FILTER_PENDING && filter->verdict.kind != VERDICT_ACCEPT)
		payload->failed = true;
}

bool
worker_result_encode(uint64_t id, const struct run_result *result, struct buffer *payload)
{
	frame_put_u64(payload, id);
	frame_put_u32(payload, result->next);
	frame_put_u32(payload, (uint32_t)result->count);
	for (size_t i = 0; i < result->count; i++)
		put_filter_result(payload, &result->filters[i]);
	edit_list_encode(&result->edits, payload);
	facts_encode(&result->facts, payload);
	dns_table_encode_open(&result->questions, payload);
	return payload->length <= FRAME_PAYLOAD_MAX;
}

static void
get_filter_results(struct frame_reader *payload, struct run_result *result)
{
	uint32_t count = frame_get_count(payload, FILTER_RESULT_BYTES_MIN);

	result->filters = memory_new_array((size_t)count + 1, sizeof *result->filters);
	while (result->count < count && !payload->failed)
		get_filter_result(payload, &result->filters[result->count++]);
}

bool
worker_result_decode(struct frame_reader *payload, uint64_t *id, struct run_result *result)
{
	size_t added;

	*result = (struct run_result){0};
	*id = frame_get_u64(payload);
	result->next = frame_get_u32(payload);
	get_filter_results(payload, result);
	if (payload->failed || *id == 0 || !edit_list_decode(payload, &result->edits) || !facts_decode(payload, &result->facts) ||
	    !dns_table_decode_open(payload, &result->questions, &added) || !frame_reader_finish(payload)) {
		run_result_clear(result);
		return false;
	}
	return true;
}
