/* What `postern status` shows, for people and as JSON. Only reads. */
#ifndef POSTERN_MASTER_STATUS_H
#define POSTERN_MASTER_STATUS_H

#include "base/buffer.h"
#include "master/supervise.h"

void status_write_text(const struct supervisor *supervisor, struct buffer *out);
void status_write_json(const struct supervisor *supervisor, struct buffer *out);

/* A backend as all processes of the current generation see it together. */
struct backend_status {
	uint64_t open_connections;
	uint32_t consecutive_failures; /* the most any process saw */
	int64_t skipped_for_ms; /* 0 = is tried */
	bool learned; /* the next two are known */
	unsigned capabilities;
	uint64_t size_limit;
};
void status_of_backend(const struct supervisor *supervisor, size_t index, struct backend_status *status);

#endif
