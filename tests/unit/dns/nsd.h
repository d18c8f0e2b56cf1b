/* A real name server for the tests: nsd on a free loopback port, with the zones the tests ask for, in a directory of its own. */
#ifndef POSTERN_TESTS_NSD_H
#define POSTERN_TESTS_NSD_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NSD_PROGRAM "/usr/sbin/nsd"

struct nsd {
	pid_t process; /* 0 = not there */
	uint16_t port;
	char directory[64];
	char server[32]; /* "127.0.0.1@PORT" */
};

struct nsd_zone {
	const char *name;
	const char *text; /* records; SOA and NS are added */
};

static inline int
loopback_socket(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin_port);
	return descriptor;
}

static inline FILE *
nsd_file(const struct nsd *nsd, const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", nsd->directory, name);
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	return file;
}

static inline void
nsd_write_files(const struct nsd *nsd, const struct nsd_zone *zones, size_t count)
{
	FILE *configuration = nsd_file(nsd, "nsd.conf");
	fprintf(configuration, "server:\n  ip-address: 127.0.0.1@%u\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"%s\"\n"
	    "  pidfile: \"\"\n  xfrdfile: \"%s/xfrd\"\n  zonelistfile: \"%s/list\"\n  xfrdir: \"%s\"\n  logfile: \"%s/log\"\n"
	    "  hide-version: yes\nremote-control:\n  control-enable: no\n", nsd->port, nsd->directory, nsd->directory, nsd->directory,
	    nsd->directory, nsd->directory);
	for (size_t i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof name, "zone%zu", i);
		fprintf(configuration, "zone:\n  name: %s\n  zonefile: %s\n", zones[i].name, name);
		FILE *zone = nsd_file(nsd, name);
		fprintf(zone, "$ORIGIN %s.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns.example.test.\n%s\n", zones[i].name,
		    zones[i].text);
		fclose(zone);
	}
	fclose(configuration);
}

/* A question for the root's SOA: any answer means it serves. */
static inline bool
nsd_answers(const struct nsd *nsd)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(nsd->port)};
	uint16_t port;
	uint8_t answer[512];
	int descriptor = loopback_socket(&port);
	bool answered = false;
	if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0 &&
	    send(descriptor, "\x01\x02\0\0\0\1\0\0\0\0\0\0\0\0\6\0\1", 17, 0) == 17) {
		struct pollfd wait = {.fd = descriptor, .events = POLLIN};
		answered = poll(&wait, 1, 50) == 1 && recv(descriptor, answer, sizeof answer, 0) >= 12;
	}
	close(descriptor);
	return answered;
}

static inline void
nsd_spawn(struct nsd *nsd)
{
	char configuration[128];
	snprintf(configuration, sizeof configuration, "%s/nsd.conf", nsd->directory);
	nsd->process = fork();
	if (nsd->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 1);
		dup2(null, 2);
		execl(NSD_PROGRAM, "nsd", "-d", "-c", configuration, (char *)NULL);
		_exit(127);
	}
}

/* The port was free for datagrams when we looked; somebody may have it for streams, or be quicker: then nsd ends at once. */
static inline bool
nsd_try_port(struct nsd *nsd, const struct nsd_zone *zones, size_t count)
{
	close(loopback_socket(&nsd->port));
	snprintf(nsd->server, sizeof nsd->server, "127.0.0.1@%u", nsd->port);
	nsd_write_files(nsd, zones, count);
	nsd_spawn(nsd);
	for (int attempt = 0; attempt < 400; attempt++) {
		if (nsd_answers(nsd))
			return true;
		if (waitpid(nsd->process, NULL, WNOHANG) == nsd->process) {
			nsd->process = 0;
			return false;
		}
		usleep(50000);
	}
	ck_abort_msg("nsd does not answer; see %s/log", nsd->directory);
	return false;
}

/* False, with a line that says so, when the program is not installed. */
static inline bool
nsd_start(struct nsd *nsd, const struct nsd_zone *zones, size_t count)
{
	*nsd = (struct nsd){0};
	if (access(NSD_PROGRAM, X_OK) != 0) {
		printf("SKIPPED: %s is not installed\n", NSD_PROGRAM);
		return false;
	}
	strcpy(nsd->directory, "/tmp/postern-nsd-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(nsd->directory));
	for (int attempt = 0; attempt < 10; attempt++)
		if (nsd_try_port(nsd, zones, count))
			return true;
	ck_abort_msg("nsd does not start; see %s/log", nsd->directory);
	return false;
}

static inline int
nsd_remove_file(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status, (void)kind, (void)where;
	return remove(path);
}

static inline void
nsd_stop(struct nsd *nsd)
{
	if (nsd->process == 0)
		return;
	kill(nsd->process, SIGTERM);
	waitpid(nsd->process, NULL, 0);
	nftw(nsd->directory, nsd_remove_file, 8, FTW_DEPTH | FTW_PHYS);
	nsd->process = 0;
}

#endif
