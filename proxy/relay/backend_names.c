/* Display names and addresses of the backends. Owns the questions to DNS under way. */
#include "relay/backend_names.h"

#include <string.h>
#include <sys/un.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/network.h"

#define ADDRESSES_LIVE_US (60 * 1000000ll)

struct backend_place {
	struct backend_names *names;
	unsigned backend;
	char *text;
	struct backend_address addresses[BACKEND_ADDRESSES_MAX];
	size_t count;
	int64_t expires_us; /* INT64_MAX: needs no DNS */
	uint64_t question; /* 0 = none */
	backend_names_callback *callback;
	void *context;
};

struct backend_names {
	const struct config *config;
	const struct clock *clock;
	struct resolver *resolver;
	struct backend_place *places;
};

static char *
make_text(const struct config_backend *backend)
{
	if (backend->protocol == BACKEND_MAILDIR)
		return memory_format("maildir:%s", backend->path);
	if (backend->protocol == BACKEND_LMTP_UNIX)
		return memory_copy_string(backend->path);
	bool bracketed = strchr(backend->host, ':') != NULL;
	return memory_format(bracketed ? "[%s]:%u" : "%s:%u", backend->host, (unsigned)backend->port);
}

static void
add_path(struct backend_place *place, const char *path)
{
	struct sockaddr_un *to = (struct sockaddr_un *)&place->addresses[0].to;
	if (strlen(path) >= sizeof to->sun_path)
		return; /* conf/ refuses such a path; without an address it is simply unreachable */
	to->sun_family = AF_UNIX;
	memcpy(to->sun_path, path, strlen(path) + 1);
	place->addresses[0].length = sizeof *to;
	place->count = 1;
}

static void
add_address(struct backend_place *place, const struct ip_address *address, uint16_t port)
{
	if (place->count == BACKEND_ADDRESSES_MAX)
		return;
	struct backend_address *to = &place->addresses[place->count++];
	to->length = ip_address_to_sockaddr(address, port, &to->to);
}

struct backend_names *
backend_names_new(const struct config *config, const struct clock *clock, struct resolver *resolver)
{
	struct backend_names *names = memory_new(sizeof *names);
	names->config = config;
	names->clock = clock;
	names->resolver = resolver;
	names->places = memory_new_array(config->backend_count, sizeof *names->places);
	for (size_t i = 0; i < config->backend_count; i++) {
		const struct config_backend *backend = &config->backends[i];
		struct backend_place *place = &names->places[i];
		struct ip_address literal;
		place->names = names;
		place->backend = (unsigned)i;
		place->text = make_text(backend);
		if (backend->protocol == BACKEND_LMTP_UNIX)
			add_path(place, backend->path);
		else if (backend->protocol != BACKEND_MAILDIR && ip_address_parse(backend->host, &literal))
			add_address(place, &literal, backend->port);
		if (backend->protocol == BACKEND_LMTP_UNIX || place->count > 0)
			place->expires_us = INT64_MAX;
	}
	return names;
}

void
backend_names_free(struct backend_names **names_address)
{
	struct backend_names *names = *names_address;
	if (names == NULL)
		return;
	for (size_t i = 0; i < names->config->backend_count; i++) {
		if (names->places[i].question != 0)
			resolver_cancel(names->resolver, names->places[i].question);
		memory_free(&names->places[i].text);
	}
	memory_free(&names->places);
	memory_free(names_address);
}

static struct backend_place *
find_place(const struct backend_names *names, unsigned backend)
{
	ASSERT(backend < names->config->backend_count);
	return &names->places[backend];
}

const char *
backend_names_text(const struct backend_names *names, unsigned backend)
{
	return find_place(names, backend)->text;
}

bool
backend_names_get(struct backend_names *names, unsigned backend, const struct backend_address **addresses, size_t *count)
{
	const struct backend_place *place = find_place(names, backend);
	if (place->expires_us <= clock_monotonic_us(names->clock))
		return false;
	*addresses = place->addresses;
	*count = place->count;
	return true;
}

static void
on_addresses(void *context, enum dns_status status, const struct ip_address *addresses, size_t count)
{
	struct backend_place *place = context;
	place->question = 0;
	if (status == DNS_STATUS_OK && count > 0) {
		place->count = 0;
		for (size_t i = 0; i < count; i++)
			add_address(place, &addresses[i], place->names->config->backends[place->backend].port);
	}
	/* While DNS is down, yesterday's addresses are better than none: the mail server has probably not moved. */
	bool usable = place->count > 0 && status != DNS_STATUS_NAME_ERROR;
	place->expires_us = usable ? clock_monotonic_us(place->names->clock) + ADDRESSES_LIVE_US : 0;
	place->callback(place->context, place->backend);
}

void
backend_names_ask(struct backend_names *names, unsigned backend, backend_names_callback *callback, void *context)
{
	struct backend_place *place = find_place(names, backend);
	if (place->question != 0)
		return;
	place->callback = callback;
	place->context = context;
	place->question = resolver_ask_addresses(names->resolver, names->config->backends[backend].host, on_addresses, place);
}

void
backend_names_forget(struct backend_names *names, unsigned backend)
{
	struct backend_place *place = find_place(names, backend);
	if (place->expires_us != INT64_MAX)
		place->expires_us = 0;
}
