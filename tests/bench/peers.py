"""What is measured: nothing in between, Postfix as before-queue proxy, postern. Each takes mail on `port` and hands it to the sink."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import servers
from gateway import Gateway, die_with_parent, free_port, wait_until
from nameserver import TXT, NameServer

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    """(parent, CPU ticks of the process and of the children it has waited for) or None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(int(field) for field in fields[11:15])


def cpu_seconds_of_tree(root):
    """Of a process and all its descendants, living or waited for."""
    stats = {int(name): stat_of(name) for name in os.listdir("/proc") if name.isdigit()}
    stats = {pid: stat for pid, stat in stats.items() if stat}
    tree = {root}
    while more := {pid for pid, (parent, _) in stats.items() if parent in tree and pid not in tree}:
        tree |= more
    return sum(stats[pid][1] for pid in tree if pid in stats) / TICKS_PER_SECOND


class Sink:
    """smtp-sink: takes and forgets. Several listen side by side would be no fairer: each peer has the same one."""

    def __init__(self):
        self.port = free_port()
        arguments = servers.postfix_program("smtp-sink")
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]
        self.process = subprocess.Popen([*arguments, "-m", "5000", f"127.0.0.1:{self.port}", "1024"], stdin=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        wait_until(self._listens, 10, what="smtp-sink")

    def _listens(self):
        return any(line.split()[1].endswith(f":{self.port:04X}") for line in Path("/proc/net/tcp").read_text().splitlines()[1:])

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Direct:
    name = "direct"

    def __init__(self, sink):
        self.port = sink.port

    def cpu_seconds(self):
        return None

    def check(self, sent):
        pass

    def stop(self):
        pass


class PostfixProxy(servers.Postfix):
    """smtpd hands each message to the sink while the client waits; nothing is queued."""

    name = "postfix-proxy"
    smtpd_processes = 100

    def __init__(self, sink):
        super().__init__()
        self.sink_port = sink.port
        self.start()

    def main_cf(self):
        return f"""
mynetworks =
relay_domains = example.org
smtpd_relay_restrictions = reject_unauth_destination
smtpd_proxy_filter = 127.0.0.1:{self.sink_port}
message_size_limit = 52428800
"""

    def cpu_seconds(self):
        return cpu_seconds_of_tree(self.process.pid)

    def check(self, sent):
        pass


class Postern:
    """As it comes: sandbox, log line and trace for each message."""

    name = "postern"
    options = {}

    def __init__(self, sink):
        self.folder = Path(tempfile.mkdtemp(prefix="postern-bench-"))
        self.names = NameServer()
        self.names.add_reverse("127.0.0.1", "client.example")
        self.names.add("sender.example", TXT, "v=spf1 ip4:127.0.0.0/8 -all")
        self.gateway = Gateway(self.folder, [{"url": f"smtp://127.0.0.1:{sink.port}"}], proxies=2, dns={"servers": [self.names.address]},
                               **self.options)
        self.gateway.start()
        self.port = self.gateway.port
        self.accepted = 0

    def cpu_seconds(self):
        return cpu_seconds_of_tree(self.gateway.process.pid)

    def check(self, sent):
        """Its own count agrees with the sender's."""
        before, self.accepted = self.accepted, self.gateway.status()["counters"]["messages_accepted"]
        assert self.accepted - before == sent, f"sent {sent}, accepted {self.accepted - before}"

    def stop(self):
        self.gateway.stop()
        self.names.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class PosternSpf(Postern):
    """The same, judging SPF in its workers: a job, a message descriptor and a result for each message."""

    name = "postern-spf"
    options = {"filters": [{"spf": {"fail": "reject"}}], "auth_workers": 2}
