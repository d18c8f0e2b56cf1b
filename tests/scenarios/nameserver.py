"""A tiny name server on loopback: answers A, AAAA, PTR, MX and TXT from a table, NXDOMAIN for the rest; nothing at all for silent names,
SERVFAIL for failing ones, late for those with a delay."""

import ipaddress
import socket
import struct
import threading

A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def encode_data(kind, value):
    if kind == PTR:
        return encode_name(value)
    if kind == MX:
        preference, host = value.split()
        return struct.pack(">H", int(preference)) + encode_name(host)
    if kind == TXT:
        text = value.encode("latin-1")
        return b"".join(bytes([len(text[at:at + 255])]) + text[at:at + 255] for at in range(0, len(text) or 1, 255))
    return ipaddress.ip_address(value).packed


class NameServer:
    def __init__(self):
        self.records = {}  # (name, type) -> [value]
        self.silent = set()  # names that get no answer
        self.failing = set()  # names that get SERVFAIL
        self.delays = {}  # name -> seconds until the answer
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self):
        """As dns.servers wants it."""
        return f"127.0.0.1@{self.port}"

    def add(self, name, kind, *values):
        self.records[(name.lower().rstrip("."), kind)] = list(values)

    def add_reverse(self, address, name, confirmed=True):
        """A reverse name, and the forward record that confirms it."""
        self.add(ipaddress.ip_address(address).reverse_pointer, PTR, name)
        if confirmed:
            self.add(name, A, address)

    def close(self):
        self.socket.close()

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
                answer, delay = self._answer(query)
                if answer and delay:
                    threading.Timer(delay, self.socket.sendto, (answer, peer)).start()
                elif answer:
                    self.socket.sendto(answer, peer)
            except OSError:
                return

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        if name in self.silent:
            return None, 0
        values = self.records.get((name, kind))
        exists = any(key[0] == name for key in self.records)
        answers = b""
        for value in values or []:
            data = encode_data(kind, value)
            answers += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
        flags = 0x8580 | (2 if name in self.failing else 0 if values or exists else 3)
        header = query[:2] + struct.pack(">HHHHH", flags, 1, len(values or []), 0, 0)
        return header + query[12:at + 5] + answers, self.delays.get(name, 0)
