/* What a process gives up before it meets the outside: root directory, user, files, system calls.
 * Once, on the way up, after everything that must be open is open. There is no way back. */
#ifndef POSTERN_BASE_SANDBOX_H
#define POSTERN_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#define SANDBOX_VIOLATION_STATUS 159 /* exit status of a process that made an unlisted system call */

enum sandbox_profile {
	SANDBOX_PROXY, /* sockets (inet, unix), an event loop, sealed messages; opens no file, starts no program */
	SANDBOX_DELIVER, /* writes files below its directories; no socket but those it was given */
	SANDBOX_JOURNAL, /* the same, and the system logger's socket */
	SANDBOX_AUTH, /* computes: an event loop over the sockets it has, private memory; makes no descriptor, writes to no file */
};

struct sandbox_options {
	enum sandbox_profile profile;
	const char *role; /* name for the violation line and for messages */
	bool log_only; /* `sandbox: log`: unlisted system calls are logged by the kernel and done */
	const char *user; /* NULL or "": keep the user. Only root can change it. */
	const char *chroot_directory; /* NULL or "": none. Only root can. */
	/* Directories (absolute, or relative to the current one; as seen after the chroot) below which files may be made, read
	 * and removed. Everything else in the file system is out of reach where the kernel has Landlock. */
	const char *const *directories;
	size_t directory_count;
	/* Directories opened before: the same for what lies below them. Under SANDBOX_PROXY these (the spool directory) are the only way
	 * to open or remove a file: openat and unlinkat with one of these descriptors, nothing else. */
	const int *directory_descriptors;
	size_t directory_descriptor_count;
	/* Files that may be read but not written (libunbound's anchor, a log device): same rules. */
	const char *const *readable;
	size_t readable_count;
};

/* Enters. Returns what is in force, e.g. "seccomp,user,chroot,landlock" ("seccomp-log" in log mode; "no-sandbox" never happens:
 * seccomp is mandatory). The string lives as long as the process. fatal() when something mandatory fails: seccomp always, user
 * and chroot when asked for. */
const char *sandbox_enter(const struct sandbox_options *options);

/* The user's numeric ids; false when there is no such user. For the master, which gives directories to their owners. */
bool sandbox_user_lookup(const char *user, unsigned *user_id, unsigned *group_id);

#endif
