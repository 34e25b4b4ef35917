"""Plain behaves as Mmsg does, at one system call per datagram."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dnsd.dns.addresses import Address
from dnsd.transport import mmsg
from dnsd.transport.listener import bind
from dnsd.transport.mmsg import MAX_PACKET, Mmsg
from dnsd.transport.plain import Plain
from dnsd.transport.registry import UDP
from tests.helpers import until
from tests.transport.engines import udp_client

PACKETS = [b"", b"x", b"a" * 511, b"b" * 512, b"c" * 513, b"d" * (MAX_PACKET + 1)]


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    found = [bind(Address("127.0.0.1", 0), UDP).socket for _ in range(2)]
    yield found
    for sock in found:
        sock.close()


@pytest.mark.skipif(not mmsg.available(), reason="this platform has no recvmmsg")
def test_the_slots_of_plain_hold_what_the_slots_of_mmsg_hold(sockets: list[socket.socket]) -> None:
    seen, replies = [], []
    outcomes = [b"one", None, b"three", object(), b"", b"six"]
    for sock, slots in zip(sockets, (Mmsg(sockets[0]), Plain(sockets[1])), strict=True):
        with udp_client(sock.getsockname()) as client:
            for packet in PACKETS:
                client.send(packet)
            n = len(PACKETS)
            assert until(slots.receive) == n
            lengths = slots.lengths(n)
            whole = [slots.packet(i, length) for i, length in enumerate(lengths)]
            # What lies behind a packet in the blob is of no meaning.
            blob, stride = slots.blob(n), mmsg.STRIDE
            heads = [blob[i * stride :][: min(lengths[i], stride)] for i in range(n)]
            peers = [slots.peer(i).address == client.getsockname() for i in range(n)]
            seen.append((lengths, whole, heads, slots.clients(n), peers))
            assert slots.send(outcomes) == 4
            replies.append([client.recv(100) for _ in range(4)])
    assert seen[0] == seen[1]
    assert replies[0] == replies[1] == [b"one", b"three", b"", b"six"]


def test_a_reply_that_cannot_be_sent_is_counted_and_the_next_is_sent(
    sockets: list[socket.socket],
) -> None:
    slots = Plain(sockets[0])
    with udp_client(sockets[0].getsockname()) as client:
        client.send(b"1")
        client.send(b"2")
        assert until(slots.receive) == 2
        assert slots.send([bytes(70_000), b"two"]) == 1
        assert slots.errors == 1
        assert client.recv(10) == b"two"
