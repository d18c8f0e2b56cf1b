"""Stored messages through the gateway: what arrives differs from what was sent only in the documented ways, and each way is counted.

Always: some 300 odd messages made on the spot. Besides: all files below $POSTERN_CORPORA/mail (default ../shared/corpora/mail), and below
$POSTERN_MAIL, any folder of messages. The classes:
  unchanged             only our stamps stand before it
  return_path_removed   a Return-Path it had is gone
  mbox_line_removed     a leading mbox line is gone
  final_crlf_added      its last line had no end
  refused_line_rules    a bare CR, a bare LF, a NUL, or a line beyond the limit
  refused_limits        too many hops, header fields or header bytes
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

import odd_messages
from backend import Backend
from client import Client, stuff
from gateway import Gateway, ROOT

CORPORA = Path(os.environ.get("POSTERN_CORPORA", ROOT.parent / "shared" / "corpora"))
HOPS, LINE, HEADER_COUNT, HEADER_BYTES = 50, 1 << 20, 1000, 256 << 10
ODD_ONES = int(os.environ.get("POSTERN_ODD_MESSAGES", "320"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A gateway and a backend of its own."""
    backend = Backend()
    gateway = Gateway(tmp_path_factory.mktemp("mail"), [{"url": backend.url}], limits={"errors": 100000, "commands": 100000})
    try:
        yield gateway.start(), backend
    finally:
        gateway.stop()
        backend.close()


# --- what must happen to a message, said once more and independently ---


def header_fields(message):
    """(name in lower case, whole field) of the header block, and the rest."""
    fields, at = [], 0
    while at < len(message):
        end = message.find(b"\r\n", at)
        end = len(message) if end < 0 else end + 2
        line = message[at:end]
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1] += line
        elif found := re.match(rb"([!-9;-~]+)[ \t]*:", line):
            fields.append([found.group(1).lower(), line])
        else:
            break
        at = end
    return fields, message[at:]


def expected(message):
    """(classes, bytes that must arrive behind the stamps), or ([refusal], None)."""
    classes = []
    if message.startswith(b"From "):
        classes.append("mbox_line_removed")
        message = message[message.find(b"\n") + 1:] if b"\n" in message else b""
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", message) or max(map(len, message.split(b"\r\n"))) > LINE:
        return ["refused_line_rules"], None
    if message and not message.endswith(b"\r\n"):
        classes.append("final_crlf_added")
        message += b"\r\n"
    fields, rest = header_fields(message)
    if sum(name == b"received" for name, _ in fields) > HOPS or len(fields) > HEADER_COUNT or sum(len(f) for _, f in fields) > HEADER_BYTES:
        return ["refused_limits"], None
    if any(name == b"return-path" for name, _ in fields):
        classes.append("return_path_removed")
    return classes or ["unchanged"], b"".join(field for name, field in fields if name != b"return-path") + rest


STAMPS = re.compile(rb"Return-Path: <a@sender\.example>\r\nReceived: from client\.example [^\r]*\r\n(?:\t[^\r]*\r\n)+")


def send(client, message):
    """By DATA, or by BDAT what DATA could not carry as it is: a message without final line end. Every other one in chunks as well."""
    client.expect("MAIL FROM:<a@sender.example>", 250)
    client.expect("RCPT TO:<u@example.org>", 250)
    if message.endswith(b"\r\n") and len(message) % 2 == 0:
        client.expect("DATA", 354)
        client.raw(stuff(message) + b".\r\n")
        return client.reply()
    half = len(message) // 2
    client.raw(b"BDAT %d\r\n" % half + message[:half] + b"BDAT %d LAST\r\n" % (len(message) - half) + message[half:])
    first, last = client.reply(), client.reply()
    if first.code != 250:
        client.expect("RSET", 250)
        return first
    return last


def run(path, messages, capsys):
    """Sends all (name, bytes); returns how many were in each class. Fails with the names of those that are in none."""
    gateway, backend = path
    counts, wrong = Counter(), []
    client = Client(gateway.port, timeout=60)
    client.greet()
    for name, message in messages:
        backend.messages.clear()
        reply = send(client, message)
        classes, wanted = expected(message)
        taken = [m.data for m in backend.messages]
        if wanted is None:
            fine = 500 <= reply.code < 600 and not taken
        else:
            stamps = STAMPS.match(taken[0]) if len(taken) == 1 else None
            fine = reply.code == 250 and stamps is not None and taken[0][stamps.end():] == wanted
        counts["messages"] += 1
        counts.update(classes)
        if not fine:
            wrong.append((name, classes, reply, len(taken)))
    client.close()
    with capsys.disabled():
        print("\n  " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    assert not wrong, f"{len(wrong)} messages in no class: {wrong[:10]}"
    return counts


def files_below(folder):
    """As they would come over the wire: files with Unix line ends get CR LF, others go as they are."""
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file() and file.suffix not in (".md", ".yml", ".yaml", ".json", ".py", ".tsv", ".csv"):
            data = file.read_bytes()
            yield str(file), data if b"\r\n" in data else data.replace(b"\n", b"\r\n")


def test_odd_messages(path, capsys):
    counts = run(path, ((f"odd {n}", odd_messages.make(n)) for n in range(ODD_ONES)), capsys)
    for name in ("unchanged", "return_path_removed", "mbox_line_removed", "final_crlf_added", "refused_line_rules", "refused_limits"):
        assert counts[name] > 0, f"no message of class {name} was made"


def test_given_mail(path, capsys):
    folder = CORPORA / "mail"
    if not folder.is_dir():
        pytest.skip(f"no given messages: {folder} does not exist (POSTERN_CORPORA)")
    assert run(path, files_below(folder), capsys)["messages"] > 0


def test_mail_of_your_own(path, capsys):
    if "POSTERN_MAIL" not in os.environ:
        pytest.skip("POSTERN_MAIL names no folder of messages")
    assert run(path, files_below(os.environ["POSTERN_MAIL"]), capsys)["messages"] > 0
