"""Messages that the gateway judged, judged once more from the trace: check-message --replay gives the recorded verdict, for every one.

Always: some 320 odd messages made on the spot. Besides: all files below $POSTERN_CORPORA/mail, and below $POSTERN_MAIL."""

import json
import os
import subprocess
from collections import Counter

import pytest

import odd_messages
from backend import Backend
from client import Client
from gateway import PROGRAM, Gateway, nameserver, wait_until
from nameserver import MX, TXT, A
from test_mail import CORPORA, ODD_ONES, files_below

ZONE = {"pass.example": "v=spf1 include:inner.pass.example -all", "inner.pass.example": "v=spf1 mx:mail.pass.example ~all",
        "fail.example": "v=spf1 ip4:192.0.2.1 -all exp=why.fail.example", "why.fail.example": 'at %{t}: "%{i}", no, no -> ever',
        "soft.example": "v=spf1 exists:%{l}.%{d} ~all", "neutral.example": "v=spf1 ?all", "perm.example": "v=spf1 nonsense"}
SENDERS = ["a@pass.example", "a@fail.example", "a@soft.example", "#'*=@soft.example", '"a b, -> c"@soft.example', "a@neutral.example", "a@perm.example", "a@down.example",
           "a@nothing.example", ""]
FILTERS = [{"spf": {"fail": "reject", "softfail": "quarantine", "temperror": "tempfail", "received_spf": True}}]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    server, backend = nameserver(), Backend()
    for name, text in ZONE.items():
        server.add(name, TXT, text)
    server.add("mail.pass.example", MX, "10 mx.pass.example")
    server.add("mx.pass.example", A, "127.0.0.1")
    server.failing.add("down.example")
    gateway = Gateway(tmp_path_factory.mktemp("replay"), [{"url": backend.url}], limits={"errors": 100000, "commands": 100000}, filters=FILTERS,
                      quarantine="maildir:quarantine")
    try:
        yield gateway.start(), backend
    finally:
        gateway.stop()
        backend.close()


def send(client, sender, message):
    client.expect(f"MAIL FROM:<{sender}>", 250)
    client.expect("RCPT TO:<u@example.org>", 250)
    client.raw(b"BDAT %d LAST\r\n" % len(message) + message)
    return client.reply()


def judged(gateway, queue_id):
    """The recorded verdict, or None when the filters never saw the message."""
    story = json.loads(gateway.command("trace", "--json", queue_id).stdout)["story"]
    return next((e["text"].removeprefix("all: ").split(" ")[0].rstrip(";") for e in story if e["text"].startswith("all: ")), None)


def replay(gateway, queue_id, file, *arguments):
    return subprocess.run([str(PROGRAM), "check-message", "-c", str(gateway.config_file), str(file), "--replay", queue_id, "--json", *arguments],
                          cwd=gateway.folder, capture_output=True, text=True, timeout=60)


EXIT = {"accept": 0, "reject": 2, "tempfail": 3, "quarantine": 4, "discard": 5}


def run(path, messages, capsys):
    gateway, _ = path
    counts, wrong, file = Counter(), [], gateway.folder / "message"
    client = Client(gateway.port, timeout=60)
    client.greet()
    sent = [(name, message, SENDERS[n % len(SENDERS)]) for n, (name, message) in enumerate(messages)]
    sent = [(name, message, send(client, sender, message)) for name, message, sender in sent]
    client.close()
    gateway.trace(sent[-1][2].queue_id)  # the journal writes in order
    for name, message, reply in sent:
        verdict = judged(gateway, reply.queue_id)
        counts[verdict or "not judged"] += 1
        if verdict is None:
            continue
        file.write_bytes(message)
        done = replay(gateway, reply.queue_id, file)
        found = json.loads(done.stdout) if done.stdout else {}
        if done.stderr or done.returncode != EXIT[verdict] or found.get("verdict") != verdict or found["recorded"]["missing"]:
            wrong.append((name, reply, verdict, done))
    with capsys.disabled():
        print("\n  " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    assert not wrong, f"{len(wrong)} messages judged otherwise: {wrong[:5]}"
    return counts


def test_odd_messages(path, capsys):
    counts = run(path, ((f"odd {n}", odd_messages.make(n)) for n in range(ODD_ONES)), capsys)
    for verdict in ("accept", "reject", "tempfail", "quarantine", "not judged"):
        assert counts[verdict] > 0, verdict


def test_given_mail(path, capsys):
    folder = CORPORA / "mail"
    if not folder.is_dir():
        pytest.skip(f"no given messages: {folder} does not exist (POSTERN_CORPORA)")
    assert run(path, files_below(folder), capsys)["accept"] > 0


def test_mail_of_your_own(path, capsys):
    if "POSTERN_MAIL" not in os.environ:
        pytest.skip("POSTERN_MAIL names no folder of messages")
    assert run(path, files_below(os.environ["POSTERN_MAIL"]), capsys)["accept"] > 0


# --- what a replay is for, and what it refuses ---


@pytest.fixture
def one(path):
    """Sends one message; returns gateway, queue ID, file."""
    gateway, _ = path

    def act(sender, message=b"From: a@x.example\r\nSubject: one\r\n\r\nbody\r\n"):
        with Client(gateway.port) as client:
            client.greet()
            reply = send(client, sender, message)
        gateway.trace(reply.queue_id)
        file = gateway.folder / "one"
        file.write_bytes(message.replace(b"\r\n", b"\n"))
        return gateway, reply.queue_id, file

    return act


def test_another_policy(one):
    gateway, queue_id, file = one("a@fail.example")
    done = replay(gateway, queue_id, file, "--policy", "spf.fail=accept")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["verdict"] == "accept" and found["recorded"] == {"queue_id": queue_id, "verdict": "reject", "missing": 0}
    assert "the verdict was reject" in done.stderr


def test_answers_and_time_are_those_of_the_trace(one):
    gateway, queue_id, file = one("a@fail.example")
    first = json.loads(replay(gateway, queue_id, file).stdout)
    nameserver().add("fail.example", TXT, "v=spf1 +all")
    try:
        again = json.loads(replay(gateway, queue_id, file).stdout)
    finally:
        nameserver().add("fail.example", TXT, ZONE["fail.example"])
    assert again["facts"] == first["facts"] and again["facts"]["spf"]["explanation"].endswith('"127.0.0.1", no, no -> ever')
    said = next(e["text"] for e in gateway.trace_json(queue_id)["story"] if e["text"].startswith("all: "))
    assert again["facts"] == json.loads(said.split("; facts ", 1)[1])


def test_another_message_is_refused(one):
    gateway, queue_id, file = one("a@pass.example")
    file.write_bytes(file.read_bytes() + b"more\n")
    done = replay(gateway, queue_id, file)
    assert done.returncode == 1 and "its hash differs" in done.stderr and not done.stdout


def test_copies_with_fields_in_front(one, path):
    gateway, queue_id, _ = one("a@soft.example", b"Subject: kept\r\n\r\nbody\r\n")
    [kept] = [f for f in (gateway.data / "quarantine" / "new").iterdir() if queue_id in f.name]
    assert replay(gateway, queue_id, kept).returncode == 4
    gateway, queue_id, file = one("a@neutral.example", b"Subject: delivered\r\n\r\nbody\r\n")
    file.write_bytes(wait_until(lambda: [m.data for m in path[1].messages if b"Subject: delivered" in m.data])[0])
    assert replay(gateway, queue_id, file).returncode == 0


@pytest.mark.parametrize("arguments, complaint", [(["--ip", "192.0.2.1"], "from the trace"), (["--at", "5"], "from the trace")])
def test_wrong_use(one, arguments, complaint):
    gateway, queue_id, file = one("a@pass.example")
    done = replay(gateway, queue_id, file, *arguments)
    assert done.returncode == 1 and complaint in done.stderr


def test_unknown_message(one):
    gateway, _, file = one("a@pass.example")
    done = replay(gateway, "0000000000AAAA", file)
    assert done.returncode == 1 and "the trace does not have it" in done.stderr
