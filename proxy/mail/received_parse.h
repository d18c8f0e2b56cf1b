/* Who handed a message over, out of a Received field (RFC 5321 4.4) in the forms that mail servers really write: Postfix, Sendmail,
 * Exim, qmail, Exchange. Only the address that the server itself saw counts, never what the client called itself. Pure. */
#ifndef POSTERN_MAIL_RECEIVED_PARSE_H
#define POSTERN_MAIL_RECEIVED_PARSE_H

#include "base/buffer.h"
#include "base/network.h"

enum received_from_kind {
	RECEIVED_FROM_CLIENT, /* another host, with its address */
	RECEIVED_FROM_INSIDE, /* no "from": made, or passed on, inside the host that wrote the field */
	RECEIVED_FROM_UNKNOWN, /* there is a "from", and no address in it that can be believed */
};

struct received_from {
	enum received_from_kind kind;
	struct ip_address client; /* family 0 unless kind is RECEIVED_FROM_CLIENT */
	struct span helo; /* what the client called itself, as far as the field tells; else empty. Points into the value */
};

/* `value` is what stands behind the colon, with its folding. */
void received_from_parse(struct span value, struct received_from *from);

#endif
