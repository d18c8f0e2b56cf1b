/* What one option alone cannot show: values that follow from other options, and options that contradict each other.
 * Every error points at the line that has to change. A check is left out when an option it needs is itself in error. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/assert.h"
#include "base/memory.h"
#include "conf/loader.h"
#include "conf/value.h"

struct numbered_domain {
	char *name;
	size_t index; /* in the file */
};

static int
compare_domains(const void *a, const void *b)
{
	const struct numbered_domain *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

/* The list in order of names; a name given twice is an error at its second place. `list` is the node of the list. */
static struct numbered_domain *
domains_sort(struct loader *loader, const struct string_list *domains, const yaml_node_t *list)
{
	struct numbered_domain *sorted = memory_new_array(domains->count, sizeof *sorted);

	for (size_t i = 0; i < domains->count; i++)
		sorted[i] = (struct numbered_domain){domains->items[i], i};
	if (domains->count > 0)
		qsort(sorted, domains->count, sizeof *sorted, compare_domains);
	for (size_t i = 1; i < domains->count; i++)
		if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
			loader_error(loader, loader_item(loader, list, sorted[i].index), "domain %s is listed twice", sorted[i].name);
	return sorted;
}

static void
fill_domains(struct loader *loader)
{
	struct config *config = loader->config;
	const yaml_node_t *list = loader_key(loader, loader_root(loader), "domains");
	struct numbered_domain *sorted;

	if (!loader_is_sound(loader, "domains"))
		return;
	sorted = domains_sort(loader, &config->domains, list);
	config->domains_sorted.count = config->domains.count;
	config->domains_sorted.items = memory_new_array(config->domains.count, sizeof *config->domains_sorted.items);
	for (size_t i = 0; i < config->domains.count; i++)
		config->domains_sorted.items[i] = sorted[i].name;
	memory_free(&sorted);
	if (config->postmaster == NULL && loader_is_sound(loader, "postmaster"))
		config->postmaster = memory_format("postmaster@%s", config->domains.items[0]);
}

static void
check_postmaster(struct loader *loader)
{
	struct config *config = loader->config;
	char *domain;

	if (!loader_is_sound(loader, "domains") || config->postmaster == NULL)
		return;
	domain = memory_copy_string(strrchr(config->postmaster, '@') + 1);
	for (char *at = domain; *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at += 'a' - 'A';
	if (!config_domain_is_ours(config, domain))
		loader_error(loader, loader_key(loader, loader_root(loader), "postmaster"), "postmaster: %s is not one of the domains", domain);
	memory_free(&domain);
}

/* Domains of one backend must be ours. */
static void
check_backend_domains(struct loader *loader, size_t index)
{
	const struct config_backend *backend = &loader->config->backends[index];
	const yaml_node_t *node = loader_item(loader, loader_key(loader, loader_root(loader), "backends"), index);
	const yaml_node_t *list = loader_key(loader, node, "domains");
	struct numbered_domain *sorted = domains_sort(loader, &backend->domains, list);

	for (size_t i = 0; i < backend->domains.count; i++)
		if (!config_domain_is_ours(loader->config, backend->domains.items[i]))
			loader_error(loader, loader_item(loader, list, i), "backend %s: %s is not one of the domains", backend->url, backend->domains.items[i]);
	memory_free(&sorted);
}

static int
compare_to_name(const void *domain, const void *item)
{
	return strcmp(domain, *(char *const *)item);
}

static void
mark_routed(const struct config *config, const struct config_backend *backend, bool *routed)
{
	const struct string_list *all = &config->domains_sorted;

	for (size_t i = 0; i < backend->domains.count; i++) {
		char **found = bsearch(backend->domains.items[i], all->items, all->count, sizeof *all->items, compare_to_name);

		if (found != NULL)
			routed[found - all->items] = true;
	}
}

/* Each domain needs a backend that names it, or one that names none. */
static void
check_routes(struct loader *loader)
{
	struct config *config = loader->config;
	const struct string_list *all = &config->domains_sorted;
	const yaml_node_t *list = loader_key(loader, loader_root(loader), "domains");
	bool *routed;

	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].domains.count == 0)
			return;
	routed = memory_new_array(all->count, sizeof *routed);
	for (size_t i = 0; i < config->backend_count; i++)
		mark_routed(config, &config->backends[i], routed);
	for (size_t i = 0; i < config->domains.count; i++) {
		char **found = bsearch(config->domains.items[i], all->items, all->count, sizeof *all->items, compare_to_name);

		ASSERT(found != NULL);
		if (!routed[found - all->items])
			loader_error(loader, loader_item(loader, list, i), "domain %s has no backend: none names it, and each has a list of domains",
			    config->domains.items[i]);
	}
	memory_free(&routed);
}

static void
check_backends(struct loader *loader)
{
	struct config *config = loader->config;

	if (!loader_is_sound(loader, "backends"))
		return;
	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].priority == 0)
			config->backends[i].priority = (int)(i + 1) * 10;
	if (!loader_is_sound(loader, "domains"))
		return;
	for (size_t i = 0; i < config->backend_count; i++)
		check_backend_domains(loader, i);
	check_routes(loader);
}

static bool
address_is_any(const struct config_listener *listener)
{
	const struct sockaddr *address = (const struct sockaddr *)&listener->socket_address;

	if (address->sa_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
	return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* Could the kernel bind only one of the two? "*" takes both families. */
static bool
listeners_collide(const struct config_listener *a, const struct config_listener *b)
{
	struct ip_address left, right;
	uint16_t left_port, right_port;
	bool both_families = a->address[0] == '*' || b->address[0] == '*';

	ip_address_from_sockaddr((const struct sockaddr *)&a->socket_address, &left, &left_port);
	ip_address_from_sockaddr((const struct sockaddr *)&b->socket_address, &right, &right_port);
	if (left_port != right_port)
		return false;
	if (both_families || ip_address_equal(&left, &right))
		return true;
	return left.family == right.family && (address_is_any(a) || address_is_any(b));
}

static void
check_listeners(struct loader *loader)
{
	const struct config *config = loader->config;
	const yaml_node_t *list = loader_key(loader, loader_root(loader), "listen");

	if (!loader_is_sound(loader, "listen"))
		return;
	for (size_t i = 1; i < config->listener_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!listeners_collide(&config->listeners[j], &config->listeners[i]))
				continue;
			loader_error(loader, loader_item(loader, list, i), "listen: %s is already taken by %s", config->listeners[i].address,
			    config->listeners[j].address);
			break;
		}
	}
}

static void
check_control_socket(struct loader *loader)
{
	struct config *config = loader->config;
	const yaml_node_t *root = loader_root(loader);
	bool given = loader_was_given(loader, "control_socket");

	if (!loader_is_sound(loader, "control_socket") || !loader_is_sound(loader, "data_directory"))
		return;
	if (!given)
		config->control_socket = memory_format("%s/control", config->data_directory);
	if (strlen(config->control_socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
		loader_error(loader, loader_key(loader, root, given ? "control_socket" : "data_directory"),
		    "control_socket: the path is too long for a socket");
}

static void
check_limits(struct loader *loader)
{
	const struct config_limits *limits = &loader->config->limits;
	const yaml_node_t *section = loader_key(loader, loader_root(loader), "limits");

	if (!loader_is_sound(loader, "limits"))
		return;
	if (limits->message_size > limits->message_memory && limits->message_size > limits->spool_size)
		loader_error(loader, loader_key(loader, section, "message_size"),
		    "limits: a message of message_size fits neither into message_memory nor into spool_size");
	/* The default may well be more than a small number of sessions; only what was written can contradict. */
	if (loader_key(loader, section, "sessions_per_address") != section && limits->sessions_per_address > limits->sessions)
		loader_error(loader, loader_key(loader, section, "sessions_per_address"), "limits: sessions_per_address is more than sessions");
}

static void
check_line_ends(struct loader *loader)
{
	const struct config *config = loader->config;

	if (loader_is_sound(loader, "line_ends") && config->line_ends == LINE_ENDS_NORMALISE && config->line_ends_exceptions.count > 0)
		loader_error(loader, loader_key(loader, loader_root(loader), "line_ends_exceptions"),
		    "line_ends_exceptions: no client is an exception when line_ends is normalise");
}

/* The option's value in the file, or the filter's entry when it is a default. */
static const yaml_node_t *
filter_option_node(struct loader *loader, size_t index, const char *option)
{
	const yaml_node_t *entry = loader_item(loader, loader_key(loader, loader_root(loader), "filters"), index);
	const yaml_node_t *settings = loader_key(loader, entry, loader->config->filters[index].name);

	/* An entry that is a bare name, or {name: } with nothing behind it, has no options. */
	return settings != NULL && settings->type == YAML_MAPPING_NODE ? loader_key(loader, settings, option) : entry;
}

/* Whatever may quarantine a message needs a place for it. */
static void
check_filter_quarantine(struct loader *loader, size_t index)
{
	const struct config_filter *filter = &loader->config->filters[index];

	for (const struct schema_row *row = schema_filter_find(span_of(filter->name))->rows; row->name != NULL; row++) {
		enum config_action action;

		if (row->type != &value_action)
			continue;
		memcpy(&action, (const char *)filter + row->offset, sizeof action);
		if (action == ACTION_QUARANTINE)
			loader_error(loader, filter_option_node(loader, index, row->name), "filters[%zu].%s.%s: quarantine, but no place is given: set the option quarantine",
			    index, filter->name, row->name);
	}
}

static void
check_filters(struct loader *loader)
{
	const struct config *config = loader->config;
	const yaml_node_t *list = loader_key(loader, loader_root(loader), "filters");

	if (!loader_is_sound(loader, "filters"))
		return;
	for (size_t i = 0; i < config->filter_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(config->filters[i].name, config->filters[j].name) != 0)
				continue;
			loader_error(loader, loader_item(loader, list, i), "filters: %s is listed twice", config->filters[i].name);
			break;
		}
		if (config->quarantine == NULL && loader_is_sound(loader, "quarantine"))
			check_filter_quarantine(loader, i);
	}
}

void
config_check(struct loader *loader)
{
	fill_domains(loader);
	check_postmaster(loader);
	check_listeners(loader);
	check_backends(loader);
	check_control_socket(loader);
	check_limits(loader);
	check_line_ends(loader);
	check_filters(loader);
}
