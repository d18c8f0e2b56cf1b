/* The EHLO reply: the intersection of what we can do and what the backends can take (RFC 5321 4.1.1.1, RFC 9422). */
#include <inttypes.h>

#include "front/offer.h"
#include "relay/capabilities.h"

static void
append_keyword(struct buffer *text, unsigned offered, unsigned capability, const char *keyword)
{
	if ((offered & capability) != 0)
		buffer_printf(text, "\n%s", keyword);
}

void
offer_reply(struct session *session)
{
	const struct config *config = session->front->config;
	struct relay_offer offer;
	struct buffer text = {0};
	struct reply reply = {0};

	relay_get_offer(session->front->relay, &offer);
	session->offered = offer.capabilities | CAPABILITY_PIPELINING | CAPABILITY_ENHANCEDSTATUSCODES | CAPABILITY_CHUNKING | CAPABILITY_SIZE;
	session->offered_size = offer.size;
	buffer_append_string(&text, config->hostname);
	append_keyword(&text, session->offered, CAPABILITY_PIPELINING, "PIPELINING");
	buffer_printf(&text, "\nSIZE %" PRIu64, offer.size);
	append_keyword(&text, session->offered, CAPABILITY_8BITMIME, "8BITMIME");
	append_keyword(&text, session->offered, CAPABILITY_SMTPUTF8, "SMTPUTF8");
	append_keyword(&text, session->offered, CAPABILITY_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES");
	append_keyword(&text, session->offered, CAPABILITY_CHUNKING, "CHUNKING");
	append_keyword(&text, session->offered, CAPABILITY_DSN, "DSN");
	buffer_printf(&text, "\nLIMITS RCPTMAX=%u", config->limits.recipients);
	if (config->limits.transactions > 0)
		buffer_printf(&text, " MAILMAX=%u", config->limits.transactions);
	buffer_append_string(&text, "\nHELP");
	reply_set(&reply, 250, NULL, "%s", buffer_text(&text));
	session_reply(session, &reply);
	reply_clear(&reply);
	buffer_free(&text);
}
