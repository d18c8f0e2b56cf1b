/* Replies of a hostile backend: what is taken is in range, what we say of it is clean lines that read as the same reply. */
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/reply.h"

/* Our wire form: every line is short, clean, and the whole parses back. */
static void
check_wire(const struct reply *reply, bool utf8)
{
	struct buffer wire = {0};
	struct reply again = {0};
	size_t taken = 0, start = 0;

	reply_append_wire(&wire, reply, utf8);
	for (size_t i = 0; i < wire.length; i++) {
		unsigned char byte = (unsigned char)wire.data[i];

		if (byte == '\n') {
			ASSERT(i > start && wire.data[i - 1] == '\r' && i + 1 - start <= REPLY_WIRE_LINE_MAX);
			start = i + 1;
			continue;
		}
		ASSERT(byte == '\r' ? wire.data[i + 1] == '\n' : byte >= ' ' && byte != 127 && (utf8 || byte < 128));
	}
	ASSERT(start == wire.length);
	ASSERT(reply_parse(span_make(wire.data, wire.length), &again, &taken) == REPLY_COMPLETE);
	ASSERT(taken == wire.length && again.code == reply->code);
	reply_clear(&again);
	buffer_free(&wire);
}

static void
check_map(const struct reply *reply)
{
	struct reply client = {0};
	bool alarm;

	for (enum reply_step step = REPLY_STEP_CONNECT; step <= REPLY_STEP_END_OF_DATA; step++) {
		reply_map(reply, step, &client, &alarm);
		ASSERT(client.code != 421 && strchr(client.text, '\n') == NULL);
		ASSERT(!alarm || (client.code == 451 && strcmp(client.enhanced, "4.3.5") == 0));
		ASSERT(client.enhanced[0] == '\0' ? reply_is_positive(&client) : client.enhanced[0] - '0' == client.code / 100);
		check_wire(&client, false);
		check_wire(&client, true);
	}
	reply_clear(&client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = memory_copy_text((const char *)data, size);
	struct reply reply = {0}, front = {0};
	size_t taken = 0, front_taken = 0;

	if (reply_parse(span_make(bytes, size), &reply, &taken) == REPLY_COMPLETE) {
		ASSERT(taken > 0 && taken <= size && bytes[taken - 1] == '\n');
		ASSERT(reply.code >= 200 && reply.code <= 599 && reply.text != NULL);
		/* Nothing shorter is a reply, and nothing behind it matters. */
		ASSERT(reply_parse(span_make(bytes, taken - 1), &front, &front_taken) == REPLY_INCOMPLETE);
		ASSERT(reply_parse(span_make(bytes, taken), &front, &front_taken) == REPLY_COMPLETE);
		ASSERT(front_taken == taken && strcmp(front.text, reply.text) == 0);
		check_wire(&reply, false);
		check_wire(&reply, true);
		check_map(&reply);
	}
	reply_clear(&reply);
	reply_clear(&front);
	memory_free(&bytes);
	return 0;
}
