"""A scripted mail server on loopback: SMTP or LMTP, honest unless told otherwise, remembering what it received.

`rules` maps a moment to what to do there: a reply line (str), a callable(connection, argument) -> reply line or None (None: normal),
or one of the acts below. Moments: connect, EHLO, LHLO, HELO, MAIL, RCPT, DATA, EOD (end of data; LMTP: per recipient), RSET, QUIT, NOOP.
"""

import re
import socket
import threading
import time


class Act:
    """Something other than a reply."""

    def __str__(self):
        return type(self).__name__.lower()


class Close(Act):
    """Closes the connection, after saying `first` (raw bytes) if given."""

    def __init__(self, first=b""):
        self.first = first


class Hang(Act):
    """Says nothing for so many seconds (or until the other side hangs up), then closes."""

    def __init__(self, seconds=30):
        self.seconds = seconds


class Raw(Act):
    """Says exactly these bytes and goes on."""

    def __init__(self, data):
        self.data = data


class Delay(Act):
    """Waits, then replies as usual."""

    def __init__(self, seconds):
        self.seconds = seconds


class Received:
    def __init__(self, sender, recipients, data, connection):
        self.sender = sender  # whole argument of MAIL, e.g. "FROM:<a@b> SIZE=10"
        self.recipients = recipients  # accepted RCPT arguments
        self.data = data  # unstuffed bytes
        self.connection = connection  # number of the connection it came over


class Backend:
    def __init__(self, lmtp=False, rules=None, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "SIZE 104857600"),
                 hostname="backend.example", port=0, address="127.0.0.1", path=None):
        self.lmtp = lmtp
        self.rules = dict(rules or {})
        self.extensions = list(extensions)
        self.hostname = hostname
        self.messages = []
        self.commands = []  # (connection number, line)
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        self.lock = threading.Lock()
        self.stopping = False
        self.path = path
        self.address = address
        if path is not None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
        else:
            self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.port = self.listener.getsockname()[1]
        self.listener.listen(1024)
        self.sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        if self.path is not None:
            return f"lmtp+unix://{self.path}"
        return f"{'lmtp' if self.lmtp else 'smtp'}://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"

    def close(self):
        """Stops listening and drops all connections: a dead backend."""
        self.stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            for each in list(self.sockets):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def said(self, verb):
        """All command lines with this verb, in order."""
        with self.lock:
            return [line for _, line in self.commands if line.upper().startswith(verb)]

    def _accept(self):
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open_connections += 1
                self.most_connections = max(self.most_connections, self.open_connections)
                self.sockets.add(connection)
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        try:
            self.conversation(self, connection, number).run()
        except (OSError, EOFError):
            pass
        finally:
            with self.lock:
                self.open_connections -= 1
                self.sockets.discard(connection)
            connection.close()


class Conversation:
    def __init__(self, backend, connection, number):
        self.backend = backend
        self.socket = connection
        self.number = number
        self.pending = b""
        self.sender = None
        self.recipients = []
        self.argument = ""
        self.data = b""  # of the message last read

    def line(self):
        while b"\n" not in self.pending:
            self._more()
        line, self.pending = self.pending.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def _more(self):
        more = self.socket.recv(1 << 16)
        if not more:
            raise EOFError
        self.pending += more

    def say(self, text):
        self.socket.sendall(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def act(self, moment, normal, before_success=lambda: None):
        """Does what the rules want at this moment; returns the reply code that was said (0: none). Calls before_success before a 250."""
        rule = self.backend.rules.get(moment)
        if callable(rule) and not isinstance(rule, Act):
            rule = rule(self, self.argument)
        if isinstance(rule, Close):
            self.socket.sendall(rule.first)
            raise EOFError
        if isinstance(rule, Hang):
            self._hang(time.monotonic() + rule.seconds)
        if isinstance(rule, Raw):
            code = int(rule.data[:3]) if rule.data[:3].isdigit() else 0
            if code == 250:
                before_success()
            self.socket.sendall(rule.data)
            return code
        if isinstance(rule, Delay):
            time.sleep(rule.seconds)
            rule = None
        text = normal if rule is None else rule
        if text.startswith("250"):
            before_success()
        self.say(text)
        return int(text[:3])

    def _hang(self, end):
        """Reads and says nothing, until then or until the other side hangs up."""
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            self._more()
        raise EOFError

    def run(self):
        if self.act("connect", f"220 {self.backend.hostname} ESMTP scripted") >= 400:
            return
        while True:
            line = self.line()
            with self.backend.lock:
                self.backend.commands.append((self.number, line))
            verb, _, self.argument = line.partition(" ")
            verb = verb.upper()
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler is None:
                self.say("500 5.5.1 unknown")
            elif handler() == "quit":
                return

    def _hello(self, verb):
        rule = self.backend.rules.get(verb)
        if rule is not None:
            self.act(verb, "")
            return
        lines = [self.backend.hostname, *self.backend.extensions]
        for each in lines[:-1]:
            self.say("250-" + each)
        self.say("250 " + lines[-1])

    def do_ehlo(self):
        if self.backend.lmtp:
            self.say("500 5.5.1 this is LMTP")
            return
        self._hello("EHLO")

    def do_lhlo(self):
        if not self.backend.lmtp:
            self.say("500 5.5.1 this is SMTP")
            return
        self._hello("LHLO")

    def do_helo(self):
        self.act("HELO", "250 " + self.backend.hostname)

    def do_mail(self):
        if self.act("MAIL", "250 2.1.0 Ok") == 250:
            self.sender = self.argument
            self.recipients = []

    def do_rcpt(self):
        if self.act("RCPT", "250 2.1.5 Ok") == 250:
            self.recipients.append(self.argument)

    def do_data(self):
        if not self.recipients:
            self.say("554 5.5.1 no valid recipients")
            return
        if self.act("DATA", "354 go ahead") != 354:
            return
        self.data = self._read_data()
        self.stored = None
        if self.backend.lmtp:
            for self.argument in self.recipients:
                self.act("EOD", "250 2.0.0 Ok: stored", lambda: self._store([self.argument]))
        else:
            self.act("EOD", f"250 2.0.0 Ok: stored {len(self.backend.messages) + 1}", lambda: self._store(self.recipients))
        self.sender, self.recipients = None, []

    def _store(self, recipients):
        """Before the reply is said, so that whoever hears of it finds the message."""
        with self.backend.lock:
            if self.stored is None:
                self.stored = Received(self.sender, [], self.data, self.number)
                self.backend.messages.append(self.stored)
            self.stored.recipients.extend(recipients)

    def _read_data(self):
        while not self.pending.startswith(b".\r\n") and b"\r\n.\r\n" not in self.pending:
            self._more()
        if self.pending.startswith(b".\r\n"):
            data, self.pending = b"", self.pending[3:]
        else:
            data, self.pending = self.pending.split(b"\r\n.\r\n", 1)
            data += b"\r\n"
        return re.sub(rb"(?m)^\.", b"", data)

    def do_rset(self):
        self.sender, self.recipients = None, []
        self.act("RSET", "250 2.0.0 Ok")

    def do_noop(self):
        self.act("NOOP", "250 2.0.0 Ok")

    def do_quit(self):
        self.act("QUIT", "221 2.0.0 bye")
        return "quit"


Backend.conversation = Conversation
