/* What we offer in reply to EHLO. */
#ifndef POSTERN_FRONT_OFFER_H
#define POSTERN_FRONT_OFFER_H

#include "front/session.h"

/* Answers EHLO with what the backends can take now, and remembers it for the parsing of parameters. */
void offer_reply(struct session *session);

#endif
