/* Users and directories. The descriptor budget is in budget.c. */
#include "master/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sandbox.h"

#define EXPLICIT_ROOT "root" /* like `user: ""`: the administrator insists on staying root */

static const enum role child_roles[] = {ROLE_PROXY, ROLE_DELIVER, ROLE_JOURNAL, ROLE_AUTH};
#define CHILD_ROLES (sizeof child_roles / sizeof child_roles[0])

static bool
changes_users(const struct config *config)
{
	return geteuid() == 0 && config->user_prefix != NULL && config->user_prefix[0] != '\0' &&
	    strcmp(config->user_prefix, EXPLICIT_ROOT) != 0;
}

/* The table of roles has the names for the prefix "postern"; another prefix takes the place of that one. */
char *
privileges_user(const struct config *config, enum role role)
{
	static const char prefix[] = "postern";

	if (!changes_users(config))
		return memory_copy_string("");
	return memory_format("%s%s", config->user_prefix, role_default_user(role) + sizeof prefix - 1);
}

static bool
has_unix_backend(const struct config *config)
{
	for (size_t i = 0; i < config->backend_count; i++)
		if (config->backends[i].protocol == BACKEND_LMTP_UNIX)
			return true;
	return false;
}

/* A backend's Unix socket could not be reached from an empty root; the proxy then has Landlock and seccomp alone. */
char *
privileges_chroot(const struct config *config, enum role role)
{
	bool can_live_without_files = role == ROLE_AUTH || (role == ROLE_PROXY && !has_unix_backend(config));

	if (geteuid() != 0 || !can_live_without_files)
		return memory_copy_string("");
	return privileges_path(config, DIRECTORY_EMPTY);
}

bool
privileges_check_users(const struct config *config, struct buffer *error)
{
	unsigned user_id, group_id;
	size_t missing = 0;

	if (geteuid() != 0)
		return true;
	for (size_t i = 0; changes_users(config) && i < CHILD_ROLES; i++) {
		bool starts = child_roles[i] != ROLE_AUTH || privileges_auth_worker_count(config) > 0;
		char *user = privileges_user(config, child_roles[i]);

		if (starts && !sandbox_user_lookup(user, &user_id, &group_id)) {
			buffer_printf(error, "%s: there is no user %s (for %s); make it: adduser --system --group --no-create-home --home /nonexistent %s\n",
			    config->file_name, user, role_name(child_roles[i]), user);
			missing++;
		}
		memory_free(&user);
	}
	if (missing > 0)
		buffer_printf(error, "%s: (or say `user: \"\"` to stay root, for a trial)\n", config->file_name);
	return missing == 0;
}

char *
privileges_path(const struct config *config, const char *path)
{
	return path[0] == '/' ? memory_copy_string(path) : memory_format("%s/%s", config->data_directory, path);
}

/* With this mode whatever the umask: the roles must get through what root made. */
static bool
make_one(const char *path, mode_t mode, bool *made)
{
	*made = mkdir(path, mode) == 0;
	return *made ? chmod(path, mode) == 0 : errno == EEXIST;
}

/* mkdir -p. *made tells whether the last part is new. */
static bool
make_path(const char *path, mode_t mode, bool *made)
{
	char *part = memory_copy_string(path);
	bool ok = true;

	for (char *slash = strchr(part + 1, '/'); slash != NULL && ok; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		ok = make_one(part, 0755, made);
		*slash = '/';
	}
	*made = false;
	ok = ok && make_one(part, mode, made);
	memory_free(&part);
	return ok;
}

struct wanted_directory {
	const char *path; /* as configured, or a name below the data directory */
	mode_t mode;
	enum role owner; /* ROLE_MASTER: stays ours */
	bool ours_alone; /* below data_directory by our own naming: its owner is put right when it is not */
};

static bool
give_to_owner(const struct config *config, const char *path, const struct wanted_directory *wanted, bool made)
{
	char *user = privileges_user(config, wanted->owner);
	unsigned user_id, group_id;
	struct stat status;
	bool ok = true;

	if (user[0] != '\0' && sandbox_user_lookup(user, &user_id, &group_id) && stat(path, &status) == 0 && status.st_uid != user_id &&
	    (made || wanted->ours_alone))
		ok = chown(path, user_id, group_id) == 0;
	memory_free(&user);
	return ok;
}

/* Only that user knows for sure (modes of all directories above, access lists): so a child becomes it and looks. Returns an errno. */
static int
access_as(unsigned user_id, unsigned group_id, const char *path)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		if (setgroups(0, NULL) != 0 || setresgid(group_id, group_id, group_id) != 0 || setresuid(user_id, user_id, user_id) != 0)
			_exit(errno);
		_exit(access(path, W_OK | X_OK) == 0 ? 0 : errno);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* Found out now, not when the first message cannot be stored. */
static bool
check_access(const struct config *config, const char *path, enum role role, struct buffer *error)
{
	char *user = privileges_user(config, role);
	unsigned user_id, group_id;
	int failure = 0;

	if (user[0] != '\0' && sandbox_user_lookup(user, &user_id, &group_id))
		failure = access_as(user_id, group_id, path);
	else if (access(path, W_OK | X_OK) != 0)
		failure = errno;
	if (failure != 0)
		buffer_printf(error, "%s: directory %s: cannot be used by %s%s: %s%s\n", config->file_name, path, user[0] != '\0' ? "user " : "us", user,
		    strerror(failure), user[0] != '\0' ? " (it must be the owner, and may pass through each directory above)" : "");
	memory_free(&user);
	return failure == 0;
}

static bool
make_directory(const struct config *config, const struct wanted_directory *wanted, struct buffer *error)
{
	char *path = privileges_path(config, wanted->path);
	bool made = false, ok = make_path(path, wanted->mode, &made);
	struct stat status;

	if (ok && (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))) {
		errno = ENOTDIR;
		ok = false;
	}
	if (ok && wanted->owner != ROLE_MASTER)
		ok = give_to_owner(config, path, wanted, made);
	if (!ok)
		buffer_printf(error, "%s: directory %s: %s\n", config->file_name, path, strerror(errno));
	else if (wanted->owner != ROLE_MASTER)
		ok = check_access(config, path, wanted->owner, error);
	memory_free(&path);
	return ok;
}

/* quarantine is kept as written: maildir:PATH. */
static const char *
maildir_path(const char *text)
{
	static const char scheme[] = "maildir:";

	return strncmp(text, scheme, sizeof scheme - 1) == 0 ? text + sizeof scheme - 1 : text;
}

bool
privileges_make_directories(const struct config *config, struct buffer *error)
{
	static const struct wanted_directory own[] = {
		{DIRECTORY_EMPTY, 0555, ROLE_MASTER, true},
		{DIRECTORY_SPOOL, 0700, ROLE_MASTER, true},
		{DIRECTORY_LEDGER, 0700, ROLE_DELIVER, true},
		{DIRECTORY_POISON, 0700, ROLE_DELIVER, true},
		{DIRECTORY_TRACE, 0700, ROLE_JOURNAL, true},
	};
	bool made, ok = make_path(config->data_directory, 0755, &made);

	if (!ok)
		buffer_printf(error, "%s: data_directory %s: %s\n", config->file_name, config->data_directory, strerror(errno));
	for (size_t i = 0; ok && i < sizeof own / sizeof own[0]; i++)
		ok = make_directory(config, &own[i], error);
	for (size_t i = 0; ok && i < config->backend_count; i++)
		if (config->backends[i].protocol == BACKEND_MAILDIR)
			ok = make_directory(config, &(struct wanted_directory){config->backends[i].path, 0700, ROLE_DELIVER, false}, error);
	if (ok && config->quarantine != NULL)
		ok = make_directory(config, &(struct wanted_directory){maildir_path(config->quarantine), 0700, ROLE_DELIVER, false}, error);
	return ok;
}
