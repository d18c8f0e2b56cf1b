"""Processes: reload by generations, deaths and respawns, the end. With mail flowing all the while."""

import os
import signal
import socket
import subprocess
import time

import pytest

from backend import Delay
from client import Client, Closed, message
from gateway import PROGRAM, wait_until
from load import Load

KILLS = int(os.environ.get("POSTERN_KILLS", "4"))  # of each kind of process
RELOADS = int(os.environ.get("POSTERN_RELOADS", "15"))


def alive(pid):
    """Is there such a process, that is not only waiting to be reaped?"""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def generation(gateway):
    return max(p["generation"] for p in gateway.processes("proxy"))


# --- reload ---


def test_reloads_under_load_lose_nothing(gateway_factory, backend):
    gateway = gateway_factory(backend, proxies=2, drain_timeout="5s")
    with Load(gateway, clients=4) as load:
        for _ in range(RELOADS):
            gateway.command("reload")
    assert load.check(backend) == []
    assert not load.dropped and not load.not_connected and not load.deferred, (load.dropped[:3], load.not_connected, load.deferred)
    assert len(load.accepted) > RELOADS
    assert generation(gateway) == RELOADS + 1
    wait_until(lambda: len(gateway.processes("proxy")) == 2, what="the old proxies have gone")


def test_a_reload_takes_the_new_configuration(gateway_factory, backend):
    gateway = gateway_factory(backend)
    with Client(gateway.port) as client:
        client.greet()
        client.expect("MAIL FROM:<a@b.example>", 250)
        client.expect("RCPT TO:<u@new.example>", 550)
    gateway.settings["domains"].append("new.example")
    gateway.write_config()
    gateway.command("reload")
    with Client(gateway.port) as client:
        client.greet()
        assert client.send(message("new"), recipients=("u@new.example",)).code == 250


def test_sighup_reloads(gateway_factory, backend):
    gateway = gateway_factory(backend)
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: generation(gateway) == 2, what="generation 2")
    with Client(gateway.port) as client:
        client.greet()
        assert client.send(message("hup")).code == 250


def test_a_wrong_configuration_changes_nothing_and_says_why(gateway_factory, backend):
    gateway = gateway_factory(backend)
    pids = {p["pid"] for p in gateway.processes()}
    gateway.config_file.write_text(gateway.config_file.read_text() + "no_such_option: 1\n")
    done = gateway.command("reload", check=False)
    assert done.returncode == 1 and "no_such_option" in done.stderr + done.stdout and "postern.yaml:" in done.stderr + done.stdout
    assert {p["pid"] for p in gateway.processes()} == pids
    with Client(gateway.port) as client:
        client.greet()
        assert client.send(message("still")).code == 250


def test_a_message_under_way_is_finished_by_the_old_generation(gateway_factory, backend):
    gateway = gateway_factory(backend, drain_timeout="10s")
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(b"Subject: under way\r\n\r\n")
    gateway.command("reload")
    client.raw(b"end\r\n.\r\n")
    assert client.reply().code == 250
    assert len(backend.messages) == 1
    with Client(gateway.port) as fresh:
        fresh.greet()
        assert fresh.send(message("fresh")).code == 250


def test_what_does_not_end_in_time_is_answered_421(gateway_factory, backend):
    gateway = gateway_factory(backend, drain_timeout="500ms")
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(b"Subject: never ends\r\n")
    gateway.command("reload")
    assert client.reply().code == 421
    wait_until(lambda: len(gateway.processes("proxy")) == 1, what="the old proxy has gone")


def test_a_client_that_hears_its_answer_after_the_deadline_begins_nothing_new(gateway_factory, backend):
    backend.rules["EOD"] = Delay(1.5)
    gateway = gateway_factory(backend, drain_timeout="500ms")
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(message("late") + b".\r\n")
    wait_until(lambda: backend.said("DATA"), what="the message is at the backend")
    gateway.command("reload")
    assert client.reply().code == 250
    client.raw("MAIL FROM:<a@sender.example>\r\n")
    assert client.reply().code == 421
    assert client.is_closed()
    wait_until(lambda: len(gateway.processes("proxy")) == 1, what="the old proxy has gone")


def test_a_slow_backend_is_waited_for_by_the_old_generation(gateway_factory, backend):
    """Longer than drain_timeout and the grace behind it: the backend takes the message, and the client must hear so."""
    backend.rules["EOD"] = Delay(12.5)
    gateway = gateway_factory(backend, drain_timeout="500ms")
    client = Client(gateway.port, timeout=30)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(message("slow") + b".\r\n")
    wait_until(lambda: backend.said("DATA"), what="the message is at the backend")
    gateway.command("reload")
    assert client.reply().code == 250
    assert len(backend.messages) == 1
    wait_until(lambda: len(gateway.processes("proxy")) == 1, what="the old proxy has gone")


# --- deaths ---


@pytest.mark.parametrize("role", ["proxy", "deliver", "journal"])
def test_kill_9_under_load(gateway_factory, backend, role):
    gateway = gateway_factory(backend, proxies=2)
    with Load(gateway, clients=3) as load:
        for _ in range(KILLS):
            time.sleep(0.3)
            victim = gateway.processes(role)[0]["pid"]
            count = len(gateway.processes(role))
            os.kill(victim, signal.SIGKILL)
            # Within a second on a machine that is not busy; one that dies again and again waits up to 800 ms first.
            wait_until(lambda: serving(gateway, role, victim) == count, 5, what=f"{role} is back")
        time.sleep(0.3)
    doubled = load.check(backend)
    assert len(load.accepted) > 10 * KILLS
    if role != "proxy":
        assert not load.dropped and not load.not_connected, (load.dropped[:3], load.not_connected)
    windows = wait_until(lambda: (lambda n: n if n >= len(doubled) else None)(gateway.log().count("window")) if doubled else True, 5,
                         what=f"each doubling ({doubled}) is in the log as the known window")
    assert windows
    assert gateway.process.poll() is None


def serving(gateway, role, but):
    return sum(p["pid"] not in (0, but) and p["state"] == "serving" for p in gateway.processes(role))


def test_what_a_dead_proxy_held_is_in_the_trace(gateway_factory, backend):
    gateway = gateway_factory(backend)
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    os.kill(gateway.processes("proxy")[0]["pid"], signal.SIGKILL)
    with pytest.raises(Closed):
        client.reply()
    with_new = wait_until(lambda: open_session(gateway), 5, what="the port answers again")
    assert with_new.send(message("after")).code == 250


def open_session(gateway):
    try:
        client = Client(gateway.port)
        client.greet()
        return client
    except (OSError, Closed):
        return None


def test_the_window_of_a_killed_proxy_is_written_down(gateway_factory, backend_factory):
    from backend import Delay

    backend = backend_factory(rules={"EOD": Delay(1)})
    gateway = gateway_factory(backend)
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(message("window") + b".\r\n")
    time.sleep(0.4)
    os.kill(gateway.processes("proxy")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: "process-lost-window" in gateway.log(), 5, what="the window in the log")


def test_mail_is_stored_while_deliver_dies(gateway_factory):
    gateway = gateway_factory("maildir:mail")
    accepted = 0
    with Client(gateway.port) as client:
        client.greet()
        for number in range(12):
            if number % 4 == 2:
                os.kill(gateway.processes("deliver")[0]["pid"], signal.SIGKILL)
            reply = client.send(message(f"deliver-{number}"))
            assert reply.code in (250, 451), reply
            accepted += reply.code == 250
    stored = list((gateway.data / "mail" / "u@example.org" / "new").iterdir())
    assert accepted >= 6 and len(stored) >= accepted


def test_children_go_when_the_master_is_killed(gateway_factory, backend):
    gateway = gateway_factory(backend, proxies=2)
    children = [p["pid"] for p in gateway.processes() if p["role"] != "master"]
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    gateway.process.kill()
    gateway.process.wait()
    client.raw(message("orphan") + b".\r\n")
    assert client.reply().code == 250
    client.close()
    wait_until(lambda: not any(alive(pid) for pid in children), 15, what="the children have gone")
    assert len(backend.messages) == 1


# --- start and end ---


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "stop"])
def test_it_stops_and_leaves_nothing_behind(gateway_factory, backend, way):
    gateway = gateway_factory(backend)
    pids = [p["pid"] for p in gateway.processes()]
    client = Client(gateway.port)
    client.greet()
    if way == "stop":
        gateway.command("stop")
    else:
        gateway.signal(getattr(signal, way))
    assert client.reply().code == 421
    assert gateway.process.wait(10) == 0
    assert not any(alive(pid) for pid in pids)
    assert not (gateway.data / "control").exists()


def run(gateway):
    return subprocess.run([str(PROGRAM), "run", "-c", str(gateway.config_file)], capture_output=True, text=True, timeout=20, cwd=gateway.folder)


def test_all_errors_of_a_configuration_are_said_before_anything_is_bound(gateway):
    gateway.stop()
    gateway.config_file.write_text(gateway.config_file.read_text().replace("hostname: mx.test.example", "hostname: -bad-") + "wrong: 1\nlimits: {errors: many}\n")
    done = run(gateway)
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "postern.yaml:" in line]) == 3, done.stderr
    check = gateway.command("check-config", check=False)
    assert check.returncode == 1 and check.stderr + check.stdout
    assert not (gateway.data / "control").exists()


def test_print_config_loads_again(gateway):
    printed = gateway.command("print-config").stdout
    again = gateway.folder / "again.yaml"
    again.write_text(printed)
    assert gateway.run("print-config", "-c", str(again)).stdout == printed
    assert gateway.run("check-config", "-c", str(again)).returncode == 0


def test_a_port_in_use_is_one_clear_line(gateway):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway.stop()
        gateway.settings["listen"] = [{"address": f"127.0.0.1:{taken.getsockname()[1]}"}]
        gateway.write_config()
        done = run(gateway)
    assert done.returncode == 1
    assert str(taken) and "in use" in done.stderr


def test_two_gateways_with_one_data_directory(gateway, backend):
    done = run(gateway)
    assert done.returncode == 1, done.stderr
    assert gateway.status()
