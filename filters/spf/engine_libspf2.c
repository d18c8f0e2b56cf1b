/* The program's side of the module with libspf2: finds and loads it, and is its DNS: answers, misses, limits. */
#include "filters/spf/engine_libspf2.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "mail/printable.h"
#include "dns/name.h"

#include "filters/spf/domain.h"
#include "filters/spf/record.h"
#include "filters/spf_libspf2/module.h"

struct spf_libspf2 {
	void *handle;
	const struct spf2_module *module;
	void *state;
};

/* ---- DNS of one evaluation ---- */

struct lookups {
	const struct spf_answers *answers;
	struct spf_outcome *outcome; /* counts */
	bool any; /* the first question is for the record of the identity and counts for nothing */
	bool missed; /* an answer is not known yet */
	bool exceeded; /* a limit */
	const struct dns_answer *hosts; /* an mx or ptr answer, whose names are asked next, */
	size_t next_host; /* from this one on; they do not count */
};

static bool
is_spf_record(const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (spf_record_is_spf(span_make((const char *)answer->records[i].data, answer->records[i].length)))
			return true;
	return false;
}

/* The library asks for the names of an mx or ptr answer in their order, right after it. */
static bool
is_next_host(struct lookups *lookups, const struct dns_name *name)
{
	struct dns_name host;

	while (lookups->hosts != NULL && lookups->next_host < lookups->hosts->count) {
		const char *text = (const char *)lookups->hosts->records[lookups->next_host++].data;
		if (dns_name_from_text(text, &host) && dns_name_equal(&host, name))
			return true;
	}
	lookups->hosts = NULL;
	return false;
}

/* RFC 7208 4.6.4 over all includes. Of the TXT questions those count that bring a record: an explanation's does not, and an include without a
 * record is an error anyway. */
static void
lookup_count(struct lookups *lookups, const struct dns_name *name, const struct dns_answer *answer)
{
	struct spf_outcome *outcome = lookups->outcome;
	bool first = !lookups->any, is_void = answer->count == 0 && (answer->status == DNS_STATUS_OK || answer->status == DNS_STATUS_NAME_ERROR);

	lookups->any = true;
	if (first || (answer->type == DNS_TYPE_TXT && !is_spf_record(answer)))
		return;
	if ((answer->type == DNS_TYPE_A || answer->type == DNS_TYPE_AAAA) && is_next_host(lookups, name))
		return;
	if (outcome->lookups == SPF_LOOKUP_LIMIT || (is_void && outcome->void_lookups == SPF_VOID_LIMIT)) {
		outcome->problem = memory_copy_string(outcome->lookups == SPF_LOOKUP_LIMIT ? "too many terms that need DNS lookups" :
		    "too many DNS lookups without an answer");
		lookups->exceeded = true;
		return;
	}
	outcome->lookups++;
	outcome->void_lookups += is_void;
	lookups->hosts = answer->type == DNS_TYPE_MX || answer->type == DNS_TYPE_PTR ? answer : NULL;
	lookups->next_host = 0;
}

static const struct dns_answer *
answer_find(void *context, const char *name, uint16_t type)
{
	static char nothing[] = "";
	static const struct dns_answer no_name = {.status = DNS_STATUS_NAME_ERROR, .name = nothing};
	struct lookups *lookups = context;
	struct spf_domain domain;
	char text[DNS_NAME_TEXT_SIZE];

	if (lookups->missed || lookups->exceeded)
		return NULL;
	if (!spf_domain_from_expansion(span_of(name), &domain))
		return &no_name;
	const struct dns_answer *answer = lookups->answers->lookup(lookups->answers->context, dns_name_to_text(&domain.name, text), type);
	if (answer == NULL)
		lookups->missed = true;
	else
		lookup_count(lookups, &domain.name, answer);
	return lookups->exceeded ? NULL : answer;
}

/* ---- evaluation ---- */

static char *
printable_copy(const char *text)
{
	struct buffer out = {0};

	if (text[0] == '\0')
		return NULL;
	printable_append(&out, span_of(text), PRINTABLE_BLANK, NULL);
	return buffer_take_string(&out);
}

static void
library_run(struct spf_libspf2 *library, const struct spf_query *query, const struct spf_answers *answers, struct spf_outcome *outcome)
{
	struct lookups lookups = {.answers = answers, .outcome = outcome};
	struct spf2_outcome said;

	library->module->evaluate(library->state, query, answer_find, &lookups, &said);
	if (lookups.missed) {
		spf_outcome_clear(outcome);
		outcome->result = SPF_PENDING;
	} else if (lookups.exceeded) {
		outcome->result = SPF_PERMERROR;
	} else {
		outcome->result = said.result;
		outcome->explanation = printable_copy(said.explanation);
		outcome->problem = printable_copy(said.problem);
	}
}

void
spf_libspf2_evaluate(struct spf_libspf2 *library, const struct spf_query *query, const struct spf_answers *answers, struct spf_outcome *outcome)
{
	struct spf_query complete = *query;
	struct spf_domain domain;

	/* What RFC 7208 4.3 says of the identity is not left to the library. */
	if (query->client.family == 0 || query->domain == NULL || !spf_domain_from_identity(query->domain, &domain)) {
		outcome->result = SPF_NONE;
		return;
	}
	spf_evaluate(query, answers, outcome);
	if (outcome->result == SPF_PENDING)
		return;
	spf_outcome_clear(outcome);
	complete.domain = domain.text;
	complete.local_part = query->local_part != NULL && query->local_part[0] != '\0' ? query->local_part : "postmaster";
	complete.helo = query->helo != NULL && query->helo[0] != '\0' ? query->helo : "unknown";
	library_run(library, &complete, answers, outcome);
}

/* ---- life ---- */

/* "…/build" when the program is …/build/postern. */
static char *
program_directory(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path);
	const char *slash = length > 0 && (size_t)length < sizeof path ? memrchr(path, '/', (size_t)length) : NULL;

	return memory_copy_text(path, slash != NULL ? (size_t)(slash - path) : 0);
}

static bool
module_load(struct spf_libspf2 *library, const char *directory, struct buffer *problem)
{
	char *path = memory_format("%s/%s", directory, SPF_LIBSPF2_FILE);

	library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	library->module = library->handle != NULL ? dlsym(library->handle, SPF2_MODULE_SYMBOL) : NULL;
	if (library->module == NULL)
		buffer_printf(problem, "%sengine libspf2: %s", problem->length > 0 ? "; " : "", dlerror());
	if (library->module == NULL && library->handle != NULL) {
		dlclose(library->handle);
		library->handle = NULL;
	}
	memory_free(&path);
	return library->module != NULL;
}

static bool
module_find(struct spf_libspf2 *library, const char *directory, struct buffer *problem)
{
	if (directory != NULL)
		return module_load(library, directory, problem);
	char *beside = program_directory();
	bool found = module_load(library, beside, problem) || module_load(library, SPF_LIBSPF2_DIRECTORY, problem);
	memory_free(&beside);
	return found;
}

static const struct dns_answer *
proof_answer(void *context, const char *name, uint16_t type)
{
	static uint8_t text[] = "v=spf1 ip4:192.0.2.0/24 -all";
	static struct dns_record record = {.data = text, .length = sizeof text - 1};
	static char owner[] = "example.org";
	static const struct dns_answer answer = {.type = DNS_TYPE_TXT, .name = owner, .records = &record, .count = 1};

	(void)context, (void)name, (void)type;
	return &answer;
}

/* One pass and one fail; they also bring the library to do before the sandbox closes what it does only once. */
static bool
module_proves_itself(struct spf_libspf2 *library)
{
	static const struct {
		const char *client;
		enum spf_result result;
	} cases[] = {{"192.0.2.1", SPF_PASS}, {"198.51.100.1", SPF_FAIL}};
	bool good = true;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct spf_query query = {.domain = "example.org", .receiver = "example.net"};
		struct spf_outcome outcome = {0};

		ip_address_parse(cases[i].client, &query.client);
		spf_libspf2_evaluate(library, &query, &(struct spf_answers){.lookup = proof_answer}, &outcome);
		good = good && outcome.result == cases[i].result;
		spf_outcome_clear(&outcome);
	}
	return good;
}

static const char *
module_start(struct spf_libspf2 *library)
{
	if (library->module->version != SPF2_MODULE_VERSION)
		return "the module is of another version";
	library->state = library->module->open();
	if (library->state == NULL)
		return "the library does not start";
	return module_proves_itself(library) ? NULL : "the library judges wrong";
}

struct spf_libspf2 *
spf_libspf2_open(const char *directory, struct buffer *problem)
{
	struct spf_libspf2 *library = memory_new(sizeof *library);
	struct buffer failures = {0};

	if (!module_find(library, directory, &failures)) {
		buffer_append_string(problem, buffer_text(&failures));
		spf_libspf2_close(&library);
	} else {
		const char *wrong = module_start(library);
		if (wrong != NULL) {
			buffer_printf(problem, "engine libspf2: %s", wrong);
			spf_libspf2_close(&library);
		}
	}
	buffer_free(&failures);
	return library;
}

void
spf_libspf2_close(struct spf_libspf2 **library)
{
	if (*library == NULL)
		return;
	if ((*library)->module != NULL && (*library)->state != NULL)
		(*library)->module->close((*library)->state);
	if ((*library)->handle != NULL)
		dlclose((*library)->handle);
	memory_free(library);
}
