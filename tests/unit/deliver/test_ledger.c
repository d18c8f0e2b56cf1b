/* The ledger on a real file: keys, order, expiry, two processes, damage. */
#include "suite.h"

#include <sys/wait.h>

#include "base/log.h"
#include "deliver/ledger.h"
#include "folder.h"

struct fixture {
	struct folder folder;
	char path[128];
	struct clock_manual clock;
	struct ledger *ledger;
};

static void
set_up(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	folder_make(&f->folder);
	strcpy(f->path, folder_path(&f->folder, "ledger.db"));
	clock_manual_init(&f->clock, 1700000000000000);
	f->ledger = ledger_open(f->path, &f->clock.clock);
	ck_assert_ptr_nonnull(f->ledger);
}

static void
tear_down(struct fixture *f)
{
	ledger_close(&f->ledger);
	ck_assert_ptr_null(f->ledger);
	folder_remove(&f->folder);
}

static struct ledger_entry
entry_of(const char *recipient, uint8_t message, enum ledger_outcome outcome, int code, const char *text)
{
	struct ledger_entry entry = {.outcome = outcome};
	uint8_t hash[32] = {message};
	ledger_make_keys("a@example.com", recipient, hash, &entry);
	strcpy(entry.queue_id, "QID1");
	if (code != 0)
		reply_set(&entry.reply, code, code == 250 ? "2.0.0" : NULL, "%s", text);
	return entry;
}

static bool
record(struct fixture *f, struct ledger_entry entry)
{
	bool ok = ledger_record(f->ledger, &entry, 1);
	reply_clear(&entry.reply);
	return ok;
}

static void
entries_clear(struct ledger_entry *entries, int count)
{
	for (int i = 0; i < count; i++)
		reply_clear(&entries[i].reply);
}

START_TEST(keys)
{
	struct ledger_entry a, b;
	uint8_t hash[32] = {1}, other[32] = {2}, zero[32] = {0};
	ledger_make_keys("s@example.com", "r@example.org", hash, &a);
	ledger_make_keys("s@EXAMPLE.com", "r@Example.Org", hash, &b);
	ck_assert_mem_eq(a.address_key, b.address_key, 32);
	ck_assert_mem_eq(a.message_key, b.message_key, 32);
	ledger_make_keys("s@example.com", "R@example.org", hash, &b);
	ck_assert_mem_ne(a.address_key, b.address_key, 32);
	ledger_make_keys("s@example.com", "r@example.org", other, &b);
	ck_assert_mem_eq(a.address_key, b.address_key, 32);
	ck_assert_mem_ne(a.message_key, b.message_key, 32);
	/* What belongs to the sender cannot move to the recipient. */
	ledger_make_keys("ab", "c", hash, &a);
	ledger_make_keys("a", "bc", hash, &b);
	ck_assert_mem_ne(a.address_key, b.address_key, 32);
	ledger_make_keys("", "r@example.org", NULL, &a);
	ck_assert_mem_eq(a.message_key, zero, 32);
	ledger_make_keys(NULL, "r@example.org", NULL, &b);
	ck_assert_mem_eq(a.address_key, b.address_key, 32);
}
END_TEST

START_TEST(recorded_and_found)
{
	struct fixture f;
	struct ledger_entry found[16], want = entry_of("u@example.org", 1, LEDGER_NONE, 0, "");
	set_up(&f);
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 0);
	ck_assert(record(&f, entry_of("u@example.org", 1, LEDGER_DELIVERED, 250, "Ok: queued as 42")));
	ck_assert(record(&f, entry_of("u@example.org", 2, LEDGER_REFUSED, 550, "no\nsuch user '; DROP TABLE outcomes;--")));
	ck_assert(record(&f, entry_of("v@example.org", 1, LEDGER_DEFERRED, 0, "")));
	ck_assert_int_eq(ledger_count(f.ledger), 3);

	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 2);
	ck_assert_int_eq(found[0].outcome, LEDGER_REFUSED); /* newest first */
	ck_assert_int_eq(found[0].reply.code, 550);
	ck_assert_str_eq(found[0].reply.enhanced, "");
	ck_assert_str_eq(found[0].reply.text, "no\nsuch user '; DROP TABLE outcomes;--");
	ck_assert_int_eq(found[1].outcome, LEDGER_DELIVERED);
	ck_assert_str_eq(found[1].reply.enhanced, "2.0.0");
	ck_assert_str_eq(found[1].queue_id, "QID1");
	ck_assert_mem_eq(found[1].message_key, want.message_key, 32);
	entries_clear(found, 2);

	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, want.message_key, found, 16), 1);
	ck_assert_int_eq(found[0].outcome, LEDGER_DELIVERED);
	entries_clear(found, 1);
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 1), 1);
	entries_clear(found, 1);
	want = entry_of("v@example.org", 1, LEDGER_NONE, 0, "");
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, want.message_key, found, 16), 1);
	ck_assert_int_eq(found[0].outcome, LEDGER_DEFERRED);
	ck_assert_int_eq(found[0].reply.code, 0);
	tear_down(&f);
}
END_TEST

START_TEST(replaced)
{
	struct fixture f;
	struct ledger_entry found[16], want = entry_of("u@example.org", 1, LEDGER_NONE, 0, "");
	set_up(&f);
	ck_assert(record(&f, entry_of("u@example.org", 1, LEDGER_DEFERRED, 451, "later")));
	ck_assert(record(&f, entry_of("u@example.org", 2, LEDGER_REFUSED, 550, "no")));
	/* The clock stepped back; what is recorded later is newer all the same. */
	f.clock.wall_us -= 3600000000;
	ck_assert(record(&f, entry_of("u@example.org", 1, LEDGER_DELIVERED, 250, "Ok")));
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 2);
	ck_assert_int_eq(found[0].outcome, LEDGER_DELIVERED);
	entries_clear(found, 2);
	tear_down(&f);
}
END_TEST

START_TEST(many_in_one)
{
	struct fixture f;
	struct ledger_entry entries[200];
	char recipient[32];
	set_up(&f);
	for (int i = 0; i < 200; i++) {
		snprintf(recipient, sizeof recipient, "u%d@example.org", i);
		entries[i] = entry_of(recipient, 1, LEDGER_DELIVERED, 250, "Ok");
	}
	ck_assert(ledger_record(f.ledger, entries, 200));
	ck_assert(ledger_record(f.ledger, entries, 0));
	ck_assert_int_eq(ledger_count(f.ledger), 200);
	entries_clear(entries, 200);
	/* At most sixteen come back, the newest. */
	struct ledger_entry found[16];
	for (uint8_t i = 0; i < 20; i++)
		ck_assert(record(&f, entry_of("w@example.org", i, LEDGER_DELIVERED, 250, "Ok")));
	ck_assert_int_eq(ledger_lookup(f.ledger, entry_of("w@example.org", 0, LEDGER_NONE, 0, "").address_key, NULL, found, 16), 16);
	ck_assert_mem_eq(found[0].message_key, entry_of("w@example.org", 19, LEDGER_NONE, 0, "").message_key, 32);
	entries_clear(found, 16);
	tear_down(&f);
}
END_TEST

START_TEST(expired)
{
	struct fixture f;
	struct ledger_entry found[16], want = entry_of("u@example.org", 1, LEDGER_NONE, 0, "");
	set_up(&f);
	ck_assert(record(&f, entry_of("u@example.org", 1, LEDGER_DELIVERED, 250, "Ok")));
	clock_manual_advance(&f.clock, LEDGER_KEPT_US - 1);
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 1);
	entries_clear(found, 1);
	clock_manual_advance(&f.clock, 1);
	/* Not found any more, expired or not. */
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 0);
	ck_assert_int_eq(ledger_count(f.ledger), 0);
	ck_assert(ledger_expire(f.ledger));
	tear_down(&f);
}
END_TEST

START_TEST(survives_a_kill)
{
	struct fixture f;
	struct ledger_entry found[16], want = entry_of("u@example.org", 1, LEDGER_NONE, 0, "");
	int state;
	set_up(&f);
	/* Another process records and is killed without closing, while we have the file open: as two delivers at a reload. */
	pid_t child = fork();
	if (child == 0) {
		struct ledger *ledger = ledger_open(f.path, &f.clock.clock);
		struct ledger_entry entry = entry_of("u@example.org", 1, LEDGER_DELIVERED, 250, "Ok");
		if (ledger == NULL || !ledger_record(ledger, &entry, 1))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &state, 0);
	ck_assert(WIFSIGNALED(state));
	ck_assert_int_eq(ledger_lookup(f.ledger, want.address_key, NULL, found, 16), 1);
	entries_clear(found, 1);
	ledger_close(&f.ledger);
	f.ledger = ledger_open(f.path, &f.clock.clock);
	ck_assert_int_eq(ledger_count(f.ledger), 1);
	tear_down(&f);
}
END_TEST

static void
note_line(void *context, enum log_level level, const char *line)
{
	(void)level;
	strncat(context, line, 500);
}

START_TEST(damaged)
{
	struct fixture f;
	char lines[4000] = "";
	set_up(&f);
	ck_assert(record(&f, entry_of("u@example.org", 1, LEDGER_DELIVERED, 250, "Ok")));
	ledger_close(&f.ledger);
	FILE *file = fopen(f.path, "r+");
	for (int i = 0; i < 500; i++)
		fputs("rubbish ", file);
	fclose(file);
	log_set_emitter(note_line, lines);
	ck_assert_ptr_null(ledger_open(f.path, &f.clock.clock));
	ck_assert_ptr_nonnull(strstr(lines, "ledger:"));
	ck_assert_ptr_null(ledger_open("/nonexistent/ledger.db", &f.clock.clock));
	log_set_emitter(NULL, NULL);
	folder_remove(&f.folder);
}
END_TEST

SUITE_MAIN("deliver/ledger", keys, recorded_and_found, replaced, many_in_one, expired, survives_a_kill, damaged)
