"""The real daemon under test: one `postern run` in a folder of its own, on free loopback ports."""

import ctypes
import functools
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import yaml

from nameserver import NameServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("POSTERN", ROOT / "build" / "postern"))
START_SECONDS = 20


def free_port():
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=10.0, step=0.02, what="condition"):
    """Polls until condition() is truthy and returns its value; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


@functools.cache
def nameserver():
    """The one name server of the test run; it knows no names unless a test adds some."""
    return NameServer()


def sanitized():
    """True when the program was built with AddressSanitizer, which costs memory and time."""
    return b"__asan_init" in PROGRAM.read_bytes()


def die_with_parent():
    """In a child, before exec: ends with the test run, however that ends (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


# A failed assertion, a sanitizer's report, a process that ended by itself and not well (tests kill with signal 9 only).
ACCIDENT = re.compile(r".*(?:assertion failed|Sanitizer|runtime error:|ended: signal (?!9 )|ended: exit status [^0]).*")


class Gateway:
    """Writes a configuration, starts the daemon, asks it questions through its own commands."""

    program = PROGRAM

    def __init__(self, folder, backends, port=None, **options):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.settings = {
            "hostname": "mx.test.example",
            "domains": ["example.org", "example.net"],
            "listen": [{"address": f"127.0.0.1:{self.port}"}],
            "backends": backends,
            "data_directory": str(self.folder / "data"),
            "dns": {"servers": [nameserver().address], "timeout": "500ms"},
            "proxies": 1,
            "user": "",
            "limits": {"sessions": 2000},
        }
        for name, value in options.items():
            own = self.settings.get(name)
            self.settings[name] = {**own, **value} if isinstance(own, dict) else value
        self.process = None
        self.starts = 0

    @property
    def config_file(self):
        return self.folder / "postern.yaml"

    @property
    def data(self):
        return Path(self.settings["data_directory"])

    def write_config(self):
        self.config_file.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def start(self):
        self.write_config()
        self.starts += 1
        self.stderr = open(self.folder / "stderr", "ab")
        self.process = subprocess.Popen(
            [str(self.program), "run", "-c", str(self.config_file)], stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr,
            cwd=self.folder, preexec_fn=die_with_parent)
        wait_until(self._answers, START_SECONDS, what=f"gateway on port {self.port}: {self.log()[-2000:]}")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"gateway ended with {self.process.returncode}: {self.log()[-3000:]}")
        if "to" in self.settings.get("log", {}):
            return self.command("status", "--json", check=False).stdout.find('"processes"') > 0
        return self.log().count("generation 1 serves") == self.starts

    def log(self):
        """Everything the daemon wrote to standard error: operational lines and a line per transaction."""
        path = self.folder / "stderr"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, *arguments, check=True, **options):
        """Another subcommand of the same program; returns the finished process."""
        done = subprocess.run([str(self.program), *arguments], capture_output=True, text=True, timeout=60, cwd=self.folder, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def command(self, name, *arguments, check=True):
        return self.run(name, "-c", str(self.config_file), *arguments, check=check)

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    def trace(self, queue_id):
        """The story of one message; waits for the journal, which writes a moment after the reply."""
        done = wait_until(
            lambda: (lambda d: d if d.returncode == 0 else None)(self.command("trace", queue_id, check=False)), 5,
            what=f"trace of {queue_id}")
        return done.stdout

    def trace_json(self, queue_id):
        self.trace(queue_id)
        return json.loads(self.command("trace", "--json", queue_id).stdout)

    def processes(self, role=None):
        return [p for p in self.status()["processes"] if role is None or p["role"] == role]

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=20):
        """Ends it as an administrator would; a daemon that does not end is a failed test, and so is one that had an accident."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self._end(seconds)
        accidents = ACCIDENT.findall(self.log())
        assert not accidents, f"{accidents[:5]} in {self.folder}/stderr"

    def _end(self, seconds):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("gateway did not stop") from None
        finally:
            self.stderr.close()
        found = [line for line in self.log().splitlines() if "ERROR: AddressSanitizer" in line or ": runtime error: " in line]
        assert not found, f"sanitizer: {found}"
