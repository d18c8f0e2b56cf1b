/* Any bytes as a payload of each kind that passes between proxies and deliver: what is read without complaint is written again and
 * read again to the same. Folder names made from addresses stay inside the folder. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "deliver/maildir.h"
#include "deliver/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Written again: the same bytes (there is one way to write each value). */
static void
same_bytes(struct buffer *again, const uint8_t *data, size_t size)
{
	ASSERT(again->length == size && (size == 0 || memcmp(again->data, data, size) == 0));
	buffer_free(again);
}

static void
names_check(const struct deliver_store *store)
{
	char name[MAILDIR_NAME_SIZE];
	for (size_t i = 0; i < store->recipient_count; i++) {
		maildir_name(store->recipients[i].address, store->recipients[i].domain, name);
		size_t length = strlen(name);
		ASSERT(length > 0 && length < MAILDIR_NAME_SIZE && name[0] != '.');
		ASSERT(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789._+=-@%") == length);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	struct buffer again = {0};

	if (size == 0)
		return 0;
	unsigned kind = data[0] % 5;
	frame_reader_init(&reader, ++data, --size);
	if (kind == 0) {
		struct deliver_store store;
		if (deliver_store_get(&reader, &store)) {
			names_check(&store);
			deliver_store_put(&store, &again);
			same_bytes(&again, data, size);
		}
		deliver_store_clear(&store);
	} else if (kind == 1) {
		struct deliver_store_answer answer;
		if (deliver_store_answer_get(&reader, &answer)) {
			deliver_store_answer_put(&answer, &again);
			same_bytes(&again, data, size);
		}
		deliver_store_answer_clear(&answer);
	} else if (kind == 2) {
		struct deliver_lookup lookup;
		if (deliver_lookup_get(&reader, &lookup)) {
			deliver_lookup_put(&lookup, &again);
			same_bytes(&again, data, size);
		}
	} else if (kind == 4) {
		struct deliver_keep keep;
		if (deliver_keep_get(&reader, &keep)) {
			size_t length = strlen(keep.queue_id);
			ASSERT(length > 0 && length <= DELIVER_QUEUE_ID_MAX && strpbrk(keep.queue_id, "./%") == NULL);
			deliver_keep_put(&keep, &again);
			same_bytes(&again, data, size);
		}
		deliver_keep_clear(&keep);
	} else {
		struct deliver_entries entries;
		if (deliver_entries_get(&reader, DELIVER_LEDGER_ENTRIES_MAX, &entries)) {
			deliver_entries_put(&entries, &again);
			same_bytes(&again, data, size);
		}
		deliver_entries_clear(&entries);
	}
	return 0;
}
