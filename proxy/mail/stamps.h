/* The header fields we add: Received (RFC 5321 4.4, RFC 3848, RFC 6531) and Return-Path. Pure. */
#ifndef POSTERN_MAIL_STAMPS_H
#define POSTERN_MAIL_STAMPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"

struct received_stamp {
	const char *helo; /* as the client said it */
	const char *reverse_name; /* forward-confirmed name, or NULL = unknown */
	struct ip_address client;
	const char *hostname; /* ours */
	bool extended; /* EHLO */
	bool tls;
	bool authenticated;
	bool utf8; /* SMTPUTF8 transaction */
	const char *tls_description; /* "using TLSv1.3 with cipher ..." or NULL */
	const char *queue_id;
	const char *recipient; /* the only recipient, or NULL when there are several */
	int64_t wall_us;
};

/* Appends "Received: from HELO (NAME [IP])\r\n\tby HOST (postern) with ESMTP id ID\r\n\tfor <RCPT>; DATE\r\n". Untrusted parts cannot
 * break out: anything that is not a visible character becomes '?'. */
void stamp_received(struct buffer *out, const struct received_stamp *stamp);
/* "Return-Path: <sender>\r\n" */
void stamp_return_path(struct buffer *out, const char *sender);
/* "with" keyword: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP, ... */
const char *stamp_protocol(bool extended, bool tls, bool authenticated, bool utf8);

#endif
