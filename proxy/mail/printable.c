/* Makes untrusted text printable. Owns nothing, remembers nothing. */
#include "mail/printable.h"

#include <string.h>

static bool
is_utf8_trail(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Length of the UTF-8 character at the front of `text` (RFC 3629: shortest form, no surrogates); 0 when it is none, or is
 * ASCII or a C1 control. */
static size_t
utf8_length(struct span text)
{
	static const uint32_t smallest[] = {0, 0, 0xa0, 0x800, 0x10000};
	unsigned char first = (unsigned char)text.at[0];
	size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	uint32_t code = first & (0xff >> (length + 1));

	if (first < 0xc2 || first > 0xf4 || text.length < length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (!is_utf8_trail(text.at[i]))
			return 0;
		code = code << 6 | ((unsigned char)text.at[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return length;
}

static bool
ascii_may_stay(char byte, unsigned allowed, const char *refused)
{
	if (byte == ' ')
		return (allowed & PRINTABLE_BLANK) != 0;
	return byte > ' ' && byte < 127 && (refused == NULL || strchr(refused, byte) == NULL);
}

void
printable_append(struct buffer *out, struct span text, unsigned allowed, const char *refused)
{
	while (text.length > 0) {
		size_t taken = 1;

		if (ascii_may_stay(text.at[0], allowed, refused)) {
			buffer_append_char(out, text.at[0]);
		} else if ((allowed & PRINTABLE_UTF8) != 0 && utf8_length(text) > 0) {
			taken = utf8_length(text);
			buffer_append(out, text.at, taken);
		} else {
			buffer_append_char(out, '?');
		}
		text.at += taken;
		text.length -= taken;
	}
}

struct span
printable_cut(struct span text, size_t length)
{
	if (text.length <= length)
		return text;
	/* Invalid text may have any number of trail bytes; a character has no more than three. */
	for (size_t back = 0; back < 4 && back <= length; back++)
		if (!is_utf8_trail(text.at[length - back]))
			return (struct span){text.at, length - back};
	return (struct span){text.at, length};
}
