"""A backend as careless as real ones have been: takes many things for the end of a message, and keeps all bytes it was sent."""

import re

from backend import Backend, Conversation

ENDS = re.compile(rb"(?:\r\n|\n|\r|\r\r\n)\.(?:\r\n|\n|\r\r\n|\r(?=[^\n]))")


class CarelessConversation(Conversation):
    def _more(self):
        before = len(self.pending)
        super()._more()
        self.backend.seen += self.pending[before:]

    def _read_data(self):
        text = b"\r\n" + self.pending
        while not (found := ENDS.search(text)):
            self._more()
            text = b"\r\n" + self.pending
        self.pending = text[found.end():]
        return re.sub(rb"(?m)^\.", b"", text[2:found.start()] + b"\r\n")


class CarelessBackend(Backend):
    conversation = CarelessConversation

    def __init__(self, **options):
        self.seen = b""
        super().__init__(**options)

    def complaints(self):
        """What no backend should ever be sent, in words."""
        found = []
        if b"\0" in self.seen:
            found.append("NUL")
        if re.search(rb"\r(?!\n)", self.seen):
            found.append("bare CR")
        if re.search(rb"(?<!\r)\n", self.seen):
            found.append("bare LF")
        allowed = {"EHLO", "LHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}
        found += [f"command {line!r}" for _, line in self.commands if line.split(" ")[0] not in allowed]
        return found
