/* The journal process's life: set up, sandbox, then records and lines from the proxies until all have gone. It may wait for its
 * disk; the proxies never wait for it. */
#include "journal/journal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/sandbox.h"

#include "wire/channel.h"
#include "wire/child.h"

#include "conf/child_config.h"

#include "journal/log_sink.h"
#include "journal/record.h"
#include "journal/store.h"

#define COMMIT_MS 100 /* a record is searchable after so long at the latest */
#define SINK_RETRY_MS 100
#define TICK_MS 5000
#define SAY_US INT64_C(60000000)
#define DRAIN_MS 8000 /* at an orderly stop the proxies have ended before us */

struct peer {
	struct journal *journal;
	struct channel *channel;
	enum role role;
	unsigned slot;
	struct peer *next;
};

struct journal {
	struct event_base *base;
	struct child *child;
	struct shared_page *page;
	struct config *config;
	struct log_sink *sink;
	struct store *store;
	struct peer *peers;
	struct event *flush_timer;
	struct event *commit_timer;
	struct event *tick_timer;
	struct event *drain_timer;
	bool draining;
	uint64_t stored_counted, lost_counted, lines_dropped_counted; /* what the shared page knows */
	uint64_t malformed, malformed_said, lines_dropped_said;
	int64_t said_at_us;
};

static void
start_timer(struct event *timer, int64_t milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

	if (!evtimer_pending(timer, NULL))
		evtimer_add(timer, &time);
}

/* ---- lines ---- */

static void
write_line(struct journal *journal, enum log_level level, struct span line)
{
	log_sink_line(journal->sink, level, line);
	start_timer(journal->flush_timer, 0);
}

/* An operational line: as it is, or wrapped when the log is JSON, so that every line of it parses. */
static void
write_operational_line(void *context, enum log_level level, const char *line)
{
	struct journal *journal = context;
	struct buffer wrapped = {0};

	if (journal->config->log_format == LOG_FORMAT_TEXT) {
		write_line(journal, level, span_of(line));
		return;
	}
	buffer_printf(&wrapped, "{\"level\":\"%s\",\"line\":", log_level_text(level));
	escape_append_json(&wrapped, span_of(line));
	buffer_append_char(&wrapped, '}');
	write_line(journal, level, span_make(wrapped.data, wrapped.length));
	buffer_free(&wrapped);
}

static void
on_flush(evutil_socket_t descriptor, short events, void *context)
{
	struct journal *journal = context;

	(void)descriptor, (void)events;
	if (!log_sink_flush(journal->sink))
		start_timer(journal->flush_timer, SINK_RETRY_MS);
}

/* ---- records ---- */

static void
update_counters(struct journal *journal)
{
	uint64_t stored = store_stored(journal->store), lost = store_lost(journal->store), dropped = log_sink_dropped(journal->sink);

	shared_count(journal->page, COUNTER_RECORDS_STORED, stored - journal->stored_counted);
	shared_count(journal->page, COUNTER_RECORDS_DROPPED, lost - journal->lost_counted);
	shared_count(journal->page, COUNTER_LOG_LINES_DROPPED, dropped - journal->lines_dropped_counted);
	journal->stored_counted = stored;
	journal->lost_counted = lost;
	journal->lines_dropped_counted = dropped;
}

static void
on_commit(evutil_socket_t descriptor, short events, void *context)
{
	struct journal *journal = context;

	(void)descriptor, (void)events;
	store_commit(journal->store);
	update_counters(journal);
}

static void
take_record(struct journal *journal, struct record *record)
{
	struct buffer line = {0};

	/* A session's own record is for the trace alone: the log has a line per transaction and per refused session. */
	if (record->result != RECORD_NONE) {
		record_format_line(record, journal->config->log_format, &line);
		write_line(journal, LOG_LEVEL_INFO, span_make(line.data, line.length));
		buffer_free(&line);
	}
	if (!journal->config->trace)
		buffer_free(&record->story);
	store_add(journal->store, record);
	if (store_has_batch(journal->store))
		start_timer(journal->commit_timer, COMMIT_MS);
}

/* One record that cannot be read costs itself, not the channel with all that follow. */
static void
on_record(void *context, struct frame_reader *payload)
{
	struct journal *journal = context;
	struct record record;

	if (record_decode(payload, &record) && frame_reader_finish(payload))
		take_record(journal, &record);
	else
		journal->malformed++;
	record_clear(&record);
	frame_reader_init(payload, payload->at, 0);
}

static bool
on_log_line(struct journal *journal, struct frame_reader *payload)
{
	uint8_t level = frame_get_u8(payload);
	char *line = frame_get_string(payload);
	bool good = frame_reader_finish(payload) && line != NULL && level <= LOG_LEVEL_DEBUG;

	if (good)
		write_operational_line(journal, level, line);
	memory_free(&line);
	return good;
}

/* ---- peers ---- */

static bool
on_peer_frame(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	struct peer *peer = context;

	(void)descriptors;
	if (count != 0)
		return false;
	switch (type) {
	case JOURNAL_RECORD:
		on_record(peer->journal, payload);
		return true;
	case JOURNAL_LOG_LINE:
		return on_log_line(peer->journal, payload);
	default:
		return false;
	}
}

static void
remove_peer(struct peer *peer)
{
	struct peer **at = &peer->journal->peers;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	channel_free(&peer->channel);
	memory_free(&peer);
}

static void
on_peer_closed(void *context, const char *reason)
{
	struct peer *peer = context;
	struct journal *journal = peer->journal;

	log_debug("%s in slot %u: %s", role_name(peer->role), peer->slot, reason);
	remove_peer(peer);
	if (journal->draining && journal->peers == NULL)
		event_base_loopexit(journal->base, NULL);
}

static const struct channel_callbacks peer_callbacks = {.on_frame = on_peer_frame, .on_closed = on_peer_closed};

static void
on_peer(void *context, enum role role, unsigned slot, uint32_t generation, int descriptor)
{
	struct journal *journal = context;
	struct peer *peer = memory_new(sizeof *peer);

	(void)generation;
	*peer = (struct peer){.journal = journal, .role = role, .slot = slot, .next = journal->peers};
	journal->peers = peer;
	peer->channel = channel_new(journal->base, descriptor, &peer_callbacks, peer);
}

/* ---- orders of the master ---- */

static void
on_drain_timer(evutil_socket_t descriptor, short events, void *context)
{
	struct journal *journal = context;

	(void)descriptor, (void)events;
	log_warning("stopping though some processes still have a channel to the journal");
	event_base_loopexit(journal->base, NULL);
}

/* Without a master the proxies drain by themselves; we stay as long as they may. */
static void
on_drain(void *context)
{
	struct journal *journal = context;
	int64_t patience_ms = DRAIN_MS;

	journal->draining = true;
	if (journal->child == NULL || child_master_gone(journal->child))
		patience_ms += journal->config->timeouts.drain;
	if (journal->peers == NULL)
		event_base_loopexit(journal->base, NULL);
	else
		start_timer(journal->drain_timer, patience_ms);
}

static void
on_log_file(void *context, int descriptor)
{
	struct journal *journal = context;

	log_sink_flush(journal->sink); /* what came before the change belongs into the old file */
	log_sink_set_file(journal->sink, descriptor);
	start_timer(journal->flush_timer, 0);
}

static void
on_configuration(void *context, uint32_t generation, const char *text)
{
	struct journal *journal = context;
	enum log_target target = journal->config->log_target;

	if (!child_config_replace(&journal->config, generation, text))
		return;
	if (journal->config->log_target != target) {
		log_sink_flush(journal->sink);
		log_sink_set_target(journal->sink, journal->config->log_target);
	}
	store_set_retention(journal->store, journal->config->trace_retention_days);
}

/* ---- troubles, told once a minute, to the master because our own log may be what is in trouble ---- */

static void
tell_master(struct journal *journal, const char *what)
{
	char now[CLOCK_RFC3339_SIZE];
	struct buffer line = {0};

	clock_format_rfc3339(clock_wall_us(clock_system()), now);
	buffer_printf(&line, "%s %s journal: ", now, log_level_text(LOG_LEVEL_ERROR));
	escape_append(&line, span_of(what));
	child_log_line(journal->child, LOG_LEVEL_ERROR, buffer_text(&line));
	buffer_free(&line);
}

static void
say_troubles(struct journal *journal)
{
	int64_t now = clock_monotonic_us(clock_system());
	uint64_t dropped = log_sink_dropped(journal->sink);
	bool news = dropped != journal->lines_dropped_said || journal->malformed != journal->malformed_said;

	if (!news || (journal->said_at_us != 0 && now - journal->said_at_us < SAY_US))
		return;
	journal->said_at_us = now;
	if (journal->malformed != journal->malformed_said)
		log_error("%llu records from other processes were malformed", (unsigned long long)(journal->malformed - journal->malformed_said));
	if (dropped != journal->lines_dropped_said) {
		char *what = memory_format("%llu log lines dropped: %s", (unsigned long long)(dropped - journal->lines_dropped_said),
		    log_sink_problem(journal->sink)[0] == '\0' ? "the log's reader is slow" : log_sink_problem(journal->sink));
		tell_master(journal, what);
		memory_free(&what);
	}
	journal->malformed_said = journal->malformed;
	journal->lines_dropped_said = dropped;
}

static void
on_tick(evutil_socket_t descriptor, short events, void *context)
{
	struct journal *journal = context;

	(void)descriptor, (void)events;
	store_tick(journal->store);
	update_counters(journal);
	say_troubles(journal);
}

/* ---- life ---- */

/* The trace's directory as it is called after the chroot, if there is one; made when it is missing. Caller frees. */
static char *
open_trace_directory(const struct child_setup *setup, const struct config *config)
{
	char *path = memory_format("%s/trace", config->data_directory);
	char resolved[PATH_MAX];
	size_t root = strlen(setup->chroot_directory);

	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		fatal("%s: %s", path, strerror(errno));
	if (realpath(path, resolved) == NULL)
		fatal("%s: %s", path, strerror(errno));
	memory_free(&path);
	if (root == 0)
		return memory_copy_string(resolved);
	if (strncmp(resolved, setup->chroot_directory, root) != 0 || resolved[root] != '/')
		fatal("%s is not below the root directory %s", resolved, setup->chroot_directory);
	return memory_copy_string(resolved + root);
}

static const char *
enter_sandbox(const struct child_setup *setup, const char *directory)
{
	const char *directories[] = {directory};
	const char *readable[] = {LOG_SINK_SYSTEM_LOGGER};
	struct sandbox_options options = {
		.profile = SANDBOX_JOURNAL,
		.role = "journal",
		.log_only = setup->sandbox_log_only,
		.user = setup->user,
		.chroot_directory = setup->chroot_directory,
		.directories = directories,
		.directory_count = 1,
		.readable = readable,
		.readable_count = 1,
	};
	unsigned char seed[8];

	sqlite3_randomness(sizeof seed, seed); /* opens /dev/urandom now, not in the sandbox */
	return sandbox_enter(&options);
}

static void
start(struct journal *journal, struct child_setup *setup)
{
	static const struct child_callbacks callbacks = {
		.on_drain = on_drain,
		.on_peer = on_peer,
		.on_log_file = on_log_file,
		.on_record = on_record,
		.on_configuration = on_configuration,
	};
	struct timeval tick = {.tv_sec = TICK_MS / 1000};

	journal->base = event_base_new();
	if (journal->base == NULL)
		fatal("no event loop");
	journal->flush_timer = evtimer_new(journal->base, on_flush, journal);
	journal->commit_timer = evtimer_new(journal->base, on_commit, journal);
	journal->drain_timer = evtimer_new(journal->base, on_drain_timer, journal);
	journal->tick_timer = event_new(journal->base, -1, EV_PERSIST, on_tick, journal);
	event_add(journal->tick_timer, &tick);
	log_set_emitter(write_operational_line, journal);
	journal->child = child_new(journal->base, &callbacks, journal);
	for (unsigned i = 0; i < setup->peer_count; i++)
		on_peer(journal, setup->peers[i].role, setup->peers[i].slot, setup->peers[i].generation, setup->peers[i].descriptor);
}

static void
finish(struct journal *journal)
{
	while (journal->peers != NULL)
		remove_peer(journal->peers);
	store_free(&journal->store);
	log_sink_free(&journal->sink); /* writes what is queued, the store's last words included */
	log_set_emitter(NULL, NULL);
	event_free(journal->flush_timer);
	event_free(journal->commit_timer);
	event_free(journal->tick_timer);
	event_free(journal->drain_timer);
	child_free(&journal->child);
	config_free(&journal->config);
	event_base_free(journal->base);
}

int
journal_process(void)
{
	struct child_setup setup;
	struct journal journal = {0};

	log_set_role("journal", -1);
	signal(SIGPIPE, SIG_IGN);
	umask(027);
	child_receive_setup(&setup);
	journal.config = child_config_load(setup.config_name, setup.config_text);
	journal.page = shared_memory_page(setup.shared, setup.slot);
	char *directory = open_trace_directory(&setup, journal.config);
	journal.sink = log_sink_new(journal.config->log_target, LOG_SINK_SYSTEM_LOGGER);
	if (setup.log_file >= 0)
		log_sink_set_file(journal.sink, setup.log_file);
	const char *sandbox = enter_sandbox(&setup, directory);
	journal.store = store_new(directory, journal.config->trace_retention_days, clock_system());
	memory_free(&directory);
	start(&journal, &setup);
	store_tick(journal.store);
	child_ready(journal.child, sandbox);
	event_base_dispatch(journal.base);
	store_commit(journal.store);
	update_counters(&journal);
	finish(&journal);
	return 0;
}
