/* Where a backend is: its display name and its addresses, resolved through dns and remembered for a minute. */
#ifndef POSTERN_RELAY_BACKEND_NAMES_H
#define POSTERN_RELAY_BACKEND_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "conf/config.h"
#include "dns/resolver.h"
#include "relay/backend_client.h"

#define BACKEND_ADDRESSES_MAX 16

struct backend_names;

struct backend_names *backend_names_new(const struct config *config, const struct clock *clock, struct resolver *resolver);
void backend_names_free(struct backend_names **names);
/* "10.0.0.5:24", "[2001:db8::1]:25", "mail.example.org:25", "/run/lmtp", "maildir:/var/mail". */
const char *backend_names_text(const struct backend_names *names, unsigned backend);

/* Addresses known now: a path, a literal, or a name asked for less than a minute ago. False: ask. */
bool backend_names_get(struct backend_names *names, unsigned backend, const struct backend_address **addresses, size_t *count);
/* Asks, unless a question is under way; the callback comes once for any number of asks, never from inside. After it,
 * backend_names_get gives what was found, or false. */
typedef void backend_names_callback(void *context, unsigned backend);
void backend_names_ask(struct backend_names *names, unsigned backend, backend_names_callback *callback, void *context);
/* None of the addresses worked: the name may lead elsewhere by now. */
void backend_names_forget(struct backend_names *names, unsigned backend);

#endif
