/* Loading: values, defaults, and for each way to be wrong the exact line an administrator reads. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

#include "base/memory.h"
#include "conf/config.h"

#define SMALL "hostname: mx.example.org\ndomains: [example.org]\nbackends: [\"maildir:mail\"]\n"

static struct config *
load_length(const char *text, size_t length, char **errors)
{
	struct config_errors found = {0};
	struct config *config = config_load_text("f", span_make(text, length), &found);

	ck_assert((config == NULL) == (found.count > 0));
	*errors = memory_copy_string(buffer_text(&found.text));
	buffer_free(&found.text);
	return config;
}

static struct config *
load_good(const char *text)
{
	char *errors;
	struct config *config = load_length(text, strlen(text), &errors);

	ck_assert_str_eq(errors, "");
	memory_free(&errors);
	return config;
}

static void
expect_errors(const char *text, const char *expected)
{
	char *errors;
	struct config *config = load_length(text, strlen(text), &errors);

	ck_assert_str_eq(errors, expected);
	ck_assert_ptr_null(config);
	memory_free(&errors);
}

START_TEST(defaults)
{
	struct config *config = load_good(SMALL);

	ck_assert_str_eq(config->hostname, "mx.example.org");
	ck_assert_uint_eq(config->domains.count, 1);
	ck_assert_str_eq(config->postmaster, "postmaster@example.org");
	ck_assert_uint_eq(config->listener_count, 1);
	ck_assert_str_eq(config->listeners[0].address, "*:25");
	ck_assert_str_eq(config->data_directory, "/var/lib/postern");
	ck_assert_str_eq(config->control_socket, "/var/lib/postern/control");
	ck_assert_str_eq(config->user_prefix, "postern");
	ck_assert_uint_eq(config->proxies, 0);
	ck_assert_int_eq(config->sandbox, SANDBOX_ENFORCE);
	ck_assert_ptr_null(config->quarantine);
	ck_assert_uint_eq(config->filter_count, 0);
	ck_assert_uint_eq(config->auth_workers, 0);
	ck_assert_uint_eq(config->auth_worker_recycle, 10000);
	ck_assert_uint_eq(config->auth_worker_memory, 512u << 20);
	ck_assert_int_eq(config->line_ends, LINE_ENDS_REJECT);
	ck_assert(!config->strict_addresses);
	ck_assert_int_eq(config->dns_timeout_ms, 5000);
	ck_assert_uint_eq(config->dns_cache_bytes, 16u << 20);
	ck_assert_int_eq(config->recipient_cache_ms, 60000);
	ck_assert(config->trace);
	ck_assert_uint_eq(config->trace_retention_days, 14);
	ck_assert_int_eq(config->log_format, LOG_FORMAT_TEXT);
	ck_assert_int_eq(config->log_target, LOG_TARGET_STDERR);
	ck_assert_str_eq(config->log_level, "info");
	config_free(&config);
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(defaults_of_sections)
{
	struct config *config = load_good(SMALL);
	const struct config_limits *limits = &config->limits;
	const struct config_timeouts *timeouts = &config->timeouts;

	ck_assert_uint_eq(limits->message_size, 50u << 20);
	ck_assert_uint_eq(limits->message_memory, 256u << 20);
	ck_assert_uint_eq(limits->spool_size, 4ull << 30);
	ck_assert_uint_eq(limits->recipients, 1000);
	ck_assert_uint_eq(limits->sessions, 10000);
	ck_assert_uint_eq(limits->sessions_per_address, 100);
	ck_assert_uint_eq(limits->errors, 10);
	ck_assert_uint_eq(limits->commands, 100);
	ck_assert_uint_eq(limits->transactions, 0);
	ck_assert_uint_eq(limits->line_length, 1u << 20);
	ck_assert_uint_eq(limits->header_bytes, 256u << 10);
	ck_assert_uint_eq(limits->header_count, 1000);
	ck_assert_uint_eq(limits->hops, 50);
	ck_assert_int_eq(timeouts->command, 300000);
	ck_assert_int_eq(timeouts->data_block, 180000);
	ck_assert_int_eq(timeouts->data_total, 1800000);
	ck_assert_int_eq(timeouts->end_of_data, 240000);
	ck_assert_int_eq(timeouts->backend_connect, 10000);
	ck_assert_int_eq(timeouts->backend_command, 60000);
	ck_assert_int_eq(timeouts->backend_data_block, 180000);
	ck_assert_int_eq(timeouts->backend_hold, 5000);
	ck_assert_int_eq(timeouts->backend_wait, 30000);
	ck_assert_int_eq(timeouts->backend_retry, 30000);
	ck_assert_int_eq(timeouts->drain, 30000);
	ck_assert_uint_eq(config->pool.messages, 100);
	ck_assert_int_eq(config->pool.age_ms, 300000);
	ck_assert_uint_eq(config->pool.refusals, 5);
	ck_assert_int_eq(config->pool.idle_ms, 30000);
	ck_assert_uint_eq(config->backends[0].max_connections, 50);
	ck_assert_int_eq(config->backends[0].return_path, RETURN_PATH_AUTO);
	ck_assert_int_eq(config->backends[0].priority, 10);
	config_free(&config);
}
END_TEST

START_TEST(everything_said)
{
	struct config *config = load_good(
	    "hostname: mx.example.org\ndomains: [Example.ORG, example.net]\npostmaster: Admin@EXAMPLE.net\n"
	    "backends: [maildir:m]\nuser: ''\nproxies: 3\nsandbox: log\ntrusted_relays: [10.0.0.0/8, '2001:db8::/32']\n"
	    "quarantine: maildir:/q\nfilters: []\nline_ends: reject\nline_ends_exceptions: [192.0.2.1]\nstrict_addresses: Yes\n"
	    "hop_limit: 7\nbackend_hold: 0\ndrain_timeout: 1500ms\nrecipient_cache: 0s\ncontrol_socket: /run/p/control\n"
	    "limits: {message_size: 25M, message_memory: 0, spool_size: 1T, header_bytes: 65536}\n"
	    "timeouts:\n  command: 90s\n  data_total: 1d\n"
	    "pool: {idle: 0}\ndns: {servers: [127.0.0.1, '::1@5353'], timeout: 500ms, cache: 1M}\n"
	    "log: {format: json, to: file:/var/log/postern.log, level: debug}\ntrace: {enabled: off, retention_days: 1}\n");
	struct ip_address address;

	ck_assert_str_eq(config->domains.items[0], "example.org");
	ck_assert(config_domain_is_ours(config, "example.org"));
	ck_assert(config_domain_is_ours(config, "example.net"));
	ck_assert(!config_domain_is_ours(config, "example.com"));
	ck_assert(!config_domain_is_ours(config, "sub.example.net"));
	ck_assert_str_eq(config->postmaster, "Admin@EXAMPLE.net");
	ck_assert_str_eq(config->user_prefix, "");
	ck_assert_uint_eq(config->proxies, 3);
	ck_assert_int_eq(config->sandbox, SANDBOX_LOG);
	ck_assert(ip_address_parse("10.1.2.3", &address));
	ck_assert(network_list_contains(&config->trusted_relays, &address));
	ck_assert(!network_list_contains(&config->line_ends_exceptions, &address));
	ck_assert_str_eq(config->quarantine, "maildir:/q");
	ck_assert(config->strict_addresses);
	ck_assert_uint_eq(config->limits.hops, 7);
	ck_assert_int_eq(config->timeouts.backend_hold, 0);
	ck_assert_int_eq(config->timeouts.drain, 1500);
	ck_assert_int_eq(config->recipient_cache_ms, 0);
	ck_assert_str_eq(config->control_socket, "/run/p/control");
	ck_assert_uint_eq(config->limits.message_size, 25u << 20);
	ck_assert_uint_eq(config->limits.message_memory, 0);
	ck_assert_uint_eq(config->limits.spool_size, 1ull << 40);
	ck_assert_uint_eq(config->limits.header_bytes, 65536);
	ck_assert_int_eq(config->timeouts.command, 90000);
	ck_assert_int_eq(config->timeouts.data_total, 86400000);
	ck_assert_uint_eq(config->dns_servers.count, 2);
	ck_assert_int_eq(config->dns_timeout_ms, 500);
	ck_assert_int_eq(config->log_format, LOG_FORMAT_JSON);
	ck_assert_int_eq(config->log_target, LOG_TARGET_FILE);
	ck_assert_str_eq(config->log_file, "/var/log/postern.log");
	ck_assert_str_eq(config->log_level, "debug");
	ck_assert(!config->trace);
	config_free(&config);
}
END_TEST

START_TEST(second_spellings)
{
	struct config *config = load_good(SMALL "limits: {hops: 9}\ntimeouts: {backend_hold: 2s, drain: 3s}\n");

	ck_assert_uint_eq(config->limits.hops, 9);
	ck_assert_int_eq(config->timeouts.backend_hold, 2000);
	ck_assert_int_eq(config->timeouts.drain, 3000);
	config_free(&config);
	expect_errors(SMALL "limits: {hops: 9}\nhop_limit: 9\n", "f:5:1: hop_limit is given a second time, first on line 4\n");
	expect_errors(SMALL "drain_timeout: 1s\ntimeouts: {drain: 1s}\n", "f:5:12: timeouts: drain is given a second time, first on line 4\n");
}
END_TEST

START_TEST(sections_of_nothing)
{
	struct config *config = load_good(SMALL "limits:\n  # message_size: 1M\ntimeouts: {}\nfilters:\nlog: ~\ndns: {servers: }\n");

	ck_assert_uint_eq(config->limits.message_size, 50u << 20);
	ck_assert_str_eq(config->log_level, "info");
	config_free(&config);
}
END_TEST

START_TEST(filters)
{
	static const char *const bare[] = {"[spf]", "[{spf: {}}]", "\n - spf:\n", "[{spf: ~}]"};

	for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
		char *text = memory_format("%sfilters: %s\n", SMALL, bare[i]);
		struct config *config = load_good(text);
		const struct config_filter *filter = &config->filters[0];

		ck_assert_uint_eq(config->filter_count, 1);
		ck_assert_str_eq(filter->name, "spf");
		ck_assert_int_eq(filter->on_error, ACTION_TEMPFAIL);
		ck_assert_int_eq(filter->spf.engine, SPF_ENGINE_OWN);
		ck_assert_int_eq(filter->spf.none, ACTION_ACCEPT);
		ck_assert_int_eq(filter->spf.neutral, ACTION_ACCEPT);
		ck_assert_int_eq(filter->spf.pass, ACTION_ACCEPT);
		ck_assert_int_eq(filter->spf.softfail, ACTION_TAG);
		ck_assert_int_eq(filter->spf.fail, ACTION_TAG);
		ck_assert_int_eq(filter->spf.temperror, ACTION_ACCEPT);
		ck_assert_int_eq(filter->spf.permerror, ACTION_TAG);
		ck_assert(filter->spf.helo && !filter->spf.received_spf);
		config_free(&config);
		memory_free(&text);
	}
	struct config *config = load_good(SMALL "quarantine: maildir:q\nauth_workers: 3\nauth_worker_recycle: 7\nauth_worker_memory: 64M\n"
	    "filters: [{spf: {fail: reject, softfail: quarantine, engine: libspf2, helo: no, received_spf: yes, on_error: accept}}]\n");
	ck_assert_int_eq(config->filters[0].spf.fail, ACTION_REJECT);
	ck_assert_int_eq(config->filters[0].spf.softfail, ACTION_QUARANTINE);
	ck_assert_int_eq(config->filters[0].spf.engine, SPF_ENGINE_LIBSPF2);
	ck_assert_int_eq(config->filters[0].on_error, ACTION_ACCEPT);
	ck_assert(!config->filters[0].spf.helo && config->filters[0].spf.received_spf);
	ck_assert_uint_eq(config->auth_workers, 3);
	ck_assert_uint_eq(config->auth_worker_recycle, 7);
	ck_assert_uint_eq(config->auth_worker_memory, 64u << 20);
	config_free(&config);
}
END_TEST

static void
expect_refused(struct config *config, const char *assignment, const char *expected)
{
	struct buffer problem = {0};

	ck_assert(!config_filter_option_set(config, assignment, &problem));
	ck_assert_str_eq(buffer_text(&problem), expected);
	buffer_free(&problem);
}

START_TEST(filter_options_set)
{
	struct config *config = load_good(SMALL "filters: [spf]\n");
	struct buffer problem = {0};

	ck_assert(config_filter_option_set(config, "spf.fail=reject", &problem));
	ck_assert(config_filter_option_set(config, "spf.helo=false", &problem));
	ck_assert(config_filter_option_set(config, "spf.on_error=quarantine", &problem));
	ck_assert_int_eq(config->filters[0].spf.fail, ACTION_REJECT);
	ck_assert_int_eq(config->filters[0].on_error, ACTION_QUARANTINE);
	ck_assert(!config->filters[0].spf.helo);
	ck_assert_uint_eq(problem.length, 0);
	expect_refused(config, "spf.fail=bounce", "\"bounce\" is not one of accept, reject, tempfail, quarantine, tag");
	expect_refused(config, "spf.fail=", "\"\" is not one of accept, reject, tempfail, quarantine, tag");
	ck_assert_int_eq(config->filters[0].spf.fail, ACTION_REJECT);
	expect_refused(config, "spf.fial=tag", "\"spf.fial=tag\": the filter has no such option");
	expect_refused(config, "dkim.x=1", "\"dkim.x=1\": there is no such filter in the configuration");
	expect_refused(config, ".=", "\".=\": there is no such filter in the configuration");
	expect_refused(config, "spf.fail", "\"spf.fail\" is not FILTER.OPTION=VALUE");
	expect_refused(config, "spf=fail", "\"spf=fail\" is not FILTER.OPTION=VALUE");
	expect_refused(config, "", "\"\" is not FILTER.OPTION=VALUE");
	config_free(&config);
}
END_TEST

START_TEST(listeners)
{
	struct config *config = load_good(SMALL "listen: ['*:25', {address: '127.0.0.1:2525'}, '[::1]:26']\n");
	const struct sockaddr_in6 *any = (const void *)&config->listeners[0].socket_address;
	const struct sockaddr_in *v4 = (const void *)&config->listeners[1].socket_address;
	const struct sockaddr_in6 *v6 = (const void *)&config->listeners[2].socket_address;

	ck_assert_uint_eq(config->listener_count, 3);
	ck_assert_int_eq(any->sin6_family, AF_INET6);
	ck_assert_int_eq(ntohs(any->sin6_port), 25);
	ck_assert(IN6_IS_ADDR_UNSPECIFIED(&any->sin6_addr));
	ck_assert_uint_eq(config->listeners[0].socket_address_length, sizeof *any);
	ck_assert_int_eq(v4->sin_family, AF_INET);
	ck_assert_int_eq(ntohs(v4->sin_port), 2525);
	ck_assert_uint_eq(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_uint_eq(config->listeners[1].socket_address_length, sizeof *v4);
	ck_assert_int_eq(ntohs(v6->sin6_port), 26);
	ck_assert(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
	config_free(&config);
}
END_TEST

START_TEST(listeners_that_collide)
{
	expect_errors(SMALL "listen: ['127.0.0.1:25', '*:25']\n", "f:4:26: listen: *:25 is already taken by 127.0.0.1:25\n");
	expect_errors(SMALL "listen: ['0.0.0.0:25', '127.0.0.1:25']\n", "f:4:24: listen: 127.0.0.1:25 is already taken by 0.0.0.0:25\n");
	expect_errors(SMALL "listen: ['[::1]:25', '[0:0::1]:25']\n", "f:4:22: listen: [0:0::1]:25 is already taken by [::1]:25\n");
	struct config *config = load_good(SMALL "listen: ['0.0.0.0:25', '[::]:25', '*:26']\n");
	config_free(&config);
}
END_TEST

START_TEST(listeners_refused)
{
	static const char *const bad[] = {"25", "*", ":25", "*:0", "*:65536", "*:25x", "localhost:25", "::1:25", "[127.0.0.1]:25", "[::1]", "[::1:25",
	    "[*]:25", "127.0.0.1:", "127.0.0.1", "*:+25", "[]:25"};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[400], expected[400];

		snprintf(text, sizeof text, SMALL "listen: ['%s']\n", bad[i]);
		snprintf(expected, sizeof expected, "f:4:10: listen[0]: \"%s\" is not an address to listen on: *:PORT, IPV4:PORT or [IPV6]:PORT\n", bad[i]);
		expect_errors(text, expected);
	}
}
END_TEST

struct backend_case {
	const char *url;
	enum backend_protocol protocol;
	const char *host;
	uint16_t port;
	const char *path;
};

static const struct backend_case backend_cases[] = {
	{"smtp://mail.example.org", BACKEND_SMTP, "mail.example.org", 25, NULL},
	{"smtp://mail_server:2525", BACKEND_SMTP, "mail_server", 2525, NULL},
	{"lmtp://10.0.0.5", BACKEND_LMTP, "10.0.0.5", 24, NULL},
	{"lmtp://[2001:db8::1]:2003", BACKEND_LMTP, "2001:db8::1", 2003, NULL},
	{"smtp://[::1]", BACKEND_SMTP, "::1", 25, NULL},
	{"lmtp+unix:///run/dovecot/lmtp", BACKEND_LMTP_UNIX, NULL, 0, "/run/dovecot/lmtp"},
	{"maildir:/srv/mail", BACKEND_MAILDIR, NULL, 0, "/srv/mail"},
	{"maildir:mail", BACKEND_MAILDIR, NULL, 0, "mail"},
};

START_TEST(backend_urls)
{
	for (size_t i = 0; i < sizeof backend_cases / sizeof backend_cases[0]; i++) {
		const struct backend_case *expected = &backend_cases[i];
		char text[300];
		struct config *config;

		snprintf(text, sizeof text, "hostname: a.b\ndomains: [c.d]\nbackends: [{url: '%s', priority: 3, return_path: never}]\n", expected->url);
		config = load_good(text);
		const struct config_backend *backend = &config->backends[0];
		ck_assert_str_eq(backend->url, expected->url);
		ck_assert_int_eq(backend->protocol, expected->protocol);
		ck_assert_pstr_eq(backend->host, expected->host);
		ck_assert_uint_eq(backend->port, expected->port);
		ck_assert_pstr_eq(backend->path, expected->path);
		ck_assert_int_eq(backend->priority, 3);
		ck_assert_int_eq(backend->return_path, RETURN_PATH_NEVER);
		config_free(&config);
	}
}
END_TEST

START_TEST(backend_urls_refused)
{
	static const char *const bad[] = {"", "mail.example.org", "smtp:mail", "smtp://", "smtp://:25", "smtp://a:", "smtp://a:0", "smtp://a:70000", "smtp://::1",
	    "smtp://[mail]", "smtp://[::1", "smtp://10.0.0.300", "smtp://10.0.0", "smtp://user@host", "smtp://host/path", "smtp://a b", "lmtp+unix://relative",
	    "lmtp+unix:///", "lmtp+unix:/run/x", "maildir:", "maildir://x", "SMTP://a", "http://a",
	    "lmtp+unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[400];
		char *errors;

		snprintf(text, sizeof text, "hostname: a.b\ndomains: [c.d]\nbackends: ['%s']\n", bad[i]);
		ck_assert_msg(load_length(text, strlen(text), &errors) == NULL, "%s", bad[i]);
		ck_assert_msg(strncmp(errors, "f:3:12: backends[0]: \"", 22) == 0, "%s: %s", bad[i], errors);
		ck_assert_ptr_eq(strchr(errors, '\n'), errors + strlen(errors) - 1);
		memory_free(&errors);
	}
}
END_TEST

START_TEST(routes)
{
	struct config *config = load_good("hostname: a.b\ndomains: [one.x, two.x, three.x]\nbackends:\n"
	                                  "  - {url: 'maildir:a', domains: [two.x, ONE.x]}\n  - maildir:b\n");

	ck_assert_uint_eq(config->backends[0].domains.count, 2);
	ck_assert_str_eq(config->backends[0].domains.items[1], "one.x");
	ck_assert_int_eq(config->backends[1].priority, 20);
	config_free(&config);
	expect_errors("hostname: a.b\ndomains: [one.x, two.x, three.x]\nbackends:\n  - {url: 'maildir:a', domains: [two.x]}\n",
	    "f:2:11: domain one.x has no backend: none names it, and each has a list of domains\n"
	    "f:2:25: domain three.x has no backend: none names it, and each has a list of domains\n");
	expect_errors("hostname: a.b\ndomains: [one.x]\nbackends:\n  - {url: 'maildir:a', domains: [one.x, other.x]}\n",
	    "f:4:41: backend maildir:a: other.x is not one of the domains\n");
	expect_errors("hostname: a.b\ndomains: [one.x, two.x, ONE.x]\nbackends: [{url: 'maildir:a', domains: [one.x, two.x, two.x]}]\n",
	    "f:2:25: domain one.x is listed twice\nf:3:55: domain two.x is listed twice\n");
}
END_TEST

struct error_case {
	const char *text;
	const char *expected;
};

static const struct error_case error_cases[] = {
	{"", "f:1:1: hostname is missing\nf:1:1: domains is missing\nf:1:1: backends is missing\n"},
	{"- a\n", "f:1:1: must be a mapping: lines of name: value\n"},
	{SMALL "hostnam: a\n", "f:4:1: \"hostnam\" is not known here, did you mean \"hostname\"?\n"},
	{SMALL "lisetn: a\n", "f:4:1: \"lisetn\" is not known here, did you mean \"listen\"?\n"},
	{SMALL "banana: a\n", "f:4:1: \"banana\" is not known here\n"},
	{SMALL "message_size: 1M\n", "f:4:1: \"message_size\" is not known here, it belongs under \"limits\"\n"},
	{SMALL "limits: {proxies: 1}\n", "f:4:10: limits: \"proxies\" is not known here, it belongs at the top level\n"},
	{SMALL "limits: {message_sise: 1M}\n", "f:4:10: limits: \"message_sise\" is not known here, did you mean \"message_size\"?\n"},
	{SMALL "proxies: 1\nproxies: 2\n", "f:5:1: proxies is given a second time, first on line 4\n"},
	{SMALL "limits: {errors: 1, errors: 1}\n", "f:4:21: limits: errors is given a second time, first on line 4\n"},
	{SMALL "proxies: [1]\n", "f:4:10: proxies: must be a single value, not a list\n"},
	{SMALL "proxies: {a: 1}\n", "f:4:10: proxies: must be a single value, not a mapping\n"},
	{SMALL "trusted_relays: 10.0.0.0/8\n", "f:4:17: trusted_relays: must be a list, like [one, two]\n"},
	{SMALL "limits: 5\n", "f:4:9: limits: must be a mapping: lines of name: value\n"},
	{SMALL "limits: [5]\n", "f:4:9: limits: must be a mapping: lines of name: value\n"},
	{SMALL "proxies:\n", "f:4:9: proxies: has no value\n"},
	{SMALL "proxies: 0\n", "f:4:10: proxies: \"0\" is out of range: 1 to 64\n"},
	{SMALL "proxies: 65\n", "f:4:10: proxies: \"65\" is out of range: 1 to 64\n"},
	{SMALL "proxies: 99999999999999999999999\n", "f:4:10: proxies: \"99999999999999999999999\" is out of range: 1 to 64\n"},
	{SMALL "proxies: -1\n", "f:4:10: proxies: \"-1\" is not a whole number or \"auto\"\n"},
	{SMALL "limits: {recipients: 1.5}\n", "f:4:22: limits.recipients: \"1.5\" is not a whole number\n"},
	{SMALL "limits: {message_size: 5X}\n", "f:4:24: limits.message_size: \"5X\" is not a size: bytes, or a number with K, M, G or T\n"},
	{SMALL "limits: {message_size: 1}\n", "f:4:24: limits.message_size: \"1\" is out of range: 1K to 16G\n"},
	{SMALL "limits: {message_size: 99999999999T}\n", "f:4:24: limits.message_size: \"99999999999T\" is out of range: 1K to 16G\n"},
	{SMALL "backend_hold: 5\n", "f:4:15: backend_hold: \"5\" is not a duration: a number with ms, s, m, h or d\n"},
	{SMALL "backend_hold: s\n", "f:4:15: backend_hold: \"s\" is not a duration: a number with ms, s, m, h or d\n"},
	{SMALL "backend_hold: 1m30s\n", "f:4:15: backend_hold: \"1m30s\" is not a duration: a number with ms, s, m, h or d\n"},
	{SMALL "backend_hold: 2h\n", "f:4:15: backend_hold: \"2h\" is out of range: 0s to 1h\n"},
	{SMALL "sandbox: off\n", "f:4:10: sandbox: \"off\" is not one of enforce, log\n"},
	{SMALL "strict_addresses: maybe\n", "f:4:19: strict_addresses: \"maybe\" is neither true nor false\n"},
	{SMALL "user: Root\n", "f:4:7: user: \"Root\" is not a user name: up to 20 of a-z, 0-9, _ and -, a letter first\n"},
	{SMALL "trusted_relays: [10.0.0.1/8]\n",
	    "f:4:18: trusted_relays[0]: \"10.0.0.1/8\" is not a network: an address, or address/prefix length with no host bits set\n"},
	{SMALL "quarantine: /q\n", "f:4:13: quarantine: \"/q\" is not maildir:PATH\n"},
	{SMALL "dns: {servers: [dns.example]}\n",
	    "f:4:17: dns.servers[0]: \"dns.example\" is not a DNS server: an IP address, or address@port\n"},
	{SMALL "log: {to: 'file:'}\n", "f:4:11: log.to: \"file:\" is not stderr, syslog or file:PATH\n"},
	{SMALL "log: {level: loud}\n", "f:4:14: log.level: \"loud\" is not one of alarm, error, warning, info, debug\n"},
	{SMALL "listen: []\n", "f:4:9: listen: must not be empty\n"},
	{SMALL "listen: [{}]\n", "f:4:10: listen[0]: address is missing\n"},
	{SMALL "listen: [[a]]\n", "f:4:10: listen[0]: must be a mapping: lines of name: value\n"},
	{SMALL "filters: [spff, {greylist: {}}]\n",
	    "f:4:11: filters[0]: filter \"spff\" is not known\nf:4:18: filters[1]: filter \"greylist\" is not known\n"},
	{SMALL "filters: [[]]\n", "f:4:11: filters[0]: an entry names one filter: {name: settings}\n"},
	{SMALL "filters: [{spf: {}, dkim: {}}]\n", "f:4:11: filters[0]: an entry names one filter: {name: settings}\n"},
	{SMALL "filters: [{[]: {}}]\n", "f:4:12: filters[0]: an entry names one filter: {name: settings}\n"},
	{SMALL "filters: {spf: {}}\n", "f:4:10: filters: must be a list, like [one, two]\n"},
	{SMALL "filters: [{spf: [fail]}]\n", "f:4:17: filters[0].spf: must be a mapping: lines of name: value\n"},
	{SMALL "filters:\n - spf:\n    fial: tag\n    fail: bounce\n    on_error: tag\n",
	    "f:6:5: filters[0].spf: \"fial\" is not known here, did you mean \"fail\"?\n"
	    "f:7:11: filters[0].spf.fail: \"bounce\" is not one of accept, reject, tempfail, quarantine, tag\n"
	    "f:8:15: filters[0].spf.on_error: \"tag\" is not one of accept, reject, tempfail, quarantine\n"},
	{SMALL "filters: [spf, {spf: {}}]\n", "f:4:16: filters: spf is listed twice\n"},
	{SMALL "filters:\n - spf: {softfail: quarantine,\n     on_error: quarantine}\n",
	    "f:5:20: filters[0].spf.softfail: quarantine, but no place is given: set the option quarantine\n"
	    "f:6:16: filters[0].spf.on_error: quarantine, but no place is given: set the option quarantine\n"},
	{SMALL "auth_workers: 1\nauth_worker_recycle: 0\nauth_worker_memory: 1M\n",
	    "f:4:15: auth_workers: \"1\" is out of range: 2 to 64\nf:5:22: auth_worker_recycle: \"0\" is out of range: 1 to 1000000000\n"
	    "f:6:21: auth_worker_memory: \"1M\" is out of range: 32M to 1T\n"},
	{SMALL "? [a]\n: b\n", "f:4:3: the name of an option must be a word\n"},
	{SMALL "postmaster: root\n", "f:4:13: postmaster: \"root\" is not a mail address: domain missing\n"},
	{SMALL "postmaster: a@example.net\n", "f:4:13: postmaster: example.net is not one of the domains\n"},
	{SMALL "line_ends: normalise\nline_ends_exceptions: [10.0.0.1]\n",
	    "f:5:23: line_ends_exceptions: no client is an exception when line_ends is normalise\n"},
	{SMALL "limits: {message_size: 2M, message_memory: 1M, spool_size: 1M}\n",
	    "f:4:24: limits: a message of message_size fits neither into message_memory nor into spool_size\n"},
	{SMALL "limits: {sessions: 5, sessions_per_address: 6}\n", "f:4:45: limits: sessions_per_address is more than sessions\n"},
	{SMALL "data_directory: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	    "f:4:17: control_socket: the path is too long for a socket\n"},
	{"hostname: 'a b'\ndomains: []\nbackends: {}\n",
	    "f:1:11: hostname: \"a b\" is not a host name\nf:2:10: domains: must not be empty\n"
	    "f:3:11: backends: must be a list, like [one, two]\n"},
	/* values that must not reach a terminal, a log or a system call */
	{SMALL "data_directory: \"/a\\0b\"\n", "f:4:17: data_directory: a NUL byte in the value\n"},
	{SMALL "data_directory: \"/a\\nb\"\n", "f:4:17: data_directory: a control character (0x0a) in the value\n"},
	{SMALL "\"\\e[31m\": 1\n", "f:4:1: \"\\x1b[31m\" is not known here\n"},
	/* what YAML can do and a configuration need not */
	{"a: &x [b]\nc: *x\n", "f:1:4: anchors are not supported\n"},
	{"a: *x\n", "f:1:4: aliases are not supported\n"},
	{"&a [*a]\n", "f:1:1: anchors are not supported\n"},
	{"a: !!binary aGk=\n", "f:1:4: tags are not supported\n"},
	{"a: 1\n---\nb: 1\n", "f:2:1: a second document begins here; there can be only one\n"},
	{"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "f:1:19: nested too deeply\n"},
	{"a: [1\nb: 2\n", "f:2:2: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence that begins on line 1\n"},
	{"a: 1\n b: \"\\x\"\n", "f:2:3: not valid YAML: mapping values are not allowed in this context\n"},
	{"ab: 1\nc: \xff\n", "f:2:4: not valid YAML: invalid leading UTF-8 octet\n"},
};

START_TEST(error_lines)
{
	for (size_t i = 0; i < sizeof error_cases / sizeof error_cases[0]; i++)
		expect_errors(error_cases[i].text, error_cases[i].expected);
}
END_TEST

START_TEST(nul_in_the_file)
{
	static const char text[] = "hostname: a\nx\0y: b\n";
	char *errors;

	ck_assert_ptr_null(load_length(text, sizeof text - 1, &errors));
	ck_assert_str_eq(errors, "f:2:2: a NUL byte; the file must be UTF-8 text\n");
	memory_free(&errors);
}
END_TEST

/* Deep, wide and long files end soon and with few words. */
START_TEST(hostile_files)
{
	struct buffer text = {0};
	char *errors;

	for (int i = 0; i < 2000000; i++)
		buffer_append_char(&text, '[');
	ck_assert_ptr_null(load_length(text.data, text.length, &errors));
	ck_assert_str_eq(errors, "f:1:17: nested too deeply\n");
	memory_free(&errors);
	buffer_clear(&text);
	for (int i = 0; i < 100000; i++)
		buffer_append_string(&text, "hostnam: 1\n");
	ck_assert_ptr_null(load_length(text.data, text.length, &errors));
	ck_assert_uint_lt(strlen(errors), 200000);
	ck_assert_ptr_nonnull(strstr(errors, "f: too many errors, no more are shown\n"));
	memory_free(&errors);
	buffer_clear(&text);
	for (int i = 0; i < (5 << 20); i++)
		buffer_append_char(&text, '\n');
	ck_assert_ptr_null(load_length(text.data, text.length, &errors));
	ck_assert_str_eq(errors, "f:1:1: larger than 4 MiB\n");
	memory_free(&errors);
	buffer_free(&text);
}
END_TEST

START_TEST(many_domains)
{
	struct buffer text = {0};

	buffer_append_string(&text, "hostname: a.b\nbackends: ['maildir:m']\ndomains:\n");
	for (int i = 0; i < 100000; i++)
		buffer_printf(&text, " - d%d.example\n", i);
	struct config *config = load_good(buffer_text(&text));
	ck_assert_uint_eq(config->domains.count, 100000);
	ck_assert_str_eq(config->domains.items[99999], "d99999.example");
	ck_assert(config_domain_is_ours(config, "d31415.example"));
	ck_assert(!config_domain_is_ours(config, "d100000.example"));
	config_free(&config);
	buffer_free(&text);
}
END_TEST

START_TEST(files)
{
	struct config_errors errors = {0};
	char *text;
	struct config *config = config_load_file("conf/demo.yaml", &text, &errors);

	ck_assert_str_eq(buffer_text(&errors.text), "");
	ck_assert_str_eq(config->file_name, "conf/demo.yaml");
	ck_assert_ptr_nonnull(strstr(text, "127.0.0.1:2525"));
	memory_free(&text);
	config_free(&config);
	ck_assert_ptr_null(config_load_file("/nonexistent/postern.yaml", &text, &errors));
	ck_assert_str_eq(buffer_text(&errors.text), "/nonexistent/postern.yaml: cannot be read: No such file or directory\n");
	ck_assert_ptr_null(text);
	ck_assert_uint_eq(errors.count, 1);
	buffer_free(&errors.text);
}
END_TEST

SUITE_MAIN("config load", defaults, defaults_of_sections, everything_said, second_spellings, sections_of_nothing, filters, filter_options_set, listeners, listeners_that_collide,
    listeners_refused, backend_urls, backend_urls_refused, routes, error_lines, nul_in_the_file, hostile_files, many_domains, files)
