/* The lines we say to a backend, with the parameters it offers to take. Pure. */
#ifndef POSTERN_RELAY_BACKEND_COMMANDS_H
#define POSTERN_RELAY_BACKEND_COMMANDS_H

#include <stdbool.h>

#include "mail/envelope.h"
#include "relay/capabilities.h"

/* "MAIL FROM:<sender> SIZE=... BODY=8BITMIME SMTPUTF8 RET=... ENVID=..." without line end. size 0: not known yet. Parameters the
 * backend does not offer are left out: 8-bit mail is then sent as it is, as mail servers do that cannot convert (the body
 * arrives whole nearly everywhere, and refusing it would help nobody). */
void backend_command_mail(struct buffer *line, const struct envelope *envelope, const struct capability_set *offered, uint64_t size);
/* "RCPT TO:<address> NOTIFY=... ORCPT=..." */
void backend_command_rcpt(struct buffer *line, const struct recipient *recipient, const char *address, const struct capability_set *offered);

#endif
