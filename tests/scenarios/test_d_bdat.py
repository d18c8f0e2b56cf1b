"""BDAT (RFC 3030 without BINARYMIME): chunks cut anywhere, one verdict, and a session that stays in step after any failure."""

import random

import pytest

from client import Closed, message

STANDING = {"limits": {"errors": 1000, "message_size": "100K"}, "line_ends_exceptions": ["127.0.0.9/32"]}


def bdat(client, chunks, last=True):
    """Sends the chunks, waiting for each reply; returns the replies."""
    replies = []
    for number, chunk in enumerate(chunks):
        final = last and number == len(chunks) - 1
        client.raw(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if final else b"") + chunk)
        replies.append(client.reply())
    return replies


def cut(data, pieces, chance):
    places = sorted(chance.randrange(len(data) + 1) for _ in range(pieces - 1))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]


@pytest.mark.parametrize("seed", range(8))
def test_chunks_cut_anywhere_make_the_same_message(standing, seed):
    chance = random.Random(seed)
    original = message("chunks", body=".\r\n..dots\r\nFrom x\r\n\r\n.\r\nend\r\n")
    client = standing.connect()
    client.mail()
    replies = bdat(client, cut(original, chance.randrange(1, 12), chance))
    assert [r.code for r in replies] == [250] * len(replies)
    assert replies[-1].queue_id and not any(r.queue_id for r in replies[:-1])
    assert standing.backend.messages[0].data.endswith(b"\r\n" + original)


@pytest.mark.parametrize("cut_at", range(0, 5))
def test_a_crlf_cut_in_two_is_a_crlf(standing, cut_at):
    original = b"A: b\r\n\r\n\r\n.\r\nx\r\n"
    client = standing.connect()
    client.mail()
    assert bdat(client, [original[:4 + cut_at], b"", original[4 + cut_at:]])[-1].code == 250
    assert standing.backend.messages[0].data.endswith(original)


def test_an_empty_last_chunk_ends_the_message(standing):
    client = standing.connect()
    client.mail()
    assert [r.code for r in bdat(client, [message("empty last"), b""])] == [250, 250]
    client.mail()
    assert bdat(client, [b""])[0].code == 250
    assert len(standing.backend.messages) == 2


def test_a_missing_final_line_end_is_added(standing):
    client = standing.connect()
    client.mail()
    assert bdat(client, [b"Subject: cut\r\n\r\nno line end"])[0].code == 250
    assert standing.backend.messages[0].data.endswith(b"\r\n\r\nno line end\r\n")


def test_pipelined_chunks_are_answered_in_order(standing):
    client = standing.connect()
    original = message("piped")
    client.raw(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<u@example.org>\r\nBDAT 10\r\n" + original[:10] + b"BDAT %d LAST\r\n" % (len(original) - 10) +
               original[10:] + b"NOOP\r\nMAIL FROM:<b@b.example>\r\n")
    assert [client.reply().code for _ in range(6)] == [250] * 6
    assert standing.backend.messages[0].data.endswith(original)


@pytest.mark.parametrize("before,code", [([], 503), (["MAIL FROM:<a@b.example>"], 503)], ids=["without MAIL", "without RCPT"])
def test_a_chunk_nobody_asked_for_is_swallowed(standing, before, code):
    client = standing.connect()
    for command in before:
        client.expect(command, 250)
    client.raw(b"BDAT 24 LAST\r\nRSET\r\nQUIT\r\nDATA\r\nxx\r\n\r\n" + b"NOOP\r\n")
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (code, "5.5.1")
    assert client.reply().code == 250
    assert client.expect("NOOP", 250)


def test_a_refused_recipient_and_pipelined_chunks_stay_in_step(standing):
    client = standing.connect()
    client.raw(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<x@elsewhere.example>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert [client.reply().code for _ in range(4)] == [250, 550, 503, 250]


@pytest.mark.parametrize("bad,enhanced", [(b"bare\nlf\r\n", "5.5.2"), (b"bare\rcr\r\n", "5.5.2"), (b"nul\0\r\n", "5.6.0")])
def test_the_first_failing_chunk_says_so_and_later_ones_hear_503_until_rset(standing, bad, enhanced):
    client = standing.connect()
    client.mail()
    replies = bdat(client, [b"Subject: x\r\n\r\n", bad, b"NOOP\r\nQUIT\r\n", b"RSET\r\n"])
    assert [r.code for r in replies] == [250, 550, 503, 503]
    assert replies[1].enhanced == enhanced
    assert client.say("MAIL FROM:<a@b.example>").code == 503
    client.expect("RSET", 250)
    assert client.send(message("after")).code == 250
    assert len(standing.backend.messages) == 1


def test_a_fault_in_the_last_chunk_is_the_verdict(standing):
    client = standing.connect()
    client.mail()
    replies = bdat(client, [b"Subject: x\r\n\r\n", b"ends in CR\r"])
    assert [r.code for r in replies] == [250, 550]
    assert client.send(message("after")).code == 250


def test_a_cr_at_the_end_of_one_chunk_without_its_lf_is_bare(standing):
    client = standing.connect()
    client.mail()
    assert [r.code for r in bdat(client, [b"Subject: x\r\n\r\na\r", b"b\r\n", b"c\r\n"])] == [250, 550, 503]


def test_normalised_chunks_hide_nothing(standing):
    client = standing.connect(source="127.0.0.9")
    client.mail()
    assert bdat(client, [b"Subject: n\r\n\r\na\r", b"\n.\n", b".\r", b"MAIL FROM:<x@x.example>\r\n"])[-1].code == 250
    assert standing.backend.messages[0].data.endswith(b"\r\n\r\na\r\n.\r\n.\r\nMAIL FROM:<x@x.example>\r\n")


@pytest.mark.parametrize("command", ["DATA", "RCPT TO:<v@example.org>", "MAIL FROM:<a@b.example>"])
def test_between_chunks_only_bdat_and_what_ends_the_transaction_may_come(standing, command):
    client = standing.connect()
    client.mail()
    bdat(client, [b"Subject: x\r\n"], last=False)
    assert client.say(command).code == 503
    assert client.expect("NOOP", 250)
    assert bdat(client, [b"\r\nbody\r\n"])[0].code == 250
    assert standing.backend.messages[0].data.endswith(b"Subject: x\r\n\r\nbody\r\n")


def test_rset_drops_the_chunks(standing):
    client = standing.connect()
    client.mail()
    bdat(client, [b"Subject: dropped\r\n"], last=False)
    client.expect("RSET", 250)
    assert client.send(message("kept")).code == 250
    assert b"dropped" not in standing.backend.messages[0].data


@pytest.mark.parametrize("argument", ["", " x", " -1", " 10 LATE", " 10 LAST LAST", " 0x10", " 99999999999999999999999", " 10LAST", " +5"])
def test_a_malformed_bdat_ends_the_session(standing, argument):
    client = standing.connect()
    client.mail()
    reply = client.say("BDAT" + argument)
    assert (reply.code, reply.enhanced) == (501, "5.5.4")
    with pytest.raises(Closed):
        client.reply()


@pytest.mark.parametrize("with_transaction", [True, False])
def test_a_chunk_above_the_size_limit_is_refused_and_the_session_ends(standing, with_transaction):
    client = standing.connect()
    if with_transaction:
        client.mail()
    reply = client.say("BDAT 200000 LAST")
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    with pytest.raises(Closed):
        client.reply()


def test_chunks_that_together_are_too_large(standing):
    client = standing.connect()
    client.mail()
    block = (b"x" * 78 + b"\r\n") * 800
    replies = bdat(client, [b"Subject: x\r\n\r\n", block, block, block])
    assert [r.code for r in replies] == [250, 250, 552, 503]
    client.expect("RSET", 250)
    assert client.send(message("after")).code == 250


def test_a_client_that_leaves_in_the_middle_of_a_chunk_delivers_nothing(standing):
    client = standing.connect()
    client.mail()
    client.raw(b"BDAT 1000 LAST\r\nSubject: gone\r\n\r\n")
    client.close()
    assert standing.connect().send(message("other")).code == 250
    assert [b"other" in m.data for m in standing.backend.messages] == [True]
