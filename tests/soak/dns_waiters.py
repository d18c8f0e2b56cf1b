#!/usr/bin/python3
"""Clients whose senders' domains nobody answers for: dns_waiters.py PORT COUNT SECONDS DOMAIN.

Each sends message after message, from sender a@cCLIENT-mMESSAGE.DOMAIN, until the time is over. Prints `ready` when nine of ten have sent
their first message, and at the end, as JSON, how often which reply came and how long, in seconds, the slowest took from MAIL to it. A process of its own: it
shares no interpreter with the clients whose latency is measured."""

import asyncio
import collections
import json
import resource
import sys
import time

MESSAGE = b"From: <a@dead.example>\r\nTo: <u@example.org>\r\nSubject: waiting\r\n\r\nwaiting\r\n.\r\n"


class Waiters:
    def __init__(self, port, count, seconds, domain):
        self.port, self.count, self.seconds, self.domain = port, count, seconds, domain
        self.replies = collections.Counter()
        self.slowest = 0.0
        self.sent = 0
        self.starting = asyncio.Semaphore(50)  # sessions at one time between connect and greeting

    async def run(self):
        await asyncio.gather(*(self.client(number) for number in range(self.count)))
        print(json.dumps({"replies": self.replies, "slowest s": round(self.slowest, 2)}), flush=True)

    async def client(self, number):
        try:
            async with self.starting:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                await self.reply(reader)
                await self.say(reader, writer, b"EHLO client.example")
            await self.send_all(reader, writer, number)
            writer.close()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.replies[f"{type(error).__name__}: {error}"] += 1

    async def send_all(self, reader, writer, number):
        message, end = 0, time.monotonic() + self.seconds
        while message == 0 or time.monotonic() < end:
            begun = time.monotonic()
            sender = f"a@c{number}-m{message}.{self.domain}"
            for line, wanted in ((f"MAIL FROM:<{sender}>", "250"), ("RCPT TO:<u@example.org>", "250"), ("DATA", "354")):
                reply = await self.say(reader, writer, line.encode())
                if not reply.startswith(wanted):
                    break
            else:
                writer.write(MESSAGE)
                if message == 0:
                    self.note_sent()
                reply = await self.reply(reader)
            message += 1
            self.replies[" ".join(reply.split()[:2])] += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def note_sent(self):
        self.sent += 1
        if self.sent == self.count * 9 // 10:
            print("ready", flush=True)

    async def say(self, reader, writer, line):
        writer.write(line + b"\r\n")
        return await self.reply(reader)

    @staticmethod
    async def reply(reader):
        while True:
            line = (await reader.readuntil(b"\n")).decode(errors="replace")
            if line[3:4] != "-":
                return line


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Waiters(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]).run())
