"""Everything that grows or lasts has a bound: sessions, time, output nobody reads. What ends a session says so with 421."""

import socket
import time

import pytest

from client import Client, message
from gateway import sanitized, wait_until


def take(gateway, count, **options):
    """Opens sessions; returns the clients and the codes of their greetings."""
    clients = [Client(gateway.port, **options) for _ in range(count)]
    return clients, [client.reply().code for client in clients]


@pytest.mark.parametrize("proxies", [1, 2])
def test_sessions_of_one_address(gateway_factory, backend, proxies):
    gateway = gateway_factory(backend, limits={"sessions_per_address": 3}, proxies=proxies)
    time.sleep(0.1)  # the start-up probe has left
    clients, codes = take(gateway, 5)
    assert sorted(codes) == [220] * 3 + [421] * 2
    _, elsewhere = take(gateway, 1, source="127.0.0.2")
    assert elsewhere == [220]
    for client in clients:
        client.close()
    wait_until(lambda: take(gateway, 1)[1] == [220], what="room again")


def test_the_refusal_has_an_enhanced_code_and_the_connection_is_closed(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"sessions_per_address": 1})
    time.sleep(0.1)
    first, second = Client(gateway.port), Client(gateway.port)
    assert first.reply().code == 220
    reply = second.reply()
    assert (reply.code, reply.enhanced) == (421, "4.7.0")
    assert second.is_closed()
    first.expect("EHLO client.example", 250)


def test_sessions_in_all_over_all_proxies(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"sessions": 6}, proxies=2)
    time.sleep(0.1)
    clients, codes = [], []
    for address in range(2, 6):
        more, heard = take(gateway, 2, source=f"127.0.0.{address}")
        clients += more
        codes += heard
    assert sorted(codes) == [220] * 6 + [421] * 2


@pytest.mark.parametrize("said", [[], ["EHLO client.example"], ["EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<u@example.org>"]])
def test_a_silent_client_is_sent_away(gateway_factory, backend, said):
    gateway = gateway_factory(backend, timeouts={"command": "300ms"})
    client = Client(gateway.port)
    client.reply()
    for command in said:
        client.expect(command, 250)
    began = time.monotonic()
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (421, "4.4.2")
    assert 0.2 < time.monotonic() - began < 2
    assert client.is_closed()


def test_a_command_byte_by_byte_does_not_stretch_the_time(gateway_factory, backend):
    client = Client(gateway_factory(backend, timeouts={"command": "500ms"}).port)
    client.greet()
    began = time.monotonic()
    client.socket.settimeout(0.05)
    reply = None
    while reply is None and time.monotonic() - began < 4:
        try:
            client.raw(b"x")
            reply = client.reply()
        except TimeoutError:
            continue
    assert reply is not None and (reply.code, reply.enhanced) == (421, "4.4.2")
    assert time.monotonic() - began < 1.5


def test_silence_in_data(gateway_factory, backend):
    client = Client(gateway_factory(backend, timeouts={"data_block": "300ms"}).port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    client.raw(b"Subject: half\r\n")
    reply = client.reply()
    assert (reply.code, reply.enhanced) == (421, "4.4.2")
    assert not backend.messages


def test_dribbling_data_is_bounded_in_all(gateway_factory, backend):
    gateway = gateway_factory(backend, timeouts={"data_block": "5s", "data_total": "700ms"})
    client = Client(gateway.port)
    client.greet()
    client.mail()
    client.expect("DATA", 354)
    began = time.monotonic()
    client.socket.settimeout(0.05)
    reply = None
    while reply is None and time.monotonic() - began < 4:
        try:
            client.raw(b"x")
            reply = client.reply()
        except TimeoutError:
            continue
    assert reply is not None and (reply.code, reply.enhanced) == (421, "4.4.2")
    assert time.monotonic() - began < 2
    assert not backend.messages
    with Client(gateway.port) as other:
        other.greet()
        assert other.send(message("other")).code == 250


def test_a_client_that_never_reads_is_cut_off(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"commands": 1000000, "errors": 100000})
    flood = socket.socket()
    flood.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    flood.connect(("127.0.0.1", gateway.port))
    flood.settimeout(1)
    block = b"HELP\r\n" * 2000
    sent = 0
    with pytest.raises(OSError):
        for _ in range(3000):
            sent += flood.send(block)
    memory = sum(resident_kb(p["pid"]) for p in gateway.processes("proxy"))
    assert memory < (400_000 if sanitized() else 100_000), f"{memory} KB after {sent} bytes nobody reads the answers to"
    with Client(gateway.port) as other:
        other.greet()
        assert other.send(message("other")).code == 250


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_an_endless_line_takes_no_memory(gateway_factory, backend):
    gateway = gateway_factory(backend, limits={"message_size": "50M"})
    before = sum(resident_kb(p["pid"]) for p in gateway.processes("proxy"))
    with Client(gateway.port) as client:
        client.reply()
        for _ in range(30):
            client.raw(b"x" * (1 << 20))
        client.raw(b"\r\n")
        assert client.reply().code == 500
    assert sum(resident_kb(p["pid"]) for p in gateway.processes("proxy")) - before < 20_000


def test_more_sessions_than_descriptors_are_refused_at_start(gateway_factory, backend):
    with pytest.raises(AssertionError, match="open files"):
        gateway_factory(backend, limits={"sessions": 1000000})
