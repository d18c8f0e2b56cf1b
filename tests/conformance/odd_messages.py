"""Odd messages made up from a seed: the shapes that stored mail really has, and some it should not have."""

import random

WORDS = b"the quick brown fox jumps over the lazy dog . .. From to subject 3D = =20 \xe4\xf6\xfc \xc3\xa4 \xe2\x80\xae \x1b[31m \x7f".split(b" ")
HEADERS = [b"From: a@sender.example", b"To: u@example.org", b"Subject: odd", b"Message-ID: <odd@sender.example>", b"Date: Sat, 21 Nov 2026 20:15:04 +0000",
           b"Return-Path: <old@x.example>", b"RETURN-PATH:<older@x.example>", b"Received: from a by b; Sat, 21 Nov 2026 20:15:04 +0000", b"X-Empty:", b"X-Folded: a\r\n\tb\r\n c",
           b"Content-Type: multipart/mixed; boundary=\"x\"", b"Subject : blank before the colon", b"X-8bit: \xe4\xf6", b"no colon here", b": no name", b"Return-Path :\r\n <folded@x.example>"]


def body(chance):
    lines = []
    for _ in range(chance.choice((0, 1, 3, 30, 300))):
        lines.append(b" ".join(chance.choices(WORDS, k=chance.choice((0, 1, 5, 15, 200)))))
    if chance.random() < 0.1:
        lines.append(b"z" * chance.choice((999, 5000, 100000)))
    if chance.random() < 0.1:
        lines.append(bytes(n for n in range(1, 256) if n not in (10, 13)))
    return b"\r\n".join(lines) + b"\r\n"


def make(number):
    """One message as it would come over the wire, before dot-stuffing; number decides all of it."""
    chance = random.Random(number)
    head = b"\r\n".join(chance.sample(HEADERS, chance.randrange(0, 9)))
    message = (head + b"\r\n" if head else b"") + chance.choice((b"\r\n", b"\r\n", b"\r\n", b"")) + body(chance)
    change = chance.random()
    if change < 0.15:
        message = b"From a@sender.example Sat Nov 21 20:15:04 2026\r\n" + message
    elif change < 0.25:
        message = message.rstrip(b"\r\n") + (b"x" if chance.random() < 0.8 else b"")
    elif change < 0.32:
        at = chance.randrange(len(message) + 1)
        message = message[:at] + chance.choice((b"\r", b"\n", b"\0", b"\r\r", b"\n.\n", b"\r.\r")) + message[at:]
    elif change < 0.34:
        message = b"Received: from a by b; date\r\n" * 60 + message
    elif change < 0.36:
        message = b""
    elif change < 0.38:
        message = message.replace(b"\r\n", b"\n")
    return message
