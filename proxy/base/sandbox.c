/* The order in which a process gives up its powers, and the proof that they are gone. Which system calls a profile
 * keeps is in sandbox_system_calls.c, which files in sandbox_landlock.c. Never opens anything for later use. */
#include "base/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/sandbox_private.h"

bool
sandbox_user_lookup(const char *user, unsigned *user_id, unsigned *group_id)
{
	struct passwd *entry = getpwnam(user);

	if (entry == NULL)
		return false;
	*user_id = entry->pw_uid;
	*group_id = entry->pw_gid;
	return true;
}

static void
change_root(const char *directory)
{
	if (chroot(directory) != 0)
		fatal("sandbox: cannot change root to %s: %s", directory, strerror(errno));
	if (chdir("/") != 0)
		fatal("sandbox: cannot enter %s: %s", directory, strerror(errno));
}

/* Gives up every group and identity of root, then proves that there is no way back. */
static void
change_user(const char *user, uid_t user_id, gid_t group_id)
{
	uid_t real, effective, saved;

	if (setgroups(1, &group_id) != 0 || setresgid(group_id, group_id, group_id) != 0 ||
	    setresuid(user_id, user_id, user_id) != 0)
		fatal("sandbox: cannot become user %s: %s", user, strerror(errno));
	if (getresuid(&real, &effective, &saved) != 0 || real != user_id || effective != user_id || saved != user_id ||
	    getegid() != group_id)
		fatal("sandbox: became user %s only in part", user);
	if (user_id != 0 && (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0))
		fatal("sandbox: user %s can become root again", user);
}

/* Our stamps are UTC; a library that asks for local time would open the zone's file, again and again unless TZ is set. The first
 * reading happens here. */
static void
fix_time_zone(void)
{
	if (setenv("TZ", "UTC0", 1) != 0)
		fatal("sandbox: cannot set the time zone: %s", strerror(errno));
	tzset();
}

/* Nothing of this process may end in a core file or under another process's debugger; what it executes gains nothing. */
static void
close_side_doors(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fatal("sandbox: no_new_privs refused: %s", strerror(errno));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		fatal("sandbox: cannot become undumpable: %s", strerror(errno));
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		fatal("sandbox: cannot forbid core files: %s", strerror(errno));
}

const char *
sandbox_enter(const struct sandbox_options *options)
{
	bool wants_user = options->user != NULL && options->user[0] != '\0';
	bool wants_chroot = options->chroot_directory != NULL && options->chroot_directory[0] != '\0';
	unsigned user_id = 0, group_id = 0;
	struct buffer description = {0};

	fix_time_zone();
	buffer_append_string(&description, options->log_only ? "seccomp-log" : "seccomp");
	/* The user data base is out of reach behind the new root. */
	if (wants_user && !sandbox_user_lookup(options->user, &user_id, &group_id))
		fatal("sandbox: there is no user %s", options->user);
	if (wants_chroot) {
		change_root(options->chroot_directory);
		buffer_append_string(&description, ",chroot");
	}
	if (wants_user) {
		change_user(options->user, user_id, group_id);
		buffer_append_string(&description, ",user");
	}
	close_side_doors();
	if (sandbox_landlock(options))
		buffer_append_string(&description, ",landlock");
	sandbox_system_calls(options);
	return buffer_take_string(&description);
}
