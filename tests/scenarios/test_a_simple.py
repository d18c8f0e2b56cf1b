"""One message through, the simplest way: if this fails, look at nothing else."""

import re

from client import message


def test_a_message_reaches_the_backend_unchanged_under_its_stamps(gateway, backend, connect):
    client = connect()
    original = message("simple", body=".dot line\r\nand text\r\n")
    reply = client.send(original)
    assert (reply.code, reply.enhanced) == (250, "2.0.0")
    assert reply.queue_id
    [received] = backend.messages
    assert received.sender.startswith("FROM:<a@sender.example>")
    assert [r.split(" ")[0] for r in received.recipients] == ["TO:<u@example.org>"]
    assert received.data.endswith(original)
    stamps = received.data[: -len(original)].decode()
    assert re.fullmatch(
        r"Return-Path: <a@sender\.example>\r\nReceived: from client\.example \(unknown \[127\.0\.0\.1\]\)\r\n"
        r"\tby mx\.test\.example \(postern\) with ESMTP id " + reply.queue_id +
        r"\r\n\tfor <u@example\.org>; \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n", stamps), stamps


def test_the_trace_tells_what_happened(gateway, backend, connect):
    reply = connect().send(message("traced"))
    story = gateway.trace(reply.queue_id)
    for words in ("accepted", "a@sender.example", "u@example.org", "<traced@sender.example>", f"127.0.0.1:{backend.port}"):
        assert words in story, story


def test_the_log_has_one_line_for_the_message(gateway, connect):
    reply = connect().send(message("logged"))
    gateway.trace(reply.queue_id)
    [line] = [line for line in gateway.log().splitlines() if f"qid={reply.queue_id}" in line]
    for words in ("result=accepted", "client=[127.0.0.1]", "from=<a@sender.example>", "to=<u@example.org>"):
        assert words in line
