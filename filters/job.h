/* What a proxy and a worker say to each other: a job (which filters to run, on what) and its result. Encoded field by field into a
 * frame's payload; every length and number is bounded on the way in. The message itself travels as a descriptor beside the job. */
#ifndef POSTERN_FILTERS_JOB_H
#define POSTERN_FILTERS_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "filters/filter.h"
#include "filters/headers.h"
#include "filters/run.h"
#include "wire/frame.h"

enum worker_message {
	WORKER_JOB = 1, /* proxy -> worker: an encoded struct worker_job; descriptor: the message, when the stage has one */
	WORKER_RESULT = 2, /* worker -> proxy: u64 id of the job, an encoded struct run_result */
};

#define JOB_TEXT_MAX 4096 /* bytes of a name, an address, a greeting, a reason */
#define JOB_REPLY_TEXT_MAX 8192 /* bytes of a reply's text, all lines */

struct worker_job {
	uint64_t id; /* the proxy's; not 0 */
	bool ask; /* begin with the ask pass */
	uint32_t first, end; /* run filters[first] .. filters[end - 1] */
	struct filter_job job; /* its message and headers are not encoded. Decoded, it points into `parts` */
	/* Only of a decoded job. */
	struct worker_job_parts {
		char *queue_id, *hostname, *reverse_name, *helo, *tls;
		struct envelope envelope;
		struct edit_list edits;
		struct facts facts;
		struct dns_table answers;
		struct message_headers headers; /* of worker_job_open_message */
		struct message_store *message;
	} parts;
};

/* False when it does not fit into a frame or a text is beyond the limits; the payload is then of no use. NULL for edits, facts and
 * answers: none. */
bool worker_job_encode(const struct worker_job *job, struct buffer *payload);
/* The whole payload. False when it is malformed; the job is then clear. It must not be moved: job.job points into it. */
bool worker_job_decode(struct frame_reader *payload, struct worker_job *job);
/* Gives a decoded job its message, and reads the headers. Takes the descriptor. False when it is no message of ours. */
bool worker_job_open_message(struct worker_job *job, int descriptor, const struct config_limits *limits);
void worker_job_clear(struct worker_job *job);

/* False when it does not fit into a frame. */
bool worker_result_encode(uint64_t id, const struct run_result *result, struct buffer *payload);
/* The whole payload. False when it is malformed; the result is then clear. Whether it fits the job says run_result_is_sound; its edits
 * must be checked again (mail/edits_check.h): a worker may have been taken over. */
bool worker_result_decode(struct frame_reader *payload, uint64_t *id, struct run_result *result);

#endif
