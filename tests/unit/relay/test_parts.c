/* The parts of the relay that need no network: capabilities, commands, routes, health, cache. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "conf/config.h"
#include "relay/backend_commands.h"
#include "relay/backend_failure.h"
#include "relay/capabilities.h"
#include "relay/health.h"
#include "relay/recipient_cache.h"
#include "relay/route.h"
#include "suite.h"

static struct config *
load(const char *backends)
{
	struct config_errors errors = {0};
	char *text = memory_format("hostname: mx1.example.org\ndomains: [a.example, b.example, c.example, d.example]\n"
	                           "listen: [\"127.0.0.1:2525\"]\nbackends:\n%s",
	    backends);
	struct config *config = config_load_text("test.yaml", span_of(text), &errors);
	ck_assert_msg(config != NULL, "%s", buffer_text(&errors.text));
	memory_free(&text);
	return config;
}

START_TEST(capabilities_of_a_hello)
{
	struct capability_set set;
	capabilities_parse("mail.example.org Hello PIPELINING\nsize 1000\nPIPELINING\n8BITMIME \nXSOMETHING a=b\nDSN\nSMTPUTF8", &set);
	ck_assert_uint_eq(set.bits, CAPABILITY_SIZE | CAPABILITY_PIPELINING | CAPABILITY_8BITMIME | CAPABILITY_DSN | CAPABILITY_SMTPUTF8);
	ck_assert_uint_eq(set.size, 1000);
	capabilities_parse("PIPELINING", &set);
	ck_assert_uint_eq(set.bits, 0);
	capabilities_parse("", &set);
	ck_assert_uint_eq(set.bits, 0);
	capabilities_parse("x\nSIZE\n", &set);
	ck_assert_uint_eq(set.bits, CAPABILITY_SIZE);
	ck_assert_uint_eq(set.size, 0);
	capabilities_parse("x\nSIZE 99999999999999999999999\nDSNX\n8BITMIMEX", &set);
	ck_assert_uint_eq(set.bits, CAPABILITY_SIZE);
	ck_assert_uint_eq(set.size, 0);
	capabilities_parse("x\nSIZE 10x", &set);
	ck_assert_uint_eq(set.size, 0);
	capabilities_parse("x\nSIZE=77\nLIMITS RCPTMAX=5", &set);
	ck_assert_uint_eq(set.bits, CAPABILITY_SIZE | CAPABILITY_LIMITS);
	ck_assert_uint_eq(set.size, 77);
}
END_TEST

START_TEST(capabilities_as_text)
{
	struct buffer text = {0};
	struct capability_set set = {CAPABILITY_PIPELINING | CAPABILITY_SIZE | CAPABILITY_DSN, 500};
	capabilities_append_text(&text, &set);
	ck_assert_str_eq(buffer_text(&text), "PIPELINING SIZE=500 DSN");
	buffer_free(&text);
}
END_TEST

START_TEST(greeting_with_our_name)
{
	ck_assert(greeting_names_host("mx1.example.org ESMTP postern", "mx1.example.org"));
	ck_assert(greeting_names_host("MX1.Example.ORG. ESMTP", "mx1.example.org"));
	ck_assert(greeting_names_host("mx1.example.org\nmore", "mx1.example.org"));
	ck_assert(greeting_names_host("mx1.example.org", "mx1.example.org"));
	ck_assert(!greeting_names_host("mx1.example.org.evil ESMTP", "mx1.example.org"));
	ck_assert(!greeting_names_host("mail for mx1.example.org", "mx1.example.org"));
	ck_assert(!greeting_names_host("", "mx1.example.org"));
	ck_assert(!greeting_names_host(".", "mx1.example.org"));
}
END_TEST

static void
expect_mail(const struct envelope *envelope, unsigned bits, uint64_t size, const char *expected)
{
	struct buffer line = {0};
	struct capability_set set = {bits, 0};
	backend_command_mail(&line, envelope, &set, size);
	ck_assert_str_eq(buffer_text(&line), expected);
	buffer_free(&line);
}

static void
expect_rcpt(const struct recipient *recipient, unsigned bits, const char *expected)
{
	struct buffer line = {0};
	struct capability_set set = {bits, 0};
	backend_command_rcpt(&line, recipient, recipient->address, &set);
	ck_assert_str_eq(buffer_text(&line), expected);
	buffer_free(&line);
}

START_TEST(commands_with_what_is_offered)
{
	char sender[] = "a@example.com", full[] = "FULL", id[] = "QQ+3D1", rcpt[] = "b@example.org", orcpt[] = "rfc822;b@example.org";
	struct envelope envelope = {.sender = sender, .body = BODY_8BITMIME, .smtputf8 = true, .ret = full, .envelope_id = id};
	struct recipient recipient = {.address = rcpt, .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .original_recipient = orcpt};
	expect_mail(&envelope, 0, 100, "MAIL FROM:<a@example.com>");
	expect_mail(&envelope, CAPABILITY_SIZE, 100, "MAIL FROM:<a@example.com> SIZE=100");
	expect_mail(&envelope, CAPABILITY_SIZE, 0, "MAIL FROM:<a@example.com>");
	expect_mail(&envelope, CAPABILITY_SIZE | CAPABILITY_8BITMIME | CAPABILITY_SMTPUTF8 | CAPABILITY_DSN, 7,
	    "MAIL FROM:<a@example.com> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=QQ+3D1");
	expect_rcpt(&recipient, 0, "RCPT TO:<b@example.org>");
	expect_rcpt(&recipient, CAPABILITY_DSN, "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.org");
	recipient.notify = NOTIFY_NEVER;
	recipient.original_recipient = NULL;
	expect_rcpt(&recipient, CAPABILITY_DSN, "RCPT TO:<b@example.org> NOTIFY=NEVER");
	recipient.notify = NOTIFY_UNSET;
	expect_rcpt(&recipient, CAPABILITY_DSN, "RCPT TO:<b@example.org>");
	envelope = (struct envelope){.sender = (char[]){""}};
	expect_mail(&envelope, CAPABILITY_SIZE | CAPABILITY_8BITMIME | CAPABILITY_SMTPUTF8 | CAPABILITY_DSN, 0, "MAIL FROM:<>");
}
END_TEST

START_TEST(failures_are_transient)
{
	for (enum backend_failure_kind kind = BACKEND_UNREACHABLE; kind <= BACKEND_EXPIRED; kind++) {
		struct reply reply = {0};
		backend_failure_reply(kind, &reply);
		ck_assert_int_eq(reply.code, 451);
		ck_assert_int_eq(reply.enhanced[0], '4');
		ck_assert_ptr_nonnull(strstr(reply.text, backend_failure_text(kind)));
		reply_clear(&reply);
	}
	ck_assert(backend_failure_skips(BACKEND_LOOP));
	ck_assert(!backend_failure_skips(BACKEND_CROWDED));
}
END_TEST

START_TEST(routes_share_equal_sets)
{
	struct config *config = load("  - {url: \"smtp://192.0.2.1\", domains: [a.example, b.example]}\n"
	                             "  - {url: \"smtp://192.0.2.2\", domains: [a.example, b.example, c.example], priority: 1}\n"
	                             "  - {url: \"smtp://192.0.2.3\"}\n");
	struct route_table *table = route_table_new(config);
	int a = route_table_find(table, "a.example"), b = route_table_find(table, "b.example");
	int c = route_table_find(table, "c.example"), d = route_table_find(table, "d.example");
	ck_assert_uint_eq(route_table_count(table), 3);
	ck_assert_int_eq(a, b);
	ck_assert_int_ne(a, c);
	ck_assert_int_ne(c, d);
	ck_assert_uint_eq(route_table_get(table, a)->count, 2);
	ck_assert_uint_eq(route_table_get(table, a)->backends[0], 1); /* priority 1 is before 10 */
	ck_assert_uint_eq(route_table_get(table, a)->backends[1], 0);
	ck_assert_uint_eq(route_table_get(table, c)->count, 1);
	ck_assert_uint_eq(route_table_get(table, d)->backends[0], 2);
	ck_assert_int_eq(route_table_find(table, "elsewhere.example"), d);
	route_table_free(&table);
	config_free(&config);
}
END_TEST

START_TEST(no_route_without_a_default)
{
	struct config *config = load("  - {url: \"smtp://192.0.2.1\", domains: [a.example, b.example, c.example, d.example]}\n");
	struct route_table *table = route_table_new(config);
	ck_assert_int_eq(route_table_find(table, "a.example"), 0);
	ck_assert_int_eq(route_table_find(table, "e.example"), -1);
	route_table_free(&table);
	config_free(&config);
}
END_TEST

struct two_proxies {
	struct config *config;
	struct clock_manual clock;
	struct shared_memory *shared;
	int descriptor;
	struct health one, two;
};

static void
two_proxies_init(struct two_proxies *pair)
{
	pair->config = load("  - {url: \"smtp://192.0.2.1\", max_connections: 3}\ntimeouts: {backend_retry: 10s}\n");
	clock_manual_init(&pair->clock, 1700000000000000);
	clock_manual_advance(&pair->clock, 5000000);
	pair->shared = shared_memory_new(&pair->descriptor);
	pair->one = (struct health){pair->config, &pair->clock.clock, pair->shared, 1};
	pair->two = (struct health){pair->config, &pair->clock.clock, pair->shared, 2};
	atomic_store(&shared_memory_page(pair->shared, 1)->process_id, 1);
	atomic_store(&shared_memory_page(pair->shared, 2)->process_id, 2);
	health_start(&pair->one);
	health_start(&pair->two);
}

static void
two_proxies_free(struct two_proxies *pair)
{
	shared_memory_free(&pair->shared);
	close(pair->descriptor);
	config_free(&pair->config);
}

START_TEST(health_is_shared)
{
	struct two_proxies pair;
	struct capability_set set = {CAPABILITY_DSN, 5};
	two_proxies_init(&pair);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_GOOD);
	health_failed(&pair.one, 0);
	ck_assert_int_eq(health_look(&pair.one, 0), HEALTH_SKIP);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_SKIP);
	clock_manual_advance(&pair.clock, 9999999);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_SKIP);
	clock_manual_advance(&pair.clock, 1);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_PROBE);
	/* One probes, the others go on skipping, until it has succeeded. */
	health_claim_probe(&pair.two, 0);
	ck_assert_int_eq(health_look(&pair.one, 0), HEALTH_SKIP);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_SKIP);
	clock_manual_advance(&pair.clock, 1000);
	health_learned(&pair.two, 0, &set);
	ck_assert_int_eq(health_look(&pair.one, 0), HEALTH_GOOD);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_GOOD);
	/* A later failure of the other one counts again. */
	clock_manual_advance(&pair.clock, 1000);
	health_failed(&pair.one, 0);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_SKIP);
	two_proxies_free(&pair);
}
END_TEST

START_TEST(health_forgets_the_dead)
{
	struct two_proxies pair;
	two_proxies_init(&pair);
	health_failed(&pair.one, 0);
	atomic_store(&shared_memory_page(pair.shared, 1)->process_id, 0);
	ck_assert_int_eq(health_look(&pair.two, 0), HEALTH_GOOD);
	two_proxies_free(&pair);
}
END_TEST

START_TEST(capabilities_newest_wins)
{
	struct two_proxies pair;
	struct capability_set old = {CAPABILITY_DSN, 5}, new = {CAPABILITY_SMTPUTF8, 6}, found;
	two_proxies_init(&pair);
	ck_assert(!health_capabilities(&pair.one, 0, &found));
	health_learned(&pair.one, 0, &old);
	clock_manual_advance(&pair.clock, 10);
	health_learned(&pair.two, 0, &new);
	ck_assert(health_capabilities(&pair.one, 0, &found));
	ck_assert_uint_eq(found.bits, CAPABILITY_SMTPUTF8);
	ck_assert_uint_eq(found.size, 6);
	two_proxies_free(&pair);
}
END_TEST

/* After a reload, a proxy with another list of backends: the same ones are still known, whatever their numbers. */
START_TEST(another_generation_numbers_otherwise)
{
	struct two_proxies pair;
	struct capability_set set = {CAPABILITY_DSN, 5}, found;
	two_proxies_init(&pair);
	struct config *reloaded = load("  - {url: \"smtp://192.0.2.9\", max_connections: 3}\n  - {url: \"smtp://192.0.2.1\", max_connections: 3}\n");
	pair.two.config = reloaded;
	health_start(&pair.two);
	health_learned(&pair.one, 0, &set);
	ck_assert(health_claim_connection(&pair.one, 0));
	ck_assert(!health_capabilities(&pair.two, 0, &found));
	ck_assert(health_capabilities(&pair.two, 1, &found));
	ck_assert_uint_eq(found.bits, CAPABILITY_DSN);
	ck_assert_uint_eq(health_open_connections(&pair.two, 0), 0);
	ck_assert_uint_eq(health_open_connections(&pair.two, 1), 1);
	ck_assert(health_claim_connection(&pair.two, 1));
	ck_assert_uint_eq(health_open_connections(&pair.one, 0), 2);
	clock_manual_advance(&pair.clock, 10);
	health_failed(&pair.two, 0);
	ck_assert_int_eq(health_look(&pair.one, 0), HEALTH_GOOD);
	health_failed(&pair.two, 1);
	ck_assert_int_eq(health_look(&pair.one, 0), HEALTH_SKIP);
	config_free(&reloaded);
	two_proxies_free(&pair);
}
END_TEST

START_TEST(connections_are_counted_over_all)
{
	struct two_proxies pair;
	two_proxies_init(&pair);
	ck_assert(health_claim_connection(&pair.one, 0));
	ck_assert(health_claim_connection(&pair.two, 0));
	ck_assert(health_claim_connection(&pair.two, 0));
	ck_assert(!health_claim_connection(&pair.one, 0));
	ck_assert(!health_claim_connection(&pair.two, 0));
	ck_assert_uint_eq(health_open_connections(&pair.one, 0), 3);
	health_release_connection(&pair.two, 0);
	ck_assert(health_claim_connection(&pair.one, 0));
	two_proxies_free(&pair);
}
END_TEST

static void
store(struct recipient_cache *cache, const char *sender, const char *recipient, int code)
{
	struct reply reply = {0};
	reply_set(&reply, code, NULL, "said %d", code);
	recipient_cache_store(cache, 0, sender, recipient, &reply);
	reply_clear(&reply);
}

static int
find(struct recipient_cache *cache, int route, const char *sender, const char *recipient)
{
	const struct reply *reply = recipient_cache_find(cache, route, sender, recipient);
	return reply != NULL ? reply->code : 0;
}

START_TEST(cache_keys)
{
	struct clock_manual clock;
	clock_manual_init(&clock, 0);
	struct recipient_cache *cache = recipient_cache_new(&clock.clock, 1000, 100);
	store(cache, "s1", "good", 250);
	store(cache, "s1", "bad", 550);
	store(cache, "s1", "later", 450);
	ck_assert_int_eq(find(cache, 0, "s1", "good"), 250);
	ck_assert_int_eq(find(cache, 0, "s2", "good"), 250); /* whoever sends */
	ck_assert_int_eq(find(cache, 0, "s1", "bad"), 550);
	ck_assert_int_eq(find(cache, 0, "s2", "bad"), 0);
	ck_assert_int_eq(find(cache, 0, "s1", "later"), 0);
	ck_assert_int_eq(find(cache, 1, "s1", "good"), 0);
	/* A new word replaces the old one. */
	store(cache, "s1", "good", 550);
	ck_assert_int_eq(find(cache, 0, "s1", "good"), 550);
	ck_assert_int_eq(find(cache, 0, "s2", "good"), 0);
	recipient_cache_forget(cache, 0, "s1", "good");
	ck_assert_int_eq(find(cache, 0, "s1", "good"), 0);
	clock_manual_advance(&clock, 999999);
	ck_assert_int_eq(find(cache, 0, "s1", "bad"), 550);
	clock_manual_advance(&clock, 1);
	ck_assert_int_eq(find(cache, 0, "s1", "bad"), 0);
	ck_assert_uint_eq(recipient_cache_count(cache), 0);
	recipient_cache_free(&cache);
}
END_TEST

START_TEST(cache_is_bounded)
{
	struct recipient_cache *cache = recipient_cache_new(clock_system(), 60000, 10);
	for (int i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof name, "r%d", i);
		store(cache, "", name, 250);
		ck_assert_int_eq(find(cache, 0, "", "r0"), 250); /* in use: stays */
		ck_assert_uint_le(recipient_cache_count(cache), 10);
	}
	ck_assert_int_eq(find(cache, 0, "", "r99"), 250);
	ck_assert_int_eq(find(cache, 0, "", "r50"), 0);
	recipient_cache_free(&cache);
}
END_TEST

START_TEST(cache_off)
{
	struct recipient_cache *cache = recipient_cache_new(clock_system(), 0, 10);
	store(cache, "", "r", 250);
	ck_assert_int_eq(find(cache, 0, "", "r"), 0);
	recipient_cache_free(&cache);
}
END_TEST

SUITE_MAIN("relay parts", capabilities_of_a_hello, capabilities_as_text, greeting_with_our_name, commands_with_what_is_offered,
    failures_are_transient, routes_share_equal_sets, no_route_without_a_default, health_is_shared, health_forgets_the_dead,
    capabilities_newest_wins, another_generation_numbers_otherwise, connections_are_counted_over_all, cache_keys, cache_is_bounded, cache_off)
