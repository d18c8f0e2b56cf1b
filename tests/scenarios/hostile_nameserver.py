"""A name server on loopback, UDP and TCP, that says exactly the bytes it is told to: truncation, lies about lengths and counts, loops, silence.

`rules` maps the end of a name to a callable(Question) -> bytes, (seconds, bytes) for a late answer, or None (silence). The longest end that fits wins;
names without a rule do not exist.
Long answers over UDP are cut off and have to be fetched over TCP (RFC 2181 9)."""

import socket
import struct
import threading
import time
from collections import namedtuple

from nameserver import encode_name

A, CNAME, MX, PTR, TXT, AAAA = 1, 5, 15, 12, 16, 28
UDP_MAX = 1232  # the client's EDNS size
NO_ERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
OWNER = b"\xc0\x0c"  # the name of the question

Question = namedtuple("Question", "query name kind section tcp")


def texts(*values):
    """TXT data of one record: strings of 255 bytes."""
    joined = "".join(values).encode("latin-1")
    return b"".join(bytes([len(joined[at:at + 255])]) + joined[at:at + 255] for at in range(0, len(joined) or 1, 255))


def record(kind, data, owner=OWNER, length=None, ttl=60):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data) if length is None else length) + data


def packet(question, *records, code=NO_ERROR, count=None, flags=0x8580, identity=None, section=None):
    """A response; what is not given is as it should be."""
    head = (identity or question.query[:2]) + struct.pack(">HHHHH", flags | code, 1, len(records) if count is None else count, 0, 0)
    return head + (question.section if section is None else section) + b"".join(records)


def answers(*records):
    return lambda question: packet(question, *records)


def text_of(value):
    """Answers TXT with the value, or with value(question); other types with nothing."""
    def rule(question):
        if question.kind != TXT:
            return packet(question)
        return packet(question, record(TXT, texts(value(question) if callable(value) else value)))
    return rule


def silence(_):
    return None


def servfail(question):
    return packet(question, code=SERVFAIL)


class HostileServer:
    def __init__(self):
        self.rules = {}
        self.asked = []  # (name, type)
        self.over_tcp = 0
        while True:
            self.udp, self.tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:  # somebody else's
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(256)
        for serve in (self._serve_udp, self._accept):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1@{self.port}"

    def close(self):
        self.udp.close()
        self.tcp.close()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            delay, answer = self._answer(query, False)
            if delay:
                threading.Timer(delay, self._send_udp, (answer, peer)).start()
            elif answer is not None:
                self._send_udp(answer, peer)

    def _send_udp(self, answer, peer):
        try:
            self.udp.sendto(answer, peer)
        except OSError:
            pass  # closed meanwhile

    def _accept(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_tcp, args=(connection,), daemon=True).start()

    def _serve_tcp(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while len(head := stream.read(2)) == 2:
                    query = stream.read(struct.unpack(">H", head)[0])
                    self.over_tcp += 1
                    delay, answer = self._answer(query, True)
                    time.sleep(delay)
                    if answer is not None:
                        connection.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                pass

    def _answer(self, query, tcp):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = Question(query, ".".join(labels), kind, query[12:at + 5], tcp)
        self.asked.append((question.name, kind))
        for start in range(len(labels)):
            if rule := self.rules.get(".".join(labels[start:])):
                break
        else:
            return 0, packet(question, code=NXDOMAIN)
        said = rule(question)
        delay, answer = said if isinstance(said, tuple) else (0, said)
        if answer is not None and not tcp and len(answer) > UDP_MAX:
            answer = packet(question, flags=0x8780)
        return delay, answer
