/* What stands in front of a message in quarantine: who it is from and to, from where and why it is here, one header field each, so that
 * any mail reader shows it and a script can release it. Pure. */
#ifndef POSTERN_DELIVER_QUARANTINE_H
#define POSTERN_DELIVER_QUARANTINE_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/network.h"
#include "mail/envelope.h"

/* Appends, in this order, X-Postern-Queue-ID, -Sender, -Recipient (one for each), -Client, -Reason and -Time; all that follows the last one
 * is the message as received. Addresses stand in angle brackets, unfolded; the reason is folded where it is long. Whatever the values, no
 * line can be broken and no field forged: what is not printable becomes '?'. */
void quarantine_append_fields(struct buffer *out, const char *queue_id, const struct envelope *envelope, const struct ip_address *client,
    const char *reason, int64_t wall_us);

#endif
