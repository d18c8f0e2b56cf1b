/* A proxy's queue towards the journal. Owns the frames until the channel takes them, a window at a time, so that a journal that
 * died loses only that window. Never waits, but for journal_client_drain. */
#include "journal/journal_client.h"

#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"

#include "wire/channel.h"
#include "wire/roles.h"

#define JOURNAL_CLIENT_MAGIC 0x4a434c49u
#define QUEUE_MAX (16u << 20) /* bytes; above half of it records go without their story */
#define WINDOW (128u << 10) /* bytes given to the channel and not yet written */
#define FEED_MS 5

struct queued {
	struct queued *next;
	uint16_t type;
	struct buffer payload;
};

struct journal_client {
	uint32_t magic;
	struct event_base *base;
	struct shared_page *page;
	struct channel *channel; /* NULL: no journal at the moment */
	struct event *feed_timer;
	struct queued *first;
	struct queued **end;
	size_t queued_bytes;
	uint64_t window_records; /* records among what the channel was given since it was last empty */
	uint64_t window_lines;
	bool feeding; /* a log line made while feeding must not feed again */
};

static void feed(struct journal_client *client);

static void
on_feed(evutil_socket_t descriptor, short events, void *context)
{
	(void)descriptor, (void)events;
	feed(context);
}

struct journal_client *
journal_client_new(struct event_base *base, struct shared_page *page)
{
	struct journal_client *client = memory_new(sizeof *client);

	client->magic = JOURNAL_CLIENT_MAGIC;
	client->base = base;
	client->page = page;
	client->end = &client->first;
	client->feed_timer = evtimer_new(base, on_feed, client);
	return client;
}

/* ---- the queue ---- */

static void
add_queued_bytes(struct journal_client *client, size_t added, size_t removed)
{
	client->queued_bytes += added - removed;
	shared_gauge_add(client->page, GAUGE_JOURNAL_QUEUED, (int64_t)added - (int64_t)removed);
}

static size_t
entry_bytes(const struct queued *entry)
{
	return sizeof *entry + entry->payload.capacity;
}

static void
drop_first(struct journal_client *client)
{
	struct queued *entry = client->first;

	add_queued_bytes(client, 0, entry_bytes(entry));
	client->first = entry->next;
	if (client->first == NULL)
		client->end = &client->first;
	buffer_free(&entry->payload);
	memory_free(&entry);
}

/* Takes the payload's bytes over. */
static void
enqueue(struct journal_client *client, uint16_t type, struct buffer *payload)
{
	struct queued *entry = memory_new(sizeof *entry);

	entry->type = type;
	entry->payload = *payload;
	*payload = (struct buffer){0};
	*client->end = entry;
	client->end = &entry->next;
	add_queued_bytes(client, entry_bytes(entry), 0);
	feed(client);
}

static void
count_loss(struct journal_client *client, uint16_t type, uint64_t count)
{
	shared_count(client->page, type == JOURNAL_RECORD ? COUNTER_RECORDS_DROPPED : COUNTER_LOG_LINES_DROPPED, count);
}

/* ---- towards the channel ---- */

/* The channel tells nobody when it is empty, so a timer looks as long as something waits. */
static void
feed(struct journal_client *client)
{
	struct timeval soon = {.tv_usec = FEED_MS * 1000};

	if (client->channel == NULL || client->feeding)
		return;
	client->feeding = true;
	if (channel_queued(client->channel) == 0)
		client->window_records = client->window_lines = 0;
	while (client->first != NULL && channel_queued(client->channel) < WINDOW) {
		uint16_t type = client->first->type;
		if (!channel_send(client->channel, type, &client->first->payload, NULL, 0)) {
			/* Too large for any frame: it would block the queue for ever. A closed channel says so soon. */
			if (client->first->payload.length <= FRAME_PAYLOAD_MAX)
				break;
			count_loss(client, type, 1);
		} else if (type == JOURNAL_RECORD) {
			client->window_records++;
		} else {
			client->window_lines++;
		}
		drop_first(client);
	}
	if (client->first != NULL && !evtimer_pending(client->feed_timer, NULL))
		evtimer_add(client->feed_timer, &soon);
	client->feeding = false;
}

static bool
on_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	(void)context, (void)type, (void)payload, (void)descriptors, (void)count;
	return false; /* nothing comes back */
}

static void
lose_channel(struct journal_client *client)
{
	if (client->channel == NULL)
		return;
	channel_free(&client->channel);
	/* What was on its way may have arrived or not; the higher figure is the honest one. What the kernel held unread is unknown. */
	count_loss(client, JOURNAL_RECORD, client->window_records);
	count_loss(client, JOURNAL_LOG_LINE, client->window_lines);
	client->window_records = client->window_lines = 0;
}

static void
on_closed(void *context, const char *reason)
{
	(void)reason;
	lose_channel(context);
}

static const struct channel_callbacks callbacks = {.on_frame = on_frame, .on_closed = on_closed};

/* ---- the interface ---- */

void
journal_client_free(struct journal_client **address)
{
	struct journal_client *client = *address;

	if (client == NULL)
		return;
	CHECK_MAGIC(client, JOURNAL_CLIENT_MAGIC);
	if (client->channel != NULL && channel_queued(client->channel) == 0)
		client->window_records = client->window_lines = 0;
	lose_channel(client);
	while (client->first != NULL) {
		count_loss(client, client->first->type, 1);
		drop_first(client);
	}
	event_free(client->feed_timer);
	client->magic = 0;
	memory_free(address);
}

void
journal_client_connect(struct journal_client *client, int descriptor)
{
	CHECK_MAGIC(client, JOURNAL_CLIENT_MAGIC);
	lose_channel(client);
	client->channel = channel_new(client->base, descriptor, &callbacks, client);
	feed(client);
}

void
journal_client_record(struct journal_client *client, const struct record *record)
{
	struct buffer payload = {0};
	bool with_story = client->queued_bytes <= QUEUE_MAX / 2;

	CHECK_MAGIC(client, JOURNAL_CLIENT_MAGIC);
	if (client->queued_bytes > QUEUE_MAX) {
		count_loss(client, JOURNAL_RECORD, 1);
		return;
	}
	if (!with_story && record->story.length > 0)
		shared_count(client->page, COUNTER_STORIES_DROPPED, 1);
	record_encode(record, with_story, &payload);
	enqueue(client, JOURNAL_RECORD, &payload);
}

void
journal_client_log_line(void *context, enum log_level level, const char *line)
{
	struct journal_client *client = context;
	struct buffer payload = {0};

	CHECK_MAGIC(client, JOURNAL_CLIENT_MAGIC);
	/* Records are worth more than lines: lines get half of the room, alarms and errors all of it. */
	if (client->queued_bytes > (level <= LOG_LEVEL_ERROR ? QUEUE_MAX : QUEUE_MAX / 2)) {
		count_loss(client, JOURNAL_LOG_LINE, 1);
		return;
	}
	frame_put_u8(&payload, (uint8_t)level);
	frame_put_string(&payload, line);
	enqueue(client, JOURNAL_LOG_LINE, &payload);
}

void
journal_client_drain(struct journal_client *client, int timeout_ms)
{
	CHECK_MAGIC(client, JOURNAL_CLIENT_MAGIC);
	int64_t deadline = clock_monotonic_us(clock_system()) + (int64_t)timeout_ms * 1000;
	while (client->channel != NULL) {
		feed(client);
		int64_t left = (deadline - clock_monotonic_us(clock_system())) / 1000;
		if (!channel_drain(client->channel, left > 0 ? (int)left : 0))
			return;
		if (client->first == NULL || left <= 0)
			return;
	}
}
