"""Real name servers for the SPF suite: NSD serving the records of one scenario, and, where names of it are to be silent, a front before it that
passes questions on and drops those."""

import socket
import struct
import threading
from pathlib import Path

from servers import Server

NSD = "/usr/sbin/nsd"
TXT, SOA = 16, 6
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": TXT, "AAAA": 28}


def zone_text(data):
    """TXT data in hex as strings of at most 255 bytes."""
    octets = bytes.fromhex(data)
    strings = [octets[at:at + 255] for at in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03}" for octet in string) + '"' for string in strings)


def zone_data(kind, data):
    if kind == "TXT":
        return zone_text(data)
    if kind == "MX":
        preference, _, host = data.partition(" ")
        return f"{preference} {host}."
    return f"{data}." if kind in ("PTR", "CNAME") else data


def zone_file(records):
    """All names of a scenario in one root zone: so every other name does not exist."""
    lines = [". 60 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 60", ". 60 IN NS ns.invalid."]
    lines += [f"{name}. 60 IN {kind} {zone_data(kind, data)}" for name, kind, data in records if data != "!TIMEOUT"]
    return "\n".join(lines) + "\n"


class Nsd(Server):
    name = "nsd"

    def __init__(self, records):
        super().__init__()
        (self.folder / "zone").write_text(zone_file(records))
        (self.folder / "nsd.conf").write_text(f"""server:
    ip-address: 127.0.0.1@{self.port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{self.folder}"
    zonelistfile: "{self.folder}/list"
    xfrdfile: "{self.folder}/state"
    xfrdir: "{self.folder}"
    pidfile: ""
    database: ""
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "zone"
""")
        self.start_process([NSD, "-d", "-c", str(self.folder / "nsd.conf")])

    @property
    def address(self):
        return f"127.0.0.1@{self.port}"

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"nsd ended with {self.process.returncode}: {self.log()[-2000:]}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.05)
            probe.connect(("127.0.0.1", self.port))
            try:
                probe.send(struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + b"\0" + struct.pack(">HH", SOA, 1))
                return probe.recv(512)[3] & 15 == 0
            except OSError:
                return False


def labels_of(query):
    """The name of a question as records write it, and its type."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    return ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0]


class SilentFront:
    """Passes questions on to a name server, but for those about silent names."""

    def __init__(self, server, records):
        self.server = server
        self.there = {(name.lower(), TYPES[kind]) for name, kind, data in records if data != "!TIMEOUT"}
        self.silent = {(name.lower(), TYPES.get(kind)) for name, kind, data in records if data == "!TIMEOUT"}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1@{self.socket.getsockname()[1]}"

    def close(self):
        self.socket.close()

    def _is_silent(self, query):
        name, kind = labels_of(query)
        return (name, kind) in self.silent or ((name, None) in self.silent and (name, kind) not in self.there)

    def _serve(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as behind:
            behind.settimeout(2)
            behind.connect(("127.0.0.1", self.server.port))
            while True:
                try:
                    query, peer = self.socket.recvfrom(4096)
                    if not self._is_silent(query):
                        behind.send(query)
                        self.socket.sendto(behind.recv(65536), peer)
                except OSError:
                    if self.socket.fileno() < 0:
                        return


def why_not():
    """The one line that says why NSD cannot run here, or None."""
    return None if Path(NSD).exists() else "NSD is not installed (nsd)"
