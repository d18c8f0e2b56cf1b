"""A scripted SMTP client that says exactly the bytes it is told to say."""

import re
import socket


class Reply:
    def __init__(self, code, lines):
        self.code = code
        self.lines = lines

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def enhanced(self):
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)", self.lines[-1])
        return found.group(1) if found else ""

    @property
    def queue_id(self):
        found = re.search(r"(?:queued as|queue ID) ([0-9A-Z]{14})", self.text)
        return found.group(1) if found else None

    def __repr__(self):
        return f"<{self.code} {self.text!r}>"


class Closed(Exception):
    """The server closed the connection where a reply was due."""


class Client:
    def __init__(self, port, host="127.0.0.1", timeout=15, source=None):
        self.socket = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0) if source else None)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.pending:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed(self.pending.decode(errors="replace"))
            self.pending += more
        line, self.pending = self.pending.split(b"\n", 1)
        assert line.endswith(b"\r"), f"reply line without CR: {line!r}"
        return line[:-1].decode("utf-8", "surrogateescape")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            assert re.match(r"[2-5]\d\d[ -]", line) or re.fullmatch(r"[2-5]\d\d", line), f"not a reply line: {line!r}"
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def say(self, command):
        """Sends one command line and returns its reply."""
        self.raw(command + "\r\n")
        return self.reply()

    def expect(self, command, code):
        reply = self.say(command)
        assert reply.code == code, f"{command!r}: {reply!r}, expected {code}"
        return reply

    def greet(self, name="client.example", extended=True):
        reply = self.reply()
        assert reply.code == 220, reply
        return self.expect(("EHLO " if extended else "HELO ") + name, 250)

    def greet_offers(self, name="client.example"):
        """Greets; returns the offered keywords, each with its whole line."""
        return {line.split(" ")[0]: line for line in self.greet(name).lines[1:]}

    def mail(self, sender="a@sender.example", recipients=("u@example.org",), parameters=""):
        self.expect(f"MAIL FROM:<{sender}>{parameters}", 250)
        for recipient in recipients:
            self.expect(f"RCPT TO:<{recipient}>", 250)

    def data(self, message):
        """DATA with the message dot-stuffed; returns the final reply."""
        self.expect("DATA", 354)
        self.raw(stuff(message) + b".\r\n")
        return self.reply()

    def send(self, message, sender="a@sender.example", recipients=("u@example.org",)):
        self.mail(sender, recipients)
        return self.data(message)

    def is_closed(self, seconds=5):
        """True when the server closes within the time; further bytes it sends are dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


def stuff(message):
    """Dot-stuffs CRLF text (RFC 5321 4.5.2) and adds a missing final line end."""
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", message)


def message(subject="hello", body="text\r\n", size=None, headers=""):
    """A plain message of CRLF lines; `size` pads the body to about so many bytes."""
    if size is not None:
        line = "0123456789" * 7 + "\r\n"
        body = line * max(1, (size - 150) // len(line))
    return (f"From: <a@sender.example>\r\nTo: <u@example.org>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@sender.example>\r\n"
            f"{headers}\r\n{body}").encode()
