/* What makes two recipients, and two messages to them, the same for the ledger. */
#include <openssl/evp.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "deliver/deliver_client.h"

/* Domains compare without case (RFC 5321 2.4); a local part is its host's business. */
static void
add_address(EVP_MD_CTX *hashing, const char *address)
{
	char *copy = memory_copy_string(address);
	char *domain = strrchr(copy, '@');

	for (char *c = domain; c != NULL && *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	/* With its NUL: no two pairs of addresses run together to the same bytes. */
	EVP_DigestUpdate(hashing, copy, strlen(copy) + 1);
	memory_free(&copy);
}

static void
key_make(const char *sender, const char *recipient, const uint8_t *message_hash, uint8_t *key)
{
	EVP_MD_CTX *hashing = EVP_MD_CTX_new();

	ASSERT(hashing != NULL && EVP_DigestInit_ex(hashing, EVP_sha256(), NULL) == 1);
	add_address(hashing, sender != NULL ? sender : "");
	add_address(hashing, recipient);
	if (message_hash != NULL)
		EVP_DigestUpdate(hashing, message_hash, LEDGER_KEY_SIZE);
	ASSERT(EVP_DigestFinal_ex(hashing, key, NULL) == 1);
	EVP_MD_CTX_free(hashing);
}

void
ledger_make_keys(const char *sender, const char *recipient, const uint8_t *message_hash, struct ledger_entry *entry)
{
	key_make(sender, recipient, NULL, entry->address_key);
	memset(entry->message_key, 0, sizeof entry->message_key);
	if (message_hash != NULL)
		key_make(sender, recipient, message_hash, entry->message_key);
}
