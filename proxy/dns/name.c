/* Domain names: text to wire form and back, and out of a packet. Every loop is bounded by the 255 bytes of a name or by the
 * number of pointers one name may follow. Never reads outside what it was given. */
#include "dns/name.h"

#include <string.h>

#include "base/assert.h"

#define LABEL_MAX 63
#define POINTERS_MAX 127 /* no name has more labels than that, so no honest name follows more pointers */

static bool
is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* One byte of a label, with RFC 1035 5.1 escapes undone; returns how many characters of text it took, 0 for a bad escape. */
static size_t
label_byte_parse(const char *text, uint8_t *byte)
{
	if (text[0] != '\\') {
		*byte = (uint8_t)text[0];
		return 1;
	}
	if (!is_digit(text[1])) {
		*byte = (uint8_t)text[1];
		return text[1] == '\0' ? 0 : 2;
	}
	if (!is_digit(text[2]) || !is_digit(text[3]))
		return 0;
	int value = (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
	*byte = (uint8_t)value;
	return value > 255 ? 0 : 4;
}

bool
dns_name_from_text(const char *text, struct dns_name *name)
{
	if (strcmp(text, ".") == 0) {
		name->bytes[0] = 0;
		name->length = 1;
		return true;
	}
	if (*text == '\0')
		return false;
	size_t length = 0;
	while (*text != '\0') {
		size_t start = length++; /* the label's length byte */
		while (*text != '\0' && *text != '.') {
			/* One byte stays free for the root's zero. */
			if (length - start > LABEL_MAX || length >= DNS_NAME_WIRE_MAX - 1)
				return false;
			size_t taken = label_byte_parse(text, &name->bytes[length]);
			if (taken == 0)
				return false;
			length++;
			text += taken;
		}
		if (length - start == 1)
			return false;
		name->bytes[start] = (uint8_t)(length - start - 1);
		if (*text == '.')
			text++;
		/* The next label needs its length byte and one more. */
		if (*text != '\0' && length >= DNS_NAME_WIRE_MAX - 2)
			return false;
	}
	name->bytes[length++] = 0;
	name->length = length;
	return true;
}

static char *
label_byte_format(char *out, uint8_t byte)
{
	if (byte == '.' || byte == '\\') {
		*out++ = '\\';
	} else if (byte <= ' ' || byte > '~') {
		*out++ = '\\';
		*out++ = (char)('0' + byte / 100);
		*out++ = (char)('0' + byte / 10 % 10);
		byte = '0' + byte % 10;
	}
	*out++ = (char)byte;
	return out;
}

const char *
dns_name_to_text(const struct dns_name *name, char *text)
{
	char *out = text;
	size_t at = 0;

	while (name->bytes[at] != 0) {
		size_t end = at + 1 + name->bytes[at];
		ASSERT(end < name->length);
		if (at != 0)
			*out++ = '.';
		for (at++; at < end; at++)
			out = label_byte_format(out, name->bytes[at]);
	}
	ASSERT(out - text < DNS_NAME_TEXT_SIZE);
	*out = '\0';
	return text;
}

bool
dns_name_read(const uint8_t *packet, size_t length, size_t *offset, struct dns_name *name)
{
	size_t at = *offset, behind = 0;
	unsigned pointers = 0;

	name->length = 0;
	for (;;) {
		if (at >= length)
			return false;
		uint8_t first = packet[at];
		if ((first & 0xc0) == 0xc0) {
			if (at + 1 >= length || ++pointers > POINTERS_MAX)
				return false;
			size_t target = (size_t)(first & 0x3f) << 8 | packet[at + 1];
			if (target >= at) /* forwards or onto itself: RFC 1035 4.1.4 says "a prior occurrence" */
				return false;
			if (behind == 0)
				behind = at + 2;
			at = target;
			continue;
		}
		if (first > LABEL_MAX) /* 01 and 10 are no label types any more: RFC 6891 5 */
			return false;
		if (length - at < first + 1u || name->length + first + 1u + (first != 0) > DNS_NAME_WIRE_MAX)
			return false;
		memcpy(name->bytes + name->length, packet + at, first + 1u);
		name->length += first + 1u;
		at += first + 1u;
		if (first == 0)
			break;
	}
	*offset = behind != 0 ? behind : at;
	return true;
}

static uint8_t
byte_lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

bool
dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	if (a->length != b->length)
		return false;
	/* Length bytes are below 'A', so lower-casing the whole run is harmless. */
	for (size_t i = 0; i < a->length; i++)
		if (byte_lower(a->bytes[i]) != byte_lower(b->bytes[i]))
			return false;
	return true;
}

bool
dns_name_is_hostname(const struct dns_name *name)
{
	if (name->bytes[0] == 0)
		return false;
	for (size_t at = 0; name->bytes[at] != 0; at += name->bytes[at] + 1u) {
		for (size_t i = 1; i <= name->bytes[at]; i++) {
			uint8_t byte = byte_lower(name->bytes[at + i]);
			if (!(byte >= 'a' && byte <= 'z') && !is_digit((char)byte) && byte != '-' && byte != '_')
				return false;
		}
	}
	return true;
}
