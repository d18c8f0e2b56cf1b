/* The digest of a message's front. Remembers nothing. */
#include "chain/message_digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/assert.h"

#define BLOCK_SIZE (64u << 10)

static bool
take_bytes(EVP_MD_CTX *digest, struct message_store *message, uint64_t offset)
{
	char block[BLOCK_SIZE];

	for (uint64_t left = MESSAGE_DIGEST_BYTES; left > 0;) {
		int64_t got = message_store_read(message, offset, block, sizeof block);

		if (got <= 0)
			return got == 0;
		if ((uint64_t)got > left)
			got = (int64_t)left;
		ASSERT(EVP_DigestUpdate(digest, block, (size_t)got) == 1);
		offset += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return true;
}

bool
message_digest(struct message_store *message, uint64_t offset, char *text)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	ASSERT(digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1);
	bool good = take_bytes(digest, message, offset);
	ASSERT(EVP_DigestFinal_ex(digest, bytes, &size) == 1 && size == 32);
	EVP_MD_CTX_free(digest);
	for (unsigned i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return good;
}
