/* Whom the filters of a run judge, and how the trace tells it. */
#include "chain/run_parts.h"
#include "chain/trusted_client.h"

bool
client_is_trusted_relay(const struct chain_run *run, const struct ip_address *address)
{
	return network_list_contains(&run->chain->options.config->trusted_relays, address);
}

void
client_find(struct chain_run *run)
{
	struct filter_client *client = &run->job.job.client;
	char relay[IP_ADDRESS_TEXT_SIZE], address[IP_ADDRESS_TEXT_SIZE];

	if (!trusted_client_find(run->chain->options.config, run->subject.headers, client, &run->relay_helo, &run->facts))
		return;
	ip_address_format(&client->relay, relay);
	if (client->address.family == 0)
		story_note(run, "trusted relay [%s]: its Received field names no client, nobody is judged by address", relay);
	else
		story_note(run, "trusted relay [%s]: the client to judge is [%s], HELO %s", relay, ip_address_format(&client->address, address),
		    client->helo != NULL ? client->helo : "(unknown)");
}
