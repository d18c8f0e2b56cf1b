/* Questions of one transaction and their frozen answers. What was answered once stays so, failures too: a filter run twice sees the
 * same. Bounded in questions and bytes; what is beyond gets an answer that says so. Pure; zeroed = empty. */
#ifndef POSTERN_DNS_TABLE_H
#define POSTERN_DNS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "dns/answer.h"
#include "wire/frame.h"

#define DNS_TABLE_QUESTIONS_MAX 300
#define DNS_TABLE_BYTES_MAX (512u << 10) /* of record data, each record counted with DNS_TABLE_RECORD_BYTES more */
#define DNS_TABLE_RECORD_BYTES 16

struct dns_table_entry {
	char *key; /* private: what two spellings of one question have in common */
	size_t key_length;
	bool answered;
	struct dns_answer answer; /* an open question: its name and type */
};

struct dns_table {
	struct dns_table_entry *entries; /* in the order of asking */
	size_t count;
	size_t open; /* entries not answered yet */
	size_t bytes; /* private */
};

/* The answer; NULL when it is not known yet. Names: ASCII in any case, with or without final dot. A name that cannot be one is answered
 * DNS_STATUS_MALFORMED and an unknown question to a full table DNS_STATUS_TOO_LARGE, both without records. */
const struct dns_answer *dns_table_find(const struct dns_table *table, const char *name, uint16_t type);
/* Records an open question. False: it is there already (open or answered), or dns_table_find answers it without. */
bool dns_table_ask(struct dns_table *table, const char *name, uint16_t type);
/* Copies the answer to its name and type, asked before or not. False: that was answered already (the first answer stays), the table is
 * full, or the name is none. An answer or a table beyond its bytes keeps the answer as DNS_STATUS_TOO_LARGE without records. */
bool dns_table_add(struct dns_table *table, const struct dns_answer *answer);
/* Walks the open questions: *at starts at 0; NULL at the end. Name and type of the result are the question. */
const struct dns_answer *dns_table_next_open(const struct dns_table *table, size_t *at);
void dns_table_clear(struct dns_table *table);

/* The answers, for a job: what filters may see of them. */
void dns_table_encode(const struct dns_table *table, struct buffer *payload);
/* Takes over `table` (cleared or zeroed before). False when malformed or beyond the limits; it is then clear. */
bool dns_table_decode(struct frame_reader *payload, struct dns_table *table);
/* The open questions, for a result. */
void dns_table_encode_open(const struct dns_table *table, struct buffer *payload);
/* Asks them in `table`; *added of them were new there (none: that filter will never end). False when malformed. */
bool dns_table_decode_open(struct frame_reader *payload, struct dns_table *table, size_t *added);

/* "example.org TXT -> ok, 3 records" for the trace, or "example.org TXT" when `answer` is an open question (`answered` false). Raw text. */
void dns_answer_append_text(const struct dns_answer *answer, bool answered, struct buffer *out);
/* A record's data as a zone file has it (dns/zone_file.h): "10 mail.example.org", "192.0.2.7", TXT in double quotes. Printable ASCII. */
void dns_record_append_text(const struct dns_record *record, uint16_t type, struct buffer *out);
/* What stands in a zone file for an answer without records: "!NXDOMAIN", "!NODATA". */
const char *dns_status_zone_text(enum dns_status status);
/* "TXT", or "TYPE65" (RFC 3597 5); text has room for DNS_TYPE_TEXT_SIZE bytes; returns text. */
#define DNS_TYPE_TEXT_SIZE 16
const char *dns_type_format(uint16_t type, char *text);
/* The names that this program asks for, in any case, and TYPEn. 0 when it is none. */
uint16_t dns_type_parse(const char *text);

#endif
