/* Questions to libunbound and their lives: asked, answered or too late, told to the asker exactly once and never from inside the asking
 * call. What is made of several questions is in lookup.c. Never blocks. */
#include "dns/resolver.h"

#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dns/name.h"
#include "dns/share.h"
#include "dns/task.h"

#define CLASS_IN 1
#define SECURITY_BOGUS 1
#define SECURITY_SECURE 2

/* A question inside libunbound. It outlives the asker: what nobody waits for any more still holds its socket there, and counts. */
struct handed {
	struct resolver *resolver;
	struct share *share;
	struct question *question; /* NULL when nobody waits */
	int unbound_id;
	LIST_ENTRY(handed) link;
};

struct question {
	struct task task;
	struct share_waiter waiter; /* while is_waiting */
	struct share *share; /* while is_waiting */
	char *name; /* as asked */
	struct dns_name wire;
	uint16_t type;
	bool is_waiting; /* its domain has too many under way */
	struct handed *handed; /* libunbound will call back; NULL before and after */
	struct event *deadline;
	struct dns_answer answer; /* once ready */
	resolver_callback *callback;
	void *context;
};

uint64_t
task_start(struct resolver *resolver, struct task *task, const struct task_class *class)
{
	task->class = class;
	task->resolver = resolver;
	TAILQ_INSERT_TAIL(&resolver->all, task, all_link);
	task->id = id_map_add(resolver->tasks, task);
	return task->id;
}

static bool question_hand_over(struct question *question, struct share *share);

static void
ready_timer_arm(struct resolver *resolver)
{
	/* A timer of zero length, not event_active: the latter runs in this same turn, and askers that ask again from their callbacks
	 * would starve everybody else. */
	static const struct timeval at_once = {0, 0};
	if (!evtimer_pending(resolver->ready_timer, NULL))
		evtimer_add(resolver->ready_timer, &at_once);
}

void
task_make_ready(struct task *task)
{
	ASSERT(!task->is_ready);
	task->is_ready = true;
	TAILQ_INSERT_TAIL(&task->resolver->ready, task, ready_link);
	task->resolver->ready_count++;
	ready_timer_arm(task->resolver);
}

void
task_forget(struct task *task)
{
	TAILQ_REMOVE(&task->resolver->all, task, all_link);
	id_map_remove(task->resolver->tasks, task->id);
	if (task->is_ready) {
		TAILQ_REMOVE(&task->resolver->ready, task, ready_link);
		task->resolver->ready_count--;
		task->is_ready = false;
	}
}

/* Those that waited for others of their domain, as far as there is room now. */
static void
waiting_questions_hand_over(struct resolver *resolver)
{
	struct share_waiter *waiter;

	while ((waiter = share_next(resolver->shares)) != NULL) {
		struct question *question = (struct question *)((char *)waiter - offsetof(struct question, waiter));
		question->is_waiting = false;
		question_hand_over(question, question->share);
	}
}

/* Finishes what was ready when this turn began; what becomes ready meanwhile waits for the next. */
static void
ready_tasks_finish(evutil_socket_t descriptor, short what, void *context)
{
	struct resolver *resolver = context;
	bool freed = false;

	(void)descriptor, (void)what;
	waiting_questions_hand_over(resolver);
	resolver->freed = &freed;
	for (size_t left = resolver->ready_count; left > 0 && !TAILQ_EMPTY(&resolver->ready); left--) {
		struct task *task = TAILQ_FIRST(&resolver->ready);
		task->class->finish(task);
		if (freed)
			return;
	}
	resolver->freed = NULL;
	if (!TAILQ_EMPTY(&resolver->ready))
		ready_timer_arm(resolver);
}

/* The library goes on in the background; what it learns late is in its cache for the next asker. */
static void
question_leave(struct question *question)
{
	struct shares *shares = question->task.resolver->shares;

	if (question->handed != NULL)
		question->handed->question = NULL;
	question->handed = NULL;
	if (question->is_waiting) {
		share_wait_end(shares, question->share, &question->waiter);
		share_release(shares, question->share);
	}
	question->is_waiting = false;
}

static void
question_free(struct question *question)
{
	task_forget(&question->task);
	question_leave(question);
	if (question->deadline != NULL)
		event_free(question->deadline);
	dns_answer_clear(&question->answer);
	memory_free(&question->name);
	memory_free_block(question);
}

static void
question_discard(struct task *task)
{
	question_free((struct question *)task);
}

static void
question_finish(struct task *task)
{
	struct question *question = (struct question *)task;
	struct dns_answer answer = question->answer;
	resolver_callback *callback = question->callback;
	void *context = question->context;

	question->answer = (struct dns_answer){0};
	question_free(question);
	callback(context, &answer);
	dns_answer_clear(&answer);
}

static const struct task_class question_class = {question_finish, question_discard};

static void
question_make_ready(struct question *question)
{
	struct shared_page *page = question->task.resolver->page;
	enum dns_status status = question->answer.status;

	if (page != NULL && (status == DNS_STATUS_SERVER_FAILURE || status == DNS_STATUS_TIMEOUT))
		shared_count(page, COUNTER_DNS_FAILURES, 1);
	if (question->deadline != NULL)
		evtimer_del(question->deadline);
	task_make_ready(&question->task);
}

static void
handed_free(struct handed *handed)
{
	struct shares *shares = handed->resolver->shares;

	LIST_REMOVE(handed, link);
	share_leave(shares, handed->share);
	share_release(shares, handed->share);
	memory_free_block(handed);
}

static void
question_answered(void *context, int rcode, void *packet, int length, int security, char *why_bogus, int was_ratelimited)
{
	struct handed *handed = context;
	struct question *question = handed->question;

	(void)why_bogus, (void)was_ratelimited;
	ready_timer_arm(handed->resolver); /* somebody may go on in its place */
	handed_free(handed);
	if (question == NULL)
		return;
	question->handed = NULL;
	/* The packet is only to be looked at when the library's own rcode is 0; the real one is then in its header. */
	if (security == SECURITY_BOGUS)
		dns_answer_init(&question->answer, DNS_STATUS_BOGUS, question->name, question->type);
	else if (rcode != 0 || packet == NULL || length <= 0)
		dns_answer_init(&question->answer, rcode == 3 ? DNS_STATUS_NAME_ERROR : DNS_STATUS_SERVER_FAILURE, question->name,
		    question->type);
	else
		dns_answer_parse(packet, (size_t)length, question->name, question->type, &question->answer);
	question->answer.secure = security == SECURITY_SECURE;
	question_make_ready(question);
}

static void
question_too_late(evutil_socket_t descriptor, short what, void *context)
{
	struct question *question = context;

	(void)descriptor, (void)what;
	question_leave(question);
	dns_answer_init(&question->answer, DNS_STATUS_TIMEOUT, question->name, question->type);
	question_make_ready(question);
}

static void
deadline_arm(struct question *question)
{
	struct resolver *resolver = question->task.resolver;
	struct timeval timeout = {resolver->timeout_ms / 1000, resolver->timeout_ms % 1000 * 1000};
	/* All questions have the same patience: libevent keeps such timers in a list instead of a heap. */
	const struct timeval *common = event_base_init_common_timeout(resolver->base, &timeout);

	question->deadline = evtimer_new(resolver->base, question_too_late, question);
	ASSERT(question->deadline != NULL);
	evtimer_add(question->deadline, common != NULL ? common : &timeout);
}

/* Hands the question to the library. True when it was answered inside the call, which means: from the cache. */
static bool
question_hand_over(struct question *question, struct share *share)
{
	struct resolver *resolver = question->task.resolver;
	struct handed *handed = memory_new(sizeof *handed);
	char text[DNS_NAME_TEXT_SIZE + 1];
	int unbound_id = 0;

	/* Written out again from wire form: the library sees no byte that we did not escape. */
	dns_name_to_text(&question->wire, text);
	strcat(text, ".");
	*handed = (struct handed){.resolver = resolver, .share = share, .question = question};
	LIST_INSERT_HEAD(&resolver->handed, handed, link);
	share_enter(resolver->shares, share);
	question->handed = handed;
	int error = ub_resolve_event(resolver->unbound, text, question->type, CLASS_IN, handed, question_answered, &unbound_id);
	if (question->handed == NULL) /* and `handed` is gone */
		return error == 0;
	handed->unbound_id = unbound_id;
	if (error != 0)
		question_answered(handed, 2, NULL, 0, 0, NULL, 0);
	return false;
}

uint64_t
resolver_ask(struct resolver *resolver, const char *name, uint16_t type, resolver_callback *callback, void *context)
{
	struct question *question = memory_new(sizeof *question);
	bool from_cache = false;

	question->name = memory_copy_string(name);
	question->type = type;
	question->callback = callback;
	question->context = context;
	uint64_t id = task_start(resolver, &question->task, &question_class);
	if (!dns_name_from_text(name, &question->wire)) {
		dns_answer_init(&question->answer, DNS_STATUS_MALFORMED, name, type);
		task_make_ready(&question->task);
		return id;
	}
	struct share *share = share_of(resolver->shares, &question->wire);
	if (!share_is_waited_for(share) && share_has_room(resolver->shares, share)) {
		from_cache = question_hand_over(question, share);
	} else {
		question->is_waiting = true;
		question->share = share;
		share_wait(resolver->shares, share, &question->waiter);
	}
	if (resolver->page != NULL) {
		shared_count(resolver->page, COUNTER_DNS_QUESTIONS, 1);
		shared_count(resolver->page, COUNTER_DNS_CACHE_HITS, from_cache);
	}
	if (question->handed != NULL || question->is_waiting)
		deadline_arm(question);
	return id;
}

void
resolver_cancel(struct resolver *resolver, uint64_t id)
{
	struct task *task = id_map_find(resolver->tasks, id);
	if (task != NULL)
		task->class->discard(task);
}

size_t
resolver_pending(const struct resolver *resolver)
{
	return id_map_count(resolver->tasks);
}

struct resolver *
resolver_new(struct event_base *base, const struct resolver_options *options)
{
	struct ub_ctx *unbound = resolver_context_new(base, options);
	if (unbound == NULL)
		return NULL;
	struct resolver *resolver = memory_new(sizeof *resolver);
	resolver->base = base;
	resolver->unbound = unbound;
	resolver->tasks = id_map_new();
	resolver->shares = shares_new();
	LIST_INIT(&resolver->handed);
	TAILQ_INIT(&resolver->all);
	TAILQ_INIT(&resolver->ready);
	resolver->ready_timer = evtimer_new(base, ready_tasks_finish, resolver);
	ASSERT(resolver->ready_timer != NULL);
	hosts_table_parse(options->hosts_text, &resolver->hosts);
	resolver->timeout_ms = options->timeout_ms;
	resolver->page = options->page;
	return resolver;
}

void
resolver_free(struct resolver **resolver_address)
{
	struct resolver *resolver = *resolver_address;
	if (resolver == NULL)
		return;
	*resolver_address = NULL;
	if (resolver->freed != NULL)
		*resolver->freed = true;
	/* A lookup takes its questions with it: always the first, until none is left. */
	while (!TAILQ_EMPTY(&resolver->all)) {
		struct task *task = TAILQ_FIRST(&resolver->all);
		task->class->discard(task);
	}
	while (!LIST_EMPTY(&resolver->handed)) {
		struct handed *handed = LIST_FIRST(&resolver->handed);
		ub_cancel(resolver->unbound, handed->unbound_id);
		handed_free(handed);
	}
	event_free(resolver->ready_timer);
	shares_free(&resolver->shares);
	ub_ctx_delete(resolver->unbound);
	id_map_free(&resolver->tasks);
	hosts_table_clear(&resolver->hosts);
	memory_free_block(resolver);
}
