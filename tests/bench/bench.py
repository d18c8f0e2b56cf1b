#!/usr/bin/python3
"""Throughput and CPU time of postern beside Postfix as before-queue proxy and beside nothing at all, in one run: machines differ and
are noisy, so what counts are the ratios. Sender and sink are Postfix's smtp-source and smtp-sink, on loopback, on the same machine.

Usage: bench.py [ROUNDS [SCALE]]   SCALE 0.1 sends a tenth of the messages."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios"))

import servers
from peers import Direct, Postern, PosternSpf, PostfixProxy, Sink

SESSIONS = 20
WARM_UP = 200
TIME_LIMIT = 300

# name, bytes of the message, options of smtp-source, messages per round for each kind of peer: a round lasts seconds
LOADS = [
    ("4 KB, reused connections", 4096, ["-d"], {"direct": 40000, "postfix-proxy": 8000, "postern": 16000, "postern-spf": 16000}),
    ("4 KB, new recipients", 4096, ["-d", "-N"], {"direct": 40000, "postfix-proxy": 8000, "postern": 16000, "postern-spf": 16000}),
    ("4 KB, fresh connections", 4096, [], {"direct": 15000, "postfix-proxy": 4000, "postern": 8000, "postern-spf": 8000}),
    ("100 KB, reused connections", 100 * 1024, ["-d"], {"direct": 5000, "postfix-proxy": 2500, "postern": 4000, "postern-spf": 4000}),
]


def write_message(folder, size):
    """Lines of text with some headers; smtp-source makes the line ends CR LF."""
    headers = ("From: Sender <a@sender.example>\nTo: User <u@example.org>\nSubject: measured\nDate: Sat, 21 Nov 2026 20:00:00 +0000\n"
               "Message-ID: <measured@sender.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n")
    line = "Seventy-one characters of text stand here, as in a usual letter, ok?...\n"
    path = Path(folder) / f"message-{size}"
    path.write_text(headers + line * ((size - len(headers)) // (len(line) + 1)))
    return path


def send(peer, load, path, count):
    """Returns the seconds until all are answered 250; smtp-source ends with an error at anything else."""
    _, _, options, _ = load
    arguments = [*servers.postfix_program("smtp-source"), *options, "-s", str(SESSIONS), "-m", str(count), "-M", "client.example",
                 "-f", "a@sender.example", "-t", "u@example.org", "-F", str(path), f"127.0.0.1:{peer.port}"]
    start = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=TIME_LIMIT)
    seconds = time.monotonic() - start
    if done.returncode != 0 or done.stderr:
        raise SystemExit(f"{peer.name}: {load[0]}: {done.stderr.strip()[-300:]}")
    return seconds


def measure(peer, load, path, scale):
    """(messages per second, CPU milliseconds per message or None)"""
    count = max(SESSIONS, int(load[3][peer.name] * scale))
    before = peer.cpu_seconds()
    seconds = send(peer, load, path, count)
    peer.check(count)
    cpu = None if before is None else (peer.cpu_seconds() - before) / count * 1000
    return count / seconds, cpu


def median_ratio(ones, others):
    """Of one round to the same round: what slows a round down slows both."""
    return statistics.median(one / other for one, other in zip(ones, others))


def print_table(results, peers):
    print(f"{'':28} {'':14} {'messages/s (least-most)':>26} {'CPU ms/message':>15} {'of direct':>10} {'of Postfix':>11} {'CPU of Postfix':>15}")
    for load in LOADS:
        for peer in peers:
            rates = [rate for rate, _ in results[load[0], peer.name]]
            times = [cpu for _, cpu in results[load[0], peer.name] if cpu is not None]
            cells = [f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})", f"{statistics.median(times):.3f}" if times else "-"]
            cells.append(f"{median_ratio(rates, [rate for rate, _ in results[load[0], 'direct']]):.2f}")
            postfix = results.get((load[0], "postfix-proxy"))
            cells.append(f"{median_ratio(rates, [rate for rate, _ in postfix]):.2f}" if postfix else "-")
            cells.append(f"{median_ratio(times, [cpu for _, cpu in postfix]):.2f}" if postfix and times else "-")
            print(f"{load[0] if peer is peers[0] else '':28} {peer.name:14} {cells[0]:>26} {cells[1]:>15} {cells[2]:>10} {cells[3]:>11} {cells[4]:>15}")


def run(peers, folder, rounds, scale):
    results = {}
    paths = {load[1]: write_message(folder, load[1]) for load in LOADS}
    for peer in peers:
        send(peer, LOADS[0], paths[LOADS[0][1]], WARM_UP)
        peer.check(WARM_UP)
    for _ in range(rounds):
        for load in LOADS:
            for peer in peers:
                results.setdefault((load[0], peer.name), []).append(measure(peer, load, paths[load[1]], scale))
    return results


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    if not (servers.POSTFIX / "usr/sbin/smtp-source").exists():
        raise SystemExit(f"no Postfix below {servers.PEERS}: run make check-deps")
    kinds = [Direct, PostfixProxy, Postern, PosternSpf]
    if servers.why_no_postfix():
        print(f"without Postfix: {servers.why_no_postfix()}")
        kinds.remove(PostfixProxy)
    peers, sink = [], Sink()
    try:
        with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
            for kind in kinds:
                peers.append(kind(sink))
            results = run(peers, folder, rounds, scale)
    finally:
        for peer in peers:
            peer.stop()
        sink.stop()
    print(f"{os.cpu_count()} cores, Linux {platform.release()}; {SESSIONS} sessions, medians of {rounds} alternating rounds, scale {scale:g}; "
          "CPU is user + system of the peer's own processes")
    print_table(results, peers)


if __name__ == "__main__":
    main()
