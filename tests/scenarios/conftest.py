"""Fixtures: a gateway, a scripted backend, a raw client, all on loopback and all ended with the test."""

import pytest

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
