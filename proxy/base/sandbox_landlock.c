/* Landlock: which files a process can still reach, where the kernel has it (Debian 12's has ABI 2). Raw system calls, because
 * glibc has no wrappers. What an older kernel does not know is left out, never an error. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox_private.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* since ABI 3 */
#endif

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_CHANGE \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
/* Nobody here starts programs or makes devices, sockets, pipes or links. */
#define ACCESS_NEVER \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
	    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* What we ask to govern, as far as this kernel knows it. */
static __u64
handled_access(int abi)
{
	__u64 handled = ACCESS_READ | ACCESS_CHANGE | ACCESS_NEVER;

	if (abi >= 2)
		handled |= LANDLOCK_ACCESS_FS_REFER; /* ABI 1 always forbids moving between directories */
	if (abi >= 3)
		handled |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return handled;
}

static void
allow_descriptor(int ruleset, int descriptor, __u64 access, const char *what)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = descriptor};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		fatal("sandbox: landlock rule for %s refused: %s", what, strerror(errno));
}

/* A path that is not there needs no rule: it stays out of reach. */
static void
allow_path(int ruleset, const char *path, __u64 access)
{
	int descriptor = open(path, O_PATH | O_CLOEXEC);

	if (descriptor < 0)
		return;
	allow_descriptor(ruleset, descriptor, access, path);
	close(descriptor);
}

static void
allow_all(int ruleset, const struct sandbox_options *options, __u64 handled)
{
	const __u64 change = handled & ~(__u64)ACCESS_NEVER;

	for (size_t i = 0; i < options->directory_count; i++)
		allow_path(ruleset, options->directories[i], change);
	for (size_t i = 0; i < options->directory_descriptor_count; i++)
		allow_descriptor(ruleset, options->directory_descriptors[i], change, "an open directory");
	for (size_t i = 0; i < options->readable_count; i++)
		allow_path(ruleset, options->readable[i], LANDLOCK_ACCESS_FS_READ_FILE);
#if defined(__SANITIZE_ADDRESS__)
	/* The sanitizer's report reads our own maps and debugging data. */
	allow_path(ruleset, "/", ACCESS_READ);
#endif
}

bool
sandbox_landlock(const struct sandbox_options *options)
{
	struct landlock_ruleset_attr attributes;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset;

	if (abi < 1)
		return false; /* ENOSYS: not built in; EOPNOTSUPP: switched off at boot */
	if (options->log_only)
		return false; /* Landlock has no mode that only logs */
	memset(&attributes, 0, sizeof attributes);
	attributes.handled_access_fs = handled_access((int)abi);
	/* Only the first member: every ABI knows that size. */
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
	if (ruleset < 0)
		fatal("sandbox: landlock rules refused: %s", strerror(errno));
	allow_all(ruleset, options, attributes.handled_access_fs);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		fatal("sandbox: landlock refused: %s", strerror(errno));
	close(ruleset);
	return true;
}
