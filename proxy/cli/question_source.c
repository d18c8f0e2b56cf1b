/* Answers tables of questions for a program that may wait. Owns the zone, or the resolver and its loop. */
#include "cli/question_source.h"

#include <event2/event.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "dns/name.h"
#include "dns/zone_file.h"
#include "cli/whole_file.h"

#define SYSTEM_FILE_MAX (1u << 20)
#define REVERSE_NAMES_MAX 10 /* as many as resolver_ask_reverse looks at */

struct question_source {
	struct zone_file *zone; /* NULL: live */
	bool recorded;
	size_t missing;
	struct event_base *base;
	struct resolver *resolver;
	size_t waiting; /* questions to the resolver */
	struct dns_table *table; /* that they are for */
};

struct question_source *
question_source_zone(struct span text, struct buffer *problem)
{
	struct zone_file *zone = zone_file_parse(text, problem);

	if (zone == NULL)
		return NULL;
	struct question_source *source = memory_new(sizeof *source);
	source->zone = zone;
	return source;
}

struct question_source *
question_source_recorded(struct span text, struct buffer *problem)
{
	struct question_source *source = question_source_zone(text, problem);

	if (source != NULL)
		source->recorded = true;
	return source;
}

struct question_source *
question_source_live(const struct config *config, struct buffer *problem)
{
	struct question_source *source = memory_new(sizeof *source);
	struct buffer hosts = {0}, resolv_conf = {0};

	/* A machine may lack either. */
	(void)whole_file_read("/etc/hosts", SYSTEM_FILE_MAX, &hosts);
	(void)whole_file_read("/etc/resolv.conf", SYSTEM_FILE_MAX, &resolv_conf);
	source->base = event_base_new();
	ASSERT(source->base != NULL);
	source->resolver = resolver_new(source->base, &(struct resolver_options){
		.servers = (const char *const *)config->dns_servers.items,
		.server_count = config->dns_servers.count,
		.resolv_conf_text = buffer_text(&resolv_conf),
		.hosts_text = buffer_text(&hosts),
		.timeout_ms = config->dns_timeout_ms,
		.cache_bytes = config->dns_cache_bytes,
	});
	buffer_free(&hosts);
	buffer_free(&resolv_conf);
	if (source->resolver != NULL)
		return source;
	buffer_append_string(problem, "no resolver");
	question_source_free(&source);
	return NULL;
}

void
question_source_free(struct question_source **source)
{
	if (*source == NULL)
		return;
	zone_file_free(&(*source)->zone);
	resolver_free(&(*source)->resolver);
	if ((*source)->base != NULL)
		event_base_free((*source)->base);
	memory_free(source);
}

size_t
question_source_missing(const struct question_source *source)
{
	return source->missing;
}

/* ---- questions of filters ---- */

static void
answer_from_zone(struct question_source *source, struct dns_table *table, const struct dns_answer *question)
{
	struct dns_answer answer;

	if (source->recorded && !zone_file_mentions(source->zone, question->name, question->type)) {
		source->missing++;
		dns_answer_init(&answer, DNS_STATUS_SERVER_FAILURE, question->name, question->type);
	} else {
		zone_file_answer(source->zone, question->name, question->type, &answer);
	}
	dns_table_add(table, &answer);
	dns_answer_clear(&answer);
}

static void
on_answer(void *context, const struct dns_answer *answer)
{
	struct question_source *source = context;

	dns_table_add(source->table, answer);
	source->waiting--;
}

void
question_source_answer(struct question_source *source, struct dns_table *table)
{
	const struct dns_answer *question;

	source->table = table;
	for (size_t at = 0; (question = dns_table_next_open(table, &at)) != NULL;) {
		if (source->zone != NULL) {
			answer_from_zone(source, table, question);
			continue;
		}
		source->waiting++;
		resolver_ask(source->resolver, question->name, question->type, on_answer, source);
	}
	while (source->waiting > 0)
		event_base_loop(source->base, EVLOOP_ONCE);
	source->table = NULL;
}

/* ---- the client's name ---- */

static bool
is_failure(const struct dns_answer *answer)
{
	return answer->status != DNS_STATUS_OK && answer->status != DNS_STATUS_NAME_ERROR;
}

static bool
leads_back(const struct dns_answer *answer, const struct ip_address *address)
{
	size_t length = address->family == 4 ? 4 : 16;

	for (size_t i = 0; i < answer->count; i++)
		if (answer->records[i].length == length && memcmp(answer->records[i].data, address->bytes, length) == 0)
			return true;
	return false;
}

/* The names that may be looked at, in order; fewer than there are when some are no host names. */
static size_t
pick_names(const struct dns_answer *pointers, const char *names[REVERSE_NAMES_MAX])
{
	struct dns_name name;
	size_t count = 0;

	for (size_t i = 0; i < pointers->count && count < REVERSE_NAMES_MAX; i++)
		if (dns_name_from_text((const char *)pointers->records[i].data, &name) && dns_name_is_hostname(&name))
			names[count++] = (const char *)pointers->records[i].data;
	return count;
}

/* As resolver_ask_reverse judges: the first name that leads back; else a lookup that failed makes it a matter for another time. */
static enum reverse_status
confirm(struct question_source *source, const struct dns_answer *pointers, const struct ip_address *address, char **name)
{
	const uint16_t type = address->family == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
	const char *names[REVERSE_NAMES_MAX];
	struct dns_table table = {0};
	size_t count = pick_names(pointers, names);
	bool failed = false;

	for (size_t i = 0; i < count; i++)
		dns_table_ask(&table, names[i], type);
	question_source_answer(source, &table);
	for (size_t i = 0; i < count && *name == NULL; i++) {
		const struct dns_answer *answer = dns_table_find(&table, names[i], type);

		if (leads_back(answer, address))
			*name = memory_copy_string(names[i]);
		failed = failed || is_failure(answer);
	}
	dns_table_clear(&table);
	return *name != NULL ? REVERSE_CONFIRMED : failed ? REVERSE_TEMPERROR : REVERSE_MISMATCH;
}

enum reverse_status
question_source_reverse(struct question_source *source, const struct ip_address *address, char **name)
{
	char text[IP_ADDRESS_REVERSE_SIZE];
	struct dns_table table = {0};
	enum reverse_status status = REVERSE_NONE;

	*name = NULL;
	ip_address_reverse_name(address, text);
	dns_table_ask(&table, text, DNS_TYPE_PTR);
	question_source_answer(source, &table);
	const struct dns_answer *pointers = dns_table_find(&table, text, DNS_TYPE_PTR);
	if (is_failure(pointers))
		status = REVERSE_TEMPERROR;
	else if (pointers->count > 0)
		status = confirm(source, pointers, address, name);
	dns_table_clear(&table);
	return status;
}
