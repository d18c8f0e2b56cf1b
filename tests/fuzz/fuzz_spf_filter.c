/* What the filter "spf" says about hostile envelopes and records. The first byte holds choices; then, apart by line ends: sender, HELO name, the
 * TXT record of every name. All else in DNS is the client's own. The verdict must have its reply, what is shown must be printable, and
 * the edits must pass the check that all edits pass. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "filters/spf/spf_filter.h"
#include "mail/edits_check.h"

#define TEXTS 3
#define ROUNDS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
answer_add(struct dns_table *answers, const struct dns_answer *question, const char *record)
{
	static uint8_t address[16] = {192, 0, 2, 1};
	struct dns_answer answer = *question;
	struct dns_record data = {.data = (uint8_t *)record, .length = strlen(record)};

	answer.status = DNS_STATUS_OK;
	if (question->type == DNS_TYPE_A || question->type == DNS_TYPE_AAAA)
		data = (struct dns_record){.data = address, .length = question->type == DNS_TYPE_A ? 4 : 16};
	answer.records = &data;
	answer.count = question->type == DNS_TYPE_MX || question->type == DNS_TYPE_PTR ? 0 : 1;
	dns_table_add(answers, &answer);
}

static void
expect_printable(const char *text)
{
	for (; *text != '\0'; text++)
		ASSERT((*text >= ' ' && *text <= '~') || *text == '\n');
}

static void
output_check(struct filter_output *output)
{
	struct edit_list accepted = {0};

	ASSERT(verdict_reply_fits(&output->verdict));
	expect_printable(output->reason);
	ASSERT(strchr(output->reason, '\n') == NULL);
	if (output->verdict.reply.text != NULL)
		expect_printable(output->verdict.reply.text);
	ASSERT(facts_value(&output->facts, "spf", "result") != NULL && output->facts.dropped == 0);
	ASSERT(edit_list_accept(&accepted, &output->edits, &(struct edit_rules){0}, NULL) == EDIT_OK);
	edit_list_clear(&accepted);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *texts[TEXTS];
	struct dns_table answers = {0};
	struct filter_output output = {0};
	unsigned rounds = 0;

	if (size == 0)
		return 0;
	const char *at = (const char *)data + 1, *end = (const char *)data + size;
	for (size_t i = 0; i < TEXTS; i++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		texts[i] = memory_copy_text(at, (size_t)((stop != NULL ? stop : end) - at));
		at = stop != NULL ? stop + 1 : end;
	}
	enum config_action action = data[0] % 5;
	struct config_filter settings = {.name = "spf", .spf = {.none = action, .neutral = action, .pass = action, .softfail = action, .fail = action,
		.temperror = action, .permerror = action, .helo = data[0] & 32, .received_spf = data[0] & 64}};
	struct envelope envelope = {.sender = texts[0]};
	struct filter_job job = {.stage = STAGE_MESSAGE, .hostname = "mx.example.net", .client = {.address = {4, {192, 0, 2, 1}}, .helo = texts[1]},
		.envelope = &envelope, .answers = &answers};
	void *state = NULL;
	ASSERT(spf_filter.open(&settings, &state, NULL));
	while (spf_filter.run(state, &job, &output) == FILTER_PENDING) {
		const struct dns_answer *question;
		ASSERT(rounds++ < ROUNDS_MAX && output.questions.open > 0);
		for (size_t next = 0; (question = dns_table_next_open(&output.questions, &next)) != NULL;)
			answer_add(&answers, question, texts[2]);
		filter_output_clear(&output);
	}
	output_check(&output);
	filter_output_clear(&output);
	dns_table_clear(&answers);
	spf_filter.close(&state);
	for (size_t i = 0; i < TEXTS; i++)
		memory_free(&texts[i]);
	return 0;
}
