/* Domain names between presentation form (RFC 1035 5.1, with its escapes) and wire form (3.1, with compression 4.1.4). Pure. */
#ifndef POSTERN_DNS_NAME_H
#define POSTERN_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_WIRE_MAX 255 /* RFC 1035 2.3.4, with the root's zero byte */
#define DNS_NAME_TEXT_SIZE 1024 /* room for any name in presentation form: every byte could become \DDD */

struct dns_name {
	uint8_t bytes[DNS_NAME_WIRE_MAX]; /* uncompressed labels and the root's zero byte */
	size_t length; /* at least 1 */
};

/* With or without final dot; "." is the root. False: empty, an empty label, a label over 63 bytes, a name over 255, a bad escape. */
bool dns_name_from_text(const char *text, struct dns_name *name);
/* Without final dot; the root is "". Dots and backslashes inside labels and bytes that do not print are escaped.
 * `text` has room for DNS_NAME_TEXT_SIZE bytes; returns text. */
const char *dns_name_to_text(const struct dns_name *name, char *text);
/* Reads a name at *offset of a packet and moves *offset behind it. Pointers must lead backwards. False when anything is wrong. */
bool dns_name_read(const uint8_t *packet, size_t length, size_t *offset, struct dns_name *name);
/* Without regard to ASCII case. */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
/* Only letters, digits, hyphens and underscores: a name that may be shown and stamped as it is. The root is not. */
bool dns_name_is_hostname(const struct dns_name *name);

#endif
