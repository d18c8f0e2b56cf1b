"""kill -9 of each kind of process under load: nothing acknowledged is lost, doublings are explained, the rest notices nothing."""

import os
import random
import signal
import time
from pathlib import Path

from client import Client, Closed
from gateway import Gateway, wait_until
from counted_load import MAILDIR_DOMAIN, SMTP_DOMAIN, Load, Recorder, read_maildirs, settle
from nameserver import NameServer

ROLES = ("proxy", "deliver", "journal")
WITNESSES = 80  # so many that the proxies share them: a few may well be all with one


def make_names():
    """With a name for the senders, cached: a reverse name costs no session its time."""
    names = NameServer()
    names.add_reverse("127.0.0.1", "client.example")
    return names


def make_gateway(folder, recorder, names, **options):
    backends = [{"url": recorder.url, "domains": [SMTP_DOMAIN]}, {"url": "maildir:mail", "domains": [MAILDIR_DOMAIN]}]
    return Gateway(folder, backends, proxies=2, dns={"servers": [names.address]},
                   limits={"sessions_per_address": 1000, "sessions": 2000}, **options)


def sockets_of(pid):
    """Inodes of the sockets a process holds; None where we may not look."""
    links = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
            except FileNotFoundError:
                pass  # closed meanwhile
    except PermissionError:
        return None
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


def server_sockets(port):
    """Client port -> inode of the server's end of that connection."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == port:
            found[int(fields[2].split(":")[1], 16)] = int(fields[9])
    return found


class Witnesses:
    """Sessions that say nothing while a process dies: only those it held may end."""

    def __init__(self, port):
        self.port = port
        self.clients = []
        self.refill()

    def refill(self):
        while len(self.clients) < WITNESSES:
            client = Client(self.port, timeout=10)
            client.greet()
            self.clients.append(client)

    def held_by(self, pid):
        held, ends = sockets_of(pid), server_sockets(self.port)
        if held is None:
            return None
        return {client for client in self.clients if ends.get(client.socket.getsockname()[1]) in held}

    def check(self, expected_dead):
        dead = set()
        for client in self.clients:
            try:
                client.expect("NOOP", 250)
            except (Closed, OSError):
                dead.add(client)
        if expected_dead is not None:
            assert dead == expected_dead, f"{len(dead)} sessions ended, the process held {len(expected_dead)}"
        else:
            assert len(dead) < len(self.clients), "every session ended with one of two proxies"
        for client in dead:
            client.close()
        self.clients = [client for client in self.clients if client not in dead]
        self.refill()

    def close(self):
        for client in self.clients:
            client.close()


def kill_one(gateway, witnesses, load, role):
    """Returns how long the process was missed."""
    victim = random.choice([process for process in gateway.processes(role) if process["state"] == "serving"])
    expected_dead = witnesses.held_by(victim["pid"]) if role == "proxy" else set()
    start = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)

    def is_back():
        now = gateway.processes(role)
        return all(process["state"] == "serving" and process["pid"] != victim["pid"] for process in now) and now

    wait_until(is_back, 10, 0.005, what=f"another {role}")
    missed = time.monotonic() - start
    time.sleep(0.1)
    witnesses.check(expected_dead)
    if role == "deliver":
        assert not load.troubles_since(start, SMTP_DOMAIN), load.troubles_since(start, SMTP_DOMAIN)
    elif role == "journal":
        assert not load.troubles_since(start), load.troubles_since(start)
    return missed


def kill_children(gateway, load, times):
    missed = {role: [] for role in ROLES}
    witnesses = Witnesses(gateway.port)
    try:
        for _ in range(times):
            for role in ROLES:
                time.sleep(random.uniform(0.3, 0.6))
                missed[role].append(kill_one(gateway, witnesses, load, role))
    finally:
        witnesses.close()
    return missed


def kill_master(gateway, load):
    """Its children finish what they hold and leave."""
    children = [process["pid"] for process in gateway.processes() if process["role"] != "master"]
    time.sleep(0.5)
    gateway.process.kill()
    gateway.process.wait()
    load.give_up()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 15, what="end of the children of a dead master")
    load.finish()


def run(folder, times):
    recorder, names = Recorder(), make_names()
    gateway = make_gateway(folder, recorder, names).start()
    load = Load(gateway.port)
    try:
        missed = kill_children(gateway, load, times)
        load.finish()
        before_last = len(load.acknowledged)
        assert before_last == load.numbers, f"{load.numbers} sent, {before_last} acknowledged"
        last = Load(gateway.port, numbers=load.numbers)
        kill_master(gateway, last)
        time.sleep(0.5)  # the backend's last words
        last.acknowledged.update(load.acknowledged)
        stored = dict(recorder.stored)
        stored.update(read_maildirs(gateway.data / "mail"))
        doubled = settle(gateway, last, stored)
    finally:
        load.give_up()
        gateway.stop()
        recorder.close()
        names.close()
    return {
        "acknowledged": len(last.acknowledged),
        "kills": {role: len(each) for role, each in missed.items()},
        "seconds until back, most": {role: round(max(each), 3) for role, each in missed.items()},
        "troubles met": len(load.troubles) + len(last.troubles),
        "doubled": dict(doubled),
    }
