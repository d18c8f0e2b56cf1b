"""Commands and their replies (RFC 5321 4.1, RFC 2034, RFC 2920): syntax, order, limits, what is offered and what is refused."""

import pytest

from client import Client, Closed, message
from gateway import wait_until

STANDING = {"limits": {"errors": 1000, "commands": 1000}}
AT = {"connected": [], "greeted": ["EHLO client.example"]}
AT["mail"] = [*AT["greeted"], "MAIL FROM:<a@sender.example>"]
AT["rcpt"] = [*AT["mail"], "RCPT TO:<u@example.org>"]
OK, SYNTAX, ORDER, PARAMETER = (250, "2.1.0"), (501, "5.5.4"), (503, "5.5.1"), (555, "5.5.4")

REPLIES = [
    # where, command, code and enhanced code
    ("connected", "EHLO", *SYNTAX), ("connected", "HELO", *SYNTAX), ("connected", "EHLO <bad domain>", *SYNTAX),
    ("connected", "MAIL FROM:<a@b.example>", *ORDER), ("connected", "RCPT TO:<u@example.org>", *ORDER), ("connected", "DATA", *ORDER),
    ("connected", "BDAT 0 LAST", *ORDER), ("connected", "NOOP", 250, "2.0.0"), ("connected", "NOOP anything", 250, "2.0.0"),
    ("connected", "RSET", 250, "2.0.0"), ("connected", "RSET now", *SYNTAX), ("connected", "HELP", 214, "2.0.0"),
    ("connected", "HELP MAIL", 214, "2.0.0"), ("connected", "VRFY u", 252, "2.0.0"), ("connected", "VRFY", *SYNTAX),
    ("connected", "EXPN list", 502, "5.5.1"), ("connected", "ETRN example.org", 502, "5.5.1"), ("connected", "TURN", 502, "5.5.1"),
    ("connected", "STARTTLS", 502, "5.5.1"), ("connected", "AUTH PLAIN AGEAYg==", 502, "5.5.1"),
    ("connected", "XCLIENT ADDR=192.0.2.1", 502, "5.5.1"), ("connected", "XFORWARD ADDR=192.0.2.1", 502, "5.5.1"),
    ("connected", "FROBNICATE", 500, "5.5.1"), ("connected", "", 500, "5.5.1"), ("connected", "noop", 250, "2.0.0"),
    ("greeted", "DATA", *ORDER), ("greeted", "DATA now", *ORDER), ("greeted", "RCPT TO:<u@example.org>", *ORDER),
    ("greeted", "MAIL", *SYNTAX), ("greeted", "MAIL TO:<a@b.example>", *SYNTAX), ("greeted", "MAIL FROM:<a b@c.example>", 501, "5.1.7"),
    ("greeted", "MAIL FROM:<a@>", 501, "5.1.7"), ("greeted", "MAIL FROM:<a@b..example>", 501, "5.1.7"),
    ("greeted", "MAIL FROM:<>", *OK), ("greeted", "mail from:<A@b.example>", *OK), ("greeted", "MAIL FROM:<@x.example,@y.example:a@b.example>", *OK),
    ("greeted", 'MAIL FROM:<"a b\\"c"@b.example>', *OK), ("greeted", "MAIL FROM:<a@[192.0.2.1]>", *OK), ("greeted", "MAIL FROM:<a@[IPv6:2001:db8::1]>", *OK),
    ("greeted", "MAIL FROM: <a@b.example>", *OK), ("greeted", "MAIL FROM:a@b.example", *OK),
    ("greeted", "MAIL FROM:<a@b.example> SIZE=1000", *OK), ("greeted", "MAIL FROM:<a@b.example> SIZE=99999999999", 552, "5.3.4"),
    ("greeted", "MAIL FROM:<a@b.example> SIZE=x", *SYNTAX), ("greeted", "MAIL FROM:<a@b.example> SIZE=1 SIZE=1", *SYNTAX),
    ("greeted", "MAIL FROM:<a@b.example> BODY=8BITMIME", *OK), ("greeted", "MAIL FROM:<a@b.example> BODY=7BIT", *OK),
    ("greeted", "MAIL FROM:<a@b.example> BODY=BINARYMIME", *SYNTAX), ("greeted", "MAIL FROM:<a@b.example> FOO=BAR", *PARAMETER),
    ("greeted", "MAIL FROM:<a@b.example> AUTH=<>", *PARAMETER), ("greeted", "MAIL FROM:<a@b.example> RET=HDRS ENVID=q+3D1", *OK),
    ("greeted", "MAIL FROM:<a@b.example> RET=SOME", *SYNTAX), ("greeted", "MAIL FROM:<\u00e4@b.example>", 553, "5.6.7"),
    ("greeted", "MAIL FROM:<\u00e4@b.example> SMTPUTF8", *OK), ("greeted", "MAIL FROM:<a@b.example> SMTPUTF8=1", *SYNTAX),
    ("mail", "MAIL FROM:<a@b.example>", *ORDER), ("mail", "DATA", 554, "5.5.1"), ("mail", "RCPT", *SYNTAX),
    ("mail", "RCPT TO:<>", 501, "5.1.3"), ("mail", "RCPT TO:<u>", 501, "5.1.3"), ("mail", "RCPT FROM:<u@example.org>", *SYNTAX),
    ("mail", "RCPT TO:<u@example.org>", 250, "2.1.5"), ("mail", "RCPT TO:<U@EXAMPLE.ORG>", 250, "2.1.5"),
    ("mail", "RCPT TO:<postmaster>", 250, "2.1.5"), ("mail", "RCPT TO:<Postmaster>", 250, "2.1.5"),
    ("mail", "RCPT TO:<postmaster@example.net>", 250, "2.1.5"), ("mail", "RCPT TO:<@relay.example:u@example.org>", 250, "2.1.5"),
    ("mail", 'RCPT TO:<"u"@example.org>', 250, "2.1.5"), ("mail", "RCPT TO:<u@elsewhere.example>", 550, "5.7.1"),
    ("mail", "RCPT TO:<u@sub.example.org>", 550, "5.7.1"), ("mail", "RCPT TO:<u@[127.0.0.1]>", 550, "5.7.1"),
    ("mail", "RCPT TO:<u%elsewhere.example@elsewhere.example>", 550, "5.7.1"), ("mail", "RCPT TO:<u@example.org@elsewhere.example>", 501, "5.1.3"),
    ("mail", "RCPT TO:<u@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;u@example.org", 250, "2.1.5"),
    ("mail", "RCPT TO:<u@example.org> NOTIFY=NEVER,DELAY", *SYNTAX), ("mail", "RCPT TO:<u@example.org> ORCPT=u", *SYNTAX),
    ("mail", "RCPT TO:<u@example.org> FOO", *PARAMETER), ("mail", "RCPT TO:<\u00fc@example.org>", 553, "5.6.7"),
    ("rcpt", "MAIL FROM:<a@b.example>", *ORDER), ("rcpt", "DATA now", *SYNTAX), ("rcpt", "RSET", 250, "2.0.0"), ("rcpt", "QUIT", 221, "2.0.0"),
]


@pytest.mark.parametrize("where,command,code,enhanced", REPLIES, ids=[f"{r[0]}-{r[1]}" for r in REPLIES])
def test_each_command_has_its_reply_with_an_enhanced_code(standing, where, command, code, enhanced):
    client = standing.connect(greet=False)
    assert client.reply().code == 220
    for step in AT[where]:
        assert client.say(step).code == 250
    reply = client.say(command)
    assert (reply.code, reply.enhanced) == (code, enhanced), reply
    assert all(line.startswith(enhanced) for line in reply.lines)
    if code != 221:
        client.expect("NOOP", 250)


def test_greeting_ehlo_helo_and_354_stand_as_rfc_2034_wants_them(standing):
    client = standing.connect(greet=False)
    assert client.reply().lines == ["mx.test.example ESMTP postern"]
    assert client.expect("HELO client.example", 250).lines == ["mx.test.example"]
    assert client.say("EHLO [127.0.0.1]").lines[0] == "mx.test.example"
    client.mail()
    assert client.expect("DATA", 354).enhanced == ""


def test_helo_has_no_extensions(standing):
    client = standing.connect(greet=False)
    client.greet(extended=False)
    assert client.say("MAIL FROM:<a@b.example> SIZE=10").code == 555
    assert client.send(message("helo")).code == 250
    assert b" with SMTP id " in standing.backend.messages[0].data


@pytest.mark.parametrize("verb", ["EHLO", "HELO", "RSET"])
def test_a_new_greeting_and_rset_end_the_transaction(standing, verb):
    client = standing.connect()
    client.mail()
    client.expect(verb if verb == "RSET" else verb + " again.example", 250)
    client.expect("RCPT TO:<u@example.org>", 503)
    assert client.send(message("after")).code == 250


def test_the_offer_is_what_all_backends_can_take(gateway_factory, backend_factory):
    able = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 20000000", "ENHANCEDSTATUSCODES")
    gateway = gateway_factory(backend_factory(extensions=able), backend_factory(extensions=("8BITMIME", "SIZE 1000000")))
    offered = wait_until(lambda: (lambda o: o if "1000000" not in o["SIZE"] and "SMTPUTF8" not in o and o["SIZE"] != "SIZE 52428800" else None)(
        offers_of(gateway)), what="both backends learned")
    assert offered["SIZE"] == f"SIZE {1000000 - 65536}"
    assert set(offered) == {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "LIMITS", "HELP"}


def offers_of(gateway):
    with Client(gateway.port) as client:
        return client.greet_offers()


def test_everything_is_offered_when_the_backend_takes_it(standing):
    offered = wait_until(lambda: (lambda o: o if "DSN" in o else None)(offers_of(standing.gateway)), what="DSN offered")
    assert set(offered) == {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS", "HELP"}
    assert offered["SIZE"] == f"SIZE {50 << 20}"
    assert offered["LIMITS"] == "LIMITS RCPTMAX=1000"


def test_unknown_backends_count_as_able_to_do_the_usual(gateway_factory, backend_factory):
    backend = backend_factory()
    backend.close()
    gateway = gateway_factory(backend)
    assert set(offers_of(gateway)) == {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "LIMITS", "HELP"}


# --- limits of a session ---


def limited(gateway_factory, backend, **limits):
    client = Client(gateway_factory(backend, limits=limits).port)
    client.greet()
    return client


def test_too_many_errors_end_the_session(gateway_factory, backend):
    client = limited(gateway_factory, backend, errors=3)
    assert [client.say("FOO").code for _ in range(4)] == [500] * 4
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (421, "4.7.0")
    assert client.is_closed()


def test_too_many_commands_without_a_message_end_the_session(gateway_factory, backend):
    client = limited(gateway_factory, backend, commands=5)
    codes = [client.say("NOOP").code for _ in range(5)]
    assert codes == [250] * 4 + [421]  # the EHLO was the first
    assert client.is_closed()


def test_a_message_forgives_the_commands_before_it(gateway_factory, backend):
    client = limited(gateway_factory, backend, commands=5)
    for number in range(4):
        client.expect("NOOP", 250)
        client.expect("NOOP", 250)
        assert client.send(message(f"n{number}")).code == 250


def test_too_many_messages_in_a_session(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"transactions": 2})
    assert offers_of(gateway)["LIMITS"] == "LIMITS RCPTMAX=1000 MAILMAX=2"
    client = Client(gateway.port)
    client.greet()
    assert [client.send(message(f"n{number}")).code for number in range(2)] == [250, 250]
    assert client.say("MAIL FROM:<a@b.example>").code == 421
    assert client.is_closed()


def test_too_many_recipients_come_in_the_next_transaction(gateway_factory, backend):
    client = limited(gateway_factory, backend, recipients=2)
    client.mail(recipients=("u@example.org", "v@example.org"))
    reply = client.say("RCPT TO:<w@example.org>")
    assert (reply.code, reply.enhanced) == (452, "4.5.3")
    assert client.data(message("two")).code == 250
    assert len(backend.messages[0].recipients) == 2


def test_the_same_recipient_twice_is_one(standing):
    client = standing.connect()
    client.mail(recipients=("u@example.org", "u@example.org", "u@EXAMPLE.org"))
    assert client.data(message("twice")).code == 250
    assert len(standing.backend.messages[0].recipients) == 1


# --- what is no SMTP ---


def test_a_long_command_line_is_refused_and_the_session_goes_on(standing):
    client = standing.connect()
    reply = client.say("NOOP " + "x" * 5000)
    assert (reply.code, reply.enhanced) == (500, "5.5.6")
    client.raw(b"NOOP " + b"y" * (1 << 20))
    client.raw(b"\r\n")
    assert client.reply().code == 500
    assert client.expect("NOOP", 250)


@pytest.mark.parametrize("line", [b"NO\0OP\r\n", b"NOOP\0\r\n", b"NOOP\rRSET\r\n", b"MAIL FROM:<a@b.example>\rRCPT TO:<u@example.org>\r\n", b"NOOP\r\r\n"])
def test_nul_and_bare_cr_in_a_command_are_refused(standing, line):
    client = standing.connect()
    client.raw(line)
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (500, "5.5.2")
    assert client.expect("RCPT TO:<u@example.org>", 503)


def test_a_bare_lf_ends_the_session(standing):
    client = standing.connect()
    client.raw(b"NOOP\nNOOP\r\n")
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (500, "5.5.2")
    with pytest.raises(Closed):
        client.reply()


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: mx.test.example\r\n\r\n", b"POST /x HTTP/1.0\r\nContent-Length: 40\r\n\r\nMAIL FROM:<a@b.example>\r\n",
                                   b"CONNECT mx:25 HTTP/1.1\r\n\r\n", b"Content-Type: text/plain\r\nMAIL FROM:<a@b.example>\r\n",
                                   b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"])
def test_other_protocols_are_hung_up_on_at_their_first_line(standing, first):
    client = standing.connect(greet=False)
    assert client.reply().code == 220
    client.raw(first)
    assert client.reply().code in (500, 554)
    with pytest.raises(Closed):
        for _ in range(4):
            client.reply()
    assert not standing.backend.messages


# --- pipelining ---


def test_a_group_is_answered_in_order(standing):
    client = standing.connect()
    body = message("grouped")
    client.raw("MAIL FROM:<a@b.example>\r\nRCPT TO:<u@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<v@example.net>\r\nDATA\r\n")
    assert [client.reply().code for _ in range(5)] == [250, 250, 550, 250, 354]
    client.raw(body + b".\r\nMAIL FROM:<b@b.example>\r\nRCPT TO:<u@example.org>\r\nRSET\r\nNOOP\r\nQUIT\r\n")
    assert [client.reply().code for _ in range(6)] == [250, 250, 250, 250, 250, 221]
    assert client.is_closed()
    assert standing.backend.messages[0].data.endswith(body)


@pytest.mark.parametrize("group,before", [
    (b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n", []),
    (b"HELO client.example\r\nNOOP\r\n", []),
    (b"DATA\r\nSubject: early\r\n\r\ntext\r\n.\r\n", ["EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<u@example.org>"]),
    (b"DATA\r\nMAIL", ["EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<u@example.org>"]),
])
def test_nothing_may_be_pipelined_behind_a_command_whose_reply_must_be_awaited(standing, group, before):
    client = standing.connect(greet=False)
    client.reply()
    for command in before:
        client.expect(command, 250)
    client.raw(group)
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (554, "5.5.0")
    with pytest.raises(Closed):
        client.reply()
    assert not standing.backend.messages


def test_a_line_in_pieces_is_still_one_line(standing):
    client = standing.connect()
    for byte in b"MAIL FROM:<a@b.example>\r\n":
        client.raw(bytes([byte]))
    assert client.reply().code == 250


@pytest.mark.parametrize("sender", ["a..b@provider.example", ".a@provider.example", "bounce@mail_out.example",
                                    "SRS0=HHHH=TT=a-long-host-name.department.example=a.person.with.a.long.name@forwarder.example"])
def test_senders_the_grammar_does_not_know_are_taken_as_they_are(standing, sender):
    reply = standing.connect().send(message("odd-sender"), sender=sender)
    assert reply.code == 250, reply
    [taken] = standing.backend.messages
    assert taken.sender.startswith(f"FROM:<{sender}>") and taken.data.startswith(f"Return-Path: <{sender}>\r\n".encode())


def test_names_that_real_clients_call_themselves(gateway, backend):
    for name in ("My Computer", "host:25", "WIN-ABC$"):
        with Client(gateway.port) as client:
            client.greet(name)
            assert client.send(message("name")).code == 250
        assert f"Received: from {name.replace(chr(32), chr(63))} (".encode() in backend.messages[-1].data


def test_strict_addresses(gateway_factory, backend):
    client = Client(gateway_factory(backend, strict_addresses=True).port)
    client.reply()
    assert client.say("EHLO My Computer").code == 501
    client.expect("EHLO client.example", 250)
    for sender in ("a@b.example", "<a..b@c.example>", "<a@b_c.example>", f"<{'a' * 65}@b.example>"):
        assert client.say(f"MAIL FROM:{sender}").code == 501
    client.mail()
