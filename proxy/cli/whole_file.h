/* A file, or standard input, as bytes; and a message out of such bytes as a client would have sent it. */
#ifndef POSTERN_CLI_WHOLE_FILE_H
#define POSTERN_CLI_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "wire/message_store.h"

/* "-" is standard input. False with errno set; EFBIG: more than `limit` bytes. */
bool whole_file_read(const char *path, size_t limit, struct buffer *bytes);

struct whole_message {
	struct message_store *store;
	bool eight_bit; /* bytes above 127 are in it */
};
/* Lines may end with LF or CR LF; a leading mbox "From " line goes, a missing last line end comes, as when the message is received. False with
 * errno set. */
bool whole_message_make(struct span bytes, struct whole_message *message);

#endif
