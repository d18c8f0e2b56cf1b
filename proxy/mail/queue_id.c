/* Makes and reads queue IDs. 70 bits in 14 characters of 5 bits, most significant first:
 * 42 bits of milliseconds since 1970 (until 2109), 8 bits of sequence inside the millisecond, 20 bits of the process's instance.
 * Time is first, so IDs sort by it as text. */
#include "mail/queue_id.h"

#include <string.h>

#define TIME_BITS 42
#define SEQUENCE_BITS 8
#define INSTANCE_BITS 20

/* Digits and letters without I, L, O, U, in ASCII order. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
queue_id_source_init(struct queue_id_source *source, const struct clock *clock, uint32_t instance)
{
	*source = (struct queue_id_source){
		.clock = clock,
		.instance = instance & ((1u << INSTANCE_BITS) - 1),
	};
}

/* Moves the source to a (time, sequence) it never gave before: the clock may stand still or step back, this may not. */
static void
source_advance(struct queue_id_source *source)
{
	int64_t now_ms = clock_wall_us(source->clock) / 1000;

	if (now_ms > source->last_ms) {
		source->last_ms = now_ms;
		source->sequence = 0;
	} else if (++source->sequence == 1u << SEQUENCE_BITS) {
		source->last_ms++;
		source->sequence = 0;
	}
}

void
queue_id_make(struct queue_id_source *source, char *id)
{
	uint64_t time, low;

	source_advance(source);
	/* 70 bits as two halves of 35: time's upper 35 bits; its lower 7 bits, sequence, instance. */
	time = (uint64_t)source->last_ms & ((UINT64_C(1) << TIME_BITS) - 1);
	low = ((time & 0x7f) << (SEQUENCE_BITS + INSTANCE_BITS)) | ((uint64_t)source->sequence << INSTANCE_BITS) | source->instance;
	for (int i = 0; i < QUEUE_ID_LENGTH / 2; i++) {
		int shift = 5 * (QUEUE_ID_LENGTH / 2 - 1 - i);

		id[i] = alphabet[((time >> 7) >> shift) & 31];
		id[QUEUE_ID_LENGTH / 2 + i] = alphabet[(low >> shift) & 31];
	}
	id[QUEUE_ID_LENGTH] = '\0';
}

bool
queue_id_is_valid(const char *text)
{
	return strlen(text) == QUEUE_ID_LENGTH && strspn(text, alphabet) == QUEUE_ID_LENGTH;
}

int64_t
queue_id_time_ms(const char *id)
{
	uint64_t time = 0;

	if (!queue_id_is_valid(id))
		return -1;
	/* Nine characters are 45 bits: the time and three bits of the sequence. */
	for (int i = 0; i < 9; i++)
		time = time << 5 | (uint64_t)(strchr(alphabet, id[i]) - alphabet);
	return (int64_t)(time >> (9 * 5 - TIME_BITS));
}
