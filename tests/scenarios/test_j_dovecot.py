"""Dovecot's LMTP server behind the gateway."""

import smtplib
import subprocess

from client import Client, message


def connect(gateway_factory, dovecot_lmtp, **options):
    gateway = gateway_factory(dovecot_lmtp, **options)
    client = Client(gateway.port)
    client.greet()
    return gateway, client


def as_stored(original):
    """Dovecot keeps lines with LF."""
    return original.replace(b"\r\n", b"\n")


def test_a_message_arrives_with_one_return_path_and_our_received(gateway_factory, dovecot_lmtp):
    _, client = connect(gateway_factory, dovecot_lmtp)
    original = message("dovecot-one", body="8-bit: äöü\r\n.\r\n..dots\r\n")
    reply = client.send(original)
    assert reply.code == 250
    [stored] = dovecot_lmtp.wait_for("u@example.org", "Subject: dovecot-one\n")
    assert stored.endswith(as_stored(original))
    assert stored.count(b"Return-Path: <a@sender.example>") == 1
    assert f"by mx.test.example (postern) with ESMTP id {reply.queue_id}".encode() in stored


def test_an_unknown_user_is_refused_at_rcpt(gateway_factory, dovecot_lmtp):
    _, client = connect(gateway_factory, dovecot_lmtp)
    client.expect("MAIL FROM:<a@b.example>", 250)
    assert client.expect("RCPT TO:<nobody@example.org>", 550).enhanced == "5.1.1"
    client.expect("RCPT TO:<u@example.org>", 250)
    assert client.data(message("dovecot-known")).code == 250
    assert dovecot_lmtp.wait_for("u@example.org", "dovecot-known")


def test_several_recipients_of_one_message(gateway_factory, dovecot_lmtp):
    _, client = connect(gateway_factory, dovecot_lmtp)
    client.mail(recipients=("u@example.org", "v@example.org", "w@example.net"))
    assert client.data(message("dovecot-several")).code == 250
    for user in ("u@example.org", "v@example.org", "w@example.net"):
        assert len(dovecot_lmtp.wait_for(user, "dovecot-several")) == 1


def test_the_offer_fits_what_dovecot_takes(gateway_factory, dovecot_lmtp):
    gateway, client = connect(gateway_factory, dovecot_lmtp)
    client.send(message("dovecot-offer"))
    offered = Client(gateway.port).greet_offers()
    assert "8BITMIME" in offered and "DSN" not in offered and "SMTPUTF8" not in offered


def test_many_messages_over_few_connections(gateway_factory, dovecot_lmtp):
    _, client = connect(gateway_factory, dovecot_lmtp)
    for number in range(40):
        assert client.send(message(f"dovecot-many-{number}"), recipients=("v@example.net",)).code == 250
    assert len(dovecot_lmtp.wait_for("v@example.net", "dovecot-many-", count=40)) == 40


def test_a_large_message(gateway_factory, dovecot_lmtp):
    _, client = connect(gateway_factory, dovecot_lmtp)
    original = message("dovecot-large", size=5 << 20)
    assert client.send(original, recipients=("w@example.org",)).code == 250
    [stored] = dovecot_lmtp.wait_for("w@example.org", "dovecot-large")
    assert stored.endswith(as_stored(original))


def test_python_smtplib_and_swaks_as_senders(gateway_factory, dovecot_lmtp, swaks):
    gateway, _ = connect(gateway_factory, dovecot_lmtp)
    with smtplib.SMTP("127.0.0.1", gateway.port) as sender:
        assert sender.sendmail("a@sender.example", ["u@example.net"], message("dovecot-smtplib")) == {}
    done = subprocess.run([swaks, "--server", "127.0.0.1", "--port", str(gateway.port), "--from", "a@b.example", "--to", "u@example.net", "--ehlo",
                           "swaks.example", "--header", "Subject: dovecot-swaks", "--pipeline"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout
    for subject in ("dovecot-smtplib", "dovecot-swaks"):
        assert dovecot_lmtp.wait_for("u@example.net", subject)
