/* The command line of check-message, messages out of files, names of clients out of zone files. */
#include "suite.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/check_message.h"
#include "cli/question_source.h"
#include "cli/whole_file.h"

static int
arguments(struct check_message_request *request, const char *line)
{
	static char copy[4096]; /* the request points into it */
	char *words[40] = {"check-message"};
	int count = 1;

	strcpy(copy, line);
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		words[count++] = word;
	optind = 0; /* glibc: from the start */
	return check_message_arguments(count, words, request);
}

START_TEST(complete)
{
	struct check_message_request request;
	char text[IP_ADDRESS_TEXT_SIZE];

	ck_assert_int_eq(arguments(&request, "m.eml --ip 2001:db8::7 --from S@Example.COM --to u@Example.org --to <postmaster> --helo h --dns z "
	    "--at 1700000000 --policy spf.fail=reject dkim.a=b --json -c f"), -1);
	ck_assert_str_eq(request.message, "m.eml");
	ck_assert_str_eq(ip_address_format(&request.client, text), "2001:db8::7");
	ck_assert_str_eq(request.envelope.sender, "S@Example.COM");
	ck_assert_str_eq(request.envelope.sender_domain, "example.com");
	ck_assert_uint_eq(request.envelope.recipient_count, 2);
	ck_assert_str_eq(request.envelope.recipients[0].domain, "example.org");
	ck_assert_str_eq(request.envelope.recipients[1].address, "postmaster");
	ck_assert_str_eq(request.envelope.recipients[1].domain, "");
	ck_assert_int_eq(request.now_us, 1700000000 * INT64_C(1000000));
	ck_assert_uint_eq(request.policy_count, 2);
	ck_assert_str_eq(request.policies[1], "dkim.a=b");
	ck_assert(request.json && !request.envelope.smtputf8);
	check_message_request_clear(&request);
	/* The message may stand anywhere; a policy behind a policy may not be taken for it, nor it for a policy. */
	ck_assert_int_eq(arguments(&request, "--ip 192.0.2.7 --policy a.b=c ./a.b=c --from <> --to j\xc3\xbcrgen@example.org"), -1);
	ck_assert_str_eq(request.message, "./a.b=c");
	ck_assert_uint_eq(request.policy_count, 1);
	ck_assert_str_eq(request.envelope.sender, "");
	ck_assert_str_eq(request.envelope.sender_domain, "");
	ck_assert(request.envelope.smtputf8);
	check_message_request_clear(&request);
}
END_TEST

START_TEST(wrong)
{
	static const char *const lines[] = {
		"", "m", "m --ip 192.0.2.7", "m --ip 192.0.2.7 --from a@example.com", "--ip 192.0.2.7 --from a@example.com --to b@example.org",
		"m --ip 192.0.2.7 --from a@example.com --to <>", "m --ip 192.0.2.7 --from postmaster --to b@example.org",
		"m --ip 192.0.2.7 --from <a@example.com>x --to b@example.org", "m n --ip 192.0.2.7 --from a@example.com --to b@example.org",
		"m --ip 192.0.2.7 --from a@example.com --to b@example.org --at 1x", "m --ip 192.0.2.7 --from a@example.com --to b@example.org --at 0",
		"m --ip 192.0.2.7 --from a@example.com --to b@example.org --at 99999999999999999",
	};

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct check_message_request request;

		ck_assert_msg(arguments(&request, lines[i]) == CHECK_MESSAGE_ERROR, "%s", lines[i]);
		check_message_request_clear(&request);
	}
}
END_TEST

START_TEST(messages)
{
	static const struct {
		const char *bytes, *message;
	} cases[] = {
		{"A: b\n\nx\n", "A: b\r\n\r\nx\r\n"}, {"A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n"}, {"A: b\n\r\n.\nx", "A: b\r\n\r\n.\r\nx\r\n"},
		{"From a Mon\nA: b\n", "A: b\r\n"}, {"From: a\n", "From: a\r\n"}, {"", ""}, {"x\ry\r", "x\r\ny\r\n"}, {"\n", "\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct whole_message message;

		ck_assert(whole_message_make(span_of(cases[i].bytes), &message));
		struct span all = message_store_map(message.store);
		ck_assert_uint_eq(message_store_length(message.store), strlen(cases[i].message));
		ck_assert(all.length == 0 || memcmp(all.at, cases[i].message, all.length) == 0);
		ck_assert(!message.eight_bit);
		message_store_free(&message.store);
	}
}
END_TEST

static void
check_reverse(const char *zone, const char *address_text, enum reverse_status expected, const char *expected_name)
{
	struct buffer problem = {0};
	struct question_source *source = question_source_zone(span_of(zone), &problem);
	struct ip_address address;
	char *name;

	ck_assert_msg(source != NULL, "%s", buffer_text(&problem));
	ck_assert(ip_address_parse(address_text, &address));
	ck_assert_int_eq(question_source_reverse(source, &address, &name), expected);
	if (expected_name == NULL)
		ck_assert_ptr_null(name);
	else
		ck_assert_str_eq(name, expected_name);
	memory_free(&name);
	question_source_free(&source);
}

START_TEST(reverse_names)
{
#define POINTER "7.2.0.192.in-addr.arpa\tPTR\t"
	check_reverse("", "192.0.2.7", REVERSE_NONE, NULL);
	check_reverse(POINTER "!SERVFAIL\n", "192.0.2.7", REVERSE_TEMPERROR, NULL);
	check_reverse(POINTER "a.example\n", "192.0.2.7", REVERSE_MISMATCH, NULL);
	check_reverse(POINTER "a.example\na.example\tA\t192.0.2.8\na.example\tA\t192.0.2.7\n", "192.0.2.7", REVERSE_CONFIRMED, "a.example");
	check_reverse(POINTER "a.example\n" POINTER "b.example\na.example\tA\t!TIMEOUT\nb.example\tA\t192.0.2.7\n", "192.0.2.7", REVERSE_CONFIRMED,
	    "b.example");
	check_reverse(POINTER "a.example\na.example\tA\t!TIMEOUT\n", "192.0.2.7", REVERSE_TEMPERROR, NULL);
	check_reverse(POINTER "a\\032b.example\n", "192.0.2.7", REVERSE_MISMATCH, NULL);
	check_reverse("7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa\tPTR\tsix.example\nsix.example\tAAAA\t2001:db8::7\n",
	    "2001:db8::7", REVERSE_CONFIRMED, "six.example");
}
END_TEST

START_TEST(recorded_answers)
{
	struct buffer problem = {0};
	struct question_source *source = question_source_recorded(span_of("a.example\tTXT\t!NODATA\n"), &problem);
	struct dns_table table = {0};

	dns_table_ask(&table, "A.example", DNS_TYPE_TXT);
	question_source_answer(source, &table);
	ck_assert_uint_eq(question_source_missing(source), 0);
	dns_table_ask(&table, "a.example", DNS_TYPE_A);
	dns_table_ask(&table, "b.example", DNS_TYPE_TXT);
	question_source_answer(source, &table);
	ck_assert_uint_eq(question_source_missing(source), 2);
	ck_assert_uint_eq(table.open, 0);
	ck_assert_int_eq(dns_table_find(&table, "a.example", DNS_TYPE_TXT)->status, DNS_STATUS_OK);
	ck_assert_int_eq(dns_table_find(&table, "b.example", DNS_TYPE_TXT)->status, DNS_STATUS_SERVER_FAILURE);
	dns_table_clear(&table);
	question_source_free(&source);
}
END_TEST

START_TEST(exits)
{
	ck_assert_int_eq(check_message_exit_for(VERDICT_ACCEPT), 0);
	ck_assert_int_eq(check_message_exit_for(VERDICT_REJECT), 2);
	ck_assert_int_eq(check_message_exit_for(VERDICT_TEMPFAIL), 3);
	ck_assert_int_eq(check_message_exit_for(VERDICT_QUARANTINE), 4);
	ck_assert_int_eq(check_message_exit_for(VERDICT_DISCARD), 5);
}
END_TEST

SUITE_MAIN("cli/check_message", complete, wrong, messages, reverse_names, recorded_answers, exits)
