/* Identities and what is said about them. Everything that a stranger chose (names, terms of records, explanations) is cut and made
 * printable here; the facts alone keep it as it was. */
#include "filters/spf/check.h"

#include <string.h>

#include "base/memory.h"
#include "mail/printable.h"

#include "filters/spf/domain.h"

#define SHOWN_MAX 300 /* bytes shown of one value */
#define EXPLANATION_SHOWN_MAX 450 /* of a reply line's 512 */

static const char *
identity_text(const struct spf_check *check)
{
	return check->identity == SPF_IDENTITY_HELO ? "helo" : "mailfrom";
}

static const char *
identity_words(const struct spf_check *check)
{
	return check->identity == SPF_IDENTITY_HELO ? "HELO" : "MAIL FROM";
}

/* ---- identities ---- */

static char *
domain_name(const char *text)
{
	struct spf_domain domain;

	return memory_copy_string(spf_domain_from_identity(text, &domain) ? domain.text : text);
}

/* Behind the last "@": a quoted local part may have others. */
static void
check_mail_from(struct spf_check *check, const char *sender)
{
	const char *at = strrchr(sender, '@');

	*check = (struct spf_check){.identity = SPF_IDENTITY_MAIL_FROM, .domain = domain_name(at != NULL ? at + 1 : sender)};
	if (at != NULL)
		check->local_part = memory_copy_text(sender, (size_t)(at - sender));
}

size_t
spf_checks_make(const struct filter_job *job, bool helo_wanted, struct spf_check checks[SPF_CHECKS_MAX])
{
	const char *sender = job->envelope != NULL ? job->envelope->sender : NULL, *helo = job->client.helo;
	size_t count = 0;

	if (sender != NULL && sender[0] != '\0')
		check_mail_from(&checks[count++], sender);
	if (count == 0 || (helo_wanted && helo != NULL && helo[0] != '\0'))
		checks[count++] = (struct spf_check){.identity = SPF_IDENTITY_HELO, .domain = domain_name(helo != NULL ? helo : "")};
	return count;
}

void
spf_checks_clear(struct spf_check *checks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		memory_free(&checks[i].local_part);
		memory_free(&checks[i].domain);
		spf_outcome_clear(&checks[i].outcome);
	}
}

/* ---- facts ---- */

static void
set_address(struct fact_record *record, const char *key, const struct ip_address *address)
{
	char text[IP_ADDRESS_TEXT_SIZE];

	fact_record_set(record, key, address->family != 0 ? ip_address_format(address, text) : NULL);
}

void
spf_check_record(const struct filter_job *job, const struct spf_check *check, struct fact_record *record)
{
	const struct spf_outcome *outcome = &check->outcome;

	fact_record_set(record, "result", spf_result_text(outcome->result));
	fact_record_set(record, "domain", check->domain);
	fact_record_set(record, "identity", identity_text(check));
	fact_record_set(record, "explanation", outcome->explanation);
	fact_record_set(record, "mechanism", outcome->mechanism);
	if (outcome->problem != NULL)
		fact_record_set(record, "problem", outcome->problem);
	if (job->client.relay.family == 0)
		return;
	set_address(record, "client", &job->client.address);
	set_address(record, "relay", &job->client.relay);
}

/* ---- words ---- */

static void
append_shown(struct buffer *out, const char *text, size_t limit)
{
	printable_append(out, printable_cut(span_of(text), limit), PRINTABLE_BLANK, NULL);
}

static void
append_address(struct buffer *out, const struct ip_address *address)
{
	char text[IP_ADDRESS_TEXT_SIZE];

	buffer_append_string(out, address->family != 0 ? ip_address_format(address, text) : "an unknown address");
}

void
spf_check_append_reason(const struct filter_job *job, const struct spf_check *check, struct buffer *out)
{
	const struct spf_outcome *outcome = &check->outcome;

	buffer_printf(out, "%s ", identity_words(check));
	append_shown(out, check->domain, SHOWN_MAX);
	buffer_printf(out, ": %s", spf_result_text(outcome->result));
	if (outcome->mechanism != NULL) {
		buffer_append_string(out, " by ");
		append_shown(out, outcome->mechanism, SHOWN_MAX);
	}
	buffer_printf(out, ": %s", spf_result_description(outcome->result));
	if (outcome->problem != NULL) {
		buffer_append_string(out, ": ");
		append_shown(out, outcome->problem, SHOWN_MAX);
	}
	if (job->client.relay.family == 0)
		return;
	buffer_append_string(out, "; judged is ");
	append_address(out, &job->client.address);
	buffer_append_string(out, " behind the trusted relay ");
	append_address(out, &job->client.relay);
}

void
spf_check_append_reply(const struct filter_job *job, const struct spf_check *check, struct buffer *out)
{
	const struct spf_outcome *outcome = &check->outcome;

	buffer_printf(out, "SPF %s of %s ", spf_result_text(outcome->result), identity_words(check));
	append_shown(out, check->domain, SHOWN_MAX);
	buffer_append_string(out, " from ");
	append_address(out, &job->client.address);
	buffer_printf(out, ": %s", spf_result_description(outcome->result));
	if (outcome->problem != NULL) {
		buffer_append_string(out, " (");
		append_shown(out, outcome->problem, SHOWN_MAX);
		buffer_append_char(out, ')');
	}
	if (outcome->result != SPF_FAIL || outcome->explanation == NULL)
		return;
	/* Whose words these are must be plain: RFC 7208 6.2, 11.5. */
	buffer_append_string(out, "\nThe domain ");
	append_shown(out, check->domain, SHOWN_MAX);
	buffer_append_string(out, " explains:\n");
	append_shown(out, outcome->explanation, EXPLANATION_SHOWN_MAX);
}

/* ---- Received-SPF ---- */

/* RFC 5322 3.2.3 */
static bool
is_dot_atom(const char *text)
{
	const char *label = text;

	for (;;) {
		size_t length = strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~");
		if (length == 0)
			return false;
		label += length;
		if (*label == '\0')
			return true;
		if (*label++ != '.')
			return false;
	}
}

/* RFC 7208 9.1: a value is a dot-atom or a quoted string. The backend may not know SMTPUTF8, so no UTF-8. */
static void
append_pair(struct buffer *out, const char *separator, const char *key, const char *value)
{
	struct buffer shown = {0};

	append_shown(&shown, value, SHOWN_MAX);
	buffer_printf(out, "%s%s=", separator, key);
	if (is_dot_atom(buffer_text(&shown))) {
		buffer_append_span(out, span_make(shown.data, shown.length));
	} else {
		buffer_append_char(out, '"');
		for (size_t i = 0; i < shown.length; i++) {
			if (shown.data[i] == '"' || shown.data[i] == '\\')
				buffer_append_char(out, '\\');
			buffer_append_char(out, shown.data[i]);
		}
		buffer_append_char(out, '"');
	}
	buffer_free(&shown);
}

void
spf_check_append_stamp(const struct filter_job *job, const struct spf_check *check, struct buffer *out)
{
	const struct spf_outcome *outcome = &check->outcome;
	const char *sender = job->envelope != NULL && job->envelope->sender != NULL ? job->envelope->sender : "";
	char client[IP_ADDRESS_TEXT_SIZE];

	buffer_printf(out, "%s (%s: %s)", spf_result_text(outcome->result), job->hostname, spf_result_description(outcome->result));
	append_pair(out, "\r\n\t", "receiver", job->hostname);
	if (job->client.address.family != 0)
		append_pair(out, "; ", "client-ip", ip_address_format(&job->client.address, client));
	append_pair(out, ";\r\n\t", "envelope-from", sender);
	append_pair(out, ";\r\n\t", "helo", job->client.helo != NULL ? job->client.helo : "");
	append_pair(out, ";\r\n\t", "identity", identity_text(check));
	if (outcome->mechanism != NULL)
		append_pair(out, ";\r\n\t", "mechanism", outcome->mechanism);
	if (outcome->problem != NULL)
		append_pair(out, ";\r\n\t", "problem", outcome->problem);
}
