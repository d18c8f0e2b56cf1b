/* A hostile backend: what it says goes to a connection that tries to deliver a message to two recipients. Each command gets at most one
 * reply, the end is told once, and 250 for the message is only heard after the final dot was given.
 * Input: first byte odd = LMTP; then what the backend says, in pieces that end at each 0x01. */
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "mail/reply.h"
#include "relay/backend_client.h"

struct owner {
	struct backend_client *client;
	bool lmtp, ready, failed, dot_given;
	unsigned expected[BACKEND_COMMAND_RSET + 1];
	unsigned messages;
};

static void
say(struct owner *owner, enum backend_command command, const char *line)
{
	owner->expected[command]++;
	backend_client_command(owner->client, command, 7, line);
}

static void
say_envelope(struct owner *owner)
{
	owner->dot_given = false;
	memset(owner->expected, 0, sizeof owner->expected);
	say(owner, BACKEND_COMMAND_MAIL, "MAIL FROM:<>");
	say(owner, BACKEND_COMMAND_RCPT, "RCPT TO:<a@example.org>");
	say(owner, BACKEND_COMMAND_RCPT, "RCPT TO:<b@example.org>");
	say(owner, BACKEND_COMMAND_DATA, "DATA");
}

static void
on_ready(void *context)
{
	struct owner *owner = context;
	ASSERT(!owner->ready && !owner->failed);
	owner->ready = true;
	say_envelope(owner);
}

static void
on_reply(void *context, enum backend_command command, size_t tag, const struct reply *reply)
{
	struct owner *owner = context;
	ASSERT(owner->ready && !owner->failed && owner->expected[command] > 0);
	ASSERT(reply->code >= 200 && reply->code <= 599 && reply->text != NULL);
	owner->expected[command]--;
	if (command == BACKEND_COMMAND_DATA && reply->code == 354) {
		unsigned replies = owner->lmtp ? 2 : 1;
		owner->dot_given = true;
		owner->expected[BACKEND_COMMAND_END_OF_DATA] = replies;
		backend_client_body(owner->client, "x\r\n", 3);
		backend_client_final_dot(owner->client, replies);
	} else if (command == BACKEND_COMMAND_DATA) {
		ASSERT(reply->code >= 400);
		ASSERT(backend_client_reset(owner->client));
		say_envelope(owner);
	} else if (command == BACKEND_COMMAND_END_OF_DATA) {
		ASSERT(owner->dot_given && tag < 2);
		if (owner->expected[command] == 0 && ++owner->messages < 3)
			say_envelope(owner);
		else if (owner->expected[command] == 0)
			backend_client_free(&owner->client); /* inside its own callback */
	}
}

static void
on_failed(void *context, const struct backend_failure *failure)
{
	struct owner *owner = context;
	ASSERT(!owner->failed && failure->kind <= BACKEND_EXPIRED && failure->handshake == !owner->ready);
	owner->failed = true;
	backend_client_free(&owner->client);
}

static const struct backend_client_callbacks callbacks = {.on_ready = on_ready, .on_reply = on_reply, .on_failed = on_failed};

static void
turn(struct event_base *base)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Takes what the client said, says the next piece. */
static void
speak(int descriptor, const char *bytes, size_t length)
{
	char heard[4096];
	while (recv(descriptor, heard, sizeof heard, MSG_DONTWAIT) > 0)
		;
	if (length > 0 && send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* it has hung up on us */
}

static int
listen_somewhere(struct backend_address *address)
{
	struct sockaddr_un *name = (struct sockaddr_un *)&address->to;
	socklen_t length = sizeof(sa_family_t); /* the kernel chooses an abstract name */
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	name->sun_family = AF_UNIX;
	ASSERT(listener >= 0 && bind(listener, (struct sockaddr *)name, length) == 0 && listen(listener, 1) == 0);
	address->length = sizeof address->to;
	ASSERT(getsockname(listener, (struct sockaddr *)name, &address->length) == 0);
	return listener;
}

static void
run(struct owner *owner, struct event_base *base, int listener, const char *bytes, size_t size)
{
	turn(base);
	int descriptor = accept(listener, NULL, NULL);
	ASSERT(descriptor >= 0);
	while (size > 0 && owner->client != NULL) {
		const char *end = memchr(bytes, 1, size);
		size_t length = end != NULL ? (size_t)(end - bytes) : size;
		speak(descriptor, bytes, length);
		turn(base);
		length += end != NULL;
		bytes += length;
		size -= length;
	}
	close(descriptor);
	turn(base);
	ASSERT(owner->client == NULL); /* its end was told */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = {.hostname = (char[]){"mx1.example.org"},
		.timeouts = {.backend_connect = 10000, .backend_command = 10000, .backend_data_block = 10000}};
	struct owner owner = {.lmtp = size > 0 && (data[0] & 1) != 0};
	struct backend_address address = {0};
	struct event_base *base = event_base_new();
	struct backend_client_options options = {.base = base, .clock = clock_system(), .config = &config, .name = "fuzz"};
	int listener = listen_somewhere(&address);
	log_set_level(LOG_LEVEL_ALARM);
	options.protocol = owner.lmtp ? BACKEND_LMTP : BACKEND_SMTP;
	owner.client = backend_client_new(&options, &address, 1, &callbacks, &owner);
	run(&owner, base, listener, (const char *)data + (size > 0), size > 0 ? size - 1 : 0);
	close(listener);
	event_base_free(base);
	return 0;
}
