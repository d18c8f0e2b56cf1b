/* Applies edits to a copy of an envelope. Never judges an address: edits_check.h did. */
#include <string.h>

#include "base/memory.h"
#include "mail/address.h"
#include "mail/command.h"
#include "mail/overlay.h"

/* What edits may say is at most what was checked; here nothing is refused any more. */
static const struct command_offer any_offer = {.size = true, .eight_bit_mime = true, .smtputf8 = true, .dsn = true};

static void
set_text(char **field, const char *value)
{
	memory_free(field);
	*field = memory_copy_string(value);
}

static struct recipient *
add_recipient(struct envelope *to, const char *address, const char *domain, const char *original_recipient, unsigned notify)
{
	struct recipient *added = envelope_add_recipient(to, address, domain);

	added->original_recipient = memory_copy_string(original_recipient);
	added->notify = notify;
	return added;
}

static void
copy(const struct envelope *from, struct envelope *to)
{
	*to = *from;
	to->sender = memory_copy_string(from->sender);
	to->sender_domain = memory_copy_string(from->sender_domain);
	to->ret = memory_copy_string(from->ret);
	to->envelope_id = memory_copy_string(from->envelope_id);
	to->recipients = NULL;
	to->recipient_count = 0;
	for (size_t i = 0; i < from->recipient_count; i++) {
		const struct recipient *recipient = &from->recipients[i];

		add_recipient(to, recipient->address, recipient->domain, recipient->original_recipient, recipient->notify);
	}
}

/* "a@B.example" is the recipient of "a@b.example"; "A@b.example" need not be (RFC 5321 2.4). A bare postmaster has any case (4.5.1). */
static bool
is_recipient(const struct recipient *recipient, const char *address)
{
	const char *at = strrchr(address, '@'), *other_at = strrchr(recipient->address, '@');

	if (at == NULL || other_at == NULL)
		return at == other_at && strcasecmp(address, recipient->address) == 0;
	return at - address == other_at - recipient->address && strncmp(address, recipient->address, (size_t)(at - address)) == 0 &&
	    strcasecmp(at, other_at) == 0;
}

static void
apply_add(struct envelope *to, const struct edit *edit)
{
	struct rcpt_arguments arguments;
	struct command_error error;
	struct buffer line = {0};

	for (size_t i = 0; i < to->recipient_count; i++)
		if (is_recipient(&to->recipients[i], edit->value))
			return;
	buffer_printf(&line, "TO:<%s> %s", edit->value, edit->parameters != NULL ? edit->parameters : "");
	if (command_parse_rcpt(span_make(line.data, line.length), &any_offer, true, &arguments, &error))
		add_recipient(to, edit->value, arguments.recipient.domain_lower, arguments.original_recipient, arguments.notify);
	rcpt_arguments_clear(&arguments);
	buffer_free(&line);
}

static void
apply_delete(struct envelope *to, const struct edit *edit)
{
	size_t kept = 0;

	for (size_t i = 0; i < to->recipient_count; i++) {
		struct recipient recipient = to->recipients[i];

		if (!is_recipient(&recipient, edit->value)) {
			to->recipients[kept++] = recipient;
			continue;
		}
		memory_free(&recipient.address);
		memory_free(&recipient.domain);
		memory_free(&recipient.original_recipient);
	}
	to->recipient_count = kept;
}

/* Of the parameters: a size, a body type or SMTPUTF8 said of the message stays what the message is. */
static void
apply_sender(struct envelope *to, const struct edit *edit)
{
	struct mail_arguments arguments;
	struct command_error error;
	struct address address = {0};
	struct buffer line = {0};

	address_parse_mailbox(span_of(edit->value), true, &address);
	set_text(&to->sender, edit->value);
	set_text(&to->sender_domain, address.domain_lower != NULL ? address.domain_lower : "");
	address_clear(&address);
	buffer_printf(&line, "FROM:<> %s", edit->parameters != NULL ? edit->parameters : "");
	if (command_parse_mail(span_make(line.data, line.length), &any_offer, &arguments, &error)) {
		if (arguments.ret != NULL)
			set_text(&to->ret, arguments.ret);
		if (arguments.envelope_id != NULL)
			set_text(&to->envelope_id, arguments.envelope_id);
	}
	mail_arguments_clear(&arguments);
	buffer_free(&line);
}

void
overlay_envelope(const struct envelope *from, const struct edit_list *edits, struct envelope *to)
{
	copy(from, to);
	for (size_t i = 0; i < edits->count; i++) {
		const struct edit *edit = &edits->edits[i];

		if (edit->kind == EDIT_ADD_RECIPIENT)
			apply_add(to, edit);
		else if (edit->kind == EDIT_DELETE_RECIPIENT)
			apply_delete(to, edit);
		else if (edit->kind == EDIT_CHANGE_SENDER)
			apply_sender(to, edit);
	}
}
