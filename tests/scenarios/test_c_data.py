"""DATA (RFC 5321 4.5.2, 2.3.8): exactly one message or none arrives, byte for byte, whatever the line ends are meant to hide."""

import random
import time

import pytest

from client import Client, message, stuff
from gateway import wait_until

STANDING = {"limits": {"errors": 1000, "header_bytes": "4K", "header_count": 60, "line_length": 2000, "message_size": "1M"},
            "line_ends_exceptions": ["127.0.0.9/32"]}


def received(backend, count=1):
    """The messages the backend took, which must be so many."""
    assert len(backend.messages) == count, [m.data for m in backend.messages]
    return [m.data for m in backend.messages]


def data(client, wire, sender="a@sender.example"):
    """Says DATA and exactly these bytes; returns the reply."""
    client.mail(sender)
    client.expect("DATA", 354)
    client.raw(wire)
    return client.reply()


@pytest.mark.parametrize("body", [b".\r\n", b"..\r\n", b".x\r\n..x\r\n...\r\n", b"x\r\n.\r\n.\r\n", b"a.\r\n.a\r\n", b"", b"\r\n\r\n\r\n", b". \r\n"])
def test_dots_at_line_starts_survive(standing, body):
    original = b"Subject: dots\r\n\r\n" + body
    assert data(standing.connect(), stuff(original) + b".\r\n").code == 250
    assert received(standing.backend)[0].endswith(original)


def test_an_empty_message_is_a_message(standing):
    assert data(standing.connect(), b".\r\n").code == 250
    assert received(standing.backend)[0].startswith(b"Return-Path: <a@sender.example>\r\nReceived: ")


# Each stands where a careless server would see the end of a message. What follows it are smuggled commands.
SMUGGLED = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<u@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n"
ENDS = {name: end for name, end in [
    ("LF.LF", b"\n.\n"), ("LF.CRLF", b"\n.\r\n"), ("CR.CR", b"\r.\r"), ("CR.LF", b"\r.\n"), ("CR.CRLF", b"\r.\r\n"), ("CRLF.LF", b"\r\n.\n"),
    ("CRLF.CR", b"\r\n.\r"), ("LF.CR", b"\n.\r"), ("LFCR.LFCR", b"\n\r.\n\r"), ("CRLF.CRCRLF", b"\r\n.\r\r\n"), ("CRCRLF.CRLF", b"\r\r\n.\r\r\n"),
    ("CRLF.NUL.CRLF", b"\r\n.\0\r\n"), ("CRLF.NULCRLF.CRLF", b"\r\n\0.\r\n"), ("CRLFLF.CRLF", b"\r\n\n.\r\n"), ("CR alone", b"\r"), ("LF alone", b"\n"),
    ("NUL alone", b"\0")]}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_is_smuggled(standing, end):
    client = standing.connect()
    reply = data(client, b"Subject: outer\r\n\r\ntext" + end + SMUGGLED + b".\r\n")
    assert reply.code == 550 and reply.enhanced in ("5.5.2", "5.6.0") and reply.queue_id, reply
    assert client.expect("NOOP", 250)
    assert client.send(message("next")).code == 250
    assert b"Subject: next" in received(standing.backend)[0]


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_is_smuggled_however_the_bytes_are_split(standing, end):
    client = standing.connect()
    client.mail()
    client.expect("DATA", 354)
    for byte in b"Subject: o\r\n\r\nx" + end:
        client.raw(bytes([byte]))
    client.raw(SMUGGLED)
    client.raw(b".\r")
    client.raw(b"\n")
    assert client.reply().code == 550
    assert client.expect("NOOP", 250)
    received(standing.backend, 0)


@pytest.mark.parametrize("end", [e for n, e in ENDS.items()], ids=ENDS.keys())
def test_excepted_clients_are_normalised_and_still_nothing_is_smuggled(standing, end):
    client = standing.connect(source="127.0.0.9")
    assert data(client, b"Subject: outer\r\n\r\ntext" + end + SMUGGLED + b".\r\n").code == 250
    assert client.expect("NOOP", 250)
    [taken] = received(standing.backend)
    assert taken.endswith(b"Subject: smuggled\r\n\r\nevil\r\n")
    assert b"\0" not in taken and taken.count(b"\r") == taken.count(b"\n") == taken.count(b"\r\n")


def test_normalise_for_all(gateway_factory, backend):
    client = Client(gateway_factory(backend, line_ends="normalise").port)
    client.greet()
    assert data(client, b"Subject: one\nX-Two: 2\r\n\ncr\rlf\ncrlf\r\n.\r\n").code == 250
    assert received(backend)[0].endswith(b"Subject: one\r\nX-Two: 2\r\n\r\ncr\r\nlf\r\ncrlf\r\n")


@pytest.mark.parametrize("line", [b"From a@b.example Sat Nov 21 20:15:04 2026\r\n", b"From \r\n", b">From a@b.example\r\n", b"from a@b.example\r\n"])
def test_only_an_mbox_line_at_the_very_start_is_removed(standing, line):
    rest = b"Subject: mbox\r\n\r\nFrom here on\r\n"
    assert data(standing.connect(), line + rest + b".\r\n").code == 250
    [taken] = received(standing.backend)
    assert taken.endswith(b"\r\n" + (b"" if line.startswith(b"From ") else line) + rest)
    assert (line in taken) != line.startswith(b"From ")


def test_return_path_fields_are_removed_wherever_they_stand(standing):
    headers = b"Return-Path: <x@x.example>\r\nReceived: from a by b; date\r\nRETURN-PATH:\r\n <y@y.example>\r\nSubject: s\r\nReturn-Path : <z@z.example>\r\n"
    assert data(standing.connect(), headers + b"\r\nReturn-Path: <body@x.example>\r\n.\r\n").code == 250
    [taken] = received(standing.backend)
    head, body = taken.split(b"\r\n\r\n", 1)
    assert head.lower().count(b"return-path") == 1 and head.startswith(b"Return-Path: <a@sender.example>\r\nReceived: from client.example")
    assert body == b"Return-Path: <body@x.example>\r\n"
    assert head.endswith(b"Received: from a by b; date\r\nSubject: s")


def test_the_null_sender_is_stamped_as_such(standing):
    assert data(standing.connect(), b"Subject: bounce\r\n\r\nx\r\n.\r\n", sender="").code == 250
    assert received(standing.backend)[0].startswith(b"Return-Path: <>\r\n")


def test_received_names_the_recipient_only_when_there_is_one(standing):
    client = standing.connect()
    client.mail(recipients=("u@example.org", "v@example.org"))
    assert client.data(message("two")).code == 250
    stamp = received(standing.backend)[0].split(b"\r\nFrom: ")[0]
    assert b"for <" not in stamp and b"with ESMTP id" in stamp


def test_received_says_utf8(standing):
    wait_until(lambda: "SMTPUTF8" in standing.connect(greet=False).greet_offers(), what="SMTPUTF8 offered")
    client = standing.connect()
    client.mail("\u00e4@sender.example", ("\u00fc@example.org",), parameters=" SMTPUTF8 BODY=8BITMIME")
    assert client.data("Subject: \u00e4\r\n\r\n\u00fc\r\n".encode()).code == 250
    [taken] = received(standing.backend)
    assert b"with UTF8SMTP id" in taken and "Return-Path: <\u00e4@sender.example>".encode() in taken


# --- limits ---


def test_a_line_up_to_the_limit_passes_and_a_longer_one_is_refused(standing):
    client = standing.connect()
    assert client.send(b"Subject: long\r\n\r\n" + b"x" * 2000 + b"\r\n").code == 250
    assert client.send(b"Subject: long\r\n\r\n." + b"x" * 1999 + b"\r\n").code == 250
    reply = client.send(b"Subject: longer\r\n\r\n" + b"x" * 2001 + b"\r\nend\r\n")
    assert (reply.code, reply.enhanced) == (550, "5.5.2")
    received(standing.backend, 2)


@pytest.mark.parametrize("headers,code", [
    (b"".join(b"X-Header-%d: value\r\n" % n for n in range(60)), 250), (b"".join(b"X-Header-%d: value\r\n" % n for n in range(61)), 552),
    (b"X-Long: " + b"y" * 1900 + b"\r\n" + b" " + b"z" * 1900 + b"\r\n", 250), ((b"X-Long: " + b"y" * 1900 + b"\r\n") * 3, 552)])
def test_header_limits(standing, headers, code):
    reply = standing.connect().send(headers + b"\r\nbody\r\n")
    assert (reply.code, reply.enhanced) == (code, "5.3.4" if code == 552 else "2.0.0")
    received(standing.backend, 1 if code == 250 else 0)


@pytest.mark.parametrize("hops,code", [(50, 250), (51, 554)])
def test_a_message_with_too_many_hops_loops(standing, hops, code):
    reply = standing.connect().send(b"Received: from a by b; date\r\n" * hops + b"Subject: loop\r\n\r\nx\r\n")
    assert (reply.code, reply.enhanced) == (code, "5.4.6" if code == 554 else "2.0.0")
    received(standing.backend, 1 if code == 250 else 0)


def test_message_size(standing):
    client = standing.connect()
    assert client.say("MAIL FROM:<a@b.example> SIZE=1048577").code == 552
    assert client.send(message("fits", size=(1 << 20) - 500)).code == 250
    reply = client.send(message("big", size=(1 << 20) + 500))
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    assert client.send(message("small")).code == 250
    received(standing.backend, 2)


# --- bytes ---


@pytest.mark.parametrize("seed", range(6))
def test_any_bytes_but_cr_lf_nul_pass_unchanged(standing, seed):
    chance = random.Random(seed)
    alphabet = [n for n in range(1, 256) if n not in (10, 13)]
    lines = [bytes(chance.choices(alphabet, k=chance.choice((0, 1, 5, 78, 998, 1500)))) for _ in range(chance.randrange(1, 200))]
    lines = [chance.choice((b"", b".", b"..")) + line for line in lines]
    original = b"Subject: random\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"
    assert standing.connect().send(original).code == 250
    assert received(standing.backend)[0].endswith(b"\r\n" + original)


def test_a_header_only_and_a_headerless_message(standing):
    client = standing.connect()
    for original in (b"Subject: no body\r\n", b"\r\nno header\r\n", b"no header at all\r\n", b"Subject no colon\r\nX: y\r\n\r\nz\r\n", b" folded start\r\nA: b\r\n\r\n"):
        assert client.send(original).code == 250
        assert standing.backend.messages[-1].data.endswith(original)


def test_ten_megabytes(gateway_factory, backend):
    client = Client(gateway_factory(backend).port, timeout=60)
    client.greet()
    original = message("large", size=10 << 20)
    assert client.send(original).code == 250
    assert received(backend)[0].endswith(original)


def test_messages_beyond_the_memory_go_through_spool_files(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"message_memory": "64K"})
    client = Client(gateway.port)
    client.greet()
    original = message("spooled", size=3 << 20, headers="Return-Path: <old@sender.example>\r\n")
    assert client.send(original).code == 250
    assert received(backend)[0].endswith(original.replace(b"Return-Path: <old@sender.example>\r\n", b""))


def test_no_room_for_a_message_is_a_452(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"message_memory": "64K", "spool_size": "64K", "message_size": "64K"})
    clients = [Client(gateway.port) for _ in range(5)]
    for client in clients:
        client.greet()
        client.mail()
        client.expect("DATA", 354)
        client.raw(message("large", size=50000))
    time.sleep(0.3)
    replies = [(client.raw(b".\r\n"), client.reply())[1] for client in clients]
    refused = [reply for reply in replies if reply.code != 250]
    assert refused and all((reply.code, reply.enhanced) == (452, "4.3.1") for reply in refused), replies
    assert len(backend.messages) == 5 - len(refused) >= 1
    assert clients[-1].send(message("small")).code == 250
