"""Hostile DNS: whatever a sender's name server says, or does not say, the message is answered in time, nothing else is taken for true, memory
stays bounded, and the mail of other senders flows."""

import struct
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

import dns_attack

from backend import Backend
from client import Client, message
from gateway import Gateway, sanitized
from hostile_nameserver import (CNAME, MX, OWNER, PTR, TXT, A, HostileServer, answers, encode_name, packet, record, servfail, silence, text_of,
                                texts)

TIMEOUT = 1.0
PASS = record(TXT, texts("v=spf1 +all"))


def aliases(length):
    """One answer with a chain of so many names, the record at its end."""
    def rule(question):
        links = [record(CNAME, encode_name(f"n{number}.{question.name}"), OWNER if number == 0 else encode_name(f"n{number - 1}.{question.name}"))
                 for number in range(length)]
        return packet(question, *links, record(TXT, texts("v=spf1 +all"), encode_name(f"n{length - 1}.{question.name}")))
    return rule


def alias_onward(question):
    """Each name is an alias for the next, for ever."""
    number, _, rest = question.name.partition(".")
    return packet(question, record(CNAME, encode_name(f"n{int(number[1:]) + 1}.{rest}")))


def alias_loop(question):
    first, rest = question.name.split(".", 1)
    return packet(question, record(CNAME, encode_name(("b" if first == "a" else "a") + "." + rest)))


def other_identity(question):
    return packet(question, PASS, identity=bytes(byte ^ 0xff for byte in question.query[:2]))


def other_question(question):
    return packet(question, PASS, section=encode_name("other." + question.name) + struct.pack(">HH", TXT, 1))


def a_query_again(question):
    return packet(question, PASS, flags=0x0100)


def truncated_for_ever(question):
    return packet(question, flags=0x8780)


# What the server says, for names that end so: none of it makes the sender pass, each message is answered in time.
LIES = {
    "servfail": servfail,
    "silence": silence,
    "refused": lambda question: packet(question, code=5),
    "empty": lambda question: b"",
    "header-cut": lambda question: question.query[:2] + b"\x85\x80\0\1",
    "noise": lambda question: question.query[:2] + bytes(range(256)) * 3,
    "identity": other_identity,
    "question": other_question,
    "query": a_query_again,
    "owner": answers(record(TXT, texts("v=spf1 +all"), encode_name("somebody.example"))),
    "count-high": lambda question: packet(question, PASS, count=65535),
    "data-beyond": answers(record(TXT, texts("v=spf1 +all"), length=65535)),
    "data-short": answers(record(TXT, texts("v=spf1 +all"), length=3)),
    "string-beyond": answers(record(TXT, b"\xffv=spf1 +all")),
    "pointer-loop": answers(record(TXT, texts("v=spf1 +all"), b"\xc0\x29")),  # points at about itself
    "pointer-self": lambda question: packet(question, record(CNAME, struct.pack(">H", 0xc000 | 12 + len(question.section) + 12))),
    "pointer-beyond": answers(record(TXT, texts("v=spf1 +all"), b"\xff\xff")),
    "name-endless": answers(record(CNAME, b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\x3f" + b"a" * 63 + b"\0")),
    "aliases-many": aliases(60),
    "n0.onward": alias_onward,
    "a.loop": alias_loop,
    "truncated": truncated_for_ever,
}


@pytest.fixture(scope="module")
def names():
    server = HostileServer()
    server.rules["1.0.0.127.in-addr.arpa"] = lambda question: packet(question, record(PTR, encode_name("client.example")))
    server.rules["good.example"] = text_of("v=spf1 ip4:127.0.0.1 -all")
    yield server
    server.close()


@pytest.fixture(scope="module")
def standing(names, tmp_path_factory):
    backend = Backend()
    gateway = Gateway(tmp_path_factory.mktemp("attacked"), [{"url": backend.url}], dns={"servers": [names.address], "timeout": f"{TIMEOUT:.0f}s"},
                      filters=[{"spf": {"helo": False, "temperror": "tempfail", "permerror": "reject", "fail": "reject", "none": "reject"}}],
                      limits={"transactions": 0, "errors": 1000}).start()
    try:
        yield gateway
    finally:
        gateway.stop()
        backend.close()


def send(gateway, domain):
    """Reply, seconds from MAIL to it."""
    with Client(gateway.port) as client:
        client.greet()
        begun = time.monotonic()
        reply = client.send(message(), f"a@{domain}")
        return reply, time.monotonic() - begun


def asked_below(names, domain):
    return {(name, kind) for name, kind in names.asked if name.endswith(domain)}


@pytest.mark.parametrize("lie", LIES)
def test_lies(names, standing, lie):
    domain = f"{lie}.lies{list(LIES).index(lie)}.example"
    names.rules[domain.split(".", 1)[1]] = LIES[lie]
    reply, took = send(standing, domain)
    assert reply.code in (451, 550), reply  # it never passes
    if lie in ("servfail", "silence", "refused", "identity", "question", "query", "truncated", "n0.onward", "a.loop"):
        assert (reply.code, reply.enhanced) == (451, "4.7.24"), reply
    assert took < TIMEOUT + 1
    print(lie, reply, round(took * 1000), "ms")
    reply, took = send(standing, f"after-{lie.replace('.', '-')}.good.example")
    assert reply.code == 250 and took < TIMEOUT, (reply, took)


def test_additional_names_are_not_believed(names, standing):
    """Records about somebody else beside the true answer are for nobody."""
    forged = record(TXT, texts("v=spf1 +all"), encode_name("victim.example"))
    names.rules["poison.example"] = lambda question: packet(question, PASS, forged)
    names.rules["victim.example"] = text_of("v=spf1 -all")
    assert send(standing, "a.poison.example")[0].code == 250
    assert send(standing, "victim.example")[0].code == 550


def test_large_answers_over_tcp(names, standing):
    """64 KiB of one record, which are within the limits of every answer, and of many."""
    terms = " ".join(f"ip4:192.0.2.{number % 256}" for number in range(4000))
    names.rules["one-large.example"] = text_of(f"v=spf1 {terms} ip4:127.0.0.1 -all")
    assert 60000 < len(terms) < 65000
    before = names.over_tcp
    reply, took = send(standing, "one-large.example")
    assert reply.code == 250 and took < TIMEOUT, reply
    assert names.over_tcp > before
    names.rules["many-large.example"] = answers(*(record(TXT, texts(f"{number} " + "x" * 250)) for number in range(240)))
    reply, took = send(standing, "many-large.example")
    assert (reply.code, reply.enhanced) == (451, "4.7.24") and "too large" in reply.text and took < TIMEOUT, reply


def test_huge_numbers_of_records(names, standing):
    names.rules["hosts.example"] = lambda question: packet(
        question, *(record(A, struct.pack(">I", 0x0a000000 + number)) for number in range(4000))) if question.kind == A else packet(question)
    names.rules["exchangers.example"] = lambda question: packet(
        question, *(record(MX, struct.pack(">H", 10) + encode_name(f"m{number}") ) for number in range(2500))) if question.kind == MX else packet(question)
    names.rules["a-many.example"] = text_of("v=spf1 a:hosts.example -all")
    names.rules["mx-many.example"] = text_of("v=spf1 mx:exchangers.example -all")
    for domain in ("a-many.example", "mx-many.example"):
        reply, took = send(standing, domain)
        assert reply.code in (451, 550) and took < TIMEOUT + 1, reply
    assert len([name for name, _ in names.asked if name.startswith("m") and "." not in name]) <= 10  # RFC 7208 4.6.4


def greedy(question):
    """A record with 300 terms that each want an answer, below any name."""
    if question.kind == MX:
        return packet(question, *(record(MX, struct.pack(">H", 10) + encode_name(f"h{number}.{question.name}")) for number in range(10)))
    if question.kind == A:
        return packet(question, record(A, b"\xc0\0\2\1"))
    return text_of("v=spf1 " + " ".join(f"mx:m{number}.{question.name} a:a{number}.%{{i}}.{question.name} include:i{number}.{question.name}"
                                        for number in range(100)) + " -all")(question)


def test_three_hundred_questions(names, standing):
    """The record names 300 and each of its includes again: RFC 7208 4.6.4 allows ten, and ten hosts for each of ten mx."""
    names.rules["three-hundred.example"] = greedy
    reply, took = send(standing, "a.three-hundred.example")
    asked = asked_below(names, "three-hundred.example")
    print(f"{len(asked)} questions, {took * 1000:.0f} ms, {reply}")
    assert (reply.code, reply.enhanced) == (550, "5.7.24") and took < TIMEOUT * 2, reply
    assert len(asked) <= 1 + 10 + 10 * 10, len(asked)
    names.rules["mx-only.example"] = lambda question: greedy(question) if question.kind != TXT or question.name != "mx-only.example" else text_of(
        "v=spf1 " + " ".join(f"mx:m{number}.mx-only.example" for number in range(300)) + " -all")(question)
    reply, took = send(standing, "mx-only.example")
    asked = asked_below(names, "mx-only.example")
    print(f"{len(asked)} questions, {took * 1000:.0f} ms, {reply}")
    assert (reply.code, reply.enhanced) == (550, "5.7.24") and took < TIMEOUT * 2, reply
    assert len(asked) <= 1 + 10 + 10 * 10, len(asked)


def test_void_lookups(names, standing):
    names.rules["void.example"] = lambda question: text_of("v=spf1 " + " ".join(f"a:v{number}.nowhere.example" for number in range(300)) + " -all")(question)
    reply, took = send(standing, "void.example")
    assert reply.code == 550 and took < TIMEOUT, reply
    assert len(asked_below(names, "nowhere.example")) <= 10


def test_slow_at_every_step(names, standing):
    """Each answer comes just in time and names the next: the limit of ten lookups bounds the whole."""
    def slow(question):
        return TIMEOUT * 0.3, text_of(lambda asked: f"v=spf1 include:n{int(asked.name[1:].split('.')[0]) + 1}.slow.example -all")(question)
    names.rules["slow.example"] = slow
    reply, took = send(standing, "n0.slow.example")
    assert (reply.code, reply.enhanced) == (550, "5.7.24") and 10 * TIMEOUT * 0.3 < took < 11 * TIMEOUT + 1, (reply, took)
    assert len(asked_below(names, "slow.example")) <= 11


def test_a_thousand_messages_wait_for_a_dead_server(tmp_path):
    """Each with the ten dead names that RFC 7208 allows; beside them ordinary mail, every message of a domain not seen before."""
    figures = dns_attack.run(tmp_path / "gateway", 1000, 2, "many.example", timeout=2)
    dns_attack.check(figures, 2, sanitized())
