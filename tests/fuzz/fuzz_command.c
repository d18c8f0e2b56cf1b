/* Command lines and their arguments. The first byte of the input chooses what is offered. Every failure must come with a reply,
 * and nothing that was accepted may break the rules of the envelope it goes into. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "mail/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_error(const struct command_error *error)
{
	ASSERT(error->code >= 501 && error->code <= 555 && error->enhanced[0] == '5' && error->text[0] != '\0');
}

static void
check_text(const char *text, size_t limit)
{
	ASSERT(text[0] != '\0' && strlen(text) <= limit);
	for (; *text != '\0'; text++)
		ASSERT((unsigned char)*text > ' ' && *text != '=' && *text != 0x7f);
}

static void
check_mail(struct span argument, const struct command_offer *offer)
{
	struct command_error error = {0, NULL, NULL};
	struct mail_arguments mail;

	if (command_parse_mail(argument, offer, &mail, &error)) {
		ASSERT(mail.sender.local_part != NULL && (mail.sender.local_part[0] == '\0') == (mail.sender.domain[0] == '\0'));
		ASSERT(mail.smtputf8 || (utf8_is_ascii(span_of(mail.sender.local_part)) && utf8_is_ascii(span_of(mail.sender.domain))));
		ASSERT((offer->smtputf8 || !mail.smtputf8) && (offer->size || !mail.size_declared));
		ASSERT(mail.ret == NULL || strcmp(mail.ret, "FULL") == 0 || strcmp(mail.ret, "HDRS") == 0);
		if (mail.envelope_id != NULL)
			check_text(mail.envelope_id, 100);
	} else {
		check_error(&error);
	}
	mail_arguments_clear(&mail);
}

static void
check_rcpt(struct span argument, const struct command_offer *offer, bool smtputf8)
{
	struct command_error error = {0, NULL, NULL};
	struct rcpt_arguments rcpt;

	if (command_parse_rcpt(argument, offer, smtputf8, &rcpt, &error)) {
		ASSERT(rcpt.recipient.local_part[0] != '\0');
		ASSERT(smtputf8 || utf8_is_ascii(span_of(rcpt.recipient.local_part)));
		ASSERT((rcpt.notify & NOTIFY_NEVER) == 0 || rcpt.notify == NOTIFY_NEVER);
		if (rcpt.original_recipient != NULL)
			check_text(rcpt.original_recipient, 500);
	} else {
		check_error(&error);
	}
	rcpt_arguments_clear(&rcpt);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t chunk;
	bool last;

	if (size == 0)
		return 0;
	struct command_offer offer = {(data[0] & 1) == 0, (data[0] & 2) == 0, (data[0] & 4) == 0, (data[0] & 8) == 0, (data[0] & 16) == 0};
	struct span line = span_make((const char *)data + 1, size - 1);
	struct command command = command_parse(line);
	ASSERT(command.word.length + command.argument.length <= line.length);
	ASSERT((command.verb == COMMAND_UNKNOWN) != span_is_nocase(command.word, command_verb_text(command.verb)) || command.word.length == 0);
	command_is_foreign_protocol(line);
	/* Each argument goes to every parser: so a mutation of the verb does not hide the others. */
	check_mail(command.argument, &offer);
	check_rcpt(command.argument, &offer, (data[0] & 32) != 0);
	command_parse_bdat(command.argument, &chunk, &last);
	command_parse_hello(command.argument, (data[0] & 32) != 0);
	return 0;
}
