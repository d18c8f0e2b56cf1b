/* The ledger's idea of a message's identity (design section 4, step 11). */
#include <openssl/evp.h>
#include <strings.h>

#include "base/assert.h"
#include "front/fingerprint.h"

#define BLOCK_SIZE 65536

static bool
is_trace_field(const struct header_field *field)
{
	static const char *const names[] = {"Received", "Return-Path", "Delivered-To", "X-Original-To", "Received-SPF",
		"Authentication-Results", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (span_is_nocase(field->name, names[i]))
			return true;
	return false;
}

static bool
add_range(EVP_MD_CTX *context, struct message_store *message, uint64_t offset, uint64_t end)
{
	char block[BLOCK_SIZE];

	while (offset < end) {
		uint64_t want = end - offset < sizeof block ? end - offset : sizeof block;
		int64_t got = message_store_read(message, offset, block, want);

		if (got <= 0)
			return false;
		EVP_DigestUpdate(context, block, (size_t)got);
		offset += (uint64_t)got;
	}
	return true;
}

bool
fingerprint_make(struct message_store *message, const struct header_block *headers, uint8_t *digest)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t from = 0;
	bool ok = true;

	ASSERT(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < headers->count && ok; i++) {
		const struct header_field *field = &headers->fields[i];

		if (!is_trace_field(field))
			continue;
		ok = add_range(context, message, from, field->offset);
		from = field->offset + field->length;
	}
	ok = ok && add_range(context, message, from, message_store_length(message));
	ok = EVP_DigestFinal_ex(context, digest, NULL) == 1 && ok;
	EVP_MD_CTX_free(context);
	return ok;
}
