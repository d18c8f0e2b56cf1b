/* The filter "spf" as a filter: identities, policies, replies, facts, Received-SPF, early questions; with both engines. DNS comes out of a zone file. */
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

#include "base/memory.h"
#include "dns/zone_file.h"
#include "filters/run.h"
#include "filters/spf/engine_libspf2.h"

static const char zone_text[] =
    "a.example\tTXT\tv=spf1 ip4:192.0.2.0/24 -all exp=why.a.example\n"
    "why.a.example\tTXT\tSee https://a.example/?ip=%{i}&by=%{r}\n"
    "plain.example\tTXT\tv=spf1 -all\n"
    "soft.example\tTXT\tv=spf1 mx ~all\n"
    "soft.example\tMX\t10 mx.soft.example\n"
    "mx.soft.example\tA\t198.51.100.7\n"
    "neutral.example\tTXT\tv=spf1 ?all\n"
    "broken.example\tTXT\tv=spf1 frob -all\n"
    "silent.example\tTXT\t!TIMEOUT\n"
    "helo.example\tTXT\tv=spf1 a -all\n"
    "helo.example\tA\t192.0.2.1\n"
    "xn--bcher-kva.example\tTXT\tv=spf1 -all\n"
    "long.example\tTXT\tv=spf1 -all exp=long-why.example\n"
    "long-why.example\tTXT\t\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" "
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" "
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" "
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" "
    "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"\n";

struct stage {
	struct config_filter settings;
	struct config config;
	struct filter_set *set;
	struct zone_file *zone;
	struct filter_job job;
	struct envelope envelope;
	struct edit_list edits;
	struct facts facts;
	struct dns_table answers;
	struct run_result result;
	unsigned rounds;
};

static void
stage_open(struct stage *stage, const char *sender, const char *helo, const char *client)
{
	struct buffer problem = {0};

	*stage = (struct stage){
		.settings = {
			.name = "spf",
			.spf = {.fail = ACTION_TAG, .softfail = ACTION_TAG, .permerror = ACTION_TAG, .helo = true},
		},
	};
	stage->settings.spf.none = stage->settings.spf.neutral = stage->settings.spf.pass = stage->settings.spf.temperror = ACTION_ACCEPT;
	stage->settings.on_error = ACTION_TEMPFAIL;
	stage->config = (struct config){.filters = &stage->settings, .filter_count = 1};
	stage->zone = zone_file_parse(span_of(zone_text), &problem);
	ck_assert_msg(stage->zone != NULL, "%s", buffer_text(&problem));
	buffer_free(&problem);
	stage->envelope.sender = (char *)sender;
	stage->job = (struct filter_job){
		.stage = STAGE_MESSAGE, .hostname = "mx1.example.org", .client = {.helo = helo}, .envelope = &stage->envelope,
		.now_us = 1000000000000000, .edits = &stage->edits, .facts = &stage->facts, .answers = &stage->answers,
	};
	ck_assert(ip_address_parse(client, &stage->job.client.address));
}

/* As often as it takes. */
static void
stage_run(struct stage *stage)
{
	struct buffer problem = {0};

	stage->set = filter_set_open(&stage->config, &problem);
	ck_assert_msg(stage->set != NULL, "%s", buffer_text(&problem));
	for (;; stage->rounds++) {
		run_result_clear(&stage->result);
		filter_run(stage->set, clock_system(), &stage->job, stage->rounds == 0, 0, 1, &stage->result);
		if (stage->result.next == 1)
			break;
		const struct dns_answer *question;
		for (size_t at = 0; (question = dns_table_next_open(&stage->result.questions, &at)) != NULL;) {
			struct dns_answer answer;
			zone_file_answer(stage->zone, question->name, question->type, &answer);
			dns_table_add(&stage->answers, &answer);
			dns_answer_clear(&answer);
		}
	}
	ck_assert_uint_eq(stage->result.count, 1);
	ck_assert_int_eq(stage->result.filters[0].outcome, FILTER_DONE);
}

static void
stage_close(struct stage *stage)
{
	run_result_clear(&stage->result);
	dns_table_clear(&stage->answers);
	filter_set_close(&stage->set);
	zone_file_free(&stage->zone);
}

static const char *
fact(const struct stage *stage, const char *name, const char *key)
{
	const struct fact_record *record = facts_record(&stage->result.facts, "spf", name);
	const char *value = record != NULL ? fact_record_get(record, key) : NULL;

	return value != NULL ? value : "-";
}

static const struct filter_result *
result(const struct stage *stage)
{
	return &stage->result.filters[0];
}

static void
expect_reply(const struct stage *stage, const char *expected)
{
	struct buffer wire = {0};

	reply_append_wire(&wire, &result(stage)->verdict.reply, false);
	ck_assert_str_eq(buffer_text(&wire), expected);
	buffer_free(&wire);
}

START_TEST(pass)
{
	struct stage stage;

	stage_open(&stage, "joe@A.example", "helo.example", "192.0.2.1");
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_ACCEPT);
	ck_assert_str_eq(result(&stage)->reason, "MAIL FROM A.example: pass by ip4:192.0.2.0/24: the client may send for the domain");
	ck_assert_str_eq(fact(&stage, "", "result"), "pass");
	ck_assert_str_eq(fact(&stage, "", "domain"), "A.example");
	ck_assert_str_eq(fact(&stage, "", "identity"), "mailfrom");
	ck_assert_str_eq(fact(&stage, "", "mechanism"), "ip4:192.0.2.0/24");
	ck_assert_str_eq(fact(&stage, "", "explanation"), "-");
	ck_assert_str_eq(fact(&stage, "", "relay"), "-");
	ck_assert_str_eq(fact(&stage, "helo", "result"), "pass");
	ck_assert_str_eq(fact(&stage, "helo", "identity"), "helo");
	ck_assert_str_eq(fact(&stage, "helo", "mechanism"), "a");
	ck_assert_uint_eq(stage.result.edits.count, 0);
	/* Both records in the first round, what the HELO name's needs in the second. */
	ck_assert_uint_eq(stage.rounds, 2);
	stage_close(&stage);
}
END_TEST

START_TEST(fail_tagged)
{
	struct stage stage;

	stage_open(&stage, "\"joe \\\" @ smith\"@a.example", "helo.example", "198.51.100.9");
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_ACCEPT);
	ck_assert_str_eq(fact(&stage, "", "result"), "fail");
	ck_assert_str_eq(fact(&stage, "", "explanation"), "See https://a.example/?ip=198.51.100.9&by=mx1.example.org");
	ck_assert_uint_eq(stage.result.edits.count, 2);
	const struct edit *edit = &stage.result.edits.edits[1];
	ck_assert_int_eq(edit->kind, EDIT_INSERT_HEADER);
	ck_assert_uint_eq(edit->index, 0);
	ck_assert_str_eq(edit->name, "Received-SPF");
	ck_assert_str_eq(edit->value, " fail (mx1.example.org: the client may not send for the domain)\r\n"
	    "\treceiver=mx1.example.org; client-ip=198.51.100.9;\r\n"
	    "\tenvelope-from=\"\\\"joe \\\\\\\" @ smith\\\"@a.example\";\r\n"
	    "\thelo=helo.example;\r\n"
	    "\tidentity=mailfrom;\r\n"
	    "\tmechanism=-all");
	ck_assert_ptr_nonnull(strstr(stage.result.edits.edits[0].value, "identity=helo"));
	stage_close(&stage);
}
END_TEST

START_TEST(rejections)
{
	static const struct {
		const char *sender;
		enum config_action action;
		const char *reply;
	} cases[] = {
		{"joe@a.example", ACTION_REJECT,
		    "550-5.7.23 SPF fail of MAIL FROM a.example from 198.51.100.9: the client may not send for the domain\r\n"
		    "550-5.7.23 The domain a.example explains:\r\n"
		    "550 5.7.23 See https://a.example/?ip=198.51.100.9&by=mx1.example.org\r\n"},
		{"joe@plain.example", ACTION_TEMPFAIL,
		    "451 4.7.23 SPF fail of MAIL FROM plain.example from 198.51.100.9: the client may not send for the domain\r\n"},
		{"joe@soft.example", ACTION_REJECT,
		    "550 5.7.1 SPF softfail of MAIL FROM soft.example from 198.51.100.9: the client probably may not send for the domain\r\n"},
		{"joe@broken.example", ACTION_REJECT,
		    "550 5.7.24 SPF permerror of MAIL FROM broken.example from 198.51.100.9: the domain's SPF record cannot be interpreted "
		    "(broken.example: frob: unknown mechanism)\r\n"},
		{"joe@silent.example", ACTION_TEMPFAIL,
		    "451 4.7.24 SPF temperror of MAIL FROM silent.example from 198.51.100.9: DNS failed for now "
		    "(silent.example: timeout: the TXT lookup failed)\r\n"},
		{"joe@nothing.example", ACTION_TEMPFAIL,
		    "451 4.7.1 SPF none of MAIL FROM nothing.example from 198.51.100.9: no SPF record or no domain to check\r\n"},
		{"joe@[192.0.2.1\xff]", ACTION_REJECT,
		    "550 5.7.1 SPF none of MAIL FROM [192.0.2.1?] from 198.51.100.9: no SPF record or no domain to check\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct stage stage;

		stage_open(&stage, cases[i].sender, "unknown.example", "198.51.100.9");
		struct config_spf *policy = &stage.settings.spf;
		policy->fail = policy->softfail = policy->none = policy->temperror = policy->permerror = cases[i].action;
		stage_run(&stage);
		ck_assert_int_eq(result(&stage)->verdict.kind, cases[i].action == ACTION_REJECT ? VERDICT_REJECT : VERDICT_TEMPFAIL);
		ck_assert_str_eq(result(&stage)->verdict.filter, "spf");
		expect_reply(&stage, cases[i].reply);
		ck_assert_uint_eq(stage.result.edits.count, 0);
		stage_close(&stage);
	}
}
END_TEST

START_TEST(long_explanation)
{
	struct stage stage;

	stage_open(&stage, "joe@long.example", NULL, "198.51.100.9");
	stage.settings.spf.fail = ACTION_REJECT;
	stage_run(&stage);
	const char *text = result(&stage)->verdict.reply.text;
	ck_assert_uint_eq(strlen(strrchr(text, '\n') + 1), 450);
	ck_assert_uint_eq(strlen(fact(&stage, "", "explanation")), 500);
	stage_close(&stage);
}
END_TEST

START_TEST(quarantine_and_acceptance)
{
	struct stage stage;

	stage_open(&stage, "joe@plain.example", "unknown.example", "198.51.100.9");
	stage.settings.spf.fail = ACTION_QUARANTINE;
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_QUARANTINE);
	ck_assert_str_eq(result(&stage)->verdict.reason, "MAIL FROM plain.example: fail by -all: the client may not send for the domain");
	ck_assert_uint_eq(stage.result.edits.count, 0);
	stage_close(&stage);
	/* received_spf stamps whatever the result; HELO without a record has nothing to say. */
	stage_open(&stage, "joe@neutral.example", "unknown.example", "2001:db8::1");
	stage.settings.spf.received_spf = true;
	stage_run(&stage);
	ck_assert_uint_eq(stage.result.edits.count, 1);
	ck_assert_ptr_nonnull(strstr(stage.result.edits.edits[0].value, "client-ip=\"2001:db8::1\";\r\n"));
	ck_assert_str_eq(fact(&stage, "helo", "result"), "none");
	stage_close(&stage);
}
END_TEST

START_TEST(null_sender)
{
	struct stage stage;

	stage_open(&stage, "", "helo.example", "192.0.2.1");
	stage.settings.spf.helo = false;
	stage.settings.spf.received_spf = true;
	stage_run(&stage);
	ck_assert_str_eq(result(&stage)->reason, "HELO helo.example: pass by a: the client may send for the domain");
	ck_assert_str_eq(fact(&stage, "", "identity"), "helo");
	ck_assert_str_eq(fact(&stage, "", "domain"), "helo.example");
	ck_assert_ptr_null(facts_find(&stage.result.facts, "spf", "helo"));
	ck_assert_ptr_nonnull(strstr(stage.result.edits.edits[0].value, "envelope-from=\"\";"));
	stage_close(&stage);
	/* A greeting that is no name, and none at all. */
	stage_open(&stage, "", "[192.0.2.1]", "192.0.2.1");
	stage_run(&stage);
	ck_assert_str_eq(fact(&stage, "", "result"), "none");
	ck_assert_uint_eq(stage.rounds, 0);
	stage_close(&stage);
	stage_open(&stage, "", NULL, "192.0.2.1");
	stage_run(&stage);
	ck_assert_str_eq(fact(&stage, "", "result"), "none");
	stage_close(&stage);
}
END_TEST

START_TEST(helo_fails)
{
	struct stage stage;

	/* MAIL FROM passes, HELO does not. */
	stage_open(&stage, "joe@a.example", "plain.example", "192.0.2.1");
	stage.settings.spf.fail = ACTION_REJECT;
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_REJECT);
	expect_reply(&stage, "550 5.7.23 SPF fail of HELO plain.example from 192.0.2.1: the client may not send for the domain\r\n");
	ck_assert_str_eq(fact(&stage, "", "result"), "pass");
	ck_assert_str_eq(fact(&stage, "helo", "result"), "fail");
	stage_close(&stage);
	/* Not looked at. */
	stage_open(&stage, "joe@a.example", "plain.example", "192.0.2.1");
	stage.settings.spf.fail = ACTION_REJECT;
	stage.settings.spf.helo = false;
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_ACCEPT);
	ck_assert_ptr_null(facts_find(&stage.result.facts, "spf", "helo"));
	stage_close(&stage);
	/* A fail of HELO that would only be tagged does not save a permerror that is refused. */
	stage_open(&stage, "joe@broken.example", "plain.example", "192.0.2.1");
	stage.settings.spf.permerror = ACTION_REJECT;
	stage_run(&stage);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_REJECT);
	ck_assert_str_eq(result(&stage)->verdict.reply.enhanced, "5.7.24");
	ck_assert_str_eq(fact(&stage, "", "problem"), "broken.example: frob: unknown mechanism");
	stage_close(&stage);
}
END_TEST

START_TEST(trusted_relay)
{
	struct stage stage;

	stage_open(&stage, "joe@b\xc3\xbc" "cher.example", "mail.example", "198.51.100.9");
	ck_assert(ip_address_parse("203.0.113.4", &stage.job.client.relay));
	stage_run(&stage);
	ck_assert_str_eq(fact(&stage, "", "domain"), "xn--bcher-kva.example");
	ck_assert_str_eq(fact(&stage, "", "result"), "fail");
	ck_assert_str_eq(fact(&stage, "", "relay"), "203.0.113.4");
	ck_assert_str_eq(fact(&stage, "", "client"), "198.51.100.9");
	ck_assert_str_eq(result(&stage)->reason, "MAIL FROM xn--bcher-kva.example: fail by -all: the client may not send for the domain; "
	    "judged is 198.51.100.9 behind the trusted relay 203.0.113.4");
	/* ASCII only: the backend may not know SMTPUTF8. */
	ck_assert_ptr_nonnull(strstr(stage.result.edits.edits[0].value, "envelope-from=\"joe@b??cher.example\";"));
	stage_close(&stage);
	/* The relay did not say who it was. */
	stage_open(&stage, "joe@plain.example", NULL, "198.51.100.9");
	stage.job.client.relay = stage.job.client.address;
	stage.job.client.address = (struct ip_address){0};
	stage_run(&stage);
	ck_assert_str_eq(fact(&stage, "", "result"), "none");
	ck_assert_str_eq(fact(&stage, "", "client"), "-");
	stage_close(&stage);
}
END_TEST

/* Ahead of the message it asks, and keeps its judgement to itself. */
START_TEST(ahead_of_the_message)
{
	struct stage stage;

	stage_open(&stage, "joe@soft.example", "helo.example", "198.51.100.9");
	stage.job.stage = STAGE_MAIL;
	stage.settings.spf.softfail = ACTION_REJECT;
	stage_run(&stage);
	ck_assert_uint_eq(stage.rounds, 3);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_ACCEPT);
	ck_assert_uint_eq(stage.result.facts.count + stage.result.edits.count, 0);
	filter_set_close(&stage.set);
	/* Then all is known. */
	stage.job.stage = STAGE_MESSAGE;
	stage.rounds = 0;
	stage_run(&stage);
	ck_assert_uint_eq(stage.rounds, 0);
	ck_assert_int_eq(result(&stage)->verdict.kind, VERDICT_REJECT);
	stage_close(&stage);
}
END_TEST

/* ---- libspf2 ---- */

/* This program is BUILD/unit/filters/test_spf_filter. */
static char *
module_directory(void)
{
	char path[4096] = "";

	ck_assert_int_gt(readlink("/proc/self/exe", path, sizeof path - 1), 0);
	return memory_copy_string(dirname(dirname(dirname(path))));
}

struct source {
	struct zone_file *zone;
	struct dns_answer answers[20];
	size_t count;
	bool known_only;
};

static const struct dns_answer *
source_lookup(void *context, const char *name, uint16_t type)
{
	struct source *source = context;

	for (size_t i = 0; i < source->count; i++)
		if (source->answers[i].type == type && strcmp(source->answers[i].name, name) == 0)
			return &source->answers[i];
	ck_assert_uint_lt(source->count, 20);
	zone_file_answer(source->zone, name, type, &source->answers[source->count]);
	return source->known_only ? (source->count++, NULL) : &source->answers[source->count++];
}

static void
library_evaluate(struct spf_libspf2 *library, const char *zone, const char *sender_domain, bool step, struct spf_outcome *outcome)
{
	struct buffer problem = {0};
	struct source source = {.zone = zone_file_parse(span_of(zone), &problem), .known_only = step};
	struct spf_query query = {.domain = sender_domain, .local_part = "joe", .helo = "helo.example", .receiver = "mx1.example.org"};

	ck_assert_ptr_nonnull(source.zone);
	ck_assert(ip_address_parse("198.51.100.9", &query.client));
	do {
		spf_outcome_clear(outcome);
		spf_libspf2_evaluate(library, &query, &(struct spf_answers){source_lookup, &source}, outcome);
	} while (outcome->result == SPF_PENDING);
	for (size_t i = 0; i < source.count; i++)
		dns_answer_clear(&source.answers[i]);
	zone_file_free(&source.zone);
}

START_TEST(library_results)
{
	static const struct {
		const char *domain;
		enum spf_result result;
		const char *explanation;
	} cases[] = {
		{"plain.example", SPF_FAIL, NULL}, {"soft.example", SPF_SOFTFAIL, NULL}, {"neutral.example", SPF_NEUTRAL, NULL},
		{"silent.example", SPF_TEMPERROR, NULL}, {"broken.example", SPF_PERMERROR, NULL}, {"nothing.example", SPF_NONE, NULL},
		{"[192.0.2.1]", SPF_NONE, NULL}, {"b\xc3\xbc" "cher.example", SPF_FAIL, NULL},
	};
	struct buffer problem = {0};
	char *directory = module_directory();
	struct spf_libspf2 *library = spf_libspf2_open(directory, &problem);

	ck_assert_msg(library != NULL, "%s", buffer_text(&problem));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (int step = 0; step < 2; step++) {
			struct spf_outcome outcome = {0};
			library_evaluate(library, zone_text, cases[i].domain, step != 0, &outcome);
			ck_assert_msg(outcome.result == cases[i].result, "%s: %s", cases[i].domain, spf_result_text(outcome.result));
			ck_assert_ptr_null(outcome.explanation);
			ck_assert((outcome.problem != NULL) == (cases[i].result == SPF_TEMPERROR || cases[i].result == SPF_PERMERROR));
			spf_outcome_clear(&outcome);
		}
	spf_libspf2_close(&library);
	memory_free(&directory);
}
END_TEST

/* The library's own count begins anew in each include and it has none of void lookups. */
START_TEST(library_limits)
{
	struct buffer problem = {0}, zone = {0};
	char *directory = module_directory();
	struct spf_libspf2 *library = spf_libspf2_open(directory, &problem);
	struct spf_outcome outcome = {0};

	ck_assert_ptr_nonnull(library);
	buffer_append_string(&zone, "ten.example\tTXT\tv=spf1 include:six.example a a a -all\nten.example\tA\t192.0.2.1\n"
	    "eleven.example\tTXT\tv=spf1 include:six.example a a a a -all\neleven.example\tA\t192.0.2.1\n"
	    "six.example\tTXT\tv=spf1 a a a a a a -all\nsix.example\tA\t192.0.2.1\n"
	    "hosts.example\tTXT\tv=spf1 mx mx mx ?all\nhosts.example\tMX\t1 m1.example\nhosts.example\tMX\t2 m2.example\n"
	    "hosts.example\tMX\t3 m3.example\nhosts.example\tMX\t4 m4.example\n"
	    "void.example\tTXT\tv=spf1 a:x.example a:y.example ?all\n"
	    "voids.example\tTXT\tv=spf1 a:x.example a:y.example a:z.example ?all\n");
	library_evaluate(library, buffer_text(&zone), "ten.example", false, &outcome);
	ck_assert_int_eq(outcome.result, SPF_FAIL);
	library_evaluate(library, buffer_text(&zone), "eleven.example", false, &outcome);
	ck_assert_int_eq(outcome.result, SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "too many terms that need DNS lookups");
	library_evaluate(library, buffer_text(&zone), "hosts.example", false, &outcome);
	ck_assert_int_eq(outcome.result, SPF_NEUTRAL);
	ck_assert_uint_eq(outcome.lookups, 3);
	library_evaluate(library, buffer_text(&zone), "void.example", false, &outcome);
	ck_assert_int_eq(outcome.result, SPF_NEUTRAL);
	library_evaluate(library, buffer_text(&zone), "voids.example", false, &outcome);
	ck_assert_int_eq(outcome.result, SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "too many DNS lookups without an answer");
	spf_outcome_clear(&outcome);
	buffer_free(&zone);
	spf_libspf2_close(&library);
	memory_free(&directory);
}
END_TEST

START_TEST(library_missing)
{
	struct buffer problem = {0};

	ck_assert_ptr_null(spf_libspf2_open("/nonexistent", &problem));
	ck_assert_ptr_nonnull(strstr(buffer_text(&problem), "engine libspf2: /nonexistent/postern-spf2.so: cannot open"));
	buffer_free(&problem);
}
END_TEST

SUITE_MAIN("filter spf", pass, fail_tagged, rejections, long_explanation, quarantine_and_acceptance, null_sender, helo_fails, trusted_relay,
    ahead_of_the_message, library_results, library_limits, library_missing)
