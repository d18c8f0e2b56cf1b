/* DNS answers out of a text file, for runs that must be reproducible (check-message --dns). Pure: the caller reads the file.
 *
 * A line: name TAB type TAB data. Lines that are empty or begin with '#' say nothing.
 *   example.org   TXT   v=spf1 mx -all            the rest of the line as it is; or strings in double quotes, which are joined,
 *                                                 with \" \\ and \DDD inside
 *   example.org   MX    10 mail.example.org       "0 ." is a null MX
 *   www.x.org     CNAME x.org                     followed for every other type
 *   broken.org    TXT   !SERVFAIL                 !NXDOMAIN, !SERVFAIL, !TIMEOUT, !MALFORMED, !TOOLARGE, !BOGUS; with * as type: whatever
 *                                                 is asked. !NODATA: the name is there, without such records
 * A name that no line has does not exist; one that is there with other types only has no records. */
#ifndef POSTERN_DNS_ZONE_FILE_H
#define POSTERN_DNS_ZONE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "dns/answer.h"

struct zone_file; /* opaque */

/* NULL when a line is wrong: `problem` then says which and why. */
struct zone_file *zone_file_parse(struct span text, struct buffer *problem);
void zone_file_free(struct zone_file **zone);
/* Fills the answer, whatever was in it (nothing is freed). The TTL is always the same: 300 seconds. */
void zone_file_answer(const struct zone_file *zone, const char *name, uint16_t type, struct dns_answer *answer);
/* True when there is a line of exactly this name and type. */
bool zone_file_mentions(const struct zone_file *zone, const char *name, uint16_t type);

#endif
