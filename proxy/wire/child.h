/* A child's first steps, the same for every role: receive the set-up from the master, and later its orders. */
#ifndef POSTERN_WIRE_CHILD_H
#define POSTERN_WIRE_CHILD_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/log.h"
#include "wire/channel.h"
#include "wire/roles.h"
#include "wire/shared_memory.h"
#include "wire/spool.h"

struct child_setup {
	enum role role;
	unsigned index; /* among the processes of this role and generation */
	unsigned slot; /* page in shared memory */
	uint32_t generation;
	char *user; /* "" = keep the user */
	char *chroot_directory; /* "" = none */
	char *config_name; /* file name for messages */
	char *config_text; /* the configuration, NUL-terminated */
	bool sandbox_log_only;
	char *hosts_text; /* /etc/hosts, may be "" */
	char *resolv_conf_text; /* may be "" */
	struct shared_memory *shared;
	int listeners[32]; /* by configuration index; -1 = none */
	unsigned listener_count;
	struct child_peer {
		enum role role;
		unsigned slot;
		uint32_t generation;
		int descriptor;
	} peers[256];
	unsigned peer_count;
	int log_file; /* a CONTROL_LOG_FILE that came before START; -1 = none */
};

/* Reads CONTROL_SETUP .. CONTROL_START from descriptor 3, blocking, and enters this process (id and generation) in its
 * shared page. fatal() on anything unexpected. */
void child_receive_setup(struct child_setup *setup);

struct child;
struct child_callbacks {
	void (*on_drain)(void *context); /* finish and leave: on order or because the master is gone; called once at most */
	void (*on_peer)(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor); /* takes descriptor */
	void (*on_log_file)(void *context, int descriptor); /* may be NULL */
	void (*on_record)(void *context, struct frame_reader *record); /* may be NULL; must consume it */
	/* A reload went through and this process stays: the configuration of the new generation as text. May be NULL. */
	void (*on_configuration)(void *context, uint32_t generation, const char *text);
};
/* The control channel in the child's event loop after set-up. */
struct child *child_new(struct event_base *base, const struct child_callbacks *callbacks, void *context);
/* Tells the master that this process is in its sandbox and serves. */
void child_ready(struct child *child, const char *sandbox_description);
/* Sends a log line to the master (who prints it). Usable as log_emitter with the child as context. */
void child_log_line(void *child, enum log_level level, const char *line);
bool child_master_gone(const struct child *child);
/* Spool files made by the master: a few are kept in stock from this call on. For proxies; once per process. */
struct spool_source child_spool_source(struct child *child);
/* Proxies: asks the master to kill that worker (now only role auth), a peer of ours that overran its deadline. Nothing comes back but the
 * end of the worker's channel; asking for one that is gone already does no harm. */
void child_kill_worker(struct child *child, enum role role, unsigned slot, uint32_t generation);
/* Gives what is still queued for the master a tenth of a second to leave. */
void child_free(struct child **child);

#endif
