"""Processes killed, reloads and slow clients under load, in small; make soak does the same at length and prints figures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "soak"))

import kills
import reloads
import slow_clients

from client import message


def test_killed_processes_lose_nothing_and_are_soon_back(tmp_path):
    figures = kills.run(tmp_path, times=2)
    assert figures["acknowledged"] > 100
    assert max(figures["seconds until back, most"].values()) < 3, figures  # a second, on a machine that does nothing else


def test_reloads_drop_no_session_and_lose_no_message(tmp_path):
    figures = reloads.run(tmp_path, times=10)
    assert figures["acknowledged"] > 100


def test_a_session_outlives_a_reload_until_it_has_nothing_to_say(gateway, connect):
    client = connect()
    client.mail()
    gateway.command("reload")
    assert client.data(message("across")).code == 250
    assert client.send(message("after")).code == 250
    last = client.reply()  # it was silent for a moment
    assert (last.code, last.enhanced) == (421, "4.3.2")
    assert client.is_closed()


def test_slow_clients_do_not_keep_ordinary_mail_from_the_backend(tmp_path):
    figures = slow_clients.run(tmp_path, count=500, seconds=3)
    assert figures["with"]["p99 ms"] < 1000, figures
