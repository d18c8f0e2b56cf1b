/* Reads files to their end. Keeps nothing. */
#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mail/data_lines.h"

#define BLOCK_SIZE (64u << 10)

static bool
read_to_end(int descriptor, size_t limit, struct buffer *bytes)
{
	for (;;) {
		ssize_t got = read(descriptor, buffer_reserve(bytes, BLOCK_SIZE), BLOCK_SIZE);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		buffer_added(bytes, (size_t)got);
		if (bytes->length > limit) {
			errno = EFBIG;
			return false;
		}
	}
}

bool
whole_file_read(const char *path, size_t limit, struct buffer *bytes)
{
	if (strcmp(path, "-") == 0)
		return read_to_end(STDIN_FILENO, limit, bytes);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return false;
	bool good = read_to_end(descriptor, limit, bytes);
	int error = errno;
	close(descriptor);
	errno = error;
	return good;
}

static bool
write_all(int descriptor, const char *at, size_t length)
{
	while (length > 0) {
		ssize_t written = write(descriptor, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		at += written;
		length -= (size_t)written;
	}
	return true;
}

/* A sealed memfd, as the workers get it. */
static struct message_store *
store_make(const struct buffer *bytes)
{
	int descriptor = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (descriptor < 0)
		return NULL;
	if (write_all(descriptor, bytes->data, bytes->length) &&
	    fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return message_store_open(descriptor);
	int error = errno;
	close(descriptor);
	errno = error;
	return NULL;
}

bool
whole_message_make(struct span bytes, struct whole_message *message)
{
	struct data_lines lines;
	struct buffer out = {0};
	bool ended = false;

	/* As BDAT: dots are not stuffed in a file. */
	data_lines_init(&lines, DATA_LINES_BDAT, true, UINT64_MAX);
	data_lines_take(&lines, bytes.at, bytes.length, &out, &ended);
	data_lines_end(&lines, &out);
	if (data_lines_needs_final_crlf(&lines))
		buffer_append_string(&out, "\r\n");
	message->eight_bit = lines.eight_bit;
	message->store = store_make(&out);
	buffer_free(&out);
	return message->store != NULL;
}
