/* Writes messages into Maildirs: tmp, fsync, move to new, fsync of the folder, and of every folder that may be new. Owns the
 * descriptor of the root; blocks (this is what the deliver process is for); never follows a name from outside. */
#include "deliver/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"

#define BLOCK_SIZE (64u << 10)
#define FILE_NAME_SIZE 256
#define HOST_SIZE 64
#define KNOWN_SLOTS 4096

struct maildir {
	int root;
	char *path; /* for messages */
	char host[HOST_SIZE];
	const struct clock *clock;
	unsigned sequence;
	/* Folders whose entries this process has fsynced: a folder that is there may have been made by a process that died before it was
	 * on the disk. A hash per slot; a collision only costs an fsync. */
	uint64_t known[KNOWN_SLOTS];
};

/* One delivery while it is made: what is open, and what failed. */
struct attempt {
	struct maildir *maildir;
	const char *name; /* of the folder */
	char file[FILE_NAME_SIZE];
	int box, tmp, new;
	const char *failed; /* the step, or NULL */
	int error; /* errno of that step */
};

static bool
fail(struct attempt *attempt, const char *step)
{
	attempt->failed = step;
	attempt->error = errno;
	return false;
}

struct maildir *
maildir_open(const char *path, const char *hostname, const struct clock *clock)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return NULL;
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return NULL;
	/* The root's own name has to be on the disk too. Whoever may not look there did not make it. */
	int parent = openat(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		(void)fsync(parent);
		close(parent);
	}
	struct maildir *maildir = memory_new(sizeof *maildir);
	maildir->root = root;
	maildir->path = memory_copy_string(path);
	maildir->clock = clock;
	/* The Maildir convention forbids / and :, and a comma begins the size. */
	for (size_t i = 0; i + 1 < sizeof maildir->host && hostname[i] != '\0'; i++)
		maildir->host[i] = strchr("/:,", hostname[i]) == NULL && hostname[i] > ' ' && hostname[i] < 0x7f ? hostname[i] : '_';
	return maildir;
}

void
maildir_close(struct maildir **maildir)
{
	if (*maildir == NULL)
		return;
	close((*maildir)->root);
	memory_free(&(*maildir)->path);
	memory_free(maildir);
}

int
maildir_root(const struct maildir *maildir)
{
	return maildir->root;
}

static uint64_t
name_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	for (; *name != '\0'; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	return hash != 0 ? hash : 1;
}

/* Opens a folder, or makes it. -1 with errno set. *made is set when it did not exist. */
static int
open_folder(int parent, const char *name, bool *made)
{
	int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor >= 0 || errno != ENOENT)
		return descriptor;
	if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
		return -1;
	*made = true;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens the recipient's folder with its three parts, which are on the disk afterwards. */
static bool
box_open(struct attempt *attempt)
{
	struct maildir *maildir = attempt->maildir;
	uint64_t hash = name_hash(attempt->name), *known = &maildir->known[hash % KNOWN_SLOTS];
	bool made = *known != hash;

	attempt->box = open_folder(maildir->root, attempt->name, &made);
	if (attempt->box < 0)
		return fail(attempt, "open the folder");
	int cur = made ? open_folder(attempt->box, "cur", &made) : -1; /* nothing goes there, but readers expect it */
	if (cur >= 0)
		close(cur);
	attempt->tmp = open_folder(attempt->box, "tmp", &made);
	if (attempt->tmp < 0)
		return fail(attempt, "open tmp");
	attempt->new = open_folder(attempt->box, "new", &made);
	if (attempt->new < 0)
		return fail(attempt, "open new");
	if (made && (fsync(attempt->box) != 0 || fsync(maildir->root) != 0))
		return fail(attempt, "fsync the folder");
	*known = hash;
	return true;
}

static bool
write_all(int descriptor, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(descriptor, bytes, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			errno = written == 0 ? ENOSPC : errno;
			return false;
		}
		bytes += written;
		length -= (size_t)written;
	}
	return true;
}

static bool
content_write(struct attempt *attempt, int descriptor, const struct view *view)
{
	char block[BLOCK_SIZE];

	for (uint64_t offset = 0; offset < view->length;) {
		errno = EIO; /* a short message is one */
		int64_t got = view_read(view, offset, block, sizeof block);
		if (got <= 0)
			return fail(attempt, "read the message");
		if (!write_all(descriptor, block, (size_t)got))
			return fail(attempt, "write");
		offset += (uint64_t)got;
	}
	if (fsync(descriptor) != 0)
		return fail(attempt, "fsync");
	return true;
}

/* Unique for all time: seconds, microseconds, process, number in the process, queue ID and host; then the size, which spares readers a stat. */
static void
file_name_make(struct attempt *attempt, const char *queue_id, uint64_t size)
{
	struct maildir *maildir = attempt->maildir;
	int64_t now = clock_wall_us(maildir->clock);
	char id[32];
	size_t length = 0;

	for (; *queue_id != '\0' && length + 1 < sizeof id; queue_id++)
		if ((*queue_id >= '0' && *queue_id <= '9') || (*queue_id >= 'A' && *queue_id <= 'Z') || (*queue_id >= 'a' && *queue_id <= 'z'))
			id[length++] = *queue_id;
	id[length] = '\0';
	snprintf(attempt->file, sizeof attempt->file, "%lld.M%06lldP%dQ%u_%s.%s,S=%llu", (long long)(now / 1000000),
	    (long long)(now % 1000000), (int)getpid(), ++maildir->sequence, id, maildir->host, (unsigned long long)size);
}

/* tmp, then new. Nothing is left in either when it fails. */
static bool
file_deliver(struct attempt *attempt, const struct view *view)
{
	int descriptor = openat(attempt->tmp, attempt->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (descriptor < 0)
		return fail(attempt, "make a file in tmp");
	bool ok = content_write(attempt, descriptor, view);
	if (close(descriptor) != 0 && ok)
		ok = fail(attempt, "close");
	if (ok && renameat(attempt->tmp, attempt->file, attempt->new, attempt->file) != 0)
		ok = fail(attempt, "move to new");
	if (!ok) {
		unlinkat(attempt->tmp, attempt->file, 0);
		return false;
	}
	if (fsync(attempt->new) != 0) {
		fail(attempt, "fsync new");
		/* The sender will hear 4xx and send it again. */
		unlinkat(attempt->new, attempt->file, 0);
		return false;
	}
	return true;
}

static void
reply_for_error(int error, struct reply *reply)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		reply_set(reply, 452, "4.3.1", "Insufficient system storage");
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		reply_set(reply, 451, "4.3.5", "Mailbox not accessible; try again later");
		break;
	default:
		reply_set(reply, 451, "4.3.0", "The message could not be stored; try again later");
		break;
	}
}

static void
attempt_close(struct attempt *attempt)
{
	if (attempt->box >= 0)
		close(attempt->box);
	if (attempt->tmp >= 0)
		close(attempt->tmp);
	if (attempt->new >= 0)
		close(attempt->new);
}

bool
maildir_store(struct maildir *maildir, const char *name, const char *queue_id, const struct view *view, struct reply *reply)
{
	struct attempt attempt = {.maildir = maildir, .name = name, .box = -1, .tmp = -1, .new = -1};

	file_name_make(&attempt, queue_id, view->length);
	bool ok = box_open(&attempt) && file_deliver(&attempt, view);
	attempt_close(&attempt);
	if (ok) {
		reply_set(reply, 250, "2.0.0", "Ok: stored");
		return true;
	}
	char *id = escape_copy(queue_id);
	log_error("maildir %s/%s: message %s: cannot %s: %s", maildir->path, name, id, attempt.failed, strerror(attempt.error));
	memory_free(&id);
	reply_for_error(attempt.error, reply);
	return false;
}
