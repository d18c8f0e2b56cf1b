/* Received fields: an address only with the kind that has one, a HELO inside the value, and the same answer however the field is folded. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "mail/received_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct received_from from, again;
	char *copy = malloc(size + 1); /* its end is the end of the memory */

	memcpy(copy, data, size);
	received_from_parse(span_make(copy, size), &from);
	ASSERT((from.kind == RECEIVED_FROM_CLIENT) == (from.client.family != 0));
	ASSERT(from.client.family == 0 || from.client.family == 4 || from.client.family == 6);
	if (from.helo.length > 0) {
		ASSERT(from.kind != RECEIVED_FROM_INSIDE);
		ASSERT(from.helo.at >= copy && from.helo.at + from.helo.length <= copy + size);
		ASSERT(memchr(from.helo.at, ' ', from.helo.length) == NULL);
	}
	for (size_t i = 0; i < size; i++)
		if (copy[i] == '\r' || copy[i] == '\n' || copy[i] == '\t')
			copy[i] = ' ';
	received_from_parse(span_make(copy, size), &again);
	ASSERT(again.kind == from.kind && ip_address_equal(&again.client, &from.client));
	ASSERT(again.helo.length == from.helo.length);
	free(copy);
	return 0;
}
