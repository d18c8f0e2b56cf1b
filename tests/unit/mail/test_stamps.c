/* Golden Received and Return-Path fields, and what a hostile client may try to write into them. */
#include "suite.h"

#include <string.h>

#include "mail/stamps.h"

#define WALL_US INT64_C(1795292104123456) /* Sat, 21 Nov 2026 20:15:04 UTC */

static struct received_stamp
stamp_make(const char *client)
{
	struct received_stamp stamp = {
		.helo = "mail.example.com",
		.reverse_name = "out1.example.com",
		.hostname = "mx1.example.org",
		.extended = true,
		.queue_id = "0123456789ABCD",
		.recipient = "user@example.org",
		.wall_us = WALL_US,
	};

	ck_assert(ip_address_parse(client, &stamp.client));
	return stamp;
}

static void
check_received(const struct received_stamp *stamp, const char *expected)
{
	struct buffer out = {0};

	stamp_received(&out, stamp);
	ck_assert_str_eq(buffer_text(&out), expected);
	buffer_free(&out);
}

START_TEST(received_golden)
{
	struct received_stamp stamp = stamp_make("192.0.2.7");

	check_received(&stamp,
	    "Received: from mail.example.com (out1.example.com [192.0.2.7])\r\n"
	    "\tby mx1.example.org (postern) with ESMTP id 0123456789ABCD\r\n"
	    "\tfor <user@example.org>; Sat, 21 Nov 2026 20:15:04 +0000\r\n");
}
END_TEST

START_TEST(received_without_name_and_recipient)
{
	struct received_stamp stamp = stamp_make("2001:db8::1");

	stamp.helo = "[IPv6:2001:db8::1]";
	stamp.reverse_name = NULL;
	stamp.recipient = NULL;
	stamp.extended = false;
	check_received(&stamp,
	    "Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n"
	    "\tby mx1.example.org (postern) with SMTP id 0123456789ABCD;\r\n"
	    "\tSat, 21 Nov 2026 20:15:04 +0000\r\n");
}
END_TEST

START_TEST(received_tls_and_no_address)
{
	struct received_stamp stamp = stamp_make("192.0.2.7");

	stamp.tls = true;
	stamp.tls_description = "using TLSv1.3 with cipher X (a)";
	stamp.client.family = 0;
	check_received(&stamp,
	    "Received: from mail.example.com (out1.example.com)\r\n"
	    "\t(using TLSv1.3 with cipher X ?a?)\r\n"
	    "\tby mx1.example.org (postern) with ESMTPS id 0123456789ABCD\r\n"
	    "\tfor <user@example.org>; Sat, 21 Nov 2026 20:15:04 +0000\r\n");
}
END_TEST

START_TEST(received_cannot_be_broken_out_of)
{
	struct received_stamp stamp = stamp_make("192.0.2.7");

	stamp.helo = "x\r\nBcc: y (a [10.0.0.1]); \x01\xff\xc3\xbc";
	stamp.reverse_name = "r)\n\t(";
	stamp.recipient = "a\r\n b\"@x";
	check_received(&stamp,
	    "Received: from x??Bcc:?y??a?[10.0.0.1]??????? (r???? [192.0.2.7])\r\n"
	    "\tby mx1.example.org (postern) with ESMTP id 0123456789ABCD\r\n"
	    "\tfor <a?? b\"@x>; Sat, 21 Nov 2026 20:15:04 +0000\r\n");
}
END_TEST

START_TEST(received_utf8)
{
	struct received_stamp stamp = stamp_make("192.0.2.7");

	stamp.utf8 = true;
	stamp.helo = "m\xc3\xbcller.example\xff\xc2\x85";
	stamp.recipient = "\xc3\xbc@example.org";
	check_received(&stamp,
	    "Received: from m\xc3\xbcller.example??? (out1.example.com [192.0.2.7])\r\n"
	    "\tby mx1.example.org (postern) with UTF8SMTP id 0123456789ABCD\r\n"
	    "\tfor <\xc3\xbc@example.org>; Sat, 21 Nov 2026 20:15:04 +0000\r\n");
}
END_TEST

START_TEST(received_lines_are_short)
{
	struct received_stamp stamp = stamp_make("192.0.2.7");
	struct buffer out = {0};
	char helo[3000];

	memset(helo, 'a', sizeof helo);
	helo[sizeof helo - 1] = '\0';
	stamp.helo = stamp.reverse_name = helo;
	stamp_received(&out, &stamp);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "\r\n"));
	ck_assert_int_lt(strstr(buffer_text(&out), "\r\n") - buffer_text(&out), 998);
	buffer_free(&out);
}
END_TEST

static void
check_return_path(const char *sender, const char *expected)
{
	struct buffer out = {0};

	stamp_return_path(&out, sender);
	ck_assert_str_eq(buffer_text(&out), expected);
	buffer_free(&out);
}

START_TEST(return_path)
{
	check_return_path("", "Return-Path: <>\r\n");
	check_return_path("a@example.com", "Return-Path: <a@example.com>\r\n");
	check_return_path("\"a b\"@example.com", "Return-Path: <\"a b\"@example.com>\r\n");
	check_return_path("\xc3\xbc@example.com", "Return-Path: <\xc3\xbc@example.com>\r\n");
	check_return_path("a\r\nX: y\t\x7f@b\xff", "Return-Path: <a??X: y??@b?>\r\n");
}
END_TEST

START_TEST(protocols)
{
	ck_assert_str_eq(stamp_protocol(false, false, false, false), "SMTP");
	ck_assert_str_eq(stamp_protocol(false, true, false, false), "SMTP");
	ck_assert_str_eq(stamp_protocol(true, false, false, false), "ESMTP");
	ck_assert_str_eq(stamp_protocol(true, true, false, false), "ESMTPS");
	ck_assert_str_eq(stamp_protocol(true, false, true, false), "ESMTPA");
	ck_assert_str_eq(stamp_protocol(true, true, true, false), "ESMTPSA");
	ck_assert_str_eq(stamp_protocol(true, false, false, true), "UTF8SMTP");
	ck_assert_str_eq(stamp_protocol(true, true, false, true), "UTF8SMTPS");
	ck_assert_str_eq(stamp_protocol(true, false, true, true), "UTF8SMTPA");
	ck_assert_str_eq(stamp_protocol(true, true, true, true), "UTF8SMTPSA");
}
END_TEST

SUITE_MAIN("stamps", received_golden, received_without_name_and_recipient, received_tls_and_no_address, received_cannot_be_broken_out_of,
    received_utf8, received_lines_are_short, return_path, protocols)
