"""Mail under load, counted: senders that behave as mail servers do (they keep a message until they see 250), a backend that stores
before it answers, and the account of the two."""

import collections
import json
import random
import re
import threading
import time

from backend import Backend
from client import Client, Closed

NUMBER = re.compile(rb"(?im)^Message-ID: <(\d+)@load\.example>")
QUEUE_ID = re.compile(rb"with E?SMTPS? id (\S+)")

SMTP_DOMAIN = "example.org"
MAILDIR_DOMAIN = "example.net"


def numbered_message(number):
    """Mostly small; every twentieth is too large for the memory a proxy keeps small messages in."""
    lines = 1500 if number % 20 == 0 else 10
    return (f"From: <a@sender.example>\r\nTo: <u@example.org>\r\nSubject: load\r\nMessage-ID: <{number}@load.example>\r\n\r\n"
            + "0123456789 and so on, until the line is of some length.\r\n" * lines).encode()


def number_and_queue_id(data):
    return int(NUMBER.search(data).group(1)), QUEUE_ID.search(data).group(1).decode()


class Recorder(Backend):
    """Stores a message, then takes up to `slowest` seconds before it says so: whoever dies meanwhile does not know."""

    def __init__(self, slowest=0.02, **options):
        self.stored = collections.defaultdict(list)  # number -> queue IDs of its copies
        self.slowest = slowest
        super().__init__(rules={"EOD": self._store}, **options)

    def _store(self, conversation, _):
        number, queue_id = number_and_queue_id(conversation.data)
        with self.lock:
            self.stored[number].append(queue_id)
        time.sleep(random.uniform(0, self.slowest))


def read_maildirs(folder):
    """number -> queue IDs, of all messages below the folder."""
    stored = collections.defaultdict(list)
    for path in folder.glob("**/new/*"):
        number, queue_id = number_and_queue_id(path.read_bytes())
        stored[number].append(queue_id)
    return stored


class Trouble(Exception):
    """Something other than the expected reply; `reply` is None when the connection broke."""

    def __init__(self, when, reply):
        super().__init__(f"{when}: {reply!r}" if reply else f"{when}: connection closed")
        self.when = when
        self.reply = reply


class Load:
    """Senders in threads. `troubles` is all they met: (monotonic time, domain, Trouble)."""

    def __init__(self, port, senders=8, per_connection=4, domains=(SMTP_DOMAIN, MAILDIR_DOMAIN), numbers=0):
        self.port = port
        self.per_connection = per_connection
        self.domains = domains
        self.lock = threading.Lock()
        self.numbers = numbers  # the last one used
        self.acknowledged = {}  # number -> domain
        self.given_up = set()
        self.troubles = []
        self.ending = False  # no new messages
        self.hopeless = False  # nobody will take what is left
        self.threads = [threading.Thread(target=self._send_all, args=(index,), daemon=True) for index in range(senders)]
        for thread in self.threads:
            thread.start()

    def finish(self, seconds=60):
        """No new messages; waits until all begun have been acknowledged."""
        self.ending = True
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        left = sum(thread.is_alive() for thread in self.threads)
        assert not left, f"{left} senders still try; last troubles: {self.troubles[-5:]}"

    def give_up(self):
        """The server is gone for good."""
        self.hopeless = self.ending = True

    def troubles_since(self, start, domain=None):
        with self.lock:
            return [trouble for at, where, trouble in self.troubles if at >= start and domain in (None, where)]

    def _next_number(self):
        with self.lock:
            self.numbers += 1
            return self.numbers

    def _send_all(self, index):
        domain = self.domains[index % len(self.domains)]
        while not self.ending:
            client = None
            try:
                client = self._connect()
                for _ in range(self.per_connection):
                    if self.ending:
                        break
                    number = self._next_number()
                    client = self._send_until_taken(client, number, domain)
                self._say(client, "QUIT", 221)
            except Trouble as trouble:  # outside a message
                self._note(domain, trouble)
                time.sleep(0.05)
            finally:
                if client:
                    client.close()

    def _send_until_taken(self, client, number, domain):
        """Returns the connection it was taken over."""
        while True:
            try:
                if client is None:
                    client = self._connect()
                self._send(client, number, domain)
                with self.lock:
                    self.acknowledged[number] = domain
                return client
            except Trouble as trouble:
                self._note(domain, trouble)
                if client:
                    client.close()
                client = None
                if self.hopeless:
                    self.given_up.add(number)
                    raise
                time.sleep(random.uniform(0.02, 0.1))

    def _note(self, domain, trouble):
        with self.lock:
            self.troubles.append((time.monotonic(), domain, trouble))

    def _connect(self):
        try:
            client = Client(self.port, timeout=60)
        except OSError:
            raise Trouble("connect", None) from None
        try:
            self._expect("greeting", client.reply, 220)
            self._say(client, "EHLO client.example", 250)
        except Trouble:
            client.close()
            raise
        return client

    def _send(self, client, number, domain):
        self._say(client, "MAIL FROM:<a@sender.example>", 250)
        self._say(client, f"RCPT TO:<u@{domain}>", 250)
        self._say(client, "DATA", 354)
        self._expect("end of data", lambda: (client.raw(numbered_message(number) + b".\r\n"), client.reply())[1], 250)

    def _say(self, client, command, code):
        self._expect(command, lambda: client.say(command), code)

    @staticmethod
    def _expect(when, act, code):
        try:
            reply = act()
        except (Closed, OSError):
            raise Trouble(when, None) from None
        if reply.code != code:
            raise Trouble(when, reply)


def explanation(gateway, queue_id):
    """What the trace says of a delivery nobody was told of: its result when that is one of the known windows. By queue ID: of a process
    that was killed nothing else is known."""
    gateway.trace(queue_id)
    for record in map(json.loads, gateway.command("trace", "--json", queue_id).stdout.splitlines()):
        if record["result"] in ("double-window", "process-lost-window"):
            return record["result"]
        if record["result"] == "tempfailed" and "the backend may have the message" in (record.get("reason") or ""):
            return "no answer to the final dot"
    return None


def settle(gateway, load, stored):
    """Every acknowledged message is stored once, or the trace explains each further copy. Returns the doublings by explanation."""
    lost = sorted(number for number in load.acknowledged if number not in stored)
    assert not lost, f"{len(lost)} messages acknowledged and lost, e.g. {lost[:5]}"
    explained = collections.Counter()
    for number, queue_ids in stored.items():
        if len(queue_ids) < 2:
            continue
        why = [each for each in (explanation(gateway, queue_id) for queue_id in queue_ids) if each]
        assert len(why) >= len(queue_ids) - 1, f"message {number} was stored as {queue_ids}, of which the trace explains only {why}"
        explained.update(why)
    return explained
