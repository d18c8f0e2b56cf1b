"""Several recipients, one reply: whatever mix the backend gives, each recipient gets the message exactly once or its refusal."""

import itertools
from collections import Counter

import pytest

from backend import Close
from client import Client, message
from gateway import wait_until

STANDING_BACKEND = {"lmtp": True}
STANDING = {"recipient_cache": "0s", "limits": {"errors": 1000, "commands": 1000}, "timeouts": {"backend_retry": "1ms"}}


@pytest.fixture
def people(standing, fresh=itertools.count()):
    """Names that no earlier test has used: u7, v7, w7. The ledger remembers."""
    number = next(fresh)
    return [f"{letter}{number}" for letter in "uvw"]


class Outcomes:
    """End-of-data replies per recipient (by first letter); a list is used up one by one, its last element stays."""

    def __init__(self, **by_user):
        self.by_user = {user: list(replies) if isinstance(replies, (list, tuple)) else [replies] for user, replies in by_user.items()}

    def __call__(self, connection, argument):
        replies = self.by_user[argument.split("<")[1][0]]
        return replies.pop(0) if len(replies) > 1 else replies[0]


def as_a_sender_would(client, original, recipients, rounds=12):
    """Sends until every recipient is done, as a queue does: 4xx keeps a recipient, 452 at RCPT puts it into the next transaction.
    Returns what each ended with."""
    ended = {}
    for _ in range(rounds):
        left = [r for r in recipients if r not in ended]
        if not left:
            return ended
        client.expect("MAIL FROM:<a@sender.example>", 250)
        taken = []
        for recipient in left:
            reply = client.say(f"RCPT TO:<{recipient}@example.org>")
            if reply.code == 250:
                taken.append(recipient)
            elif reply.code >= 500:
                ended[recipient] = reply.code
        if not taken:
            client.expect("RSET", 250)
            continue
        reply = client.data(original)
        if reply.code < 400 or reply.code >= 500:
            ended.update({recipient: reply.code for recipient in taken})
    raise AssertionError(f"not done after {rounds} transactions: {ended}")


def deliveries(backend):
    """First letter of the user -> how many times the backend took the message for it."""
    return dict(Counter(r.split("<")[1][0] for m in backend.messages for r in m.recipients))


OK, FULL, NEVER = "250 2.0.0 Ok", "452 4.2.2 mailbox full", "550 5.7.1 not wanted"


@pytest.mark.parametrize("outcomes,first,ended,delivered", [
    ({"u": OK, "v": OK, "w": OK}, 250, {"u": 250, "v": 250, "w": 250}, {"u": 1, "v": 1, "w": 1}),
    ({"u": NEVER, "v": NEVER}, 550, {"u": 550, "v": 550}, {}),
    ({"u": OK, "v": NEVER}, 451, {"u": 250, "v": 550}, {"u": 1}),
    ({"u": NEVER, "v": OK}, 451, {"u": 550, "v": 250}, {"v": 1}),
    ({"u": OK, "v": [FULL, OK]}, 452, {"u": 250, "v": 250}, {"u": 1, "v": 1}),
    ({"u": [FULL, OK], "v": OK}, 452, {"u": 250, "v": 250}, {"u": 1, "v": 1}),
    ({"u": [FULL, OK], "v": NEVER}, 452, {"u": 250, "v": 550}, {"u": 1}),
    ({"u": OK, "v": [FULL, FULL, OK], "w": NEVER}, 452, {"u": 250, "v": 250, "w": 550}, {"u": 1, "v": 1}),
    ({"u": [FULL, NEVER], "v": [FULL, OK], "w": OK}, 452, {"u": 550, "v": 250, "w": 250}, {"v": 1, "w": 1}),
], ids=["all taken", "all refused", "one refused", "first refused", "one later", "first later", "later and refused", "all kinds", "changing"])
def test_each_recipient_has_the_message_once_or_its_refusal(standing, people, request, outcomes, first, ended, delivered):
    standing.backend.rules["EOD"] = Outcomes(**outcomes)
    client = standing.connect()
    original = message(request.node.callspec.id.replace(" ", "-"))
    recipients = people[:len(outcomes)]
    client.mail(recipients=[f"{r}@example.org" for r in recipients])
    reply = client.data(original)
    assert reply.code // 100 == first // 100, reply
    if 400 <= first < 500:
        assert by_letter(as_a_sender_would(client, original, recipients)) == ended
    assert deliveries(standing.backend) == delivered


def by_letter(ended):
    return {user[0]: code for user, code in ended.items()}


def test_the_retry_comes_over_another_session_with_other_trace_headers(standing, people):
    standing.backend.rules["EOD"] = Outcomes(u=OK, v=[FULL, OK])
    original = message("two-ways")
    client = standing.connect()
    u, v, _ = people
    client.mail(recipients=(f"{u}@example.org", f"{v}@example.org"))
    first = client.data(original)
    assert first.code // 100 == 4
    other = standing.connect()
    retry = b"Received: from other.example by queue.example; date\r\n" + original
    assert as_a_sender_would(other, retry, [u, v]) == {u: 250, v: 250}
    assert deliveries(standing.backend) == {"u": 1, "v": 1}
    wait_until(lambda: f'reason="ledger: <{u}@example.org> was given it before (queue ID {first.queue_id})"' in standing.gateway.log(),
               what="a log line that says why no backend was asked")


def test_another_message_to_the_same_recipients_is_not_taken_for_the_retry(standing, people):
    standing.backend.rules["EOD"] = Outcomes(u=OK, v=[FULL, OK])
    client = standing.connect()
    u, v, _ = people
    client.mail(recipients=(f"{u}@example.org", f"{v}@example.org"))
    assert client.data(message("first")).code // 100 == 4
    assert as_a_sender_would(client, message("second"), [u, v]) == {u: 250, v: 250}
    assert deliveries(standing.backend) == {"u": 2, "v": 1}
    assert as_a_sender_would(client, message("first"), [u, v]) == {u: 250, v: 250}
    assert deliveries(standing.backend) == {"u": 2, "v": 2}


def test_outcomes_of_another_message_do_not_keep_the_retry_mixed(standing, people):
    """Of u the newest outcome is that of the second message, and the same as v's of the first: still the first must end for both."""
    standing.backend.rules["EOD"] = Outcomes(u=OK, v=NEVER, w=OK)
    client = standing.connect()
    u, v, w = people
    client.mail(recipients=[f"{r}@example.org" for r in people])
    assert client.data(message("one")).code // 100 == 4
    standing.backend.rules["EOD"] = Outcomes(u=NEVER, v=NEVER, w=OK)
    client.mail(recipients=(f"{u}@example.org", f"{w}@example.org"))
    assert client.data(message("another")).code // 100 == 4
    assert as_a_sender_would(client, message("one"), people) == {u: 250, v: 550, w: 250}
    assert as_a_sender_would(client, message("another"), [u, w]) == {u: 550, w: 250}
    assert deliveries(standing.backend) == {"u": 1, "w": 2}


def test_a_recipient_deferred_for_long_does_not_hold_the_others(standing, people):
    """Both have outcomes of an earlier message; who has this one too must hear so, however long the other is deferred."""
    standing.backend.rules["EOD"] = Outcomes(u=OK, v=OK, w=NEVER)
    client = standing.connect()
    u, v, w = people
    client.mail(recipients=[f"{r}@example.org" for r in people])
    assert client.data(message("early")).code // 100 == 4
    standing.backend.rules["EOD"] = Outcomes(u=OK, v=FULL)
    client.mail(recipients=(f"{u}@example.org", f"{v}@example.org"))
    assert client.data(message("later")).code // 100 == 4
    client.expect("MAIL FROM:<a@sender.example>", 250)
    client.expect(f"RCPT TO:<{u}@example.org>", 250)
    client.expect(f"RCPT TO:<{v}@example.org>", 452)
    assert client.data(message("later")).code == 250
    assert as_a_sender_would(client, message("early"), [u, v, w]) == {u: 250, v: 250, w: 550}
    assert deliveries(standing.backend) == {"u": 2, "v": 1}


def test_a_recipient_refused_at_the_late_rcpt_while_others_are_taken(gateway_factory, backend_factory):
    backend = backend_factory(lmtp=True)
    client = Client(gateway_factory(backend, backend_hold="0s", recipient_cache="1m").port)
    client.greet()
    client.mail(recipients=("u@example.org", "v@example.org"))
    backend.rules["RCPT"] = lambda connection, argument: "550 5.1.1 gone" if "<v@" in argument else None
    original = message("late")
    assert client.data(original).code // 100 == 4
    assert as_a_sender_would(client, original, ["u", "v"]) == {"u": 250, "v": 550}
    assert deliveries(backend) == {"u": 1}


def test_lmtp_that_closes_between_the_replies(standing, people):
    """The first recipient's outcome is known, the second's is not: the first is never doubled."""
    state = {"first": True}

    def eod(connection, argument):
        return Close() if "<v" in argument and state.pop("first", False) else None

    standing.backend.rules["EOD"] = eod
    client = standing.connect()
    original = message("cut-between")
    u, v, _ = people
    client.mail(recipients=(f"{u}@example.org", f"{v}@example.org"))
    assert client.data(original).code // 100 == 4
    assert as_a_sender_would(client, original, [u, v]) == {u: 250, v: 250}
    assert deliveries(standing.backend) == {"u": 1, "v": 1}


def test_the_ledger_survives_a_restart(gateway_factory, backend_factory):
    backend = backend_factory(lmtp=True, rules={"EOD": Outcomes(u=OK, v=[FULL, OK])})
    gateway = gateway_factory(backend, recipient_cache="0s")
    original = message("restart")
    with Client(gateway.port) as client:
        client.greet()
        client.mail(recipients=("u@example.org", "v@example.org"))
        assert client.data(original).code // 100 == 4
    gateway.stop()
    gateway.start()
    with Client(gateway.port) as client:
        client.greet()
        assert as_a_sender_would(client, original, ["u", "v"]) == {"u": 250, "v": 250}
    assert deliveries(backend) == {"u": 1, "v": 1}
