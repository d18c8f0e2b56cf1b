"""Postfix behind the gateway, before it, and on both sides."""

import subprocess

from client import Client, message
from gateway import wait_until


def connect(gateway_factory, postfix_backend, **options):
    gateway = gateway_factory(postfix_backend, **options)
    client = Client(gateway.port)
    client.greet()
    return gateway, client


def as_stored(original):
    """Without header, which Postfix adds to, and with its line ends."""
    return original.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n")


def test_a_message_arrives_through_smtp(gateway_factory, postfix_backend):
    gateway, client = connect(gateway_factory, postfix_backend)
    original = message("postfix-one", body="8-bit: äöü\r\n.\r\n..dots\r\n", headers="Date: Sat, 21 Nov 2026 20:15:04 +0000\r\n")
    reply = client.send(original)
    assert reply.code == 250
    [stored] = postfix_backend.wait_for("u@example.org", "Subject: postfix-one\n")
    assert stored.endswith(original.replace(b"\r\n", b"\n"))
    assert stored.count(b"Return-Path:") == 1
    assert f"by mx.test.example (postern) with ESMTP id {reply.queue_id}".encode() in stored
    assert "queued as" in gateway.trace(reply.queue_id)


def test_unknown_user_foreign_domain_and_postmaster(gateway_factory, postfix_backend):
    _, client = connect(gateway_factory, postfix_backend)
    client.expect("MAIL FROM:<a@b.example>", 250)
    assert client.expect("RCPT TO:<nobody@example.org>", 550).enhanced == "5.1.1"
    assert client.expect("RCPT TO:<u@elsewhere.example>", 550).enhanced == "5.7.1"
    client.expect("RCPT TO:<postmaster>", 250)
    assert client.data(message("postfix-postmaster")).code == 250
    assert postfix_backend.wait_for("postmaster@example.org", "postfix-postmaster")


def test_everything_postfix_takes_is_offered(gateway_factory, postfix_backend):
    gateway, _ = connect(gateway_factory, postfix_backend)
    wanted = {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS", "HELP"}
    offered = wait_until(lambda: (lambda o: o if "DSN" in o else None)(Client(gateway.port).greet_offers()), what="learned")
    assert set(offered) == wanted
    assert offered["SIZE"] == f"SIZE {52428800 - 65536}"


def test_utf8_addresses(gateway_factory, postfix_backend):
    gateway, _ = connect(gateway_factory, postfix_backend)
    wait_until(lambda: "SMTPUTF8" in Client(gateway.port).greet_offers(), what="SMTPUTF8 offered")
    client = Client(gateway.port)
    client.greet()
    client.expect("MAIL FROM:<ä@b.example> SMTPUTF8", 250)
    client.expect("RCPT TO:<u@example.org>", 250)
    assert client.data("Subject: postfix-utf8-ä\r\n\r\nü\r\n".encode()).code == 250
    [stored] = postfix_backend.wait_for("u@example.org", "postfix-utf8-ä")
    assert "Return-Path: <ä@b.example>".encode() in stored


def test_a_large_message_by_bdat(gateway_factory, postfix_backend):
    _, client = connect(gateway_factory, postfix_backend)
    original = message("postfix-large", size=5 << 20)
    client.mail(recipients=("w@example.org",))
    for at in range(0, len(original), 1 << 20):
        chunk = original[at:at + (1 << 20)]
        client.raw(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if at + (1 << 20) >= len(original) else b"") + chunk)
        assert client.reply().code == 250
    [stored] = postfix_backend.wait_for("w@example.org", "postfix-large")
    assert stored.endswith(as_stored(original))


def test_postfix_as_the_sender_through_to_postfix(gateway_factory, postfix_backend, postfix_sender_factory, swaks):
    gateway, _ = connect(gateway_factory, postfix_backend)
    sender = postfix_sender_factory(gateway.port)
    done = subprocess.run([swaks, "--server", "127.0.0.1", "--port", str(sender.port), "--from", "a@b.example", "--to", "u@example.org,v@example.net,nobody@example.org",
                           "--header", "Subject: through", "--body", "a line\n.\n..\nend"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout
    for user in ("u@example.org", "v@example.net"):
        [stored] = postfix_backend.wait_for(user, "Subject: through")
        assert b"a line\n.\n..\nend" in stored
    wait_until(lambda: "5.1.1" in sender.log(), 10, what="the unknown user came back to the sender")


def test_a_load_through_the_gateway_arrives_whole(gateway_factory, postfix_backend, smtp_source):
    gateway, _ = connect(gateway_factory, postfix_backend)
    before = len(postfix_backend.mailbox("v@example.org"))
    subprocess.run([*smtp_source, "-m", "200", "-s", "10", "-l", "3000", "-f", "a@b.example", "-t", "v@example.org", f"127.0.0.1:{gateway.port}"],
                   check=True, timeout=60)
    wait_until(lambda: len(postfix_backend.mailbox("v@example.org")) == before + 200, 20, what="200 messages")


def test_a_mixed_outcome_is_sorted_out_by_postfix_as_sender(gateway_factory, backend_factory, postfix_sender_factory, swaks):
    """Its queue retries what we defer; each recipient ends with one copy or its refusal."""
    from test_f_mixed_outcomes import OK, Outcomes, deliveries

    backend = backend_factory(lmtp=True, rules={"EOD": Outcomes(u=OK, v=["452 4.2.2 full", OK], w="550 5.7.1 no")})
    gateway = gateway_factory(backend, recipient_cache="0s")
    sender = postfix_sender_factory(gateway.port)
    subprocess.run([swaks, "--server", "127.0.0.1", "--port", str(sender.port), "--from", "a@b.example", "--to", "u@example.org,v@example.org,w@example.org",
                    "--header", "Subject: mixed"], capture_output=True, check=True, timeout=30)
    wait_until(lambda: deliveries(backend) == {"u": 1, "v": 1} and "5.7.1" in sender.log(), 30, what=f"sorted out: {deliveries(backend)}")
    wait_until(sender.queue_is_empty, 30, what="the sender's queue is empty")
    assert deliveries(backend) == {"u": 1, "v": 1}


def test_postfix_keeps_mail_while_the_backend_is_down(gateway_factory, backend_factory, postfix_sender_factory, swaks):
    backend = backend_factory()
    gateway = gateway_factory(backend, recipient_cache="0s", timeouts={"backend_retry": "100ms"})
    backend.close()
    sender = postfix_sender_factory(gateway.port)
    subprocess.run([swaks, "--server", "127.0.0.1", "--port", str(sender.port), "--from", "a@b.example", "--to", "u@example.org"], capture_output=True,
                   check=True, timeout=30)
    wait_until(lambda: "status=deferred" in sender.log(), 10, what="deferred")
    again = backend_factory(port=backend.port)
    wait_until(lambda: len(again.messages) == 1, 30, what="delivered later")
    wait_until(sender.queue_is_empty, 10, what="the queue is empty")
    assert len(again.messages) == 1
