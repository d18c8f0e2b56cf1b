/* The fields in front of a message in quarantine, to the byte; and what a forger makes of them. */
#include "suite.h"

#include "base/memory.h"
#include "deliver/quarantine.h"

#define TIME_US (INT64_C(1700000000) * 1000000 + 123456)

/* The fields as text; the caller frees. */
static char *
fields(const char *sender, const char *recipient, const char *address, const char *reason)
{
	struct envelope envelope = {.sender = (char *)sender};
	struct ip_address client = {0};
	struct buffer out = {0};
	if (address != NULL)
		ck_assert(ip_address_parse(address, &client));
	envelope_add_recipient(&envelope, recipient, "example.org");
	quarantine_append_fields(&out, "4K7QZ2M9XW3B", &envelope, &client, reason, TIME_US);
	envelope.sender = NULL;
	envelope_clear(&envelope);
	return buffer_take_string(&out);
}

START_TEST(plain)
{
	char *text = fields("s@example.com", "u@example.org", "2001:db8::7", "SPF: fail (example.com does not send from there)");
	ck_assert_str_eq(text,
	    "X-Postern-Queue-ID: 4K7QZ2M9XW3B\r\n"
	    "X-Postern-Sender: <s@example.com>\r\n"
	    "X-Postern-Recipient: <u@example.org>\r\n"
	    "X-Postern-Client: 2001:db8::7\r\n"
	    "X-Postern-Reason: SPF: fail (example.com does not send from there)\r\n"
	    "X-Postern-Time: 2023-11-14T22:13:20.123Z\r\n");
	memory_free(&text);
}
END_TEST

START_TEST(absent)
{
	char *text = fields("", "postmaster", NULL, NULL);
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Sender: <>\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Recipient: <postmaster>\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Client: unknown\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Reason: none given\r\n"));
	memory_free(&text);
	text = fields(NULL, "u@example.org", NULL, "   ");
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Reason: none given\r\n"));
	memory_free(&text);
}
END_TEST

START_TEST(forged)
{
	char *text = fields("\"a\r\nX-Postern-Reason: none\"@example.com", "\"b c\"@example.org", "192.0.2.7", "one\r\n\r\ntwo\tthree\x01 \xe2\x80\xae");
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Sender: <\"a??X-Postern-Reason: none\"@example.com>\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Recipient: <\"b c\"@example.org>\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "X-Postern-Reason: one????two?three? ???\r\n"));
	memory_free(&text);
}
END_TEST

START_TEST(folded)
{
	char reason[3000] = "", *text;
	for (int i = 0; i < 100; i++)
		strcat(reason, "reason  ");
	text = fields("s@example.com", "u@example.org", "192.0.2.7", reason);
	unsigned lines = 0, words = 0;
	for (char *line = strstr(text, "X-Postern-Reason:"), *end; line != NULL && (lines == 0 || line[0] == ' '); line = end + 2) {
		end = strstr(line, "\r\n");
		ck_assert_int_le(end - line, 78);
		*end = '\0';
		for (char *word = strstr(line, "reason"); word != NULL; word = strstr(word + 1, "reason"))
			words++;
		lines++;
	}
	ck_assert_uint_eq(words, 100);
	ck_assert_uint_gt(lines, 8);
	memory_free(&text);
	/* A word beyond all lines is cut before a line becomes illegal. */
	memset(reason, 'x', sizeof reason - 1);
	text = fields("s@example.com", "u@example.org", "192.0.2.7", reason);
	ck_assert_uint_eq(strspn(strstr(text, "xx"), "x"), 900);
	memory_free(&text);
}
END_TEST

SUITE_MAIN("deliver/quarantine", plain, absent, forged, folded)
