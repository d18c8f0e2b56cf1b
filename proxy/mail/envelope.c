/* Owns the memory of an envelope. Never judges an address: that is address.h. */
#include "mail/envelope.h"

#include "base/assert.h"
#include "base/memory.h"

static void
recipient_clear(struct recipient *recipient)
{
	memory_free(&recipient->address);
	memory_free(&recipient->domain);
	memory_free(&recipient->original_recipient);
}

void
envelope_clear(struct envelope *envelope)
{
	memory_free(&envelope->sender);
	memory_free(&envelope->sender_domain);
	memory_free(&envelope->ret);
	memory_free(&envelope->envelope_id);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		recipient_clear(&envelope->recipients[i]);
	memory_free(&envelope->recipients);
	*envelope = (struct envelope){0};
}

struct recipient *
envelope_add_recipient(struct envelope *envelope, const char *address, const char *domain)
{
	size_t count = envelope->recipient_count;
	struct recipient *recipient;

	/* The room doubles whenever the count reaches a power of two; removing and adding again may do it once more for nothing. */
	if ((count & (count - 1)) == 0)
		envelope->recipients = memory_resize(envelope->recipients, count == 0 ? 1 : 2 * count, sizeof *envelope->recipients);
	recipient = &envelope->recipients[count];
	*recipient = (struct recipient){
		.address = memory_copy_string(address),
		.domain = memory_copy_string(domain),
	};
	envelope->recipient_count++;
	return recipient;
}

void
envelope_remove_last_recipient(struct envelope *envelope)
{
	ASSERT(envelope->recipient_count > 0);
	recipient_clear(&envelope->recipients[--envelope->recipient_count]);
}
