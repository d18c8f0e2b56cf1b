/* One Maildir per recipient below a root, written durably: when maildir_store says 250, message and folders are on the disk. Only names below
 * the root's descriptor are ever opened. The message is written byte for byte as it is, CR LF line ends included. */
#ifndef POSTERN_DELIVER_MAILDIR_H
#define POSTERN_DELIVER_MAILDIR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "mail/reply.h"
#include "mail/view.h"

struct maildir; /* a root */

/* NULL with errno set. The path may be of a directory that is missing but for its last part. */
struct maildir *maildir_open(const char *path, const char *hostname, const struct clock *clock);
void maildir_close(struct maildir **maildir);
/* The descriptor of the root, which stays the Maildir's; for reading it. */
int maildir_root(const struct maildir *maildir);

/* The folder of a recipient: domain in lower case, local part in lower case and without quotes, other bytes than A-Z a-z 0-9 . _ + = - as
 * %XX, never a leading dot, never longer than a file name may be. Different mailboxes have different names. */
#define MAILDIR_NAME_SIZE 224
const char *maildir_name(const char *address, const char *domain, char *name);

#define MAILDIR_ITSELF "." /* as a folder's name: the root is the Maildir (quarantine) */

/* Writes one copy into the folder `name` (made by maildir_name); makes the folder when it is missing. Sets the reply: 250, or
 * 452 4.3.1 (no room), 451 4.3.5 (no permission), 451 4.3.0 (anything else). True for 250. */
bool maildir_store(struct maildir *maildir, const char *name, const char *queue_id, const struct view *view, struct reply *reply);

#endif
