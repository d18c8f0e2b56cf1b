/* Writes the header fields of a message in quarantine. Owns nothing; never lets a client's words become structure. */
#include "deliver/quarantine.h"

#include <string.h>

#include "base/clock.h"
#include "mail/printable.h"

#define VALUE_MAX 900 /* bytes of a value; a line has at most 998 (RFC 5322 2.1.1) */
#define LINE_WANTED 78

static void
append_address(struct buffer *out, const char *name, const char *address)
{
	buffer_printf(out, "%s: <", name);
	/* A blank is possible in a quoted local part. */
	printable_append(out, printable_cut(span_of(address), VALUE_MAX), PRINTABLE_BLANK | PRINTABLE_UTF8, NULL);
	buffer_append_string(out, ">\r\n");
}

/* Folds before a blank where the next word would go beyond the wanted line. A word alone may be longer. */
static void
append_folded(struct buffer *out, const char *name, const char *text)
{
	size_t column = strlen(name) + 1;

	buffer_printf(out, "%s:", name);
	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (word > 0) {
			if (column + 1 + word > LINE_WANTED && column > strlen(name) + 1) {
				buffer_append_string(out, "\r\n");
				column = 0;
			}
			buffer_append_char(out, ' ');
			buffer_append(out, text, word);
			column += 1 + word;
		}
		text += word + (text[word] == ' ');
	}
	buffer_append_string(out, "\r\n");
}

static void
append_reason(struct buffer *out, const char *reason)
{
	struct buffer text = {0};

	printable_append(&text, printable_cut(span_of(reason != NULL ? reason : ""), VALUE_MAX), PRINTABLE_BLANK, NULL);
	/* A field of blanks alone is obsolete syntax (RFC 5322 4.2). */
	append_folded(out, "X-Postern-Reason", buffer_text(&text)[strspn(buffer_text(&text), " ")] != '\0' ? buffer_text(&text) : "none given");
	buffer_free(&text);
}

void
quarantine_append_fields(struct buffer *out, const char *queue_id, const struct envelope *envelope, const struct ip_address *client,
    const char *reason, int64_t wall_us)
{
	char address[IP_ADDRESS_TEXT_SIZE] = "unknown", time[CLOCK_RFC3339_SIZE];

	buffer_append_string(out, "X-Postern-Queue-ID: ");
	printable_append(out, printable_cut(span_of(queue_id), VALUE_MAX), 0, NULL);
	buffer_append_string(out, "\r\n");
	append_address(out, "X-Postern-Sender", envelope->sender != NULL ? envelope->sender : "");
	for (size_t i = 0; i < envelope->recipient_count; i++)
		append_address(out, "X-Postern-Recipient", envelope->recipients[i].address);
	if (client != NULL && client->family != 0)
		ip_address_format(client, address);
	buffer_printf(out, "X-Postern-Client: %s\r\n", address);
	append_reason(out, reason);
	clock_format_rfc3339(wall_us, time);
	buffer_printf(out, "X-Postern-Time: %s\r\n", time);
}
