"""Clients that send all the time and keep book: what they heard 250 for must be at the backend, once."""

import threading
import time
from collections import Counter

from client import Client, Closed, message


class Load:
    """`clients` threads, each sending uniquely named messages, a few to a session, until stopped."""

    def __init__(self, gateway, clients=4, per_session=5, pause=0.0):
        self.gateway = gateway
        self.per_session = per_session
        self.pause = pause
        self.stopping = False
        self.accepted = []  # subjects the client heard 250 for
        self.deferred = Counter()  # replies 4xx, by code
        self.refused = []  # replies 5xx
        self.drained = 0  # 421 between two messages
        self.dropped = []  # (subject, when): the connection ended without a word
        self.not_connected = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self):
        for each in self.threads:
            each.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for each in self.threads:
            each.join(30)

    def _run(self, thread):
        number = 0
        while not self.stopping:
            try:
                with Client(self.gateway.port, timeout=30) as client:
                    client.greet()
                    for _ in range(self.per_session):
                        number += 1
                        if self.stopping or not self._send(client, f"load-{thread}-{number}"):
                            break
                        time.sleep(self.pause)
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
                with self.lock:
                    self.not_connected += 1
                time.sleep(0.02)
            except (Closed, AssertionError) as what:  # before or at the greeting
                with self.lock:
                    if "421" in str(what):
                        self.drained += 1
                    else:
                        self.dropped.append(("greeting", repr(what)))

    def _send(self, client, subject):
        """One transaction; False when the session is over."""
        where = "MAIL"
        try:
            for where, command, wanted in (("MAIL", "MAIL FROM:<a@sender.example>", 250), ("RCPT", "RCPT TO:<u@example.org>", 250), ("DATA", "DATA", 354)):
                reply = client.say(command)
                if reply.code != wanted:
                    return self._note(subject, where, reply)
            where = "message"
            client.raw(message(subject) + b".\r\n")
            return self._note(subject, where, client.reply())
        except (Closed, OSError) as what:
            with self.lock:
                self.dropped.append((subject, f"{where}: {what!r}"))
            return False

    def _note(self, subject, where, reply):
        with self.lock:
            if reply.code == 250:
                self.accepted.append(subject)
                return True
            if reply.code == 421 and where == "MAIL":
                self.drained += 1
            elif reply.code >= 500:
                self.refused.append((subject, reply))
            else:
                self.deferred[reply.code] += 1
        return False

    def check(self, backend):
        """No accepted message is missing; returns the subjects that arrived more than once."""
        arrived = Counter(m.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in backend.messages)
        missing = [subject for subject in self.accepted if subject not in arrived]
        assert not missing, f"{len(missing)} of {len(self.accepted)} accepted messages are nowhere: {missing[:5]}"
        assert not self.refused, self.refused[:5]
        return [subject for subject, count in arrived.items() if count > 1]
