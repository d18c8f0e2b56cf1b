/* Domains of identities and of expanded domain-specs. Unlike names in presentation form these have no escapes: a backslash in a macro's
 * value is a byte like any other. */
#include "filters/spf/domain.h"

#include <idn2.h>
#include <string.h>

#include "base/assert.h"

#define NAME_LENGTH_MAX 253 /* of a name written with dots, without the final one */
#define LABEL_LENGTH_MAX 63

static bool
is_ascii(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] > 0x7f)
			return false;
	return true;
}

static uint8_t
byte_lower(char byte)
{
	return (uint8_t)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
}

/* Labels of 1 to 63 bytes between the dots of a text of at most 253 bytes. */
static bool
labels_read(struct span text, struct dns_name *name)
{
	size_t label = 0; /* where its length byte is */

	for (size_t i = 0; i <= text.length; i++) {
		if (i < text.length && text.at[i] != '.') {
			name->bytes[i + 1] = byte_lower(text.at[i]);
			continue;
		}
		size_t length = i - label;
		if (length == 0 || length > LABEL_LENGTH_MAX)
			return false;
		name->bytes[label] = (uint8_t)length;
		label = i + 1;
	}
	name->bytes[label] = 0;
	name->length = label + 1;
	return true;
}

static bool
domain_set(struct spf_domain *domain, struct span text)
{
	if (text.length == 0 || text.length > NAME_LENGTH_MAX || memchr(text.at, '\0', text.length) != NULL)
		return false;
	memcpy(domain->text, text.at, text.length);
	domain->text[text.length] = '\0';
	return labels_read(text, &domain->name);
}

static struct span
without_final_dot(struct span text)
{
	if (text.length > 0 && text.at[text.length - 1] == '.')
		text.length--;
	return text;
}

bool
spf_domain_has_dot(const struct spf_domain *domain)
{
	return strchr(domain->text, '.') != NULL;
}

bool
spf_domain_from_identity(const char *text, struct spf_domain *domain)
{
	char *converted = NULL;

	if (!is_ascii(span_of(text))) {
		uint8_t *ascii = NULL;
		if (idn2_lookup_u8((const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
			return false;
		converted = (char *)ascii;
	}
	bool good = domain_set(domain, without_final_dot(span_of(converted != NULL ? converted : text)));
	idn2_free(converted);
	return good && spf_domain_has_dot(domain) && dns_name_is_hostname(&domain->name);
}

bool
spf_domain_from_expansion(struct span text, struct spf_domain *domain)
{
	text = without_final_dot(text);
	while (text.length > NAME_LENGTH_MAX) {
		const char *dot = memchr(text.at, '.', text.length);
		if (dot == NULL)
			return false;
		text = span_make(dot + 1, text.length - (size_t)(dot + 1 - text.at));
	}
	return domain_set(domain, text);
}

bool
spf_name_is_within(const struct dns_name *name, const struct dns_name *domain)
{
	size_t at = 0;

	while (name->length - at > domain->length)
		at += name->bytes[at] + 1u;
	if (name->length - at != domain->length)
		return false;
	struct dns_name end = {.length = domain->length};
	memcpy(end.bytes, name->bytes + at, domain->length);
	return dns_name_equal(&end, domain);
}
