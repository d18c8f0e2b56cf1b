/* RFC 7208 section 5: does a mechanism match the client? Counts what the limits of 4.6.4 count. */
#include <string.h>

#include "filters/spf/evaluation.h"

bool
spf_lookup_count(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span term)
{
	if (evaluation->outcome->lookups == SPF_LOOKUP_LIMIT) {
		spf_problem_note(evaluation, current, term, "too many terms that need DNS lookups");
		return false;
	}
	evaluation->outcome->lookups++;
	return true;
}

/* RFC 7208 4.6.4 counts terms whose lookup is void, so a term counts once, by its first question. The names that an mx or ptr answer lists
 * have a limit of their own: a mail host without an IPv6 address is no sign of abuse. */
static enum spf_match
void_count(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span term)
{
	if (evaluation->outcome->void_lookups == SPF_VOID_LIMIT) {
		spf_problem_note(evaluation, current, term, "too many DNS lookups without an answer");
		return SPF_MATCH_PERMERROR;
	}
	evaluation->outcome->void_lookups++;
	return SPF_MATCH_NO;
}

static enum spf_match
dns_failed(struct spf_evaluation *evaluation, const struct spf_domain *current, struct span term, const struct dns_answer *answer)
{
	char what[64] = "DNS lookup failed: ";

	spf_problem_note(evaluation, current, term, strcat(what, dns_status_text(answer->status)));
	return SPF_MATCH_TEMPERROR;
}

static uint8_t
prefix_length(const struct spf_evaluation *evaluation, const struct spf_term *term)
{
	return evaluation->query->client.family == 4 ? term->prefix_length_4 : term->prefix_length_6;
}

static enum spf_match
match_a(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct spf_domain *target)
{
	const struct dns_answer *answer;

	switch (spf_ask_addresses(evaluation, &target->name, &answer)) {
	case SPF_REPLY_RECORDS:
		return spf_answer_covers(evaluation, answer, prefix_length(evaluation, term)) ? SPF_MATCH_YES : SPF_MATCH_NO;
	case SPF_REPLY_VOID:
		return void_count(evaluation, current, term->text);
	case SPF_REPLY_FAILED:
		return dns_failed(evaluation, current, term->text, answer);
	case SPF_REPLY_UNKNOWN:
		break;
	}
	return SPF_MATCH_NO;
}

/* The addresses of each mail host in the order of the answer; while some are unknown the others are asked for as well. */
static enum spf_match
mail_hosts_match(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct dns_answer *hosts)
{
	for (size_t i = 0; i < hosts->count; i++) {
		struct dns_name name;
		const struct dns_answer *addresses;
		if (!dns_name_from_text((const char *)hosts->records[i].data, &name)) /* the root: RFC 7505 */
			continue;
		enum spf_reply reply = spf_ask_addresses(evaluation, &name, &addresses);
		if (reply == SPF_REPLY_FAILED)
			return dns_failed(evaluation, current, term->text, addresses);
		if (reply == SPF_REPLY_RECORDS && spf_answer_covers(evaluation, addresses, prefix_length(evaluation, term)))
			return SPF_MATCH_YES;
	}
	return SPF_MATCH_NO;
}

static enum spf_match
match_mx(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct spf_domain *target)
{
	const struct dns_answer *answer;

	switch (spf_ask(evaluation, &target->name, DNS_TYPE_MX, &answer)) {
	case SPF_REPLY_RECORDS:
		/* Decided by the number alone, so that the order of an answer, which is random, cannot change the result. */
		if (answer->count > SPF_NAMES_LIMIT) {
			spf_problem_note(evaluation, current, term->text, "more than 10 mail hosts");
			return SPF_MATCH_PERMERROR;
		}
		return mail_hosts_match(evaluation, current, term, answer);
	case SPF_REPLY_VOID:
		return void_count(evaluation, current, term->text);
	case SPF_REPLY_FAILED:
		return dns_failed(evaluation, current, term->text, answer);
	case SPF_REPLY_UNKNOWN:
		break;
	}
	return SPF_MATCH_NO;
}

/* Errors are no match: the client's reverse zone is not in the sender's hands (RFC 7208 5.5). */
static enum spf_match
match_ptr(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct spf_domain *target)
{
	switch (spf_validated_name_within(evaluation, target)) {
	case SPF_REPLY_RECORDS:
		return SPF_MATCH_YES;
	case SPF_REPLY_VOID:
		return void_count(evaluation, current, term->text);
	case SPF_REPLY_FAILED:
	case SPF_REPLY_UNKNOWN:
		break;
	}
	return SPF_MATCH_NO;
}

/* Type A whatever the client's family is (RFC 7208 5.7). */
static enum spf_match
match_exists(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct spf_domain *target)
{
	const struct dns_answer *answer;

	switch (spf_ask(evaluation, &target->name, DNS_TYPE_A, &answer)) {
	case SPF_REPLY_RECORDS:
		return SPF_MATCH_YES;
	case SPF_REPLY_VOID:
		return void_count(evaluation, current, term->text);
	case SPF_REPLY_FAILED:
		return dns_failed(evaluation, current, term->text, answer);
	case SPF_REPLY_UNKNOWN:
		break;
	}
	return SPF_MATCH_NO;
}

/* The table of RFC 7208 5.2. */
static enum spf_match
match_include(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term, const struct spf_domain *target)
{
	switch (spf_check_host(evaluation, target, true)) {
	case SPF_PASS:
		return SPF_MATCH_YES;
	case SPF_TEMPERROR:
		return SPF_MATCH_TEMPERROR;
	case SPF_PERMERROR:
		return SPF_MATCH_PERMERROR;
	case SPF_NONE:
		spf_problem_note(evaluation, current, term->text, "the included domain has no SPF record");
		return SPF_MATCH_PERMERROR;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
	case SPF_PENDING:
		break;
	}
	return SPF_MATCH_NO;
}

/* The mechanisms that ask. A name that cannot be asked does not exist: no match, except that an include of it has no record. A local part
 * outside ASCII matches nothing (RFC 8616 4). */
static enum spf_match
asking_term_match(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term)
{
	struct spf_domain target;

	if (!spf_lookup_count(evaluation, current, term->text))
		return SPF_MATCH_PERMERROR;
	switch (spf_target_expand(evaluation, current, term->domain_spec, &target)) {
	case SPF_TARGET_OK:
		break;
	case SPF_TARGET_MALFORMED:
		if (term->mechanism != SPF_MECHANISM_INCLUDE)
			return SPF_MATCH_NO;
		spf_problem_note(evaluation, current, term->text, "not a domain name");
		return SPF_MATCH_PERMERROR;
	case SPF_TARGET_UNKNOWN:
	case SPF_TARGET_NOT_ASCII:
		return SPF_MATCH_NO;
	}
	switch (term->mechanism) {
	case SPF_MECHANISM_INCLUDE:
		return match_include(evaluation, current, term, &target);
	case SPF_MECHANISM_MX:
		return match_mx(evaluation, current, term, &target);
	case SPF_MECHANISM_PTR:
		return match_ptr(evaluation, current, term, &target);
	case SPF_MECHANISM_EXISTS:
		return match_exists(evaluation, current, term, &target);
	default:
		return match_a(evaluation, current, term, &target);
	}
}

enum spf_match
spf_term_match(struct spf_evaluation *evaluation, const struct spf_domain *current, const struct spf_term *term)
{
	if (spf_mechanism_asks(term->mechanism))
		return asking_term_match(evaluation, current, term);
	if (term->mechanism == SPF_MECHANISM_ALL)
		return SPF_MATCH_YES;
	return ip_network_contains(&term->network, &evaluation->query->client) ? SPF_MATCH_YES : SPF_MATCH_NO;
}
