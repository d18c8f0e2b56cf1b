"""Fixtures: a gateway, a scripted backend, a raw client, all on loopback and all ended with the test."""

import shutil

import pytest

import servers
from backend import Backend
from client import Client
from gateway import Gateway


@pytest.fixture
def backend_factory():
    made = []

    def make(**options):
        made.append(Backend(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def backend(backend_factory):
    return backend_factory()


@pytest.fixture
def gateway_factory(tmp_path):
    made = []

    def make(*backends, **options):
        urls = [b if isinstance(b, dict) else {"url": b if isinstance(b, str) else b.url} for b in backends]
        made.append(Gateway(tmp_path / f"gateway{len(made)}", urls, **options))
        return made[-1].start()

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def gateway(gateway_factory, backend):
    """A gateway with one honest SMTP backend."""
    return gateway_factory(backend)


@pytest.fixture
def connect(gateway):
    """Opens clients to the gateway, greeted."""
    made = []

    def make(greet=True, **options):
        made.append(Client(gateway.port, **options))
        if greet:
            made[-1].greet()
        return made[-1]

    yield make
    for each in made:
        each.close()


class Standing:
    """A gateway and its backend that serve all tests of a module, one after the other: start-up is what costs time."""

    def __init__(self, gateway, backend):
        self.gateway = gateway
        self.backend = backend
        self.clients = []

    def connect(self, greet=True, **options):
        self.clients.append(Client(self.gateway.port, **options))
        if greet:
            self.clients[-1].greet()
        return self.clients[-1]

    def begin(self):
        with self.backend.lock:
            self.backend.rules.clear()
            self.backend.messages.clear()
            self.backend.commands.clear()

    def end(self):
        while self.clients:
            self.clients.pop().close()


@pytest.fixture(scope="module")
def standing_module(request, tmp_path_factory):
    """One gateway and backend per module; STANDING (gateway options) and STANDING_BACKEND of the test module set them up."""
    backend = Backend(**getattr(request.module, "STANDING_BACKEND", {}))
    gateway = Gateway(tmp_path_factory.mktemp("standing"), [{"url": backend.url}], **getattr(request.module, "STANDING", {}))
    try:
        yield Standing(gateway.start(), backend)
    finally:
        gateway.stop()
        backend.close()


@pytest.fixture
def standing(standing_module):
    """The module's gateway and backend, with nothing left over from the test before."""
    standing_module.begin()
    yield standing_module
    standing_module.end()


def skip_if(reason):
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def dovecot_lmtp():
    """Dovecot taking LMTP for servers.USERS."""
    skip_if(servers.why_no_dovecot())
    server = servers.Dovecot()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postfix_backend():
    """Postfix taking SMTP for servers.USERS."""
    skip_if(servers.why_no_postfix())
    server = servers.PostfixBackend()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def postfix_sender_factory():
    """Makes Postfix instances that relay all they take to a port."""
    made = []

    def make(port, extra=""):
        skip_if(servers.why_no_postfix())
        made.append(servers.PostfixSender(port, extra))
        return made[-1].start()

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def postfix_sender(postfix_sender_factory, gateway):
    return postfix_sender_factory(gateway.port)


@pytest.fixture
def smtp_source():
    """Arguments that run Postfix's load generator."""
    skip_if(None if (servers.POSTFIX / "usr/sbin/smtp-source").exists() else servers.why_no_postfix())
    return servers.postfix_program("smtp-source")


@pytest.fixture
def smtp_sink():
    skip_if(None if (servers.POSTFIX / "usr/sbin/smtp-sink").exists() else servers.why_no_postfix())
    return servers.postfix_program("smtp-sink")


@pytest.fixture
def swaks():
    path = shutil.which("swaks")
    skip_if(None if path else "swaks is not installed")
    return path
