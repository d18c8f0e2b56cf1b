"""What `make run` shows a newcomer: the demonstration configuration as it is, but for its port."""

import re
import signal
import subprocess

import pytest

from gateway import PROGRAM, ROOT, die_with_parent, free_port, wait_until


@pytest.fixture
def demo(tmp_path):
    """The demonstration running in a folder of its own: (its folder, its port)."""
    port = free_port()
    (tmp_path / "demo.yaml").write_text((ROOT / "conf" / "demo.yaml").read_text().replace("127.0.0.1:2525", f"127.0.0.1:{port}"))
    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen([str(PROGRAM), "run", "-c", "demo.yaml", "--hints"], cwd=tmp_path, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                   preexec_fn=die_with_parent)
    try:
        wait_until(lambda: "postern serves" in (tmp_path / "output").read_text(), 20, what="the hints")
        yield tmp_path, port
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_the_hints_work_as_they_are_printed(demo, swaks):
    folder, port = demo
    hints = (folder / "output").read_text()
    command = re.search(r"swaks (--server 127\.0\.0\.1:(\d+) --from \S+ --to \S+)", hints)
    assert command and int(command.group(2)) == port, hints
    sent = subprocess.run([swaks, *command.group(1).split(" ")], capture_output=True, text=True, timeout=30)
    assert sent.returncode == 0, sent.stdout
    queue_id = re.search(r"queued as ([0-9A-Z]{14})", sent.stdout).group(1)
    place = re.search(r"The message is then in +(\S+)", hints).group(1)
    [stored] = (folder / place).iterdir()
    assert queue_id in stored.read_text()
    trace = re.search(r"shown by +(\S+ trace -c \S+) QUEUEID", hints).group(1).split(" ")
    story = wait_until(lambda: subprocess.run([*trace, queue_id], cwd=folder, capture_output=True, text=True).stdout, what="the story")
    assert "accepted" in story
    status = re.search(r"state by +(\S+ status -c \S+)", hints).group(1).split(" ")
    assert "serving" in subprocess.run(status, cwd=folder, capture_output=True, text=True, check=True).stdout
