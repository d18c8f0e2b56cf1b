/* What a dry run found, for people and for programs. */
#ifndef POSTERN_CLI_DRY_RUN_PRINT_H
#define POSTERN_CLI_DRY_RUN_PRINT_H

#include "base/buffer.h"
#include "mail/header.h"
#include "cli/dry_run.h"

/* A judgement of the past beside the new one. */
struct dry_run_recorded {
	const char *queue_id; /* NULL: none */
	const char *verdict;
	size_t missing; /* questions the trace has no answer to */
};

/* In words; every value escaped. `headers` of the message: what the edits leave of them is shown. */
void dry_run_print(const struct dry_run *run, const struct header_block *headers, const struct dry_run_recorded *recorded, struct buffer *out);
/* One JSON object on one line. Scripts depend on its names:
 *   verdict    "accept", "reject", "tempfail", "discard" or "quarantine"
 *   reply      the SMTP reply, on one line: "550 5.7.23 ..."
 *   facts      {"spf": {"result": ..., ...}, ...}: those of filters/, as they name them
 *   headers    [{"name", "value"}]: fields the message did not have, from the top down, values unfolded
 *   edits      [{"filter", "kind", "name", "value", "index", "parameters"}]: milter vocabulary (mail/edits.h); absent members do not apply
 *   filters    [{"name", "verdict", "reason", "wall_us", "restarts"}]: verdict null = not run
 *   questions  [{"name", "type", "answer"}]: answer a list of strings as in a zone file (dns/zone_file.h): one for each record, or, if there are
 *              none, "!NXDOMAIN", "!NODATA", "!SERVFAIL", "!TIMEOUT", ...
 *   recorded   {"queue_id", "verdict", "missing"}: only when one is given */
void dry_run_print_json(const struct dry_run *run, const struct header_block *headers, const struct dry_run_recorded *recorded, struct buffer *out);

#endif
