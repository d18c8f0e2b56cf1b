"""Started as root, each role runs as a user of its own; started by anybody, all of it works as that user."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from client import Client, message
from gateway import Gateway, PROGRAM, wait_until

PREFIX = "postern-test"
ROLES = {"proxy": PREFIX, "deliver": PREFIX + "-deliver", "journal": PREFIX + "-journal"}


@pytest.fixture
def users():
    """The system users a package would bring, for the time of the test."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot start as root")
    made = []
    for name in ROLES.values():
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "-r", "-U", "-M", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", name], check=True)
            made.append(name)
    yield
    for name in made:
        subprocess.run(["userdel", name], check=True)


@pytest.fixture
def folder():
    """A folder others may walk through, as /var/lib is."""
    path = tempfile.mkdtemp(prefix="postern-users-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def user_of(pid):
    with open(f"/proc/{pid}/status") as status:
        numbers = next(line for line in status if line.startswith("Uid:")).split()[1:]
    assert len(set(numbers)) == 1, numbers
    return pwd.getpwuid(int(numbers[0])).pw_name


def send(gateway, subject):
    with Client(gateway.port) as client:
        client.greet()
        return client.send(message(subject))


def test_roles_have_users_of_their_own(users, folder):
    gateway = Gateway(folder, [{"url": "maildir:mail"}], user=PREFIX, proxies=2)
    try:
        gateway.start()
        reply = send(gateway, "rooted")
        assert reply.code == 250
        assert "accepted" in gateway.trace(reply.queue_id)
        for process in gateway.processes():
            assert user_of(process["pid"]) == ROLES.get(process["role"], "root"), process
        gateway.command("reload")
        for role in ROLES:
            victim = max(gateway.processes(role), key=lambda p: p["generation"])["pid"]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: {p["state"] for p in gateway.processes(role) if p["pid"] != victim} == {"serving"}, 5, what=f"{role} is back")
            assert send(gateway, f"after-{role}").code == 250
        assert len(list((gateway.data / "mail" / "u@example.org" / "new").iterdir())) == 4
        for path in (gateway.data / "mail").rglob("*"):
            assert path.stat().st_mode & 0o007 == 0, f"{path} is open to everybody"
    finally:
        gateway.stop()


def test_missing_users_are_one_clear_line(folder):
    if os.geteuid() != 0:
        pytest.skip("not root: users do not matter")
    gateway = Gateway(folder, [{"url": "maildir:mail"}], user="no-such-user")
    gateway.write_config()
    done = subprocess.run([str(PROGRAM), "run", "-c", str(gateway.config_file)], capture_output=True, text=True, timeout=20, cwd=folder)
    assert done.returncode == 1 and "no-such-user" in done.stderr, done.stderr


def run_once(gateway, **options):
    """A start that is expected to fail."""
    gateway.write_config()
    return subprocess.run([str(PROGRAM), "run", "-c", str(gateway.config_file)], capture_output=True, text=True, timeout=20, cwd=gateway.folder, **options)


def test_a_directory_a_role_cannot_use_is_one_clear_line(users, folder):
    gateway = Gateway(folder, [{"url": "maildir:mail"}], user=PREFIX)
    gateway.data.mkdir(mode=0o700)
    done = run_once(gateway)
    assert done.returncode == 1 and "serves" not in done.stderr, done.stderr
    assert f"{gateway.data}/ledger: cannot be used by user {PREFIX}-deliver: Permission denied" in done.stderr, done.stderr


def test_the_umask_does_not_keep_the_roles_out(users, folder):
    gateway = Gateway(folder, [{"url": "maildir:mail"}], user=PREFIX, data_directory=folder + "/made/by/root")
    before = os.umask(0o077)
    try:
        gateway.start()
        reply = send(gateway, "umask")
        assert reply.code == 250 and "accepted" in gateway.trace(reply.queue_id)
    finally:
        os.umask(before)
        gateway.stop()


AS_NOBODY = """
import os, sys
sys.path.insert(0, {here!r})
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
from client import Client, message
from gateway import Gateway
gateway = Gateway({folder!r}, [{{"url": "maildir:mail"}}], user="postern").start()
try:
    with Client(gateway.port) as client:
        client.greet()
        reply = client.send(message("nobody"))
    assert reply.code == 250, reply
    assert "accepted" in gateway.trace(reply.queue_id)
    gateway.command("reload")
    assert all("seccomp" in p["sandbox"] for p in gateway.processes() if p["role"] != "master")
finally:
    gateway.stop()
print("fine")
"""


def test_an_ordinary_user_can_run_it(folder):
    if os.geteuid() != 0:
        pytest.skip("not root: all other tests are this test")
    nobody = pwd.getpwnam("nobody")
    shutil.copy(PROGRAM, folder + "/postern")
    os.mkdir(folder + "/run")
    os.chown(folder + "/run", nobody.pw_uid, nobody.pw_gid)
    # This tree may be in a home directory nobody else may look into.
    os.makedirs(folder + "/tests/scenarios")
    for name in ("client.py", "gateway.py", "nameserver.py"):
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), folder + "/tests/scenarios")
    script = AS_NOBODY.format(here=folder + "/tests/scenarios", uid=nobody.pw_uid, gid=nobody.pw_gid, folder=folder + "/run")
    done = subprocess.run([sys.executable, "-B", "-c", script], capture_output=True, text=True, timeout=60, cwd=folder + "/run",
                          env={**os.environ, "POSTERN": folder + "/postern"})
    assert done.stdout.strip() == "fine", done.stderr
