/* What takes several questions: the addresses of a host, and the confirmed name of an address. Built on resolver_ask alone; each lookup is a
 * task of its own that holds the ids of its questions. */
#include "dns/resolver.h"

#include <string.h>

#include "base/memory.h"
#include "dns/name.h"
#include "dns/task.h"

#define ADDRESSES_MAX 16
#define NAMES_MAX 10 /* RFC 8601 3: "at most 10" PTR names are looked at (as RFC 7208 5.5) */
#define HOST_TEXT_MAX 1024

struct address_lookup {
	struct task task;
	struct family_lookup {
		struct address_lookup *lookup;
		uint64_t question; /* 0 = answered */
		enum dns_status status;
		struct ip_address addresses[ADDRESSES_MAX];
		size_t count;
	} ipv6, ipv4;
	enum dns_status status;
	struct ip_address addresses[ADDRESSES_MAX];
	size_t count;
	resolver_addresses_callback *callback;
	void *context;
};

static void
address_lookup_free(struct address_lookup *lookup)
{
	task_forget(&lookup->task);
	if (lookup->ipv6.question != 0)
		resolver_cancel(lookup->task.resolver, lookup->ipv6.question);
	if (lookup->ipv4.question != 0)
		resolver_cancel(lookup->task.resolver, lookup->ipv4.question);
	memory_free_block(lookup);
}

static void
address_lookup_discard(struct task *task)
{
	address_lookup_free((struct address_lookup *)task);
}

static void
address_lookup_finish(struct task *task)
{
	struct address_lookup lookup = *(struct address_lookup *)task;
	address_lookup_free((struct address_lookup *)task);
	lookup.callback(lookup.context, lookup.status, lookup.addresses, lookup.count);
}

static const struct task_class address_lookup_class = {address_lookup_finish, address_lookup_discard};

/* Any address makes the whole a success; without one a failure outweighs "no such name", and that outweighs "no address". */
static enum dns_status
statuses_fold(enum dns_status a, enum dns_status b)
{
	if (a == DNS_STATUS_OK || (a == DNS_STATUS_NAME_ERROR && b != DNS_STATUS_OK))
		return b;
	return a;
}

static void
address_lookup_conclude(struct address_lookup *lookup)
{
	const struct family_lookup *ipv6 = &lookup->ipv6, *ipv4 = &lookup->ipv4;

	for (size_t i = 0; lookup->count < ADDRESSES_MAX && (i < ipv6->count || i < ipv4->count); i++) {
		if (i < ipv6->count)
			lookup->addresses[lookup->count++] = ipv6->addresses[i];
		if (i < ipv4->count && lookup->count < ADDRESSES_MAX)
			lookup->addresses[lookup->count++] = ipv4->addresses[i];
	}
	lookup->status = lookup->count > 0 ? DNS_STATUS_OK : statuses_fold(ipv6->status, ipv4->status);
	task_make_ready(&lookup->task);
}

static bool
record_address(const struct dns_answer *answer, size_t index, struct ip_address *address)
{
	const struct dns_record *record = &answer->records[index];
	if (answer->type == DNS_TYPE_A && record->length == 4)
		address->family = 4;
	else if (answer->type == DNS_TYPE_AAAA && record->length == 16)
		address->family = 6;
	else
		return false;
	memset(address->bytes, 0, sizeof address->bytes);
	memcpy(address->bytes, record->data, record->length);
	return true;
}

static void
family_answered(void *context, const struct dns_answer *answer)
{
	struct family_lookup *family = context;
	struct address_lookup *lookup = family->lookup;

	family->question = 0;
	family->status = answer->status;
	for (size_t i = 0; i < answer->count && family->count < ADDRESSES_MAX; i++)
		if (record_address(answer, i, &family->addresses[family->count]))
			family->count++;
	if (lookup->ipv6.question == 0 && lookup->ipv4.question == 0)
		address_lookup_conclude(lookup);
}

uint64_t
resolver_ask_addresses(struct resolver *resolver, const char *host, resolver_addresses_callback *callback, void *context)
{
	struct address_lookup *lookup = memory_new(sizeof *lookup);
	char name[HOST_TEXT_MAX];
	size_t length = strlen(host);

	lookup->callback = callback;
	lookup->context = context;
	uint64_t id = task_start(resolver, &lookup->task, &address_lookup_class);
	lookup->ipv6.lookup = lookup->ipv4.lookup = lookup;
	if (length > 0 && host[length - 1] == '.')
		length--;
	if (length == 0 || length >= sizeof name) {
		lookup->status = DNS_STATUS_MALFORMED;
		task_make_ready(&lookup->task);
		return id;
	}
	memcpy(name, host, length);
	name[length] = '\0';
	if (ip_address_parse(name, &lookup->addresses[0]))
		lookup->count = 1;
	else
		lookup->count = hosts_table_find(&resolver->hosts, name, lookup->addresses, ADDRESSES_MAX);
	if (lookup->count > 0) {
		task_make_ready(&lookup->task);
		return id;
	}
	lookup->ipv6.question = resolver_ask(resolver, host, DNS_TYPE_AAAA, family_answered, &lookup->ipv6);
	lookup->ipv4.question = resolver_ask(resolver, host, DNS_TYPE_A, family_answered, &lookup->ipv4);
	return id;
}

struct reverse_lookup {
	struct task task;
	struct ip_address address;
	uint64_t question; /* PTR; 0 = answered */
	struct candidate {
		struct reverse_lookup *lookup;
		char *name;
		uint64_t question; /* 0 = answered */
		bool leads_back;
		bool failed;
	} candidates[NAMES_MAX];
	size_t count;
	enum reverse_status status;
	char *confirmed; /* points to a candidate's name, or NULL */
	resolver_reverse_callback *callback;
	void *context;
};

const char *
reverse_status_text(enum reverse_status status)
{
	switch (status) {
	case REVERSE_CONFIRMED:
		return "pass";
	case REVERSE_NONE:
		return "permerror";
	case REVERSE_MISMATCH:
		return "fail";
	case REVERSE_TEMPERROR:
		break;
	}
	return "temperror";
}

static void
reverse_lookup_free(struct reverse_lookup *lookup)
{
	struct resolver *resolver = lookup->task.resolver;

	task_forget(&lookup->task);
	if (lookup->question != 0)
		resolver_cancel(resolver, lookup->question);
	for (size_t i = 0; i < lookup->count; i++) {
		if (lookup->candidates[i].question != 0)
			resolver_cancel(resolver, lookup->candidates[i].question);
		memory_free(&lookup->candidates[i].name);
	}
	memory_free_block(lookup);
}

static void
reverse_lookup_discard(struct task *task)
{
	reverse_lookup_free((struct reverse_lookup *)task);
}

static void
reverse_lookup_finish(struct task *task)
{
	struct reverse_lookup *lookup = (struct reverse_lookup *)task;
	resolver_reverse_callback *callback = lookup->callback;
	void *context = lookup->context;
	enum reverse_status status = lookup->status;
	char *name = memory_copy_string(lookup->confirmed != NULL ? lookup->confirmed : "");

	reverse_lookup_free(lookup);
	callback(context, status, name);
	memory_free(&name);
}

static const struct task_class reverse_lookup_class = {reverse_lookup_finish, reverse_lookup_discard};

static void
reverse_lookup_conclude(struct reverse_lookup *lookup, enum reverse_status status)
{
	lookup->status = status;
	task_make_ready(&lookup->task);
}

/* The first name in the order of the PTR records that leads back, once all before it have been answered. */
static void
reverse_lookup_judge(struct reverse_lookup *lookup)
{
	bool failed = false;

	for (size_t i = 0; i < lookup->count; i++) {
		const struct candidate *candidate = &lookup->candidates[i];
		if (candidate->question != 0)
			return;
		if (candidate->leads_back) {
			lookup->confirmed = candidate->name;
			reverse_lookup_conclude(lookup, REVERSE_CONFIRMED);
			return;
		}
		failed = failed || candidate->failed;
	}
	reverse_lookup_conclude(lookup, failed ? REVERSE_TEMPERROR : REVERSE_MISMATCH);
}

static bool
status_is_failure(enum dns_status status)
{
	return status != DNS_STATUS_OK && status != DNS_STATUS_NAME_ERROR;
}

static void
forward_answered(void *context, const struct dns_answer *answer)
{
	struct candidate *candidate = context;
	struct reverse_lookup *lookup = candidate->lookup;
	struct ip_address address;

	candidate->question = 0;
	candidate->failed = status_is_failure(answer->status);
	for (size_t i = 0; i < answer->count; i++)
		if (record_address(answer, i, &address) && ip_address_equal(&address, &lookup->address))
			candidate->leads_back = true;
	if (!lookup->task.is_ready)
		reverse_lookup_judge(lookup);
}

/* Names that are not host names are passed over: the confirmed name is stamped into mail and shown. */
static void
candidates_take(struct reverse_lookup *lookup, const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count && lookup->count < NAMES_MAX; i++) {
		const char *name = (const char *)answer->records[i].data;
		struct dns_name wire;
		if (!dns_name_from_text(name, &wire) || !dns_name_is_hostname(&wire))
			continue;
		lookup->candidates[lookup->count].lookup = lookup;
		lookup->candidates[lookup->count++].name = memory_copy_string(name);
	}
}

static void
pointer_answered(void *context, const struct dns_answer *answer)
{
	struct reverse_lookup *lookup = context;

	lookup->question = 0;
	if (status_is_failure(answer->status)) {
		reverse_lookup_conclude(lookup, REVERSE_TEMPERROR);
		return;
	}
	if (answer->count == 0) {
		reverse_lookup_conclude(lookup, REVERSE_NONE);
		return;
	}
	candidates_take(lookup, answer);
	for (size_t i = 0; i < lookup->count; i++) {
		struct candidate *candidate = &lookup->candidates[i];
		candidate->question = resolver_ask(lookup->task.resolver, candidate->name,
		    lookup->address.family == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA, forward_answered, candidate);
	}
	if (lookup->count == 0)
		reverse_lookup_judge(lookup);
}

uint64_t
resolver_ask_reverse(struct resolver *resolver, const struct ip_address *address, resolver_reverse_callback *callback, void *context)
{
	struct reverse_lookup *lookup = memory_new(sizeof *lookup);
	char name[IP_ADDRESS_REVERSE_SIZE];

	lookup->address = *address;
	lookup->callback = callback;
	lookup->context = context;
	uint64_t id = task_start(resolver, &lookup->task, &reverse_lookup_class);
	if (address->family == 0) /* a client on a Unix socket has no address */
		reverse_lookup_conclude(lookup, REVERSE_NONE);
	else
		lookup->question = resolver_ask(resolver, ip_address_reverse_name(address, name), DNS_TYPE_PTR, pointer_answered, lookup);
	return id;
}
