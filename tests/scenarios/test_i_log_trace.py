"""What an administrator sees: the log line, the trace, its searches, the status. And what a hostile sender cannot make of them."""

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

import gateway as harness
from backend import Close
from client import Client, message
from gateway import wait_until


def line_of(gateway, queue_id, where=None):
    read = where.read_text if where else gateway.log
    [line] = wait_until(lambda: [line for line in (read() if not where or where.exists() else "").splitlines() if queue_id in line], what="a log line")
    return line


def send(gateway, original, **options):
    with Client(gateway.port) as client:
        client.greet()
        return client.send(original, **options)


def test_a_text_line_has_the_keys_in_order(gateway, backend):
    reply = send(gateway, message("ordered"))
    line = line_of(gateway, reply.queue_id)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z qid=", line)
    keys = re.findall(r" (\w+)=", line)
    wanted = ["qid", "result", "client", "helo", "from", "to", "size", "msgid", "backend", "reply", "took"]
    assert [key for key in keys if key in wanted] == wanted
    assert f"backend=127.0.0.1:{backend.port}" in line and "msgid=<ordered@sender.example>" in line and re.search(r" took=\d+ms", line)


def test_a_json_line(gateway_factory, backend):
    gateway = gateway_factory(backend, log={"format": "json"})
    reply = send(gateway, message("json"), recipients=("u@example.org", "v@example.org"))
    found = json.loads(line_of(gateway, reply.queue_id))
    assert found["result"] == "accepted" and found["to"] == ["u@example.org", "v@example.org"] and found["from"] == "a@sender.example"
    assert found["client"] == "127.0.0.1" and isinstance(found["size"], int)


def test_all_of_a_json_log_is_json(gateway_factory, backend):
    gateway = gateway_factory(backend, log={"format": "json"})
    send(gateway, message("json"))
    gateway.stop()
    for line in gateway.log().splitlines():
        json.loads(line)


HOSTILE = 'evil" result=accepted qid=AAAAAAAAAAAAAA\x1b[31m\x07\u202e\\n'


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_values_cannot_forge_a_line(gateway_factory, backend, form):
    gateway = gateway_factory(backend, log={"format": form})
    wait_until(lambda: "SMTPUTF8" in Client(gateway.port).greet_offers(), what="SMTPUTF8")
    original = b"Message-ID: <" + HOSTILE.encode() + b"\xff@x>\r\n\r\nx\r\n"
    client = Client(gateway.port)
    client.greet()
    client.expect('MAIL FROM:<"x\\" result=rejected\u202e to=y"@b.example> SMTPUTF8', 250)
    client.expect("RCPT TO:<u@example.org>", 250)
    reply = client.data(original)
    line = line_of(gateway, reply.queue_id)
    if form == "json":
        found = json.loads(line)
        assert found["result"] == "accepted" and "\x1b" in found["msgid"] and all(ord(c) >= 32 for c in line)
    else:
        assert all(32 <= ord(c) for c in line) and "\u202e" not in line and "\x1b" not in line
        outside = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
        assert len(re.findall(r" result=", outside)) == 1 and " qid=AAAA" not in outside
    for story in (gateway.trace(reply.queue_id), gateway.command("trace", "--json", reply.queue_id).stdout):
        assert all(ord(c) >= 32 or c in "\n\t" for c in story) and "\u202e" not in story


def test_refused_sessions_and_messages_are_logged_too(gateway_factory, backend_factory):
    backend = backend_factory(rules={"RCPT": lambda connection, argument: "550 5.1.1 unknown" if "nobody" in argument else None})
    gateway = gateway_factory(backend)
    with Client(gateway.port) as client:
        client.reply()
        client.raw("GET / HTTP/1.1\r\n")
        assert client.is_closed()
    with Client(gateway.port) as client:
        client.greet()
        client.expect("MAIL FROM:<a@b.example>", 250)
        client.expect("RCPT TO:<nobody@example.org>", 550)
    with Client(gateway.port) as client:
        client.greet()
        client.mail()
    log = wait_until(lambda: (lambda text: text if all(f"result={r}" in text for r in ("refused", "rejected", "abandoned")) else None)(gateway.log()),
                     what=f"three lines: {gateway.log()[-1000:]}")
    assert re.search(r"sid=[0-9A-Z]{14} result=refused .*554 5\.5\.1", log)
    assert re.search(r"result=rejected .*to=<nobody@example\.org>.*5\.1\.1", log)


QUICK = {"timeouts": {"command": "400ms", "data_block": "400ms", "data_total": "700ms"}, "limits": {"errors": 3, "commands": 5, "message_size": 100000}}


def begin_message(client):
    client.expect("DATA", 354)
    client.raw("Subject: half\r\n")


def dribble(client):
    client.expect("DATA", 354)
    for _ in range(6):
        client.raw("x")
        time.sleep(0.2)


ENDINGS = {
    "silence before DATA": (lambda client: None, "421 4.4.2"),
    "silence in DATA": (begin_message, "421 4.4.2"),
    "silence in a chunk": (lambda client: client.raw("BDAT 100\r\nabc"), "421 4.4.2"),
    "dribbling": (dribble, "421 4.4.2"),
    "too many errors": (lambda client: client.raw("FOO\r\n" * 5), "421 4.7.0"),
    "a chunk above the limit": (lambda client: client.raw("BDAT 200000 LAST\r\n"), "552 5.3.4"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_transaction_that_we_end_is_logged_with_what_the_client_heard(gateway_factory, backend, ending):
    act, said = ENDINGS[ending]
    gateway = gateway_factory(backend, **QUICK)
    client = Client(gateway.port)
    client.greet()
    client.mail()
    act(client)
    while (reply := client.reply()).code == 500:
        pass
    assert f"{reply.code} {reply.enhanced}" == said and reply.queue_id, reply
    line = line_of(gateway, reply.queue_id)
    assert f' result={"rejected" if said[0] == "5" else "tempfailed"} ' in line and f'reply="{said} ' in line, line
    assert "our answer" in gateway.trace(reply.queue_id)


def test_a_stop_is_not_laid_at_the_client_s_door(gateway_factory, backend):
    gateway = gateway_factory(backend, drain_timeout="200ms")
    client = Client(gateway.port)
    client.greet()
    client.mail()
    begin_message(client)
    gateway.signal(signal.SIGTERM)
    reply = client.reply()
    assert reply.code == 421 and reply.enhanced == "4.3.2"
    assert "result=tempfailed" in line_of(gateway, reply.queue_id)
    gateway.process.wait(10)


def test_a_session_that_is_sent_away_has_a_line(gateway_factory, backend):
    gateway = gateway_factory(backend, **QUICK)
    with Client(gateway.port) as silent, Client(gateway.port) as idle, Client(gateway.port, source="127.0.0.2") as busy:
        idle.greet("had-its-mail-through.example")
        assert idle.send(message("idle")).code == 250
        busy.greet()
        busy.raw("NOOP\r\n" * 6)
        while busy.reply().code == 250:
            pass
        silent.reply()
        assert silent.reply().code == 421 and idle.reply().code == 421
    lines = wait_until(lambda: (lambda some: some if len(some) == 2 else None)([x for x in gateway.log().splitlines() if "result=refused" in x]),
                       what=f"two lines: {gateway.log()[-1000:]}")
    assert any('reply="421 4.4.2' in line for line in lines) and any("127.0.0.2" in line and 'reply="421 4.7.0' in line for line in lines)
    time.sleep(0.2)
    assert gateway.log().count("had-its-mail-through") == 1


def test_a_backend_that_gives_no_answer_has_none_in_the_log(gateway_factory, backend_factory):
    gateway = gateway_factory(backend_factory(rules={"EOD": Close()}))
    reply = send(gateway, message("unanswered"))
    assert reply.code == 451
    line = line_of(gateway, reply.queue_id)
    assert 'reply="451 4.4.2 ' in line and "may have the message" in line and "250" not in line.split("reply=")[1].split("reason=")[0], line


def test_a_backend_that_goes_down_and_comes_back_is_said_once_each(gateway_factory, backend_factory):
    backend = backend_factory()
    backend.close()
    gateway = gateway_factory(backend, proxies=2, timeouts={"backend_retry": "500ms"})
    for _ in range(4):
        with Client(gateway.port) as client:
            client.greet()
            client.expect("MAIL FROM:<a@b.example>", 250)
            client.expect("RCPT TO:<u@example.org>", 451)
    backend_factory(port=backend.port)
    wait_until(lambda: send_is_taken(gateway), what="mail flows again")
    log = gateway.log()
    assert len(re.findall(rf"alarm proxy\[\d\]: backend=127\.0\.0\.1:{backend.port} cannot be reached; it is skipped for 1 s", log)) == 1, log
    assert len(re.findall(rf"info proxy\[\d\]: backend=127\.0\.0\.1:{backend.port} works again", log)) == 1, log


def send_is_taken(gateway):
    with Client(gateway.port) as client:
        client.greet()
        client.expect("MAIL FROM:<a@b.example>", 250)
        return client.say("RCPT TO:<u@example.org>").code == 250


def test_load_balancer_probes_are_only_counted(gateway_factory, backend):
    gateway = gateway_factory(backend)
    before = gateway.log()
    for _ in range(3):
        with Client(gateway.port) as client:
            client.reply()
    wait_until(lambda: counter(gateway, "probes") >= 3, what="three probes counted")
    assert "client=" not in gateway.log()[len(before):]


def counter(gateway, name):
    status = gateway.status()
    return next(value[name] for value in status.values() if isinstance(value, dict) and name in value)


def test_log_to_a_file_is_opened_again_on_usr1(gateway_factory, backend, tmp_path):
    path, moved = tmp_path / "mail.log", tmp_path / "mail.log.1"
    gateway = gateway_factory(backend, log={"to": f"file:{path}"})
    first = send(gateway, message("first"))
    line_of(gateway, first.queue_id, path)
    path.rename(moved)
    gateway.signal(signal.SIGUSR1)
    wait_until(path.exists, what="the file made again")
    second = send(gateway, message("second"))
    line_of(gateway, second.queue_id, path)
    assert second.queue_id not in moved.read_text()


SYSTEM_LOGGER = Path("/dev/log")


class Logger:
    """A system logger where there is none; LOG_MAIL and a level, then our line."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(SYSTEM_LOGGER))
        self.socket.settimeout(10)

    def line_with(self, text):
        while text not in (line := self.socket.recv(8192).decode()):
            pass
        return line

    def end(self):
        self.socket.close()
        SYSTEM_LOGGER.unlink()


def test_log_to_syslog_outlives_a_restart_of_the_logger(gateway_factory, backend):
    if SYSTEM_LOGGER.exists() or not os.access("/dev", os.W_OK):
        pytest.skip("this machine has a system logger, or we may not be one")
    logger = Logger()
    try:
        gateway = gateway_factory(backend, log={"to": "syslog"})
        assert re.match(r"<22>.*postern\[\d+\]: .* result=accepted ", logger.line_with(send(gateway, message("first")).queue_id))
        logger.end()
        unheard = send(gateway, message("unheard"))
        logger = Logger()
        heard = send(gateway, message("heard"))
        assert "result=accepted" in logger.line_with(unheard.queue_id) and "result=accepted" in logger.line_with(heard.queue_id)
    finally:
        logger.end()


def test_reverse_names_are_confirmed_or_unknown(gateway_factory, backend):
    names = harness.nameserver()
    names.add_reverse("127.0.0.21", "good.client.example")
    names.add_reverse("127.0.0.22", "forged.client.example", confirmed=False)
    gateway = gateway_factory(backend)
    for source, name in (("127.0.0.21", "good.client.example"), ("127.0.0.22", "unknown")):
        with Client(gateway.port, source=source) as client:
            client.greet()
            assert client.send(message("reverse")).code == 250
        assert f"Received: from client.example ({name} [{source}])".encode() in backend.messages[-1].data
    wait_until(lambda: "rdns=good.client.example" in gateway.log(), what="the name in the log")
    assert "forged" not in gateway.log()


def test_a_silent_name_server_delays_but_never_blocks(gateway_factory, backend):
    harness.nameserver().silent.add("23.0.0.127.in-addr.arpa")
    gateway = gateway_factory(backend)
    slow = Client(gateway.port, source="127.0.0.23")
    slow.greet()
    assert send(gateway, message("quick")).code == 250
    assert slow.send(message("slow")).code == 250
    assert b"(unknown [127.0.0.23])" in backend.messages[-1].data


# --- trace ---


def test_the_story_is_in_order_with_times(gateway, backend):
    reply = send(gateway, message("story", headers="Return-Path: <old@x.example>\r\n"))
    story = gateway.trace(reply.queue_id)
    events = re.findall(r"^ +\+([\d.]+)ms +(\S+) +(.*)$", story, re.M)
    times = [float(at) for at, _, _ in events]
    assert times == sorted(times)
    text = "\n".join(f"{kind} {what}" for _, kind, what in events)
    order = ["client MAIL FROM:<a@sender.example>", "client RCPT TO:<u@example.org>", "to-backend", "backend 250", "reply 354", "message ", "stamp Received: from client.example",
             "reply 250 2.0.0 Ok: queued as " + reply.queue_id]
    positions = [text.find(each) for each in order]
    assert -1 not in positions, (order[positions.index(-1)], text)
    assert text.find("removed: Return-Path: <old@x.example>") > 0


def test_the_story_as_json(gateway):
    reply = send(gateway, message("story-json"))
    story = gateway.trace_json(reply.queue_id)
    assert story["qid"] == reply.queue_id and story["result"] == "accepted"
    assert story["recipients"][0]["address"] == "u@example.org"


def test_searches(gateway_factory, backend):
    gateway = gateway_factory(backend)
    replies = {}
    for sender, recipient, subject in (("a@one.example", "u@example.org", "s1"), ("b@two.example", "v@example.org", "s2"), ("", "u@example.net", "s3")):
        replies[subject] = send(gateway, message(subject), sender=sender, recipients=(recipient,)).queue_id
    for queue_id in replies.values():
        gateway.trace(queue_id)

    def found(*arguments):
        lines = gateway.command("trace", *arguments, check=False).stdout
        return sorted(subject for subject, queue_id in replies.items() if queue_id in lines)

    assert found("--from", "a@one.example") == ["s1"]
    assert found("--from", "@two.example") == ["s2"]
    assert found("--from", "<>") == ["s3"]
    assert found("--to", "u@example.net") == ["s3"]
    assert found("--to", "@example.org") == ["s1", "s2"]
    assert found("--ip", "127.0.0.1") == ["s1", "s2", "s3"]
    assert found("--ip", "192.0.2.1") == []
    assert found("--message-id", "<s2@sender.example>") == found("--message-id", "s2@sender.example") == ["s2"]
    assert found("--since", "10m", "--to", "@example.net") == ["s3"]
    assert found("--since", "2999-01-01") == []
    session = json.loads(gateway.command("trace", "--json", replies["s1"]).stdout)["sid"]
    assert found("--session", session) == ["s1"]
    assert gateway.command("trace", "NOSUCHID000000", check=False).returncode == 1
    assert gateway.command("trace", check=False).returncode == 2


def test_without_trace_there_is_still_a_log_line(gateway_factory, backend):
    gateway = gateway_factory(backend, trace={"enabled": False})
    reply = send(gateway, message("untraced"))
    assert "result=accepted" in line_of(gateway, reply.queue_id)


# --- status ---


def test_status(gateway, backend):
    send(gateway, message("counted"))
    status = gateway.status()
    roles = {p["role"] for p in status["processes"]}
    assert {"master", "proxy", "deliver", "journal"} <= roles
    for process in status["processes"]:
        if process["role"] != "master":
            assert "seccomp" in process["sandbox"], process
    assert counter(gateway, "messages_accepted") >= 1
    [seen] = status["backends"]
    assert seen["state"] == "up" and "PIPELINING" in seen["capabilities"]
    text = gateway.command("status").stdout
    for words in ("proxy", "journal", "deliver", "seccomp", f"127.0.0.1:{backend.port}", f"127.0.0.1:{gateway.port}"):
        assert words in text


def test_status_of_a_gateway_that_does_not_run(gateway):
    gateway.stop()
    done = gateway.command("status", check=False)
    assert done.returncode == 1 and "not running" in done.stderr + done.stdout
