/* The directory of poisonous messages. Knows only its descriptor and the names in it; never reads a message but to write it down, and
 * touches no file whose name is not one of its own. */
#include "deliver/poison.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"

#define BLOCK_SIZE (64u << 10)
#define NAME_SIZE 64
#define FILES_OF_A_MESSAGE 2
#define PART "part" /* suffix while it is written */

struct kept {
	char name[NAME_SIZE];
	struct timespec time; /* of the last change */
	uint64_t size;
};

struct inventory {
	struct kept *files;
	size_t count;
	uint64_t bytes;
};

/* QUEUEID.suffix */
static bool
has_suffix(const char *name, const char *suffix)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && dot > name && strcmp(dot + 1, suffix) == 0 && strlen(name) < NAME_SIZE;
}

/* A directory stream of its own over the directory; NULL with errno set. */
static DIR *
stream_open(int directory)
{
	int descriptor = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = descriptor >= 0 ? fdopendir(descriptor) : NULL;

	if (stream == NULL && descriptor >= 0)
		close(descriptor);
	return stream;
}

int
poison_open(const char *path)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = directory >= 0 ? stream_open(directory) : NULL;

	if (stream == NULL)
		return directory;
	for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
		if (has_suffix(entry->d_name, PART))
			unlinkat(directory, entry->d_name, 0);
	closedir(stream);
	return directory;
}

/* ---- room ---- */

static int
older_first(const void *one, const void *other)
{
	const struct kept *a = one, *b = other;

	if (a->time.tv_sec != b->time.tv_sec)
		return a->time.tv_sec < b->time.tv_sec ? -1 : 1;
	if (a->time.tv_nsec != b->time.tv_nsec)
		return a->time.tv_nsec < b->time.tv_nsec ? -1 : 1;
	return strcmp(a->name, b->name); /* queue IDs sort by time */
}

static bool
inventory_take(int directory, struct inventory *inventory)
{
	DIR *stream = stream_open(directory);
	struct stat status;

	if (stream == NULL)
		return false;
	for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
		if ((!has_suffix(entry->d_name, "eml") && !has_suffix(entry->d_name, "txt")) ||
		    fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
			continue;
		inventory->files = memory_resize(inventory->files, inventory->count + 1, sizeof *inventory->files);
		struct kept *kept = &inventory->files[inventory->count++];
		*kept = (struct kept){.time = status.st_mtim, .size = (uint64_t)status.st_size};
		strcpy(kept->name, entry->d_name);
		inventory->bytes += kept->size;
	}
	closedir(stream);
	if (inventory->count > 0)
		qsort(inventory->files, inventory->count, sizeof *inventory->files, older_first);
	return true;
}

static void
forget(int directory, struct inventory *inventory, size_t index)
{
	struct kept *kept = &inventory->files[index];

	if (kept->name[0] == '\0' || unlinkat(directory, kept->name, 0) != 0)
		return;
	inventory->bytes -= kept->size;
	inventory->count--;
	kept->name[0] = '\0';
}

/* Both files of a message go together. */
static void
forget_message(int directory, struct inventory *inventory, size_t files, size_t index)
{
	char stem[NAME_SIZE];
	size_t length = strcspn(inventory->files[index].name, ".") + 1;

	memcpy(stem, inventory->files[index].name, length);
	for (size_t i = index; i < files; i++)
		if (strncmp(inventory->files[i].name, stem, length) == 0)
			forget(directory, inventory, i);
}

/* False when there cannot be so much room. */
static bool
make_room(int directory, uint64_t bytes)
{
	struct inventory inventory = {0};

	if (bytes > POISON_BYTES_MAX) {
		errno = EFBIG;
		return false;
	}
	bool good = inventory_take(directory, &inventory);
	size_t files = inventory.count;
	for (size_t i = 0; i < files; i++) {
		if (inventory.count + FILES_OF_A_MESSAGE <= POISON_FILES_MAX && inventory.bytes + bytes <= POISON_BYTES_MAX)
			break;
		if (inventory.files[i].name[0] != '\0')
			forget_message(directory, &inventory, files, i);
	}
	if (good && (inventory.count + FILES_OF_A_MESSAGE > POISON_FILES_MAX || inventory.bytes + bytes > POISON_BYTES_MAX)) {
		errno = ENOSPC; /* something cannot be removed */
		good = false;
	}
	memory_free(&inventory.files);
	return good;
}

/* ---- writing ---- */

static bool
content_write(int descriptor, const struct view *view)
{
	char block[BLOCK_SIZE];

	for (uint64_t offset = 0; offset < view->length;) {
		errno = EIO;
		int64_t got = view_read(view, offset, block, sizeof block);
		if (got <= 0)
			return false;
		for (ssize_t at = 0, written; at < got; at += written) {
			written = write(descriptor, block + at, (size_t)(got - at));
			if (written < 0 && errno == EINTR)
				written = 0;
			if (written < 0)
				return false;
		}
		offset += (uint64_t)got;
	}
	return true;
}

static bool
file_write(int directory, const char *queue_id, const char *suffix, const struct view *view)
{
	char part[NAME_SIZE], name[NAME_SIZE];

	snprintf(part, sizeof part, "%s." PART, queue_id);
	snprintf(name, sizeof name, "%s.%s", queue_id, suffix);
	int descriptor = openat(directory, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (descriptor < 0)
		return false;
	bool good = content_write(descriptor, view);
	int error = errno;
	good = close(descriptor) == 0 && good && renameat(directory, part, directory, name) == 0;
	if (!good) {
		unlinkat(directory, part, 0);
		unlinkat(directory, name, 0);
		errno = error;
	}
	return good;
}

bool
poison_keep(int directory, const char *queue_id, const struct view *message, const char *why)
{
	struct view reason;
	struct buffer line = {0};

	escape_append(&line, span_of(why)); /* whoever looks at it does so on a terminal */
	buffer_append_char(&line, '\n');
	view_init(&reason, NULL);
	view_add_text(&reason, span_make(line.data, line.length));
	bool good = make_room(directory, message->length + reason.length) && file_write(directory, queue_id, "txt", &reason) &&
	    file_write(directory, queue_id, "eml", message);
	if (!good) {
		int error = errno;
		char name[NAME_SIZE];

		snprintf(name, sizeof name, "%s.txt", queue_id);
		unlinkat(directory, name, 0); /* a reason without its message helps nobody */
		log_error("poison: message %s is not kept: %s", queue_id, strerror(error));
	}
	view_clear(&reason);
	buffer_free(&line);
	return good;
}
