"""The suite of RFC 7208 through everything: the real daemon takes a message over SMTP, an auth worker judges it, the resolver asks a real name
server (NSD) with the records of the scenario. The client to judge stands in the Received field of a trusted relay. What came of it is read
from the Received-SPF field that the backend got, or, for a fail, from the refusal with the domain's explanation."""

import re

import pytest

import live_dns
import spf_suite as suite
from backend import Backend
from client import Client
from gateway import Gateway

CASES = list(suite.cases()) if suite.SUITE.exists() else []
SUITE = pytest.mark.suite("SPF, RFC 7208: SMTP, worker, NSD")

# What SMTP, or a Received field, has no way to say.
NOT_APPLICABLE = {
    "toolonglabel": "MAIL is refused",
    "emptylabel": "MAIL is refused",
    "nolocalpart": "MAIL FROM needs a local part",
    "dorky-sentinel": "a blank in a local part needs quotes, which would then be part of it",
    "invalid-hello-macro": "a blank in a HELO name ends it",
}

LIBSPF2_SCENARIO = "Macro expansion rules"

if not CASES:
    pytest.skip(f"SPF suite not run: no {suite.SUITE} (set POSTERN_CORPORA)", allow_module_level=True)
if live_dns.why_not():
    pytest.skip(live_dns.why_not(), allow_module_level=True)


class Scenario:
    """Name server, gateway and backend for the cases of one scenario."""

    def __init__(self, folder, records, engine="own"):
        self.server = live_dns.Nsd(records)
        silent = any(data == "!TIMEOUT" for _, _, data in records)
        self.front = live_dns.SilentFront(self.server, records) if silent else None
        self.backend = Backend()
        policy = {"engine": engine, "fail": "reject", "helo": False, "received_spf": True}
        policy |= {result: "accept" for result in ("none", "neutral", "pass", "softfail", "temperror", "permerror")}
        self.gateway = Gateway(
            folder, [{"url": self.backend.url}], dns={"servers": [(self.front or self.server).address], "timeout": "500ms"},
            limits={"errors": 1000}, trusted_relays=["127.0.0.1/32"], filters=[{"spf": policy}])
        self.gateway.start()
        self.client = Client(self.gateway.port)
        self.client.greet("relay.example")

    def send(self, case):
        """Result and explanation."""
        address = f"IPv6:{case.client}" if ":" in case.client else case.client
        received = f"Received: from {case.helo} ({case.helo} [{address}])\r\n\tby relay.example with ESMTP id 1;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\n"
        self.client.mail(case.sender)
        reply = self.client.data(f"{received}From: a@sender.example\r\nSubject: {case.name}\r\n\r\ntext\r\n".encode())
        if reply.code == 550:
            assert reply.enhanced == "5.7.23"
            explained = re.fullmatch(r"5\.7\.23 (.*) \(queue ID \w+\)", reply.lines[-1]).group(1)
            return "fail", explained if len(reply.lines) > 1 else ""
        assert reply.code == 250, reply
        return re.search(rb"^Received-SPF: ([a-z]+) ", self.backend.messages[-1].data, re.M).group(1).decode(), ""

    def close(self):
        self.client.close()
        try:
            self.gateway.stop()
        finally:
            self.backend.close()
            if self.front:
                self.front.close()
            self.server.stop()


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    """One at a time: cases come scenario by scenario."""
    running = {}

    def get(case, engine="own"):
        if (case.scenario, engine) not in running:
            while running:
                running.popitem()[1].close()
            running[case.scenario, engine] = Scenario(tmp_path_factory.mktemp("spf"), case.records, engine)
        return running[case.scenario, engine]

    yield get
    while running:
        running.popitem()[1].close()


@SUITE
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case, scenarios):
    if case.name in NOT_APPLICABLE:
        pytest.skip(NOT_APPLICABLE[case.name])
    result, explanation = scenarios(case).send(case)
    assert suite.fits(case, result, explanation), (result, explanation)


@pytest.mark.parametrize("case", [case for case in CASES if case.scenario == LIBSPF2_SCENARIO and case.name not in NOT_APPLICABLE],
                         ids=lambda case: case.id)
def test_libspf2(case, scenarios):
    """The library in a worker's sandbox says what it says outside."""
    result, explanation = scenarios(case, "libspf2").send(case)
    assert suite.fits(case, result, explanation) or (result, explanation) == suite.libspf2_differences()[case.id]
