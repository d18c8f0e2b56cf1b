/* The module postern-spf2.so: libspf2 1.2 behind our small interface. Turns answers into the library's form and its results into ours; asks
 * nobody but the lookup it is given, prints nothing. */
#include <stddef.h>
#include <netinet/in.h>
/* The library's headers need these before them. */
#include <arpa/nameser.h>
#include <netdb.h>
#include <spf2/spf.h>
#include <spf2/spf_dns.h>
#include <spf2/spf_log.h>
#include <spf2/spf_record.h>
#include <spf2/spf_request.h>
#include <spf2/spf_response.h>
#include <spf2/spf_server.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/spf_libspf2/module.h"

#define TYPE_SPF 99 /* the library asks it before TXT; RFC 7208 3.1 has done away with it */

struct state {
	SPF_dns_server_t layer;
	SPF_server_t *server;
	spf2_lookup *lookup; /* of the evaluation in progress */
	void *context;
};

/* ---- DNS ---- */

static int
h_errno_of(const struct dns_answer *answer)
{
	if (answer == NULL)
		return TRY_AGAIN;
	switch (answer->status) {
	case DNS_STATUS_OK:
		return answer->count > 0 ? NETDB_SUCCESS : NO_DATA;
	case DNS_STATUS_NAME_ERROR:
		return HOST_NOT_FOUND;
	default:
		return TRY_AGAIN;
	}
}

static bool
record_put(SPF_dns_rr_t *set, int at, const struct dns_answer *answer)
{
	const struct dns_record *record = &answer->records[at];
	bool is_address = answer->type == DNS_TYPE_A || answer->type == DNS_TYPE_AAAA;

	if (answer->type == DNS_TYPE_A ? record->length != sizeof(struct in_addr) : answer->type == DNS_TYPE_AAAA && record->length != sizeof(struct in6_addr))
		return false;
	if (SPF_dns_rr_buf_realloc(set, at, record->length + 1) != SPF_E_SUCCESS)
		return false;
	/* The members of the union all begin at its start. */
	memcpy(set->rr[at], record->data, record->length + (is_address ? 0 : 1));
	set->num_rr = at + 1;
	return true;
}

/* The library aborts on NULL, so memory that runs out has to end it as well. */
static SPF_dns_rr_t *
lookup(SPF_dns_server_t *layer, const char *domain, ns_type type, int should_cache)
{
	struct state *state = layer->hook;
	const struct dns_answer *answer = NULL;
	int status = NO_DATA;

	(void)should_cache;
	if ((int)type != TYPE_SPF) {
		answer = state->lookup(state->context, domain, (uint16_t)type);
		status = h_errno_of(answer);
	}
	SPF_dns_rr_t *set = SPF_dns_rr_new_init(layer, domain, type, 0, status);
	if (set == NULL)
		abort();
	for (size_t i = 0; status == NETDB_SUCCESS && i < answer->count; i++)
		if (!record_put(set, (int)i, answer))
			set->herrno = TRY_AGAIN;
	return set;
}

/* ---- life ---- */

/* The library tells the world about warnings; a worker's output is for our own lines. */
static void
say_nothing(const char *file, int line, const char *message)
{
	(void)file, (void)line, (void)message;
}

/* The library's own explanation must not pass for the domain's. */
static bool
explain_nothing(SPF_server_t *server)
{
	SPF_response_t *response = NULL;
	bool good = SPF_server_set_explanation(server, "", &response) == SPF_E_SUCCESS;

	if (response != NULL)
		SPF_response_free(response);
	return good;
}

static void
module_close(void *context)
{
	struct state *state = context;

	if (state->server != NULL)
		SPF_server_free(state->server);
	free(state);
}

static void *
module_open(void)
{
	struct state *state = calloc(1, sizeof *state);

	if (state == NULL)
		return NULL;
	SPF_warning_handler = SPF_info_handler = SPF_debug_handler = say_nothing;
	state->layer = (SPF_dns_server_t){.lookup = lookup, .name = "postern", .hook = state};
	state->server = SPF_server_new_dns(&state->layer, 0);
	if (state->server != NULL && explain_nothing(state->server))
		return state;
	module_close(state);
	return NULL;
}

/* ---- evaluation ---- */

static enum spf_result
result_of(SPF_result_t result)
{
	switch (result) {
	case SPF_RESULT_NEUTRAL:
		return SPF_NEUTRAL;
	case SPF_RESULT_PASS:
		return SPF_PASS;
	case SPF_RESULT_FAIL:
		return SPF_FAIL;
	case SPF_RESULT_SOFTFAIL:
		return SPF_SOFTFAIL;
	case SPF_RESULT_NONE:
		return SPF_NONE;
	case SPF_RESULT_TEMPERROR:
		return SPF_TEMPERROR;
	default:
		return SPF_PERMERROR; /* "invalid" comes with an error of syntax */
	}
}

/* Syntax errors come back as "not SPF", like a domain without a record: then the response has a result. */
static enum spf_result
result_without_record(const SPF_response_t *response, SPF_errcode_t error)
{
	if (error == SPF_E_DNS_ERROR)
		return SPF_TEMPERROR;
	return error == SPF_E_NOT_SPF && response->result == SPF_RESULT_NONE ? SPF_NONE : SPF_PERMERROR;
}

static void
outcome_describe(SPF_response_t *response, struct spf2_outcome *outcome)
{
	const char *explanation = SPF_response_get_explanation(response);

	if (outcome->result == SPF_FAIL && explanation != NULL && strlen(explanation) <= SPF_EXPLANATION_MAX)
		strcpy(outcome->explanation, explanation);
	if (outcome->result != SPF_TEMPERROR && outcome->result != SPF_PERMERROR)
		return;
	for (int i = 0; i < SPF_response_messages(response) && outcome->problem[0] == '\0'; i++) {
		SPF_error_t *message = SPF_response_message(response, i);
		if (SPF_error_errorp(message))
			snprintf(outcome->problem, sizeof outcome->problem, "%s", SPF_error_message(message));
	}
}

/* What SPF_request_query_mailfrom does, without its free pass for 127/8 and without the comments it makes for a response that has no record, where
 * it may abort. */
static void
query_run(struct state *state, SPF_request_t *request, SPF_response_t *response, struct spf2_outcome *outcome)
{
	SPF_record_t *record = NULL;

	request->cur_dom = request->env_from_dp;
	SPF_errcode_t error = SPF_server_get_record(state->server, request, response, &record);
	if (error == SPF_E_SUCCESS) {
		response->spf_record_exp = record;
		SPF_record_interpret(record, request, response, 0);
		outcome->result = result_of(SPF_response_result(response));
	} else {
		outcome->result = result_without_record(response, error);
	}
	outcome_describe(response, outcome);
	if (record != NULL)
		SPF_record_free(record);
}

static bool
request_fill(struct state *state, SPF_request_t *request, const struct spf_query *query)
{
	struct in_addr address_4;
	struct in6_addr address_6;
	size_t length = strlen(query->local_part) + strlen(query->domain) + 2;
	char *sender = malloc(length);

	if (sender == NULL)
		return false;
	snprintf(sender, length, "%s@%s", query->local_part, query->domain);
	memcpy(&address_4, query->client.bytes, sizeof address_4);
	memcpy(&address_6, query->client.bytes, sizeof address_6);
	SPF_errcode_t error = query->client.family == 4 ? SPF_request_set_ipv4(request, address_4) : SPF_request_set_ipv6(request, address_6);
	bool good = error == SPF_E_SUCCESS && SPF_request_set_helo_dom(request, query->helo) == SPF_E_SUCCESS &&
	    SPF_request_set_env_from(request, sender) == 0 &&
	    SPF_server_set_rec_dom(state->server, query->receiver != NULL ? query->receiver : "unknown") == SPF_E_SUCCESS;
	free(sender);
	return good;
}

static void
module_evaluate(void *context, const struct spf_query *query, spf2_lookup *find, void *find_context, struct spf2_outcome *outcome)
{
	struct state *state = context;

	*outcome = (struct spf2_outcome){.result = SPF_TEMPERROR};
	state->lookup = find;
	state->context = find_context;
	SPF_request_t *request = SPF_request_new(state->server);
	SPF_response_t *response = request != NULL ? SPF_response_new(request) : NULL;
	if (response != NULL && request_fill(state, request, query))
		query_run(state, request, response, outcome);
	else
		snprintf(outcome->problem, sizeof outcome->problem, "libspf2 takes no request");
	if (response != NULL)
		SPF_response_free(response);
	if (request != NULL)
		SPF_request_free(request);
}

__attribute__((visibility("default"))) extern const struct spf2_module postern_spf2_module;
const struct spf2_module postern_spf2_module = {SPF2_MODULE_VERSION, module_open, module_close, module_evaluate};
