/* The resolver against a real name server (nsd), and against a scripted one that is silent, talks rubbish or lies. */
#include "suite.h"

#include <sched.h>
#include <sys/stat.h>
#include <time.h>

#include "base/memory.h"
#include "dns/resolver.h"
#include "nsd.h"

/* 100 bytes; a record of sixteen does not fit into a UDP answer. */
#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "

static const struct nsd_zone zones[] = {
	{"example.test",
	    "ns A 127.0.0.1\n@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 192.0.2.1\nmx2 A 192.0.2.2\nmx2 AAAA 2001:db8::2\nmx2 AAAA 2001:db8::3\n"
	    "alias CNAME alias2\nalias2 CNAME mx1\nalias3 CNAME nowhere.invalid.\n@ TXT \"v=spf1 \" \"-all\"\nempty TXT \"x\"\n"
	    "mail A 10.1.2.3\nother A 10.1.2.99\nmail6 AAAA 2001:db8::25\n*.wild A 192.0.2.77\n"
	    "long TXT " LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG "\n"},
	{"10.in-addr.arpa", "3.2.1 PTR mail.example.test.\n4.2.1 PTR other.example.test.\n"
	    "5.2.1 PTR wrong.example.test.\n5.2.1 PTR mail5.invalid.\n6.2.1 PTR bad\\001name.example.test.\n7.2.1 PTR x.elsewhere.example.\n"},
	{"8.b.d.0.1.0.0.2.ip6.arpa", "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR mail6.example.test.\n"},
	{"127.in-addr.arpa", "5.0.0 PTR five.invalid.\n"},
	{"invalid", "mail5 A 10.1.2.5\nfive A 127.0.0.5\n"},
};

/* One resolver on its own loop, with what came back. */
struct fixture {
	struct event_base *base;
	struct resolver *resolver;
	struct shared_page *page;
	struct nsd nsd;
	unsigned answered;
	struct dns_answer answer;
	enum dns_status status;
	struct ip_address addresses[16];
	size_t address_count;
	enum reverse_status reverse;
	char reverse_name[1024];
};

static struct fixture fixture;

static void
resolver_make(struct fixture *f, const char *server, int64_t timeout_ms)
{
	const char *servers[] = {server};
	f->base = event_base_new();
	f->page = calloc(1, sizeof *f->page);
	f->resolver = resolver_new(f->base, &(struct resolver_options){.servers = servers, .server_count = 1, .resolv_conf_text = "",
	    .hosts_text = "192.0.2.200 static.example.test\n2001:db8::200 static.example.test\n", .timeout_ms = timeout_ms,
	    .cache_bytes = 4 << 20, .page = f->page});
	ck_assert_ptr_nonnull(f->resolver);
}

static bool
set_up(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	if (!nsd_start(&f->nsd, zones, sizeof zones / sizeof zones[0]))
		return false;
	resolver_make(f, f->nsd.server, 5000);
	return true;
}

static void
tear_down(struct fixture *f)
{
	dns_answer_clear(&f->answer);
	resolver_free(&f->resolver);
	event_base_free(f->base);
	free(f->page);
	nsd_stop(&f->nsd);
}

static void
answered(void *context, const struct dns_answer *answer)
{
	struct fixture *f = context;
	dns_answer_clear(&f->answer);
	dns_answer_copy(&f->answer, answer);
	f->answered++;
}

static void
run_until(struct fixture *f, unsigned count)
{
	time_t limit = time(NULL) + 30;
	while (f->answered < count) {
		event_base_loop(f->base, EVLOOP_ONCE);
		ck_assert_int_lt(time(NULL), limit);
	}
}

static const struct dns_answer *
ask(struct fixture *f, const char *name, uint16_t type)
{
	f->answered = 0;
	ck_assert_uint_ne(resolver_ask(f->resolver, name, type, answered, f), 0);
	ck_assert_uint_eq(f->answered, 0);
	run_until(f, 1);
	ck_assert_uint_eq(resolver_pending(f->resolver), 0);
	return &f->answer;
}

START_TEST(records)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	const struct dns_answer *a = ask(f, "mx1.example.test", DNS_TYPE_A);
	ck_assert_int_eq(a->status, DNS_STATUS_OK);
	ck_assert_uint_eq(a->count, 1);
	ck_assert_mem_eq(a->records[0].data, "\xc0\x00\x02\x01", 4);
	ck_assert_uint_eq(ask(f, "example.test.", DNS_TYPE_MX)->count, 2);
	ck_assert_str_eq((char *)ask(f, "EXAMPLE.test", DNS_TYPE_TXT)->records[0].data, "v=spf1 -all");
	ck_assert_uint_eq(ask(f, "mx2.example.test", DNS_TYPE_AAAA)->count, 2);
	ck_assert_uint_eq(ask(f, "long.example.test", DNS_TYPE_TXT)->records[0].length, 16 * 100);
	a = ask(f, "alias.example.test", DNS_TYPE_A);
	ck_assert_uint_eq(a->count, 1);
	ck_assert_str_eq(a->name, "alias.example.test");
	ck_assert_str_eq((char *)ask(f, "alias.example.test", DNS_TYPE_CNAME)->records[0].data, "alias2.example.test");
	ck_assert_uint_eq(ask(f, "any.thing.wild.example.test", DNS_TYPE_A)->count, 1);
	tear_down(f);
}
END_TEST

START_TEST(absences)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	ck_assert_int_eq(ask(f, "nobody.example.test", DNS_TYPE_A)->status, DNS_STATUS_NAME_ERROR);
	/* Again, now from the cache. */
	ck_assert_int_eq(ask(f, "nobody.example.test", DNS_TYPE_A)->status, DNS_STATUS_NAME_ERROR);
	ck_assert_int_eq(ask(f, "alias3.example.test", DNS_TYPE_A)->status, DNS_STATUS_NAME_ERROR);
	const struct dns_answer *a = ask(f, "empty.example.test", DNS_TYPE_A);
	ck_assert_int_eq(a->status, DNS_STATUS_OK);
	ck_assert_uint_eq(a->count, 0);
	/* nsd refuses what is not its own: a failure, not an absence. */
	ck_assert_int_eq(ask(f, "elsewhere.example", DNS_TYPE_A)->status, DNS_STATUS_SERVER_FAILURE);
	ck_assert_uint_eq(f->page->counters[COUNTER_DNS_FAILURES], 1);
	ck_assert_uint_eq(f->page->counters[COUNTER_DNS_QUESTIONS], 5);
	tear_down(f);
}
END_TEST

START_TEST(names_libraries_swallow)
{
	/* test., invalid., private and loopback reverse ranges are answered by the server, not by a table in the library. */
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	ck_assert_uint_eq(ask(f, "mail5.invalid", DNS_TYPE_A)->count, 1);
	ck_assert_str_eq((char *)ask(f, "3.2.1.10.in-addr.arpa", DNS_TYPE_PTR)->records[0].data, "mail.example.test");
	ck_assert_str_eq((char *)ask(f, "5.0.0.127.in-addr.arpa", DNS_TYPE_PTR)->records[0].data, "five.invalid");
	ck_assert_uint_eq(ask(f, "localhost", DNS_TYPE_A)->count, 1);
	tear_down(f);
}
END_TEST

START_TEST(malformed_names)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	static const char *const names[] = {"", "a..b", ".a",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.test", "a\\"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_int_eq(ask(f, names[i], DNS_TYPE_A)->status, DNS_STATUS_MALFORMED);
	/* Odd but well formed: asked as it is. */
	ck_assert_int_eq(ask(f, "odd name\"\\032;(\xff.example.test", DNS_TYPE_A)->status, DNS_STATUS_NAME_ERROR);
	tear_down(f);
}
END_TEST

static void
ask_again(void *context, const struct dns_answer *answer)
{
	struct fixture *f = context;
	unsigned before = ++f->answered;
	ck_assert_uint_eq(answer->count, 1);
	if (before < 100)
		resolver_ask(f->resolver, "mx1.example.test", DNS_TYPE_A, ask_again, f);
	ck_assert_uint_eq(f->answered, before); /* never from inside, though it is cached */
}

START_TEST(cached)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	resolver_ask(f->resolver, "mx1.example.test", DNS_TYPE_A, ask_again, f);
	run_until(f, 100);
	ck_assert_uint_eq(f->page->counters[COUNTER_DNS_CACHE_HITS], 99);
	/* Two in one loop turn: the second asker is not starved by the first who asks on and on. */
	f->answered = 0;
	uint64_t cancelled = resolver_ask(f->resolver, "mx1.example.test", DNS_TYPE_A, answered, f);
	resolver_cancel(f->resolver, cancelled);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answered, 0);
	tear_down(f);
}
END_TEST

START_TEST(cancelled)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	uint64_t first = resolver_ask(f->resolver, "mx1.example.test", DNS_TYPE_A, answered, f);
	uint64_t second = resolver_ask_reverse(f->resolver, &(struct ip_address){4, {10, 1, 2, 3}}, NULL, NULL);
	uint64_t third = resolver_ask_addresses(f->resolver, "mx2.example.test", NULL, NULL);
	ck_assert_uint_eq(resolver_pending(f->resolver), 6); /* lookups count with their questions */
	resolver_cancel(f->resolver, first);
	resolver_cancel(f->resolver, second);
	resolver_cancel(f->resolver, third);
	resolver_cancel(f->resolver, third);
	resolver_cancel(f->resolver, 0);
	ck_assert_uint_eq(resolver_pending(f->resolver), 0);
	/* The same question again is answered; the cancelled ones stay silent. */
	ck_assert_uint_eq(ask(f, "mx1.example.test", DNS_TYPE_A)->count, 1);
	ck_assert_uint_eq(f->answered, 1);
	/* Freed with questions open. */
	resolver_ask(f->resolver, "mx2.example.test", DNS_TYPE_A, answered, f);
	resolver_ask_reverse(f->resolver, &(struct ip_address){4, {10, 1, 2, 3}}, NULL, NULL);
	tear_down(f);
	ck_assert_uint_eq(f->answered, 1);
}
END_TEST

static void
free_resolver(void *context, const struct dns_answer *answer)
{
	struct fixture *f = context;
	ck_assert_int_eq(answer->status, DNS_STATUS_MALFORMED);
	resolver_free(&f->resolver);
	ck_assert_str_eq(answer->name, "");
	f->answered++;
}

START_TEST(freed_in_callback)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	resolver_ask(f->resolver, "", DNS_TYPE_A, free_resolver, f);
	resolver_ask(f->resolver, "a..b", DNS_TYPE_A, free_resolver, f); /* never called */
	run_until(f, 1);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answered, 1);
	tear_down(f);
}
END_TEST

static void
addresses_answered(void *context, enum dns_status status, const struct ip_address *addresses, size_t count)
{
	struct fixture *f = context;
	f->status = status;
	f->address_count = count;
	memcpy(f->addresses, addresses, count * sizeof *addresses);
	f->answered++;
}

static const char *
ask_addresses(struct fixture *f, const char *host)
{
	static char text[1024];
	char one[IP_ADDRESS_TEXT_SIZE];
	f->answered = 0;
	ck_assert_uint_ne(resolver_ask_addresses(f->resolver, host, addresses_answered, f), 0);
	ck_assert_uint_eq(f->answered, 0);
	run_until(f, 1);
	ck_assert_uint_eq(resolver_pending(f->resolver), 0);
	snprintf(text, sizeof text, "%s", dns_status_text(f->status));
	for (size_t i = 0; i < f->address_count; i++) {
		strcat(text, " ");
		strcat(text, ip_address_format(&f->addresses[i], one));
	}
	return text;
}

START_TEST(host_addresses)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	ck_assert_str_eq(ask_addresses(f, "192.0.2.9"), "ok 192.0.2.9");
	ck_assert_str_eq(ask_addresses(f, "2001:db8::9"), "ok 2001:db8::9");
	ck_assert_str_eq(ask_addresses(f, "Static.Example.Test."), "ok 192.0.2.200 2001:db8::200");
	ck_assert_str_eq(ask_addresses(f, "mx1.example.test"), "ok 192.0.2.1");
	const char *both = ask_addresses(f, "mx2.example.test");
	ck_assert(strcmp(both, "ok 2001:db8::2 192.0.2.2 2001:db8::3") == 0 || strcmp(both, "ok 2001:db8::3 192.0.2.2 2001:db8::2") == 0);
	ck_assert_str_eq(ask_addresses(f, "empty.example.test"), "ok");
	ck_assert_str_eq(ask_addresses(f, "nobody.example.test"), "nxdomain");
	ck_assert_str_eq(ask_addresses(f, "elsewhere.example"), "servfail");
	ck_assert_str_eq(ask_addresses(f, ""), "malformed");
	ck_assert_str_eq(ask_addresses(f, "."), "malformed");
	tear_down(f);
}
END_TEST

static void
reverse_answered(void *context, enum reverse_status status, const char *name)
{
	struct fixture *f = context;
	f->reverse = status;
	snprintf(f->reverse_name, sizeof f->reverse_name, "%s %s", reverse_status_text(status), name);
	f->answered++;
}

static const char *
ask_reverse(struct fixture *f, const char *text)
{
	struct ip_address address = {0};
	ck_assert(*text == '\0' || ip_address_parse(text, &address));
	f->answered = 0;
	resolver_ask_reverse(f->resolver, &address, reverse_answered, f);
	ck_assert_uint_eq(f->answered, 0);
	run_until(f, 1);
	ck_assert_uint_eq(resolver_pending(f->resolver), 0);
	return f->reverse_name;
}

START_TEST(reverse_names)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	ck_assert_str_eq(ask_reverse(f, "10.1.2.3"), "pass mail.example.test");
	ck_assert_str_eq(ask_reverse(f, "2001:db8::25"), "pass mail6.example.test");
	ck_assert_str_eq(ask_reverse(f, "127.0.0.5"), "pass five.invalid");
	ck_assert_str_eq(ask_reverse(f, "10.1.2.4"), "fail "); /* leads elsewhere */
	ck_assert_str_eq(ask_reverse(f, "10.1.2.5"), "pass mail5.invalid"); /* the second of two */
	ck_assert_str_eq(ask_reverse(f, "10.1.2.6"), "fail "); /* not a host name */
	ck_assert_str_eq(ask_reverse(f, "10.1.2.7"), "temperror "); /* the name cannot be asked for */
	ck_assert_str_eq(ask_reverse(f, "10.1.2.8"), "permerror "); /* no PTR */
	ck_assert_str_eq(ask_reverse(f, "198.51.100.1"), "temperror "); /* refused */
	ck_assert_str_eq(ask_reverse(f, ""), "permerror ");
	tear_down(f);
}
END_TEST

/* A server that follows a script instead of the protocol. */
struct script {
	int descriptor;
	struct event *event;
	enum { SILENCE, GARBAGE, SHORT, LYING_COUNTS, LYING_LENGTH, OTHER_QUESTION } kind;
	unsigned asked;
};

static void
script_receive(evutil_socket_t descriptor, short what, void *context)
{
	struct script *script = context;
	uint8_t packet[1500];
	struct sockaddr_storage from;
	socklen_t from_length = sizeof from;
	ssize_t length = recvfrom(descriptor, packet, sizeof packet - 64, 0, (struct sockaddr *)&from, &from_length);

	(void)what;
	script->asked++;
	if (length < 12 || script->kind == SILENCE)
		return;
	/* Without the question's EDNS record: header and question end where the first zero label and four bytes do. */
	size_t end = 12 + strlen((char *)packet + 12) + 5;
	memset(packet + 6, 0, 6);
	packet[2] |= 0x84;
	packet[3] = 0x80;
	switch (script->kind) {
	case GARBAGE:
		memset(packet, 0x5a, sizeof packet);
		break;
	case SHORT:
		end = 5;
		break;
	case LYING_COUNTS:
		packet[6] = packet[7] = 0x7f;
		break;
	case LYING_LENGTH: /* an address record that claims 60,000 bytes */
		packet[7] = 1;
		memcpy(packet + end, "\xc0\x0c\0\1\0\1\0\0\1\x2c\xea\x60\x0a\0\0\1", 16);
		end += 16;
		break;
	case OTHER_QUESTION:
		packet[13] ^= 0x01;
		break;
	case SILENCE:
		break;
	}
	(void)!sendto(descriptor, packet, end, 0, (struct sockaddr *)&from, from_length);
}

START_TEST(hostile_servers)
{
	for (int kind = SILENCE; kind <= OTHER_QUESTION; kind++) {
		struct fixture *f = &fixture;
		struct script script = {.kind = kind};
		uint16_t port;
		char server[32];
		struct timespec began, ended;

		memset(f, 0, sizeof *f);
		script.descriptor = loopback_socket(&port);
		snprintf(server, sizeof server, "127.0.0.1@%u", port);
		resolver_make(f, server, 600);
		script.event = event_new(f->base, script.descriptor, EV_READ | EV_PERSIST, script_receive, &script);
		event_add(script.event, NULL);
		clock_gettime(CLOCK_MONOTONIC, &began);
		const struct dns_answer *a = ask(f, "name.example.test", DNS_TYPE_A);
		clock_gettime(CLOCK_MONOTONIC, &ended);
		int64_t took_ms = (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000;
		ck_assert_int_le(took_ms, 1500);
		ck_assert_uint_ge(script.asked, 1);
		ck_assert_msg(a->status == DNS_STATUS_TIMEOUT || a->status == DNS_STATUS_SERVER_FAILURE, "kind %d: %s", kind,
		    dns_status_text(a->status));
		if (kind == SILENCE)
			ck_assert_int_eq(a->status, DNS_STATUS_TIMEOUT);
		ck_assert_uint_eq(a->count, 0);
		ck_assert_uint_eq(f->page->counters[COUNTER_DNS_FAILURES], 1);
		event_free(script.event);
		tear_down(f);
		close(script.descriptor);
	}
}
END_TEST

START_TEST(bad_options)
{
	struct event_base *base = event_base_new();
	static const char *const bad[] = {"mail.example.test", "192.0.2.1@x", "", "192.0.2.1@99999999"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const struct resolver_options options = {.servers = &bad[i], .server_count = 1, .resolv_conf_text = "", .hosts_text = "",
		    .timeout_ms = 1000, .cache_bytes = 1 << 20};
		ck_assert_ptr_null(resolver_new(base, &options));
	}
	/* No server anywhere: from the root down, without asking anything yet. */
	struct resolver *resolver = resolver_new(base, &(struct resolver_options){.resolv_conf_text = "nameserver 192.0.2.53\n",
	    .hosts_text = "", .timeout_ms = 1000, .cache_bytes = 1 << 20});
	ck_assert_ptr_nonnull(resolver);
	resolver_free(&resolver);
	resolver = resolver_new(base, &(struct resolver_options){.resolv_conf_text = "", .hosts_text = "", .timeout_ms = 1000,
	    .cache_bytes = 1 << 20});
	ck_assert_ptr_nonnull(resolver);
	resolver_free(&resolver);
	ck_assert_ptr_null(resolver);
	event_base_free(base);
}
END_TEST

START_TEST(in_an_empty_chroot)
{
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	char empty[] = "/tmp/postern-empty-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(empty));
	int state;
	pid_t child = fork();
	if (child == 0) {
		/* A loop and a resolver of its own, made before the root goes. */
		struct fixture own = {0};
		resolver_make(&own, f->nsd.server, 5000);
		/* Without privilege a user namespace of our own allows it. */
		if ((chroot(empty) != 0 && (unshare(CLONE_NEWUSER) != 0 || chroot(empty) != 0)) || chdir("/") != 0)
			_exit(77);
		bool ok = ask(&own, "mx1.example.test", DNS_TYPE_A)->count == 1;
		ok = ok && ask(&own, "nobody.example.test", DNS_TYPE_A)->status == DNS_STATUS_NAME_ERROR;
		ok = ok && strcmp(ask_reverse(&own, "10.1.2.3"), "pass mail.example.test") == 0;
		_exit(ok ? 0 : 1);
	}
	waitpid(child, &state, 0);
	rmdir(empty);
	ck_assert(WIFEXITED(state));
	if (WEXITSTATUS(state) == 77)
		printf("SKIPPED: this user may not change the root directory\n");
	else
		ck_assert_int_eq(WEXITSTATUS(state), 0);
	tear_down(f);
}
END_TEST

START_TEST(many_at_once)
{
	/* More questions than the library has sockets: all are answered. */
	struct fixture *f = &fixture;
	if (!set_up(f))
		return;
	resolver_free(&f->resolver);
	event_base_free(f->base);
	free(f->page);
	resolver_make(f, f->nsd.server, 25000); /* a burst overruns the server's socket buffer; what it lost is asked again */
	for (unsigned i = 0; i < 1500; i++) {
		char name[64];
		snprintf(name, sizeof name, "n%u.wild.example.test", i);
		resolver_ask(f->resolver, name, DNS_TYPE_A, answered, f);
	}
	run_until(f, 1500);
	ck_assert_uint_eq(f->answer.count, 1);
	ck_assert_uint_eq(f->page->counters[COUNTER_DNS_FAILURES], 0);
	tear_down(f);
}
END_TEST

SUITE_MAIN("dns/resolver", records, absences, names_libraries_swallow, malformed_names, cached, cancelled, freed_in_callback, host_addresses,
    reverse_names, hostile_servers, bad_options, in_an_empty_chroot, many_at_once)
