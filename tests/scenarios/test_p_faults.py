"""Filters that break, and worker processes that have been taken over: build/tests/postern-faults is the gateway with one filter more, which does what the
sender's local part says (tests/faults). Only that message pays; the others flow, and the trace tells what happened."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

import gateway as gateways
from client import Client, message
from gateway import Gateway, wait_until

FAULTS = Path(os.environ.get("POSTERN_FAULTS", gateways.PROGRAM.parent / "tests" / "postern-faults"))
ACCIDENT_OF_OTHERS = re.compile(r".*(?:assertion failed|runtime error:|(?<!: )(?:master|proxy|deliver|journal)\[\d+\] \(pid \d+\) ended: (?:signal (?!9 )|exit status [^0])).*")

DIED = "the worker died of it"
FORGED = "the worker's answer made no sense; it was killed"
REFUSED = "an edit was refused: "
# What goes wrong, what the trace says, workers that die of the first message, and of the second one with the same bytes.
CASES = [
    ("abort", DIED, 2, 0),
    ("segv", DIED, 2, 0),
    ("stack", DIED, 2, 0),
    ("hog", DIED, 2, 0),
    ("socket", DIED, 2, 0),
    ("open", DIED, 2, 0),
    ("exec", DIED, 2, 0),
    ("ask-endlessly", "it asks DNS again and again", 0, 0),
    ("ask-again", "pending without a new question", 0, 0),
    ("ask-nothing", "pending without a new question", 0, 0),
    ("edit-crlf", REFUSED + "line break in a header value", 0, 0),
    ("edit-cr", REFUSED + "line break in a header value", 0, 0),
    ("edit-name", REFUSED + "not a header field name", 0, 0),
    ("edit-index", REFUSED + "index of a header field out of range", 0, 0),
    ("edit-nul", REFUSED + "NUL in the new body", 0, 0),
    ("edit-huge", REFUSED + "too many edits, or too many bytes in them", 0, 0),
    ("edit-many-2000", REFUSED + "too many edits, or too many bytes in them", 0, 0),
    ("edit-envelope", "it wants to change the envelope", 0, 0),
    ("failed", "the library has no idea", 0, 0),
    ("forge-id", FORGED, 1, 1),
    ("forge-index", FORGED, 1, 1),
    ("forge-next", FORGED, 1, 1),
    ("forge-name", FORGED, 1, 1),
    ("forge-edit", FORGED, 1, 1),
    ("forge-edit-nul", FORGED, 1, 1),
    ("forge-author", FORGED, 1, 1),
    ("forge-question", FORGED, 1, 1),
    ("forge-rest", FORGED, 1, 1),
    ("forge-short", FORGED, 1, 1),
]
ANSWERS = {"tempfail": 451, "accept": 250, "reject": 554, "quarantine": 250}


class FaultGateway(Gateway):
    """Its filter workers may die; nobody else may."""

    program = FAULTS

    def stop(self, seconds=20):
        if self.process is None or self.process.poll() is not None:
            return
        self._end(seconds)
        accidents = ACCIDENT_OF_OTHERS.findall(self.log())
        assert not accidents, accidents[:5]
        if not gateways.sanitized():
            assert "ended: exit status 0" in self.log()


@pytest.fixture
def faulty(tmp_path, backend):
    """Makes gateways with the filter that breaks."""
    made = []

    def make(on_error="tempfail", **options):
        options.setdefault("limits", {"transactions": 0, "sessions_per_address": 500})
        made.append(FaultGateway(
            tmp_path / f"faulty{len(made)}", [{"url": backend.url}], filters=[{"fault": {"on_error": on_error}}], auth_workers=2, auth_worker_memory="64M",
            quarantine=f"maildir:{tmp_path}/quarantine", **options))
        return made[-1].start()

    yield make
    for each in made:
        each.stop()


def send(gateway, fault, subject="fault", text=None):
    with Client(gateway.port, timeout=60) as client:
        client.greet()
        return client.send(text or message(subject), f"{fault}@sender.example")


def others(gateway):
    return sorted(p["pid"] for p in gateway.processes() if p["role"] != "auth")


def workers(gateway, state="serving"):
    return [p["pid"] for p in gateway.processes("auth") if p["state"] == state]


def deaths(gateway):
    return len(re.findall(r"auth\[\d+\] \(pid \d+\) ended: (?:signal|sandbox violation|exit status [^0])", gateway.log()))


def is_whole(gateway):
    return len(workers(gateway)) == 2 and len(workers(gateway, "spare")) == 1


# ---- that message, and only that ----


def test_each_fault_costs_its_message_only(faulty, backend):
    gateway = faulty()
    rest = others(gateway)
    for fault, why, first, second in CASES:
        if gateways.sanitized() and fault in ("segv", "stack", "hog"):
            continue  # the sanitizers want the signals and the memory themselves
        for again, killed in enumerate((first, second)):
            before = deaths(gateway)
            reply = send(gateway, fault, fault)
            assert (reply.code, reply.enhanced) == (451, "4.3.0"), (fault, reply)
            assert send(gateway, "clean", f"clean-{fault}-{again}").code == 250, fault
            story = gateway.trace(reply.queue_id)
            expected = "it is not tried again" if again and first == 2 else why
            assert expected in story and re.search(r"fault: (?:lost|failed), on_error: tempfail: ", story), (fault, story)
            assert wait_until(lambda: deaths(gateway) - before >= killed, what=f"{killed} workers died of {fault}") and deaths(gateway) - before == killed, fault
            assert wait_until(lambda: is_whole(gateway), 5, what=f"workers are back after {fault}")
    assert all(b"X-Harmless" not in m.data and b"X-Forged" not in m.data and b"Subject: clean" in m.data for m in backend.messages)
    assert others(gateway) == rest
    gauges = gateway.status()["gauges"]
    assert gauges["filter_jobs_queued"] == 0 and wait_until(lambda: gateway.status()["gauges"]["transactions"] == 0)


@pytest.mark.parametrize("on_error", ["accept", "reject", "quarantine"])
def test_on_error(faulty, backend, tmp_path, on_error):
    gateway = faulty(on_error)
    sent = ["abort", "ask-nothing", "edit-crlf", "edit-envelope", "failed", "forge-edit"]
    for fault in sent:
        reply = send(gateway, fault, fault)
        assert reply.code == ANSWERS[on_error], (fault, reply)
        assert re.search(rf"fault: (?:lost|failed), on_error: {on_error}: ", gateway.trace(reply.queue_id)), fault
    assert len(backend.messages) == (len(sent) if on_error == "accept" else 0)
    assert all(b"X-Harmless" not in m.data and b"X-Forged" not in m.data for m in backend.messages)
    quarantine = tmp_path / "quarantine" / "new"
    assert len(list(quarantine.iterdir()) if quarantine.exists() else []) == (len(sent) if on_error == "quarantine" else 0)


def test_a_hanging_filter(faulty, backend):
    gateway = faulty()
    begun = time.monotonic()
    reply = send(gateway, "hang")
    assert reply.code == 451 and 9 < time.monotonic() - begun < 20
    assert gateway.trace(reply.queue_id).count("the worker took too long and was killed") >= 2
    assert wait_until(lambda: is_whole(gateway), what="workers are back")


def test_questions_beyond_the_limit_are_answered_by_that(faulty, backend):
    gateway = faulty()
    for number, beyond in ((300, 0), (301, 1)):
        reply = send(gateway, f"ask-many-{number}")
        assert reply.code == 250
        assert f"{beyond} of {number} questions were too many" in gateway.trace(reply.queue_id)


def test_words_beyond_the_limit_are_cut(faulty, backend):
    """A reply of a mebibyte in one line: the client gets a reply, with the queue ID in it."""
    gateway = faulty()
    reply = send(gateway, "huge-300")
    assert (reply.code, reply.enhanced) == (550, "5.7.1") and all(len(line) <= 508 for line in reply.lines)
    assert reply.queue_id and "fault: reject: xxx" in gateway.trace(reply.queue_id)
    reply = send(gateway, "reply")
    assert (reply.code, len(reply.lines)) == (550, 2), reply
    assert deaths(gateway) == 0


def test_a_fault_ahead_of_the_message(faulty, backend):
    """What dies at MAIL was only to ask early: the message is judged all the same, and the trace tells."""
    gateway = faulty()
    for fault in ("ahead-abort", "ahead-ask-endlessly", "ahead-forge-index"):
        with Client(gateway.port) as client:
            client.greet()
            client.mail(f"{fault}@sender.example")
            time.sleep(0.5)  # else the message is faster, and what went on ahead is forgotten
            reply = client.data(message("fault"))
        assert reply.code == 250, fault
        story = gateway.trace(reply.queue_id)
        assert "fault: accept" in story
        assert ("died of it" in story) == (fault == "ahead-abort") and ("made no sense" in story) == (fault == "ahead-forge-index"), story


# ---- poison ----


def test_poison_is_kept_and_not_tried_again(faulty, backend):
    gateway = faulty()
    text = message("poisonous", "bytes to look at\r\n")
    reply = send(gateway, "abort", text=text)
    assert reply.code == 451 and wait_until(lambda: deaths(gateway) == 2)
    folder = gateway.data / "poison"
    kept = wait_until(lambda: (folder / f"{reply.queue_id}.eml").exists() and (folder / f"{reply.queue_id}.txt").read_text(), what="the poison")
    assert (folder / f"{reply.queue_id}.eml").read_bytes().endswith(text) and DIED in kept
    again = send(gateway, "abort", text=text)
    assert again.code == 451 and deaths(gateway) == 2
    assert "the message has killed two filter workers; it is not tried again" in gateway.trace(again.queue_id)
    other_sender = send(gateway, "clean", text=text)  # the bytes count
    assert other_sender.code == 451
    assert sorted(each.name for each in folder.iterdir()) == [f"{reply.queue_id}.eml", f"{reply.queue_id}.txt"]
    assert gateway.status()["counters"]["poison"] >= 2
    gateway.command("reload")
    wait_until(lambda: "generation 2 serves" in gateway.log(), what="the reload")
    assert send(gateway, "abort", text=text).code == 451 and deaths(gateway) == 2


def test_one_kill_is_not_poison(faulty, backend):
    """A worker killed from outside: the message it worked on gets its second chance."""
    gateway = faulty()
    replies = []
    thread = threading.Thread(target=lambda: replies.append(send(gateway, "slow-700")))
    thread.start()
    time.sleep(0.3)
    for pid in workers(gateway):
        os.kill(pid, signal.SIGKILL)
        if re.search(rf"\(pid {pid}\) ended: .*running job", wait_until(lambda: re.search(rf".*\(pid {pid}\) ended: .*", gateway.log()), what="its end")[0]):
            break
    thread.join(20)
    assert replies[0].code == 250
    assert DIED in gateway.trace(replies[0].queue_id)
    assert gateway.status()["counters"]["poison"] == 0


# ---- the others ----


class Flow(threading.Thread):
    """Clean mail, or faults, one after the other, with the time of each."""

    def __init__(self, gateway, fault="clean", subject="clean", pause=0.0):
        super().__init__(daemon=True)
        self.gateway, self.fault, self.subject, self.pause = gateway, fault, subject, pause
        self.codes, self.times = [], []
        self.stopping = False
        self.start()

    def run(self):
        with Client(self.gateway.port, timeout=60) as client:
            client.greet()
            while not self.stopping:
                begun = time.monotonic()
                self.codes.append(client.send(message(f"{self.subject}-{len(self.codes)}"), f"{self.fault}@sender.example").code)
                self.times.append(time.monotonic() - begun)
                time.sleep(self.pause)

    def finish(self):
        self.stopping = True
        self.join(60)
        assert not self.is_alive()
        return self.codes


def measure(gateway, seconds, flows=2):
    """p50, p99, longest time of clean mail in ms, and how many there were; all of it must be accepted."""
    running = [Flow(gateway, subject=f"clean-{number}") for number in range(flows)]
    time.sleep(seconds)
    codes = [code for each in running for code in each.finish()]
    times = sorted(each for flow in running for each in flow.times)
    assert set(codes) == {250}, {code: codes.count(code) for code in codes}
    return times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000, times[-1] * 1000, len(times)


def state(capsys, what, alone, beside, faults):
    with capsys.disabled():
        print(f"\n{what}: p50 {alone[0]:.1f} -> {beside[0]:.1f} ms (x{beside[0] / alone[0]:.1f}), p99 {alone[1]:.1f} -> {beside[1]:.1f} ms "
              f"(x{beside[1] / alone[1]:.1f}), longest {alone[2]:.0f} -> {beside[2]:.0f} ms, {alone[3]} -> {beside[3]} clean messages, {faults} faults")


@pytest.mark.parametrize("pause", [0.4, 0.0], ids=["ten a second", "without a pause"])
def test_crashes_do_not_stop_the_others(faulty, backend, capsys, pause):
    gateway = faulty()
    rest = others(gateway)
    alone = measure(gateway, 3)
    bad = [Flow(gateway, fault, f"bad-{fault}", pause) for fault in ("abort", "socket", "edit-crlf", "forge-index")]
    beside = measure(gateway, 3)
    codes = [code for each in bad for code in each.finish()]
    assert set(codes) == {451}
    state(capsys, f"crashes, {pause} s between two of one client", alone, beside, len(codes))
    assert len(codes) > 10 and beside[3] > 10
    assert beside[1] < (500 if pause else 2000)
    assert others(gateway) == rest
    assert wait_until(lambda: is_whole(gateway), what="workers are back")


def test_a_hang_does_not_slow_the_others(faulty, backend, capsys):
    gateway = faulty()
    alone = measure(gateway, 3)
    bad = Flow(gateway, "hang", "bad-hang")
    beside = measure(gateway, 6)
    state(capsys, "hangs", alone, beside, len(bad.codes) + 1)
    assert set(bad.finish()) == {451}
    assert beside[3] > 20
    assert beside[1] < 1000
    assert beside[2] < 4500  # who was given away behind it does not wait until its end


def test_large_messages_leave_a_worker_to_small_ones(faulty, backend, capsys):
    gateway = faulty()
    alone = measure(gateway, 2)
    text = message("large", size=(1 << 20) + 100000)
    replies = []
    large = [threading.Thread(target=lambda: replies.append(send(gateway, "slow-200", text=text))) for _ in range(20)]
    for each in large:
        each.start()
    wait_until(lambda: gateway.status()["gauges"]["filter_jobs_queued"] > 5, what="large messages wait")
    beside = measure(gateway, 2)
    waiting = gateway.status()["gauges"]["filter_jobs_queued"]
    for each in large:
        each.join(60)
    assert [reply.code for reply in replies] == [250] * 20
    state(capsys, "20 large messages", alone, beside, waiting)
    assert beside[1] < 1000


# ---- too much ----


def test_a_full_queue_refuses_before_data(faulty, backend):
    gateway = faulty()
    stopped = workers(gateway)
    waiting = []
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        while len(waiting) < 300:
            client = Client(gateway.port, timeout=60)
            client.greet()
            client.mail("clean@sender.example")
            refused = client.say("DATA")
            if refused.code != 354:
                client.close()
                break
            client.raw(message(f"waiting-{len(waiting)}") + b".\r\n")
            waiting.append(client)
            if len(waiting) == 256:
                time.sleep(1.1)  # a queue that long is only too long when it stands
        assert (refused.code, refused.enhanced) == (451, "4.3.2"), refused
    finally:
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    assert len(waiting) >= 250
    for client in waiting:
        assert client.reply().code == 250
        client.close()
    assert send(gateway, "clean").code == 250
