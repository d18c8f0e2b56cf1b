/* Maildirs on a real file system: names, layout, exact bytes, and what fails. */
#include "suite.h"

#include <errno.h>
#include <sys/mount.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>

#include "base/log.h"
#include "base/memory.h"
#include "deliver/maildir.h"
#include "folder.h"

START_TEST(names)
{
	static const struct { const char *address, *domain, *name; } cases[] = {
		{"user@example.org", "example.org", "user@example.org"},
		{"User.Name+tag@Example.ORG", "example.org", "user.name+tag@example.org"},
		{"postmaster", "", "postmaster"},
		{"\"quoted\"@example.org", "example.org", "quoted@example.org"},
		{"\"a b\"@example.org", "example.org", "a%20b@example.org"},
		{"\"a@b\"@example.org", "example.org", "a%40b@example.org"},
		{"\"a\\\"b\"@example.org", "example.org", "a%22b@example.org"},
		{"\"..\"@example.org", "example.org", "%2E.@example.org"},
		{"\".\"@example.org", "example.org", "%2E@example.org"},
		{"\".hidden\"@example.org", "example.org", "%2Ehidden@example.org"},
		{"\"../../etc/passwd\"@example.org", "example.org", "%2E.%2F..%2Fetc%2Fpasswd@example.org"},
		{"a%2fb@example.org", "example.org", "a%252fb@example.org"},
		{"a/b@example.org", "example.org", "a%2Fb@example.org"},
		{"\"\"@example.org", "example.org", "%@example.org"},
		{"user@[192.0.2.1]", "[192.0.2.1]", "user@%5B192.0.2.1%5D"},
		{"j\xc3\xbcrgen@example.org", "example.org", "j%C3%BCrgen@example.org"},
		{"a\nb\x01@example.org", "example.org", "a%0Ab%01@example.org"},
		{"-rf@example.org", "example.org", "-rf@example.org"},
		{"user@x", "../..", "user@../.."},
		{"", "", "%"},
	};
	char name[MAILDIR_NAME_SIZE];
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		maildir_name(cases[i].address, cases[i].domain, name);
		if (strcmp(cases[i].domain, "../..") == 0)
			ck_assert_ptr_null(strchr(name, '/')); /* a domain that the parser would never let through */
		else
			ck_assert_str_eq(name, cases[i].name);
	}
}
END_TEST

START_TEST(long_names)
{
	char one[MAILDIR_NAME_SIZE], other[MAILDIR_NAME_SIZE], address[400], domain[300];
	memset(domain, 'd', sizeof domain);
	domain[250] = '\0';
	snprintf(address, sizeof address, "a@%s", domain);
	ck_assert_uint_eq(strlen(maildir_name(address, domain, one)), MAILDIR_NAME_SIZE - 1);
	domain[249] = 'e';
	snprintf(address, sizeof address, "a@%s", domain);
	ck_assert_uint_eq(strlen(maildir_name(address, domain, other)), MAILDIR_NAME_SIZE - 1);
	ck_assert_str_ne(one, other);
	/* The longest name that needs no shortening. */
	domain[MAILDIR_NAME_SIZE - 3] = '\0';
	maildir_name("a@", domain, one);
	ck_assert_uint_eq(strlen(one), MAILDIR_NAME_SIZE - 1);
	ck_assert_ptr_null(strchr(one, '%'));
}
END_TEST

struct fixture {
	struct folder folder;
	struct clock_manual clock;
	struct maildir *maildir;
	struct view view;
	struct reply reply;
};

static void
set_up(struct fixture *f, const char *text)
{
	memset(f, 0, sizeof *f);
	folder_make(&f->folder);
	clock_manual_init(&f->clock, 1700000000123456);
	f->maildir = maildir_open(f->folder.path, "mx/1.example.org", &f->clock.clock);
	ck_assert_ptr_nonnull(f->maildir);
	view_init(&f->view, NULL);
	view_add_text(&f->view, span_of("Return-Path: <>\r\n"));
	view_add_text(&f->view, span_of(text));
}

static void
tear_down(struct fixture *f)
{
	view_clear(&f->view);
	reply_clear(&f->reply);
	maildir_close(&f->maildir);
	folder_remove(&f->folder);
}

START_TEST(stored)
{
	struct fixture f;
	char file[300], path[600];
	size_t length;
	struct stat status;
	set_up(&f, "Subject: x\r\n\r\n.dots\r\n\0rest");
	ck_assert(maildir_store(f.maildir, "u@example.org", "QID/..:1", &f.view, &f.reply));
	ck_assert_int_eq(f.reply.code, 250);
	ck_assert_str_eq(f.reply.enhanced, "2.0.0");
	ck_assert_int_eq(folder_count(&f.folder, "u@example.org", NULL), 3);
	ck_assert_int_eq(folder_count(&f.folder, "u@example.org/tmp", NULL), 0);
	ck_assert_int_eq(folder_count(&f.folder, "u@example.org/cur", NULL), 0);
	ck_assert_int_eq(folder_count(&f.folder, "u@example.org/new", file), 1);
	char expected[300];
	snprintf(expected, sizeof expected, "1700000000.M123456P%dQ1_QID1.mx_1.example.org,S=%llu", (int)getpid(),
	    (unsigned long long)f.view.length);
	ck_assert_str_eq(file, expected);
	snprintf(path, sizeof path, "u@example.org/new/%s", file);
	char *bytes = file_read(folder_path(&f.folder, path), &length);
	ck_assert_uint_eq(length, f.view.length);
	ck_assert_mem_eq(bytes, "Return-Path: <>\r\nSubject: x\r\n\r\n.dots\r\n", length);
	free(bytes);
	ck_assert_int_eq(stat(folder_path(&f.folder, path), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(folder_path(&f.folder, "u@example.org"), &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0700);
	/* The clock stands still, and still no name comes twice. */
	for (int i = 0; i < 20; i++)
		ck_assert(maildir_store(f.maildir, "u@example.org", "QID1", &f.view, &f.reply));
	ck_assert_int_eq(folder_count(&f.folder, "u@example.org/new", NULL), 21);
	tear_down(&f);
}
END_TEST

START_TEST(a_large_message_from_a_descriptor)
{
	struct fixture f;
	char file[300], path[600];
	size_t length, size = 3u << 20;
	set_up(&f, "X: y\r\n");
	char *big = malloc(size);
	for (size_t i = 0; i < size; i++)
		big[i] = (char)(i * 31 + i / 4096);
	char name[] = "/tmp/postern-message-XXXXXX";
	int descriptor = mkstemp(name);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq((int)write(descriptor, big, size), (int)size);
	close(descriptor);
	f.view.message = message_store_open(open(name, O_RDONLY));
	unlink(name);
	ck_assert_ptr_nonnull(f.view.message);
	view_add_range(&f.view, 5, size - 10);
	ck_assert(maildir_store(f.maildir, "big", "Q", &f.view, &f.reply));
	ck_assert_int_eq(folder_count(&f.folder, "big/new", file), 1);
	snprintf(path, sizeof path, "big/new/%s", file);
	char *bytes = file_read(folder_path(&f.folder, path), &length);
	ck_assert_uint_eq(length, 17 + 6 + size - 10);
	ck_assert_mem_eq(bytes + 23, big + 5, size - 10);
	free(bytes);
	free(big);
	message_store_free(&f.view.message);
	tear_down(&f);
}
END_TEST

START_TEST(folders_that_vanish)
{
	struct fixture f;
	set_up(&f, "\r\n");
	ck_assert(maildir_store(f.maildir, "u", "Q", &f.view, &f.reply));
	/* An administrator removes the Maildir, or a part of it: it is made again. */
	folder_count(&f.folder, "u/new", NULL);
	nftw(folder_path(&f.folder, "u"), folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	ck_assert(maildir_store(f.maildir, "u", "Q", &f.view, &f.reply));
	ck_assert_int_eq(folder_count(&f.folder, "u/new", NULL), 1);
	ck_assert_int_eq(rmdir(folder_path(&f.folder, "u/tmp")), 0);
	ck_assert(maildir_store(f.maildir, "u", "Q", &f.view, &f.reply));
	ck_assert_int_eq(folder_count(&f.folder, "u/new", NULL), 2);
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
	set_up(&f, "\r\n");
	log_set_emitter(no_line, lines);
	/* A file where the folder should be. */
	close(open(folder_path(&f.folder, "file"), O_CREAT | O_WRONLY, 0600));
	ck_assert(!maildir_store(f.maildir, "file", "Q\n1", &f.view, &f.reply));
	ck_assert_int_eq(f.reply.code, 451);
	ck_assert_str_eq(f.reply.enhanced, "4.3.0");
	ck_assert_ptr_nonnull(strstr(lines, "cannot open the folder"));
	ck_assert_ptr_null(strchr(lines, '\n'));
	/* A message shorter than its view says. */
	struct view broken;
	char name[] = "/tmp/postern-message-XXXXXX";
	int descriptor = mkstemp(name);
	ck_assert_int_eq(ftruncate(descriptor, 100000), 0);
	view_init(&broken, message_store_open(open(name, O_RDONLY)));
	view_add_range(&broken, 0, 100000);
	ck_assert_int_eq(ftruncate(descriptor, 70000), 0);
	ck_assert(!maildir_store(f.maildir, "u", "Q", &broken, &f.reply));
	ck_assert_int_eq(f.reply.code, 451);
	ck_assert_int_eq(folder_count(&f.folder, "u/tmp", NULL), 0);
	ck_assert_int_eq(folder_count(&f.folder, "u/new", NULL), 0);
	unlink(name);
	close(descriptor);
	message_store_free(&broken.message);
	view_clear(&broken);
	/* No such root. */
	ck_assert_ptr_null(maildir_open("/nonexistent/mail", "h", &f.clock.clock));
	ck_assert_int_eq(errno, ENOENT);
	log_set_emitter(NULL, NULL);
	tear_down(&f);
}
END_TEST

START_TEST(no_room)
{
	/* A file size limit stands for a full disk; a real one is in no_room_on_a_real_file_system. */
	struct fixture f;
	char lines[8000] = "";
	struct rlimit limit = {20, RLIM_INFINITY};
	set_up(&f, "0123456789012345678901234567890123456789\r\n");
	ck_assert(maildir_store(f.maildir, "u", "Q", &f.view, &f.reply));
	log_set_emitter(no_line, lines);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert(!maildir_store(f.maildir, "u", "Q", &f.view, &f.reply));
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(f.reply.code, 452);
	ck_assert_str_eq(f.reply.enhanced, "4.3.1");
	ck_assert_int_eq(folder_count(&f.folder, "u/tmp", NULL), 0);
	ck_assert_int_eq(folder_count(&f.folder, "u/new", NULL), 1);
	log_set_emitter(NULL, NULL);
	tear_down(&f);
}
END_TEST

/* In a child with a mount name space of its own: a tmpfs of 64 KiB, and a read-only one. 77: may not mount. */
static int
full_disk(void)
{
	struct fixture f;
	char lines[8000] = "", big[100000];
	set_up(&f, "\r\n");
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", f.folder.path, "tmpfs", 0, "size=64k") != 0)
		return 77;
	maildir_close(&f.maildir);
	f.maildir = maildir_open(f.folder.path, "h", &f.clock.clock);
	log_set_emitter(no_line, lines);
	if (!maildir_store(f.maildir, "u", "Q", &f.view, &f.reply))
		return 1;
	memset(big, 'x', sizeof big);
	view_add_text(&f.view, span_make(big, sizeof big));
	if (maildir_store(f.maildir, "u", "Q", &f.view, &f.reply) || f.reply.code != 452 || folder_count(&f.folder, "u/tmp", NULL) != 0 ||
	    folder_count(&f.folder, "u/new", NULL) != 1)
		return 2;
	if (mount(NULL, f.folder.path, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
		return 3;
	if (maildir_store(f.maildir, "v", "Q", &f.view, &f.reply) || f.reply.code != 451 || strcmp(f.reply.enhanced, "4.3.5") != 0)
		return 4;
	maildir_close(&f.maildir);
	umount2(f.folder.path, MNT_DETACH);
	return rmdir(f.folder.path) == 0 ? 0 : 5;
}

START_TEST(no_room_on_a_real_file_system)
{
	int state;
	pid_t child = fork();
	if (child == 0)
		_exit(full_disk());
	waitpid(child, &state, 0);
	ck_assert(WIFEXITED(state));
	if (WEXITSTATUS(state) == 77)
		printf("SKIPPED: this user may not mount\n");
	else
		ck_assert_int_eq(WEXITSTATUS(state), 0);
}
END_TEST

SUITE_MAIN("deliver/maildir", names, long_names, stored, a_large_message_from_a_descriptor, folders_that_vanish, failures, no_room,
    no_room_on_a_real_file_system)
