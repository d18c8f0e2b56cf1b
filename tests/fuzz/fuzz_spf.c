/* SPF evaluations. The first byte of the input holds choices; then, apart by line ends: the record of example.org, a record for other names, an
 * explanation, local part, HELO name, domain. DNS answers follow from a hash of the question. The outcome must keep the limits, must be fit to be
 * shown, and must be the same whether all answers are known from the start or come round by round. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dns/name.h"
#include "filters/spf/spf.h"

#define TEXTS 6
#define QUESTIONS_MAX 1500 /* 55 terms looked at in all rounds, each with ten hosts, and the client's names */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct question {
	bool known;
	struct dns_answer answer;
};

struct world {
	char *texts[TEXTS];
	size_t lengths[TEXTS];
	uint8_t choices;
	bool rounds;
	struct question *questions[QUESTIONS_MAX];
	size_t count;
};

static uint32_t
hash(const struct world *world, const char *name, uint16_t type)
{
	uint32_t value = 2166136261u ^ type ^ (uint32_t)(world->choices >> 2) << 16;

	for (; *name != '\0'; name++)
		value = (value ^ (uint8_t)*name) * 16777619u;
	return value ^ value >> 15;
}

static void
put(struct dns_answer *answer, const void *data, size_t length)
{
	answer->records[answer->count++] = (struct dns_record){(uint8_t *)memory_copy_text(data, length), length, 0};
}

static void
answer_make(const struct world *world, struct dns_answer *answer)
{
	static const uint8_t ours[16] = {192, 0, 2, 1}, other[16] = {203, 0, 113, 9};
	static const char *const hosts[] = {"example.org", "mail.example.org", "a.test", "b.c.test", "", "odd\\.name.test", "x.mail.example.org"};
	uint32_t value = hash(world, answer->name, answer->type);
	size_t text = value % 3;

	if (value % 7 == 6) {
		answer->status = value & 16 ? DNS_STATUS_TIMEOUT : value & 32 ? DNS_STATUS_SERVER_FAILURE : DNS_STATUS_NAME_ERROR;
		return;
	}
	answer->records = memory_new_array(12, sizeof *answer->records);
	if (answer->type == DNS_TYPE_TXT) {
		text = strcmp(answer->name, "example.org") == 0 ? 0 : text;
		put(answer, world->texts[text], world->lengths[text]);
	} else if (answer->type == DNS_TYPE_A || answer->type == DNS_TYPE_AAAA) {
		for (size_t i = 0; i < value % 5; i++)
			put(answer, value >> i & 64 ? ours : other, answer->type == DNS_TYPE_A ? 4 : 16);
	} else {
		for (size_t i = 0; i < value % 12; i++)
			put(answer, hosts[(value + i) % 7], strlen(hosts[(value + i) % 7]));
	}
	if (answer->count == 0)
		memory_free(&answer->records);
}

static const struct dns_answer *
lookup(void *context, const char *name, uint16_t type)
{
	struct world *world = context;
	struct dns_name parsed;

	for (size_t i = 0; i < world->count; i++) {
		struct question *asked = world->questions[i];
		if (asked->answer.type == type && strcmp(asked->answer.name, name) == 0)
			return asked->known || !world->rounds ? &asked->answer : NULL;
	}
	ASSERT(dns_name_from_text(name, &parsed) && world->count < QUESTIONS_MAX);
	for (const char *byte = name; *byte != '\0'; byte++)
		ASSERT(*byte > ' ' && *byte <= '~' && !(*byte >= 'A' && *byte <= 'Z'));
	struct question *question = world->questions[world->count++] = memory_new(sizeof *question);
	dns_answer_init(&question->answer, DNS_STATUS_OK, name, type);
	answer_make(world, &question->answer);
	return world->rounds ? NULL : &question->answer;
}

static void
questions_forget(struct world *world)
{
	while (world->count > 0) {
		struct question *question = world->questions[--world->count];
		dns_answer_clear(&question->answer);
		memory_free(&question);
	}
}

static void
evaluate(struct world *world, const struct spf_query *query, bool rounds, struct spf_outcome *outcome)
{
	world->rounds = rounds;
	for (;;) {
		size_t news = 0;
		spf_evaluate(query, &(struct spf_answers){lookup, world}, outcome);
		if (outcome->result != SPF_PENDING)
			break;
		ASSERT(rounds && outcome->mechanism == NULL && outcome->explanation == NULL && outcome->problem == NULL);
		for (size_t i = 0; i < world->count; i++) {
			news += !world->questions[i]->known;
			world->questions[i]->known = true;
		}
		ASSERT(news > 0);
		spf_outcome_clear(outcome);
	}
	questions_forget(world);
}

static void
texts_compare(const char *a, const char *b)
{
	ASSERT((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
}

static void
outcome_check(const struct spf_outcome *outcome)
{
	bool failed = outcome->result == SPF_TEMPERROR || outcome->result == SPF_PERMERROR;

	ASSERT(outcome->lookups <= SPF_LOOKUP_LIMIT && outcome->void_lookups <= SPF_VOID_LIMIT);
	ASSERT(failed == (outcome->problem != NULL));
	ASSERT(failed || (outcome->mechanism == NULL) == (outcome->result == SPF_NONE));
	if (outcome->explanation == NULL)
		return;
	ASSERT(outcome->result == SPF_FAIL && strlen(outcome->explanation) <= SPF_EXPLANATION_MAX);
	for (const char *byte = outcome->explanation; *byte != '\0'; byte++)
		ASSERT(*byte >= ' ' && *byte <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct spf_outcome direct = {0}, stepped = {0};

	if (size == 0)
		return 0;
	world.choices = data[0];
	const char *at = (const char *)data + 1, *end = (const char *)data + size;
	for (size_t i = 0; i < TEXTS; i++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		world.lengths[i] = (size_t)((stop != NULL ? stop : end) - at);
		world.texts[i] = memory_copy_text(at, world.lengths[i]);
		at = stop != NULL ? stop + 1 : end;
	}
	struct spf_query query = {.client = {data[0] & 1 ? 6 : 4, {192, 0, 2, 1}}, .local_part = world.texts[3], .helo = world.texts[4],
		.domain = world.texts[5][0] != '\0' ? world.texts[5] : "example.org", .receiver = "mx.example.net", .now_s = data[0]};
	evaluate(&world, &query, false, &direct);
	evaluate(&world, &query, true, &stepped);
	outcome_check(&direct);
	ASSERT(direct.result == stepped.result && direct.lookups == stepped.lookups && direct.void_lookups == stepped.void_lookups);
	texts_compare(direct.mechanism, stepped.mechanism);
	texts_compare(direct.explanation, stepped.explanation);
	texts_compare(direct.problem, stepped.problem);
	spf_outcome_clear(&direct);
	spf_outcome_clear(&stepped);
	for (size_t i = 0; i < TEXTS; i++)
		memory_free(&world.texts[i]);
	return 0;
}
