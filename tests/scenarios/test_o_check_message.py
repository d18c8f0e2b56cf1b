"""postern check-message: verdicts, exit codes and the JSON that scripts depend on, reproducible with a zone file; the same through live DNS."""

import json
import subprocess

import pytest
import yaml

from gateway import PROGRAM, nameserver
from nameserver import PTR, TXT, A

MESSAGE = b"From: s@pass.example\nSubject: dry\n\nHello\n.dot\n"
IP = "192.0.2.7"
ZONE = """\
# name, type, data
pass.example\tTXT\tv=spf1 include:inner.pass.example -all
inner.pass.example\tTXT\t"v=spf1 mx:mail.pass" ".example ~all"
mail.pass.example\tMX\t10 mx.pass.example
mx.pass.example\tA\t192.0.2.7
fail.example\tTXT\tv=spf1 ip4:198.51.100.0/24 -all exp=why.%{d}
why.fail.example\tTXT\tNo mail from %{i} for %{d} at %{t}
soft.example\tTXT\tv=spf1 ~all
perm.example\tTXT\tv=spf1 nonsense -all
temp.example\t*\t!TIMEOUT
7.2.0.192.in-addr.arpa\tPTR\tmx.pass.example
"""


@pytest.fixture
def check(tmp_path):
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "message").write_bytes(MESSAGE)

    def run(*arguments, sender="s@pass.example", ip=IP, message="message", zone="zone", to=("u@example.org",), stdin=None):
        command = [str(PROGRAM), "check-message", message, "--ip", ip, "--from", sender, *(x for t in to for x in ("--to", t))]
        command += ["--dns", zone] if zone else []
        return subprocess.run([*command, *arguments], cwd=tmp_path, input=stdin, capture_output=True, timeout=60)

    run.folder = tmp_path
    return run


def as_json(done):
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


def spf(result, domain, mechanism=None, explanation=None, **more):
    return {"spf": {"result": result, "domain": domain, "identity": "mailfrom", "explanation": explanation, "mechanism": mechanism, **more}}


GOLDEN = {
    "pass": {
        "verdict": "accept", "reply": "250 2.0.0 Ok", "facts": spf("pass", "pass.example", "include:inner.pass.example"), "headers": [], "edits": [],
        "filters": [{"name": "spf", "verdict": "accept", "wall_us": 0, "restarts": 3,
                     "reason": "MAIL FROM pass.example: pass by include:inner.pass.example: the client may send for the domain"}],
        "questions": [
            {"name": "pass.example", "type": "TXT", "answer": ['"v=spf1 include:inner.pass.example -all"']},
            {"name": "inner.pass.example", "type": "TXT", "answer": ['"v=spf1 mx:mail.pass.example ~all"']},
            {"name": "mail.pass.example", "type": "MX", "answer": ["10 mx.pass.example"]},
            {"name": "mx.pass.example", "type": "A", "answer": ["192.0.2.7"]}]},
    "fail": {
        "verdict": "accept", "reply": "250 2.0.0 Ok",
        "facts": spf("fail", "fail.example", "-all", "No mail from 192.0.2.7 for fail.example at 1700000000"),
        "filters": [{"name": "spf", "verdict": "accept", "wall_us": 0, "restarts": 1,
                     "reason": "MAIL FROM fail.example: fail by -all: the client may not send for the domain"}],
        "questions": [
            {"name": "fail.example", "type": "TXT", "answer": ['"v=spf1 ip4:198.51.100.0/24 -all exp=why.%{d}"']},
            {"name": "why.fail.example", "type": "TXT", "answer": ['"No mail from %{i} for %{d} at %{t}"']}]},
    "soft": {
        "verdict": "accept", "reply": "250 2.0.0 Ok", "facts": spf("softfail", "soft.example", "~all"),
        "filters": [{"name": "spf", "verdict": "accept", "wall_us": 0, "restarts": 0,
                     "reason": "MAIL FROM soft.example: softfail by ~all: the client probably may not send for the domain"}],
        "questions": [{"name": "soft.example", "type": "TXT", "answer": ['"v=spf1 ~all"']}]},
    "perm": {
        "verdict": "accept", "reply": "250 2.0.0 Ok",
        "facts": spf("permerror", "perm.example", problem="perm.example: nonsense: unknown mechanism"),
        "filters": [{"name": "spf", "verdict": "accept", "wall_us": 0, "restarts": 0, "reason": "MAIL FROM perm.example: permerror: the domain's "
                     "SPF record cannot be interpreted: perm.example: nonsense: unknown mechanism"}],
        "questions": [{"name": "perm.example", "type": "TXT", "answer": ['"v=spf1 nonsense -all"']}]},
    "temp": {
        "verdict": "accept", "reply": "250 2.0.0 Ok",
        "facts": spf("temperror", "temp.example", problem="temp.example: timeout: the TXT lookup failed"), "headers": [], "edits": [],
        "filters": [{"name": "spf", "verdict": "accept", "wall_us": 0, "restarts": 0, "reason": "MAIL FROM temp.example: temperror: DNS failed for "
                     "now: temp.example: timeout: the TXT lookup failed"}],
        "questions": [{"name": "temp.example", "type": "TXT", "answer": ["!TIMEOUT"]}]},
}
MEMBERS = ["verdict", "reply", "facts", "headers", "edits", "filters", "questions"]


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(check, name):
    done = check("--json", "--at", "1700000000", "--policy", "spf.helo=false", sender=f"s@{name}.example")
    found = as_json(done)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    assert list(found) == MEMBERS
    for each in found["filters"]:
        assert each["wall_us"] >= 0
        each["wall_us"] = 0
    # Tagged: one field, which is one edit.
    if "headers" not in GOLDEN[name]:
        [header], [edit] = found.pop("headers"), found.pop("edits")
        assert header["name"] == edit["name"] == "Received-SPF" and "\n" not in header["value"]
        assert header["value"].startswith(found["facts"]["spf"]["result"] + " ")
        assert (edit["filter"], edit["kind"], edit["index"]) == ("spf", "insert_header", 0)
    assert found == GOLDEN[name]


@pytest.mark.parametrize("sender, policy, code, verdict, reply", [
    ("fail", "spf.fail=reject", 2, "reject", "550 5.7.23 "),
    ("temp", "spf.temperror=tempfail", 3, "tempfail", "451 4.7.24 "),
    ("soft", "spf.softfail=quarantine", 4, "quarantine", "250 2.0.0 "),
    ("pass", "spf.pass=reject", 2, "reject", "550 5.7.1 "),
    ("nothing", "spf.none=accept", 0, "accept", "250 2.0.0 "),
])
def test_exit_codes(check, sender, policy, code, verdict, reply):
    done = check("--json", "--policy", policy, sender=f"s@{sender}.example")
    found = as_json(done)
    assert (done.returncode, found["verdict"], found["filters"][0]["verdict"]) == (code, verdict, verdict)
    assert found["reply"].startswith(reply) and "\n" not in found["reply"]
    words = check("--policy", policy, sender=f"s@{sender}.example")
    assert words.returncode == code and f"verdict:  {verdict}\n".encode() in words.stdout


def test_several_policies_and_helo(check):
    done = check("--json", "--helo", "fail.example", "--policy", "spf.fail=reject", "spf.received_spf=true", "--at", "1700000000")
    found = as_json(done)
    assert done.returncode == 2
    assert found["facts"]["spf"]["result"] == "pass" and found["facts"]["spf/helo"]["result"] == "fail"
    assert [h["name"] for h in found["headers"]] == ["Received-SPF", "Received-SPF"]
    assert [h["value"].split()[0] for h in found["headers"]] == ["pass", "fail"]  # from the top down


def test_null_sender_and_postmaster(check):
    found = as_json(check("--json", "--helo", "pass.example", sender="<>", to=("<postmaster>", "v@example.org")))
    assert found["facts"]["spf"]["identity"] == "helo" and found["facts"]["spf"]["result"] == "pass"


def test_reproducible(check):
    one, other = (as_json(check("--json", "--at", "1700000000", sender="s@fail.example")) for _ in range(2))
    for each in (one, other):
        each["filters"][0].pop("wall_us")
    assert one == other
    assert "1700000001" in as_json(check("--json", "--at", "1700000001", sender="s@fail.example"))["facts"]["spf"]["explanation"]


def test_answers_make_the_next_zone(check):
    found = as_json(check("--json"))
    lines = [f"{q['name']}\t{q['type']}\t{answer}\n" for q in found["questions"] for answer in q["answer"]]
    (check.folder / "again").write_text("".join(lines))
    again = as_json(check("--json", zone="again"))
    for each in (found, again):
        each["filters"][0].pop("wall_us")
    assert again == found


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_line_ends_and_standard_input(check, ends):
    message = MESSAGE.replace(b"\n", ends)
    (check.folder / "other").write_bytes(message)
    for done in (check("--json", message="other"), check("--json", message="-", stdin=message),
                 check("--json", message="-", stdin=b"From s@x Mon Jan  1\n" + message[:-len(ends)])):
        assert done.returncode == 0 and as_json(done)["facts"]["spf"]["result"] == "pass"


def test_an_empty_message(check):
    assert check("--json", message="-", stdin=b"").returncode == 0


def test_configuration(check):
    config = {"hostname": "mx.test.example", "domains": ["example.org"], "backends": ["maildir:mail"], "quarantine": "maildir:q",
              "filters": [{"spf": {"fail": "quarantine", "received_spf": True}}], "limits": {"message_size": 2000}}
    (check.folder / "postern.yaml").write_text(yaml.safe_dump(config))
    done = check("-c", "postern.yaml", "--json", sender="s@fail.example")
    assert done.returncode == 4 and "receiver=mx.test.example" in as_json(done)["headers"][0]["value"]
    done = check("-c", "postern.yaml", message="-", stdin=MESSAGE + b"x" * 3000)
    assert done.returncode == 1 and b"larger than limits.message_size" in done.stderr
    config["filters"] = []
    (check.folder / "postern.yaml").write_text(yaml.safe_dump(config))
    done = check("-c", "postern.yaml", "--json", sender="s@fail.example")
    assert done.returncode == 0 and as_json(done)["filters"] == []


def test_behind_a_trusted_relay(check):
    """Judged is whom the relay's Received field names, as in the daemon."""
    config = {"hostname": "mx.test.example", "domains": ["example.org"], "backends": ["maildir:mail"], "filters": [{"spf": {"fail": "reject"}}],
              "trusted_relays": ["203.0.113.0/28"]}
    (check.folder / "postern.yaml").write_text(yaml.safe_dump(config))
    for client, code in ((IP, 0), ("192.0.2.99", 2)):
        message = b"Received: from there.example (unknown [%s])\n\tby mx2.example.org; Sat, 21 Nov 2026 20:15:04 +0000\n" % client.encode() + MESSAGE
        done = check("-c", "postern.yaml", "--json", ip="203.0.113.5", message="-", stdin=message)
        assert done.returncode == code
        assert as_json(done)["facts"]["trusted_relay"] == {"relay": "203.0.113.5", "client": client, "helo": "there.example"}


@pytest.mark.parametrize("arguments, complaint", [
    (["--policy", "spf.fail=maybe"], "maybe"),
    (["--policy", "dkim2.x=y"], "no such filter"),
    (["--policy", "spf.nonsense=1"], "no such option"),
    (["--at", "yesterday"], "not a UNIX time"),
    (["--ip", "192.0.2"], "not an IP address"),
    (["--to", "no one@example.org"], "no one@example.org"),
    (["--from", "a@b@c"], "a@b@c"),
    (["--dns", "no-such-file"], "no-such-file: No such file"),
    (["-c", "no-such-file"], "no-such-file"),
    (["another"], "one message at a time"),
    (["--nonsense"], "usage"),
])
def test_wrong_use(check, arguments, complaint):
    done = check(*arguments)
    assert done.returncode == 1 and not done.stdout
    assert complaint in done.stderr.decode()


def test_missing_arguments_and_files(check):
    for arguments in ([], ["message"], ["message", "--ip", IP], ["message", "--ip", IP, "--from", ""]):
        done = subprocess.run([str(PROGRAM), "check-message", *arguments], cwd=check.folder, capture_output=True, timeout=60)
        assert done.returncode == 1 and b"missing: " in done.stderr and not done.stdout
    assert check(message="nowhere").returncode == 1
    (check.folder / "bad").write_text("pass.example TXT x\n")
    done = check(zone="bad")
    assert done.returncode == 1 and b"bad: line 1: expected: name, tab, type, tab, data" in done.stderr
    done = subprocess.run([str(PROGRAM), "check-message", "--help"], capture_output=True, timeout=60)
    assert done.returncode == 0 and b"--policy KEY=VALUE" in done.stdout


def test_live_dns(check):
    """Without --dns the configured servers are asked; each question has its time."""
    server = nameserver()
    server.add("live.example", TXT, "v=spf1 ptr -all")
    server.add("7.2.0.192.in-addr.arpa", PTR, "host.live.example")
    server.add("host.live.example", A, IP)
    server.silent.add("quiet.example")
    config = {"hostname": "mx.test.example", "domains": ["example.org"], "backends": ["maildir:mail"], "filters": ["spf"],
              "dns": {"servers": [server.address], "timeout": "300ms"}}
    (check.folder / "postern.yaml").write_text(yaml.safe_dump(config))
    found = as_json(check("-c", "postern.yaml", "--json", sender="s@live.example", zone=None))
    assert found["facts"]["spf"]["result"] == "pass"
    assert {"name": "live.example", "type": "TXT", "answer": ['"v=spf1 ptr -all"']} in found["questions"]
    found = as_json(check("-c", "postern.yaml", "--json", sender="s@quiet.example", zone=None))
    assert found["facts"]["spf"]["result"] == "temperror" and found["questions"][0]["answer"] in (["!TIMEOUT"], ["!SERVFAIL"])


def test_hostile_values_are_escaped(check):
    (check.folder / "zone").write_text('evil.example\tTXT\t"v=spf1 \\027[2J\\226\\128\\174 -all"\n')
    for arguments in ([], ["--json"]):
        done = check(*arguments, sender="s@evil.example")
        assert done.returncode == 0
        assert not any(byte < 32 and byte != 10 for byte in done.stdout) and "\u202e" not in done.stdout.decode()
