/* The directory of poisonous messages, with real files: what is kept, what goes, what is left alone. */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "deliver/poison.h"
#include "folder.h"

struct fixture {
	struct folder folder;
	int directory;
};

static void
set_up(struct fixture *f)
{
	folder_make(&f->folder);
	f->directory = poison_open(f->folder.path);
	ck_assert_int_ge(f->directory, 0);
}

static void
tear_down(struct fixture *f)
{
	close(f->directory);
	folder_remove(&f->folder);
}

static bool
keep(struct fixture *f, const char *queue_id, const char *bytes, const char *why)
{
	struct view view;
	view_init(&view, NULL);
	view_add_text(&view, span_of(bytes));
	bool kept = poison_keep(f->directory, queue_id, &view, why);
	view_clear(&view);
	return kept;
}

static bool
exists(struct fixture *f, const char *name)
{
	return access(folder_path(&f->folder, name), F_OK) == 0;
}

static void
file_is(struct fixture *f, const char *name, const char *expected)
{
	size_t length;
	char *bytes = file_read(folder_path(&f->folder, name), &length);
	ck_assert_uint_eq(length, strlen(expected));
	ck_assert_mem_eq(bytes, expected, length);
	free(bytes);
}

/* So many seconds ago. */
static void
age(struct fixture *f, const char *name, int seconds)
{
	struct timespec times[2];
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds;
	times[1] = times[0];
	ck_assert_int_eq(utimensat(AT_FDCWD, folder_path(&f->folder, name), times, 0), 0);
}

START_TEST(kept)
{
	struct fixture f;
	struct stat status;
	set_up(&f);
	ck_assert(keep(&f, "Q1", "Subject: x\r\n\r\n.\r\n", "killed two workers\x1b[2J"));
	ck_assert_int_eq(folder_count(&f.folder, ".", NULL), 2);
	file_is(&f, "Q1.eml", "Subject: x\r\n\r\n.\r\n");
	file_is(&f, "Q1.txt", "killed two workers\\x1b[2J\n");
	ck_assert_int_eq(stat(folder_path(&f.folder, "Q1.eml"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	/* Again: replaced. */
	ck_assert(keep(&f, "Q1", "y", "again"));
	ck_assert_int_eq(folder_count(&f.folder, ".", NULL), 2);
	file_is(&f, "Q1.eml", "y");
	tear_down(&f);
}
END_TEST

START_TEST(oldest_go)
{
	struct fixture f;
	char id[16], name[32];
	set_up(&f);
	close(open(folder_path(&f.folder, "README"), O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < 60; i++) {
		snprintf(id, sizeof id, "Q%02d", i);
		ck_assert(keep(&f, id, "x", "y"));
		snprintf(name, sizeof name, "%s.eml", id);
		age(&f, name, 1000 - i);
		snprintf(name, sizeof name, "%s.txt", id);
		age(&f, name, 1000 - i);
	}
	ck_assert_int_eq(folder_count(&f.folder, ".", NULL), POISON_FILES_MAX + 1);
	ck_assert(exists(&f, "README"));
	ck_assert(!exists(&f, "Q09.eml"));
	ck_assert(!exists(&f, "Q09.txt"));
	ck_assert(exists(&f, "Q10.eml"));
	ck_assert(exists(&f, "Q59.eml"));
	tear_down(&f);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	struct fixture f;
	set_up(&f);
	/* Sparse files stand for large ones. */
	ck_assert(keep(&f, "Q1", "x", "y"));
	ck_assert(keep(&f, "Q2", "x", "y"));
	age(&f, "Q1.eml", 20);
	age(&f, "Q1.txt", 20);
	ck_assert_int_eq(truncate(folder_path(&f.folder, "Q1.eml"), 200 << 20), 0);
	ck_assert_int_eq(truncate(folder_path(&f.folder, "Q2.eml"), 56 << 20), 0);
	age(&f, "Q1.eml", 20);
	age(&f, "Q2.eml", 10);
	ck_assert(keep(&f, "Q3", "x", "y"));
	ck_assert(!exists(&f, "Q1.eml") && !exists(&f, "Q1.txt"));
	ck_assert(exists(&f, "Q2.eml") && exists(&f, "Q2.txt") && exists(&f, "Q3.eml"));
	tear_down(&f);
}
END_TEST

static void
no_line(void *context, enum log_level level, const char *line)
{
	(void)level;
	strncat(context, line, 1000);
}

START_TEST(failures)
{
	struct fixture f;
	char lines[8000] = "";
	struct rlimit limit = {1000, RLIM_INFINITY};
	char *big = malloc(5001);
	set_up(&f);
	memset(big, 'x', 5000);
	big[5000] = '\0';
	log_set_emitter(no_line, lines);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(!keep(&f, "Q1", big, "y"));
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(folder_count(&f.folder, ".", NULL), 0);
	ck_assert_ptr_nonnull(strstr(lines, "File too large"));
	/* More than there may ever be. */
	struct view view;
	char path[] = "/tmp/postern-message-XXXXXX";
	int descriptor = mkstemp(path);
	ck_assert_int_eq(ftruncate(descriptor, (off_t)POISON_BYTES_MAX + 1), 0);
	view_init(&view, message_store_open(open(path, O_RDONLY)));
	view_add_range(&view, 0, POISON_BYTES_MAX + 1);
	ck_assert(keep(&f, "Q2", "x", "y"));
	ck_assert(!poison_keep(f.directory, "Q3", &view, "y"));
	ck_assert(exists(&f, "Q2.eml"));
	ck_assert_int_eq(folder_count(&f.folder, ".", NULL), 2);
	unlink(path);
	close(descriptor);
	message_store_free(&view.message);
	view_clear(&view);
	log_set_emitter(NULL, NULL);
	free(big);
	tear_down(&f);
}
END_TEST

START_TEST(half_written)
{
	struct fixture f;
	set_up(&f);
	close(open(folder_path(&f.folder, "Q1.part"), O_CREAT | O_WRONLY, 0600));
	close(open(folder_path(&f.folder, "Q2.eml"), O_CREAT | O_WRONLY, 0600));
	int again = poison_open(f.folder.path);
	ck_assert_int_ge(again, 0);
	ck_assert(!exists(&f, "Q1.part"));
	ck_assert(exists(&f, "Q2.eml"));
	close(again);
	ck_assert_int_eq(poison_open("/nonexistent/poison"), -1);
	ck_assert_int_eq(errno, ENOENT);
	tear_down(&f);
}
END_TEST

SUITE_MAIN("deliver/poison", kept, oldest_go, bytes_are_bounded, failures, half_written)
