/* Client and service over a real socket pair, the service in a process of its own: what is stored, looked up and recorded, and what
 * becomes of it when deliver is late, dead or lying. */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "deliver/deliver_client.h"
#include "deliver/poison.h"
#include "deliver/protocol.h"
#include "deliver/service.h"
#include "folder.h"
#include "wire/channel.h"

struct fixture {
	struct folder folder;
	struct event_base *base;
	struct deliver_client *client;
	struct shared_page *page; /* shared with the service */
	pid_t process;
	unsigned answers;
	enum deliver_status status;
	struct reply replies[8];
	size_t count;
	struct ledger_entry entries[16];
	bool recorded, without_quarantine;
};

static struct fixture fixture;

static void
leave(void *context)
{
	event_base_loopexit(context, NULL);
}

/* The child's life. Backend 0 is an SMTP one, backend 1 a Maildir. */
static void
serve(struct fixture *f, int descriptor, bool with_ledger)
{
	struct event_base *base = event_base_new();
	struct maildir *maildirs[2] = {NULL, maildir_open(folder_path(&f->folder, "mail"), "mx.example.org", clock_system())};
	struct ledger *ledger = with_ledger ? ledger_open(folder_path(&f->folder, "ledger.db"), clock_system()) : NULL;
	struct maildir *quarantine = f->without_quarantine ? NULL :
	    maildir_open(folder_path(&f->folder, "quarantine"), "mx.example.org", clock_system());
	mkdir(folder_path(&f->folder, "poison"), 0700);
	int poison = poison_open(folder_path(&f->folder, "poison"));
	struct deliver_service *service = deliver_service_new(&(struct deliver_service_options){.base = base, .maildirs = maildirs,
	    .maildir_count = 2, .quarantine = quarantine, .poison = poison, .ledger = ledger, .clock = clock_system(), .page = f->page,
	    .on_idle = leave, .context = base});
	deliver_service_add_peer(service, descriptor);
	event_base_dispatch(base);
	deliver_service_free(&service);
	ledger_close(&ledger);
	maildir_close(&maildirs[1]);
	event_base_free(base);
	_exit(0);
}

static void
pair_make(int *pair)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void
deliver_start(struct fixture *f, bool with_ledger)
{
	int pair[2];
	pair_make(pair);
	f->process = fork();
	if (f->process == 0) {
		close(pair[0]);
		serve(f, pair[1], with_ledger);
	}
	close(pair[1]);
	deliver_client_connect(f->client, pair[0]);
}

static void
set_up(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	folder_make(&f->folder);
	f->page = mmap(NULL, sizeof *f->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->base = event_base_new();
	f->client = deliver_client_new(f->base);
}

static void
results_clear(struct fixture *f)
{
	for (size_t i = 0; i < 8; i++)
		reply_clear(&f->replies[i]);
	for (size_t i = 0; i < 16; i++)
		reply_clear(&f->entries[i].reply);
	f->answers = 0;
	f->count = 0;
}

static void
tear_down(struct fixture *f)
{
	results_clear(f);
	deliver_client_free(&f->client);
	ck_assert_ptr_null(f->client);
	event_base_free(f->base);
	if (f->process != 0)
		waitpid(f->process, NULL, 0);
	munmap(f->page, sizeof *f->page);
	folder_remove(&f->folder);
}

static void
run_until(struct fixture *f, unsigned answers)
{
	time_t limit = time(NULL) + 20;
	while (f->answers < answers) {
		event_base_loop(f->base, EVLOOP_ONCE);
		ck_assert_int_lt(time(NULL), limit);
	}
}

static void
on_stored(void *context, enum deliver_status status, const struct reply *replies, size_t count)
{
	struct fixture *f = context;
	f->status = status;
	f->count = count;
	for (size_t i = 0; i < count && i < 8; i++)
		reply_copy(&f->replies[i], &replies[i]);
	f->answers++;
}

static void
on_found(void *context, enum deliver_status status, const struct ledger_entry *entries, size_t count)
{
	struct fixture *f = context;
	f->status = status;
	f->count = count;
	for (size_t i = 0; i < count; i++) {
		f->entries[i] = entries[i];
		f->entries[i].reply = (struct reply){0};
		reply_copy(&f->entries[i].reply, &entries[i].reply);
	}
	f->answers++;
}

static void
on_recorded(void *context, bool ok)
{
	struct fixture *f = context;
	f->recorded = ok;
	f->answers++;
}

/* A message of so many bytes as a view with a stamp, over a message in a descriptor when `range`. */
static void
view_make(struct view *view, const char *stamp, size_t size, bool range)
{
	char *bytes = malloc(size + 1);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)('a' + i % 26);
	view_init(view, NULL);
	view_add_text(view, span_of(stamp));
	if (range) {
		int descriptor = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ck_assert_int_eq((ssize_t)size, write(descriptor, bytes, size));
		ck_assert_int_eq(fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
		view->message = message_store_open(descriptor);
		ck_assert_ptr_nonnull(view->message);
		view_add_range(view, 0, size);
	} else {
		view_add_text(view, span_make(bytes, size));
	}
	free(bytes);
}

static void
view_done(struct view *view)
{
	message_store_free(&view->message);
	view_clear(view);
}

static uint64_t
store(struct fixture *f, unsigned backend, const struct view *view, int64_t timeout_ms, const char *const *recipients)
{
	struct envelope envelope = {0};
	for (; *recipients != NULL; recipients++) {
		const char *at = strrchr(*recipients, '@');
		envelope_add_recipient(&envelope, *recipients, at != NULL ? at + 1 : "");
	}
	uint64_t id = deliver_client_store(f->client, backend, "QID1", view, &envelope, timeout_ms, on_stored, f);
	ck_assert_uint_ne(id, 0);
	envelope_clear(&envelope);
	return id;
}

#define TO(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(stored)
{
	struct fixture *f = &fixture;
	struct view view;
	set_up(f);
	deliver_start(f, true);
	view_make(&view, "X: y\r\n", 100, false);
	store(f, 1, &view, 5000, TO("u@example.org", "v@example.net", "U@example.org"));
	view_done(&view);
	ck_assert_uint_eq(f->answers, 0);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_uint_eq(f->count, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(f->replies[i].code, 250);
	ck_assert_int_eq(folder_count(&f->folder, "mail/u@example.org/new", NULL), 1); /* two recipients, one mailbox, one copy */
	ck_assert_int_eq(folder_count(&f->folder, "mail/v@example.net/new", NULL), 1);
	ck_assert_uint_eq(f->page->counters[COUNTER_DELIVERED_MAILDIR], 2);
	ck_assert(deliver_client_is_introduced(f->client));
	tear_down(f);
}
END_TEST

START_TEST(stored_with_descriptor)
{
	struct fixture *f = &fixture;
	struct view view;
	char name[300], path[600];
	size_t length, size = 1u << 20;
	set_up(f);
	deliver_start(f, true);
	view_make(&view, "X: y\r\n", size, true);
	store(f, 1, &view, 5000, TO("u@example.org"));
	view_done(&view);
	run_until(f, 1);
	ck_assert_int_eq(f->replies[0].code, 250);
	ck_assert_int_eq(folder_count(&f->folder, "mail/u@example.org/new", name), 1);
	snprintf(path, sizeof path, "mail/u@example.org/new/%s", name);
	char *bytes = file_read(folder_path(&f->folder, path), &length);
	ck_assert_uint_eq(length, size + 6);
	ck_assert_mem_eq(bytes, "X: y\r\nabcdefghijklmnopqrstuvwxyzabc", 35);
	ck_assert_int_eq(bytes[length - 1], 'a' + (int)((size - 1) % 26));
	free(bytes);
	tear_down(f);
}
END_TEST

START_TEST(not_a_maildir)
{
	struct fixture *f = &fixture;
	struct view view;
	set_up(f);
	deliver_start(f, true);
	view_make(&view, "", 10, false);
	store(f, 0, &view, 5000, TO("u@example.org"));
	store(f, 77, &view, 5000, TO("u@example.org"));
	run_until(f, 2);
	ck_assert_int_eq(f->replies[0].code, 451);
	ck_assert_str_eq(f->replies[0].enhanced, "4.3.5");
	/* Too late when deliver comes to it: left undone. */
	results_clear(f);
	store(f, 1, &view, 0, TO("u@example.org"));
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	store(f, 1, &view, 5000, TO("v@example.org"));
	run_until(f, 2);
	ck_assert_int_eq(folder_count(&f->folder, "mail/u@example.org", NULL), -1);
	ck_assert_int_eq(folder_count(&f->folder, "mail/v@example.org/new", NULL), 1);
	view_done(&view);
	tear_down(f);
}
END_TEST

START_TEST(recorded_and_found)
{
	struct fixture *f = &fixture;
	struct ledger_entry entries[2] = {{.outcome = LEDGER_DELIVERED, .queue_id = "Q1"}, {.outcome = LEDGER_REFUSED, .queue_id = "Q2"}};
	uint8_t hash[32] = {7};
	set_up(f);
	deliver_start(f, true);
	ledger_make_keys("s@example.com", "u@example.org", hash, &entries[0]);
	ledger_make_keys("s@example.com", "v@example.org", hash, &entries[1]);
	reply_set(&entries[1].reply, 550, "5.1.1", "nobody");
	deliver_client_ledger_record(f->client, entries, 2, 5000, on_recorded, f);
	run_until(f, 1);
	ck_assert(f->recorded);
	ck_assert_uint_eq(f->page->gauges[GAUGE_LEDGER_ENTRIES], 2);
	deliver_client_ledger_lookup(f->client, entries[1].address_key, NULL, 5000, on_found, f);
	run_until(f, 2);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_uint_eq(f->count, 1);
	ck_assert_int_eq(f->entries[0].reply.code, 550);
	ck_assert_str_eq(f->entries[0].reply.enhanced, "5.1.1");
	ck_assert_str_eq(f->entries[0].queue_id, "Q2");
	hash[0] = 8;
	ledger_make_keys("s@example.com", "v@example.org", hash, &entries[1]);
	deliver_client_ledger_lookup(f->client, entries[1].address_key, entries[1].message_key, 5000, on_found, f);
	run_until(f, 3);
	ck_assert_uint_eq(f->count, 0);
	reply_clear(&entries[1].reply);
	tear_down(f);
}
END_TEST

START_TEST(ledger_does_not_work)
{
	struct fixture *f = &fixture;
	uint8_t key[32] = {0};
	struct ledger_entry entry = {.outcome = LEDGER_DELIVERED};
	set_up(f);
	deliver_start(f, false);
	deliver_client_ledger_lookup(f->client, key, NULL, 5000, on_found, f);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	ck_assert(!deliver_client_is_connected(f->client));
	f->recorded = true;
	deliver_client_ledger_record(f->client, &entry, 1, 5000, on_recorded, f);
	run_until(f, 2);
	ck_assert(!f->recorded);
	tear_down(f);
}
END_TEST

START_TEST(nobody_there)
{
	struct fixture *f = &fixture;
	struct view view;
	uint8_t key[32] = {0};
	struct timespec began, ended;
	set_up(f);
	ck_assert(!deliver_client_is_connected(f->client));
	view_make(&view, "", 10, false);
	clock_gettime(CLOCK_MONOTONIC, &began);
	store(f, 1, &view, 200, TO("u@example.org"));
	deliver_client_ledger_lookup(f->client, key, NULL, 100, on_found, f);
	uint64_t cancelled = deliver_client_ledger_lookup(f->client, key, NULL, 50, on_found, f);
	deliver_client_cancel(f->client, cancelled);
	deliver_client_cancel(f->client, cancelled);
	deliver_client_cancel(f->client, 0);
	run_until(f, 2);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	ck_assert_int_le((ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000, 1000);
	/* Asked while nobody is there, answered by the one who comes, the cancelled one not. */
	results_clear(f);
	store(f, 1, &view, 5000, TO("u@example.org"));
	store(f, 1, &view, 5000, TO("u@example.org"));
	deliver_client_cancel(f->client, store(f, 1, &view, 5000, TO("u@example.org")));
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answers, 0);
	deliver_start(f, true);
	run_until(f, 2);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_int_eq(folder_count(&f->folder, "mail/u@example.org/new", NULL), 2);
	view_done(&view);
	tear_down(f);
}
END_TEST

START_TEST(deliver_dies)
{
	struct fixture *f = &fixture;
	struct view view;
	set_up(f);
	deliver_start(f, true);
	view_make(&view, "", 100000, true);
	store(f, 1, &view, 5000, TO("u@example.org"));
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	/* Stopped, so that the next ones are with it, then killed. */
	kill(f->process, SIGSTOP);
	results_clear(f);
	store(f, 1, &view, 5000, TO("v@example.org"));
	store(f, 1, &view, 5000, TO("w@example.org"));
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	kill(f->process, SIGKILL);
	waitpid(f->process, NULL, 0);
	run_until(f, 2);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	ck_assert(!deliver_client_is_connected(f->client));
	/* The next deliver is asked again only for what comes after. */
	results_clear(f);
	store(f, 1, &view, 5000, TO("x@example.org"));
	deliver_start(f, true);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_int_eq(folder_count(&f->folder, "mail/v@example.org", NULL), -1);
	view_done(&view);
	tear_down(f);
}
END_TEST

static void
on_quarantined(void *context, enum deliver_status status, const struct reply *reply)
{
	struct fixture *f = context;
	f->status = status;
	if (reply != NULL)
		reply_copy(&f->replies[0], reply);
	f->answers++;
}

/* So many bytes as the client received them. */
static struct message_store *
message_make(size_t size)
{
	struct view view;
	view_make(&view, "", size, true);
	struct message_store *message = view.message;
	view.message = NULL;
	view_clear(&view);
	return message;
}

static void
quarantine(struct fixture *f, size_t size, int64_t timeout_ms)
{
	struct envelope envelope = {.sender = "s@example.com"};
	struct ip_address address;
	struct message_store *message = message_make(size);
	ip_address_parse("192.0.2.7", &address);
	envelope_add_recipient(&envelope, "u@example.org", "example.org");
	envelope_add_recipient(&envelope, "v@example.org", "example.org");
	ck_assert_uint_ne(deliver_client_quarantine(f->client, "QID1", message, &envelope, &address, "SPF: fail", timeout_ms, on_quarantined, f), 0);
	message_store_free(&message);
	envelope.sender = NULL;
	envelope_clear(&envelope);
}

/* The only file of the folder; the caller frees. */
static char *
only_file(struct fixture *f, const char *folder, size_t *length)
{
	char name[300], path[600];
	ck_assert_int_eq(folder_count(&f->folder, folder, name), 1);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return file_read(folder_path(&f->folder, path), length);
}

static void
quarantined_of_size(size_t size)
{
	struct fixture *f = &fixture;
	size_t length;
	set_up(f);
	deliver_start(f, true);
	quarantine(f, size, 5000);
	ck_assert_uint_eq(f->answers, 0);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_int_eq(f->replies[0].code, 250);
	ck_assert_int_eq(folder_count(&f->folder, "quarantine", NULL), 3);
	ck_assert_int_eq(folder_count(&f->folder, "quarantine/tmp", NULL), 0);
	char *bytes = only_file(f, "quarantine/new", &length);
	static const char front[] = "X-Postern-Queue-ID: QID1\r\nX-Postern-Sender: <s@example.com>\r\nX-Postern-Recipient: <u@example.org>\r\n"
	                            "X-Postern-Recipient: <v@example.org>\r\nX-Postern-Client: 192.0.2.7\r\nX-Postern-Reason: SPF: fail\r\n"
	                            "X-Postern-Time: 20";
	size_t fields = sizeof front - 1 + strlen("26-11-21T20:15:04.123Z\r\n");
	ck_assert_uint_eq(length, fields + size);
	ck_assert_mem_eq(bytes, front, sizeof front - 1);
	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(bytes[fields + i], 'a' + (int)(i % 26));
	ck_assert_uint_eq(f->page->counters[COUNTER_DELIVERED_MAILDIR], 0);
	free(bytes);
	tear_down(f);
}

START_TEST(quarantined)
{
	quarantined_of_size(0);
	quarantined_of_size(100);
	quarantined_of_size(MESSAGE_STORE_SMALL);
	quarantined_of_size(MESSAGE_STORE_SMALL + 1);
	quarantined_of_size(2u << 20);
}
END_TEST

START_TEST(quarantine_fails)
{
	struct fixture *f = &fixture;
	set_up(f);
	/* Nobody there. */
	quarantine(f, 100, 50);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	ck_assert_int_eq(f->replies[0].code, 0);
	/* None configured. */
	f->without_quarantine = true;
	deliver_start(f, true);
	quarantine(f, 100, 5000);
	run_until(f, 2);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_int_eq(f->replies[0].code, 451);
	ck_assert_str_eq(f->replies[0].enhanced, "4.3.5");
	tear_down(f);
	/* Its folder is a file; and deliver dies with it. */
	set_up(f);
	mkdir(folder_path(&f->folder, "quarantine"), 0700);
	close(open(folder_path(&f->folder, "quarantine/tmp"), O_CREAT | O_WRONLY, 0600));
	deliver_start(f, true);
	quarantine(f, 100, 5000);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_DONE);
	ck_assert_int_eq(f->replies[0].code, 451);
	kill(f->process, SIGSTOP);
	quarantine(f, 100000, 5000);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	kill(f->process, SIGKILL);
	run_until(f, 2);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	tear_down(f);
}
END_TEST

START_TEST(poisoned)
{
	struct fixture *f = &fixture;
	struct message_store *small = message_make(1000), *large = message_make(200000);
	size_t length;
	set_up(f);
	/* One before deliver is there, one after; a quarantine behind them says when they are done. */
	deliver_client_poison(f->client, "QID1", small, "killed two workers:\nspf");
	deliver_start(f, true);
	deliver_client_poison(f->client, "QID2", large, "again");
	message_store_free(&small);
	message_store_free(&large);
	quarantine(f, 10, 5000);
	run_until(f, 1);
	ck_assert_int_eq(folder_count(&f->folder, "poison", NULL), 4);
	char *bytes = file_read(folder_path(&f->folder, "poison/QID1.eml"), &length);
	ck_assert_uint_eq(length, 1000);
	ck_assert_mem_eq(bytes, "abcdefghijklmnopqrstuvwxyzabc", 29);
	free(bytes);
	bytes = file_read(folder_path(&f->folder, "poison/QID2.eml"), &length);
	ck_assert_uint_eq(length, 200000);
	free(bytes);
	bytes = file_read(folder_path(&f->folder, "poison/QID1.txt"), &length);
	ck_assert_uint_eq(length, strlen("killed two workers:\\x0aspf\n"));
	free(bytes);
	tear_down(f);
}
END_TEST

static void
free_client(void *context, enum deliver_status status, const struct reply *replies, size_t count)
{
	struct fixture *f = context;
	(void)status, (void)replies, (void)count;
	deliver_client_free(&f->client);
	f->answers++;
}

START_TEST(freed_in_callback)
{
	struct fixture *f = &fixture;
	struct view view;
	struct envelope envelope = {0};
	set_up(f);
	deliver_start(f, true);
	view_make(&view, "", 10, false);
	envelope_add_recipient(&envelope, "u@example.org", "example.org");
	deliver_client_store(f->client, 1, "Q", &view, &envelope, 5000, free_client, f);
	deliver_client_store(f->client, 1, "Q", &view, &envelope, 5000, free_client, f);
	run_until(f, 1);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answers, 1);
	envelope_clear(&envelope);
	view_done(&view);
	tear_down(f);
}
END_TEST

START_TEST(too_much_waiting)
{
	/* Without a deliver not more is held than 256 descriptors; the rest is lost at once. */
	struct fixture *f = &fixture;
	struct view view;
	set_up(f);
	view_make(&view, "", 100000, true);
	for (int i = 0; i < 300; i++)
		store(f, 1, &view, 60000, TO("u@example.org"));
	run_until(f, 44);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answers, 44);
	view_done(&view);
	tear_down(f);
}
END_TEST

/* A deliver that answers what nobody asked. */
static bool
nothing(void *context, uint16_t type, struct frame_reader *payload, int *descriptors, size_t count)
{
	(void)context, (void)type, (void)descriptors, (void)count;
	payload->left = 0;
	return true;
}

static void
note_closed(void *context, const char *reason)
{
	(void)reason;
	*(bool *)context = true;
}

START_TEST(lying_answers)
{
	static const struct channel_callbacks callbacks = {nothing, note_closed};
	struct fixture *f = &fixture;
	struct buffer payload = {0};
	struct view view;
	bool closed = false;
	int pair[2];
	set_up(f);
	pair_make(pair);
	deliver_client_connect(f->client, pair[0]);
	struct channel *channel = channel_new(f->base, pair[1], &callbacks, &closed);
	view_make(&view, "", 10, false);
	uint64_t id = store(f, 1, &view, 5000, TO("u@example.org"));
	/* Another kind of answer with our id, an unknown id: nobody minds. */
	deliver_entries_put(&(struct deliver_entries){.id = id, .ok = true}, &payload);
	channel_send(channel, DELIVER_LEDGER_LOOKUP_ANSWER, &payload, NULL, 0);
	buffer_clear(&payload);
	deliver_store_answer_put(&(struct deliver_store_answer){.id = id + 1000}, &payload);
	channel_send(channel, DELIVER_STORE_ANSWER, &payload, NULL, 0);
	for (int i = 0; i < 5; i++)
		event_base_loop(f->base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(f->answers, 0);
	ck_assert(!closed);
	/* Malformed: the channel is closed, what was asked is lost. */
	buffer_append_string(&payload, "trailing");
	channel_send(channel, DELIVER_STORE_ANSWER, &payload, NULL, 0);
	run_until(f, 1);
	ck_assert_int_eq(f->status, DELIVER_LOST);
	while (!closed)
		event_base_loop(f->base, EVLOOP_ONCE);
	channel_free(&channel);
	buffer_free(&payload);
	view_done(&view);
	tear_down(f);
}
END_TEST

START_TEST(lying_requests)
{
	/* A range beyond the message, a range without a message: the service closes the channel and writes nothing. */
	static const struct channel_callbacks callbacks = {nothing, note_closed};
	struct deliver_segment beyond[] = {{.offset = UINT64_MAX - 5, .length = 10}, {.offset = 0, .length = 11}, {.offset = 11, .length = 0}};
	for (size_t i = 0; i < 4; i++) {
		struct fixture *f = &fixture;
		struct deliver_recipient recipient = {"u@example.org", "example.org"};
		struct deliver_store request = {.id = 1, .backend = 1, .expires_us = INT64_MAX, .queue_id = "Q", .recipients = &recipient,
		    .recipient_count = 1, .segments = &beyond[i % 3], .segment_count = 1};
		struct buffer payload = {0};
		bool closed = false;
		int pair[2];
		set_up(f);
		pair_make(pair);
		f->process = fork();
		if (f->process == 0) {
			close(pair[0]);
			serve(f, pair[1], true);
		}
		close(pair[1]);
		struct channel *channel = channel_new(f->base, pair[0], &callbacks, &closed);
		deliver_store_put(&request, &payload);
		int descriptor = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ck_assert_int_eq(write(descriptor, "0123456789", 10), 10);
		ck_assert_int_eq(fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
		ck_assert(channel_send(channel, DELIVER_STORE, &payload, &descriptor, i < 3));
		if (i == 3)
			close(descriptor);
		while (!closed)
			event_base_loop(f->base, EVLOOP_ONCE);
		ck_assert_int_eq(folder_count(&f->folder, "mail/u@example.org", NULL), -1);
		channel_free(&channel);
		buffer_free(&payload);
		tear_down(f);
	}
}
END_TEST

static void
lying_keep(uint16_t type, const struct deliver_keep *keep, bool with_message)
{
	static const struct channel_callbacks callbacks = {nothing, note_closed};
	struct fixture *f = &fixture;
	struct buffer payload = {0};
	bool closed = false;
	int pair[2];
	set_up(f);
	pair_make(pair);
	f->process = fork();
	if (f->process == 0) {
		close(pair[0]);
		serve(f, pair[1], true);
	}
	close(pair[1]);
	struct channel *channel = channel_new(f->base, pair[0], &callbacks, &closed);
	struct message_store *message = message_make(10);
	int descriptor = message_store_descriptor(message);
	deliver_keep_put(keep, &payload);
	ck_assert(channel_send(channel, type, &payload, &descriptor, with_message));
	while (!closed)
		event_base_loop(f->base, EVLOOP_ONCE);
	ck_assert_int_le(folder_count(&f->folder, "quarantine", NULL), 0);
	ck_assert_int_le(folder_count(&f->folder, "poison", NULL), 0);
	if (!with_message)
		close(descriptor);
	message_store_free(&message);
	channel_free(&channel);
	buffer_free(&payload);
	tear_down(f);
}

START_TEST(lying_keeps)
{
	/* A name that leaves the folder; bytes here and there; bytes nowhere. */
	struct deliver_keep keep = {.id = 1, .expires_us = INT64_MAX, .queue_id = "../x", .note = "", .has_bytes = true, .bytes = {"x", 1}};
	lying_keep(DELIVER_POISON, &keep, false);
	keep.queue_id = "";
	lying_keep(DELIVER_POISON, &keep, false);
	keep.queue_id = "Q";
	lying_keep(DELIVER_QUARANTINE, &keep, true);
	keep.has_bytes = false;
	lying_keep(DELIVER_QUARANTINE, &keep, false);
}
END_TEST

SUITE_MAIN("deliver/client", stored, stored_with_descriptor, not_a_maildir, recorded_and_found, ledger_does_not_work, nobody_there, deliver_dies,
    freed_in_callback, too_much_waiting, lying_answers, lying_requests, quarantined, quarantine_fails, poisoned,
    lying_keeps)
