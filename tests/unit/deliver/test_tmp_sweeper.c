/* Abandoned files in tmp go, everything else stays. */
#include "suite.h"

#include <event2/event.h>
#include <time.h>

#include "deliver/tmp_sweeper.h"
#include "folder.h"

#define HOUR 3600

static void
path_make(const struct folder *folder, const char *name)
{
	char path[1024];
	strcpy(path, folder_path(folder, name));
	for (char *slash = strchr(path + strlen(folder->path) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

/* A file untouched for so long. */
static void
file_make(const struct folder *folder, const char *name, int read_ago_s, int written_ago_s)
{
	struct timespec times[2];
	path_make(folder, name);
	int descriptor = open(folder_path(folder, name), O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(descriptor, 0);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	times[0].tv_sec -= read_ago_s;
	times[1].tv_sec -= written_ago_s;
	ck_assert_int_eq(futimens(descriptor, times), 0);
	close(descriptor);
}

static bool
exists(const struct folder *folder, const char *name)
{
	return access(folder_path(folder, name), F_OK) == 0;
}

static void
run_for(struct event_base *base, int ms)
{
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};
	event_base_loopexit(base, &limit);
	event_base_dispatch(base);
}

START_TEST(swept)
{
	struct folder one, other;
	struct event_base *base = event_base_new();
	folder_make(&one);
	folder_make(&other);
	file_make(&one, "u@example.org/tmp/old", 37 * HOUR, 37 * HOUR);
	file_make(&one, "u@example.org/tmp/young", 35 * HOUR, 35 * HOUR);
	file_make(&one, "u@example.org/tmp/being-read", HOUR, 37 * HOUR);
	file_make(&one, "u@example.org/tmp/being-written", 37 * HOUR, HOUR);
	file_make(&one, "u@example.org/tmp/.hidden", 37 * HOUR, 37 * HOUR);
	file_make(&one, "u@example.org/tmp/folder/old", 37 * HOUR, 37 * HOUR);
	file_make(&one, "u@example.org/new/old", 37 * HOUR, 37 * HOUR);
	file_make(&one, "u@example.org/cur/old", 37 * HOUR, 37 * HOUR);
	file_make(&one, "no-maildir", 37 * HOUR, 37 * HOUR);
	file_make(&one, "v/tmp/old", 37 * HOUR, 37 * HOUR);
	/* The root is the Maildir. */
	file_make(&other, "tmp/old", 37 * HOUR, 37 * HOUR);
	file_make(&other, "new/old", 37 * HOUR, 37 * HOUR);
	/* What a link points to stays. */
	file_make(&other, "elsewhere", 37 * HOUR, 37 * HOUR);
	ck_assert_int_eq(symlink("../elsewhere", folder_path(&other, "tmp/link")), 0);

	struct maildir *maildirs[] = {maildir_open(one.path, "h", clock_system()), NULL, maildir_open(other.path, "h", clock_system())};
	struct tmp_sweeper *sweeper = tmp_sweeper_new(base, maildirs, 3, clock_system());
	ck_assert(exists(&one, "v/tmp/old")); /* not before the loop runs */
	run_for(base, 300);
	ck_assert_uint_eq(tmp_sweeper_removed(sweeper), 3);
	ck_assert(!exists(&one, "u@example.org/tmp/old") && !exists(&one, "v/tmp/old") && !exists(&other, "tmp/old"));
	ck_assert_int_eq(folder_count(&one, "u@example.org/tmp", NULL), 5);
	ck_assert(exists(&one, "u@example.org/tmp/folder/old") && exists(&one, "u@example.org/new/old") && exists(&one, "u@example.org/cur/old"));
	ck_assert(exists(&one, "no-maildir") && exists(&other, "new/old") && exists(&other, "elsewhere"));
	tmp_sweeper_free(&sweeper);
	ck_assert_ptr_null(sweeper);
	maildir_close(&maildirs[0]);
	maildir_close(&maildirs[2]);
	event_base_free(base);
	folder_remove(&one);
	folder_remove(&other);
}
END_TEST

START_TEST(many_folders)
{
	/* More than one step's worth; freed in the middle too. */
	struct folder folder;
	struct event_base *base = event_base_new();
	char name[32];
	folder_make(&folder);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "u%d/tmp/old", i);
		file_make(&folder, name, 37 * HOUR, 37 * HOUR);
	}
	struct maildir *maildir = maildir_open(folder.path, "h", clock_system());
	struct tmp_sweeper *sweeper = tmp_sweeper_new(base, &maildir, 1, clock_system());
	event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_gt(tmp_sweeper_removed(sweeper), 0);
	ck_assert_uint_lt(tmp_sweeper_removed(sweeper), 500);
	tmp_sweeper_free(&sweeper);
	sweeper = tmp_sweeper_new(base, &maildir, 1, clock_system());
	run_for(base, 500);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "u%d/tmp/old", i);
		ck_assert(!exists(&folder, name));
	}
	tmp_sweeper_free(&sweeper);
	maildir_close(&maildir);
	event_base_free(base);
	folder_remove(&folder);
}
END_TEST

SUITE_MAIN("deliver/tmp_sweeper", swept, many_folders)
