/* Names, addresses and places of the configuration: host names, mailboxes, networks, listener addresses, backend URLs.
 * Never resolves a name and never touches a file: a configuration is judged by its text alone. */
#include <ctype.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/network.h"
#include "mail/address.h"
#include "conf/config.h"
#include "conf/value.h"

#define UNIX_PATH_MAX (sizeof((struct sockaddr_un *)0)->sun_path - 1)

static bool
refuse(struct buffer *problem, const char *text, const char *why)
{
	value_quote(problem, text);
	buffer_printf(problem, " %s", why);
	return false;
}

static bool
path_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	(void)row;
	if (text[0] == '\0')
		return refuse(problem, text, "is not a path");
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_path = {
	.name = "path", .size = sizeof(char *), .parse = path_parse, .print = value_text_print, .clear = value_text_clear,
};

/* The prefix of system users: role names are appended, the whole must fit the 32 bytes of utmp. */
static bool
user_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	(void)row;
	if (strlen(text) > 20 || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0' ||
	    isdigit((unsigned char)text[0]) || text[0] == '-')
		return refuse(problem, text, "is not a user name: up to 20 of a-z, 0-9, _ and -, a letter first");
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_user = {
	.name = "user name", .size = sizeof(char *), .parse = user_parse, .print = value_text_print, .clear = value_text_clear,
};

static char *
copy_lower(const char *text)
{
	char *copy = memory_copy_string(text);

	for (char *at = copy; *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at += 'a' - 'A';
	return copy;
}

static bool
hostname_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	(void)row;
	if (!domain_is_valid(span_of(text), false, false))
		return refuse(problem, text, "is not a host name");
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_hostname = {
	.name = "host name", .size = sizeof(char *), .parse = hostname_parse, .print = value_text_print, .clear = value_text_clear,
};

static bool
domain_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	size_t length = strlen(text);

	(void)row;
	if (length == 0 || text[length - 1] == '.' || !domain_is_valid(span_of(text), true, false))
		return refuse(problem, text, "is not a domain name");
	*(char **)field = copy_lower(text);
	return true;
}

const struct schema_type value_domain = {
	.name = "domain", .size = sizeof(char *), .parse = domain_parse, .print = value_text_print, .clear = value_text_clear,
};

static bool
mailbox_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	struct address address = {0};
	enum address_error error = address_parse_mailbox(span_of(text), true, &address);

	(void)row;
	address_clear(&address);
	if (error != ADDRESS_OK) {
		refuse(problem, text, "is not a mail address: ");
		buffer_append_string(problem, address_error_text(error));
		return false;
	}
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_mailbox = {
	.name = "mail address", .size = sizeof(char *), .parse = mailbox_parse, .print = value_text_print, .clear = value_text_clear,
};

static bool
network_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	(void)row;
	if (!ip_network_parse(text, field))
		return refuse(problem, text, "is not a network: an address, or address/prefix length with no host bits set");
	return true;
}

static bool
network_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	const struct ip_network *network = field;
	char text[IP_ADDRESS_TEXT_SIZE];

	(void)row;
	buffer_printf(out, "%s/%u", ip_address_format(&network->address, text), network->prefix_length);
	return true;
}

const struct schema_type value_network = {
	.name = "network", .size = sizeof(struct ip_network), .parse = network_parse, .print = network_print,
};

static bool
port_parse(struct span text, uint16_t *port)
{
	uint64_t number;

	if (text.length > 5 || !value_parse_number(text, &number) || number < 1 || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

static bool
literal_parse(struct span text, struct ip_address *address)
{
	char copy[IP_ADDRESS_TEXT_SIZE];

	if (text.length >= sizeof copy)
		return false;
	memcpy(copy, text.at, text.length);
	copy[text.length] = '\0';
	return ip_address_parse(copy, address);
}

static bool
dns_server_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	struct ip_address address;
	const char *at_sign = strchr(text, '@');
	uint16_t port;
	size_t length = at_sign != NULL ? (size_t)(at_sign - text) : strlen(text);

	(void)row;
	if (!literal_parse(span_make(text, length), &address) || (at_sign != NULL && !port_parse(span_of(at_sign + 1), &port)))
		return refuse(problem, text, "is not a DNS server: an IP address, or address@port");
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_dns_server = {
	.name = "address or address@port", .size = sizeof(char *), .parse = dns_server_parse, .print = value_text_print,
	.clear = value_text_clear,
};

static bool
maildir_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	(void)row;
	if (strncmp(text, "maildir:", 8) != 0 || text[8] == '\0' || strncmp(text + 8, "//", 2) == 0)
		return refuse(problem, text, "is not maildir:PATH");
	*(char **)field = memory_copy_string(text);
	return true;
}

const struct schema_type value_maildir = {
	.name = "maildir:PATH", .size = sizeof(char *), .parse = maildir_parse, .print = value_text_print, .clear = value_text_clear,
};

/* Splits "host:port", "[v6]:port" and, when the port may be missing, "host" and "[v6]" (port then stays as it was). */
static bool
host_port_split(const char *text, bool port_required, struct span *host, bool *bracketed, uint16_t *port)
{
	const char *end;

	*bracketed = text[0] == '[';
	if (*bracketed) {
		end = strchr(text, ']');
		if (end == NULL)
			return false;
		*host = span_make(text + 1, (size_t)(end - text - 1));
		end++;
	} else {
		end = text + strcspn(text, ":");
		*host = span_make(text, (size_t)(end - text));
	}
	if (host->length == 0)
		return false;
	if (*end == '\0')
		return !port_required;
	return *end == ':' && port_parse(span_of(end + 1), port);
}

static bool
listener_address_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	struct config_listener *listener = field;
	struct ip_address address = {.family = 6}; /* "*": IPv6 any, which takes IPv4 as well */
	struct span host;
	uint16_t port;
	bool bracketed;

	(void)row;
	if (!host_port_split(text, true, &host, &bracketed, &port) ||
	    (!(span_is(host, "*") && !bracketed) &&
	        (!literal_parse(host, &address) || bracketed != (memchr(host.at, ':', host.length) != NULL))))
		return refuse(problem, text, "is not an address to listen on: *:PORT, IPV4:PORT or [IPV6]:PORT");
	listener->socket_address_length = ip_address_to_sockaddr(&address, port, &listener->socket_address);
	listener->address = memory_copy_string(text);
	return true;
}

static bool
listener_address_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	(void)row;
	buffer_append_string(out, ((const struct config_listener *)field)->address);
	return true;
}

static void
listener_address_clear(void *field)
{
	memory_free(&((struct config_listener *)field)->address);
}

const struct schema_type value_listener_address = {
	.name = "*:PORT, IPV4:PORT or [IPV6]:PORT", .size = sizeof(struct config_listener), .parse = listener_address_parse,
	.print = listener_address_print, .clear = listener_address_clear,
};

/* A name whose last label is a number is a mistyped IPv4 address: the root has no such names. */
static bool
host_is_valid(struct span host, bool bracketed)
{
	struct ip_address address;
	size_t last = host.length;

	if (literal_parse(host, &address))
		return bracketed == (memchr(host.at, ':', host.length) != NULL);
	while (last > 0 && host.at[last - 1] >= '0' && host.at[last - 1] <= '9')
		last--;
	if (bracketed || last == 0 || (last < host.length && host.at[last - 1] == '.'))
		return false;
	return domain_is_valid(host, false, true);
}

static bool
backend_host_parse(struct config_backend *backend, const char *text, uint16_t default_port)
{
	struct span host;
	bool bracketed;

	backend->port = default_port;
	if (!host_port_split(text, false, &host, &bracketed, &backend->port) || !host_is_valid(host, bracketed))
		return false;
	backend->host = memory_copy_text(host.at, host.length);
	return true;
}

/* Why the URL cannot be used, or NULL. */
static const char *
backend_url_split(struct config_backend *backend, const char *url)
{
	if (strncmp(url, "smtp://", 7) == 0) {
		backend->protocol = BACKEND_SMTP;
		return backend_host_parse(backend, url + 7, 25) ? NULL : "is not smtp://HOST[:PORT], IPv6 addresses in brackets";
	}
	if (strncmp(url, "lmtp://", 7) == 0) {
		backend->protocol = BACKEND_LMTP;
		return backend_host_parse(backend, url + 7, 24) ? NULL : "is not lmtp://HOST[:PORT], IPv6 addresses in brackets";
	}
	if (strncmp(url, "lmtp+unix://", 12) == 0) {
		backend->protocol = BACKEND_LMTP_UNIX;
		if (url[12] != '/' || url[13] == '\0')
			return "is not lmtp+unix:///ABSOLUTE/PATH";
		if (strlen(url + 12) > UNIX_PATH_MAX)
			return "has a path too long for a socket";
		backend->path = memory_copy_string(url + 12);
		return NULL;
	}
	if (strncmp(url, "maildir:", 8) == 0) {
		backend->protocol = BACKEND_MAILDIR;
		if (url[8] == '\0' || strncmp(url + 8, "//", 2) == 0)
			return "is not maildir:PATH";
		backend->path = memory_copy_string(url + 8);
		return NULL;
	}
	return "is not a backend: smtp://HOST[:PORT], lmtp://HOST[:PORT], lmtp+unix:///PATH or maildir:PATH";
}

static bool
backend_url_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	struct config_backend *backend = field;
	const char *why = backend_url_split(backend, text);

	(void)row;
	if (why != NULL)
		return refuse(problem, text, why);
	backend->url = memory_copy_string(text);
	return true;
}

static bool
backend_url_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	(void)row;
	buffer_append_string(out, ((const struct config_backend *)field)->url);
	return true;
}

static void
backend_url_clear(void *field)
{
	struct config_backend *backend = field;

	memory_free(&backend->url);
	memory_free(&backend->host);
	memory_free(&backend->path);
}

const struct schema_type value_backend_url = {
	.name = "smtp://HOST[:PORT], lmtp://HOST[:PORT], lmtp+unix:///PATH or maildir:PATH", .size = sizeof(struct config_backend),
	.parse = backend_url_parse, .print = backend_url_print, .clear = backend_url_clear,
};

static bool
log_target_parse(const struct schema_row *row, const char *text, void *field, struct buffer *problem)
{
	struct config *config = field;

	(void)row;
	if (strcmp(text, "stderr") == 0) {
		config->log_target = LOG_TARGET_STDERR;
	} else if (strcmp(text, "syslog") == 0) {
		config->log_target = LOG_TARGET_SYSLOG;
	} else if (strncmp(text, "file:", 5) == 0 && text[5] != '\0') {
		config->log_target = LOG_TARGET_FILE;
		config->log_file = memory_copy_string(text + 5);
	} else {
		return refuse(problem, text, "is not stderr, syslog or file:PATH");
	}
	return true;
}

static bool
log_target_print(const struct schema_row *row, const void *field, struct buffer *out)
{
	const struct config *config = field;

	(void)row;
	if (config->log_target == LOG_TARGET_FILE)
		buffer_printf(out, "file:%s", config->log_file);
	else
		buffer_append_string(out, config->log_target == LOG_TARGET_SYSLOG ? "syslog" : "stderr");
	return true;
}

static void
log_target_clear(void *field)
{
	memory_free(&((struct config *)field)->log_file);
}

const struct schema_type value_log_target = {
	.name = "stderr, syslog or file:PATH", .size = sizeof(struct config), .parse = log_target_parse, .print = log_target_print,
	.clear = log_target_clear,
};
