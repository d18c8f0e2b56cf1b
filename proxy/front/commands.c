/* The SMTP command table (RFC 5321 4.1). One row says all about a command: in which states it may come, whether it ends a
 * pipelining group (RFC 2920), which filter stage it runs, what checks it and what it does. */
#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "front/commands.h"
#include "front/offer.h"
#include "front/receive.h"
#include "front/transaction.h"
#include "mail/command.h"
#include "relay/capabilities.h"

enum command_rule {
	NEEDS_HELLO = 1 << 0, /* EHLO or HELO first */
	NEEDS_TRANSACTION = 1 << 1, /* MAIL first */
	NEEDS_NO_TRANSACTION = 1 << 2,
	NEEDS_RECIPIENT = 1 << 3, /* an accepted RCPT first */
	NEEDS_NO_CHUNKS = 1 << 4, /* not between BDAT chunks */
	ENDS_GROUP = 1 << 5, /* nothing may be pipelined behind it */
	IS_IDLE = 1 << 6, /* counts against limits.commands */
};

/* A command on its way through its row. check parses the argument into it. */
struct running_command {
	struct session *session;
	struct span argument;
	struct mail_arguments mail;
	struct rcpt_arguments rcpt;
};

struct command_row {
	enum command_verb verb;
	unsigned rules;
	int stage; /* enum filter_stage, or -1 */
	bool (*check)(struct running_command *running); /* false: it has replied */
	void (*proceed)(struct running_command *running);
};

static bool
refuse(struct session *session, int code, const char *enhanced, const char *text)
{
	session_reply_text(session, code, enhanced, "%s", text);
	return false;
}

static struct command_offer
offer_to_parser(const struct session *session)
{
	return (struct command_offer){
		.size = (session->offered & CAPABILITY_SIZE) != 0,
		.eight_bit_mime = (session->offered & CAPABILITY_8BITMIME) != 0,
		.smtputf8 = (session->offered & CAPABILITY_SMTPUTF8) != 0,
		.dsn = (session->offered & CAPABILITY_DSN) != 0,
		.lenient_addresses = !session->front->config->strict_addresses,
	};
}

static void
reset_transaction(struct session *session)
{
	if (session->transaction != NULL)
		transaction_free(&session->transaction);
}

/* --- EHLO, HELO --- */

static bool
check_hello(struct running_command *running)
{
	if (running->argument.length == 0)
		return refuse(running->session, 501, "5.5.4", "a domain name is needed");
	if (command_parse_hello(running->argument, true))
		return true;
	if (running->session->front->config->strict_addresses || !command_hello_is_harmless(running->argument))
		return refuse(running->session, 501, "5.5.4", "not a domain name or an address literal");
	return true;
}

static void
greet(struct running_command *running, bool extended)
{
	struct session *session = running->session;

	reset_transaction(session);
	memory_free(&session->helo);
	session->helo = memory_copy_text(running->argument.at, running->argument.length);
	session->extended = extended;
	record_set(&session->record.helo, session->helo);
	if (extended)
		offer_reply(session);
	else
		session_reply_text(session, 250, NULL, "%s", session->front->config->hostname);
}

static void
proceed_ehlo(struct running_command *running)
{
	greet(running, true);
}

static void
proceed_helo(struct running_command *running)
{
	running->session->offered = 0;
	greet(running, false);
}

/* --- MAIL, RCPT --- */

static bool
check_mail(struct running_command *running)
{
	struct session *session = running->session;
	const struct config *config = session->front->config;
	struct command_offer offer = offer_to_parser(session);
	struct command_error error;

	if (config->limits.transactions > 0 && session->transactions >= config->limits.transactions) {
		session_reply_text(session, 421, "4.7.0", "%s Error: too many messages in this session", config->hostname);
		return false;
	}
	if (!command_parse_mail(running->argument, &offer, &running->mail, &error))
		return refuse(session, error.code, error.enhanced, error.text);
	if (running->mail.size_declared && running->mail.size > session->offered_size)
		return refuse(session, 552, "5.3.4", "message size exceeds the limit");
	return true;
}

static void
proceed_mail(struct running_command *running)
{
	struct session *session = running->session;

	session->transactions++;
	session->transaction = transaction_new(session, &running->mail);
	session_await_command(session);
	record_event(&session->transaction->record, session->front->clock, RECORD_EVENT_COMMAND, "MAIL %.*s", (int)running->argument.length,
	    running->argument.at);
	session_reply_text(session, 250, "2.1.0", "Ok");
}

static bool
check_rcpt(struct running_command *running)
{
	struct session *session = running->session;
	struct command_offer offer = offer_to_parser(session);
	struct command_error error;

	if (!command_parse_rcpt(running->argument, &offer, transaction_is_utf8(session->transaction), &running->rcpt, &error))
		return refuse(session, error.code, error.enhanced, error.text);
	return true;
}

static void
proceed_rcpt(struct running_command *running)
{
	transaction_add_recipient(running->session->transaction, &running->rcpt);
}

/* --- DATA, BDAT --- */

static void
proceed_data(struct running_command *running)
{
	struct session *session = running->session;

	session_reply_text(session, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	receive_begin_data(session->transaction);
}

/* The octets behind a BDAT come whatever we think of it, so a refused one is swallowed first (RFC 3030 section 2). */
static bool
check_bdat(struct running_command *running)
{
	struct session *session = running->session;
	uint64_t octets;
	bool last;

	if (!command_parse_bdat(running->argument, &octets, &last)) {
		session_reply_text(session, 501, "5.5.4", "BDAT needs a size and perhaps LAST");
		session_end(session); /* where the next command begins cannot be known */
		return false;
	}
	if (session->transaction != NULL && session->transaction->envelope.recipient_count > 0)
		return true;
	if (octets > session->front->config->limits.message_size) {
		session_reply_text(session, 552, "5.3.4", "chunk exceeds the size limit");
		session_end(session);
		return false;
	}
	session_swallow(session, octets);
	return false;
}

static void
proceed_bdat(struct running_command *running)
{
	uint64_t octets;
	bool last;

	if (command_parse_bdat(running->argument, &octets, &last))
		receive_begin_chunk(running->session, octets, last);
}

/* --- the small ones --- */

static void
proceed_rset(struct running_command *running)
{
	reset_transaction(running->session);
	session_reply_text(running->session, 250, "2.0.0", "Ok");
}

static void
proceed_noop(struct running_command *running)
{
	session_reply_text(running->session, 250, "2.0.0", "Ok");
}

static bool
check_vrfy(struct running_command *running)
{
	return running->argument.length > 0 || refuse(running->session, 501, "5.5.4", "an address is needed");
}

/* RFC 5321 3.5.3: neither yes nor no; an address is checked at RCPT. */
static void
proceed_vrfy(struct running_command *running)
{
	session_reply_text(running->session, 252, "2.0.0", "cannot verify; RCPT will tell");
}

static void
proceed_help(struct running_command *running)
{
	session_reply_text(running->session, 214, "2.0.0", "commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n"
	    "see RFC 5321");
}

static void
proceed_quit(struct running_command *running)
{
	struct session *session = running->session;

	reset_transaction(session);
	session_reply_text(session, 221, "2.0.0", "%s closing connection", session->front->config->hostname);
	session_end(session);
}

static void
proceed_not_here(struct running_command *running)
{
	session_reply_text(running->session, 502, "5.5.1", "command not implemented");
}

static bool
takes_no_argument(struct running_command *running)
{
	return running->argument.length == 0 || refuse(running->session, 501, "5.5.4", "this command takes no argument");
}

static const struct command_row rows[] = {
	{COMMAND_EHLO, ENDS_GROUP | IS_IDLE, STAGE_HELO, check_hello, proceed_ehlo},
	{COMMAND_HELO, ENDS_GROUP | IS_IDLE, STAGE_HELO, check_hello, proceed_helo},
	{COMMAND_MAIL, NEEDS_HELLO | NEEDS_NO_TRANSACTION, STAGE_MAIL, check_mail, proceed_mail},
	{COMMAND_RCPT, NEEDS_TRANSACTION | NEEDS_NO_CHUNKS, STAGE_RCPT, check_rcpt, proceed_rcpt},
	{COMMAND_DATA, NEEDS_TRANSACTION | NEEDS_RECIPIENT | NEEDS_NO_CHUNKS | ENDS_GROUP, STAGE_DATA, takes_no_argument, proceed_data},
	{COMMAND_BDAT, 0, -1, check_bdat, proceed_bdat},
	{COMMAND_RSET, IS_IDLE, -1, takes_no_argument, proceed_rset},
	{COMMAND_NOOP, IS_IDLE, -1, NULL, proceed_noop},
	{COMMAND_VRFY, IS_IDLE, -1, check_vrfy, proceed_vrfy},
	{COMMAND_HELP, IS_IDLE, -1, NULL, proceed_help},
	{COMMAND_QUIT, 0, -1, takes_no_argument, proceed_quit},
	{COMMAND_EXPN, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_ETRN, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_TURN, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_STARTTLS, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_AUTH, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_XCLIENT, IS_IDLE, -1, NULL, proceed_not_here},
	{COMMAND_XFORWARD, IS_IDLE, -1, NULL, proceed_not_here},
};

static const struct command_row *
row_of(enum command_verb verb)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].verb == verb)
			return &rows[i];
	return NULL;
}

/* --- the way through a row --- */

static bool
rules_hold(struct session *session, const struct command_row *row, bool more_input)
{
	const struct transaction *transaction = session->transaction;

	if ((row->rules & ENDS_GROUP) != 0 && more_input) {
		session_reply_text(session, 554, "5.5.0", "SMTP protocol synchronization: wait for the reply to %s", command_verb_text(row->verb));
		session_end(session);
		return false;
	}
	if ((row->rules & NEEDS_HELLO) != 0 && session->helo == NULL)
		return refuse(session, 503, "5.5.1", "EHLO or HELO first");
	if ((row->rules & NEEDS_NO_TRANSACTION) != 0 && transaction != NULL)
		return refuse(session, 503, "5.5.1", "a transaction is under way already");
	if ((row->rules & NEEDS_TRANSACTION) != 0 && transaction == NULL)
		return refuse(session, 503, "5.5.1", "MAIL first");
	if ((row->rules & NEEDS_NO_CHUNKS) != 0 && transaction != NULL && transaction->chunking)
		return refuse(session, 503, "5.5.1", "a BDAT message is under way: BDAT or RSET");
	if ((row->rules & NEEDS_RECIPIENT) != 0 && (transaction == NULL || transaction->envelope.recipient_count == 0))
		return refuse(session, 554, "5.5.1", "no valid recipients");
	return true;
}

static bool
idle_limit_holds(struct session *session, const struct command_row *row)
{
	if ((row->rules & IS_IDLE) == 0 || ++session->idle_commands <= session->front->config->limits.commands)
		return true;
	session_reply_text(session, 421, "4.7.0", "%s Error: too many commands without a message", session->front->config->hostname);
	return false;
}

/* Filters of this stage. Those we have judge whole messages; what can be said before is that too many are being judged already. */
static bool
filters_agree(struct session *session, const struct command_row *row)
{
	struct reply reply = {0};

	if (row->stage != STAGE_DATA || !chain_is_crowded(session->front->chain))
		return true;
	reply_set(&reply, 451, "4.3.2", "%s", "too many messages wait for the filters, try again later");
	record_set(&session->transaction->record.reason, reply.text);
	transaction_finish(session->transaction, &reply, RECORD_TEMPFAILED);
	reply_clear(&reply);
	return false;
}

static void
run_row(struct session *session, const struct command_row *row, struct span argument)
{
	struct running_command running = {.session = session, .argument = argument};

	if ((row->check == NULL || row->check(&running)) && filters_agree(session, row))
		row->proceed(&running);
	mail_arguments_clear(&running.mail);
	rcpt_arguments_clear(&running.rcpt);
}

void
session_command(struct session *session, struct span line, bool more_input)
{
	struct command command = command_parse(line);
	const struct command_row *row = row_of(command.verb);

	record_event(session_record(session), session->front->clock, RECORD_EVENT_COMMAND, "%.*s", (int)line.length, line.at);
	if (row == NULL) {
		if (command_is_foreign_protocol(line)) {
			session_reply_text(session, 554, "5.5.1", "this is a mail server");
			session_end(session);
		} else if (idle_limit_holds(session, &(struct command_row){.rules = IS_IDLE})) {
			session_reply_text(session, 500, "5.5.1", "command unknown");
		}
		return;
	}
	if (rules_hold(session, row, more_input) && idle_limit_holds(session, row))
		run_row(session, row, command.argument);
}
