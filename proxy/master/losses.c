/* From pages of dead processes to records. Nothing in a page is trusted: it was written by a process that has just failed. */
#include "master/losses.h"

#include <string.h>

#include "base/memory.h"
#include "journal/record.h"
#include "mail/queue_id.h"

#define LOSSES_MAX 20000 /* records waiting for a journal */

struct losses {
	const struct clock *clock;
	struct shared_page *own_page;
	struct buffer *waiting; /* encoded records */
	size_t count, capacity;
};

struct losses *
losses_new(const struct clock *clock, struct shared_page *own_page)
{
	struct losses *losses = memory_new(sizeof *losses);

	losses->clock = clock;
	losses->own_page = own_page;
	return losses;
}

void
losses_free(struct losses **losses)
{
	if (*losses == NULL)
		return;
	for (size_t i = 0; i < (*losses)->count; i++)
		buffer_free(&(*losses)->waiting[i]);
	memory_free(&(*losses)->waiting);
	memory_free(losses);
}

static void
add(struct losses *losses, const struct record *record)
{
	if (losses->count >= LOSSES_MAX) {
		shared_count(losses->own_page, COUNTER_RECORDS_DROPPED, 1);
		return;
	}
	if (losses->count == losses->capacity) {
		losses->capacity = losses->capacity == 0 ? 64 : losses->capacity * 2;
		losses->waiting = memory_resize(losses->waiting, losses->capacity, sizeof *losses->waiting);
	}
	losses->waiting[losses->count] = (struct buffer){0};
	record_encode(record, true, &losses->waiting[losses->count++]);
}

static void
set_noted(char **field, const char *noted)
{
	char text[SHARED_NOTE_SIZE];

	memcpy(text, noted, sizeof text);
	text[sizeof text - 1] = '\0';
	record_set(field, text[0] != '\0' ? text : NULL);
}

static void
describe(struct record *record, const struct shared_in_flight_note *note)
{
	char *recipient = NULL;

	record->client = note->client;
	if (record->client.family != 4 && record->client.family != 6)
		record->client = (struct ip_address){0};
	set_noted(&record->sender, note->sender);
	if (record->sender == NULL)
		record_set(&record->sender, ""); /* the null sender: there was a MAIL */
	set_noted(&record->message_id, note->message_id);
	set_noted(&recipient, note->recipient);
	if (recipient != NULL)
		record_add_recipient(record, recipient, true, "");
	memory_free(&recipient);
}

/* The client heard nothing of the one, and may or may not have heard of the other. */
static void
add_loss(struct losses *losses, const char *queue_id, const struct shared_in_flight_note *note, enum in_flight_state state,
    const char *reason)
{
	struct record record = {0};
	int64_t now_us = clock_wall_us(losses->clock), began_us = queue_id_time_ms(queue_id) * 1000;

	memcpy(record.queue_id, queue_id, strlen(queue_id) + 1);
	record.result = state == IN_FLIGHT_RECEIVED ? RECORD_PROCESS_LOST : RECORD_PROCESS_LOST_WINDOW;
	/* The ID's time is when the transaction began, unless the wall clock was moved meanwhile. */
	record.started_us = began_us > 0 && began_us < now_us ? began_us : now_us;
	record.finished_us = now_us;
	record_set(&record.reason, reason);
	describe(&record, note);
	add(losses, &record);
	record_clear(&record);
}

unsigned
losses_collect(struct losses *losses, struct shared_page *page, const char *reason)
{
	unsigned lost = 0;

	for (size_t i = 0; i < SHARED_IN_FLIGHT; i++) {
		uint32_t state = atomic_load(&page->in_flight[i].state);
		char queue_id[SHARED_QUEUE_ID_SIZE];

		if (state != IN_FLIGHT_RECEIVED && state != IN_FLIGHT_FINAL_DOT && state != IN_FLIGHT_DELIVERED)
			continue;
		memcpy(queue_id, page->in_flight[i].queue_id, sizeof queue_id);
		queue_id[sizeof queue_id - 1] = '\0';
		if (!queue_id_is_valid(queue_id))
			continue;
		add_loss(losses, queue_id, &page->in_flight_notes[i], (enum in_flight_state)state, reason);
		lost++;
	}
	return lost;
}

void
losses_deliver(struct losses *losses, struct process *journal)
{
	for (size_t i = 0; i < losses->count; i++) {
		if (!process_send_record(journal, &losses->waiting[i]))
			shared_count(losses->own_page, COUNTER_RECORDS_DROPPED, 1);
		buffer_free(&losses->waiting[i]);
	}
	losses->count = 0;
}

size_t
losses_waiting(const struct losses *losses)
{
	return losses->count;
}
