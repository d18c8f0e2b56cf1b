/* Command lines and arguments: what is understood, and which reply each mistake gets. */
#include "suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mail/command.h"

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define E_ACUTE "\xc3\xa9"

static const struct command_offer everything = {.size = true, .eight_bit_mime = true, .smtputf8 = true, .dsn = true};

START_TEST(lines)
{
	static const struct {
		const char *line;
		enum command_verb verb;
		const char *word, *argument;
	} rows[] = {
		{"QUIT", COMMAND_QUIT, "QUIT", ""},
		{"quit", COMMAND_QUIT, "quit", ""},
		{"QuIt  ", COMMAND_QUIT, "QuIt", ""},
		{"EHLO a.example", COMMAND_EHLO, "EHLO", "a.example"},
		{"MAIL \t FROM:<a@b>  SIZE=1 \t", COMMAND_MAIL, "MAIL", "FROM:<a@b>  SIZE=1"},
		{"STARTTLS", COMMAND_STARTTLS, "STARTTLS", ""},
		{"XFORWARD NAME=x", COMMAND_XFORWARD, "XFORWARD", "NAME=x"},
		{"QUITE", COMMAND_UNKNOWN, "QUITE", ""},
		{"QUI", COMMAND_UNKNOWN, "QUI", ""},
		{"", COMMAND_UNKNOWN, "", ""},
		{" QUIT", COMMAND_UNKNOWN, "", "QUIT"},
		{"QUIT\r", COMMAND_UNKNOWN, "QUIT\r", ""},
		{"\xff\xfe x", COMMAND_UNKNOWN, "\xff\xfe", "x"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct command command = command_parse(span_of(rows[i].line));
		ck_assert_msg(command.verb == rows[i].verb, "%s: %s", rows[i].line, command_verb_text(command.verb));
		ck_assert_msg(span_is(command.word, rows[i].word), "%s: %.*s", rows[i].line, (int)command.word.length, command.word.at);
		ck_assert_msg(span_is(command.argument, rows[i].argument), "%s: %.*s", rows[i].line, (int)command.argument.length,
		    command.argument.at);
	}
	ck_assert_int_eq(command_parse(span_make("QUIT\0", 5)).verb, COMMAND_UNKNOWN);
	ck_assert_str_eq(command_verb_text(COMMAND_BDAT), "BDAT");
}
END_TEST

START_TEST(foreign_protocols)
{
	static const char *const foreign[] = {"GET / HTTP/1.1", "GET", "get / HTTP/1.0", "POST /x", "CONNECT mx.example:25 HTTP/1.1",
	    "PUT /", "HEAD /", "OPTIONS *", "DELETE /x", "PRI * HTTP/2.0", "BREW /pot HTTP/1.1", "INVITE sip:a@b.example SIP/2.0",
	    "Host: mx.example", "user-agent: x", "Content-Length:", "Subject: hello", "SSH-2.0-OpenSSH_9", "\x16\x03\x01\x02", "\x16\x03",
	    "\x80\x2e\x01\x03"};
	static const char *const ours[] = {"", "QUIT", "EHLO a.example", "MAIL FROM:<a@b>", "MAIL FROM: <a@b>", "MAIL: x", "MAILFROM:<a@b>",
	    "GETTING", "NOOP Host: x", "VRFY a: b", "\x16", "\xc3\xa9", "AUTH PLAIN x", ": x", "HTTP/1.1", "dGVzdA=="};

	for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
		ck_assert_msg(command_is_foreign_protocol(span_of(foreign[i])), "%s", foreign[i]);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		ck_assert_msg(!command_is_foreign_protocol(span_of(ours[i])), "%s", ours[i]);
}
END_TEST

/* One line for all that was understood, so that the rows read as pairs. */
static void
mail_show(const struct mail_arguments *mail, char *text, size_t size)
{
	char declared[32] = "";

	if (mail->size_declared)
		snprintf(declared, sizeof declared, " size=%" PRIu64, mail->size);
	snprintf(text, size, "%s@%s%s%s%s%s%s%s%s", mail->sender.local_part, mail->sender.domain, mail->body == BODY_8BITMIME ? " 8bit" : "",
	    mail->smtputf8 ? " utf8" : "", declared, mail->ret ? " ret=" : "", mail->ret ? mail->ret : "",
	    mail->envelope_id ? " envid=" : "", mail->envelope_id ? mail->envelope_id : "");
}

START_TEST(mail_accepted)
{
	static const char *const rows[][2] = {
		{"FROM:<>", "@"},
		{"FROM:<a@b.example>", "a@b.example"},
		{"from:<a@b.example>", "a@b.example"},
		{"FROM:<@r.example:a@b.example>", "a@b.example"},
		{"FROM:<a@b> SIZE=0", "a@b size=0"},
		{"FROM:<a@b> SIZE=18446744073709551615", "a@b size=18446744073709551615"},
		{"FROM:<a@b> SIZE=00000000000000000012", "a@b size=12"},
		{"FROM:<a@b> BODY=7BIT", "a@b"},
		{"FROM:<a@b> body=8bitmime   size=7", "a@b 8bit size=7"},
		{"FROM:<a@b> RET=hdrs ENVID=QQ314159", "a@b ret=HDRS envid=QQ314159"},
		{"FROM:<a@b> RET=FULL", "a@b ret=FULL"},
		{"FROM:<a@b> ENVID=a+2Bb+3Dc+20d", "a@b envid=a+2Bb+3Dc+20d"},
		{"FROM:<a@b> ENVID=" X100, "a@b envid=" X100},
		{"FROM:<a@b> SMTPUTF8", "a@b utf8"},
		{"FROM:<> SMTPUTF8", "@ utf8"},
		{"FROM:<" E_ACUTE "@b> SMTPUTF8 BODY=8BITMIME", E_ACUTE "@b 8bit utf8"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct mail_arguments mail;
		struct command_error error;
		char text[1024];
		ck_assert_msg(command_parse_mail(span_of(rows[i][0]), &everything, &mail, &error), "%s: %d %s", rows[i][0], error.code, error.text);
		mail_show(&mail, text, sizeof text);
		ck_assert_str_eq(text, rows[i][1]);
		mail_arguments_clear(&mail);
	}
}
END_TEST

struct refusal {
	const char *argument;
	int code;
	const char *enhanced;
};

static void
check_refusal(const struct refusal *row, bool accepted, const struct command_error *error)
{
	ck_assert_msg(!accepted, "%s was accepted", row->argument);
	ck_assert_msg(error->code == row->code && strcmp(error->enhanced, row->enhanced) == 0 && error->text[0] != '\0', "%s: %d %s %s",
	    row->argument, error->code, error->enhanced, error->text);
}

START_TEST(mail_refused)
{
	static const struct refusal rows[] = {
		{"", 501, "5.5.4"},
		{"<a@b>", 501, "5.5.4"},
		{"TO:<a@b>", 501, "5.5.4"},
		{"FROM <a@b>", 501, "5.5.4"},
		{"FROM :<a@b>", 501, "5.5.4"},
		{"FROM: <a@b>", 501, "5.5.4"},
		{"FROM:", 501, "5.1.7"},
		{"FROM:a@b", 501, "5.1.7"},
		{"FROM:<a@b", 501, "5.1.7"},
		{"FROM:<a>", 501, "5.1.7"},
		{"FROM:<postmaster>", 501, "5.1.7"},
		{"FROM:<a..b@c>", 501, "5.1.7"},
		{"FROM:<a@b\x01>", 501, "5.1.7"},
		{"FROM:<\xe9@b> SMTPUTF8", 501, "5.1.7"},
		{"FROM:<a@b>SIZE=1", 501, "5.5.4"},
		{"FROM:<a@b>\tSIZE=1", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=1\tBODY=7BIT", 501, "5.5.4"},
		{"FROM:<" E_ACUTE "@b>", 553, "5.6.7"},
		{"FROM:<@" E_ACUTE ":a@b>", 553, "5.6.7"},
		{"FROM:<a@b> SIZE", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=-1", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=1k", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=000000000000000000001", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=18446744073709551616", 552, "5.3.4"},
		{"FROM:<a@b> SIZE=99999999999999999999", 552, "5.3.4"},
		{"FROM:<a@b> SIZE=1 SIZE=1", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=1 size=2", 501, "5.5.4"},
		{"FROM:<a@b> BODY", 501, "5.5.4"},
		{"FROM:<a@b> BODY=BINARYMIME", 501, "5.5.4"},
		{"FROM:<a@b> BODY=9BIT", 501, "5.5.4"},
		{"FROM:<a@b> SMTPUTF8=", 501, "5.5.4"},
		{"FROM:<a@b> SMTPUTF8=yes", 501, "5.5.4"},
		{"FROM:<a@b> SMTPUTF8 SMTPUTF8", 501, "5.5.4"},
		{"FROM:<a@b> RET=ALL", 501, "5.5.4"},
		{"FROM:<a@b> RET", 501, "5.5.4"},
		{"FROM:<a@b> ENVID", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a=b", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+4", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+2b", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+0D+0A", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+E9", 501, "5.5.4"},
		{"FROM:<a@b> SMTPUTF8 ENVID=" E_ACUTE, 501, "5.5.4"},
		{"FROM:<a@b> ENVID=x" X100, 501, "5.5.4"},
		{"FROM:<a@b> =x", 501, "5.5.4"},
		{"FROM:<a@b> S!ZE=1", 501, "5.5.4"},
		{"FROM:<a@b> X=a\x01", 501, "5.5.4"},
		{"FROM:<a@b> -X=a", 501, "5.5.4"},
		{"FROM:<a@b> X-NEW=1", 555, "5.5.4"},
		{"FROM:<a@b> AUTH=<>", 555, "5.5.4"},
		{"FROM:<a@b> NOTIFY=NEVER", 555, "5.5.4"},
		{"FROM:<a@b> <c@d>", 501, "5.5.4"},
		/* what the good parameters before the bad one allocated is freed (the leak checker looks) */
		{"FROM:<a@b> ENVID=x RET=FULL SIZE=x", 501, "5.5.4"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct mail_arguments mail;
		struct command_error error = {0, NULL, NULL};
		bool accepted = command_parse_mail(span_of(rows[i].argument), &everything, &mail, &error);
		check_refusal(&rows[i], accepted, &error);
		mail_arguments_clear(&mail);
	}
}
END_TEST

START_TEST(nul_is_refused)
{
	static const struct span rows[] = {
		{"FROM:<a@b>\0", 11}, {"FROM:<a@b> \0", 12}, {"FROM:<a@b> SIZE=1\0", 18}, {"FROM:\0<a@b>", 11}, {"FROM:<a@b> ENVID=a\0b", 20},
		{"FROM:<a@b> SIZE\0=1", 18},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct mail_arguments mail;
		struct command_error error;
		ck_assert_msg(!command_parse_mail(rows[i], &everything, &mail, &error), "row %zu", i);
		ck_assert_int_eq(error.code, 501);
		mail_arguments_clear(&mail);
	}
}
END_TEST

START_TEST(parameters_not_offered)
{
	static const char *const rows[] = {"FROM:<a@b> SIZE=1", "FROM:<a@b> BODY=7BIT", "FROM:<a@b> SMTPUTF8", "FROM:<a@b> RET=FULL",
	    "FROM:<a@b> ENVID=x"};
	struct command_offer nothing = {0};
	struct mail_arguments mail;
	struct rcpt_arguments rcpt;
	struct command_error error;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ck_assert(!command_parse_mail(span_of(rows[i]), &nothing, &mail, &error));
		ck_assert_int_eq(error.code, 555);
		mail_arguments_clear(&mail);
	}
	ck_assert(!command_parse_rcpt(span_of("TO:<a@b> NOTIFY=NEVER"), &nothing, false, &rcpt, &error));
	ck_assert_int_eq(error.code, 555);
	rcpt_arguments_clear(&rcpt);
	ck_assert(command_parse_mail(span_of("FROM:<a@b>"), &nothing, &mail, &error));
	mail_arguments_clear(&mail);
}
END_TEST

START_TEST(lenient_addresses)
{
	static const char *const rows[][2] = {
		{"FROM:a@b", "a@b"},
		{"FROM: a@b", "a@b"},
		{"FROM: <a@b> SIZE=1", "a@b size=1"},
		{"FROM:\t <a@b>", "a@b"},
		{"FROM:a@b SIZE=1", "a@b size=1"},
		{"FROM: <>", "@"},
		{"FROM:<a..b@c_d>", "a..b@c_d"},
	};
	struct command_offer lenient = everything;
	struct mail_arguments mail;
	struct rcpt_arguments rcpt;
	struct command_error error;
	char text[256];

	lenient.lenient_addresses = true;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ck_assert_msg(command_parse_mail(span_of(rows[i][0]), &lenient, &mail, &error), "%s", rows[i][0]);
		mail_show(&mail, text, sizeof text);
		ck_assert_str_eq(text, rows[i][1]);
		mail_arguments_clear(&mail);
	}
	/* nothing at all is not the null sender */
	ck_assert(!command_parse_mail(span_of("FROM:"), &lenient, &mail, &error));
	ck_assert(!command_parse_mail(span_of("FROM: "), &lenient, &mail, &error));
	ck_assert(!command_parse_mail(span_of("FROM:SIZE=1"), &lenient, &mail, &error));
	ck_assert(command_parse_rcpt(span_of("TO: postmaster NOTIFY=NEVER"), &lenient, false, &rcpt, &error));
	rcpt_arguments_clear(&rcpt);
	/* the odd ones only as senders */
	ck_assert(!command_parse_rcpt(span_of("TO:<a..b@c>"), &lenient, false, &rcpt, &error));
}
END_TEST

START_TEST(rcpt_accepted)
{
	static const struct {
		const char *argument;
		bool smtputf8;
		const char *local_part, *domain;
		unsigned notify;
		const char *original_recipient;
	} rows[] = {
		{"TO:<a@b.example>", false, "a", "b.example", NOTIFY_UNSET, NULL},
		{"to:<Postmaster>", false, "Postmaster", "", NOTIFY_UNSET, NULL},
		{"TO:<a@b> NOTIFY=NEVER", false, "a", "b", NOTIFY_NEVER, NULL},
		{"TO:<a@b> NOTIFY=success,DELAY", false, "a", "b", NOTIFY_SUCCESS | NOTIFY_DELAY, NULL},
		{"TO:<a@b> NOTIFY=FAILURE ORCPT=rfc822;A+2BB@c.example", false, "a", "b", NOTIFY_FAILURE, "rfc822;A+2BB@c.example"},
		{"TO:<a@b> ORCPT=x-new;a;b+20c", false, "a", "b", NOTIFY_UNSET, "x-new;a;b+20c"},
		{"TO:<a@b> ORCPT=utf-8;x\\x{E9}@b", false, "a", "b", NOTIFY_UNSET, "utf-8;x\\x{E9}@b"},
		{"TO:<a@b> ORCPT=UTF-8;" E_ACUTE "@b", true, "a", "b", NOTIFY_UNSET, "UTF-8;" E_ACUTE "@b"},
		{"TO:<" E_ACUTE "@b>", true, E_ACUTE, "b", NOTIFY_UNSET, NULL},
		{"TO:<a@b> ORCPT=rfc822;" X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxx", false, "a", "b", NOTIFY_UNSET,
		    "rfc822;" X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxx"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rcpt_arguments rcpt;
		struct command_error error;
		ck_assert_msg(command_parse_rcpt(span_of(rows[i].argument), &everything, rows[i].smtputf8, &rcpt, &error), "%s: %d %s",
		    rows[i].argument, error.code, error.text);
		ck_assert_str_eq(rcpt.recipient.local_part, rows[i].local_part);
		ck_assert_str_eq(rcpt.recipient.domain, rows[i].domain);
		ck_assert_uint_eq(rcpt.notify, rows[i].notify);
		ck_assert_pstr_eq(rcpt.original_recipient, rows[i].original_recipient);
		rcpt_arguments_clear(&rcpt);
	}
}
END_TEST

START_TEST(rcpt_refused)
{
	static const struct refusal rows[] = {
		{"", 501, "5.5.4"},
		{"FROM:<a@b>", 501, "5.5.4"},
		{"TO: <a@b>", 501, "5.5.4"},
		{"TO:<>", 501, "5.1.3"},
		{"TO:", 501, "5.1.3"},
		{"TO:a@b", 501, "5.1.3"},
		{"TO:<a>", 501, "5.1.3"},
		{"TO:<a@b>,<c@d>", 501, "5.5.4"},
		{"TO:<" E_ACUTE "@b>", 553, "5.6.7"},
		{"TO:<a@b> NOTIFY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=NEVER,DELAY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=NEVER,NEVER", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=SUCCESS,", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=,SUCCESS", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=SUCCESS,,DELAY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=SUCCESS;DELAY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=SOMETIMES", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", 501, "5.5.4"},
		{"TO:<a@b> ORCPT", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=a@b", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=;a@b", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc.822;a@b", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;a+b@c", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;a+0Ab@c", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;" E_ACUTE "@c", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=utf-8;" E_ACUTE "@c", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;" X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 "xxxx", 501, "5.5.4"},
		{"TO:<a@b> SIZE=1", 555, "5.5.4"},
		{"TO:<a@b> RRVS=2020-01-01T00:00:00Z", 555, "5.5.4"},
	};
	struct rcpt_arguments rcpt;
	struct command_error error;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool accepted = command_parse_rcpt(span_of(rows[i].argument), &everything, false, &rcpt, &error);
		check_refusal(&rows[i], accepted, &error);
		rcpt_arguments_clear(&rcpt);
	}
	ck_assert(!command_parse_rcpt(span_of("TO:<a@b> ORCPT=utf-8;\xe9@c"), &everything, true, &rcpt, &error));
	rcpt_arguments_clear(&rcpt);
	ck_assert(!command_parse_rcpt(span_of("TO:<a@b> ORCPT=rfc822;" E_ACUTE "@c"), &everything, true, &rcpt, &error));
	rcpt_arguments_clear(&rcpt);
}
END_TEST

START_TEST(bdat)
{
	static const struct {
		const char *argument;
		bool valid;
		uint64_t size;
		bool last;
	} rows[] = {
		{"0", true, 0, false},
		{"0 LAST", true, 0, true},
		{"86 last", true, 86, true},
		{"86   LAST", true, 86, true},
		{"18446744073709551615", true, UINT64_MAX, false},
		{"18446744073709551616", false, 0, false},
		{"", false, 0, false},
		{"LAST", false, 0, false},
		{"-1", false, 0, false},
		{"+1", false, 0, false},
		{"1x", false, 0, false},
		{"0x10", false, 0, false},
		{"1 LASTER", false, 0, false},
		{"1 LAST LAST", false, 0, false},
		{"1 2", false, 0, false},
		{"1,LAST", false, 0, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t size;
		bool last;
		bool valid = command_parse_bdat(span_of(rows[i].argument), &size, &last);
		ck_assert_msg(valid == rows[i].valid, "%s", rows[i].argument);
		if (valid) {
			ck_assert_uint_eq(size, rows[i].size);
			ck_assert_int_eq(last, rows[i].last);
		}
	}
}
END_TEST

START_TEST(hello)
{
	static const char *const accepted[] = {"a.example", "localhost", "my_pc", "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a.example."};
	static const char *const refused[] = {"", ".", "[", "[]", "[192.0.2.1", "a b", "a.example x", "a..b", "-a", "a\x01",
	    "<a>", "a@b", "a.example..", "caf" E_ACUTE ".example", "x;y"};

	for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
		ck_assert_msg(command_parse_hello(span_of(accepted[i]), false), "%s", accepted[i]);
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		ck_assert_msg(!command_parse_hello(span_of(refused[i]), false), "%s", refused[i]);
	ck_assert(command_parse_hello(span_of("caf" E_ACUTE ".example"), true));
	static const char *const harmless[] = {"My Computer", "host:25", "WIN-ABC$"};
	static const char *const harmful[] = {"", "x) by evil.example (y", "<script>", "a;b", "caf" E_ACUTE " bar", "a\tb", "a\"b", "a\\b", "[x"};
	for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
		ck_assert_msg(command_hello_is_harmless(span_of(harmless[i])), "%s", harmless[i]);
	for (size_t i = 0; i < sizeof harmful / sizeof harmful[0]; i++)
		ck_assert_msg(!command_hello_is_harmless(span_of(harmful[i])), "%s", harmful[i]);
}
END_TEST

SUITE_MAIN("mail/command", lines, foreign_protocols, mail_accepted, mail_refused, nul_is_refused, parameters_not_offered, lenient_addresses,
    rcpt_accepted, rcpt_refused, bdat, hello)
