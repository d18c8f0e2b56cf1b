/* The system calls each profile keeps; every other one ends the process with a line that names role and number (never an errno:
 * a library that is told EPERM may go on and say something wrong). Built with libseccomp from the tables below. */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox_private.h"

/* What any of our processes does: memory, time, an event loop, sockets it already has. */
static const int computing_calls[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(write), SCMP_SYS(writev),
	SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(fadvise64),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(membarrier),
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	SCMP_SYS(getrlimit), SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(times), SCMP_SYS(getcpu),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
};

/* What all but those that only compute do besides: new descriptors, sealed memory files. */
static const int common_calls[] = {
	SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(sendfile), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(msync),
	SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(memfd_create), SCMP_SYS(setsockopt),
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(signalfd4),
	SCMP_SYS(timerfd_create),
};

/* The outside: clients, backends, name servers. No listen: listeners are handed in. */
static const int proxy_calls[] = {
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(accept), SCMP_SYS(accept4),
};

/* Durable files, for our own code and for SQLite. */
static const int file_calls[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(creat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(getdents64),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(truncate), SCMP_SYS(flock),
	SCMP_SYS(copy_file_range), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chmod), SCMP_SYS(fchown), SCMP_SYS(utimensat), SCMP_SYS(utime),
	SCMP_SYS(utimes), SCMP_SYS(umask), SCMP_SYS(statfs),
};

/* syslog(3) connects, and connects again when the logger was restarted. */
static const int logger_calls[] = {SCMP_SYS(connect)};

#if defined(__SANITIZE_ADDRESS__)
/* What the sanitizer's runtime does on its own to write a report. */
static const int sanitizer_calls[] = {
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(prctl), SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(access), SCMP_SYS(getcwd),
	SCMP_SYS(statx), SCMP_SYS(arch_prctl), SCMP_SYS(mincore),
};

/* The leak checker at exit starts a tracer of ourselves, which is the last thing a sandbox can allow. `sandbox: log` keeps it. */
static bool sandbox_closed;
int __lsan_is_turned_off(void);
int
__lsan_is_turned_off(void)
{
	return sandbox_closed;
}
#endif

static char violation_role[32];

/* Runs between two instructions of anything: only write and _exit. */
static void
on_violation(int signal_number, siginfo_t *information, void *machine_context)
{
	char line[128], digits[12];
	size_t length = 0, count = 0;
	unsigned number = (unsigned)information->si_syscall;
	const char *texts[2] = {violation_role, ": sandbox: system call "};

	(void)signal_number;
	(void)machine_context;
	for (size_t i = 0; i < 2; i++)
		for (const char *c = texts[i]; *c != '\0' && length < sizeof line - sizeof digits - 16; c++)
			line[length++] = *c;
	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		line[length++] = digits[--count];
	for (const char *c = " refused\n"; *c != '\0'; c++)
		line[length++] = *c;
	if (write(2, line, length) < 0)
		_exit(SANDBOX_VIOLATION_STATUS);
	_exit(SANDBOX_VIOLATION_STATUS);
}

static void
allow(scmp_filter_ctx filter, int system_call, unsigned count, const struct scmp_arg_cmp *arguments)
{
	int error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, system_call, count, arguments);

	if (error != 0)
		fatal("sandbox: rule for system call %d refused: %s", system_call, strerror(-error));
}

static void
allow_list(scmp_filter_ctx filter, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		allow(filter, calls[i], 0, NULL);
}

/* libseccomp's macros for arguments leave out the member they do not need. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ALLOW_LIST(filter, calls) allow_list((filter), (calls), sizeof(calls) / sizeof(calls)[0])
#define ALLOW_WHEN(filter, system_call, ...) \
	do { \
		const struct scmp_arg_cmp arguments[] = {__VA_ARGS__}; \
		allow((filter), (system_call), sizeof arguments / sizeof arguments[0], arguments); \
	} while (0)

/* Calls whose harm is in an argument. */
static void
allow_computing_by_argument(scmp_filter_ctx filter)
{
	static const unsigned long requests[] = {FIONREAD, FIONBIO, TCGETS};

	/* No page is ever both ours and executable: injected code has nowhere to live. */
	ALLOW_WHEN(filter, SCMP_SYS(mprotect), SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
		ALLOW_WHEN(filter, SCMP_SYS(ioctl), SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)requests[i]));
	/* abort() signals itself; nobody else may be signalled. */
	ALLOW_WHEN(filter, SCMP_SYS(tgkill), SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)getpid()));
	/* Limits may be read (glibc does so for sysconf), not set. */
	ALLOW_WHEN(filter, SCMP_SYS(prlimit64), SCMP_A0_32(SCMP_CMP_EQ, 0), SCMP_A2_64(SCMP_CMP_EQ, 0));
	/* fstat() is newfstatat(descriptor, "", ..., AT_EMPTY_PATH) in glibc. */
	ALLOW_WHEN(filter, SCMP_SYS(newfstatat), SCMP_A3_32(SCMP_CMP_EQ, AT_EMPTY_PATH));
}

static void
allow_common_by_argument(scmp_filter_ctx filter)
{
	ALLOW_WHEN(filter, SCMP_SYS(mmap), SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	ALLOW_WHEN(filter, SCMP_SYS(socketpair), SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
}

static void
allow_for_auth(scmp_filter_ctx filter)
{
	/* Shared memory would not count against the limit of what this process may allocate (RLIMIT_DATA). */
	ALLOW_WHEN(filter, SCMP_SYS(mmap), SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0), SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_SHARED, 0));
}

static void
allow_for_proxy(scmp_filter_ctx filter, const struct sandbox_options *options)
{
	static const uint32_t families[] = {AF_INET, AF_INET6, AF_UNIX};

	ALLOW_LIST(filter, proxy_calls);
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
		/* Stream and datagram only: the low bits hold the kind, the high ones SOCK_NONBLOCK and SOCK_CLOEXEC. */
		ALLOW_WHEN(filter, SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, families[i]), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM));
		ALLOW_WHEN(filter, SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, families[i]), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	}
	for (size_t i = 0; i < options->directory_descriptor_count; i++) {
		uint32_t directory = (uint32_t)options->directory_descriptors[i];

		ALLOW_WHEN(filter, SCMP_SYS(openat), SCMP_A0_32(SCMP_CMP_EQ, directory));
		ALLOW_WHEN(filter, SCMP_SYS(unlinkat), SCMP_A0_32(SCMP_CMP_EQ, directory));
	}
}

#if defined(__SANITIZE_ADDRESS__)
static void
allow_sanitizer(scmp_filter_ctx filter)
{
	const unsigned changes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;

	ALLOW_LIST(filter, sanitizer_calls);
	ALLOW_WHEN(filter, SCMP_SYS(open), SCMP_A1_32(SCMP_CMP_MASKED_EQ, changes, 0));
	ALLOW_WHEN(filter, SCMP_SYS(openat), SCMP_A2_32(SCMP_CMP_MASKED_EQ, changes, 0));
}
#endif

static void
allow_for_profile(scmp_filter_ctx filter, const struct sandbox_options *options)
{
	ALLOW_LIST(filter, computing_calls);
	allow_computing_by_argument(filter);
	if (options->profile != SANDBOX_AUTH) {
		ALLOW_LIST(filter, common_calls);
		allow_common_by_argument(filter);
	}
	switch (options->profile) {
	case SANDBOX_PROXY:
		allow_for_proxy(filter, options);
		break;
	case SANDBOX_JOURNAL:
		ALLOW_LIST(filter, logger_calls);
		ALLOW_WHEN(filter, SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
		ALLOW_LIST(filter, file_calls);
		break;
	case SANDBOX_DELIVER:
		ALLOW_LIST(filter, file_calls);
		break;
	case SANDBOX_AUTH:
		allow_for_auth(filter);
		break;
	}
#if defined(__SANITIZE_ADDRESS__)
	allow_sanitizer(filter);
#endif
}

static void
catch_violations(const char *role)
{
	struct sigaction action;

	strncpy(violation_role, role != NULL ? role : "postern", sizeof violation_role - 1);
	memset(&action, 0, sizeof action);
	action.sa_sigaction = on_violation;
	action.sa_flags = SA_SIGINFO;
	sigfillset(&action.sa_mask);
	if (sigaction(SIGSYS, &action, NULL) != 0)
		fatal("sandbox: cannot catch violations: %s", strerror(errno));
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGSYS);
	if (sigprocmask(SIG_UNBLOCK, &action.sa_mask, NULL) != 0)
		fatal("sandbox: cannot catch violations: %s", strerror(errno));
}

void
sandbox_system_calls(const struct sandbox_options *options)
{
	scmp_filter_ctx filter = seccomp_init(options->log_only ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
	int error;

	if (filter == NULL)
		fatal("sandbox: seccomp is not available");
	/* Best effort: a sorted tree instead of a list, a third of the cost per call. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	allow_for_profile(filter, options);
	catch_violations(options->role);
	error = seccomp_load(filter);
	if (error != 0)
		fatal("sandbox: seccomp refused: %s", strerror(-error));
	seccomp_release(filter);
#if defined(__SANITIZE_ADDRESS__)
	sandbox_closed = !options->log_only;
#endif
}
