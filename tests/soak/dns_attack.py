"""Messages whose senders' name servers are dead, at the same time as ordinary mail of other senders, every one from a domain never seen before:
so each has questions of its own to the same resolver."""

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from backend import Backend
from client import Client, message
from gateway import Gateway, wait_until
from hostile_nameserver import PTR, HostileServer, encode_name, packet, record, silence, text_of

SENDERS = 4
PACE = 0.05  # seconds from one message of a sender to its next
WAITERS = Path(__file__).with_name("dns_waiters.py")


class OrdinaryMail:
    """Messages at a steady pace over standing connections; how long each took from MAIL to 250."""

    def __init__(self, port, name, seconds):
        self.port, self.name, self.seconds = port, name, seconds
        self.latencies, self.failures = [], []
        self.threads = [threading.Thread(target=self._send, args=(index,)) for index in range(SENDERS)]

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        return self

    def _send(self, index):
        start = time.monotonic()
        with Client(self.port, timeout=60) as client:
            client.greet()
            for count in range(int(self.seconds / PACE)):
                time.sleep(max(0, start + count * PACE - time.monotonic()))
                begun = time.monotonic()
                try:
                    reply = client.send(message(), f"a@{self.name}{index}-{count}.ordinary.example")
                except AssertionError as error:
                    self.failures.append(error)
                    client.say("RSET")
                    continue
                if reply.code == 250:
                    self.latencies.append(time.monotonic() - begun)
                else:
                    self.failures.append(reply)

    def percentile(self, percent):
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1] * 1000

    def figures(self):
        if len(self.latencies) < 2:
            return {"messages": len(self.latencies), "not taken": len(self.failures)}
        return {"messages": len(self.latencies), "not taken": len(self.failures), "p50 ms": round(self.percentile(50), 1),
                "p99 ms": round(self.percentile(99), 1), "most ms": round(max(self.latencies) * 1000, 1)}


def memory_mib(gateway):
    """Resident memory by role: the sum over its processes."""
    sums = {}
    for process in gateway.processes():
        if process["role"] in ("proxy", "auth"):
            status = Path(f"/proc/{process['pid']}/status").read_text()
            kib = int(status.split("VmRSS:")[1].split()[0])
            sums[process["role"]] = sums.get(process["role"], 0) + kib / 1024
    return {role: round(mib, 1) for role, mib in sums.items()}


def make_names():
    names = HostileServer()
    names.rules["ordinary.example"] = text_of("v=spf1 ip4:127.0.0.1 -all")
    names.rules["dead.example"] = silence
    # Ten dead names each: as many as the limits of RFC 7208 allow.
    names.rules["many.example"] = text_of(lambda question: "v=spf1 " + " ".join(
        f"include:i{number}.{question.name.split('.')[0]}.dead.example" for number in range(10)) + " -all")
    names.rules["1.0.0.127.in-addr.arpa"] = lambda question: packet(question, record(PTR, encode_name("client.example")))
    return names


class Waiters:
    def __init__(self, port, count, seconds, domain):
        self.process = subprocess.Popen([sys.executable, str(WAITERS), str(port), str(count), str(seconds), domain], stdout=subprocess.PIPE, text=True)

    def wait_ready(self):
        line = self.process.stdout.readline()
        assert line == "ready\n", line

    def finish(self):
        return json.loads(self.process.communicate(timeout=120)[0])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(folder, count, seconds, domain="dead.example", timeout=3, **options):
    """Ordinary mail alone, then beside `count` sessions that wait all the time, then alone again; figures."""
    backend, names, waiters = Backend(), make_names(), None
    spf = {"helo": False, "temperror": "tempfail", "fail": "reject"}
    gateway = Gateway(folder, [{"url": backend.url}], filters=[{"spf": spf}], dns={"servers": [names.address], "timeout": f"{timeout}s"},
                      limits={"sessions": count + 200, "sessions_per_address": count + 200, "transactions": 0}, **options).start()
    try:
        OrdinaryMail(gateway.port, "warm", 1).run()
        before = memory_mib(gateway)
        without = OrdinaryMail(gateway.port, "before", seconds).run()
        waiters = Waiters(gateway.port, count, seconds + 2, domain)
        waiters.wait_ready()
        beside = OrdinaryMail(gateway.port, "beside", seconds).run()
        during = memory_mib(gateway)
        told = waiters.finish()
        after_it = OrdinaryMail(gateway.port, "after", 0.3).run()
        wait_until(lambda: gateway.status()["gauges"]["sessions"] == 0, what="sessions end")
        after = memory_mib(gateway)
        log = gateway.log()
    finally:
        if waiters:
            waiters.stop()
        gateway.stop()
        backend.close()
        names.close()
    return {"waiting": count, "waiters": told, "without": without.figures(), "with": beside.figures(), "after": after_it.figures(),
            "questions": len(names.asked), "memory MiB": {"before": before, "during": during, "after": after}, "log": len(log)}


def check(figures, timeout, slow_build=False):
    """What must hold on any machine that runs the tests."""
    assert figures["with"]["not taken"] == 0 and figures["after"]["not taken"] == 0, figures
    assert set(figures["waiters"]["replies"]) == {"451 4.7.24"}, figures["waiters"]  # temperror: tempfail
    assert figures["waiters"]["slowest s"] < timeout * 2 + 3, figures["waiters"]
    assert figures["with"]["p50 ms"] < 10 * figures["without"]["p50 ms"] + 100, figures
    assert figures["with"]["p99 ms"] < timeout * 1000, figures
    before, during = figures["memory MiB"]["before"], figures["memory MiB"]["during"]
    if not slow_build:
        assert during["proxy"] - before["proxy"] < 64 and during["auth"] - before["auth"] < 16, figures["memory MiB"]
