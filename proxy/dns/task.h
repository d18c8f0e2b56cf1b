/* Private to dns/: what every question under way has in common, whatever it is made of. A task is found by its id; it ends by being
 * finished (its callback is called, from the event loop) or cancelled. */
#ifndef POSTERN_DNS_TASK_H
#define POSTERN_DNS_TASK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/id_map.h"
#include "dns/resolver.h"
#include "dns/system_files.h"

struct task;

struct task_class {
	/* Frees the task with all it holds, then calls its callback: which may free the resolver, so nothing may follow. */
	void (*finish)(struct task *task);
	/* Frees the task, calls nobody. */
	void (*discard)(struct task *task);
};

struct task {
	const struct task_class *class;
	struct resolver *resolver;
	uint64_t id;
	bool is_ready; /* in resolver->ready: finished at the next loop turn */
	TAILQ_ENTRY(task) all_link;
	TAILQ_ENTRY(task) ready_link;
};

struct resolver {
	struct event_base *base;
	struct ub_ctx *unbound;
	struct id_map *tasks;
	struct shares *shares;
	LIST_HEAD(handed_list, handed) handed; /* inside libunbound */
	TAILQ_HEAD(task_list, task) all;
	TAILQ_HEAD(ready_list, task) ready;
	size_t ready_count;
	struct event *ready_timer;
	bool *freed; /* set while tasks are finished: tells that loop that the resolver is gone */
	struct hosts_table hosts;
	int64_t timeout_ms;
	struct shared_page *page;
};

/* Registers the task and returns its id. */
uint64_t task_start(struct resolver *resolver, struct task *task, const struct task_class *class);
/* The task will be finished at the next loop turn. */
void task_make_ready(struct task *task);
/* Takes the task out of the resolver's books; its owner frees the memory. */
void task_forget(struct task *task);

/* resolver_context.c: a libunbound context for these options that needs no file any more; NULL with a message logged. */
struct ub_ctx *resolver_context_new(struct event_base *base, const struct resolver_options *options);

#endif
