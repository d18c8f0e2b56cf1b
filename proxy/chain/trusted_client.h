/* Whom filters judge when the client is a trusted relay: the first untrusted host in the Received fields which the relays wrote. Pure; the
 * daemon and check-message share it. */
#ifndef POSTERN_CHAIN_TRUSTED_CLIENT_H
#define POSTERN_CHAIN_TRUSTED_CLIENT_H

#include <stdbool.h>

#include "mail/header.h"
#include "conf/config.h"
#include "filters/facts.h"
#include "filters/filter.h"

/* False, and nothing changed, unless client->address is one of trusted_relays. Else `client` becomes the one to judge (family 0: nobody can
 * be), its relay the one that talks to us, and the fact "trusted_relay" says so. *helo, NULL before, is what client->helo then points to:
 * the caller's to free. */
bool trusted_client_find(const struct config *config, const struct header_block *headers, struct filter_client *client, char **helo,
    struct facts *facts);

#endif
