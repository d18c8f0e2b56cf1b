/* Whom filters judge. Behind a trusted relay that is not whoever talks to us but the first untrusted host in the Received fields which the
 * relays wrote: each of them vouches for the field on top of what it was given. */
#include <string.h>

#include "base/memory.h"
#include "mail/received_parse.h"
#include "chain/run_parts.h"

#define RELAY_HOPS_MAX 20

bool
client_is_trusted_relay(const struct chain_run *run, const struct ip_address *address)
{
	return network_list_contains(&run->chain->options.config->trusted_relays, address);
}

/* The relay talking to itself, through a content filter say. */
static bool
is_loopback(const struct ip_address *address)
{
	static const uint8_t six[16] = {[15] = 1};

	return address->family == 4 ? address->bytes[0] == 127 : memcmp(address->bytes, six, sizeof six) == 0;
}

/* Goes down the fields as long as those who wrote them are trusted. True: `from` is the first client that is not. False, with `origin` = the
 * relay that made the message itself; or family 0: a field that cannot be understood. */
static bool
walk(const struct chain_run *run, const struct header_block *headers, struct received_from *from, struct ip_address *origin)
{
	unsigned hops = 0;

	*origin = run->subject.client;
	for (size_t i = 0; i < headers->count && hops < RELAY_HOPS_MAX; i++) {
		if (!span_is_nocase(headers->fields[i].name, "Received"))
			continue;
		hops++;
		received_from_parse(headers->fields[i].value, from);
		if (from->kind == RECEIVED_FROM_UNKNOWN) {
			*origin = (struct ip_address){0};
			return false;
		}
		if (from->kind == RECEIVED_FROM_INSIDE || is_loopback(&from->client))
			continue;
		if (!client_is_trusted_relay(run, &from->client))
			return true;
		*origin = from->client;
	}
	return false;
}

/* For filters behind, the trace and check-message. */
static void
note_fact(struct chain_run *run, const struct filter_client *client)
{
	struct fact_record record = {0};
	char text[IP_ADDRESS_TEXT_SIZE];

	fact_record_set(&record, "relay", ip_address_format(&client->relay, text));
	fact_record_set(&record, "client", client->address.family != 0 ? ip_address_format(&client->address, text) : NULL);
	fact_record_set(&record, "helo", client->helo);
	facts_set_record(&run->facts, "trusted_relay", "", &record);
}

static void
note_story(struct chain_run *run, const struct filter_client *client)
{
	char relay[IP_ADDRESS_TEXT_SIZE], address[IP_ADDRESS_TEXT_SIZE];

	ip_address_format(&client->relay, relay);
	if (client->address.family == 0)
		story_note(run, "trusted relay [%s]: its Received field names no client, nobody is judged by address", relay);
	else
		story_note(run, "trusted relay [%s]: the client to judge is [%s], HELO %s", relay, ip_address_format(&client->address, address),
		    client->helo != NULL ? client->helo : "(unknown)");
}

void
client_find(struct chain_run *run)
{
	struct filter_client *client = &run->job.job.client;
	struct received_from from = {0};
	struct ip_address origin;

	if (!client_is_trusted_relay(run, &run->subject.client))
		return;
	client->relay = run->subject.client;
	if (walk(run, run->subject.headers, &from, &origin)) {
		client->address = from.client;
		run->relay_helo = from.helo.length > 0 ? memory_copy_text(from.helo.at, from.helo.length) : NULL;
		client->helo = run->relay_helo;
		client->reverse_name = NULL; /* nobody has asked */
		client->reverse_status = REVERSE_TEMPERROR;
	} else {
		client->address = origin;
		if (!ip_address_equal(&origin, &run->subject.client)) {
			client->helo = NULL;
			client->reverse_name = NULL;
			client->reverse_status = REVERSE_TEMPERROR;
		}
	}
	client->tls = NULL;
	note_fact(run, client);
	note_story(run, client);
}
