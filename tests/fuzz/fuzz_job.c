/* Jobs and results between proxy and worker: any bytes either decode, and then encode to the same again and again, or are refused.
 * The first byte chooses: job or result. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "filters/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
job_again(struct span bytes, struct buffer *out)
{
	struct frame_reader payload;
	struct worker_job job;
	bool ok;

	frame_reader_init(&payload, bytes.at, bytes.length);
	ok = worker_job_decode(&payload, &job);
	if (ok) {
		ASSERT(frame_reader_finish(&payload));
		ASSERT(job.id != 0 && job.first < job.end && job.job.stage < STAGE_COUNT && job.job.hostname != NULL);
		ASSERT(job.job.envelope->recipient_count <= bytes.length && job.job.edits->count <= EDIT_COUNT_MAX);
		for (size_t i = 0; i < job.job.envelope->recipient_count; i++)
			ASSERT(job.job.envelope->recipients[i].address != NULL && job.job.envelope->recipients[i].domain != NULL);
		ASSERT(worker_job_encode(&job, out));
	}
	worker_job_clear(&job);
	return ok;
}

static bool
result_again(struct span bytes, struct buffer *out)
{
	struct frame_reader payload;
	struct run_result result;
	uint64_t id;
	bool ok;

	frame_reader_init(&payload, bytes.at, bytes.length);
	ok = worker_result_decode(&payload, &id, &result);
	if (ok) {
		struct config_filter filters[] = {{.name = "spf"}, {.name = "dkim"}};
		struct config config = {.filters = filters, .filter_count = 2};

		ASSERT(frame_reader_finish(&payload) && id != 0);
		for (size_t i = 0; i < result.count; i++)
			ASSERT(verdict_reply_fits(&result.filters[i].verdict));
		if (run_result_is_sound(&result, &config, 0, 2))
			ASSERT(result.count <= 2 && result.next <= 2 && (result.next < 2 || result.questions.open == 0));
		ASSERT(worker_result_encode(id, &result, out));
	}
	run_result_clear(&result);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer first = {0}, second = {0};
	bool (*again)(struct span bytes, struct buffer *out);

	if (size == 0)
		return 0;
	again = data[0] % 2 == 0 ? job_again : result_again;
	if (again(span_make((const char *)data + 1, size - 1), &first)) {
		ASSERT(again(span_make(first.data, first.length), &second));
		ASSERT(span_equals(span_make(first.data, first.length), span_make(second.data, second.length)));
	}
	buffer_free(&first);
	buffer_free(&second);
	return 0;
}
