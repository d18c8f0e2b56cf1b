/* What an evaluation asks: addresses, targets of terms, validated names of the client. Here an answer that is missing makes the evaluation
 * pending; nowhere else. */
#include <string.h>

#include "base/memory.h"

#include "filters/spf/evaluation.h"

enum spf_reply
spf_ask(struct spf_evaluation *evaluation, const struct dns_name *name, uint16_t type, const struct dns_answer **answer)
{
	char text[DNS_NAME_TEXT_SIZE];

	*answer = evaluation->answers->lookup(evaluation->answers->context, dns_name_to_text(name, text), type);
	if (*answer == NULL) {
		evaluation->pending = true;
		return SPF_REPLY_UNKNOWN;
	}
	if ((*answer)->status == DNS_STATUS_OK)
		return (*answer)->count > 0 ? SPF_REPLY_RECORDS : SPF_REPLY_VOID;
	return (*answer)->status == DNS_STATUS_NAME_ERROR ? SPF_REPLY_VOID : SPF_REPLY_FAILED;
}

enum spf_reply
spf_ask_addresses(struct spf_evaluation *evaluation, const struct dns_name *name, const struct dns_answer **answer)
{
	return spf_ask(evaluation, name, evaluation->query->client.family == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA, answer);
}

bool
spf_answer_covers(const struct spf_evaluation *evaluation, const struct dns_answer *answer, uint8_t prefix_length)
{
	const struct ip_address *client = &evaluation->query->client;
	size_t size = client->family == 4 ? 4 : 16;

	for (size_t i = 0; i < answer->count; i++) {
		if (answer->records[i].length != size)
			continue;
		struct ip_network network = {{.family = client->family}, prefix_length};
		memcpy(network.address.bytes, answer->records[i].data, size);
		if (ip_network_contains(&network, client))
			return true;
	}
	return false;
}

/* ---- the client's names: RFC 7208 5.5 ---- */

/* The PTR answer of the client; *count is how many of its names may be looked at. */
static enum spf_reply
names_ask(struct spf_evaluation *evaluation, const struct dns_answer **answer, size_t *count)
{
	char text[IP_ADDRESS_REVERSE_SIZE];
	struct dns_name name;

	*count = 0;
	if (!dns_name_from_text(ip_address_reverse_name(&evaluation->query->client, text), &name))
		return SPF_REPLY_FAILED;
	enum spf_reply reply = spf_ask(evaluation, &name, DNS_TYPE_PTR, answer);
	if (reply == SPF_REPLY_RECORDS)
		*count = (*answer)->count < SPF_NAMES_LIMIT ? (*answer)->count : SPF_NAMES_LIMIT;
	return reply;
}

/* Does the name lead back to the client? An error here means no. */
static enum spf_reply
name_validate(struct spf_evaluation *evaluation, const struct dns_name *name)
{
	const struct dns_answer *answer;
	enum spf_reply reply = spf_ask_addresses(evaluation, name, &answer);

	if (reply == SPF_REPLY_RECORDS && !spf_answer_covers(evaluation, answer, evaluation->query->client.family == 4 ? 32 : 128))
		return SPF_REPLY_FAILED;
	return reply;
}

/* Validates only the names within the target: the others cannot change the answer. */
enum spf_reply
spf_validated_name_within(struct spf_evaluation *evaluation, const struct spf_domain *target)
{
	const struct dns_answer *answer;
	size_t count;
	enum spf_reply reply = names_ask(evaluation, &answer, &count), found = SPF_REPLY_FAILED;

	if (reply != SPF_REPLY_RECORDS)
		return reply;
	for (size_t i = 0; i < count; i++) {
		struct dns_name name;
		if (!dns_name_from_text((const char *)answer->records[i].data, &name) || !spf_name_is_within(&name, &target->name))
			continue;
		reply = name_validate(evaluation, &name);
		if (reply == SPF_REPLY_RECORDS)
			return SPF_REPLY_RECORDS;
		if (reply == SPF_REPLY_UNKNOWN)
			found = SPF_REPLY_UNKNOWN;
	}
	return found;
}

/* For %{p}, RFC 7208 7.3: the domain itself before a name below it before any other. */
static unsigned
name_rank(const struct dns_name *name, const struct spf_domain *current)
{
	if (dns_name_equal(name, &current->name))
		return 3;
	return spf_name_is_within(name, &current->name) ? 2 : 1;
}

static bool
validated_name_find(void *context, char *text)
{
	const struct spf_name_context *where = context;
	struct spf_evaluation *evaluation = where->evaluation;
	const struct dns_answer *answer;
	size_t count;
	unsigned best = 0;
	bool known = names_ask(evaluation, &answer, &count) != SPF_REPLY_UNKNOWN;

	strcpy(text, "unknown");
	for (size_t i = 0; i < count; i++) {
		struct dns_name name;
		/* What is no host name is nothing to show, or to build a question from. */
		if (!dns_name_from_text((const char *)answer->records[i].data, &name) || !dns_name_is_hostname(&name))
			continue;
		enum spf_reply reply = name_validate(evaluation, &name);
		if (reply == SPF_REPLY_UNKNOWN)
			known = false;
		if (reply != SPF_REPLY_RECORDS || name_rank(&name, where->current) <= best)
			continue;
		best = name_rank(&name, where->current);
		dns_name_to_text(&name, text);
	}
	return known;
}

/* ---- targets ---- */

void
spf_macro_values_fill(struct spf_name_context *context, struct spf_macro_values *values)
{
	const struct spf_query *query = context->evaluation->query;

	*values = (struct spf_macro_values){
		.local_part = context->evaluation->local_part,
		.sender_domain = context->evaluation->sender.text,
		.domain = context->current->text,
		.helo = query->helo != NULL && *query->helo != '\0' ? query->helo : "unknown",
		.receiver = query->receiver != NULL && *query->receiver != '\0' ? query->receiver : "unknown",
		.client = query->client,
		.now_s = query->now_s,
		.validated_name = validated_name_find,
		.context = context,
	};
}

static enum spf_target
target_from(struct span text, struct spf_domain *target)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] > 0x7f)
			return SPF_TARGET_NOT_ASCII;
	return spf_domain_from_expansion(text, target) ? SPF_TARGET_OK : SPF_TARGET_MALFORMED;
}

enum spf_target
spf_target_expand(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span domain_spec, struct spf_domain *target)
{
	if (domain_spec.length == 0) {
		*target = *current;
		return SPF_TARGET_OK;
	}
	/* Most targets have no macros; those are their own expansion. */
	if (memchr(domain_spec.at, '%', domain_spec.length) == NULL)
		return target_from(domain_spec, target);
	struct spf_name_context context = {evaluation, current};
	struct spf_macro_values values;
	struct buffer text = {0};

	spf_macro_values_fill(&context, &values);
	enum spf_target result = SPF_TARGET_UNKNOWN;
	if (spf_macro_expand(domain_spec, SPF_MACRO_IN_DOMAIN, &values, &text))
		result = target_from(span_make(text.data, text.length), target);
	buffer_free(&text);
	return result;
}
