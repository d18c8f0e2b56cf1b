/* One DNS answer taken out of wire format, bounded. Pure. */
#ifndef POSTERN_DNS_ANSWER_H
#define POSTERN_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_ANSWER_RECORDS_MAX 128 /* records kept of one answer; with more TXT records than that it is too large */
#define DNS_ANSWER_BYTES_MAX (64u << 10)

#define DNS_STATUSES(X) \
	X(DNS_STATUS_OK, "ok") /* NOERROR, perhaps without records of that type */ \
	X(DNS_STATUS_NAME_ERROR, "nxdomain") \
	X(DNS_STATUS_SERVER_FAILURE, "servfail") \
	X(DNS_STATUS_TIMEOUT, "timeout") \
	X(DNS_STATUS_MALFORMED, "malformed") \
	X(DNS_STATUS_TOO_LARGE, "too large") \
	X(DNS_STATUS_BOGUS, "dnssec bogus")

enum dns_status {
#define X(name, text) name,
	DNS_STATUSES(X)
#undef X
};
const char *dns_status_text(enum dns_status status);

enum { DNS_TYPE_A = 1, DNS_TYPE_NS = 2, DNS_TYPE_CNAME = 5, DNS_TYPE_PTR = 12, DNS_TYPE_MX = 15, DNS_TYPE_TXT = 16, DNS_TYPE_AAAA = 28 };

struct dns_record {
	uint8_t *data; /* A: 4 bytes, AAAA: 16; PTR, CNAME, NS, MX host: name as text in presentation form without final dot ("" is the root: a
	                * null MX, RFC 7505), NUL-terminated; other types: the record data as it came, NUL-terminated;
	                * TXT: the strings of the record joined, any bytes, NUL-terminated for convenience */
	size_t length; /* without the NUL */
	uint16_t preference; /* MX */
};

struct dns_answer {
	enum dns_status status;
	uint16_t type;
	char *name; /* as asked */
	struct dns_record *records; /* of the asked type, at the end of the CNAME chain */
	size_t count;
	uint32_t ttl; /* seconds, the smallest */
	bool secure; /* DNSSEC validated */
};

/* From a wire-format response packet to exactly this question. Fills the answer, whatever was in it (nothing is freed): status (from the
 * packet's rcode), records and ttl. Follows CNAME inside the answer section. Never reads outside `packet`. */
void dns_answer_parse(const uint8_t *packet, size_t length, const char *name, uint16_t type, struct dns_answer *answer);
/* An answer without records: a question that failed before or without a packet. */
void dns_answer_init(struct dns_answer *answer, enum dns_status status, const char *name, uint16_t type);
void dns_answer_copy(struct dns_answer *to, const struct dns_answer *from);
void dns_answer_clear(struct dns_answer *answer);

#endif
