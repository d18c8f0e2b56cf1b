/* MAIL and RCPT lines for backends. The envelope was checked by the parser of the client's commands: no line ends in it. */
#include "relay/backend_commands.h"

static bool
offers(const struct capability_set *offered, unsigned bit)
{
	return (offered->bits & bit) != 0;
}

void
backend_command_mail(struct buffer *line, const struct envelope *envelope, const struct capability_set *offered, uint64_t size)
{
	buffer_printf(line, "MAIL FROM:<%s>", envelope->sender);
	if (size > 0 && offers(offered, CAPABILITY_SIZE))
		buffer_printf(line, " SIZE=%llu", (unsigned long long)size);
	if (envelope->body == BODY_8BITMIME && offers(offered, CAPABILITY_8BITMIME))
		buffer_append_string(line, " BODY=8BITMIME");
	if (envelope->smtputf8 && offers(offered, CAPABILITY_SMTPUTF8))
		buffer_append_string(line, " SMTPUTF8");
	if (offers(offered, CAPABILITY_DSN) && envelope->ret != NULL)
		buffer_printf(line, " RET=%s", envelope->ret);
	if (offers(offered, CAPABILITY_DSN) && envelope->envelope_id != NULL)
		buffer_printf(line, " ENVID=%s", envelope->envelope_id);
}

/* RFC 3461 4.1: NEVER alone, or a list of the others. */
static void
append_notify(struct buffer *line, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *text;
	} words[] = {{NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
	const char *separator = " NOTIFY=";
	if ((notify & NOTIFY_NEVER) != 0) {
		buffer_append_string(line, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if ((notify & words[i].bit) == 0)
			continue;
		buffer_printf(line, "%s%s", separator, words[i].text);
		separator = ",";
	}
}

void
backend_command_rcpt(struct buffer *line, const struct recipient *recipient, const char *address, const struct capability_set *offered)
{
	buffer_printf(line, "RCPT TO:<%s>", address);
	if (!offers(offered, CAPABILITY_DSN))
		return;
	append_notify(line, recipient->notify);
	if (recipient->original_recipient != NULL)
		buffer_printf(line, " ORCPT=%s", recipient->original_recipient);
}
