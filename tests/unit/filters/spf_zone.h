/* A DNS for evaluations under test: records in a table, questions remembered. All answers known at once, or, with `rounds` set, only those
 * to questions of earlier rounds. Used by the unit tests and by the conformance driver. */
#ifndef POSTERN_TESTS_SPF_ZONE_H
#define POSTERN_TESTS_SPF_ZONE_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dns/answer.h"
#include "dns/name.h"
#include "filters/spf/spf.h"

#define ZONE_ANY_TYPE 255
#define ZONE_CHAIN_MAX 8

struct zone_record {
	struct dns_name owner;
	uint16_t type; /* ZONE_ANY_TYPE: a failure of every type that has no records */
	enum dns_status status;
	struct dns_record data;
};

struct zone_question {
	struct dns_name name;
	uint16_t type;
	bool known;
	struct dns_answer answer;
};

struct zone {
	struct zone_record *records;
	size_t count, capacity;
	struct zone_question **questions; /* in the order they were asked first */
	size_t question_count;
	bool rounds;
};

static inline uint16_t
zone_type(const char *text)
{
	static const struct {
		const char *text;
		uint16_t type;
	} types[] = {{"A", DNS_TYPE_A}, {"AAAA", DNS_TYPE_AAAA}, {"TXT", DNS_TYPE_TXT}, {"MX", DNS_TYPE_MX}, {"PTR", DNS_TYPE_PTR},
	    {"CNAME", DNS_TYPE_CNAME}, {"*", ZONE_ANY_TYPE}};
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (strcmp(types[i].text, text) == 0)
			return types[i].type;
	assert_failed(text, __FILE__, __LINE__);
}

static inline struct zone_record *
zone_record_add(struct zone *zone, const char *owner, uint16_t type)
{
	if (zone->count == zone->capacity) {
		zone->capacity = zone->capacity > 0 ? 2 * zone->capacity : 64;
		zone->records = memory_resize(zone->records, zone->capacity, sizeof *zone->records);
	}
	struct zone_record *record = &zone->records[zone->count++];
	*record = (struct zone_record){.type = type};
	ASSERT(dns_name_from_text(owner, &record->owner));
	return record;
}

static inline void
zone_put_bytes(struct zone *zone, const char *owner, uint16_t type, const void *data, size_t length)
{
	struct zone_record *record = zone_record_add(zone, owner, type);
	record->data.data = (uint8_t *)memory_copy_text(data, length);
	record->data.length = length;
}

/* Data as one writes it: an address, a name, "10 mail.example" for MX, the text for TXT; "!TIMEOUT", "!SERVFAIL", "!NXDOMAIN" for failures. */
static inline void
zone_put(struct zone *zone, const char *owner, const char *type_text, const char *data)
{
	uint16_t type = zone_type(type_text);
	uint8_t address[16];

	if (data[0] == '!') {
		zone_record_add(zone, owner, type)->status = strcmp(data, "!TIMEOUT") == 0 ? DNS_STATUS_TIMEOUT :
		    strcmp(data, "!SERVFAIL") == 0 ? DNS_STATUS_SERVER_FAILURE : DNS_STATUS_NAME_ERROR;
	} else if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
		ASSERT(inet_pton(type == DNS_TYPE_A ? AF_INET : AF_INET6, data, address) == 1);
		zone_put_bytes(zone, owner, type, address, type == DNS_TYPE_A ? 4 : 16);
	} else if (type == DNS_TYPE_MX) {
		char *host;
		uint16_t preference = (uint16_t)strtoul(data, &host, 10);
		zone_put_bytes(zone, owner, type, host + 1, strlen(host + 1));
		zone->records[zone->count - 1].data.preference = preference;
	} else {
		zone_put_bytes(zone, owner, type, data, strlen(data));
	}
}

static inline const struct zone_record *
zone_alias(const struct zone *zone, const struct dns_name *name)
{
	for (size_t i = 0; i < zone->count; i++)
		if (zone->records[i].type == DNS_TYPE_CNAME && dns_name_equal(&zone->records[i].owner, name))
			return &zone->records[i];
	return NULL;
}

static inline void
zone_resolve(const struct zone *zone, struct dns_name name, struct dns_answer *answer)
{
	bool exists = false;
	enum dns_status failure = DNS_STATUS_OK;

	for (size_t hops = 0;; hops++) {
		const struct zone_record *alias = zone_alias(zone, &name);
		if (alias == NULL)
			break;
		if (hops == ZONE_CHAIN_MAX || !dns_name_from_text((const char *)alias->data.data, &name)) {
			answer->status = DNS_STATUS_SERVER_FAILURE;
			return;
		}
	}
	answer->records = memory_new_array(zone->count, sizeof *answer->records);
	for (size_t i = 0; i < zone->count; i++) {
		const struct zone_record *record = &zone->records[i];
		if (!dns_name_equal(&record->owner, &name))
			continue;
		exists = true;
		if (record->status != DNS_STATUS_OK && (record->type == answer->type || record->type == ZONE_ANY_TYPE)) {
			failure = record->status;
		} else if (record->type == answer->type) {
			struct dns_record *copy = &answer->records[answer->count++];
			*copy = record->data;
			copy->data = (uint8_t *)memory_copy_text((const char *)record->data.data, record->data.length);
		}
	}
	if (answer->count == 0) {
		memory_free(&answer->records);
		answer->status = !exists ? DNS_STATUS_NAME_ERROR : failure;
	}
}

static inline const struct dns_answer *
zone_lookup(void *context, const char *text, uint16_t type)
{
	struct zone *zone = context;
	struct dns_name name;

	ASSERT(dns_name_from_text(text, &name));
	for (size_t i = 0; i < zone->question_count; i++) {
		struct zone_question *asked = zone->questions[i];
		if (asked->type == type && dns_name_equal(&asked->name, &name))
			return asked->known || !zone->rounds ? &asked->answer : NULL;
	}
	struct zone_question *question = memory_new(sizeof *question);
	zone->questions = memory_resize(zone->questions, zone->question_count + 1, sizeof(void *));
	zone->questions[zone->question_count++] = question;
	question->name = name;
	question->type = type;
	dns_answer_init(&question->answer, DNS_STATUS_OK, text, type);
	zone_resolve(zone, name, &question->answer);
	return zone->rounds ? NULL : &question->answer;
}

/* Ends a round: everything asked so far is known in the next. Returns how many answers are new. */
static inline size_t
zone_answer(struct zone *zone)
{
	size_t news = 0;

	for (size_t i = 0; i < zone->question_count; i++) {
		news += !zone->questions[i]->known;
		zone->questions[i]->known = true;
	}
	return news;
}

static inline bool
zone_was_asked(const struct zone *zone, const char *text, uint16_t type)
{
	struct dns_name name;

	ASSERT(dns_name_from_text(text, &name));
	for (size_t i = 0; i < zone->question_count; i++)
		if (zone->questions[i]->type == type && dns_name_equal(&zone->questions[i]->name, &name))
			return true;
	return false;
}

static inline void
zone_forget_questions(struct zone *zone)
{
	for (size_t i = 0; i < zone->question_count; i++) {
		dns_answer_clear(&zone->questions[i]->answer);
		memory_free(&zone->questions[i]);
	}
	memory_free(&zone->questions);
	zone->question_count = 0;
}

static inline void
zone_clear(struct zone *zone)
{
	zone_forget_questions(zone);
	for (size_t i = 0; i < zone->count; i++)
		memory_free(&zone->records[i].data.data);
	memory_free(&zone->records);
	*zone = (struct zone){0};
}

/* Evaluates with all answers known. */
static inline void
zone_evaluate(struct zone *zone, const struct spf_query *query, struct spf_outcome *outcome)
{
	zone->rounds = false;
	spf_evaluate(query, &(struct spf_answers){zone_lookup, zone}, outcome);
}

/* Evaluates from no answers, round by round. Returns the number of rounds of questions. */
static inline unsigned
zone_evaluate_rounds(struct zone *zone, const struct spf_query *query, struct spf_outcome *outcome)
{
	zone_forget_questions(zone);
	zone->rounds = true;
	for (unsigned rounds = 0;; rounds++) {
		spf_evaluate(query, &(struct spf_answers){zone_lookup, zone}, outcome);
		if (outcome->result != SPF_PENDING)
			return rounds;
		ASSERT(zone_answer(zone) > 0); /* pending without a new question would never end */
		spf_outcome_clear(outcome);
	}
}

#endif
