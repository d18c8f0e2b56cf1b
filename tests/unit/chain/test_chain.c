/* Runs of the chain with workers that answer, want to know more, crash and forge. The name server is silent: every question fails in time. */
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>

#include "suite.h"
#include "workers.h"

#include "chain/chain.h"
#include "chain/poison.h"

struct world {
	struct event_base *base;
	struct shared_memory *shared;
	struct config *config;
	struct resolver *resolver;
	struct chain *chain;
	struct helper helpers[8];
	size_t helper_count, killed;
	int name_server;
	struct message_store_options store;
	struct message_store *message;
	struct header_block headers;
	struct envelope envelope;
	struct record record;
	struct chain_run *run;
	bool over, free_inside;
	struct verdict verdict;
};

static const char config_text[] = "hostname: mx.example.org\ndomains: [example.org]\nlisten: [{address: \"127.0.0.1:2525\"}]\n"
                                  "backends: [{url: \"smtp://127.0.0.1:2526\"}]\ntrusted_relays: [203.0.113.0/24]\nfilters: [spf: {%s}]\n";
static const char text[] = "Received: from x.example (x.example [192.0.2.77])\r\n\tby relay\r\nSubject: hello\r\n\r\ntext\r\n";

static void
on_kill(void *context, enum role role, unsigned slot, uint32_t generation)
{
	struct world *world = context;

	(void)role, (void)generation;
	world->killed++;
	for (size_t i = 0; i < world->helper_count; i++)
		if (world->helpers[i].slot == slot)
			helper_kill(&world->helpers[i]);
}

static void
make_resolver(struct world *world)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof address;
	static char server[32];
	const char *servers[] = {server};
	struct resolver_options options = {.servers = servers, .server_count = 1, .resolv_conf_text = "", .hosts_text = "", .timeout_ms = 40,
	    .cache_bytes = 1 << 20};

	world->name_server = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(bind(world->name_server, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(getsockname(world->name_server, (struct sockaddr *)&address, &length), 0);
	snprintf(server, sizeof server, "127.0.0.1@%u", ntohs(address.sin_port));
	world->resolver = resolver_new(world->base, &options);
	ck_assert(world->resolver != NULL);
}

static void
load_configuration(struct world *world, const char *options)
{
	struct config_errors errors = {0};
	char *whole = memory_format(config_text, options);

	world->config = config_load_text("test", span_of(whole), &errors);
	ck_assert_msg(world->config != NULL, "%s", buffer_text(&errors.text));
	memory_free(&whole);
}

static void
add_worker(struct world *world)
{
	struct helper *helper = &world->helpers[world->helper_count];
	unsigned slot = FIRST_SLOT + (unsigned)world->helper_count++;

	chain_connect_worker(world->chain, ROLE_AUTH, slot, GENERATION, helper_start(helper, world->shared, slot));
}

static void
world_open(struct world *world, const char *options, unsigned workers)
{
	int descriptor;

	memset(world, 0, sizeof *world);
	world->base = event_base_new();
	world->shared = shared_memory_new(&descriptor);
	close(descriptor);
	atomic_store(&shared_memory_page(world->shared, PROXY_SLOT)->process_id, 4711);
	load_configuration(world, options);
	make_resolver(world);
	struct chain_options chain = {.base = world->base, .config = world->config, .clock = clock_system(), .resolver = world->resolver,
	    .shared = world->shared, .slot = PROXY_SLOT, .generation = GENERATION, .kill_worker = on_kill, .context = world};
	world->chain = chain_new(&chain);
	world->envelope.sender = memory_copy_string("a@sender.example");
	world->envelope.sender_domain = memory_copy_string("sender.example");
	world->message = message_store_new(&world->store);
	ck_assert(message_store_append(world->message, text, strlen(text)) && message_store_finish(world->message));
	ck_assert_int_eq(header_block_scan(message_store_map(world->message), true, 10000, 100, &world->headers), HEADER_SCAN_OK);
	while (workers-- > 0)
		add_worker(world);
}

static void
world_close(struct world *world)
{
	chain_run_free(&world->run);
	chain_free(&world->chain);
	for (size_t i = 0; i < world->helper_count; i++)
		helper_kill(&world->helpers[i]);
	resolver_free(&world->resolver);
	close(world->name_server);
	verdict_clear(&world->verdict);
	record_clear(&world->record);
	header_block_clear(&world->headers);
	message_store_free(&world->message);
	envelope_clear(&world->envelope);
	config_free(&world->config);
	shared_memory_free(&world->shared);
	event_base_free(world->base);
}

static void
on_verdict(void *context, struct verdict *verdict)
{
	struct world *world = context;

	ck_assert(!world->over);
	world->over = true;
	world->verdict = *verdict;
	*verdict = (struct verdict){0};
	if (world->free_inside)
		chain_run_free(&world->run);
}

static void
run_for(struct world *world, int ms)
{
	struct timeval time = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(world->base, &time);
	event_base_dispatch(world->base);
}

static struct chain_subject
subject_of(struct world *world, const char *deed, bool whole)
{
	struct chain_subject subject = {.queue_id = "4K7QZ2M9XW3B", .helo = deed, .envelope = &world->envelope, .record = &world->record};

	ip_address_parse("198.51.100.1", &subject.client);
	if (whole) {
		subject.message = world->message;
		subject.headers = &world->headers;
	}
	return subject;
}

static void
begin(struct world *world, const char *deed)
{
	struct chain_subject subject = subject_of(world, deed, false);

	world->run = chain_run_new(world->chain, &subject);
}

static void
judge(struct world *world, const char *deed, int64_t budget_ms)
{
	struct chain_subject subject = subject_of(world, deed, true);
	int64_t now_us = clock_monotonic_us(clock_system());

	world->over = false;
	verdict_clear(&world->verdict);
	chain_run_judge(world->run, &subject, now_us + budget_ms * 1000, on_verdict, world);
	ck_assert(!world->over);
	while (!world->over && clock_monotonic_us(clock_system()) < now_us + 10000000)
		run_for(world, 10);
	ck_assert(world->over);
}

/* One message from MAIL to the verdict. */
static void
pass_through(struct world *world, const char *deed)
{
	chain_run_free(&world->run);
	begin(world, deed);
	judge(world, deed, 20000);
}

static bool
story_has(const struct world *world, const char *words)
{
	struct span story = span_make(world->record.story.data, world->record.story.length), event;
	enum record_event_kind kind;
	size_t offset = 0;
	int64_t at_us;

	while (record_story_next(story, &offset, &at_us, &kind, &event))
		if (memmem(event.at, event.length, words, strlen(words)) != NULL)
			return true;
	return false;
}

START_TEST(findings)
{
	struct world world;

	world_open(&world, "", 2);
	pass_through(&world, "edit");
	ck_assert_int_eq(world.verdict.kind, VERDICT_ACCEPT);
	ck_assert_uint_eq(chain_run_edits(world.run)->count, 1);
	ck_assert_str_eq(chain_run_edits(world.run)->edits[0].value, " yes");
	ck_assert_str_eq(world.record.facts, "spf=pass");
	ck_assert(story_has(&world, "spf: accept: by ") && story_has(&world, "spf: edit: add header X-Test") && story_has(&world, "all: accept"));
	ck_assert_uint_eq(world.killed, 0);
	world_close(&world);
}
END_TEST

START_TEST(rejection)
{
	struct world world;

	world_open(&world, "", 1);
	world.free_inside = true;
	pass_through(&world, "reject");
	ck_assert_int_eq(world.verdict.kind, VERDICT_REJECT);
	ck_assert_int_eq(world.verdict.reply.code, 550);
	ck_assert_str_eq(world.verdict.filter, "spf");
	world_close(&world);
}
END_TEST

START_TEST(poison)
{
	struct world world;

	world_open(&world, "on_error: reject", 4);
	pass_through(&world, "crash");
	ck_assert_int_eq(world.verdict.kind, VERDICT_REJECT);
	ck_assert(story_has(&world, "spf: lost, on_error: reject: the worker died of it"));
	ck_assert(poison_is_known(world.shared, clock_system(), world.message));
	ck_assert_uint_eq(shared_counter_total(world.shared, COUNTER_POISON), 1);
	uint64_t jobs = shared_counter_total(world.shared, COUNTER_FILTER_JOBS);
	pass_through(&world, "crash"); /* the two that are left live on */
	ck_assert_int_eq(world.verdict.kind, VERDICT_REJECT);
	ck_assert_uint_eq(shared_counter_total(world.shared, COUNTER_FILTER_JOBS), jobs + 1); /* only that at MAIL */
	ck_assert(story_has(&world, "has killed two filter workers"));
	world_close(&world);
}
END_TEST

START_TEST(second_chance)
{
	struct world world;

	world_open(&world, "", 1);
	begin(&world, "crash-first");
	run_for(&world, 50); /* ahead it behaves */
	struct chain_subject subject = subject_of(&world, "crash-first", true);
	chain_run_judge(world.run, &subject, INT64_MAX / 2, on_verdict, &world);
	run_for(&world, 100);
	ck_assert(!world.over);
	add_worker(&world);
	run_for(&world, 100);
	ck_assert(world.over);
	ck_assert_int_eq(world.verdict.kind, VERDICT_ACCEPT);
	ck_assert(!poison_is_known(world.shared, clock_system(), world.message));
	world_close(&world);
}
END_TEST

/* A worker that was taken over is not asked again about the message that did it. */
START_TEST(forged_edits)
{
	struct world world;

	world_open(&world, "", 3);
	pass_through(&world, "forged");
	ck_assert_int_eq(world.verdict.kind, VERDICT_TEMPFAIL);
	ck_assert_uint_eq(world.killed, 1);
	ck_assert_uint_eq(chain_run_edits(world.run)->count, 0);
	ck_assert(story_has(&world, "answer made no sense"));
	world_close(&world);
}
END_TEST

START_TEST(envelope_edits)
{
	struct world world;

	world_open(&world, "on_error: accept", 1);
	pass_through(&world, "recipient");
	ck_assert_int_eq(world.verdict.kind, VERDICT_ACCEPT);
	ck_assert_uint_eq(chain_run_edits(world.run)->count, 0);
	ck_assert_uint_eq(world.killed, 0);
	ck_assert(story_has(&world, "spf: lost, on_error: accept: it wants to change the envelope"));
	world_close(&world);
}
END_TEST

START_TEST(endless_questions)
{
	struct world world;

	world_open(&world, "", 1);
	pass_through(&world, "endless");
	ck_assert_int_eq(world.verdict.kind, VERDICT_TEMPFAIL);
	ck_assert(story_has(&world, "it asks DNS again and again") && story_has(&world, "q20.example TXT -> "));
	pass_through(&world, "stale");
	ck_assert_int_eq(world.verdict.kind, VERDICT_TEMPFAIL);
	ck_assert(story_has(&world, "pending without a new question"));
	ck_assert_uint_eq(world.killed, 0);
	world_close(&world);
}
END_TEST

START_TEST(asks_ahead)
{
	struct world world;

	world_open(&world, "", 1);
	begin(&world, "ahead");
	run_for(&world, 200);
	ck_assert(story_has(&world, "same.example TXT -> "));
	judge(&world, "ahead", 20000);
	ck_assert(story_has(&world, ", 1 answers") && story_has(&world, " 0 restarts"));
	/* Nobody can know whom to judge before the relay's message is there. */
	chain_run_free(&world.run);
	uint64_t jobs = shared_counter_total(world.shared, COUNTER_FILTER_JOBS);
	struct chain_subject subject = subject_of(&world, "ahead", false);
	ip_address_parse("203.0.113.9", &subject.client);
	world.run = chain_run_new(world.chain, &subject);
	ck_assert_uint_eq(shared_counter_total(world.shared, COUNTER_FILTER_JOBS), jobs);
	world_close(&world);
}
END_TEST

START_TEST(no_time)
{
	struct world world;

	world_open(&world, "", 0);
	chain_run_free(&world.run);
	begin(&world, "ok");
	judge(&world, "ok", 200);
	ck_assert_int_eq(world.verdict.kind, VERDICT_TEMPFAIL);
	ck_assert(story_has(&world, "no time left"));
	chain_run_free(&world.run);
	begin(&world, "ok");
	judge(&world, "ok", -1);
	ck_assert_int_eq(world.verdict.kind, VERDICT_TEMPFAIL);
	world_close(&world);
}
END_TEST

/* A transaction may end at any moment; what comes later finds nobody. */
START_TEST(freed_at_any_moment)
{
	static const char *const deeds[] = {"slow", "endless", "ahead", "crash", "forged", "edit"};
	struct world world;

	world_open(&world, "", 6);
	for (size_t i = 0; i < 30; i++) {
		const char *deed = deeds[i % 6];
		struct chain_subject subject = subject_of(&world, deed, true);

		begin(&world, deed);
		if (i % 3 != 0)
			run_for(&world, (int)i);
		if (i % 5 != 0)
			chain_run_judge(world.run, &subject, clock_monotonic_us(clock_system()) + 60000000, on_verdict, &world);
		if (i % 2 != 0)
			run_for(&world, (int)(i % 7) * 8);
		chain_run_free(&world.run);
		verdict_clear(&world.verdict);
		world.over = false;
	}
	run_for(&world, 100);
	ck_assert(!world.over);
	world_close(&world);
}
END_TEST

SUITE_MAIN("chain", findings, rejection, poison, second_chance, forged_edits, envelope_edits, endless_questions, asks_ahead, no_time,
    freed_at_any_moment)
