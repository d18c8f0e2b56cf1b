/* Writes the header fields we add. Owns nothing; never lets a client's words become structure. */
#include "mail/stamps.h"

#include "base/clock.h"
#include "mail/printable.h"

/* What has a meaning in a Received field: a client's name must not look like a comment, a second clause or a date. */
#define STRUCTURE "()<>;,\"\\@"
#define NAME_MAX_BYTES 255 /* RFC 5321 4.5.3.1.2; keeps the line below 998 bytes */

const char *
stamp_protocol(bool extended, bool tls, bool authenticated, bool utf8)
{
	/* RFC 3848 for ESMTP, RFC 6531 4.3 for UTF8SMTP. HELO has one word only. */
	static const char *const words[2][2][2] = {
		{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
		{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	};

	return extended ? words[utf8][tls][authenticated] : "SMTP";
}

static void
append_name(struct buffer *out, const char *name, bool utf8)
{
	if (name == NULL || name[0] == '\0')
		name = "unknown";
	printable_append(out, printable_cut(span_of(name), NAME_MAX_BYTES), utf8 ? PRINTABLE_UTF8 : 0, STRUCTURE);
}

/* An address literal as in RFC 5321 4.1.3. */
static void
append_client(struct buffer *out, const struct ip_address *client)
{
	char text[IP_ADDRESS_TEXT_SIZE];

	if (client->family == 0)
		return;
	buffer_printf(out, " [%s%s]", client->family == 6 ? "IPv6:" : "", ip_address_format(client, text));
}

void
stamp_received(struct buffer *out, const struct received_stamp *stamp)
{
	char date[CLOCK_RFC5322_SIZE];
	unsigned utf8 = stamp->utf8 ? PRINTABLE_UTF8 : 0;

	buffer_append_string(out, "Received: from ");
	append_name(out, stamp->helo, stamp->utf8);
	buffer_append_string(out, " (");
	append_name(out, stamp->reverse_name, false);
	append_client(out, &stamp->client);
	buffer_append_string(out, ")\r\n\t");
	if (stamp->tls_description != NULL) {
		buffer_append_char(out, '(');
		printable_append(out, span_of(stamp->tls_description), PRINTABLE_BLANK, "()\\");
		buffer_append_string(out, ")\r\n\t");
	}
	buffer_printf(out, "by %s (postern) with %s id %s", stamp->hostname,
	    stamp_protocol(stamp->extended, stamp->tls, stamp->authenticated, stamp->utf8), stamp->queue_id);
	clock_format_rfc5322(stamp->wall_us, date);
	if (stamp->recipient != NULL) {
		/* A blank is possible in a quoted local part. */
		buffer_append_string(out, "\r\n\tfor <");
		printable_append(out, span_of(stamp->recipient), PRINTABLE_BLANK | utf8, NULL);
		buffer_printf(out, ">; %s\r\n", date);
	} else {
		buffer_printf(out, ";\r\n\t%s\r\n", date);
	}
}

void
stamp_return_path(struct buffer *out, const char *sender)
{
	buffer_append_string(out, "Return-Path: <");
	printable_append(out, span_of(sender), PRINTABLE_BLANK | PRINTABLE_UTF8, NULL);
	buffer_append_string(out, ">\r\n");
}
