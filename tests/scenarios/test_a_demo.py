"""What `make run` shows a newcomer: the demonstration configuration as it is, but for its port."""

import re
import signal
import subprocess

import pytest
import yaml

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


README_EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", README_EXAMPLES)
def test_examples_of_the_readme_are_right(tmp_path, example):
    """A part is read on top of the first one, which stands alone."""
    whole = {**yaml.safe_load(README_EXAMPLES[0]), **yaml.safe_load(example)}
    (tmp_path / "postern.yaml").write_text(yaml.safe_dump(whole))
    done = subprocess.run([str(PROGRAM), "check-config", "-c", "postern.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_conf_samples_are_right_and_the_reference_is_what_the_program_prints():
    for sample in (ROOT / "conf").glob("*.yaml"):
        assert subprocess.run([str(PROGRAM), "check-config", "-c", str(sample)]).returncode == 0
    printed = subprocess.run([str(PROGRAM), "print-config", "--reference"], capture_output=True, text=True, check=True).stdout
    assert printed == (ROOT / "conf" / "postern.yaml").read_text()


def test_help_names_every_command_of_the_readme():
    usage = subprocess.run([str(PROGRAM), "--help"], capture_output=True, text=True, check=True).stdout
    blocks = (ROOT / "README.md").read_text().split("```")[1::2]
    used = set(re.findall(r"(?m)^postern ([a-z-]+)", "\n".join(blocks)))
    offered = set(re.findall(r"(?m)^  ([a-z-]+) ", usage))
    assert {"trace", "status", "reload", "stop", "check-message"} <= used <= offered, (used, offered)
    for command in offered:
        assert subprocess.run([str(PROGRAM), command, "--help"], capture_output=True).returncode == 0, command
        assert subprocess.run([str(PROGRAM), command, "--no-such-option"], capture_output=True).returncode != 0, command
