"""Thousands of clients that dribble: ordinary mail flows meanwhile, and the backend never sees more connections than it allows."""

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from client import Client
from gateway import Gateway, wait_until
from kills import make_names
from counted_load import Recorder, numbered_message

BACKEND_CONNECTIONS = 50
SENDERS = 4
PACE = 0.08  # seconds from one message of a sender to its next
INTERVAL = 5  # seconds between two bytes of a dribbler
DRIBBLE = Path(__file__).with_name("dribble.py")


class OrdinaryMail:
    """Messages at a steady pace, each over a connection of its own; how long each took from connect to 250."""

    def __init__(self, port, first_number, seconds):
        self.port = port
        self.seconds = seconds
        self.latencies, self.failures = [], []
        self.threads = [threading.Thread(target=self._send, args=(first_number + index * 100000,)) for index in range(SENDERS)]

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        assert not self.failures, f"{len(self.failures)} ordinary messages were not taken: {self.failures[:3]}"
        return self

    def _send(self, number):
        start = time.monotonic()
        for count in range(int(self.seconds / PACE)):
            time.sleep(max(0, start + count * PACE - time.monotonic()))
            begun = time.monotonic()
            try:
                with Client(self.port, timeout=60) as client:
                    client.greet()
                    reply = client.send(numbered_message(number + count))
                if reply.code == 250:
                    self.latencies.append(time.monotonic() - begun)
                else:
                    self.failures.append(reply)
            except Exception as error:  # whatever it was, it is told
                self.failures.append(error)

    def percentile(self, percent):
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]

    def figures(self):
        return {"messages": len(self.latencies), "p50 ms": round(self.percentile(50) * 1000, 1), "p99 ms": round(self.percentile(99) * 1000, 1)}


class Dribblers:
    def __init__(self, port, count):
        self.process = subprocess.Popen([sys.executable, str(DRIBBLE), str(port), str(count), str(INTERVAL)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_ready(self):
        line = self.process.stdout.readline()
        assert line == "ready\n", line

    def finish(self):
        """Ends them all; returns outcome -> how many."""
        return json.loads(self.process.communicate("finish\n", timeout=120)[0])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(folder, count, seconds):
    recorder, names = Recorder(slowest=0.002), make_names()
    gateway = Gateway(folder, [{"url": recorder.url, "max_connections": BACKEND_CONNECTIONS}], proxies=2, dns={"servers": [names.address]},
                      limits={"sessions": count + 500, "sessions_per_address": count + 500}).start()
    dribblers = None
    try:
        OrdinaryMail(gateway.port, 10 ** 6, 1).run()  # warm
        without = OrdinaryMail(gateway.port, 2 * 10 ** 6, seconds).run()
        begun = time.monotonic()
        dribblers = Dribblers(gateway.port, count)
        ramp = OrdinaryMail(gateway.port, 3 * 10 ** 6, 2).run()  # while they come
        dribblers.wait_ready()
        came_in = time.monotonic() - begun
        open_then = gateway.status()["gauges"]["sessions"]
        beside = OrdinaryMail(gateway.port, 4 * 10 ** 6, seconds).run()
        most = recorder.most_connections
        outcomes = dribblers.finish()
        slow = count - count // 5
        wait_until(lambda: sum(number >= 10 ** 9 for number in list(recorder.stored)) == slow, 5, what=f"{slow} dribbled messages at the backend")
        assert outcomes == {"done": count}, outcomes
        assert open_then >= count, open_then
        assert max(most, recorder.most_connections) <= BACKEND_CONNECTIONS
        assert all(len(copies) == 1 for copies in recorder.stored.values())
    finally:
        if dribblers:
            dribblers.stop()
        gateway.stop()
        recorder.close()
        names.close()
    return {"dribblers": count, "came within s": round(came_in, 1), "without": without.figures(), "while they came": ramp.figures(),
            "with": beside.figures(), "most backend connections": recorder.most_connections}
