/* Which backends serve which domain. A route is a set of backends in the order they are tried; domains served by the same
 * backends share one, so their recipients can share a transaction. Read-only after making. */
#ifndef POSTERN_RELAY_ROUTE_H
#define POSTERN_RELAY_ROUTE_H

#include <stddef.h>

#include "conf/config.h"

struct route {
	unsigned *backends; /* indexes into config->backends, tried in this order */
	size_t count;
};

struct route_table;

struct route_table *route_table_new(const struct config *config);
void route_table_free(struct route_table **table);
/* Number of the route for a lower-case domain, -1 when no backend serves it. */
int route_table_find(const struct route_table *table, const char *domain);
size_t route_table_count(const struct route_table *table);
const struct route *route_table_get(const struct route_table *table, int number);

#endif
