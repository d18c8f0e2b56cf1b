/* What must hold over all processes: one page per process in memory made by the master. Each process writes only its own
 * page (atomics), everyone reads all; the master clears the page of a dead process. Nothing in here is trusted
 * to be consistent: readers bound everything. */
#ifndef POSTERN_WIRE_SHARED_MEMORY_H
#define POSTERN_WIRE_SHARED_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/network.h"
#include "wire/shared_poison.h"

#define SHARED_SLOTS 160 /* processes at one time, two generations of proxies and workers together */
#define SHARED_ADDRESSES 8192 /* client addresses counted per process (open addressing, power of two) */
#define SHARED_BACKENDS 64 /* backends in a configuration */
#define SHARED_IN_FLIGHT 4096 /* messages between end of data and reply, per process */
#define SHARED_QUEUE_ID_SIZE 20

/* Counters: monotonic since the process began; the master adds those of ended processes to its own page.
 * Gauges: what is now. One row: enum, name in `status`, description. */
#define SHARED_COUNTERS(X) \
	X(COUNTER_SESSIONS_ACCEPTED, "sessions_accepted", "client connections accepted") \
	X(COUNTER_SESSIONS_REFUSED, "sessions_refused", "client connections refused with 421 or 554") \
	X(COUNTER_MESSAGES_ACCEPTED, "messages_accepted", "messages answered 250 after end of data") \
	X(COUNTER_MESSAGES_REJECTED, "messages_rejected", "transactions answered 5xx") \
	X(COUNTER_MESSAGES_TEMPFAILED, "messages_tempfailed", "transactions answered 4xx") \
	X(COUNTER_MESSAGES_DISCARDED, "messages_discarded", "messages accepted and dropped by policy") \
	X(COUNTER_MESSAGES_QUARANTINED, "messages_quarantined", "messages accepted into quarantine") \
	X(COUNTER_MESSAGES_ABANDONED, "messages_abandoned", "transactions the client gave up") \
	X(COUNTER_DOUBLE_WINDOW, "double_window", "client gone between the backend's 250 and our reply") \
	X(COUNTER_RECIPIENTS_REJECTED, "recipients_rejected", "RCPT answered 5xx") \
	X(COUNTER_BYTES_RECEIVED, "bytes_received", "message bytes received") \
	X(COUNTER_BACKEND_CONNECTIONS, "backend_connections", "connections opened to backends") \
	X(COUNTER_BACKEND_FAILURES, "backend_failures", "connections to backends failed or broken") \
	X(COUNTER_RECIPIENT_CACHE_HITS, "recipient_cache_hits", "recipient checks answered from the cache") \
	X(COUNTER_LEDGER_HITS, "ledger_hits", "recipients answered from the ledger of mixed outcomes") \
	X(COUNTER_DNS_QUESTIONS, "dns_questions", "DNS questions asked") \
	X(COUNTER_DNS_CACHE_HITS, "dns_cache_hits", "DNS questions answered at once from the cache") \
	X(COUNTER_DNS_FAILURES, "dns_failures", "DNS questions that ended in SERVFAIL or timeout") \
	X(COUNTER_RECORDS_DROPPED, "records_dropped", "trace records dropped because the journal was slow") \
	X(COUNTER_STORIES_DROPPED, "stories_dropped", "trace stories dropped, summary kept") \
	X(COUNTER_LOG_LINES_DROPPED, "log_lines_dropped", "log lines dropped") \
	X(COUNTER_ACCEPT_PAUSED, "accept_paused", "times accepting paused because descriptors ran out or this process had too much") \
	X(COUNTER_PROBES, "probes", "connections closed by the client without a word (load-balancer probes)") \
	X(COUNTER_DELIVERED_MAILDIR, "delivered_maildir", "copies written into Maildirs") \
	X(COUNTER_RECORDS_STORED, "records_stored", "records written to the trace store") \
	X(COUNTER_FILTER_JOBS, "filter_jobs", "jobs given to filter workers") \
	X(COUNTER_FILTER_ERRORS, "filter_errors", "filters lost or unable to judge a message: on_error") \
	X(COUNTER_FILTER_WORKERS_KILLED, "filter_workers_killed", "filter workers killed because they took too long or answered nonsense") \
	X(COUNTER_POISON, "poison", "messages not judged any more because they had killed two filter workers")

#define SHARED_GAUGES(X) \
	X(GAUGE_SESSIONS, "sessions", "client connections open") \
	X(GAUGE_TRANSACTIONS, "transactions", "transactions under way") \
	X(GAUGE_MESSAGE_BYTES, "message_bytes", "bytes of messages held in memory") \
	X(GAUGE_SPOOL_BYTES, "spool_bytes", "bytes of messages held in spool files") \
	X(GAUGE_BACKEND_CONNECTIONS, "backend_connections_open", "connections to backends open") \
	X(GAUGE_BACKEND_WAITING, "backend_waiting", "deliveries waiting for a backend connection") \
	X(GAUGE_JOURNAL_QUEUED, "journal_queued_bytes", "bytes of records waiting for the journal") \
	X(GAUGE_DNS_PENDING, "dns_pending", "DNS questions under way") \
	X(GAUGE_LEDGER_ENTRIES, "ledger_entries", "outcomes remembered in the ledger (set by deliver)") \
	X(GAUGE_FILTER_JOBS_QUEUED, "filter_jobs_queued", "jobs waiting for a filter worker")

enum shared_counter {
#define X(name, text, description) name,
	SHARED_COUNTERS(X)
#undef X
	COUNTER_COUNT
};
enum shared_gauge {
#define X(name, text, description) name,
	SHARED_GAUGES(X)
#undef X
	GAUGE_COUNT
};

enum in_flight_state {
	IN_FLIGHT_FREE = 0,
	IN_FLIGHT_RECEIVED, /* end of data seen, nothing sent to a backend that could count */
	IN_FLIGHT_FINAL_DOT, /* final dot (or its like) is with the backend: outcome unknown if we die now */
	IN_FLIGHT_DELIVERED, /* the backend said yes; the client may not have heard it */
};

struct shared_in_flight {
	_Atomic uint32_t state;
	char queue_id[SHARED_QUEUE_ID_SIZE];
};

/* Who such a message is from and to, for the master who has to explain what became of it. */
#define SHARED_NOTE_SIZE 128 /* bytes of each text with its NUL; longer ones are cut */
struct shared_in_flight_note {
	struct ip_address client;
	char sender[SHARED_NOTE_SIZE];
	char recipient[SHARED_NOTE_SIZE]; /* the first */
	char message_id[SHARED_NOTE_SIZE];
};

/* What this process last learned of a backend. Times are monotonic microseconds, 0 = never. */
struct shared_backend {
	_Atomic uint64_t identity; /* hash of its URL: the same backend may have another number in another generation */
	_Atomic uint32_t open_connections;
	_Atomic uint32_t consecutive_failures;
	_Atomic int64_t skip_until_us; /* not to be tried before, but for one probe */
	_Atomic int64_t learned_at_us; /* capabilities below are as of then */
	_Atomic uint32_t capabilities; /* bits of relay/capabilities.h */
	_Atomic uint64_t size_limit; /* SIZE of the backend, 0 = none given */
};

struct shared_address {
	_Atomic uint64_t hash; /* ip_address_hash, 0 = free */
	_Atomic uint32_t sessions;
};

struct shared_page {
	_Atomic uint32_t process_id; /* 0 = no process */
	_Atomic uint32_t role; /* enum role */
	_Atomic uint32_t generation;
	/* Of a worker: the job it is running now, so that whoever sees it die or hang knows which one to blame; 0 = none. The slot is that of the
	 * proxy that sent it, and is written first. */
	_Atomic uint64_t running_job;
	_Atomic uint32_t running_proxy_slot;
	_Atomic uint64_t counters[COUNTER_COUNT];
	_Atomic uint64_t gauges[GAUGE_COUNT];
	struct shared_backend backends[SHARED_BACKENDS];
	struct shared_in_flight in_flight[SHARED_IN_FLIGHT];
	struct shared_address addresses[SHARED_ADDRESSES];
	/* One counts only while in_flight of the same index does. */
	struct shared_in_flight_note in_flight_notes[SHARED_IN_FLIGHT];
	struct shared_poisons poisons; /* of a proxy; the master keeps those of proxies that have gone */
};

struct shared_memory; /* a mapping of all pages */

/* Master: makes the memory; *descriptor is what children get. fatal() when impossible. */
struct shared_memory *shared_memory_new(int *descriptor);
/* Child: maps it. Takes the descriptor. */
struct shared_memory *shared_memory_map(int descriptor);
void shared_memory_free(struct shared_memory **memory);
struct shared_page *shared_memory_page(struct shared_memory *memory, unsigned slot);

static inline void
shared_count(struct shared_page *page, enum shared_counter counter, uint64_t by)
{
	atomic_fetch_add_explicit(&page->counters[counter], by, memory_order_relaxed);
}
static inline void
shared_gauge_add(struct shared_page *page, enum shared_gauge gauge, int64_t by)
{
	atomic_fetch_add_explicit(&page->gauges[gauge], (uint64_t)by, memory_order_relaxed);
}
/* A worker announces the job it starts, and that it has ended. */
static inline void
shared_job_announce(struct shared_page *page, uint32_t proxy_slot, uint64_t job)
{
	atomic_store_explicit(&page->running_proxy_slot, proxy_slot, memory_order_relaxed);
	atomic_store_explicit(&page->running_job, job, memory_order_release);
}
static inline void
shared_job_clear(struct shared_page *page)
{
	atomic_store_explicit(&page->running_job, 0, memory_order_release);
}
/* Sums over all pages. */
uint64_t shared_counter_total(struct shared_memory *memory, enum shared_counter counter);
uint64_t shared_gauge_total(struct shared_memory *memory, enum shared_gauge gauge);
const char *shared_counter_name(enum shared_counter counter);
const char *shared_counter_description(enum shared_counter counter);
const char *shared_gauge_name(enum shared_gauge gauge);

/* Sessions of one client address, over all processes. Enter adds to our page and returns the total including the new one;
 * a full table counts nothing and returns 1 (limits then fail open, never closed for strangers). */
unsigned shared_address_enter(struct shared_memory *memory, unsigned slot, uint64_t hash);
void shared_address_leave(struct shared_memory *memory, unsigned slot, uint64_t hash);

/* Marks a message as under way. Returns its index or -1 when the table is full (then nothing is tracked). */
int shared_in_flight_enter(struct shared_page *page, const char *queue_id);
/* NULL texts count as "". An index of -1 is ignored here and below. */
void shared_in_flight_describe(
    struct shared_page *page, int index, const struct ip_address *client, const char *sender, const char *recipient, const char *message_id);
void shared_in_flight_set(struct shared_page *page, int index, enum in_flight_state state);
void shared_in_flight_leave(struct shared_page *page, int index);

/* Master: moves counters and poisons of an ended process into `into` and zeroes its page, but for the announced job, which the proxies
 * read as soon as they see a worker's end: that stays until shared_page_claim. */
void shared_page_retire(struct shared_page *page, struct shared_page *into);
/* Master: the page gets a new process, which must not be blamed for what the one before it was doing. */
void shared_page_claim(struct shared_page *page);

#endif
