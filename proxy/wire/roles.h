/* The roles of our processes, and the messages of the control channel between master and child.
 * A child starts as `postern role NAME` with descriptor 3 = its end of the control channel and nothing else but 0,1,2. */
#ifndef POSTERN_WIRE_ROLES_H
#define POSTERN_WIRE_ROLES_H

#include <stdint.h>

#define ROLES(X) \
	/* enum, name, default user, description */ \
	X(ROLE_MASTER, "master", "", "reads the configuration, makes listeners and socket pairs, spawns, reloads") \
	X(ROLE_PROXY, "proxy", "postern", "SMTP sessions, relay, DNS: everything with a socket to the outside") \
	X(ROLE_DELIVER, "deliver", "postern-deliver", "all durable writing of mail: Maildir, quarantine, ledger") \
	X(ROLE_JOURNAL, "journal", "postern-journal", "trace store, log lines") \
	X(ROLE_AUTH, "auth", "postern-auth", "worker: the filters that parse hostile bytes; no network, no files")

enum role {
#define X(name, text, user, description) name,
	ROLES(X)
#undef X
	ROLE_COUNT
};

const char *role_name(enum role role);
const char *role_default_user(enum role role);
/* -1 when unknown. */
int role_from_name(const char *name);

#define CONTROL_DESCRIPTOR 3

/* Control channel, master -> child (C_*) and child -> master (R_*). Payload in order. */
#define CONTROL_MESSAGES(X) \
	/* u8 role, u16 index, u16 slot (page in shared memory), u32 generation, string user ("" = keep), string empty directory \
	 * for chroot ("" = none), string configuration file name, u8 1 = sandbox log mode; descriptors: configuration text, shared memory */ \
	X(CONTROL_SETUP, 1) \
	/* u16 index into config->listeners; descriptor: the bound, listening socket */ \
	X(CONTROL_LISTENER, 2) \
	/* u8 role of the other side, u16 its slot, u32 its generation; descriptor: socket pair end. Replaces an earlier deliver or journal (proxy
	 * side) or adds one: deliver, journal and worker side, and a proxy's workers, which it tells apart by slot. A worker that takes the place
	 * of a dead one comes with another slot. */ \
	X(CONTROL_PEER, 3) \
	/* string: hosts file, string: resolv.conf, both as read by the master */ \
	X(CONTROL_FILES, 4) \
	/* empty: all has been sent; the child enters its sandbox and answers READY */ \
	X(CONTROL_START, 5) \
	/* empty: stop accepting, finish what is under way, exit 0 */ \
	X(CONTROL_DRAIN, 6) \
	/* journal: descriptor: the log file opened again */ \
	X(CONTROL_LOG_FILE, 7) \
	/* journal: an encoded struct record made by the master (in-flight messages of a dead process) */ \
	X(CONTROL_RECORD, 8) \
	/* u32 generation; descriptor: configuration text. A reload has succeeded and this process stays: journal and deliver (deliver only when \
	 * its Maildirs are the same in number and place; otherwise a new deliver is started for the new generation) */ \
	X(CONTROL_CONFIGURATION, 9) \
	/* empty; descriptors: writer and reader of up to four spool files (none: there are none now). The answer to CONTROL_SPOOL_WANTED */ \
	X(CONTROL_SPOOL_FILES, 10) \
	/* child -> master: string sandbox description, e.g. "seccomp,chroot,user" */ \
	X(CONTROL_READY, 32) \
	/* child -> master: u8 level, string line: for children that have no journal (journal itself, deliver) */ \
	X(CONTROL_LOG_LINE, 33) \
	/* child -> master: empty: the order to drain was followed, nothing new is accepted any more */ \
	X(CONTROL_DRAINING, 34) \
	/* child -> master: empty: a proxy wants spool files */ \
	X(CONTROL_SPOOL_WANTED, 35) \
	/* child -> master: u8 role, u16 slot, u32 generation: a proxy wants that worker of its generation killed (role auth only). One that is
	 * not there any more is nobody's mistake: the order is then forgotten. */ \
	X(CONTROL_KILL_WORKER, 36)

enum control_message {
#define X(name, value) name = value,
	CONTROL_MESSAGES(X)
#undef X
};

/* proxy -> journal */
enum journal_message {
	JOURNAL_RECORD = 1, /* an encoded struct record (journal/record.h) */
	JOURNAL_LOG_LINE = 2, /* u8 level, string line (complete but for the newline) */
};

/* proxy <-> deliver: see deliver/deliver_client.h; proxy <-> auth worker: see filters/job.h */

#endif
