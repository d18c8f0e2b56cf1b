/* What /etc/resolv.conf and /etc/hosts say, from their text (the master reads the files). Pure. Lines that make no sense are skipped,
 * as the C library does. */
#ifndef POSTERN_DNS_SYSTEM_FILES_H
#define POSTERN_DNS_SYSTEM_FILES_H

#include <stddef.h>

#include "base/network.h"

#define NAMESERVERS_MAX 8 /* the C library stops at 3 */

/* The nameserver lines in order, at most `capacity`; returns how many. Addresses with a zone ("fe80::1%eth0") are left out. */
size_t resolv_conf_servers(const char *text, struct ip_address *servers, size_t capacity);

struct hosts_entry {
	char *name;
	struct ip_address address;
};
struct hosts_table {
	struct hosts_entry *entries;
	size_t count;
};

void hosts_table_parse(const char *text, struct hosts_table *table);
void hosts_table_clear(struct hosts_table *table);
/* All addresses of a name (any case, no final dot) in the order of the file, at most `capacity`; returns how many. */
size_t hosts_table_find(const struct hosts_table *table, const char *name, struct ip_address *addresses, size_t capacity);

#endif
