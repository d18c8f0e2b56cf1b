/* Goes down the Received fields of a message as long as those who wrote them are trusted: each relay vouches for the field on top of what it
 * was given. */
#include "chain/trusted_client.h"

#include <string.h>

#include "base/memory.h"
#include "mail/received_parse.h"

#define RELAY_HOPS_MAX 20

/* The relay talking to itself, through a content filter say. */
static bool
is_loopback(const struct ip_address *address)
{
	static const uint8_t six[16] = {[15] = 1};

	return address->family == 4 ? address->bytes[0] == 127 : memcmp(address->bytes, six, sizeof six) == 0;
}

/* True: `from` is the first client that is not trusted. False, with `origin` (at first whoever talks to us) = the relay that made the
 * message itself; or family 0: a field that cannot be understood. */
static bool
walk(const struct config *config, const struct header_block *headers, struct received_from *from, struct ip_address *origin)
{
	unsigned hops = 0;

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
		if (!network_list_contains(&config->trusted_relays, &from->client))
			return true;
		*origin = from->client;
	}
	return false;
}

/* For filters behind, the trace and check-message. */
static void
note_fact(const struct filter_client *client, struct facts *facts)
{
	struct fact_record record = {0};
	char text[IP_ADDRESS_TEXT_SIZE];

	fact_record_set(&record, "relay", ip_address_format(&client->relay, text));
	fact_record_set(&record, "client", client->address.family != 0 ? ip_address_format(&client->address, text) : NULL);
	fact_record_set(&record, "helo", client->helo);
	facts_set_record(facts, "trusted_relay", "", &record);
}

bool
trusted_client_find(const struct config *config, const struct header_block *headers, struct filter_client *client, char **helo,
    struct facts *facts)
{
	struct received_from from = {0};
	struct ip_address origin = client->address;
	bool found;

	if (!network_list_contains(&config->trusted_relays, &client->address))
		return false;
	client->relay = client->address;
	found = walk(config, headers, &from, &origin);
	client->address = found ? from.client : origin;
	if (found || !ip_address_equal(&origin, &client->relay)) {
		*helo = found && from.helo.length > 0 ? memory_copy_text(from.helo.at, from.helo.length) : NULL;
		client->helo = *helo;
		client->reverse_name = NULL; /* nobody has asked */
		client->reverse_status = REVERSE_TEMPERROR;
	}
	client->tls = NULL;
	note_fact(client, facts);
	return true;
}
