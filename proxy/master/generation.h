/* One configuration in use: what was read, what is bound, which seats work by it. At most two at a time, and a third only while
 * it starts. */
#ifndef POSTERN_MASTER_GENERATION_H
#define POSTERN_MASTER_GENERATION_H

#include <stdint.h>

#include "base/buffer.h"
#include "conf/config.h"
#include "master/listeners.h"

struct seat;

struct generation {
	uint32_t number;
	struct config *config;
	char *text; /* the configuration as read; children load it again */
	char *hosts; /* /etc/hosts as read now */
	char *resolv_conf;
	struct listeners *listeners; /* NULL once it only drains */
	int64_t loaded_us; /* wall clock */
	struct seat *deliver; /* supervise.c: the deliver its proxies are connected to; may serve the next generation too */
};

/* Reads the file and checks everything that can be checked before something is bound; then binds what `before` (NULL at
 * the start) does not have. NULL, with all reasons as lines in `error`, when it cannot be used; nothing has changed then. */
struct generation *generation_load(const char *file_name, uint32_t number, const struct generation *before, struct buffer *error);
void generation_free(struct generation **generation);
/* Deliver can serve both: the same Maildirs under the same numbers. */
bool generation_same_deliver(const struct generation *one, const struct generation *other);

#endif
