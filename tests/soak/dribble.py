#!/usr/bin/python3
"""Clients that send a byte now and then, in one thread: dribble.py PORT COUNT SECONDS_BETWEEN_BYTES.

Four of five dribble a message, the fifth a command line. Prints `ready` when each has come that far, finishes all messages after a
line on standard input, and prints then, as JSON, how many sessions ended how. A process of its own: it shares no interpreter
with the clients whose latency is measured."""

import collections
import json
import re
import resource
import selectors
import socket
import sys
import time

UNDER_WAY = 100  # sessions at one time between connect and the first dribbled byte
FINISH_RATE = 400  # sessions finished per second


def script_of(index):
    """(what is sent, reply code awaited before it); None is the place to dribble, then the rest follows."""
    message = [("EHLO dribble.example", 220), ("MAIL FROM:<slow@dribble.example>", 250), (f"RCPT TO:<slow{index}@example.org>", 250),
               ("DATA", 250), (None, 354), (f"Message-ID: <{10 ** 9 + index}@load.example>\r\n\r\nslow\r\n.", None), ("QUIT", 250)]
    command = [("EHLO dribble.example", 220), (None, 250), ("", None), ("QUIT", 250)]
    return command if index % 5 == 4 else message


def dribbled_of(index):
    return b"NOOP " + b"x" * 400 if index % 5 == 4 else b"X-Slow: " + b"x" * 500 + b"\r\n" + b"X-Slow: " + b"y" * 400 + b"\r\n"


class Dribbler:
    def __init__(self, index, port):
        self.script = collections.deque(script_of(index))
        self.rest = dribbled_of(index)
        self.received = b""
        self.dribbling = False
        self.next_byte = 0
        self.outcome = None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))

    def on_input(self):
        """Goes on as far as the replies allow. True when it ended."""
        try:
            more = self.socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError as error:
            more, self.outcome = b"", f"broken: {error}"
        if not more:
            self.outcome = self.outcome or "closed"
            return True
        self.received += more
        while found := re.match(rb"(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\n", self.received):
            self.received = self.received[found.end():]
            if self.on_reply(int(found.group(1)), found.group(0)):
                return True
        return False

    def on_reply(self, code, text):
        if not self.script:  # the answer to QUIT
            self.outcome = "done"
            return True
        line, awaited = self.script[0]
        if code != awaited:
            self.outcome = text.decode(errors="replace").strip()[:60]
            return True
        self.script.popleft()
        if line is None:
            self.dribbling = True
        else:
            self.socket.send(line.encode() + b"\r\n")
        return False

    def dribble(self):
        self.socket.send(self.rest[:1])
        self.rest = self.rest[1:]

    def finish(self):
        self.dribbling = False
        line, _ = self.script.popleft()
        self.socket.send(self.rest + line.encode() + b"\r\n")


class Crowd:
    def __init__(self, port, count, interval):
        self.port, self.count, self.interval = port, count, interval
        self.selector = selectors.EpollSelector()
        self.begun = 0
        self.starting = set()
        self.dribbling = collections.deque()  # by the time of the next byte
        self.alive = set()
        self.outcomes = collections.Counter()

    def begin_some(self):
        while self.begun < self.count and len(self.starting) < UNDER_WAY:
            dribbler = Dribbler(self.begun, self.port)
            self.begun += 1
            self.starting.add(dribbler)
            self.alive.add(dribbler)
            self.selector.register(dribbler.socket, selectors.EVENT_READ, dribbler)

    def end(self, dribbler):
        self.outcomes[dribbler.outcome] += 1
        self.selector.unregister(dribbler.socket)
        dribbler.socket.close()
        self.starting.discard(dribbler)
        self.alive.discard(dribbler)

    def handle(self, key):
        dribbler = key.data
        try:
            ended = dribbler.on_input()
        except OSError as error:
            dribbler.outcome, ended = f"broken: {error}", True
        if ended:
            self.end(dribbler)
        elif dribbler.dribbling and dribbler in self.starting:
            self.starting.discard(dribbler)
            dribbler.next_byte = time.monotonic() + self.interval
            self.dribbling.append(dribbler)

    def send_due_bytes(self):
        now = time.monotonic()
        while self.dribbling and self.dribbling[0].next_byte <= now:
            dribbler = self.dribbling.popleft()
            if dribbler.outcome is not None:
                continue
            try:
                dribbler.dribble()
            except OSError as error:
                dribbler.outcome = f"broken: {error}"
                self.end(dribbler)
                continue
            dribbler.next_byte = now + self.interval
            self.dribbling.append(dribbler)

    def run(self):
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        said, finishing, finished_at = False, False, 0
        while not finishing or self.alive:
            for key, _ in self.selector.select(0.01):
                if key.data is None:
                    sys.stdin.readline()
                    self.selector.unregister(sys.stdin.fileno())
                    finishing, finished_at = True, time.monotonic()
                elif key.data.outcome is None:
                    self.handle(key)
            self.begin_some()
            if not said and self.begun == self.count and not self.starting:
                said = True
                print("ready", flush=True)
            if finishing:
                share = int((time.monotonic() - finished_at) * FINISH_RATE)
                finished_at += share / FINISH_RATE
                for _ in range(min(share, len(self.dribbling))):
                    dribbler = self.dribbling.popleft()
                    if dribbler.outcome is None:
                        dribbler.finish()
            self.send_due_bytes()
        print(json.dumps(self.outcomes), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Crowd(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run()
