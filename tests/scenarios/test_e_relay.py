"""Towards the backend: what its replies become, what happens when it fails at any step and byte, failover, pool, hold, limits."""

import resource
import threading
import time

import pytest

from backend import Close, Delay, Hang, Raw
from client import Client, message
from gateway import free_port, nameserver, wait_until

# Failures of one test must not make the next one skip the backend.
FAST = {"recipient_cache": "0s", "timeouts": {"backend_retry": "1ms", "backend_command": "400ms", "end_of_data": "1500ms", "backend_connect": "400ms",
                                              "backend_wait": "400ms"}}
STANDING = {**FAST, "limits": {"errors": 1000, "commands": 1000}}


def transact(client, body=None, sender="a@sender.example", recipient="u@example.org", parameters=""):
    """MAIL, RCPT, DATA as far as it goes; returns (step, reply) of the first refusal or of the end."""
    for step, command, wanted in (("MAIL", f"MAIL FROM:<{sender}>{parameters}", 250), ("RCPT", f"RCPT TO:<{recipient}>", 250), ("DATA", "DATA", 354)):
        reply = client.say(command)
        if reply.code != wanted:
            client.expect("RSET", 250)
            return step, reply
    client.raw((body or message("relayed")) + b".\r\n")
    return "EOD", client.reply()


# What the backend says -> what the client hears: code, enhanced code. Passed on: 4xx, and 5xx that speak of this mail.
MAPPED = [
    ("connect", "554 5.7.1 go away", 451, "4.3.5"), ("connect", "421 4.3.2 busy", 451, None), ("connect", "450 4.7.1 later", 450, "4.7.1"),
    ("MAIL", "550 5.1.0 sender refused", 550, "5.1.0"), ("MAIL", "552 5.3.4 too big", 552, "5.3.4"), ("MAIL", "451 4.7.1 greylisted", 451, "4.7.1"),
    ("MAIL", "501 5.5.4 syntax", 451, "4.3.5"), ("MAIL", "530 5.7.0 authenticate", 451, "4.3.5"), ("MAIL", "555 5.5.4 parameter", 451, "4.3.5"),
    ("MAIL", "421 4.3.2 closing", 451, None),
    ("RCPT", "550 5.1.1 no such user", 550, "5.1.1"), ("RCPT", "550 no enhanced code", 550, "5.0.0"), ("RCPT", "552 5.2.2 full", 552, "5.2.2"),
    ("RCPT", "550 4.2.2 wrong class", 550, "5.0.0"), ("RCPT", "450 4.2.1 later", 450, "4.2.1"), ("RCPT", "452 4.5.3 enough", 452, "4.5.3"),
    ("RCPT", "500 5.5.2 what", 451, "4.3.5"), ("RCPT", "503 5.5.1 order", 451, "4.3.5"), ("RCPT", "504 5.5.4 no", 451, "4.3.5"),
    ("RCPT", "535 5.7.8 authentication", 451, "4.3.5"), ("RCPT", "538 5.7.11 encrypt", 451, "4.3.5"), ("RCPT", "421 4.7.0 too many errors", 451, None),
    ("RCPT", "354 what for", 451, None), ("MAIL", "354 what for", 451, None),
    ("DATA", "554 5.5.1 no valid recipients", 451, "4.3.5"), ("DATA", "451 4.3.0 not now", 451, "4.3.0"), ("DATA", "250 2.0.0 not a 354", 451, None),
    ("DATA", "421 4.3.2 closing", 451, None),
    ("EOD", "554 5.7.1 spam", 554, "5.7.1"), ("EOD", "552 5.3.4 too big", 552, "5.3.4"), ("EOD", "451 4.3.0 later", 451, "4.3.0"),
    ("EOD", "502 5.5.1 what", 451, "4.3.5"), ("EOD", "421 4.3.2 closing", 451, None), ("EOD", "354 go on", 451, None), ("EOD", "220 hello", 250, "2.0.0"),
]


@pytest.mark.parametrize("moment,said,code,enhanced", MAPPED, ids=[f"{m[0]}-{m[1]}" for m in MAPPED])
def test_a_reply_of_the_backend_becomes_ours(standing, moment, said, code, enhanced):
    standing.backend.rules[moment] = said
    if moment == "connect":
        drop_pool(standing.backend)
    _, reply = transact(standing.connect())
    assert reply.code == code, reply
    assert enhanced in (None, reply.enhanced), reply
    assert reply.enhanced[0] == str(code)[0]
    assert len(standing.backend.messages) <= (1 if code == 250 else 0) or moment == "EOD"
    if moment == "connect":
        settle(standing.backend)


def drop_pool(backend):
    """Closes the connections the gateway keeps, so that the next mail opens one."""
    with backend.lock:
        open_now = list(backend.sockets)
    for each in open_now:
        each.shutdown(2)
    wait_until(lambda: backend.open_connections == 0, what="pool empty")


def settle(backend):
    """A second connection that was refused too may still be on its way to the gateway, and would answer the next mail."""
    backend.rules.clear()
    drop_pool(backend)
    time.sleep(0.1)


def test_hostile_text_of_a_backend_is_made_harmless(standing):
    standing.backend.rules["RCPT"] = Raw(b"550-5.1.1 no\x1b[31m\0 such\xff user\r\n550 5.1.1 " + b"x" * 3000 + b"\r\n")
    _, reply = transact(standing.connect())
    assert (reply.code, reply.enhanced) == (550, "5.1.1")
    assert all(32 <= ord(c) < 127 for line in reply.lines for c in line) and all(len(line) < 508 for line in reply.lines)


GARBAGE = {"text": b"hello\r\n", "changing code": b"250-a\r\n251 b\r\n", "empty": b"\r\n", "999": b"999 x\r\n", "2500": b"2500 x\r\n", "long": b"250-" + b"y" * 8000 + b"\r\n",
           "many lines": b"250-x\r\n" * 200, "TLS": b"\x16\x03\x01\r\n", "HTTP": b"HTTP/1.1 400 Bad Request\r\n"}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("moment", ["connect", "EHLO", "RCPT", "EOD"])
def test_garbage_from_the_backend_is_a_4xx(standing, moment, said):
    standing.backend.rules[moment] = Raw(said)
    if moment in ("connect", "EHLO"):
        drop_pool(standing.backend)
    _, reply = transact(standing.connect())
    assert reply.code == 451, reply


STEPS = {"connect": b"220 backend.example ESMTP\r\n", "EHLO": b"250-backend.example\r\n250 8BITMIME\r\n", "MAIL": b"250 2.1.0 Ok\r\n", "RCPT": b"250 2.1.5 Ok\r\n",
         "DATA": b"354 go ahead\r\n", "EOD": b"250 2.0.0 Ok: stored\r\n"}


@pytest.mark.parametrize("moment", STEPS)
def test_a_backend_that_closes_at_any_byte_of_its_reply(standing, moment):
    client = standing.connect()
    whole = STEPS[moment]
    for length in range(0, len(whole) - 1):
        drop_pool(standing.backend)
        standing.backend.rules[moment] = Close(whole[:length])
        _, reply = transact(client)
        assert reply.code == 451 and reply.enhanced.startswith("4."), (length, reply)
    standing.backend.rules.clear()
    wait_until(lambda: transact(client)[1].code == 250, what="mail flows again")


@pytest.mark.parametrize("moment", STEPS)
def test_a_backend_that_hangs(standing, moment):
    drop_pool(standing.backend)
    standing.backend.rules[moment] = Hang(4)
    began = time.monotonic()
    _, reply = transact(standing.connect())
    assert reply.code == 451, reply
    assert time.monotonic() - began < 3


def test_a_backend_that_is_down_and_comes_back(gateway_factory, backend_factory):
    backend = backend_factory()
    gateway = gateway_factory(backend, **FAST)
    client = Client(gateway.port)
    client.greet()
    assert client.send(message("before")).code == 250
    backend.close()
    assert transact(client)[1].code == 451
    again = backend_factory(port=backend.port)
    wait_until(lambda: transact(client)[1].code == 250, what="mail flows again")
    assert len(again.messages) == 1


def test_a_refusing_backend_is_left_alone_for_a_while(gateway_factory, backend_factory):
    down, up = backend_factory(rules={"connect": "421 4.3.2 no"}), backend_factory()
    gateway = gateway_factory(down, up, recipient_cache="0s", timeouts={"backend_retry": "1s"})
    client = Client(gateway.port)
    client.greet()
    assert transact(client)[1].code == 250
    tries = down.connections
    for _ in range(5):
        assert transact(client)[1].code == 250
    assert down.connections <= tries + 1
    down.rules.clear()
    wait_until(lambda: transact(client)[1].code == 250 and down.messages, 8, 0.2, what="the first backend is probed and used again")
    assert len(up.messages) >= 6


@pytest.mark.parametrize("moment,act", [("connect", Close()), ("EHLO", Close()), ("EHLO", "421 4.3.2 no"), ("MAIL", Close()), ("RCPT", Close()), ("DATA", Close()),
                                        ("MAIL", "451 4.3.2 not now"), ("DATA", "451 4.3.0 not now"), ("RCPT", "421 4.3.2 closing")], ids=str)
def test_failover_before_the_final_dot(gateway_factory, backend_factory, moment, act):
    first, second = backend_factory(rules={moment: act}), backend_factory()
    client = Client(gateway_factory(first, second, **FAST).port)
    client.greet()
    step, reply = transact(client)
    assert (step, reply.code) == ("EOD", 250), reply
    assert (len(first.messages), len(second.messages)) == (0, 1)


@pytest.mark.parametrize("act", [Close(), "451 4.3.0 later", "554 5.7.1 spam", Hang(4)], ids=str)
def test_no_failover_after_the_final_dot(gateway_factory, backend_factory, act):
    first, second = backend_factory(rules={"EOD": act}), backend_factory()
    client = Client(gateway_factory(first, second, **FAST).port)
    client.greet()
    _, reply = transact(client)
    assert reply.code == (554 if act == "554 5.7.1 spam" else 451)
    assert not second.messages


def test_routes_by_domain(gateway_factory, backend_factory):
    org, net = backend_factory(), backend_factory()
    gateway = gateway_factory({"url": org.url, "domains": ["example.org"]}, {"url": net.url, "domains": ["example.net"]})
    client = Client(gateway.port)
    client.greet()
    client.mail()
    reply = client.say("RCPT TO:<u@example.net>")
    assert (reply.code, reply.enhanced) == (452, "4.5.3")
    assert client.data(message("org")).code == 250
    assert client.send(message("net"), recipients=("u@EXAMPLE.NET",)).code == 250
    assert (len(org.messages), len(net.messages)) == (1, 1)


def test_a_backend_that_is_ourselves_is_a_loop(gateway_factory, backend_factory):
    backend = backend_factory(hostname="MX.test.example")
    gateway = gateway_factory(backend, **FAST)
    client = Client(gateway.port)
    client.greet()
    _, reply = transact(client)
    assert (reply.code, reply.enhanced) == (451, "4.4.6")
    wait_until(lambda: "alarm" in gateway.log() and "loop" in gateway.log(), what="an alarm in the log")


def test_a_gateway_behind_itself_does_not_loop(gateway_factory):
    port = free_port()
    gateway = gateway_factory(f"smtp://127.0.0.1:{port}", port=port, **FAST)
    client = Client(port)
    client.greet()
    assert transact(client)[1].code == 451
    assert gateway.status()


# --- kinds of backends ---


def send_one(gateway, subject="kind", **options):
    with Client(gateway.port, **options) as client:
        client.greet()
        return client.send(message(subject))


@pytest.mark.parametrize("lmtp,setting,stamped", [(False, "auto", True), (True, "auto", False), (True, "always", True), (False, "never", False)])
def test_return_path_is_left_to_lmtp_servers_unless_said_otherwise(gateway_factory, backend_factory, lmtp, setting, stamped):
    backend = backend_factory(lmtp=lmtp)
    assert send_one(gateway_factory({"url": backend.url, "return_path": setting})).code == 250
    assert backend.messages[0].data.startswith(b"Return-Path: <a@sender.example>\r\nReceived: " if stamped else b"Received: ")


def test_lmtp_over_a_unix_socket(gateway_factory, backend_factory, tmp_path):
    backend = backend_factory(lmtp=True, path=tmp_path / "lmtp")
    gateway = gateway_factory(backend)
    reply = send_one(gateway)
    assert reply.code == 250 and backend.messages
    assert str(tmp_path / "lmtp") in gateway.trace(reply.queue_id)


def test_a_backend_and_a_listener_on_ipv6(gateway_factory, backend_factory):
    try:
        backend = backend_factory(address="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = free_port()
    gateway = gateway_factory(backend, port=port, listen=[{"address": f"[::1]:{port}"}])
    assert send_one(gateway, host="::1").code == 250
    assert b"(unknown [IPv6:::1])" in backend.messages[0].data


def test_a_backend_named_in_dns(gateway_factory, backend):
    nameserver().add("mail.backend.example", 1, "127.0.0.1")
    gateway = gateway_factory(f"smtp://mail.backend.example:{backend.port}", "smtp://nowhere.backend.example:25")
    assert send_one(gateway).code == 250
    unresolved = gateway_factory("smtp://nowhere.backend.example:25")
    with Client(unresolved.port) as client:
        client.greet()
        _, reply = transact(client)
    assert (reply.code, reply.enhanced) == (451, "4.4.3")


def test_a_chunked_message_for_a_backend_with_and_without_chunking(gateway_factory, backend_factory):
    original = message("chunked", body="..\r\n.\r\n")
    for extensions in (("8BITMIME",), ("8BITMIME", "CHUNKING", "PIPELINING")):
        backend = backend_factory(extensions=extensions)
        with Client(gateway_factory(backend).port) as client:
            client.greet()
            client.mail()
            client.raw(b"BDAT 20\r\n" + original[:20] + b"BDAT %d LAST\r\n" % (len(original) - 20) + original[20:])
            assert [client.reply().code, client.reply().code] == [250, 250]
        assert backend.messages[0].data.endswith(original)


# --- pool ---


def test_connections_are_used_again(standing):
    drop_pool(standing.backend)
    before = standing.backend.connections
    for number in range(20):
        client = standing.connect()
        assert client.send(message(f"n{number}")).code == 250
        client.close()
    assert standing.backend.connections - before <= 2


def test_a_connection_is_retired_after_enough_messages(gateway_factory, backend):
    client = Client(gateway_factory(backend, pool={"messages": 3}).port)
    client.greet()
    for number in range(9):
        assert client.send(message(f"n{number}")).code == 250
    per_connection = [sum(m.connection == c for m in backend.messages) for c in range(1, backend.connections + 1)]
    assert max(per_connection) == 3 and sum(per_connection) == 9
    assert backend.said("QUIT")


def test_a_connection_is_retired_after_refusals(gateway_factory, backend_factory):
    backend = backend_factory(rules={"RCPT": "550 5.1.1 nobody"})
    client = Client(gateway_factory(backend, pool={"refusals": 2}, recipient_cache="0s", limits={"errors": 100}).port)
    client.greet()
    for number in range(6):
        client.expect(f"MAIL FROM:<a{number}@b.example>", 250)
        client.expect("RCPT TO:<u@example.org>", 550)
        client.expect("RSET", 250)
    assert backend.connections >= 3


def test_a_pooled_connection_that_was_closed_meanwhile_costs_nothing(standing):
    client = standing.connect()
    assert client.send(message("one")).code == 250
    drop_pool(standing.backend)
    assert client.send(message("two")).code == 250
    assert len(standing.backend.messages) == 2


# --- recipients ---


def nobody(connection, argument):
    return "550 5.1.1 <nobody>: unknown" if "nobody" in argument else None


def test_an_unknown_recipient_is_refused_at_rcpt(standing):
    standing.backend.rules["RCPT"] = nobody
    client = standing.connect()
    client.expect("MAIL FROM:<a@b.example>", 250)
    reply = client.expect("RCPT TO:<nobody@example.org>", 550)
    assert reply.enhanced == "5.1.1" and "unknown" in reply.text
    client.expect("RCPT TO:<u@example.org>", 250)
    assert client.data(message("known")).code == 250
    assert [r for m in standing.backend.messages for r in m.recipients] == ["TO:<u@example.org>"]


def test_answers_about_recipients_are_remembered(gateway_factory, backend_factory):
    backend = backend_factory(rules={"RCPT": nobody})
    gateway = gateway_factory(backend, recipient_cache="1m", limits={"errors": 100})
    for _ in range(4):
        with Client(gateway.port) as client:
            client.greet()
            client.expect("MAIL FROM:<a@b.example>", 250)
            client.expect("RCPT TO:<nobody@example.org>", 550)
    assert len([line for line in backend.said("RCPT") if "nobody" in line]) == 1


def test_a_recipient_refused_only_at_delivery(gateway_factory, backend_factory):
    backend = backend_factory()
    client = Client(gateway_factory(backend, backend_hold="0s").port)
    client.greet()
    client.mail()
    backend.rules["RCPT"] = "550 5.1.1 gone"
    reply = client.data(message("gone"))
    assert (reply.code, reply.enhanced) == (550, "5.1.1")
    assert not backend.messages


def test_postmaster_goes_to_the_configured_address(gateway_factory, backend):
    client = Client(gateway_factory(backend, postmaster="boss@example.net").port)
    client.greet()
    assert client.send(message("to the boss"), recipients=("Postmaster",)).code == 250
    assert backend.messages[0].recipients[0].startswith("TO:<boss@example.net>")


# --- what is passed on ---


def test_parameters_are_passed_on(standing):
    client = standing.connect()
    wait_until(lambda: "DSN" in standing.connect(greet=False).greet_offers(), what="DSN offered")
    client = standing.connect()
    client.expect("MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+3D1 SIZE=500", 250)
    client.expect("RCPT TO:<\u00fc@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;u@example.org", 250)
    client.expect("RCPT TO:<v@example.org> NOTIFY=NEVER", 250)
    assert client.data(message("parameters")).code == 250
    [taken] = standing.backend.messages
    sender = taken.sender.split(" ")
    assert sender[0] == "FROM:<a@b.example>" and {"BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=q+3D1"} <= set(sender[1:])
    size = [int(word[5:]) for word in sender if word.startswith("SIZE=")]
    assert not size or size[0] >= 500
    first, second = (set(r.split(" ")) for r in taken.recipients)
    assert {"TO:<\u00fc@example.org>", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;u@example.org"} <= first
    assert {"TO:<v@example.org>", "NOTIFY=NEVER"} <= second


def test_utf8_mail_for_a_backend_that_does_not_take_it(gateway_factory, backend_factory):
    backend = backend_factory()
    gateway = gateway_factory(backend, **FAST)
    client = Client(gateway.port)
    client.greet()
    wait_until(lambda: offered(gateway, "SMTPUTF8"), what="SMTPUTF8 offered")
    client.expect("EHLO client.example", 250)
    backend.extensions.remove("SMTPUTF8")
    drop_pool(backend)
    step, reply = transact(client, parameters=" SMTPUTF8", recipient="\u00fc@example.org")
    assert (reply.code, reply.enhanced) in ((550, "5.6.7"), (553, "5.6.7")), (step, reply)
    assert not backend.messages


def offered(gateway, keyword):
    with Client(gateway.port) as client:
        return keyword in client.greet_offers()


# --- slow clients, busy backends ---


def test_a_slow_client_does_not_hold_a_backend_connection(gateway_factory, backend):
    gateway = gateway_factory({"url": backend.url, "max_connections": 1}, backend_hold="200ms", timeouts={"backend_wait": "5s"})
    slow, quick = Client(gateway.port), Client(gateway.port)
    slow.greet()
    quick.greet()
    slow.mail(recipients=("u@example.org", "v@example.org"))
    slow.expect("DATA", 354)
    assert quick.send(message("quick")).code == 250
    wait_until(lambda: backend.said("RSET"), what="the slow client's transaction left")
    slow.raw(message("slow") + b".\r\n")
    assert slow.reply().code == 250
    assert backend.most_connections == 1
    assert [len(m.recipients) for m in backend.messages] == [1, 2]


def test_a_held_connection_is_given_up_when_another_waits(gateway_factory, backend):
    gateway = gateway_factory({"url": backend.url, "max_connections": 1}, backend_hold="1h")
    slow, quick = Client(gateway.port), Client(gateway.port)
    slow.greet()
    quick.greet()
    slow.mail()
    assert quick.send(message("quick")).code == 250
    assert slow.data(message("slow")).code == 250


def test_max_connections_holds(gateway_factory, backend_factory):
    backend = backend_factory(rules={"EOD": Delay(0.15)})
    gateway = gateway_factory({"url": backend.url, "max_connections": 3}, timeouts={"backend_wait": "10s"}, proxies=2)
    replies = []

    def send(number):
        with Client(gateway.port) as client:
            client.greet()
            replies.append(client.send(message(f"n{number}")).code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert replies == [250] * 12
    assert backend.most_connections <= 3 and len(backend.messages) == 12


def test_no_free_connection_in_time_is_a_451(gateway_factory, backend_factory):
    backend = backend_factory(rules={"EOD": Delay(2)})
    gateway = gateway_factory({"url": backend.url, "max_connections": 1}, timeouts={"backend_wait": "300ms"}, recipient_cache="0s")
    first, second = Client(gateway.port), Client(gateway.port)
    first.greet()
    second.greet()
    first.mail()
    first.expect("DATA", 354)
    first.raw(message("first") + b".\r\n")
    time.sleep(0.2)
    _, reply = transact(second)
    assert (reply.code, reply.enhanced) == (451, "4.3.2")
    assert first.reply().code == 250


def test_a_client_that_left_before_our_final_dot_gets_nothing_delivered(gateway_factory, backend_factory):
    backend = backend_factory(rules={"DATA": Delay(0.6)})
    gateway = gateway_factory(backend)
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(message("left") + b".\r\n")
    time.sleep(0.2)
    client.close()
    wait_until(lambda: backend.open_connections == 0 or "result=" in gateway.log(), what="the transaction ended")
    time.sleep(0.7)
    assert not backend.messages


def test_a_client_that_leaves_after_the_backend_has_it_is_the_known_window(gateway_factory, backend_factory):
    backend = backend_factory(rules={"EOD": Delay(0.6)})
    gateway = gateway_factory(backend)
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(message("window") + b".\r\n")
    time.sleep(0.3)
    client.close()
    wait_until(lambda: "result=double-window" in gateway.log(), what="the window in the log")
    assert len(backend.messages) == 1


def descriptors():
    """How many this process may have, after asking for all it can."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def test_thousands_of_dribbling_clients_leave_room_for_ordinary_mail(gateway_factory, backend):
    """Each names a recipient, which is checked live, and then takes its time over the message; the backend allows 50 connections."""
    count = min(5000, descriptors() // 3)
    gateway = gateway_factory({"url": backend.url, "max_connections": 50}, backend_hold="500ms", proxies=2, timeouts={"backend_wait": "1m"},
                              limits={"sessions": count + 100, "sessions_per_address": count + 100})
    dribblers = [Client(gateway.port, timeout=60) for _ in range(count)]
    for client in dribblers:
        client.raw("EHLO slow.example\r\n")
    for number, client in enumerate(dribblers):
        assert [client.reply().code, client.reply().code] == [220, 250]
        client.raw(f"MAIL FROM:<a{number}@slow.example>\r\nRCPT TO:<u@example.org>\r\nDATA\r\n")
    for client in dribblers:
        assert [client.reply().code for _ in range(3)] == [250, 250, 354]
        client.raw("Subject: slow\r\n")
    began = time.monotonic()
    with Client(gateway.port) as quick:
        quick.greet()
        for number in range(50):
            assert quick.send(message(f"quick{number}"), sender=f"q{number}@quick.example").code == 250
    assert time.monotonic() - began < 5, "ordinary mail is held up"
    assert backend.most_connections <= 50
    finishing = dribblers[::25]
    for client in finishing:
        client.raw("\r\nend\r\n.\r\n")
    assert [client.reply().code for client in finishing] == [250] * len(finishing)
    assert len(backend.messages) == 50 + len(finishing)
    assert gateway.status()


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_a_yes_before_the_final_dot_is_no_yes(gateway_factory, backend_factory, lmtp):
    """The backend says one reply too many and never stores the message: whoever believed it would lose mail."""
    backend = backend_factory(lmtp=lmtp, rules={"DATA": Raw(b"354 go ahead\r\n250 2.0.0 thanks\r\n"), "EOD": Close()})
    client = Client(gateway_factory(backend).port)
    client.greet()
    for body_size in (None, 200_000):
        assert client.send(message("early", size=body_size)).code // 100 == 4
    assert backend.messages == []
