/* Which system user each role becomes, which directories it owns, how many descriptors it may need: all checked before anything
 * is bound. As an ordinary user everything stays with that user. */
#ifndef POSTERN_MASTER_PRIVILEGES_H
#define POSTERN_MASTER_PRIVILEGES_H

#include <stdbool.h>

#include "base/buffer.h"
#include "conf/config.h"
#include "wire/roles.h"

/* Directories below data_directory. */
#define DIRECTORY_EMPTY "empty" /* the root of proxies and workers */
#define DIRECTORY_SPOOL "spool" /* unlinked spool files, made by the master for the proxies */
#define DIRECTORY_LEDGER "ledger" /* deliver */
#define DIRECTORY_POISON "poison" /* deliver: messages that killed workers */
#define DIRECTORY_TRACE "trace" /* journal */

/* A new string: the user the role runs as, "" = the one we are. */
char *privileges_user(const struct config *config, enum role role);
/* A new string: the directory the role changes its root to, "" = none. */
char *privileges_chroot(const struct config *config, enum role role);
/* As root, unless `user` says to stay: the user of each role that this configuration starts exists. Lines in `error` otherwise. */
bool privileges_check_users(const struct config *config, struct buffer *error);
/* Makes what is missing of the data directory, with the right owners. */
bool privileges_make_directories(const struct config *config, struct buffer *error);

/* Proxies this configuration runs. */
unsigned privileges_proxy_count(const struct config *config);
/* Auth workers that work in this configuration, the spare not among them; 0 without filters. */
unsigned privileges_auth_worker_count(const struct config *config);
/* Raises the limit of descriptors to what the machine allows, for us and all children. */
void privileges_raise_limits(void);
/* One proxy's descriptors when it has its share of all sessions. */
uint64_t privileges_descriptor_budget(const struct config *config);
/* False, with a line that says what to lower, when the machine's limit (or the number of processes) is too low. */
bool privileges_check_budget(const struct config *config, struct buffer *error);

/* A new string: `path` itself when absolute, else below the data directory. */
char *privileges_path(const struct config *config, const char *path);

#endif
