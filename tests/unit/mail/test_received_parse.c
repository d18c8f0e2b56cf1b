/* Golden: what each mail server writes, and what a client may try to be taken for. */
#include <string.h>

#include "base/memory.h"
#include "mail/received_parse.h"
#include "suite.h"

static void
expect(const char *value, enum received_from_kind kind, const char *address, const char *helo)
{
	struct received_from from;
	struct ip_address expected = {0};
	char text[IP_ADDRESS_TEXT_SIZE];

	received_from_parse(span_of(value), &from);
	ck_assert_msg(from.kind == kind, "%s: kind %d, expected %d", value, from.kind, kind);
	if (address != NULL)
		ck_assert(ip_address_parse(address, &expected));
	ck_assert_msg(ip_address_equal(&from.client, &expected), "%s: %s", value, ip_address_format(&from.client, text));
	if (!span_is(from.helo, helo))
		ck_abort_msg("%s: helo %.*s, expected %s", value, (int)from.helo.length, from.helo.at, helo);
}

static void
expect_client(const char *value, const char *address, const char *helo)
{
	expect(value, RECEIVED_FROM_CLIENT, address, helo);
}

START_TEST(servers)
{
	expect_client(" from mail.example.com (mail.example.com [192.0.2.7])\r\n\tby mx.example.org (Postfix) with ESMTP id 4F1\r\n\tfor <u@example.org>; "
	    "Sat, 21 Nov 2026 20:15:04 +0000 (UTC)", "192.0.2.7", "mail.example.com");
	expect_client("from x (unknown [IPv6:2001:db8::25])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\t"
	    "(No client certificate requested)\r\n\tby mx", "2001:db8::25", "x");
	expect_client("from x.example (root@x.example [192.0.2.7] (may be forged)) by mx (8.17/8.17) with ESMTP id 1", "192.0.2.7", "x.example");
	expect_client("from x.example ([192.0.2.7]:4711 helo=hello.example) by mx with esmtp (Exim 4.96) id 1", "192.0.2.7", "hello.example");
	expect_client("from [192.0.2.7] (helo=hello.example) by mx with esmtp", "192.0.2.7", "hello.example");
	expect_client("from [192.0.2.7] (port=4711 helo=hello.example)\r\n by mx", "192.0.2.7", "hello.example");
}
END_TEST

START_TEST(more_servers)
{
	expect_client("from unknown (HELO hello.example) (192.0.2.7)\n  by mx with SMTP", "192.0.2.7", "hello.example");
	expect_client("from outlook.example (192.0.2.7) by mx (10.1.1.1) with Microsoft SMTP Server id 15", "192.0.2.7", "outlook.example");
	expect_client("from mail.example ([2001:db8::1]) by mx (Dovecot) with LMTP", "2001:db8::1", "mail.example");
	expect_client("from mail.example (mail.example. [192.0.2.7]) by mx.google.example with ESMTPS id a", "192.0.2.7", "mail.example");
	expect_client("from mail.example (mail.example [::ffff:192.0.2.7]) by mx", "192.0.2.7", "mail.example");
	expect_client("FROM\tx\t(y\t[192.0.2.7])", "192.0.2.7", "x");
}
END_TEST

START_TEST(inside)
{
	expect("by mx.example.org (Postfix, from userid 0) id 4F1; Sat, 21 Nov 2026 20:15:04 +0000", RECEIVED_FROM_INSIDE, NULL, "");
	expect("(qmail 4711 invoked from network); 21 Nov 2026 20:15:04 -0000", RECEIVED_FROM_INSIDE, NULL, "");
	expect("", RECEIVED_FROM_INSIDE, NULL, "");
	expect("from", RECEIVED_FROM_UNKNOWN, NULL, "");
	expect("fromage (x [192.0.2.7])", RECEIVED_FROM_INSIDE, NULL, "");
}
END_TEST

/* Only the server's own words count. */
START_TEST(forgeries)
{
	expect_client("from [198.51.100.1] (mail.example [192.0.2.7]) by mx", "192.0.2.7", "[198.51.100.1]");
	expect_client("from x(y[198.51.100.1]) (mail.example [192.0.2.7]) by mx", "192.0.2.7", "x(y[198.51.100.1])");
	expect_client("from x (IDENT:[198.51.100.1]@mail.example [192.0.2.7]) by mx", "192.0.2.7", "x");
	expect_client("from x ([192.0.2.7] helo=[198.51.100.1]) by mx", "192.0.2.7", "[198.51.100.1]");
	expect_client("from x (y [192.0.2.7]) (Client CN \"z [198.51.100.1]\", Issuer \"i\" (not verified)) by mx", "192.0.2.7", "x");
	expect_client("from x (HELO [198.51.100.1]) (192.0.2.7) by mx", "192.0.2.7", "[198.51.100.1]");
	expect_client("from x (y [192.0.2.7] (z [198.51.100.1])) by mx", "192.0.2.7", "x");
	expect("from [198.51.100.1] by mx", RECEIVED_FROM_UNKNOWN, NULL, "[198.51.100.1]");
	expect("from [198.51.100.1] (unix socket) by mx", RECEIVED_FROM_UNKNOWN, NULL, "[198.51.100.1]");
	expect("from x by mx (y [198.51.100.1])", RECEIVED_FROM_UNKNOWN, NULL, "x");
	expect("from x (y [not an address]) by mx", RECEIVED_FROM_UNKNOWN, NULL, "x");
	expect("from x (y [192.0.2.7", RECEIVED_FROM_UNKNOWN, NULL, "x");
	expect("from x (", RECEIVED_FROM_UNKNOWN, NULL, "x");
	expect("from x (\\", RECEIVED_FROM_UNKNOWN, NULL, "x");
	expect("from x ([])", RECEIVED_FROM_UNKNOWN, NULL, "x");
}
END_TEST

SUITE_MAIN("received_parse", servers, more_servers, inside, forgeries)
