"""The embedded backend: maildir:PATH, one Maildir++ per recipient, written by the deliver process."""

import threading

import pytest

from client import Client, message


@pytest.fixture(scope="module")
def mail_gateway(tmp_path_factory):
    from gateway import Gateway

    gateway = Gateway(tmp_path_factory.mktemp("maildir"), [{"url": "maildir:mail"}], limits={"errors": 1000})
    try:
        yield gateway.start()
    finally:
        gateway.stop()


def boxes(gateway):
    """folder name -> messages, for each Maildir under the root."""
    root = gateway.data / "mail"
    return {box.name: [path.read_bytes() for path in sorted((box / "new").iterdir())] for box in root.iterdir()} if root.exists() else {}


def send(gateway, *recipients, subject="stored", **options):
    with Client(gateway.port) as client:
        client.greet()
        return client.send(message(subject), recipients=recipients, **options)


def holding(gateway, subject):
    return {name: [m for m in found if f"Subject: {subject}\r\n".encode() in m] for name, found in boxes(gateway).items()
            if any(f"Subject: {subject}\r\n".encode() in m for m in found)}


def test_a_message_is_stored_under_its_stamps(mail_gateway):
    reply = send(mail_gateway, "u@example.org", subject="first")
    assert reply.code == 250 and reply.queue_id
    [(name, [stored])] = holding(mail_gateway, "first").items()
    assert name == "u@example.org"
    assert stored.endswith(message("first"))
    assert stored.startswith(b"Return-Path: <a@sender.example>\r\nReceived: from client.example ")


def test_the_layout_is_a_maildir(mail_gateway):
    send(mail_gateway, "layout@example.org")
    box = mail_gateway.data / "mail" / "layout@example.org"
    assert sorted(path.name for path in box.iterdir() if path.is_dir()) == ["cur", "new", "tmp"]
    assert not list((box / "tmp").iterdir()) and not list((box / "cur").iterdir())
    [path] = (box / "new").iterdir()
    assert path.stat().st_mode & 0o077 == 0 and box.stat().st_mode & 0o007 == 0
    assert "/" not in path.name and ":" not in path.name


def test_each_recipient_has_a_copy(mail_gateway):
    assert send(mail_gateway, "v@example.org", "w@example.net", "v@EXAMPLE.ORG", subject="several").code == 250
    assert {name: len(found) for name, found in holding(mail_gateway, "several").items()} == {"v@example.org": 1, "w@example.net": 1}


HOSTILE = ['"../../evil"@example.org', '"/etc/passwd"@example.org', '".."@example.org', '"."@example.org', '"a/b"@example.org', '"a b"@example.org',
           '"tmp"@example.org', "-rf@example.org", '"%2e%2e"@example.org', "x" * 64 + "@example.org", '".hidden"@example.org', '"a:2,S"@example.org',
           '"\\\\"@example.org', "UPPER@example.org"]


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=HOSTILE)
def test_hostile_recipients_stay_inside_the_folder(mail_gateway, number):
    before = set((mail_gateway.data / "mail").parent.parent.rglob("*"))
    reply = send(mail_gateway, HOSTILE[number], subject=f"hostile{number}")
    assert reply.code == 250, reply
    found = holding(mail_gateway, f"hostile{number}")
    assert [len(v) for v in found.values()] == [1]
    [name] = found
    assert name not in (".", "..") and "/" not in name
    root = mail_gateway.data / "mail"
    added = {path for path in set(root.parent.parent.rglob("*")) - before if path.suffix not in (".db", ".wal", ".shm") and "trace" not in str(path)}
    assert all(root in path.parents for path in added), added


def test_different_recipients_have_different_folders(mail_gateway):
    names = ['"a/c"@example.org', '"a%2fc"@example.org', '"a_c"@example.org', '"a%c"@example.org']
    assert send(mail_gateway, *names, subject="different").code == 250
    assert len(holding(mail_gateway, "different")) == len(names)


def test_postmaster_has_a_mailbox(mail_gateway):
    assert send(mail_gateway, "postmaster", subject="to-postmaster").code == 250
    assert list(holding(mail_gateway, "to-postmaster")) == ["postmaster@example.org"]


def test_many_at_once_are_all_there_once(mail_gateway):
    def several(thread):
        with Client(mail_gateway.port) as client:
            client.greet()
            for number in range(10):
                assert client.send(message(f"many-{thread}-{number}"), recipients=("many@example.org",)).code == 250

    threads = [threading.Thread(target=several, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    stored = boxes(mail_gateway)["many@example.org"]
    assert len(stored) == 80
    assert {m.split(b"Subject: ")[1].split(b"\r\n")[0] for m in stored} == {f"many-{t}-{n}".encode() for t in range(8) for n in range(10)}


def test_a_folder_that_cannot_be_written_is_a_4xx(mail_gateway):
    blocked = mail_gateway.data / "mail" / "blocked@example.org"
    blocked.write_text("a file where the folder should be")
    reply = send(mail_gateway, "blocked@example.org", subject="blocked")
    assert reply.code == 451, reply
    blocked.unlink()
    assert send(mail_gateway, "blocked@example.org", subject="blocked").code == 250


def test_one_writable_and_one_blocked_recipient_end_well(mail_gateway):
    from test_f_mixed_outcomes import as_a_sender_would

    blocked = mail_gateway.data / "mail" / "half@example.org"
    blocked.write_text("in the way")
    with Client(mail_gateway.port) as client:
        client.greet()
        assert client.send(message("half"), recipients=("other@example.org", "half@example.org")).code // 100 == 4
        blocked.unlink()
        assert as_a_sender_would(client, message("half"), ["other", "half"]) == {"other": 250, "half": 250}
    assert {name: len(found) for name, found in holding(mail_gateway, "half").items()} == {"other@example.org": 1, "half@example.org": 1}


def test_return_path_never(gateway_factory):
    gateway = gateway_factory({"url": "maildir:mail", "return_path": "never"})
    assert send(gateway, "u@example.org", subject="bare").code == 250
    [[stored]] = holding(gateway, "bare").values()
    assert stored.startswith(b"Received: ") and b"Return-Path" not in stored
