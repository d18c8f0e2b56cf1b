/* Paths and mailboxes. The first byte of the input chooses the options. What was accepted must keep its limits, must hold no
 * control, and must be accepted again when written out. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_address(const struct address *address, bool utf8_allowed)
{
	size_t local_length = strlen(address->local_part), domain_length = strlen(address->domain);
	char *string = address_to_string(address);
	struct span text = span_of(string);
	struct address again;

	ASSERT(local_length <= ADDRESS_LOCAL_PART_MAX && domain_length <= ADDRESS_DOMAIN_MAX && text.length + 2 <= ADDRESS_PATH_MAX);
	ASSERT(strlen(address->domain_lower) == domain_length);
	ASSERT(utf8_is_valid(text) && (utf8_allowed || utf8_is_ascii(text)));
	for (size_t i = 0; i < text.length; i++)
		ASSERT((unsigned char)text.at[i] >= ' ' && text.at[i] != 0x7f);
	if (domain_length > 0) {
		ASSERT(address_parse_mailbox(text, utf8_allowed, &again) == ADDRESS_OK);
		ASSERT(strcmp(again.local_part, address->local_part) == 0 && strcmp(again.domain, address->domain) == 0);
		address_clear(&again);
		struct span domain = span_of(address->domain);
		ASSERT(domain.at[0] == '[' ? address_literal_is_valid(domain) : domain_is_valid(domain, utf8_allowed, false));
	}
	memory_free(&string);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address address;
	size_t taken = 0;

	if (size == 0)
		return 0;
	struct address_options options = {(data[0] & 1) != 0, (data[0] & 2) != 0, (data[0] & 4) != 0, (data[0] & 8) != 0};
	struct span text = span_make((const char *)data + 1, size - 1);
	enum address_error error = address_parse_path(text, &options, &address, &taken);
	if (error == ADDRESS_OK) {
		ASSERT(taken <= text.length && (taken == text.length || text.at[taken] == ' '));
		ASSERT(address.local_part[0] != '\0' || options.null_allowed);
		ASSERT(address.local_part[0] == '\0' || address.domain[0] != '\0' || options.postmaster_allowed);
		check_address(&address, options.utf8_allowed);
	} else {
		ASSERT(address.local_part == NULL && taken == 0 && address_error_enhanced(error)[0] == '5');
	}
	address_clear(&address);
	domain_is_valid(text, options.utf8_allowed, options.lenient);
	address_literal_is_valid(text);
	return 0;
}
