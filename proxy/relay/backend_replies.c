/* What a backend's reply means in each state of the connection. */
#include "relay/backend_client_parts.h"

#include "base/memory.h"

static void
trace_reply(struct backend_client *client, const struct reply *reply)
{
	if (client->record == NULL)
		return;
	struct buffer text = {0};
	reply_append_text(&text, reply);
	client_trace(client, RECORD_EVENT_BACKEND_REPLY, "%s", buffer_text(&text));
	buffer_free(&text);
}

static void
say_hello(struct backend_client *client)
{
	bool lmtp = client->options.protocol != BACKEND_SMTP;
	char *line = memory_format("%s %s", lmtp ? "LHLO" : "EHLO", client->options.config->hostname);
	client_change_state(client, STATE_EXTENDED_HELLO);
	client_write_line(client, line);
	client_arm_timer(client, client->options.config->timeouts.backend_command);
	memory_free(&line);
}

/* Only an SMTP server can be us: we do not listen for LMTP, and a mail server on our machine may well greet with its name. */
static bool
is_loop(const struct backend_client *client, const struct reply *reply)
{
	return client->options.protocol == BACKEND_SMTP && greeting_names_host(reply->text, client->options.config->hostname);
}

static void
handle_greeting(struct backend_client *client, const struct reply *reply)
{
	if (reply->code == 421)
		client_fail(client, BACKEND_LEAVING, reply);
	else if (reply->code != 220)
		client_fail(client, reply->code >= 400 ? BACKEND_REFUSED : BACKEND_GARBAGE, reply);
	else if (is_loop(client, reply))
		client_fail(client, BACKEND_LOOP, NULL);
	else
		say_hello(client);
}

static void
become_ready(struct backend_client *client)
{
	struct buffer text = {0};
	capabilities_append_text(&text, &client->offered);
	client_trace(client, RECORD_EVENT_NOTE, "backend %s is ready, offers: %s", client->options.name, buffer_text(&text));
	buffer_free(&text);
	client_arm_timer(client, 0);
	client->opened_us = clock_monotonic_us(client->options.clock);
	client_change_state(client, STATE_READY);
	client->callbacks->on_ready(client->context);
}

static void
handle_hello(struct backend_client *client, const struct reply *reply)
{
	bool extended = client->state == STATE_EXTENDED_HELLO;
	if (reply->code == 250 && is_loop(client, reply)) {
		client_fail(client, BACKEND_LOOP, NULL);
	} else if (reply->code == 250) {
		if (extended)
			capabilities_parse(reply->text, &client->offered);
		become_ready(client);
	} else if (reply_is_permanent(reply) && extended && client->options.protocol == BACKEND_SMTP) {
		char *line = memory_format("HELO %s", client->options.config->hostname);
		client_change_state(client, STATE_HELLO); /* RFC 5321 3.2 */
		client_write_line(client, line);
		client_arm_timer(client, client->options.config->timeouts.backend_command);
		memory_free(&line);
	} else {
		client_fail(client, reply->code == 421 ? BACKEND_LEAVING : reply->code >= 400 ? BACKEND_REFUSED : BACKEND_GARBAGE, reply);
	}
}

/* Is this code an answer to this command at all? */
static bool
reply_fits(enum backend_command command, const struct reply *reply)
{
	if (reply->code >= 400)
		return true;
	if (command == BACKEND_COMMAND_DATA)
		return reply->code == 354;
	return reply->code < 300;
}

/* A "yes" to a message whose final dot has not left yet answers something else: the two sides disagree on where they are, and nobody has
 * the message. (A "no" may well come early.) */
static bool
is_premature(const struct backend_client *client, enum backend_command command, const struct reply *reply)
{
	return command == BACKEND_COMMAND_END_OF_DATA && reply_is_positive(reply) && stream_output_length(client->stream) > 0;
}

/* State and counts after a reply to a command. False: the connection is over. */
static bool
follow_reply(struct backend_client *client, enum backend_command command, const struct reply *reply)
{
	if (!reply_fits(command, reply) || is_premature(client, command, reply)) {
		client_fail(client, BACKEND_GARBAGE, reply);
		return false;
	}
	/* A 421 to the final dot is that message's answer; the end of the connection follows by itself. */
	if (reply->code == 421 && command != BACKEND_COMMAND_END_OF_DATA) {
		client_fail(client, BACKEND_LEAVING, reply);
		return false;
	}
	if (command == BACKEND_COMMAND_RSET && reply->code >= 400) {
		client_fail(client, BACKEND_REFUSED, reply);
		return false;
	}
	if (reply_is_permanent(reply))
		client->refusals++;
	if (command == BACKEND_COMMAND_DATA && reply->code == 354)
		client_change_state(client, STATE_BODY);
	if (command == BACKEND_COMMAND_END_OF_DATA && client->outstanding == 0) {
		client->in_transaction = false;
		client_change_state(client, STATE_READY);
	}
	return true;
}

static void
handle_command_reply(struct backend_client *client, const struct reply *reply)
{
	struct queued_command *head = TAILQ_FIRST(&client->queue);
	if (client->outstanding == 0) {
		/* While idle: most often a 421 before the backend hangs up. */
		client_fail(client, reply->code == 421 ? BACKEND_LEAVING : BACKEND_GARBAGE, reply);
		return;
	}
	enum backend_command command = head->command;
	bool wanted = head->owner == client->owner && command != BACKEND_COMMAND_RSET && client->callbacks != NULL;
	size_t tag = head->tag;
	client_drop_command(client, head);
	client->outstanding--;
	if (!follow_reply(client, command, reply))
		return;
	client_time_next_reply(client);
	if (client->state == STATE_BODY)
		client_arm_timer(client, client->options.config->timeouts.backend_data_block);
	if (wanted)
		client->callbacks->on_reply(client->context, command, tag, reply);
	if (!client->doomed)
		client_send_commands(client);
}

void
client_handle_reply(struct backend_client *client, const struct reply *reply)
{
	trace_reply(client, reply);
	switch (client->state) {
	case STATE_GREETING:
		handle_greeting(client, reply);
		break;
	case STATE_EXTENDED_HELLO:
	case STATE_HELLO:
		handle_hello(client, reply);
		break;
	case STATE_READY:
	case STATE_END_OF_DATA:
		handle_command_reply(client, reply);
		break;
	case STATE_BODY:
		/* It does not want the rest: the two sides no longer agree on where they are. */
		client_fail(client, reply_is_permanent(reply) ? BACKEND_REFUSED : BACKEND_LEAVING, reply);
		break;
	case STATE_QUITTING:
		if (reply->code == 221)
			client_fail(client, BACKEND_CLOSED, reply);
		break;
	case STATE_CONNECTING:
	case STATE_CLOSED:
		break;
	}
}
