/* The rows of each filter's settings, in the order the reference shows the filters. A new filter is a table here, a struct in
 * config.h and its row in filters/registry.c. Owns no behaviour. */
#include "conf/config.h"
#include "conf/schema.h"
#include "conf/value.h"

#define MEMBER(member) .offset = offsetof(struct config_filter, member)
#define END {.name = NULL}

_Static_assert(sizeof(enum config_action) == sizeof(int) && sizeof(enum config_spf_engine) == sizeof(int), "value_choice stores an int");

/* In the order of enum config_action. A filter that is lost has found nothing that could be tagged. */
static const char *const action_words[] = {"accept", "reject", "tempfail", "quarantine", "tag", NULL};
static const char *const on_error_words[] = {"accept", "reject", "tempfail", "quarantine", NULL};

#define ON_ERROR \
	{.name = "on_error", .type = &value_action, MEMBER(on_error), .words = on_error_words, .default_text = "tempfail", \
	    .unit = "when the filter cannot judge a message", \
	    .description = "It crashed, took too long, or met its own limits. What DNS answers, or does not, is a result, not an error."}

static const char *const spf_engine_words[] = {"own", "libspf2", NULL};

#define SPF_ACTION(member) .name = #member, .type = &value_action, MEMBER(spf.member), .words = action_words

static const struct schema_row spf_rows[] = {
	{SPF_ACTION(fail), .default_text = "tag", .unit = "the client may not send for the domain",
	    .description = "accept takes the message, tag takes it and stamps Received-SPF, quarantine takes it into the quarantine, tempfail "
	        "asks the client to come again, reject refuses. Rejecting on SPF alone refuses forwarded mail that DKIM would vouch for."},
	{SPF_ACTION(softfail), .default_text = "tag", .unit = "the client probably may not send for the domain",
	    .description = "RFC 7208 8.5: never a reason to reject by itself."},
	{SPF_ACTION(neutral), .default_text = "accept", .unit = "the domain says nothing about this client",
	    .description = "RFC 7208 8.2: to be treated like none."},
	{SPF_ACTION(none), .default_text = "accept", .unit = "no SPF record, or no domain to check", .description = "Most such mail is legitimate."},
	{SPF_ACTION(pass), .default_text = "accept", .unit = "the client may send for the domain",
	    .description = "It says who is responsible, not that the mail is welcome."},
	{SPF_ACTION(temperror), .default_text = "accept", .unit = "DNS did not answer",
	    .description = "As other checkers do by default. With fail: reject, tempfail is the safer choice: else whoever silences a domain's name "
	        "servers gets past its record; the price is that mail of a domain with broken DNS waits."},
	{SPF_ACTION(permerror), .default_text = "tag", .unit = "the domain's record cannot be interpreted",
	    .description = "A broken record is the domain owner's mistake, not the sender's (RFC 7208 8.7)."},
	{.name = "helo", .type = &value_boolean, MEMBER(spf.helo), .default_text = "true", .unit = "check the HELO name too",
	    .description = "RFC 7208 2.3 recommends it. A fail of the HELO name counts as fail when that weighs more than MAIL FROM's result; its other "
	        "results decide nothing."},
	{.name = "received_spf", .type = &value_boolean, MEMBER(spf.received_spf), .default_text = "false", .unit = "stamp Received-SPF on every message",
	    .description = "RFC 7208 9.1. Authentication-Results carries the same result in the form of RFC 8601."},
	{.name = "engine", .type = &value_choice, MEMBER(spf.engine), .words = spf_engine_words, .default_text = "own", .unit = "who evaluates",
	    .description = "own follows RFC 7208 and passes its test suite; libspf2 is for comparison: it differs in many cases, lets no term be named, and "
	        "needs its module, postern-spf2.so, beside the program or in /usr/lib/postern."},
	ON_ERROR,
	END,
};

const struct schema_filter schema_filters[] = {
	{.name = "spf", .place = FILTER_PLACE_AUTH, .rows = spf_rows, .unit = "may this client send for that domain? (RFC 7208)",
	    .description = "MAIL FROM's domain, and the HELO name, say in DNS which clients may use them. What to do with a message is chosen for each result."},
	END,
};
