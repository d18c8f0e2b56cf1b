"""The long proofs, with figures: make soak. `make check` has their small versions in tests/scenarios/test_m_kills.py."""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scenarios")]

import dns_attack
import kills
import reloads
import slow_clients


def tell(name, figures):
    print(f"\n{name}: {json.dumps(figures)}", flush=True)


def test_kills(tmp_path):
    figures = kills.run(tmp_path, times=20)
    tell("kill -9", figures)
    for role, seconds in figures["seconds until back, most"].items():
        assert seconds < 1.0, role


def test_reloads(tmp_path):
    tell("reload", reloads.run(tmp_path, times=100))


def test_slow_clients(tmp_path):
    figures = slow_clients.run(tmp_path, count=5000, seconds=20)
    tell("slow clients", figures)
    assert figures["with"]["p99 ms"] < 1000


def test_dead_name_servers(tmp_path):
    """Each waiting message with one dead name, and each with the ten that RFC 7208 allows."""
    for domain in ("dead.example", "many.example"):
        figures = dns_attack.run(tmp_path / domain, 1000, 20, domain, timeout=5, proxies=2)
        tell(f"dead name servers, {domain}", figures)
        dns_attack.check(figures, 5)
