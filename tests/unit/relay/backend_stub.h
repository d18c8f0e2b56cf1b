/* A scripted SMTP or LMTP server in the test's own event loop, on a loopback socket. It answers like a simple mail server;
 * rules change its answers, hang it or make it close at a chosen byte. It remembers what it was told. */
#ifndef POSTERN_TESTS_BACKEND_STUB_H
#define POSTERN_TESTS_BACKEND_STUB_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "base/stream.h"

#define STUB_RULES_MAX 16
#define STUB_HANG "(hang)" /* as a reply: say nothing */
#define STUB_CLOSE "(close)" /* as a reply: hang up */

struct stub;

struct stub_connection {
	struct stub *stub;
	struct stub_connection *next;
	struct stream *stream;
	bool in_data, skip_line_start;
	char *recipients[64];
	size_t recipient_count;
	size_t said; /* bytes */
};

struct stub_rule {
	const char *prefix; /* of the command line; "" = the greeting; "." = end of data */
	const char *reply; /* with line ends */
	int uses; /* left; -1 = any number */
};

struct stub {
	struct event_base *base;
	int listener;
	struct event *event;
	unsigned port;
	bool lmtp;
	const char *hello; /* reply to EHLO or LHLO */
	struct stub_rule rules[STUB_RULES_MAX];
	size_t rule_count;
	size_t close_after; /* bytes said on a connection, then it is closed; 0 = never */
	struct stub_connection *connections;
	struct buffer heard; /* all command lines, each with '\n' */
	struct buffer bodies; /* as they came, dot-stuffed, each with its final dot */
	unsigned open, open_max, total, messages;
};

static inline void
stub_drop(struct stub_connection *connection)
{
	struct stub_connection **at = &connection->stub->connections;
	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	connection->stub->open--;
	for (size_t i = 0; i < connection->recipient_count; i++)
		memory_free(&connection->recipients[i]);
	stream_free(&connection->stream);
	memory_free(&connection);
}

/* False: the connection is gone. */
static inline bool
stub_say(struct stub_connection *connection, const char *text)
{
	struct stub *stub = connection->stub;
	size_t length = strlen(text);
	if (strcmp(text, STUB_HANG) == 0)
		return true;
	bool close_now = strcmp(text, STUB_CLOSE) == 0;
	if (close_now)
		length = 0;
	if (stub->close_after > 0 && connection->said + length >= stub->close_after) {
		length = stub->close_after - connection->said;
		close_now = true;
	}
	if (length > 0)
		stream_write(connection->stream, text, length);
	connection->said += length;
	if (!close_now)
		return true;
	stream_flush(connection->stream);
	stub_drop(connection);
	return false;
}

static inline const char *
stub_rule_for(struct stub *stub, const char *line)
{
	for (size_t i = 0; i < stub->rule_count; i++) {
		struct stub_rule *rule = &stub->rules[i];
		bool fits = rule->prefix[0] == '\0' ? line[0] == '\0' : strncmp(line, rule->prefix, strlen(rule->prefix)) == 0;
		if (!fits || rule->uses == 0)
			continue;
		if (rule->uses > 0)
			rule->uses--;
		return rule->reply;
	}
	return NULL;
}

static inline void
stub_add_rule(struct stub *stub, const char *prefix, const char *reply, int uses)
{
	ASSERT(stub->rule_count < STUB_RULES_MAX);
	stub->rules[stub->rule_count++] = (struct stub_rule){prefix, reply, uses};
}

static inline void
stub_forget_recipients(struct stub_connection *connection)
{
	for (size_t i = 0; i < connection->recipient_count; i++)
		memory_free(&connection->recipients[i]);
	connection->recipient_count = 0;
}

static inline const char *
stub_default_reply(struct stub_connection *connection, const char *line)
{
	struct stub *stub = connection->stub;
	if (strncmp(line, "EHLO", 4) == 0)
		return stub->lmtp ? "500 5.5.1 LHLO only\r\n" : stub->hello;
	if (strncmp(line, "LHLO", 4) == 0)
		return stub->lmtp ? stub->hello : "500 5.5.1 no LMTP\r\n";
	if (strncmp(line, "HELO", 4) == 0)
		return "250 backend\r\n";
	if (strncmp(line, "RCPT", 4) == 0)
		return "250 2.1.5 Ok\r\n";
	if (strncmp(line, "DATA", 4) == 0)
		return connection->recipient_count > 0 ? "354 go on\r\n" : "554 5.5.1 no valid recipients\r\n";
	if (strncmp(line, "QUIT", 4) == 0)
		return "221 2.0.0 bye\r\n";
	return "250 2.0.0 Ok\r\n";
}

/* False: the connection is gone. */
static inline bool
stub_end_of_data(struct stub_connection *connection)
{
	struct stub *stub = connection->stub;
	connection->in_data = false;
	stub->messages++;
	size_t replies = stub->lmtp ? connection->recipient_count : 1;
	for (size_t i = 0; i < replies; i++) {
		char *line = memory_format(".%s", stub->lmtp ? connection->recipients[i] : "");
		const char *rule = stub_rule_for(stub, line);
		memory_free(&line);
		if (!stub_say(connection, rule != NULL ? rule : "250 2.0.0 Ok: queued\r\n"))
			return false;
	}
	stub_forget_recipients(connection);
	return true;
}

static inline bool
stub_command(struct stub_connection *connection, const char *line)
{
	struct stub *stub = connection->stub;
	buffer_printf(&stub->heard, "%s\n", line);
	const char *reply = stub_rule_for(stub, line);
	if (reply == NULL)
		reply = stub_default_reply(connection, line);
	if (strncmp(line, "RCPT TO:<", 9) == 0 && reply[0] == '2')
		connection->recipients[connection->recipient_count++] = memory_copy_text(line + 9, strcspn(line + 9, ">"));
	if (strncmp(line, "RSET", 4) == 0)
		stub_forget_recipients(connection);
	if (strncmp(line, "DATA", 4) == 0 && reply[0] == '3')
		connection->in_data = true;
	if (!stub_say(connection, reply))
		return false;
	if (strncmp(line, "QUIT", 4) == 0) {
		stub_say(connection, STUB_CLOSE);
		return false;
	}
	return true;
}

static inline size_t
stub_on_bytes(void *context, const char *bytes, size_t length)
{
	struct stub_connection *connection = context;
	struct stub *stub = connection->stub;
	size_t taken = 0;
	for (;;) {
		const char *end = memchr(bytes + taken, '\n', length - taken);
		if (end == NULL)
			return taken;
		size_t line_length = (size_t)(end - bytes) + 1 - taken;
		const char *start = bytes + taken;
		taken += line_length;
		if (connection->in_data) {
			buffer_append(&stub->bodies, start, line_length);
			if (line_length == 3 && memcmp(start, ".\r\n", 3) == 0 && !stub_end_of_data(connection))
				return length;
			continue;
		}
		char *line = memory_copy_text(start, line_length >= 2 ? line_length - 2 : 0);
		bool alive = stub_command(connection, line);
		memory_free(&line);
		if (!alive)
			return length;
	}
}

static inline void
stub_on_closed(void *context, enum stream_close_reason reason, int error)
{
	(void)reason;
	(void)error;
	stub_drop(context);
}

static inline void
stub_on_accept(evutil_socket_t listener, short what, void *context)
{
	static const struct stream_callbacks callbacks = {.on_bytes = stub_on_bytes, .on_closed = stub_on_closed};
	struct stub *stub = context;
	(void)what;
	int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (descriptor < 0)
		return;
	struct stub_connection *connection = memory_new(sizeof *connection);
	connection->stub = stub;
	connection->next = stub->connections;
	stub->connections = connection;
	connection->stream = stream_new(stub->base, descriptor, &callbacks, connection);
	stub->total++;
	stub->open++;
	if (stub->open > stub->open_max)
		stub->open_max = stub->open;
	const char *greeting = stub_rule_for(stub, "");
	stub_say(connection, greeting != NULL ? greeting : "220 backend ESMTP\r\n");
}

#define STUB_HELLO "250-backend\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
#define STUB_HELLO_PLAIN "250 backend\r\n"
#define STUB_HELLO_ALL \
	"250-backend\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"

static inline void
stub_listen(struct stub *stub)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)stub->port)};
	socklen_t length = sizeof address;
	int on = 1;
	stub->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(stub->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	ASSERT(bind(stub->listener, (struct sockaddr *)&address, sizeof address) == 0);
	ASSERT(listen(stub->listener, 128) == 0);
	ASSERT(getsockname(stub->listener, (struct sockaddr *)&address, &length) == 0);
	stub->port = ntohs(address.sin_port);
	stub->event = event_new(stub->base, stub->listener, EV_READ | EV_PERSIST, stub_on_accept, stub);
	event_add(stub->event, NULL);
}

/* Refuses connections from now on (what is open stays). */
static inline void
stub_stop_listening(struct stub *stub)
{
	if (stub->event != NULL)
		event_free(stub->event);
	stub->event = NULL;
	close(stub->listener);
}

static inline struct stub *
stub_new(struct event_base *base, bool lmtp)
{
	struct stub *stub = memory_new(sizeof *stub);
	stub->base = base;
	stub->lmtp = lmtp;
	stub->hello = STUB_HELLO;
	stub_listen(stub);
	return stub;
}

static inline void
stub_free(struct stub **stub)
{
	if (*stub == NULL)
		return;
	while ((*stub)->connections != NULL)
		stub_drop((*stub)->connections);
	if ((*stub)->event != NULL)
		stub_stop_listening(*stub);
	buffer_free(&(*stub)->heard);
	buffer_free(&(*stub)->bodies);
	memory_free(stub);
}

/* How often a line with this prefix was heard. */
static inline unsigned
stub_heard(const struct stub *stub, const char *prefix)
{
	unsigned count = 0;
	for (const char *line = buffer_text(&stub->heard); *line != '\0';) {
		const char *end = strchr(line, '\n');
		count += strncmp(line, prefix, strlen(prefix)) == 0;
		if (end == NULL)
			break;
		line = end + 1;
	}
	return count;
}

#endif
