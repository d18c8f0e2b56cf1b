"""Reads the test suite of RFC 7208 (rfc7208-tests.yml of the SPF project) and runs our evaluator, or libspf2, over it through spf_driver."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CORPORA = Path(os.environ.get("POSTERN_CORPORA", "../shared/corpora"))
SUITE = CORPORA / "spf" / "rfc7208-tests.yml"
BUILD = Path(os.environ.get("POSTERN", "build/postern")).parent
DRIVER = BUILD / "conformance" / "spf" / "spf_driver"
LIBSPF2_LIST = Path(__file__).parent / "libspf2_differences.txt"
PLAIN = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass
class Case:
    scenario: str
    name: str
    records: list = field(repr=False)
    helo: str
    client: str
    sender: str
    results: list  # the acceptable ones, the preferred one first
    explanation: str | None  # "DEFAULT": the domain's own must not be used

    @property
    def id(self):
        return f"{self.scenario}: {self.name}".replace(" ", "-")


@dataclass
class Outcome:
    result: str
    explanation: str
    mechanism: str
    problem: str
    rounds: int
    questions: int
    lookups: int
    void_lookups: int
    same: bool  # as the outcome with all answers known from the start


def presentation(name):
    """A domain name of the suite as DNS writes it: odd bytes escaped, no final dot."""
    name = name[:-1] if name.endswith(".") else name
    return "".join(chr(byte) if byte in PLAIN else f"\\{byte:03}" for byte in name.encode())


def data_of(kind, value):
    if kind == "TXT":
        return "".join([value] if isinstance(value, str) else value).encode("latin-1", "replace").hex()
    if kind == "MX":
        return f"{value[0]} {presentation(value[1])}"
    return presentation(value) if kind in ("PTR", "CNAME") else value


def zone_records(zonedata):
    """(name, type, data) of each record. The suite's rules: SPF records are TXT records where a name has no TXT of its own ("NONE" is one
    that is not there); TIMEOUT is the answer to types without records."""
    for name, entries in zonedata.items():
        name = presentation(name)
        pairs = [pair for entry in entries if isinstance(entry, dict) for pair in entry.items()]
        own_text = any(kind == "TXT" for kind, _ in pairs)
        for kind, value in pairs:
            if kind == "SPF" and not own_text:
                yield name, "TXT", data_of("TXT", value)
            elif kind != "SPF" and value == "TIMEOUT":
                yield name, kind, "!TIMEOUT"
            elif kind != "SPF" and value != "NONE":
                yield name, kind, data_of(kind, value)
        if "TIMEOUT" in entries:
            yield name, "*", "!TIMEOUT"


def cases(path=SUITE):
    for scenario in yaml.safe_load_all(path.read_text()):
        records = list(zone_records(scenario["zonedata"]))
        for name, test in scenario["tests"].items():
            results = test["result"] if isinstance(test["result"], list) else [test["result"]]
            yield Case(scenario.get("description", "-").strip(), name, records, test["helo"], test["host"], test["mailfrom"], results,
                       test.get("explanation"))


def fits(case, result, explanation):
    """Is that what the suite wants? Where it names no explanation any will do."""
    if result not in case.results:
        return False
    return case.explanation is None or explanation == ("" if case.explanation == "DEFAULT" else case.explanation)


def identity(case):
    """Local part and domain to be checked: of MAIL FROM, or of HELO when that is empty (RFC 7208 2.4)."""
    local, at, domain = case.sender.rpartition("@")
    return (local, domain) if at else ("postmaster", case.helo)


def driver_input(chosen):
    lines, records = [], None
    for number, case in enumerate(chosen):
        if case.records is not records:
            records = case.records
            lines += ["zone", *("\t".join(("record", *record)) for record in records)]
        local, domain = identity(case)
        lines.append("\t".join(("query", str(number), case.client, *(text.encode().hex() for text in (case.helo, local, domain)))))
    return "\n".join(lines) + "\n"


def run(chosen, repeat=0, libspf2=False):
    """The outcome of each case, and the driver's last line (the time of one evaluation)."""
    command = [DRIVER, str(repeat), *([BUILD] if libspf2 else [])]
    done = subprocess.run(command, input=driver_input(chosen), stdout=subprocess.PIPE, text=True, check=True)
    outcomes, note = [], ""
    for line in done.stdout.splitlines():
        if line.startswith("# "):
            note = line[2:]
            continue
        fields = line.split("\t")
        outcomes.append(Outcome(*fields[1:5], *map(int, fields[5:9]), fields[9] == "same"))
    assert len(outcomes) == len(chosen)
    return outcomes, note


def libspf2_differences():
    """By case: libspf2's result and explanation. In the file our own stand before them, each with the explanation behind a blank."""
    found = {}
    for line in LIBSPF2_LIST.read_text().splitlines():
        name, _, theirs = line.split("\t")
        result, _, explanation = theirs.partition(" ")
        found[name] = (result, explanation)
    return found
