"""Runs attack_cases.yml, each case against the real daemon with a careless backend behind it."""

from pathlib import Path

import pytest
import yaml

from careless import CarelessBackend
from client import Client, Closed
from gateway import Gateway

CASES = yaml.safe_load((Path(__file__).parent / "attack_cases.yml").read_text())
BEFORE = ["EHLO client.example", "MAIL FROM:<a@sender.example>", "RCPT TO:<u@example.org>", "DATA"]
STEPS_TO = {"connected": 0, "greeted": 1, "mail": 2, "rcpt": 3, "data": 4}


@pytest.fixture(scope="module")
def gateways(tmp_path_factory):
    """Gateways by the name of their options, started when first asked for."""
    made = {}

    def get(name):
        if name not in made:
            backend = CarelessBackend()
            options = {"limits": {"errors": 1000}, **CASES["gateways"][name]}
            made[name] = (Gateway(tmp_path_factory.mktemp(name), [{"url": backend.url}], **options).start(), backend)
        return made[name]

    yield get
    for gateway, backend in made.values():
        gateway.stop()
        backend.close()


def flatten(expected):
    return expected if isinstance(expected, list) else [expected]


def wire_bytes(step):
    if "chunk" in step:
        octets = step["chunk"].encode("latin-1")
        return b"BDAT %d%s\r\n" % (len(octets), b" LAST" if step.get("last") else b"") + octets
    return step["send"].encode("latin-1") * step.get("times", 1)


def play(client, steps):
    """Does the steps; True while the connection is open."""
    for step in steps:
        if "send" in step or "chunk" in step:
            try:
                client.raw(wire_bytes(step))
            except (BrokenPipeError, ConnectionResetError):
                pass  # hung up on while we were sending: the next step knows
        for code in flatten(step.get("expect", [])):
            reply = client.reply()
            assert reply.code in flatten(code), f"{reply!r}, expected {code}"
        if "closed" in step:
            with pytest.raises(Closed):
                client.reply()
            return False
        if "leave" in step:
            client.close()
            return False
    return True


def check_backend(backend, expected):
    taken = backend.messages
    assert len(taken) == expected.get("messages", 0), [m.data for m in taken]
    for message in taken:
        assert expected.get("contains", "").encode("latin-1") in message.data
        assert "lacks" not in expected or expected["lacks"].encode("latin-1") not in message.data
    if "recipients" in expected:
        assert [r for m in taken for r in m.recipients] == expected["recipients"]
    assert not backend.complaints(), backend.complaints()


@pytest.mark.parametrize("case", CASES["cases"], ids=[case["name"] for case in CASES["cases"]])
def test_attack(gateways, case):
    gateway, backend = gateways(case.get("options", "plain"))
    backend.messages.clear()
    backend.commands.clear()
    backend.seen = b""
    with Client(gateway.port) as client:
        if not case.get("early"):
            assert client.reply().code == 220
        for command in BEFORE[:STEPS_TO[case.get("at", "connected")]]:
            assert client.say(command).code in (250, 354)
        if play(client, case["steps"]):
            client.expect("NOOP", 250)
    with Client(gateway.port) as after:  # whatever the attack held back would be delivered by now
        after.greet()
    check_backend(backend, case.get("backend", {}))


def test_case_names_are_unique():
    names = [case["name"] for case in CASES["cases"]]
    assert len(set(names)) == len(names)
