/* Runs SPF evaluations over zones, for test_spf.py. Lines on standard input, fields apart by tabs, free bytes in hex:
 *   zone                                          forget all records
 *   record NAME TYPE DATA                         as zone_put takes it; TXT data in hex
 *   query ID ADDRESS HELO LOCAL-PART DOMAIN       the last three in hex
 * For each query one line: ID, result, explanation, mechanism, problem, rounds of questions, questions, lookups, void lookups,
 * "same" (or "differs": the outcome reached round by round is not the one with all answers known).
 * With an argument N each query is evaluated N times more, and a last line tells the mean time of one evaluation. With a second one, the
 * folder of the module, libspf2 evaluates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/escape.h"
#include "filters/spf/engine_libspf2.h"
#include "filters/spf_zone.h"

#define FIELDS_MAX 6

static char *
hex_decode(const char *hex)
{
	size_t length = strlen(hex) / 2;
	char *text = memory_new(length + 1);

	for (size_t i = 0; i < length; i++) {
		unsigned byte;
		ASSERT(sscanf(hex + 2 * i, "%2x", &byte) == 1);
		text[i] = (char)byte;
	}
	return text;
}

static bool
texts_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
outcomes_equal(const struct spf_outcome *a, const struct spf_outcome *b)
{
	return a->result == b->result && a->lookups == b->lookups && a->void_lookups == b->void_lookups &&
	    texts_equal(a->mechanism, b->mechanism) && texts_equal(a->explanation, b->explanation) && texts_equal(a->problem, b->problem);
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As zone_evaluate, by either engine. */
static void
evaluate(struct spf_libspf2 *library, struct zone *zone, const struct spf_query *query, struct spf_outcome *outcome)
{
	zone->rounds = false;
	if (library == NULL)
		spf_evaluate(query, &(struct spf_answers){zone_lookup, zone}, outcome);
	else
		spf_libspf2_evaluate(library, query, &(struct spf_answers){zone_lookup, zone}, outcome);
}

/* As zone_evaluate_rounds, by either engine. */
static unsigned
evaluate_rounds(struct spf_libspf2 *library, struct zone *zone, const struct spf_query *query, struct spf_outcome *outcome)
{
	unsigned rounds = 0;

	if (library == NULL)
		return zone_evaluate_rounds(zone, query, outcome);
	zone_forget_questions(zone);
	zone->rounds = true;
	while (spf_libspf2_evaluate(library, query, &(struct spf_answers){zone_lookup, zone}, outcome), outcome->result == SPF_PENDING) {
		ASSERT(zone_answer(zone) > 0);
		rounds++;
	}
	return rounds;
}

static double
evaluate_again(struct spf_libspf2 *library, struct zone *zone, const struct spf_query *query, unsigned long times)
{
	double start = seconds_now();

	for (unsigned long i = 0; i < times; i++) {
		struct spf_outcome outcome = {0};
		evaluate(library, zone, query, &outcome);
		spf_outcome_clear(&outcome);
	}
	return seconds_now() - start;
}

static double
query_run(struct spf_libspf2 *library, struct zone *zone, char *const *fields, unsigned long times)
{
	char *helo = hex_decode(fields[3]), *local_part = hex_decode(fields[4]), *domain = hex_decode(fields[5]);
	struct spf_query query = {.helo = helo, .local_part = local_part, .domain = domain, .receiver = "receiver.example", .now_s = 1000000000};
	struct spf_outcome direct = {0}, stepped = {0};

	ASSERT(ip_address_parse(fields[2], &query.client));
	unsigned rounds = evaluate_rounds(library, zone, &query, &stepped);
	size_t questions = zone->question_count;
	evaluate(library, zone, &query, &direct);
	char *mechanism = escape_copy(direct.mechanism != NULL ? direct.mechanism : "");
	char *problem = escape_copy(direct.problem != NULL ? direct.problem : "");
	printf("%s\t%s\t%s\t%s\t%s\t%u\t%zu\t%u\t%u\t%s\n", fields[1], spf_result_text(direct.result),
	    direct.explanation != NULL ? direct.explanation : "", mechanism, problem, rounds, questions, direct.lookups, direct.void_lookups,
	    outcomes_equal(&direct, &stepped) ? "same" : "differs");
	double took = evaluate_again(library, zone, &query, times);
	memory_free(&mechanism);
	memory_free(&problem);
	spf_outcome_clear(&direct);
	spf_outcome_clear(&stepped);
	zone_forget_questions(zone);
	memory_free(&helo);
	memory_free(&local_part);
	memory_free(&domain);
	return took;
}

static void
record_put(struct zone *zone, char *const *fields)
{
	if (strcmp(fields[2], "TXT") != 0 || fields[3][0] == '!') {
		zone_put(zone, fields[1], fields[2], fields[3]);
		return;
	}
	char *text = hex_decode(fields[3]);
	zone_put_bytes(zone, fields[1], DNS_TYPE_TXT, text, strlen(fields[3]) / 2);
	memory_free(&text);
}

int
main(int argc, char **argv)
{
	unsigned long times = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, queries = 0;
	struct zone zone = {0};
	double took = 0;
	char *line = NULL;
	size_t size = 0;
	struct spf_libspf2 *library = NULL;
	struct buffer problem = {0};

	if (argc > 2 && (library = spf_libspf2_open(argv[2], &problem)) == NULL) {
		fprintf(stderr, "%s\n", buffer_text(&problem));
		return 1;
	}
	setlinebuf(stdout); /* what an abort() of the library leaves behind */
	while (getline(&line, &size, stdin) > 0) {
		char *fields[FIELDS_MAX] = {0}, *rest = line;
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < FIELDS_MAX && rest != NULL; i++)
			fields[i] = strsep(&rest, "\t");
		if (strcmp(fields[0], "zone") == 0) {
			zone_clear(&zone);
		} else if (strcmp(fields[0], "record") == 0) {
			record_put(&zone, fields);
		} else {
			took += query_run(library, &zone, fields, times);
			queries++;
		}
	}
	if (times > 0 && queries > 0)
		printf("# %lu evaluations, %.2f us each\n", queries * times, took * 1e6 / (double)queries / (double)times);
	zone_clear(&zone);
	free(line);
	spf_libspf2_close(&library);
	buffer_free(&problem);
	return 0;
}
