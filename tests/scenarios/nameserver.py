"""A tiny name server on loopback: answers A, AAAA and PTR from a table, NXDOMAIN for the rest, nothing at all for silent names."""

import ipaddress
import socket
import struct
import threading

A, PTR, AAAA = 1, 12, 28


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


class NameServer:
    def __init__(self):
        self.records = {}  # (name, type) -> [value]
        self.silent = set()  # names that get no answer
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
                answer = self._answer(query)
                if answer:
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
            return None
        values = self.records.get((name, kind))
        exists = any(key[0] == name for key in self.records)
        answers = b""
        for value in values or []:
            data = encode_name(value) if kind == PTR else ipaddress.ip_address(value).packed
            answers += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
        flags = 0x8580 | (0 if values or exists else 3)
        return query[:2] + struct.pack(">HHHHH", flags, 1, len(values or []), 0, 0) + query[12:at + 5] + answers
