/* Jobs and results in frames: golden bytes, everything there and back, nothing malformed accepted; and the header block of messages. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "suite.h"

#include "base/memory.h"
#include "filters/job.h"

static struct envelope
envelope_make(void)
{
	struct envelope envelope = {
		.sender = memory_copy_string("a@example.com"), .sender_domain = memory_copy_string("example.com"), .body = BODY_8BITMIME,
		.smtputf8 = true, .size_declared = true, .size = 77, .envelope_id = memory_copy_string("id"),
	};
	struct recipient *recipient = envelope_add_recipient(&envelope, "b@example.org", "example.org");

	recipient->notify = NOTIFY_FAILURE | NOTIFY_DELAY;
	recipient->original_recipient = memory_copy_string("rfc822;b@example.org");
	envelope_add_recipient(&envelope, "postmaster", "");
	return envelope;
}

static void
answers_make(struct dns_table *answers)
{
	struct dns_answer answer;

	dns_answer_init(&answer, DNS_STATUS_TIMEOUT, "example.com", DNS_TYPE_TXT);
	ck_assert(dns_table_add(answers, &answer));
	dns_answer_clear(&answer);
}

static bool
decode_job(const struct buffer *payload, struct worker_job *job)
{
	struct frame_reader reader;

	frame_reader_init(&reader, payload->data, payload->length);
	return worker_job_decode(&reader, job);
}

static bool
decode_result(const struct buffer *payload, uint64_t *id, struct run_result *result)
{
	struct frame_reader reader;

	frame_reader_init(&reader, payload->data, payload->length);
	return worker_result_decode(&reader, id, result);
}

static void
append_hex(struct buffer *out, const struct buffer *bytes)
{
	for (size_t i = 0; i < bytes->length; i++)
		buffer_printf(out, "%02x", (unsigned char)bytes->data[i]);
}

/* ---- jobs ---- */

static void
full_job(struct worker_job *job, struct envelope *envelope, struct edit_list *edits, struct facts *facts, struct dns_table *answers)
{
	*envelope = envelope_make();
	edit_list_add_header(edits, "spf", "X-Spam", "no");
	facts_set_text(facts, "spf", "", "pass");
	answers_make(answers);
	*job = (struct worker_job){
		.id = 0x1122334455667788, .ask = true, .first = 2, .end = 5,
		.job = {
			.stage = STAGE_MESSAGE, .queue_id = "4K7QZ2M9XW3B", .hostname = "mx.example.org",
			.client = {.reverse_name = "mail.example.com", .reverse_status = REVERSE_MISMATCH, .helo = "", .extended = true, .tls = "TLSv1.3"},
			.envelope = envelope, .now_us = -5, .generation = 9, .edits = edits, .facts = facts, .answers = answers,
		},
	};
	ck_assert(ip_address_parse("192.0.2.7", &job->job.client.address));
	ck_assert(ip_address_parse("2001:db8::1", &job->job.client.relay));
}

START_TEST(job_there_and_back)
{
	struct envelope envelope;
	struct edit_list edits = {0};
	struct facts facts = {0};
	struct dns_table answers = {0};
	struct worker_job job, back;
	struct buffer payload = {0}, again = {0};

	full_job(&job, &envelope, &edits, &facts, &answers);
	ck_assert(worker_job_encode(&job, &payload));
	ck_assert(decode_job(&payload, &back));
	const struct filter_job *what = &back.job;
	ck_assert_uint_eq(back.id, 0x1122334455667788);
	ck_assert(back.ask && back.first == 2 && back.end == 5);
	ck_assert_int_eq(what->stage, STAGE_MESSAGE);
	ck_assert_str_eq(what->queue_id, "4K7QZ2M9XW3B");
	ck_assert_str_eq(what->hostname, "mx.example.org");
	ck_assert(ip_address_equal(&what->client.address, &job.job.client.address) && ip_address_equal(&what->client.relay, &job.job.client.relay));
	ck_assert_str_eq(what->client.reverse_name, "mail.example.com");
	ck_assert_int_eq(what->client.reverse_status, REVERSE_MISMATCH);
	ck_assert_str_eq(what->client.helo, "");
	ck_assert(what->client.extended);
	ck_assert_str_eq(what->client.tls, "TLSv1.3");
	ck_assert_str_eq(what->envelope->sender, "a@example.com");
	ck_assert_str_eq(what->envelope->sender_domain, "example.com");
	ck_assert(what->envelope->body == BODY_8BITMIME && what->envelope->smtputf8 && what->envelope->size_declared);
	ck_assert_uint_eq(what->envelope->size, 77);
	ck_assert_ptr_null(what->envelope->ret);
	ck_assert_str_eq(what->envelope->envelope_id, "id");
	ck_assert_uint_eq(what->envelope->recipient_count, 2);
	ck_assert_str_eq(what->envelope->recipients[0].original_recipient, "rfc822;b@example.org");
	ck_assert_uint_eq(what->envelope->recipients[0].notify, NOTIFY_FAILURE | NOTIFY_DELAY);
	ck_assert_str_eq(what->envelope->recipients[1].address, "postmaster");
	ck_assert_int_eq(what->now_us, -5);
	ck_assert_uint_eq(what->generation, 9);
	ck_assert_str_eq(what->edits->edits[0].name, "X-Spam");
	ck_assert_str_eq(facts_text(what->facts, "spf", ""), "pass");
	ck_assert_int_eq(dns_table_find(what->answers, "EXAMPLE.com.", DNS_TYPE_TXT)->status, DNS_STATUS_TIMEOUT);
	ck_assert(worker_job_encode(&back, &again));
	ck_assert(span_equals(span_make(payload.data, payload.length), span_make(again.data, again.length)));
	/* Cut anywhere, or with a byte more, it is none. */
	size_t length = payload.length;
	worker_job_clear(&back);
	for (payload.length = 0; payload.length < length; payload.length++)
		ck_assert(!decode_job(&payload, &back));
	frame_put_u8(&payload, 0);
	ck_assert(!decode_job(&payload, &back));
	ck_assert_ptr_null(back.parts.hostname);
	envelope_clear(&envelope);
	edit_list_clear(&edits);
	facts_clear(&facts);
	dns_table_clear(&answers);
	buffer_free(&payload);
	buffer_free(&again);
}
END_TEST

/* So that two versions of the program never misread each other unnoticed: a change here is a change of the protocol. */
START_TEST(job_golden)
{
	struct worker_job job = {.id = 1, .first = 0, .end = 1, .job = {.stage = STAGE_CONNECT, .hostname = "m", .now_us = 2, .generation = 3}};
	struct buffer payload = {0}, hex = {0};

	ck_assert(ip_address_parse("192.0.2.7", &job.job.client.address));
	ck_assert(worker_job_encode(&job, &payload));
	append_hex(&hex, &payload);
	ck_assert_str_eq(buffer_text(&hex),
	    "0100000000000000" "00" "00000000" "01000000" "00" "0200000000000000" "03000000" /* id ask first end stage now generation */
	    "ffffffff" "010000006d" /* queue ID, host name */
	    "04c0000207" "00" "00" "00" "ffffffff" "ffffffff" "ffffffff" /* client */
	    "ffffffff" "ffffffff" "ffffffff" "ffffffff" "00" "00" "00" "0000000000000000" "00000000" /* envelope */
	    "0000000000" "00000000" "00000000" "00000000"); /* edits, facts and how many were dropped, answers */
	struct worker_job back;
	ck_assert(decode_job(&payload, &back));
	ck_assert_ptr_null(back.job.envelope->sender);
	ck_assert_ptr_null(back.job.queue_id);
	ck_assert_ptr_null(back.job.client.helo);
	worker_job_clear(&back);
	buffer_free(&payload);
	buffer_free(&hex);
}
END_TEST

static void
expect_job_refused(size_t offset, unsigned char value)
{
	struct worker_job job = {.id = 1, .first = 0, .end = 1, .job = {.stage = STAGE_CONNECT, .hostname = "m"}}, back;
	struct buffer payload = {0};

	ck_assert(worker_job_encode(&job, &payload));
	payload.data[offset] = (char)value;
	ck_assert_msg(!decode_job(&payload, &back), "byte %zu = %u was accepted", offset, value);
	buffer_free(&payload);
}

START_TEST(jobs_refused)
{
	expect_job_refused(0, 0); /* id */
	expect_job_refused(8, 2); /* ask */
	expect_job_refused(9, 1); /* first not below end */
	expect_job_refused(17, STAGE_COUNT);
	expect_job_refused(34, 0xff); /* length of the host name */
	expect_job_refused(38, 0); /* a NUL in it */
	expect_job_refused(39, 5); /* address family */
	expect_job_refused(41, REVERSE_TEMPERROR + 1);
	struct worker_job job = {.id = 1, .first = 0, .end = 1, .job = {.stage = STAGE_CONNECT}}, back;
	struct buffer payload = {0};
	ck_assert(worker_job_encode(&job, &payload));
	ck_assert(!decode_job(&payload, &back)); /* no host name */
	buffer_clear(&payload);
	char *text = memory_new(JOB_TEXT_MAX + 2);
	memset(text, 'x', JOB_TEXT_MAX + 1);
	job.job.hostname = text;
	ck_assert(!worker_job_encode(&job, &payload));
	buffer_clear(&payload);
	text[JOB_TEXT_MAX] = '\0';
	ck_assert(worker_job_encode(&job, &payload));
	ck_assert(decode_job(&payload, &back));
	worker_job_clear(&back);
	memory_free(&text);
	buffer_free(&payload);
}
END_TEST

/* More recipients than a frame holds: said, not sent. */
START_TEST(job_too_large)
{
	struct envelope envelope = {.sender = memory_copy_string(""), .sender_domain = memory_copy_string("")};
	struct worker_job job = {.id = 1, .first = 0, .end = 1, .job = {.stage = STAGE_CONNECT, .hostname = "m", .envelope = &envelope}};
	struct buffer payload = {0};

	for (int i = 0; i < 200000; i++)
		envelope_add_recipient(&envelope, "somebody.with.a.long.name@department.example.org", "department.example.org");
	ck_assert(!worker_job_encode(&job, &payload));
	envelope_clear(&envelope);
	buffer_free(&payload);
}
END_TEST

/* ---- messages of jobs ---- */

static int
sealed_file(const char *text)
{
	int descriptor = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
	return descriptor;
}

/* An unsealed file: only read, never mapped. */
static int
spool_file(const char *text, size_t length)
{
	char name[] = "/tmp/postern-job-XXXXXX";
	int writer = mkstemp(name);
	int reader = open(name, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(write(writer, text, length), (ssize_t)length);
	close(writer);
	unlink(name);
	return reader;
}

static const struct config_limits limits = {.header_bytes = 1 << 20, .header_count = 100000};

START_TEST(messages)
{
	static const char text[] = "From: a\r\nTo: b\r\n\r\nbody\r\n";
	int descriptors[] = {sealed_file(text), spool_file(text, strlen(text))};

	for (size_t i = 0; i < 2; i++) {
		struct worker_job job = {0};

		ck_assert(worker_job_open_message(&job, descriptors[i], &limits));
		ck_assert_uint_eq(job.job.headers->count, 2);
		ck_assert(span_is(job.job.headers->fields[1].name, "To"));
		ck_assert_uint_eq(message_store_length(job.job.message), strlen(text));
		worker_job_clear(&job);
	}
	int pair[2];
	struct worker_job job = {0};
	ck_assert_int_eq(pipe(pair), 0);
	close(pair[1]);
	ck_assert(!worker_job_open_message(&job, pair[0], &limits));
	worker_job_clear(&job);
}
END_TEST

/* A header block of `fields` fields in a file that cannot be mapped. */
static enum header_scan_result
scan_spooled(size_t fields, const char *end, uint64_t bytes_limit, size_t *found, size_t *body_offset)
{
	struct buffer text = {0};
	struct message_headers headers;

	for (size_t i = 0; i < fields; i++)
		buffer_printf(&text, "X-Field-%06zu: %040d\r\n", i, 0);
	buffer_append_string(&text, end);
	struct message_store *message = message_store_open(spool_file(text.data, text.length));
	enum header_scan_result result = message_headers_read(message, bytes_limit, 100000, &headers);
	*found = headers.block.count;
	*body_offset = headers.block.body_offset;
	message_headers_clear(&headers);
	message_store_free(&message);
	buffer_free(&text);
	return result;
}

START_TEST(headers_of_spooled_messages)
{
	static const size_t field = 58;
	size_t found, body;

	ck_assert_int_eq(scan_spooled(1, "\r\nbody\r\n", 1000, &found, &body), HEADER_SCAN_OK);
	ck_assert(found == 1 && body == field + 2);
	/* Longer than the first read, and without an empty line. */
	ck_assert_int_eq(scan_spooled(10000, "\r\nbody\r\n", 1 << 20, &found, &body), HEADER_SCAN_OK);
	ck_assert(found == 10000 && body == 10000 * field + 2);
	ck_assert_int_eq(scan_spooled(10000, "", 1 << 20, &found, &body), HEADER_SCAN_OK);
	ck_assert_uint_eq(found, 10000);
	ck_assert_int_eq(scan_spooled(10000, "\r\n", 10000 * field, &found, &body), HEADER_SCAN_OK);
	ck_assert_int_eq(scan_spooled(10000, "\r\n", 10000 * field - 1, &found, &body), HEADER_SCAN_TOO_LONG);
	ck_assert_uint_eq(found, 0);
	ck_assert_int_eq(scan_spooled(0, "", 1000, &found, &body), HEADER_SCAN_OK);
	ck_assert_uint_eq(found, 0);
}
END_TEST

static struct edit_rules
rules_of(const char *text)
{
	struct header_block block;

	ck_assert_int_eq(header_block_scan(span_of(text), true, 1 << 20, 1000, &block), HEADER_SCAN_OK);
	struct edit_rules rules = message_edit_rules(&block, false);
	header_block_clear(&block);
	return rules;
}

START_TEST(edit_rules)
{
	char *line = memory_new(2000);

	ck_assert(message_edit_rules(NULL, true).smtputf8);
	ck_assert(!rules_of("Subject: plain\r\n folded\r\n\r\n").eight_bit_headers);
	ck_assert(rules_of("Subject: pl\xe4in\r\n\r\n").eight_bit_headers);
	ck_assert(!rules_of("Subject: plain\r\n\r\n\xe4").eight_bit_headers);
	for (size_t i = 0; i < 2; i++) {
		/* "S: xxx" of 998 and 999 bytes without CR LF, and the same in a folded line. */
		memset(line, 'x', 1999);
		memcpy(line, "S: ", 3);
		strcpy(line + 998 + i, "\r\n\r\n");
		ck_assert_int_eq(rules_of(line).long_lines, i == 1);
		memset(line, 'x', 1999);
		memcpy(line, "S: \r\n ", 6);
		strcpy(line + 5 + 998 + i, "\r\n next\r\n\r\n");
		ck_assert_int_eq(rules_of(line).long_lines, i == 1);
	}
	memory_free(&line);
}
END_TEST

/* ---- results ---- */

static struct run_result
result_make(void)
{
	struct run_result result = {.next = 4};

	result.filters = memory_new_array(3, sizeof *result.filters);
	result.count = 3;
	result.filters[0] = (struct filter_result){.index = 1, .name = memory_copy_string("spf"), .outcome = FILTER_DONE, .wall_us = 5, .cpu_us = 4};
	result.filters[1] = (struct filter_result){.index = 2, .name = memory_copy_string("dkim"), .outcome = FILTER_FAILED,
	    .verdict = {.kind = VERDICT_REJECT}, .reason = memory_copy_string("why")};
	reply_set(&result.filters[1].verdict.reply, 554, "5.3.0", "one\ntwo");
	result.filters[2] = (struct filter_result){.index = 4, .name = memory_copy_string("arc"), .outcome = FILTER_PENDING};
	edit_list_add_header(&result.edits, "spf", "X-Spam", "no");
	facts_set_text(&result.facts, "spf", "", "pass");
	dns_table_ask(&result.questions, "example.com", DNS_TYPE_MX);
	return result;
}

START_TEST(result_there_and_back)
{
	struct run_result result = result_make(), back;
	struct buffer payload = {0}, again = {0};
	uint64_t id;

	ck_assert(worker_result_encode(77, &result, &payload));
	ck_assert(decode_result(&payload, &id, &back));
	ck_assert(id == 77 && back.next == 4 && back.count == 3);
	ck_assert_str_eq(back.filters[0].name, "spf");
	ck_assert(back.filters[0].index == 1 && back.filters[0].wall_us == 5 && back.filters[0].cpu_us == 4);
	ck_assert_int_eq(back.filters[1].outcome, FILTER_FAILED);
	ck_assert_int_eq(back.filters[1].verdict.reply.code, 554);
	ck_assert_str_eq(back.filters[1].verdict.reply.text, "one\ntwo");
	ck_assert_str_eq(back.filters[1].verdict.filter, "dkim");
	ck_assert_str_eq(back.filters[1].verdict.reason, "why");
	ck_assert_int_eq(back.filters[2].outcome, FILTER_PENDING);
	ck_assert_str_eq(back.edits.edits[0].value, "no");
	ck_assert_str_eq(facts_text(&back.facts, "spf", ""), "pass");
	ck_assert_uint_eq(back.questions.open, 1);
	ck_assert(worker_result_encode(77, &back, &again));
	ck_assert(span_equals(span_make(payload.data, payload.length), span_make(again.data, again.length)));
	run_result_clear(&back);
	size_t length = payload.length;
	for (payload.length = 0; payload.length < length; payload.length++)
		ck_assert(!decode_result(&payload, &id, &back));
	frame_put_u8(&payload, 0);
	ck_assert(!decode_result(&payload, &id, &back));
	run_result_clear(&result);
	buffer_free(&payload);
	buffer_free(&again);
}
END_TEST

START_TEST(result_golden)
{
	struct run_result result = {.next = 2};
	struct buffer payload = {0}, hex = {0};

	result.filters = memory_new(sizeof *result.filters);
	result.count = 1;
	result.filters[0] = (struct filter_result){.index = 1, .name = memory_copy_string("a"), .wall_us = 3, .cpu_us = 4, .verdict = {.kind = VERDICT_TEMPFAIL}};
	reply_set(&result.filters[0].verdict.reply, 451, NULL, "t");
	ck_assert(worker_result_encode(7, &result, &payload));
	append_hex(&hex, &payload);
	ck_assert_str_eq(buffer_text(&hex),
	    "0700000000000000" "02000000" "01000000" /* id next count */
	    "01000000" "0100000061" "00" "0300000000000000" "0400000000000000" "ffffffff" /* index name outcome wall cpu reason */
	    "03" "c301" "00000000" "0100000074" /* verdict, reply */
	    "0000000000" "00000000" "00000000" "00000000"); /* edits, facts, questions */
	run_result_clear(&result);
	buffer_free(&payload);
	buffer_free(&hex);
}
END_TEST

static void
expect_verdict_refused(enum verdict_kind kind, enum filter_outcome outcome, int code, const char *enhanced, bool refused)
{
	struct run_result result = {.next = 2}, back;
	struct buffer payload = {0};
	uint64_t id;

	result.filters = memory_new(sizeof *result.filters);
	result.count = 1;
	result.filters[0] = (struct filter_result){.name = memory_copy_string("a"), .outcome = outcome, .verdict = {.kind = kind}};
	if (code != 0) {
		reply_set(&result.filters[0].verdict.reply, 500, enhanced, "t");
		result.filters[0].verdict.reply.code = code;
	}
	ck_assert(worker_result_encode(7, &result, &payload));
	ck_assert_int_eq(!decode_result(&payload, &id, &back), refused);
	run_result_clear(&back);
	run_result_clear(&result);
	buffer_free(&payload);
}

START_TEST(results_refused)
{
	expect_verdict_refused(VERDICT_ACCEPT, FILTER_DONE, 0, NULL, false);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 550, "5.7.1", false);
	expect_verdict_refused(VERDICT_TEMPFAIL, FILTER_FAILED, 451, "", false);
	expect_verdict_refused(VERDICT_ACCEPT, FILTER_DONE, 250, "2.0.0", true);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 0, NULL, true);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 450, "4.7.1", true);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 550, "4.7.1", true);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 550, "5 7\r\n", true);
	expect_verdict_refused(VERDICT_REJECT, FILTER_DONE, 650, "", true);
	expect_verdict_refused(VERDICT_TEMPFAIL, FILTER_DONE, 421, "4.7.0", true);
	expect_verdict_refused(VERDICT_TEMPFAIL, FILTER_DONE, 550, "", true);
	expect_verdict_refused(VERDICT_QUARANTINE, FILTER_PENDING, 0, NULL, true);
}
END_TEST

SUITE_MAIN("worker job", job_there_and_back, job_golden, jobs_refused, job_too_large, messages, headers_of_spooled_messages, edit_rules,
    result_there_and_back, result_golden, results_refused)
