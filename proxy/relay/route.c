/* The table of routes: one row per domain that a backend names, sorted, and the default for all others. */
#include "relay/route.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/memory.h"

struct domain_row {
	const char *domain; /* belongs to the configuration */
	int route;
};

struct route_table {
	struct route *routes;
	size_t count;
	struct domain_row *rows; /* sorted by domain */
	size_t row_count;
	int default_route; /* -1: every backend names its domains */
};

static bool
backend_names_domain(const struct config_backend *backend, const char *domain)
{
	for (size_t i = 0; i < backend->domains.count; i++) {
		if (strcasecmp(backend->domains.items[i], domain) == 0)
			return true;
	}
	return false;
}

/* Does the backend belong to the route for `domain` (NULL: to the default)? */
static bool
backend_serves(const struct config_backend *backend, const char *domain)
{
	return domain == NULL ? backend->domains.count == 0 : backend_names_domain(backend, domain);
}

/* Lowest priority number first; the order of the file decides among equals. */
static struct route
collect_route(const struct config *config, const char *domain)
{
	struct route route = {.backends = memory_new_array(config->backend_count, sizeof *route.backends)};
	for (size_t i = 0; i < config->backend_count; i++) {
		const struct config_backend *backend = &config->backends[i];
		if (!backend_serves(backend, domain))
			continue;
		size_t at = route.count++;
		while (at > 0 && config->backends[route.backends[at - 1]].priority > backend->priority) {
			route.backends[at] = route.backends[at - 1];
			at--;
		}
		route.backends[at] = (unsigned)i;
	}
	return route;
}

/* The number of an equal route, made if there is none yet. Takes the route. */
static int
add_route(struct route_table *table, struct route route)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct route *other = &table->routes[i];
		if (other->count == route.count && memcmp(other->backends, route.backends, route.count * sizeof *route.backends) == 0) {
			memory_free(&route.backends);
			return (int)i;
		}
	}
	table->routes = memory_resize(table->routes, table->count + 1, sizeof *table->routes);
	table->routes[table->count] = route;
	return (int)table->count++;
}

static int
compare_rows(const void *a, const void *b)
{
	return strcasecmp(((const struct domain_row *)a)->domain, ((const struct domain_row *)b)->domain);
}

static const struct domain_row *
find_row(const struct route_table *table, const char *domain)
{
	struct domain_row key = {.domain = domain};
	if (table->row_count == 0)
		return NULL;
	return bsearch(&key, table->rows, table->row_count, sizeof key, compare_rows);
}

static void
add_named_domains(struct route_table *table, const struct config *config)
{
	size_t named = 0;
	for (size_t i = 0; i < config->backend_count; i++)
		named += config->backends[i].domains.count;
	table->rows = memory_new_array(named + 1, sizeof *table->rows);
	for (size_t i = 0; i < config->backend_count; i++) {
		const struct string_list *domains = &config->backends[i].domains;
		for (size_t k = 0; k < domains->count; k++) {
			int route = add_route(table, collect_route(config, domains->items[k]));
			table->rows[table->row_count++] = (struct domain_row){domains->items[k], route};
		}
	}
	/* A domain named by several backends has equal rows: any of them is right. */
	qsort(table->rows, table->row_count, sizeof *table->rows, compare_rows);
}

struct route_table *
route_table_new(const struct config *config)
{
	struct route_table *table = memory_new(sizeof *table);
	struct route others = collect_route(config, NULL);
	table->default_route = -1;
	if (others.count > 0)
		table->default_route = add_route(table, others);
	else
		memory_free(&others.backends);
	add_named_domains(table, config);
	return table;
}

void
route_table_free(struct route_table **table_address)
{
	struct route_table *table = *table_address;
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->count; i++)
		memory_free(&table->routes[i].backends);
	memory_free(&table->routes);
	memory_free(&table->rows);
	memory_free(table_address);
}

int
route_table_find(const struct route_table *table, const char *domain)
{
	const struct domain_row *row = find_row(table, domain);
	return row != NULL ? row->route : table->default_route;
}

size_t
route_table_count(const struct route_table *table)
{
	return table->count;
}

const struct route *
route_table_get(const struct route_table *table, int number)
{
	ASSERT(number >= 0 && (size_t)number < table->count);
	return &table->routes[number];
}
