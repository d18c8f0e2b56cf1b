/* The rows: every option's name, type, range, default, unit and description, in the order the reference shows them.
 * The file owns no behaviour beyond finding a row; values are read and written by the types in value.c and value_name.c. */
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/network.h"
#include "conf/config.h"
#include "conf/value.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

#define MEMBER(member) .offset = offsetof(struct config, member)
#define LIST_MEMBER(member) .offset = offsetof(struct config, member.items), .count_offset = offsetof(struct config, member.count)
#define OF_BACKEND(member) .offset = offsetof(struct config_backend, member)
#define RANGE(low, high) .minimum = (low), .maximum = (high)
#define END {.name = NULL}

_Static_assert(sizeof(enum sandbox_mode) == sizeof(int), "value_choice stores an int");

static const char *const sandbox_words[] = {"enforce", "log", NULL};
static const char *const line_ends_words[] = {"reject", "normalise", NULL};
static const char *const return_path_words[] = {"auto", "always", "never", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};
static const char *const log_level_words[] = {
#define X(name, text, description) text,
	LOG_LEVELS(X)
#undef X
	NULL,
};

static const struct schema_row listener_rows[] = {
	{.name = "address", .type = &value_listener_address, .required = true, .example = "*:25", .unit = "interface and port",
	    .description = "An address literal and a port. \"*:25\" takes IPv6 and IPv4 on all interfaces."},
	END,
};

static const struct schema_row backend_rows[] = {
	{.name = "url", .type = &value_backend_url, .required = true, .example = "lmtp://10.0.0.5:24", .unit = "where mail goes",
	    .description = "The port defaults to 25 for smtp and 24 for lmtp; IPv6 addresses stand in brackets. maildir:PATH writes one "
	        "Maildir for each recipient under PATH (absolute, or relative to data_directory) and needs no mail server."},
	{.name = "domains", .kind = SCHEMA_LIST, .type = &value_domain, .offset = offsetof(struct config_backend, domains.items),
	    .count_offset = offsetof(struct config_backend, domains.count), RANGE(0, 100000), .example = "example.org",
	    .unit = "domains routed here",
	    .description = "Only these domains are delivered here. A backend without this list takes every domain that no other "
	        "backend names."},
	{.name = "max_connections", .type = &value_count, OF_BACKEND(max_connections), RANGE(1, 100000), .default_text = "50",
	    .unit = "connections, all proxies together",
	    .description = "At most so many connections to this backend at one time. Mail that finds none free waits "
	        "timeouts.backend_wait and is then asked to come later (451)."},
	{.name = "return_path", .type = &value_choice, OF_BACKEND(return_path), .words = return_path_words, .default_text = "auto",
	    .unit = "stamp Return-Path",
	    .description = "Whether Return-Path is stamped. auto: towards smtp and maildir; an LMTP server adds its own."},
	{.name = "priority", .type = &value_count, OF_BACKEND(priority), RANGE(1, 1000000), .example = "10", .unit = "lower is tried first",
	    .description = "Order among the backends of a route. Default 10, 20, 30 and so on in the order of this file."},
	END,
};

static const struct schema_row limits_rows[] = {
	{.name = "message_size", .type = &value_size, MEMBER(limits.message_size), RANGE(KIB, 16 * GIB), .default_text = "50M",
	    .unit = "bytes of one message",
	    .description = "Larger messages are refused (552 5.3.4). SIZE offers no more than the smallest backend takes."},
	{.name = "message_memory", .type = &value_size, MEMBER(limits.message_memory), RANGE(0, TIB), .default_text = "256M",
	    .unit = "bytes of messages in memory, all proxies",
	    .description = "Messages under way are kept in memory up to this total; beyond it they go to spool files."},
	{.name = "spool_size", .type = &value_size, MEMBER(limits.spool_size), RANGE(0, 16 * TIB), .default_text = "4G",
	    .unit = "bytes of messages in spool files, all proxies",
	    .description = "When memory and spool are both full, new messages are asked to come later (452 4.3.1)."},
	{.name = "recipients", .type = &value_count, MEMBER(limits.recipients), RANGE(1, CONFIG_RECIPIENTS_MAX), .default_text = "1000",
	    .unit = "recipients of one message",
	    .description = "More are answered 452 4.5.3 and come in the client's next transaction. RFC 5321 4.5.3.1.8 asks for at least 100."},
	{.name = "sessions", .type = &value_count, MEMBER(limits.sessions), RANGE(1, 1000000), .default_text = "10000",
	    .unit = "sessions at one time, all proxies", .description = "Further clients are answered 421."},
	{.name = "sessions_per_address", .type = &value_count, MEMBER(limits.sessions_per_address), RANGE(1, 1000000), .default_text = "100",
	    .unit = "sessions of one client address, all proxies", .description = "Further sessions from that address are answered 421."},
	{.name = "errors", .type = &value_count, MEMBER(limits.errors), RANGE(1, 100000), .default_text = "10",
	    .unit = "5xx answers in one session", .description = "One more ends the session with 421."},
	{.name = "commands", .type = &value_count, MEMBER(limits.commands), RANGE(1, 1000000), .default_text = "100",
	    .unit = "commands without a message in one session",
	    .description = "NOOP, RSET, VRFY and the like. One more ends the session with 421."},
	{.name = "transactions", .type = &value_count, MEMBER(limits.transactions), RANGE(0, 1000000), .default_text = "0",
	    .unit = "messages in one session, 0 = any number", .description = "Further MAIL commands are answered 421."},
	{.name = "line_length", .type = &value_size, MEMBER(limits.line_length), RANGE(1000, GIB), .default_text = "1M",
	    .unit = "bytes of one message line",
	    .description = "RFC 5321 4.5.3.1.6 allows 1000, but real mail has longer ones; they pass untouched up to this."},
	{.name = "header_bytes", .type = &value_size, MEMBER(limits.header_bytes), RANGE(KIB, GIB), .default_text = "256K",
	    .unit = "bytes of the header block", .description = "A message with a larger header block is refused."},
	{.name = "header_count", .type = &value_count, MEMBER(limits.header_count), RANGE(10, CONFIG_HEADER_COUNT_MAX), .default_text = "1000",
	    .unit = "headers of one message", .description = "A message with more headers is refused."},
	{.name = "hops", .type = &value_count, MEMBER(limits.hops), RANGE(1, 1000), .alias_of = "hop_limit"},
	END,
};

#define TIMEOUT(member) .type = &value_duration, MEMBER(timeouts.member)

static const struct schema_row timeouts_rows[] = {
	{.name = "command", TIMEOUT(command), RANGE(1, DAY), .default_text = "5m", .unit = "waiting for the client's next command",
	    .description = "RFC 5321 4.5.3.2.7 asks for at least 5 minutes."},
	{.name = "data_block", TIMEOUT(data_block), RANGE(1, DAY), .default_text = "3m", .unit = "between two pieces of a message",
	    .description = "RFC 5321 4.5.3.2.5 asks for at least 3 minutes."},
	{.name = "data_total", TIMEOUT(data_total), RANGE(1, DAY), .default_text = "30m", .unit = "for one whole message",
	    .description = "Against clients that send a byte now and then, which data_block alone would allow for ever."},
	{.name = "end_of_data", TIMEOUT(end_of_data), RANGE(1, HOUR), .default_text = "4m",
	    .unit = "from the final dot to our reply",
	    .description = "Filters and backend share it. It stays below the patience of common senders (RFC 5321 4.5.3.2.6 asks them to "
	        "wait 10 minutes; many wait 5), because a sender that gave up sends the message again."},
	{.name = "backend_connect", TIMEOUT(backend_connect), RANGE(1, HOUR), .default_text = "10s", .unit = "until a backend is connected",
	    .description = "Then the next backend of the route is tried."},
	{.name = "backend_command", TIMEOUT(backend_command), RANGE(1, HOUR), .default_text = "1m",
	    .unit = "waiting for a backend's reply",
	    .description = "Greeting, EHLO, MAIL, RCPT and DATA. RFC 5321 4.5.3.2 asks clients to wait 5 minutes, but our own client waits "
	        "meanwhile, with its own 5 minutes, and a backend beside us that needs a minute for RCPT is better skipped."},
	{.name = "backend_data_block", TIMEOUT(backend_data_block), RANGE(1, HOUR), .default_text = "3m",
	    .unit = "until a backend takes the next piece", .description = "RFC 5321 4.5.3.2.5. The reply to the final dot is bounded by end_of_data."},
	{.name = "backend_wait", TIMEOUT(backend_wait), RANGE(0, HOUR), .default_text = "30s", .unit = "for a free backend connection",
	    .description = "How long a session waits when max_connections is reached, before it is answered 451."},
	{.name = "backend_retry", TIMEOUT(backend_retry), RANGE(1, DAY), .default_text = "30s", .unit = "a refusing backend is skipped",
	    .description = "Then one connection probes it again."},
	{.name = "backend_hold", TIMEOUT(backend_hold), RANGE(0, HOUR), .alias_of = "backend_hold"},
	{.name = "drain", TIMEOUT(drain), RANGE(0, DAY), .alias_of = "drain_timeout"},
	END,
};

static const struct schema_row pool_rows[] = {
	{.name = "messages", .type = &value_count, MEMBER(pool.messages), RANGE(1, 1000000), .default_text = "100",
	    .unit = "messages over one connection", .description = "Then it is closed: some servers refuse or slow down after many."},
	{.name = "age", .type = &value_duration, MEMBER(pool.age_ms), RANGE(1, DAY), .default_text = "5m", .unit = "life of a connection",
	    .description = "So that a changed address or a restarted balancer is noticed."},
	{.name = "refusals", .type = &value_count, MEMBER(pool.refusals), RANGE(1, 1000000), .default_text = "5",
	    .unit = "refused commands over one connection", .description = "Servers drop or slow down a client after too many errors."},
	{.name = "idle", .type = &value_duration, MEMBER(pool.idle_ms), RANGE(0, DAY), .default_text = "30s",
	    .unit = "an unused connection is kept", .description = "0 closes a connection after each use."},
	END,
};

static const struct schema_row dns_rows[] = {
	{.name = "servers", .kind = SCHEMA_LIST, .type = &value_dns_server, LIST_MEMBER(dns_servers), RANGE(0, 16), .example = "127.0.0.1",
	    .unit = "who answers", .description = "Empty: those of /etc/resolv.conf."},
	{.name = "timeout", .type = &value_duration, MEMBER(dns_timeout_ms), RANGE(1, 5 * MINUTE), .default_text = "5s",
	    .unit = "for one question", .description = "An answer that takes longer is a temporary error."},
	{.name = "cache", .type = &value_size, MEMBER(dns_cache_bytes), RANGE(64 * KIB, 16 * GIB), .default_text = "16M",
	    .unit = "bytes of answers kept, each proxy", .description = "Answers are kept as long as their TTL says and this room lasts."},
	END,
};

static const struct schema_row log_rows[] = {
	{.name = "format", .type = &value_choice, MEMBER(log_format), .words = log_format_words, .default_text = "text",
	    .unit = "form of a line", .description = "key=value text, or one JSON object a line."},
	{.name = "to", .type = &value_log_target, .offset = 0, .default_text = "stderr", .unit = "where lines go",
	    .description = "Standard error is the journal when systemd started us. A file is opened again on SIGUSR1."},
	{.name = "level", .type = &value_word, MEMBER(log_level), .words = log_level_words, .default_text = "info",
	    .unit = "least important line written", .description = "From alarm (an administrator must act) to debug (everything)."},
	END,
};

static const struct schema_row trace_rows[] = {
	{.name = "enabled", .type = &value_boolean, MEMBER(trace), .default_text = "true", .unit = "keep the story of each message",
	    .description = "What postern trace shows: commands, replies, verdicts, the backend's answer, with times."},
	{.name = "retention_days", .type = &value_count, MEMBER(trace_retention_days), RANGE(1, 3650), .default_text = "14", .unit = "days a story is kept",
	    .description = "Older days are removed, a database file each."},
	END,
};

const struct schema_row schema_rows[] = {
	{.name = "hostname", .type = &value_hostname, MEMBER(hostname), .required = true, .example = "mx1.example.org", .unit = "our own name",
	    .description = "The name in the greeting, in EHLO towards backends and in Received. It should resolve to us; a backend that "
	        "greets with it is a loop and refused."},
	{.name = "domains", .kind = SCHEMA_LIST, .type = &value_domain, LIST_MEMBER(domains), RANGE(1, 100000), .required = true,
	    .example = "example.org", .unit = "domains we take mail for",
	    .description = "Mail for anything else is refused (550 5.7.1). Subdomains are listed themselves."},
	{.name = "postmaster", .type = &value_mailbox, MEMBER(postmaster), .example = "postmaster@example.org", .unit = "who reads mail to <postmaster>",
	    .description = "Where mail to <postmaster> without a domain goes (RFC 5321 4.5.1). It must be in one of the domains. Default "
	        "postmaster@ the first domain."},
	{.name = "listen", .kind = SCHEMA_ITEMS, .offset = offsetof(struct config, listeners), .count_offset = offsetof(struct config, listener_count),
	    .item_size = sizeof(struct config_listener), .rows = listener_rows, RANGE(1, 64), .default_text = "*:25",
	    .unit = "where clients connect", .description = "A list of listeners; a bare address stands for {address: ADDRESS}."},
	{.name = "backends", .kind = SCHEMA_ITEMS, .offset = offsetof(struct config, backends), .count_offset = offsetof(struct config, backend_count),
	    .item_size = sizeof(struct config_backend), .rows = backend_rows, RANGE(1, 256), .required = true,
	    .unit = "where mail is delivered",
	    .description = "Each domain needs a backend that names it, or one without a list of domains. Those of one domain are tried by "
	        "priority; the client hears 250 only after a backend has said so. A bare URL stands for {url: URL}."},
	{.name = "data_directory", .type = &value_path, MEMBER(data_directory), .default_text = "/var/lib/postern", .unit = "where our own files are",
	    .description = "Trace, ledger, spool files. Relative paths here and in control_socket and log.to start at the directory "
	        "postern was started in."},
	{.name = "control_socket", .type = &value_path, MEMBER(control_socket), .example = "/var/lib/postern/control", .unit = "where status, reload and stop reach us",
	    .description = "For postern status, reload and stop. Default control in data_directory."},
	{.name = "user", .type = &value_user, MEMBER(user_prefix), .default_text = "postern", .unit = "system users, when started as root",
	    .description = "The roles run as users NAME, NAME-auth, NAME-deliver and NAME-journal. \"\" stays the user that started us."},
	{.name = "proxies", .type = &value_count, MEMBER(proxies), RANGE(1, 64), .zero_word = "auto", .default_text = "auto",
	    .unit = "processes, auto = one for each core", .description = "Each is one event loop with all listeners."},
	{.name = "sandbox", .type = &value_choice, MEMBER(sandbox), .words = sandbox_words, .default_text = "enforce",
	    .unit = "what an unexpected system call does", .description = "enforce ends the process, log only reports it."},
	{.name = "trusted_relays", .kind = SCHEMA_LIST, .type = &value_network, LIST_MEMBER(trusted_relays), RANGE(0, 10000),
	    .example = "203.0.113.0/28", .unit = "your own secondary MX and forwarders",
	    .description = "Checks of the client look behind these at the client they took the mail from."},
	{.name = "quarantine", .type = &value_maildir, MEMBER(quarantine), .example = "maildir:/var/lib/postern/quarantine",
	    .unit = "where quarantined messages go",
	    .description = "The path is absolute, or relative to data_directory."},
	{.name = "filters", .kind = SCHEMA_FILTERS, .offset = offsetof(struct config, filters), .count_offset = offsetof(struct config, filter_count),
	    .item_size = sizeof(struct config_filter), RANGE(0, 64), .unit = "in this order",
	    .description = "The filters each message passes: a list of {name: settings}; a bare name takes the defaults. The first that rejects or "
	        "tempfails ends the chain."},
	{.name = "auth_workers", .type = &value_count, MEMBER(auth_workers), RANGE(2, 64), .zero_word = "auto", .default_text = "auto",
	    .unit = "processes, auto = one for each core, at least 2",
	    .description = "They run the filters that parse what strangers wrote, without network and files. None is started when no filter "
	        "needs them."},
	{.name = "auth_worker_recycle", .type = &value_count, MEMBER(auth_worker_recycle), RANGE(1, 1000000000), .default_text = "10000",
	    .unit = "jobs after which a worker is replaced", .description = "So that what a library leaks or a message left behind does not stay."},
	{.name = "auth_worker_memory", .type = &value_size, MEMBER(auth_worker_memory), RANGE(32 * MIB, TIB), .default_text = "512M",
	    .unit = "bytes one worker may allocate",
	    .description = "A worker that wants more ends, and the message it was working on is treated as the filter's on_error says. The message "
	        "itself does not count."},
	{.name = "strict_addresses", .type = &value_boolean, MEMBER(strict_addresses), .default_text = "false",
	    .unit = "refuse senders that RFC 5321 does not allow", .description = "MAIL FROM:a@example.org without angle brackets, a..b@, .a@, a local part of "
	        "more than 64 bytes, an underscore in the sender's domain, an EHLO name with blanks: some devices, forwarders and providers "
	        "send these."},
	{.name = "line_ends", .type = &value_choice, MEMBER(line_ends), .words = line_ends_words, .default_text = "reject",
	    .unit = "what a bare CR or LF in a message does",
	    .description = "reject refuses the message; normalise makes each a CR LF before anything else sees it. Neither passes one on: "
	        "servers that disagree about line ends can be made to see a message inside a message."},
	{.name = "line_ends_exceptions", .kind = SCHEMA_LIST, .type = &value_network, LIST_MEMBER(line_ends_exceptions), RANGE(0, 10000),
	    .example = "192.0.2.0/24", .unit = "clients spared by line_ends",
	    .description = "Clients whose bare CR and LF are normalised although line_ends is reject."},
	{.name = "hop_limit", .type = &value_count, MEMBER(limits.hops), RANGE(1, 1000), .default_text = "50",
	    .unit = "Received headers of one message", .description = "More are taken for a loop and refused (554 5.4.6). Also accepted as limits.hops."},
	{.name = "recipient_cache", .type = &value_duration, MEMBER(recipient_cache_ms), RANGE(0, DAY), .default_text = "1m",
	    .unit = "a backend's answer about a recipient is kept", .description = "0 asks the backend every time."},
	{.name = "backend_hold", TIMEOUT(backend_hold), RANGE(0, HOUR), .default_text = "5s",
	    .unit = "a backend connection waits for a slow client",
	    .description = "Then it goes back to the pool, and MAIL and RCPT are said again after the message is complete. Also accepted as "
	        "timeouts.backend_hold."},
	{.name = "drain_timeout", TIMEOUT(drain), RANGE(0, DAY), .default_text = "30s", .unit = "for running sessions at reload and stop",
	    .description = "What is left then is answered 421. Also accepted as timeouts.drain."},
	{.name = "limits", .kind = SCHEMA_SECTION, .rows = limits_rows, .unit = "bounds on everything that grows"},
	{.name = "timeouts", .kind = SCHEMA_SECTION, .rows = timeouts_rows, .unit = "how long we wait"},
	{.name = "pool", .kind = SCHEMA_SECTION, .rows = pool_rows, .unit = "when a backend connection is retired"},
	{.name = "dns", .kind = SCHEMA_SECTION, .rows = dns_rows, .unit = "questions and answers"},
	{.name = "log", .kind = SCHEMA_SECTION, .rows = log_rows, .unit = "a line for each message and refused session"},
	{.name = "trace", .kind = SCHEMA_SECTION, .rows = trace_rows, .unit = "what happened to a message"},
	END,
};

size_t
schema_count(const struct schema_row *rows)
{
	size_t count = 0;

	while (rows[count].name != NULL)
		count++;
	return count;
}

const struct schema_row *
schema_find(const struct schema_row *rows, struct span name)
{
	for (; rows->name != NULL; rows++)
		if (span_is(name, rows->name))
			return rows;
	return NULL;
}

const char *
schema_section_of(struct span name)
{
	if (schema_find(schema_rows, name) != NULL)
		return "";
	for (const struct schema_row *row = schema_rows; row->name != NULL; row++)
		if (row->kind == SCHEMA_SECTION && schema_find(row->rows, name) != NULL)
			return row->name;
	return NULL;
}

#define NAME_MAX_COMPARED 40

static size_t
smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits (insert, delete, change, swap of neighbours) between two names, both at most NAME_MAX_COMPARED bytes. */
static size_t
name_distance(struct span a, struct span b)
{
	size_t table[NAME_MAX_COMPARED + 1][NAME_MAX_COMPARED + 1];

	for (size_t i = 0; i <= a.length; i++)
		table[i][0] = i;
	for (size_t j = 0; j <= b.length; j++)
		table[0][j] = j;
	for (size_t i = 1; i <= a.length; i++) {
		for (size_t j = 1; j <= b.length; j++) {
			size_t change = a.at[i - 1] != b.at[j - 1];

			table[i][j] = smallest(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + change);
			if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
				table[i][j] = smallest(table[i][j], table[i - 2][j - 2] + 1, SIZE_MAX);
		}
	}
	return table[a.length][b.length];
}

const char *
schema_suggest(const struct schema_row *rows, struct span name)
{
	const char *best = NULL;
	size_t best_distance = name.length / 3 + 2; /* further away is another word, not a slip */

	if (name.length == 0 || name.length > NAME_MAX_COMPARED)
		return NULL;
	for (; rows->name != NULL; rows++) {
		size_t distance = name_distance(name, span_of(rows->name));

		if (distance < best_distance && distance < strlen(rows->name)) {
			best = rows->name;
			best_distance = distance;
		}
	}
	return best;
}

const struct schema_filter *
schema_filter_find(struct span name)
{
	for (const struct schema_filter *filter = schema_filters; filter->name != NULL; filter++)
		if (span_is(name, filter->name))
			return filter;
	return NULL;
}

/* The pointers have many types; bytes are copied so that none is read as another. */
void *
schema_list_get(const struct schema_row *row, const void *base, size_t *count)
{
	void *items;

	memcpy(&items, (const char *)base + row->offset, sizeof items);
	memcpy(count, (const char *)base + row->count_offset, sizeof *count);
	return items;
}

void
schema_list_set(const struct schema_row *row, void *base, void *items, size_t count)
{
	memcpy((char *)base + row->offset, &items, sizeof items);
	memcpy((char *)base + row->count_offset, &count, sizeof count);
}

static void
list_clear(const struct schema_row *row, void *base)
{
	size_t count;
	size_t size = row->kind == SCHEMA_ITEMS ? row->item_size : row->type->size;
	char *items = schema_list_get(row, base, &count);

	for (size_t i = 0; i < count; i++) {
		if (row->kind == SCHEMA_ITEMS)
			schema_clear(row->rows, items + i * size);
		else if (row->type->clear != NULL)
			row->type->clear(items + i * size);
	}
	memory_free(&items);
	schema_list_set(row, base, NULL, 0);
}

/* An entry without a name was refused before anything was read into it. */
static void
filters_clear(const struct schema_row *row, void *base)
{
	size_t count;
	struct config_filter *filters = schema_list_get(row, base, &count);

	for (size_t i = 0; i < count; i++)
		if (filters[i].name != NULL)
			schema_clear(schema_filter_find(span_of(filters[i].name))->rows, &filters[i]);
	memory_free(&filters);
	schema_list_set(row, base, NULL, 0);
}

void
schema_clear(const struct schema_row *rows, void *base)
{
	for (const struct schema_row *row = rows; row->name != NULL; row++) {
		switch (row->kind) {
		case SCHEMA_SCALAR:
			if (row->type->clear != NULL && row->alias_of == NULL)
				row->type->clear((char *)base + row->offset);
			break;
		case SCHEMA_LIST:
		case SCHEMA_ITEMS:
			list_clear(row, base);
			break;
		case SCHEMA_SECTION:
			schema_clear(row->rows, base);
			break;
		case SCHEMA_FILTERS:
			filters_clear(row, base);
			break;
		}
	}
}
