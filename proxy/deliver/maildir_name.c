/* The name of a recipient's folder. Pure. Whatever the address, the name is one path component, harmless in a shell listing, and
 * tells different mailboxes apart. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "deliver/maildir.h"

#define NAME_MAX_LENGTH (MAILDIR_NAME_SIZE - 1)
#define DIGEST_BYTES 16 /* of the digest in a shortened name */

static bool
is_plain(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("._+=-", byte) != NULL);
}

static void
append_escaped(struct buffer *out, char byte)
{
	if (byte >= 'A' && byte <= 'Z')
		byte = (char)(byte | 0x20);
	/* A dot in front hides a file, and ".." is another folder. */
	if (is_plain(byte) && (byte != '.' || out->length > 0))
		buffer_append_char(out, byte);
	else
		buffer_printf(out, "%%%02X", (unsigned char)byte);
}

/* RFC 5321 4.1.2: "a"@x and a@x are the same mailbox. */
static void
append_local_part(struct buffer *out, const char *address)
{
	const char *at = address;

	if (*at != '"') {
		for (; *at != '\0' && *at != '@'; at++)
			append_escaped(out, *at);
		return;
	}
	for (at++; *at != '\0' && *at != '"'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		append_escaped(out, *at);
	}
}

/* The front of a name that is too long, and a digest of all of it. "%-" cannot come from escaping. */
static void
shorten(struct buffer *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;

	ASSERT(EVP_Digest(out->data, out->length, digest, &size, EVP_sha256(), NULL) == 1 && size >= DIGEST_BYTES);
	buffer_truncate(out, NAME_MAX_LENGTH - 2 - 2 * DIGEST_BYTES);
	buffer_append_string(out, "%-");
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		buffer_printf(out, "%02x", digest[i]);
}

const char *
maildir_name(const char *address, const char *domain, char *name)
{
	struct buffer out = {0};

	append_local_part(&out, address);
	if (out.length == 0)
		buffer_append_string(&out, "%"); /* an empty local part; a lone % comes from nothing else */
	if (*domain != '\0')
		buffer_append_char(&out, '@');
	for (; *domain != '\0'; domain++)
		append_escaped(&out, *domain);
	if (out.length > NAME_MAX_LENGTH)
		shorten(&out);
	memcpy(name, out.data, out.length + 1);
	buffer_free(&out);
	return name;
}
