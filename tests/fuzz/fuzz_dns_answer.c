/* Any bytes as a DNS packet. The first byte picks the type, then the question's name is taken from the packet itself, so that mutations get
 * behind the check of the question. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "dns/answer.h"
#include "dns/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
invariants_check(const struct dns_answer *answer)
{
	size_t bytes = 0;
	ASSERT(answer->count <= DNS_ANSWER_RECORDS_MAX);
	ASSERT(answer->status == DNS_STATUS_OK || answer->count == 0);
	ASSERT((answer->count == 0) == (answer->records == NULL));
	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];
		ASSERT(record->data[record->length] == 0);
		ASSERT(answer->type != DNS_TYPE_A || record->length == 4);
		ASSERT(answer->type != DNS_TYPE_AAAA || record->length == 16);
		struct dns_name name;
		if (answer->type == DNS_TYPE_PTR || answer->type == DNS_TYPE_MX)
			ASSERT(record->length == 0 || dns_name_from_text((const char *)record->data, &name));
		bytes += record->length;
	}
	ASSERT(bytes <= DNS_ANSWER_BYTES_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_PTR, DNS_TYPE_CNAME, DNS_TYPE_NS, 6};
	char text[DNS_NAME_TEXT_SIZE] = "example.org";
	struct dns_answer answer, copy;
	struct dns_name name;
	size_t offset = 12;

	if (size == 0)
		return 0;
	uint16_t type = types[data[0] % 8];
	data++, size--;
	if (dns_name_read(data, size, &offset, &name) && name.length > 1)
		dns_name_to_text(&name, text);
	dns_answer_parse(data, size, text, type, &answer);
	invariants_check(&answer);
	dns_answer_copy(&copy, &answer);
	invariants_check(&copy);
	dns_answer_clear(&copy);
	dns_answer_clear(&answer);
	return 0;
}
