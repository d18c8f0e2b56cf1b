/* The one place where untrusted text is made safe to show. */
#include <string.h>

#include "base/escape.h"

/* Decodes one UTF-8 sequence (no surrogates, no overlong forms, RFC 3629); returns its length, 0 when invalid. */
static size_t
decode_utf8(const unsigned char *at, size_t left, uint32_t *codepoint)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;

	if (length == 0 || length > left)
		return 0;
	*codepoint = length == 1 ? at[0] : at[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*codepoint = *codepoint << 6 | (at[i] & 0x3fu);
	}
	if (*codepoint < smallest[length] || *codepoint > 0x10ffff || (*codepoint >= 0xd800 && *codepoint <= 0xdfff))
		return 0;
	return length;
}

/* C1 controls, line separators, bidirectional marks, zero-width characters, byte order mark, tag characters. */
static bool
is_deceptive(uint32_t codepoint)
{
	return (codepoint >= 0x80 && codepoint < 0xa0) || codepoint == 0x061c || (codepoint >= 0x200b && codepoint <= 0x200f) ||
	    (codepoint >= 0x2028 && codepoint <= 0x202e) || (codepoint >= 0x2060 && codepoint <= 0x206f) || codepoint == 0xfeff ||
	    (codepoint >= 0xfff9 && codepoint <= 0xfffb) || (codepoint >= 0xe0000 && codepoint <= 0xe007f);
}

static bool
is_plain(uint32_t codepoint)
{
	if (codepoint < 0x80)
		return codepoint >= ' ' && codepoint != 0x7f && codepoint != '"' && codepoint != '\\';
	return !is_deceptive(codepoint);
}

/* Returns true when anything was escaped. */
static bool
escape_bytes(struct buffer *out, struct span value)
{
	const unsigned char *at = (const unsigned char *)value.at;
	size_t left = value.length;
	bool escaped = false;

	while (left > 0) {
		uint32_t codepoint = 0;
		size_t length = decode_utf8(at, left, &codepoint);

		if (length > 0 && is_plain(codepoint)) {
			buffer_append(out, at, length);
		} else {
			escaped = true;
			if (length == 0)
				buffer_printf(out, "\\x%02x", at[0]);
			else if (codepoint == '"' || codepoint == '\\')
				buffer_printf(out, "\\%c", (int)codepoint);
			else if (codepoint < 0x80)
				buffer_printf(out, "\\x%02x", codepoint);
			else
				buffer_printf(out, "\\u{%04x}", codepoint);
		}
		at += length > 0 ? length : 1;
		left -= length > 0 ? length : 1;
	}
	return escaped;
}

void
escape_append(struct buffer *out, struct span value)
{
	escape_bytes(out, value);
}

void
escape_append_token(struct buffer *out, struct span value)
{
	struct buffer text = {0};
	bool quote = escape_bytes(&text, value) || value.length == 0 || memchr(value.at, ' ', value.length) != NULL ||
	    memchr(value.at, '=', value.length) != NULL;

	if (quote)
		buffer_append_char(out, '"');
	buffer_append_span(out, span_make(text.data, text.length));
	if (quote)
		buffer_append_char(out, '"');
	buffer_free(&text);
}

void
escape_append_json(struct buffer *out, struct span value)
{
	const unsigned char *at = (const unsigned char *)value.at;
	size_t left = value.length;

	buffer_append_char(out, '"');
	while (left > 0) {
		uint32_t codepoint = 0;
		size_t length = decode_utf8(at, left, &codepoint);

		if (length == 0)
			buffer_append_string(out, "\xef\xbf\xbd");
		else if (is_plain(codepoint))
			buffer_append(out, at, length);
		else if (codepoint == '"' || codepoint == '\\')
			buffer_printf(out, "\\%c", (int)codepoint);
		else if (codepoint <= 0xffff)
			buffer_printf(out, "\\u%04x", codepoint);
		else
			buffer_printf(out, "\\u%04x\\u%04x", 0xd800 + ((codepoint - 0x10000) >> 10), 0xdc00 + ((codepoint - 0x10000) & 0x3ff));
		at += length > 0 ? length : 1;
		left -= length > 0 ? length : 1;
	}
	buffer_append_char(out, '"');
}

char *
escape_copy(const char *value)
{
	struct buffer out = {0};

	escape_append(&out, span_of(value));
	return buffer_take_string(&out);
}
