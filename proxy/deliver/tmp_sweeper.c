/* Walks the Maildirs' folders with a timer. Owns a directory stream while it walks; removes nothing but plain files in a folder `tmp`,
 * never follows a link to one. */
#include "deliver/tmp_sweeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

#define FOLDERS_AT_ONCE 200 /* about a millisecond */

static const struct timeval pause_between = {0, 20000}, day = {86400, 0};

struct tmp_sweeper {
	struct maildir **maildirs;
	size_t count;
	const struct clock *clock;
	struct event *timer;
	size_t at; /* the Maildir under way */
	DIR *folders; /* its root; NULL between two */
	uint64_t removed;
};

static DIR *
stream_open(int directory, const char *name)
{
	int descriptor = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = descriptor >= 0 ? fdopendir(descriptor) : NULL;

	if (stream == NULL && descriptor >= 0)
		close(descriptor);
	return stream;
}

static int64_t
microseconds(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* The convention counts from the last access; a slow writer only writes. */
static bool
is_abandoned(const struct stat *status, int64_t now_us)
{
	return S_ISREG(status->st_mode) && microseconds(status->st_atim) < now_us - TMP_SWEEPER_AGE_US &&
	    microseconds(status->st_mtim) < now_us - TMP_SWEEPER_AGE_US;
}

static void
tmp_sweep(struct tmp_sweeper *sweeper, DIR *tmp)
{
	int64_t now_us = clock_wall_us(sweeper->clock);
	struct stat status;

	for (struct dirent *entry; (entry = readdir(tmp)) != NULL;)
		if (entry->d_name[0] != '.' && fstatat(dirfd(tmp), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    is_abandoned(&status, now_us) && unlinkat(dirfd(tmp), entry->d_name, 0) == 0)
			sweeper->removed++;
}

/* The root itself comes as ".", as which it may be a Maildir too. */
static void
folder_sweep(struct tmp_sweeper *sweeper, const struct dirent *folder)
{
	char path[sizeof folder->d_name + sizeof "/tmp"];
	DIR *tmp;

	if (strcmp(folder->d_name, "..") == 0 || (folder->d_type != DT_DIR && folder->d_type != DT_UNKNOWN))
		return;
	stpcpy(stpcpy(path, folder->d_name), "/tmp");
	tmp = stream_open(dirfd(sweeper->folders), path);
	if (tmp == NULL)
		return;
	tmp_sweep(sweeper, tmp);
	closedir(tmp);
}

/* Up to so many folders of one Maildir. */
static void
step(struct tmp_sweeper *sweeper)
{
	struct maildir *maildir = sweeper->maildirs[sweeper->at];
	struct dirent *folder = NULL;

	if (sweeper->folders == NULL && maildir != NULL)
		sweeper->folders = stream_open(maildir_root(maildir), ".");
	for (unsigned i = 0; i < FOLDERS_AT_ONCE && sweeper->folders != NULL; i++) {
		folder = readdir(sweeper->folders);
		if (folder == NULL)
			break;
		folder_sweep(sweeper, folder);
	}
	if (folder != NULL)
		return;
	if (sweeper->folders != NULL)
		closedir(sweeper->folders);
	sweeper->folders = NULL;
	sweeper->at++;
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
	struct tmp_sweeper *sweeper = context;

	(void)descriptor, (void)what;
	if (sweeper->at == 0 && sweeper->folders == NULL)
		sweeper->removed = 0;
	if (sweeper->at < sweeper->count)
		step(sweeper);
	if (sweeper->at < sweeper->count) {
		evtimer_add(sweeper->timer, &pause_between);
		return;
	}
	if (sweeper->removed > 0)
		log_info("%llu unfinished files older than 36 hours removed from Maildirs", (unsigned long long)sweeper->removed);
	sweeper->at = 0;
	evtimer_add(sweeper->timer, &day);
}

struct tmp_sweeper *
tmp_sweeper_new(struct event_base *base, struct maildir *const *maildirs, size_t count, const struct clock *clock)
{
	struct tmp_sweeper *sweeper = memory_new(sizeof *sweeper);

	sweeper->maildirs = memory_new_array(count + 1, sizeof(struct maildir *));
	if (count > 0)
		memcpy(sweeper->maildirs, maildirs, count * sizeof(struct maildir *));
	sweeper->count = count;
	sweeper->clock = clock;
	sweeper->timer = evtimer_new(base, on_timer, sweeper);
	evtimer_add(sweeper->timer, &pause_between);
	return sweeper;
}

void
tmp_sweeper_free(struct tmp_sweeper **sweeper)
{
	if (*sweeper == NULL)
		return;
	if ((*sweeper)->folders != NULL)
		closedir((*sweeper)->folders);
	event_free((*sweeper)->timer);
	memory_free(&(*sweeper)->maildirs);
	memory_free(sweeper);
}

uint64_t
tmp_sweeper_removed(const struct tmp_sweeper *sweeper)
{
	return sweeper->removed;
}
