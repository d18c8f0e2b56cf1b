/* check_host() over small zones: limits to the letter, explanations, errors, names, and what is asked when. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#include "spf_zone.h"

static struct zone zone;
static struct spf_query query;
static struct spf_outcome outcome;

/* Forgets the zone of the test before; the usual question about sender@example.org. */
static void
begin(void)
{
	zone_clear(&zone);
	spf_outcome_clear(&outcome);
	query = (struct spf_query){.local_part = "sender", .domain = "example.org", .helo = "mail.example.org", .receiver = "mx.example.net", .now_s = 42};
	ck_assert(ip_address_parse("192.0.2.1", &query.client));
}

static void
record(const char *text)
{
	zone_put(&zone, "example.org", "TXT", text);
}

static bool
texts_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The result with all answers known; the same must come out round by round, which is what leaves zone's questions and the outcome. */
static unsigned
expect(enum spf_result result)
{
	struct spf_outcome direct = {0};

	zone_forget_questions(&zone); /* the zone may have changed */
	zone_evaluate(&zone, &query, &direct);
	spf_outcome_clear(&outcome);
	unsigned rounds = zone_evaluate_rounds(&zone, &query, &outcome);
	ck_assert_msg(direct.result == result, "%s instead of %s: %s", spf_result_text(direct.result), spf_result_text(result),
	    direct.problem != NULL ? direct.problem : "");
	ck_assert_int_eq(outcome.result, direct.result);
	ck_assert(texts_equal(outcome.mechanism, direct.mechanism) && texts_equal(outcome.explanation, direct.explanation));
	ck_assert(texts_equal(outcome.problem, direct.problem));
	ck_assert(outcome.lookups == direct.lookups && outcome.void_lookups == direct.void_lookups);
	spf_outcome_clear(&direct);
	return rounds;
}

/* A record from scratch, and its result. */
static void
expect_record(const char *text, enum spf_result result)
{
	begin();
	record(text);
	expect(result);
}

/* ---- which domain, which record ---- */

START_TEST(identities_without_a_domain)
{
	static const char *const domains[] = {"", "localhost", "localhost.", "[192.0.2.1]", "[IPv6:::1]", "a..example", ".example.org", "ex ample.org",
	    "example.org..", "a\\.example.org", "xn--\xff.example", "\xe2\x80\xae.example", NULL};

	for (size_t i = 0; domains[i] != NULL; i++) {
		begin();
		query.domain = domains[i];
		ck_assert_msg(expect(SPF_NONE) == 0, "%s", domains[i]);
		ck_assert_uint_eq(zone.question_count, 0);
	}
	begin();
	query.client.family = 0;
	record("v=spf1 +all");
	expect(SPF_NONE);
}
END_TEST

START_TEST(u_labels_become_a_labels)
{
	begin();
	query.domain = "Caf\xc3\x89.B\xc3\xbc""cher.example.";
	zone_put(&zone, "xn--caf-dma.xn--bcher-kva.example", "TXT", "v=spf1 exists:%{d}.d.test exists:%{o}.o.test -all exp=e.test");
	zone_put(&zone, "e.test", "TXT", "%{s}");
	expect(SPF_FAIL);
	ck_assert(zone_was_asked(&zone, "xn--caf-dma.xn--bcher-kva.example.d.test", DNS_TYPE_A));
	ck_assert(zone_was_asked(&zone, "xn--caf-dma.xn--bcher-kva.example.o.test", DNS_TYPE_A));
	ck_assert_str_eq(outcome.explanation, "sender@xn--caf-dma.xn--bcher-kva.example");
}
END_TEST

START_TEST(final_dot_and_case)
{
	begin();
	query.domain = "Example.ORG.";
	record("v=spf1 exists:%{d}.x.test -all");
	zone_put(&zone, "example.org.x.test", "A", "127.0.0.1");
	expect(SPF_PASS);
	ck_assert_str_eq(zone.questions[0]->answer.name, "example.org");
}
END_TEST

START_TEST(record_selection)
{
	begin();
	expect(SPF_NONE); /* NXDOMAIN */
	zone_put(&zone, "example.org", "A", "192.0.2.1");
	expect(SPF_NONE);
	record("v=spf10 -all");
	record("some other text");
	expect(SPF_NONE);
	record("V=spf1 +all");
	expect(SPF_PASS);
	record("v=spf1");
	expect(SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "example.org: more than one SPF record");
}
END_TEST

START_TEST(dns_errors_on_the_record)
{
	begin();
	record("!TIMEOUT");
	expect(SPF_TEMPERROR);
	ck_assert_str_eq(outcome.problem, "example.org: timeout: the TXT lookup failed");
	begin();
	record("!SERVFAIL");
	expect(SPF_TEMPERROR);
	begin();
	record("!NXDOMAIN");
	expect(SPF_NONE);
}
END_TEST

/* ---- results and what is said about them ---- */

START_TEST(outcomes)
{
	expect_record("v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.9/24 -all", SPF_PASS);
	ck_assert_str_eq(outcome.mechanism, "ip4:192.0.2.9/24");
	expect_record("v=spf1 ip4:198.51.100.0/24 ~all", SPF_SOFTFAIL);
	ck_assert_str_eq(outcome.mechanism, "~all");
	expect_record("v=spf1 m=x ip4:198.51.100.0/24", SPF_NEUTRAL);
	ck_assert_str_eq(outcome.mechanism, "default");
	ck_assert_ptr_null(outcome.problem);
	expect_record("v=spf1 +all moo:x", SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "example.org: moo:x: unknown mechanism");
	ck_assert_ptr_null(outcome.mechanism);
	begin();
	record("v=spf1 include:a.test -all");
	zone_put(&zone, "a.test", "TXT", "v=spf1 ?ip4:203.0.113.1 ip4:192.0.2.1");
	expect(SPF_PASS);
	ck_assert_str_eq(outcome.mechanism, "include:a.test");
	begin();
	record("v=spf1 redirect=a.test");
	zone_put(&zone, "a.test", "TXT", "v=spf1 -ip4:192.0.2.0/24");
	expect(SPF_FAIL);
	ck_assert_str_eq(outcome.mechanism, "-ip4:192.0.2.0/24");
}
END_TEST

START_TEST(long_terms_are_cut_in_words)
{
	struct buffer text = {0};

	buffer_append_string(&text, "v=spf1 -exists:");
	for (int i = 0; i < 3000; i++)
		buffer_append_string(&text, "%{d}.");
	buffer_append_string(&text, "test");
	begin();
	record(text.data);
	zone_put(&zone,
	    "org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org."
	    "example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.example.org.test",
	    "A", "127.0.0.2"); /* what is left of 36,004 bytes: whole labels, at most 253 */
	expect(SPF_FAIL);
	ck_assert_uint_eq(strlen(outcome.mechanism), 255);
	buffer_free(&text);
}
END_TEST

START_TEST(ipv4_mapped_clients)
{
	begin();
	record("v=spf1 ip6:::ffff:192.0.2.1 ip6:::/0 ip4:192.0.2.1 -all");
	ck_assert(ip_address_parse("::ffff:192.0.2.1", &query.client));
	expect(SPF_PASS);
	ck_assert_str_eq(outcome.mechanism, "ip4:192.0.2.1");
}
END_TEST

START_TEST(address_family_picks_type_and_prefix)
{
	begin();
	record("v=spf1 a:h.test/8//32 -all");
	zone_put(&zone, "h.test", "A", "192.255.255.255");
	zone_put(&zone, "h.test", "AAAA", "2001:db8:ffff::");
	expect(SPF_PASS);
	ck_assert(!zone_was_asked(&zone, "h.test", DNS_TYPE_AAAA));
	ck_assert(ip_address_parse("2001:db8::1", &query.client));
	expect(SPF_PASS);
	ck_assert(!zone_was_asked(&zone, "h.test", DNS_TYPE_A));
	ck_assert(ip_address_parse("2001:db9::1", &query.client));
	expect(SPF_FAIL);
}
END_TEST

/* ---- mechanisms that ask ---- */

START_TEST(dns_errors_of_mechanisms)
{
	static const char *const terms[] = {"a:e.test", "mx:e.test", "mx:m.test", "exists:e.test", "include:e.test", "redirect=e.test", NULL};

	for (size_t i = 0; terms[i] != NULL; i++) {
		char text[100];
		snprintf(text, sizeof text, "v=spf1 %s%s", terms[i], strchr(terms[i], '=') != NULL ? "" : " +all");
		begin();
		record(text);
		zone_put(&zone, "e.test", "*", "!SERVFAIL");
		zone_put(&zone, "m.test", "MX", "10 e.test");
		expect(SPF_TEMPERROR);
		ck_assert_ptr_nonnull(outcome.problem);
	}
	/* RFC 7208 5.5: an error about the client's names is no match. */
	begin();
	record("v=spf1 ptr:e.test -all");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "!TIMEOUT");
	expect(SPF_FAIL);
	begin();
	record("v=spf1 ptr:e.test -all");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "e.test");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "sub.e.test");
	zone_put(&zone, "e.test", "A", "!TIMEOUT");
	zone_put(&zone, "sub.e.test", "A", "192.0.2.1");
	expect(SPF_PASS);
}
END_TEST

START_TEST(include_table)
{
	static const struct {
		const char *record;
		enum spf_result result;
	} cases[] = {{"v=spf1 +all", SPF_PASS}, {"v=spf1 -all", SPF_SOFTFAIL}, {"v=spf1 ~all", SPF_SOFTFAIL}, {"v=spf1 ?all", SPF_SOFTFAIL},
	    {"!SERVFAIL", SPF_TEMPERROR}, {"v=spf1 moo", SPF_PERMERROR}, {"nothing", SPF_PERMERROR}, {"!NXDOMAIN", SPF_PERMERROR}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin();
		record("v=spf1 include:i.test ~all");
		zone_put(&zone, "i.test", "TXT", cases[i].record);
		expect(cases[i].result);
	}
}
END_TEST

START_TEST(names_that_cannot_be_asked)
{
	expect_record("v=spf1 a:a..test mx:a..test exists:a..test ptr:a..test -all", SPF_FAIL);
	ck_assert_uint_eq(outcome.lookups, 4);
	ck_assert_uint_eq(outcome.void_lookups, 0);
	expect_record("v=spf1 a:a123456789012345678901234567890123456789012345678901234567890123.test -all", SPF_FAIL);
	expect_record("v=spf1 include:a..test -all", SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "example.org: include:a..test: not a domain name");
	expect_record("v=spf1 redirect=a..test", SPF_PERMERROR);
	/* One label is a name for a, but not a domain for include: RFC 7208 4.3. */
	begin();
	record("v=spf1 a:%{l} include:%{l} -all");
	zone_put(&zone, "sender", "TXT", "v=spf1 +all");
	expect(SPF_PERMERROR);
	ck_assert(zone_was_asked(&zone, "sender", DNS_TYPE_A));
	ck_assert(!zone_was_asked(&zone, "sender", DNS_TYPE_TXT));
}
END_TEST

START_TEST(odd_bytes_in_names)
{
	begin();
	record("v=spf1 exists:%{l}.%{h}.x.test -all");
	query.local_part = "a\\b c";
	query.helo = "Jumpin' \"J";
	zone_put(&zone, "a\\\\b\\032c.jumpin'\\032\"j.x.test", "A", "127.0.0.2");
	expect(SPF_PASS);
	/* RFC 8616 4: local parts outside ASCII match nothing. */
	begin();
	record("v=spf1 exists:%{l}.x.test include:%{l}.x.test a:%{s} ~all");
	query.local_part = "jos\xc3\xa9";
	expect(SPF_SOFTFAIL);
	ck_assert_uint_eq(zone.question_count, 1);
}
END_TEST

START_TEST(local_part_defaults_to_postmaster)
{
	begin();
	record("v=spf1 exists:%{l}.x.test -all");
	query.local_part = "";
	zone_put(&zone, "postmaster.x.test", "A", "127.0.0.2");
	expect(SPF_PASS);
	query.local_part = NULL;
	expect(SPF_PASS);
}
END_TEST

START_TEST(validated_names)
{
	begin();
	record("v=spf1 exists:%{p}.x.test -all");
	zone_put(&zone, "unknown.x.test", "A", "127.0.0.2");
	expect(SPF_PASS); /* no PTR */
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "liar.test");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "any.test");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "sub.example.org");
	zone_put(&zone, "liar.test", "A", "198.51.100.1");
	expect(SPF_PASS); /* none leads back */
	zone_put(&zone, "any.test", "A", "192.0.2.1");
	expect(SPF_FAIL);
	ck_assert(zone_was_asked(&zone, "any.test.x.test", DNS_TYPE_A));
	zone_put(&zone, "sub.example.org", "A", "192.0.2.1");
	expect(SPF_FAIL);
	ck_assert(zone_was_asked(&zone, "sub.example.org.x.test", DNS_TYPE_A));
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "Example.org");
	zone_put(&zone, "example.org", "A", "192.0.2.1");
	expect(SPF_FAIL);
	ck_assert(zone_was_asked(&zone, "example.org.x.test", DNS_TYPE_A));
	ck_assert_uint_eq(outcome.lookups, 1);
}
END_TEST

START_TEST(only_ten_names_of_the_client)
{
	begin();
	record("v=spf1 ptr:good.test -all");
	for (int i = 0; i < 10; i++) {
		char name[32];
		snprintf(name, sizeof name, "n%d.good.test", i);
		zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", name);
	}
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "good.test");
	zone_put(&zone, "good.test", "A", "192.0.2.1");
	expect(SPF_FAIL);
	ck_assert(!zone_was_asked(&zone, "good.test", DNS_TYPE_A));
	zone_put(&zone, "n9.good.test", "A", "192.0.2.1");
	expect(SPF_PASS);
}
END_TEST

START_TEST(only_ten_mail_hosts)
{
	begin();
	record("v=spf1 mx -all");
	zone_put(&zone, "example.org", "MX", "0 a.test");
	zone_put(&zone, "a.test", "A", "192.0.2.1");
	for (int i = 1; i < 10; i++)
		zone_put(&zone, "example.org", "MX", "10 b.test");
	expect(SPF_PASS);
	zone_put(&zone, "example.org", "MX", "10 b.test");
	expect(SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "example.org: mx: more than 10 mail hosts");
	begin();
	record("v=spf1 mx/0 -all"); /* null MX: RFC 7505 */
	zone_put(&zone, "example.org", "MX", "0 ");
	expect(SPF_FAIL);
}
END_TEST

/* ---- limits ---- */

START_TEST(lookup_limit)
{
	expect_record("v=spf1 a:1.h.test a:2.h.test a:3.h.test", SPF_PERMERROR); /* void */
	static const struct {
		const char *record;
		enum spf_result result;
	} cases[] = {
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test -all", SPF_FAIL},
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test -all", SPF_PERMERROR},
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test include:i.test -all", SPF_FAIL},
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test include:i.test -all", SPF_PERMERROR},
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test redirect=i.test", SPF_NEUTRAL},
		{"v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test redirect=i.test", SPF_PERMERROR},
		/* ip4, ip6, all and modifiers nobody knows count nothing, and the eleventh is no error if nobody gets there. */
		{"v=spf1 ip4:192.0.2.1 a a a a a a a a a a a a", SPF_PASS},
		{"v=spf1 -all redirect=example.org", SPF_FAIL},
		{"v=spf1 include:example.org", SPF_PERMERROR},
		{"v=spf1 redirect=example.org", SPF_PERMERROR},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin();
		record(cases[i].record);
		zone_put(&zone, "h.test", "A", "203.0.113.1");
		zone_put(&zone, "i.test", "TXT", "v=spf1 a:h.test ?all");
		expect(cases[i].result);
		ck_assert_uint_le(outcome.lookups, 10);
		if (cases[i].result == SPF_PERMERROR)
			ck_assert_ptr_nonnull(strstr(outcome.problem, "too many terms that need DNS lookups"));
	}
}
END_TEST

START_TEST(void_limit)
{
	expect_record("v=spf1 a:1.test mx:2.test -all", SPF_FAIL);
	ck_assert_uint_eq(outcome.void_lookups, 2);
	expect_record("v=spf1 a:1.test mx:2.test exists:3.test -all", SPF_PERMERROR);
	ck_assert_str_eq(outcome.problem, "example.org: exists:3.test: too many DNS lookups without an answer");
	expect_record("v=spf1 ptr a:1.test mx:2.test -all", SPF_PERMERROR);
	/* Not counted: the explanation, the names behind %{p}, the hosts of an mx, the record itself. */
	begin();
	record("v=spf1 a:1.test a:%{p}.test mx:m.test -all exp=nothing.test");
	zone_put(&zone, "m.test", "MX", "1 x.test");
	zone_put(&zone, "m.test", "MX", "2 y.test");
	zone_put(&zone, "m.test", "MX", "3 z.test");
	expect(SPF_FAIL);
	ck_assert_uint_eq(outcome.void_lookups, 2);
	/* Over includes it is one limit. */
	begin();
	record("v=spf1 a:1.test include:i.test -all");
	zone_put(&zone, "i.test", "TXT", "v=spf1 a:2.test a:3.test");
	expect(SPF_PERMERROR);
}
END_TEST

/* ---- explanations ---- */

START_TEST(explanations)
{
	begin();
	record("v=spf1 -all exp=why.%{d}");
	zone_put(&zone, "why.example.org", "TXT", "%{i} is not of %{d}; see https://%{o}/why?s=%{S}&r=%{r}&t=%{t} (%{c}, %{h}, 100%%%_)");
	expect(SPF_FAIL);
	ck_assert_str_eq(outcome.explanation,
	    "192.0.2.1 is not of example.org; see https://example.org/why?s=sender%40example.org&r=mx.example.net&t=42 (192.0.2.1, mail.example.org, 100% )");
	/* It speaks for the record that failed, not for the one redirecting to it. */
	begin();
	record("v=spf1 exp=wrong.test redirect=r.test");
	zone_put(&zone, "wrong.test", "TXT", "wrong");
	zone_put(&zone, "r.test", "TXT", "v=spf1 -all exp=right.test");
	zone_put(&zone, "right.test", "TXT", "of %{d} for %{o}");
	expect(SPF_FAIL);
	ck_assert_str_eq(outcome.explanation, "of r.test for example.org");
	ck_assert(!zone_was_asked(&zone, "wrong.test", DNS_TYPE_TXT));
}
END_TEST

START_TEST(explanation_only_for_fail)
{
	static const char *const records[] = {"v=spf1 ~all exp=why.test", "v=spf1 ?all exp=why.test", "v=spf1 exp=why.test", "v=spf1 +all exp=why.test",
	    "v=spf1 include:why.test -all exp=why.test", NULL};

	for (size_t i = 0; records[i] != NULL; i++) {
		begin();
		record(records[i]);
		zone_put(&zone, "why.test", "TXT", "!SERVFAIL");
		zone_evaluate(&zone, &query, &outcome);
		ck_assert_int_ne(outcome.result, SPF_FAIL);
		ck_assert(strstr(records[i], "include") != NULL || !zone_was_asked(&zone, "why.test", DNS_TYPE_TXT));
	}
}
END_TEST

/* RFC 7208 6.2: an included record never explains, and its exp= is not even asked for. */
START_TEST(no_explanation_from_includes)
{
	begin();
	record("v=spf1 include:i.test ?all");
	zone_put(&zone, "i.test", "TXT", "v=spf1 -all exp=why.test");
	zone_put(&zone, "why.test", "TXT", "because");
	expect(SPF_NEUTRAL);
	ck_assert_ptr_null(outcome.explanation);
	ck_assert(!zone_was_asked(&zone, "why.test", DNS_TYPE_TXT));
	ck_assert_str_eq(outcome.mechanism, "?all");
	begin();
	record("v=spf1 -include:i.test exp=own.test");
	zone_put(&zone, "i.test", "TXT", "v=spf1 +all exp=why.test");
	zone_put(&zone, "own.test", "TXT", "our own");
	expect(SPF_FAIL);
	ck_assert_str_eq(outcome.explanation, "our own");
}
END_TEST

START_TEST(explanations_that_are_dropped)
{
	static const char *const texts[] = {"%{x}", "caf\xc3\xa9", "tab\there", "!SERVFAIL", "!TIMEOUT", "!NXDOMAIN", "", "%{h}", NULL};
	struct buffer text = {0};

	for (size_t i = 0; texts[i] != NULL; i++) {
		begin();
		record("v=spf1 -all exp=why.test");
		query.helo = "line\r\n250 fine";
		zone_put(&zone, "why.test", "TXT", texts[i]);
		expect(SPF_FAIL);
		ck_assert_ptr_null(outcome.explanation);
	}
	begin();
	record("v=spf1 -all exp=why.test");
	zone_put(&zone, "why.test", "TXT", "one");
	zone_put(&zone, "why.test", "TXT", "two");
	expect(SPF_FAIL);
	ck_assert_ptr_null(outcome.explanation);
	begin();
	record("v=spf1 -all exp=why.test");
	for (int i = 0; i < 3000; i++)
		buffer_append_string(&text, "%{d}");
	zone_put(&zone, "why.test", "TXT", text.data);
	expect(SPF_FAIL);
	ck_assert_ptr_null(outcome.explanation);
	expect_record("v=spf1 -all exp=a..test", SPF_FAIL);
	buffer_free(&text);
}
END_TEST

/* ---- looking ahead ---- */

START_TEST(all_known_names_are_asked_at_once)
{
	begin();
	record("v=spf1 a mx exists:%{i}.x.test include:i.test ptr a:b.test ip4:203.0.113.0/24 redirect=r.test");
	zone_put(&zone, "i.test", "TXT", "v=spf1 a:c.test mx:d.test -all");
	zone_put(&zone, "r.test", "TXT", "v=spf1 ip4:192.0.2.1");
	zone_put(&zone, "example.org", "MX", "1 m1.test");
	zone_put(&zone, "example.org", "MX", "2 m2.test");
	for (const char *const *name = (const char *const[]){"example.org", "m1.test", "m2.test", "b.test", "c.test", "d.test", NULL}; *name != NULL; name++)
		zone_put(&zone, *name, "A", "203.0.113.9");
	zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", "p.example.org");
	zone_put(&zone, "p.example.org", "A", "203.0.113.9");
	zone_put(&zone, "d.test", "MX", "1 m1.test");
	/* The record; its seven names; two mail hosts, two of the include, one of the client's, and here no more is needed. */
	ck_assert_uint_eq(expect(SPF_PASS), 3);
	ck_assert_uint_eq(zone.question_count, 1 + 7 + 5);
	ck_assert_uint_eq(outcome.lookups, 9);
}
END_TEST

START_TEST(names_of_an_answer_are_asked_at_once)
{
	static const struct {
		const char *record;
		unsigned rounds, questions;
	} cases[] = {
		{"v=spf1 ptr -all", 3, 1 + 1 + 5},
		{"v=spf1 mx -all", 3, 1 + 1 + 5},
		{"v=spf1 exists:%{p}.x.test -all", 4, 1 + 1 + 5 + 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin();
		record(cases[i].record);
		for (unsigned j = 0; j < 5; j++) {
			char name[32], host[40];
			snprintf(name, sizeof name, "n%u.example.org", j);
			snprintf(host, sizeof host, "1 %s", name);
			zone_put(&zone, "1.2.0.192.in-addr.arpa", "PTR", name);
			zone_put(&zone, "example.org", "MX", host);
		}
		ck_assert_uint_eq(expect(SPF_FAIL), cases[i].rounds);
		ck_assert_uint_eq(zone.question_count, cases[i].questions);
	}
}
END_TEST

START_TEST(looking_ahead_stops_where_the_record_stops)
{
	begin();
	record("v=spf1 a:u.test -all a:never.test redirect=never.test exp=why.test");
	zone_put(&zone, "u.test", "A", "192.0.2.1");
	ck_assert_uint_eq(expect(SPF_PASS), 2);
	ck_assert(!zone_was_asked(&zone, "never.test", DNS_TYPE_A));
	ck_assert(!zone_was_asked(&zone, "never.test", DNS_TYPE_TXT));
	ck_assert(!zone_was_asked(&zone, "why.test", DNS_TYPE_TXT));
}
END_TEST

START_TEST(looking_ahead_keeps_the_limit)
{
	begin();
	record("v=spf1 a:1.test a:2.test a:3.test a:4.test a:5.test a:6.test a:7.test a:8.test a:9.test a:10.test a:11.test a:12.test -all");
	zone.rounds = true;
	spf_evaluate(&query, &(struct spf_answers){zone_lookup, &zone}, &outcome);
	zone_answer(&zone);
	spf_outcome_clear(&outcome);
	spf_evaluate(&query, &(struct spf_answers){zone_lookup, &zone}, &outcome);
	ck_assert_int_eq(outcome.result, SPF_PENDING);
	ck_assert_ptr_null(outcome.problem);
	ck_assert_uint_eq(zone.question_count, 1 + 10);
}
END_TEST

/* A sender who wants to make us ask: a tree of includes, ten wide at each of its levels, with mail hosts at the leaves. */
START_TEST(hostile_tree_of_includes)
{
	struct buffer text = {0};
	char name[32];

	begin();
	for (unsigned level = 0; level < 4; level++) {
		for (unsigned i = 0; i < (level == 0 ? 1 : level == 1 ? 10 : level == 2 ? 100 : 1000); i++) {
			buffer_clear(&text);
			buffer_append_string(&text, "v=spf1");
			for (unsigned j = 0; j < 10; j++)
				buffer_printf(&text, " %s:n%u-%u.test", level == 3 ? "mx" : "include", level + 1, i * 10 + j);
			snprintf(name, sizeof name, "n%u-%u.test", level, i);
			zone_put(&zone, name, "TXT", text.data);
		}
	}
	query.domain = "n0-0.test";
	unsigned rounds = expect(SPF_PERMERROR);
	ck_assert_uint_le(rounds, 11);
	ck_assert_uint_le(zone.question_count, 60);
	buffer_free(&text);
}
END_TEST

SUITE_MAIN("spf", identities_without_a_domain, u_labels_become_a_labels, final_dot_and_case, record_selection, dns_errors_on_the_record, outcomes,
    long_terms_are_cut_in_words, ipv4_mapped_clients, address_family_picks_type_and_prefix, dns_errors_of_mechanisms, include_table,
    names_that_cannot_be_asked, odd_bytes_in_names, local_part_defaults_to_postmaster, validated_names, only_ten_names_of_the_client,
    only_ten_mail_hosts, lookup_limit, void_limit, explanations, explanation_only_for_fail, no_explanation_from_includes,
    explanations_that_are_dropped, all_known_names_are_asked_at_once, names_of_an_answer_are_asked_at_once, looking_ahead_stops_where_the_record_stops, looking_ahead_keeps_the_limit, hostile_tree_of_includes)
