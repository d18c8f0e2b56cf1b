/* The sandbox tried from inside: each case enters it in a process of its own and does one thing. */
#include "base/sandbox.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

#define INSIDE_OK 42

/* What a case needs to know; the directory is made per case. */
struct place {
	char directory[64];
	int descriptor;
	char outside[64];
};

static void
place_make(struct place *place)
{
	strcpy(place->directory, "/tmp/sandbox-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place->directory));
	ck_assert_int_eq(chmod(place->directory, 0777), 0);
	place->descriptor = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	strcpy(place->outside, "/tmp/sandbox-outside-XXXXXX");
	close(mkstemp(place->outside));
	ck_assert_int_eq(chmod(place->outside, 0666), 0);
}

static void
place_remove(struct place *place)
{
	char command[128];

	close(place->descriptor);
	unlink(place->outside);
	snprintf(command, sizeof command, "rm -rf %s", place->directory);
	ck_assert_int_eq(system(command), 0);
}

/* Enters with the profile and runs `what` there; returns the wait status. Standard error goes to `message`. */
static int
run_inside(enum sandbox_profile profile, bool log_only, struct place *place, int (*what)(struct place *), char *message, size_t size)
{
	int output[2], status;
	size_t length = 0;
	ssize_t got;
	pid_t process;

	ck_assert_int_eq(pipe(output), 0);
	process = fork();
	ck_assert_int_ge(process, 0);
	if (process == 0) {
		const char *directories[] = {place->directory};
		struct sandbox_options options = {.profile = profile, .role = "tested", .log_only = log_only};

		dup2(output[1], 2);
		if (profile == SANDBOX_PROXY) {
			options.directory_descriptors = &place->descriptor;
			options.directory_descriptor_count = 1;
		} else {
			options.directories = directories;
			options.directory_count = 1;
		}
		if (strncmp(sandbox_enter(&options), "seccomp", 7) != 0)
			_exit(3);
		_exit(what(place));
	}
	close(output[1]);
	while (length + 1 < size && (got = read(output[0], message + length, size - 1 - length)) > 0)
		length += (size_t)got;
	message[length] = '\0';
	close(output[0]);
	ck_assert_int_eq(waitpid(process, &status, 0), process);
	return status;
}

static void
check_refused(enum sandbox_profile profile, int (*what)(struct place *), const char *name, long number)
{
	struct place place;
	char message[4096], expected[128];
	int status;

	place_make(&place);
	status = run_inside(profile, false, &place, what, message, sizeof message);
	place_remove(&place);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == SANDBOX_VIOLATION_STATUS, "%s: status %x, said: %s", name, status, message);
	snprintf(expected, sizeof expected, "tested: sandbox: system call %ld refused\n", number);
	ck_assert_str_eq(message, expected);
}

static void
check_allowed(enum sandbox_profile profile, int (*what)(struct place *), const char *name)
{
	struct place place;
	char message[4096];
	int status;

	place_make(&place);
	status = run_inside(profile, false, &place, what, message, sizeof message);
	place_remove(&place);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == INSIDE_OK, "%s: status %x, said: %s", name, status, message);
}

static int
do_execve(struct place *place)
{
	char *arguments[] = {(char *)"true", NULL};

	(void)place;
	execve("/bin/true", arguments, NULL);
	return 0;
}

static int
do_fork(struct place *place)
{
	(void)place;
	return (int)syscall(SYS_fork);
}

static int
do_ptrace(struct place *place)
{
	(void)place;
	syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
	return 0;
}

static int
do_open_for_writing(struct place *place)
{
	syscall(SYS_openat, AT_FDCWD, place->outside, O_RDWR);
	return 0;
}

static int
do_open(struct place *place)
{
	syscall(SYS_openat, AT_FDCWD, place->outside, O_RDONLY);
	return 0;
}

static int
do_socket_packet(struct place *place)
{
	(void)place;
	socket(AF_PACKET, SOCK_RAW, 0);
	return 0;
}

static int
do_socket_raw(struct place *place)
{
	(void)place;
	socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	return 0;
}

static int
do_socket_netlink(struct place *place)
{
	(void)place;
	socket(AF_NETLINK, SOCK_RAW, 0);
	return 0;
}

static int
do_socket_inet(struct place *place)
{
	(void)place;
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) >= 0 ? INSIDE_OK : 1;
}

static int
do_executable_memory(struct place *place)
{
	(void)place;
	mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

static int
do_make_executable(struct place *place)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)place;
	mprotect(page, 4096, PROT_READ | PROT_EXEC);
	return 0;
}

static int
do_kill_other(struct place *place)
{
	(void)place;
	syscall(SYS_tgkill, getppid(), getppid(), 0);
	return 0;
}

static int
do_set_limit(struct place *place)
{
	const struct rlimit limit = {1, 1};

	(void)place;
	prlimit(0, RLIMIT_NOFILE, &limit, NULL);
	return 0;
}

START_TEST(test_proxy_may_not)
{
	check_refused(SANDBOX_PROXY, do_execve, "execve", SYS_execve);
	check_refused(SANDBOX_PROXY, do_fork, "fork", SYS_fork);
	check_refused(SANDBOX_PROXY, do_ptrace, "ptrace", SYS_ptrace);
	check_refused(SANDBOX_PROXY, do_open_for_writing, "openat for writing", SYS_openat);
#if !defined(__SANITIZE_ADDRESS__)
	check_refused(SANDBOX_PROXY, do_open, "openat", SYS_openat);
#else
	(void)do_open;
#endif
	check_refused(SANDBOX_PROXY, do_socket_packet, "packet socket", SYS_socket);
	check_refused(SANDBOX_PROXY, do_socket_raw, "raw socket", SYS_socket);
	check_refused(SANDBOX_PROXY, do_socket_netlink, "netlink socket", SYS_socket);
	check_refused(SANDBOX_PROXY, do_executable_memory, "executable mmap", SYS_mmap);
	check_refused(SANDBOX_PROXY, do_make_executable, "executable mprotect", SYS_mprotect);
	check_refused(SANDBOX_PROXY, do_kill_other, "tgkill of another", SYS_tgkill);
	check_refused(SANDBOX_PROXY, do_set_limit, "prlimit64", SYS_prlimit64);
}
END_TEST

START_TEST(test_writers_may_not)
{
	static const enum sandbox_profile profiles[] = {SANDBOX_DELIVER, SANDBOX_JOURNAL};

	for (size_t i = 0; i < 2; i++) {
		check_refused(profiles[i], do_execve, "execve", SYS_execve);
		check_refused(profiles[i], do_fork, "fork", SYS_fork);
		check_refused(profiles[i], do_ptrace, "ptrace", SYS_ptrace);
		check_refused(profiles[i], do_socket_inet, "inet socket", SYS_socket);
		check_refused(profiles[i], do_executable_memory, "executable mmap", SYS_mmap);
	}
}
END_TEST

static int
do_socket_unix(struct place *place)
{
	(void)place;
	socket(AF_UNIX, SOCK_STREAM, 0);
	return 0;
}

static int
do_socket_pair(struct place *place)
{
	int pair[2];

	(void)place;
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	return 0;
}

static int
do_connect(struct place *place)
{
	const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 25};

	connect(place->descriptor, (const struct sockaddr *)&address, sizeof address);
	return 0;
}

static int
do_memory_file(struct place *place)
{
	(void)place;
	memfd_create("more", MFD_CLOEXEC);
	return 0;
}

static int
do_shared_memory(struct place *place)
{
	(void)place;
	mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return 0;
}

static int
do_unlink(struct place *place)
{
	unlinkat(place->descriptor, "anything", 0);
	return 0;
}

static int
do_clone(struct place *place)
{
	(void)place;
	return (int)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

START_TEST(test_auth_may_not)
{
	check_refused(SANDBOX_AUTH, do_execve, "execve", SYS_execve);
	check_refused(SANDBOX_AUTH, do_fork, "fork", SYS_fork);
	check_refused(SANDBOX_AUTH, do_clone, "clone", SYS_clone);
	check_refused(SANDBOX_AUTH, do_ptrace, "ptrace", SYS_ptrace);
	check_refused(SANDBOX_AUTH, do_open_for_writing, "openat for writing", SYS_openat);
#if !defined(__SANITIZE_ADDRESS__)
	check_refused(SANDBOX_AUTH, do_open, "openat", SYS_openat);
#endif
	check_refused(SANDBOX_AUTH, do_unlink, "unlinkat", SYS_unlinkat);
	check_refused(SANDBOX_AUTH, do_socket_inet, "inet socket", SYS_socket);
	check_refused(SANDBOX_AUTH, do_socket_unix, "unix socket", SYS_socket);
	check_refused(SANDBOX_AUTH, do_socket_pair, "socketpair", SYS_socketpair);
	check_refused(SANDBOX_AUTH, do_connect, "connect", SYS_connect);
	check_refused(SANDBOX_AUTH, do_memory_file, "memfd_create", SYS_memfd_create);
	check_refused(SANDBOX_AUTH, do_shared_memory, "shared mmap", SYS_mmap);
	check_refused(SANDBOX_AUTH, do_executable_memory, "executable mmap", SYS_mmap);
	check_refused(SANDBOX_AUTH, do_make_executable, "executable mprotect", SYS_mprotect);
	check_refused(SANDBOX_AUTH, do_kill_other, "tgkill of another", SYS_tgkill);
	check_refused(SANDBOX_AUTH, do_set_limit, "prlimit64", SYS_prlimit64);
}
END_TEST

/* An event loop with a socket pair, a timer and a sealed message: the life of a proxy in small. */
static int
do_proxy_life(struct place *place)
{
	struct event_base *base = event_base_new();
	struct timeval soon = {0, 1000};
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int memory = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING), pair[2], spool;

	if (write(memory, "hello", 5) != 5 || fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
		return 1;
	if (mmap(NULL, 5, PROT_READ, MAP_SHARED, memory, 0) == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return 2;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &memory, sizeof memory);
	if (sendmsg(pair[0], &message, 0) != 1 || recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC) != 1)
		return 3;
	spool = openat(place->descriptor, "spooled", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (spool < 0 || unlinkat(place->descriptor, "spooled", 0) != 0 || ftruncate(spool, 10) != 0)
		return 4;
	if (base == NULL || event_base_loopexit(base, &soon) != 0 || event_base_dispatch(base) < 0)
		return 5;
	free(malloc(3 << 20));
	time_t now = time(NULL);
	struct tm broken_down;
	if (localtime_r(&now, &broken_down) == NULL || broken_down.tm_gmtoff != 0) /* opens no zone file */
		return 6;
	return do_socket_inet(place);
}

static int
do_is_undumpable(struct place *place)
{
	struct rlimit limit;

	(void)place;
	return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? INSIDE_OK : 1;
}

static bool
in_directory(struct place *place, const char *name, char *path)
{
	snprintf(path, 128, "%s/%s", place->directory, name);
	return true;
}

static int
do_writer_life(struct place *place)
{
	char folder[128], from[128], to[128];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat status;
	int file;

	in_directory(place, "new", folder);
	in_directory(place, "file", from);
	in_directory(place, "new/file", to);
	if (mkdir(folder, 0700) != 0)
		return 1;
	file = open(from, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0 || fcntl(file, F_SETLK, &lock) != 0 || write(file, "mail", 4) != 4 || fdatasync(file) != 0 || ftruncate(file, 2) != 0)
		return 2;
	if (mmap(NULL, 2, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
		return 3;
	if (rename(from, to) != 0 || stat(to, &status) != 0 || status.st_size != 2 || unlink(to) != 0 || rmdir(folder) != 0)
		return 4;
	return fsync(place->descriptor) == 0 ? INSIDE_OK : 5;
}

START_TEST(test_profiles_suffice)
{
	check_allowed(SANDBOX_PROXY, do_proxy_life, "a proxy's life");
	check_allowed(SANDBOX_PROXY, do_is_undumpable, "no core");
	check_allowed(SANDBOX_DELIVER, do_writer_life, "a writer's life");
	check_allowed(SANDBOX_JOURNAL, do_writer_life, "a writer's life");
}
END_TEST

/* With Landlock, files outside the directories cannot be changed even by a profile that may open. */
static int
do_write_outside(struct place *place)
{
	int file = open(place->outside, O_RDWR);

	if (file >= 0)
		return 1;
	return errno == EACCES ? INSIDE_OK : 2;
}

static int
do_leave_by_parent(struct place *place)
{
	int file = openat(place->descriptor, "../../etc/shadow-made-by-test", O_RDWR | O_CREAT, 0600);

	return file < 0 && errno == EACCES ? INSIDE_OK : 1;
}

START_TEST(test_landlock_keeps_inside)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
		return; /* this kernel has none */
	check_allowed(SANDBOX_DELIVER, do_write_outside, "deliver outside");
	check_allowed(SANDBOX_JOURNAL, do_write_outside, "journal outside");
	check_allowed(SANDBOX_PROXY, do_leave_by_parent, "proxy leaves the spool");
}
END_TEST

static int
do_unlisted_but_harmless(struct place *place)
{
	/* A harmless call that is on no list. */
	(void)place;
	return syscall(SYS_getpgid, 0) >= 0 ? INSIDE_OK : 1;
}

START_TEST(test_log_mode_only_logs)
{
	struct place place;
	char message[4096];
	int status;

	check_refused(SANDBOX_PROXY, do_unlisted_but_harmless, "getpgid", SYS_getpgid);
	place_make(&place);
	status = run_inside(SANDBOX_PROXY, true, &place, do_unlisted_but_harmless, message, sizeof message);
	place_remove(&place);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == INSIDE_OK, "status %x, said: %s", status, message);
}
END_TEST

/* As root: another user and an empty root for good. */
START_TEST(test_user_and_chroot)
{
	struct place place;
	int status;
	pid_t process;

	if (geteuid() != 0 || getpwnam("nobody") == NULL)
		return;
	place_make(&place);
	process = fork();
	if (process == 0) {
		struct sandbox_options options = {
			.profile = SANDBOX_DELIVER, .role = "tested", .user = "nobody", .chroot_directory = place.directory};
		const char *description = sandbox_enter(&options);

		if (strncmp(description, "seccomp,chroot,user", 19) != 0)
			_exit(1);
		if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
			_exit(2);
		if (access("/etc/passwd", F_OK) == 0)
			_exit(3);
		_exit(INSIDE_OK);
	}
	ck_assert_int_eq(waitpid(process, &status, 0), process);
	place_remove(&place);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == INSIDE_OK, "status %x", status);
}
END_TEST

START_TEST(test_missing_user_is_fatal)
{
	int status;
	pid_t process = fork();

	if (process == 0) {
		struct sandbox_options options = {.profile = SANDBOX_PROXY, .role = "tested", .user = "no-such-user-here"};

		sandbox_enter(&options);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(process, &status, 0), process);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

SUITE_MAIN("sandbox", test_proxy_may_not, test_writers_may_not, test_auth_may_not, test_profiles_suffice, test_landlock_keeps_inside, test_log_mode_only_logs,
    test_user_and_chroot, test_missing_user_is_fatal)
