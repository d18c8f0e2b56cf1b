/* The configuration in force, as every process holds it: read-only after loading. Made by conf/load.c from the schema rows
 * in conf/schema.c; a newcomer looks there for an option's name, range, default and description. */
#ifndef POSTERN_CONF_CONFIG_H
#define POSTERN_CONF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"

enum backend_protocol { BACKEND_SMTP, BACKEND_LMTP, BACKEND_LMTP_UNIX, BACKEND_MAILDIR };
enum return_path_mode { RETURN_PATH_AUTO, RETURN_PATH_ALWAYS, RETURN_PATH_NEVER };
enum line_ends_mode { LINE_ENDS_REJECT, LINE_ENDS_NORMALISE };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG, LOG_TARGET_FILE };
enum sandbox_mode { SANDBOX_ENFORCE, SANDBOX_LOG };

/* What a filter's option says to do with a message. The last one is no answer to a filter that is lost (on_error). */
enum config_action { ACTION_ACCEPT, ACTION_REJECT, ACTION_TEMPFAIL, ACTION_QUARANTINE, ACTION_TAG };
enum config_spf_engine { SPF_ENGINE_OWN, SPF_ENGINE_LIBSPF2 };

struct string_list {
	char **items;
	size_t count;
};
struct network_list {
	struct ip_network *items;
	size_t count;
};

struct config_listener {
	char *address; /* as written: "127.0.0.1:2525", "*:25", "[::1]:25" */
	/* Filled by the loader. "*" is IPv6 any, to be bound with IPV6_V6ONLY off (IPv4 any when the kernel has no IPv6);
	 * every other IPv6 address with IPV6_V6ONLY on, so that "0.0.0.0:25" and "[::]:25" go together. */
	struct sockaddr_storage socket_address;
	socklen_t socket_address_length;
};

struct config_backend {
	char *url; /* as written */
	enum backend_protocol protocol;
	char *host; /* name or address literal without brackets; NULL for unix and maildir */
	uint16_t port; /* default 25 (smtp), 24 (lmtp) */
	char *path; /* socket path, or Maildir root (absolute, or relative to data_directory) */
	struct string_list domains; /* empty: every domain without a route of its own */
	uint32_t max_connections; /* per backend, over all proxies */
	enum return_path_mode return_path;
	int priority; /* lower is tried first; default 10, 20, 30 ... in the order of the file */
};

struct config_limits {
	uint64_t message_size; /* bytes */
	uint64_t message_memory; /* bytes of messages in memory, all proxies */
	uint64_t spool_size; /* bytes of messages in spool files, all proxies */
	uint32_t recipients; /* per transaction */
	uint32_t sessions; /* all proxies */
	uint32_t sessions_per_address;
	uint32_t errors; /* 5xx answers per session before it is ended */
	uint32_t commands; /* commands without a message (NOOP, RSET, VRFY, ...) per session */
	uint32_t transactions; /* MAIL per session; 0 = any number */
	uint64_t line_length; /* bytes of a message line */
	uint64_t header_bytes; /* bytes of the header block */
	uint32_t header_count;
	uint32_t hops; /* hop_limit: Received lines */
};

struct config_timeouts { /* milliseconds */
	int64_t command; /* waiting for the next command: RFC 5321 4.5.3.2.7 */
	int64_t data_block; /* between two reads of message bytes: 4.5.3.2.5 */
	int64_t data_total; /* whole message, against dribbling */
	int64_t end_of_data; /* our budget from the final dot to our reply */
	int64_t backend_connect;
	int64_t backend_command; /* greeting, EHLO, MAIL, RCPT, DATA */
	int64_t backend_data_block;
	int64_t backend_hold; /* a borrowed connection is kept so long for a slow client */
	int64_t backend_wait; /* for a free connection when max_connections is reached */
	int64_t backend_retry; /* how long a refusing backend is skipped */
	int64_t drain; /* old generation after a reload, or at stop */
};

/* Who runs a filter. Adjacent filters of one place travel in one job. */
enum config_filter_place {
	FILTER_PLACE_AUTH, /* the auth workers: verification, parsing of hostile bytes */
	FILTER_PLACE_SCAN, /* the scan workers */
	FILTER_PLACE_PROXY, /* the proxy itself: a client of something outside (milter) */
};

/* Settings of the filter "spf". */
struct config_spf {
	enum config_spf_engine engine;
	enum config_action none, neutral, pass, softfail, fail, temperror, permerror; /* by result */
	bool helo; /* check the HELO name too */
	bool received_spf; /* stamp Received-SPF on every message, not only on those tagged */
};

/* One entry of `filters`. */
struct config_filter {
	const char *name; /* of the filter's table in conf/schema_filter.c */
	enum config_filter_place place; /* from there, too */
	enum config_action on_error; /* when the filter is lost or cannot judge; never ACTION_TAG */
	union { /* by name */
		struct config_spf spf;
	};
};

struct config_pool {
	uint32_t messages; /* a connection is retired after so many */
	int64_t age_ms;
	uint32_t refusals;
	int64_t idle_ms;
};

struct config {
	char *file_name; /* for messages */
	char *hostname;
	struct string_list domains; /* lower case, in the order of the file */
	struct string_list domains_sorted; /* private: the same strings, for config_domain_is_ours */
	char *postmaster; /* where <postmaster> goes; the loader fills in postmaster@ the first domain */
	struct config_listener *listeners;
	size_t listener_count;
	struct config_backend *backends;
	size_t backend_count;
	char *data_directory; /* trace, ledger, spool, maildir of the demo */
	char *control_socket; /* default data_directory/control */
	char *user_prefix; /* users when started as root: PREFIX, PREFIX-deliver, PREFIX-journal; "" = stay */
	uint32_t proxies; /* 0 = auto: one per core */
	enum sandbox_mode sandbox;
	struct network_list trusted_relays;
	char *quarantine; /* NULL = none */
	struct config_filter *filters; /* in the order they run */
	size_t filter_count;
	uint32_t auth_workers; /* 0 = auto: one per core, at least 2 */
	uint32_t auth_worker_recycle; /* jobs after which a worker is replaced */
	uint64_t auth_worker_memory; /* bytes one worker may allocate */
	enum line_ends_mode line_ends;
	struct network_list line_ends_exceptions;
	bool strict_addresses; /* refuse addresses without angle brackets */
	struct string_list dns_servers; /* "192.0.2.1" or "192.0.2.1@5353"; empty = the system's */
	int64_t dns_timeout_ms;
	uint64_t dns_cache_bytes;
	struct config_limits limits;
	struct config_timeouts timeouts;
	struct config_pool pool;
	int64_t recipient_cache_ms; /* how long answers to recipient checks are remembered; 0 = off */
	bool trace; /* keep stories */
	uint32_t trace_retention_days;
	enum log_format log_format;
	enum log_target log_target;
	char *log_file;
	char *log_level; /* "info" ... */
};

/* Errors found while loading: all of them, not only the first. */
struct config_errors {
	struct buffer text; /* lines "file:line:column: what" */
	unsigned count;
};

#define CONFIG_DEFAULT_FILE "/etc/postern/postern.yaml"

/* Upper ends of two ranges; deliver takes requests of this size. */
#define CONFIG_RECIPIENTS_MAX 10000
#define CONFIG_HEADER_COUNT_MAX 10000

/* Loads a configuration from text. Returns NULL and at least one error on failure. file_name is only for messages. Files,
 * environment and current directory are not looked at: relative paths stay relative to where postern was started. */
struct config *config_load_text(const char *file_name, struct span text, struct config_errors *errors);
/* Reads the file (at most 4 MiB) and loads it. *text (may be NULL) gets the contents, caller frees. */
struct config *config_load_file(const char *file_name, char **text, struct config_errors *errors);
void config_free(struct config **config);
/* The effective configuration as YAML that loads again to the same. */
void config_print(const struct config *config, struct buffer *out);
/* Every option: name, type, range, default, unit, description; the reference for administrators. It is YAML that loads, and
 * conf/postern.yaml is a copy of it (a test compares them). */
void config_print_reference(struct buffer *out);

/* Changes one option of a filter, "spf.fail=reject", for a run that only tries something out. What options contradict each other is not
 * judged again. False: *problem says why, nothing is changed. */
bool config_filter_option_set(struct config *config, const char *assignment, struct buffer *problem);

/* True when mail for this (lower-case) domain is ours to take. */
bool config_domain_is_ours(const struct config *config, const char *domain);
bool network_list_contains(const struct network_list *list, const struct ip_address *address);

#endif
