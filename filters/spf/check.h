/* One identity of a message under check: what it is, who judges it, what came of it, and how that is said to people and programs. */
#ifndef POSTERN_FILTERS_SPF_CHECK_H
#define POSTERN_FILTERS_SPF_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "filters/filter.h"

#include "filters/spf/spf.h"

enum spf_identity { SPF_IDENTITY_MAIL_FROM, SPF_IDENTITY_HELO };

#define SPF_CHECKS_MAX 2

struct spf_check {
	enum spf_identity identity;
	char *local_part; /* NULL: postmaster (RFC 7208 2.4, 4.3) */
	char *domain; /* A-labels; as the client said it when it is no domain name */
	struct spf_outcome outcome;
};

/* The identities of the job: MAIL FROM's first, if there is one, then the HELO name if it is wanted or is all there is. Returns how many. */
size_t spf_checks_make(const struct filter_job *job, bool helo_wanted, struct spf_check checks[SPF_CHECKS_MAX]);
void spf_checks_clear(struct spf_check *checks, size_t count);

/* The fact about it. */
void spf_check_record(const struct filter_job *job, const struct spf_check *check, struct fact_record *record);
/* "MAIL FROM example.com: fail by -all: the client may not send for the domain": one printable line, for log and trace. */
void spf_check_append_reason(const struct filter_job *job, const struct spf_check *check, struct buffer *out);
/* What the client is told: one line, and, for a fail that the domain explains, two more (RFC 7208 8.4). Printable. */
void spf_check_append_reply(const struct filter_job *job, const struct spf_check *check, struct buffer *out);
/* The value of a Received-SPF field (RFC 7208 9.1), folded. */
void spf_check_append_stamp(const struct filter_job *job, const struct spf_check *check, struct buffer *out);

#endif
