"""Slots of datagrams, filled and answered: by Mmsg and by Plain alike."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.addresses import Address
from dnsd.transport import mmsg
from dnsd.transport.listener import bind
from dnsd.transport.mmsg import MAX_PACKET, SLOTS, STRIDE, Mmsg
from dnsd.transport.peer import is_wildcard
from dnsd.transport.plain import Plain
from dnsd.transport.registry import UDP
from tests.helpers import until
from tests.transport.engines import udp_client

Slots = Mmsg | Plain


class Slotted:
    """A bound socket with its slots, and as many clients as wanted."""

    def __init__(self, kind: type[Slots], host: str = "127.0.0.1") -> None:
        self.sock = bind(Address(host, 0), UDP).socket
        self.slots: Slots = kind(self.sock, source_addresses=is_wildcard(self.sock))
        self.clients: list[socket.socket] = []

    def client(self, to: str = "") -> socket.socket:
        name = self.sock.getsockname()
        self.clients.append(udp_client((to or name[0], *name[1:]), self.sock.family))
        return self.clients[-1]

    def receive(self, n: int) -> None:
        assert until(self.slots.receive) == n

    def close(self) -> None:
        for sock in (self.sock, *self.clients):
            sock.close()


@pytest.fixture(params=[Mmsg, Plain])
def kind(request: pytest.FixtureRequest) -> type[Slots]:
    if request.param is Mmsg and not mmsg.available():
        pytest.skip("this platform has no recvmmsg")
    return request.param


@pytest.fixture
def server(kind: type[Slots]) -> Iterator[Slotted]:
    server = Slotted(kind)
    yield server
    server.close()


def got(client: socket.socket) -> bytes | None:
    try:
        return client.recv(65_535)
    except BlockingIOError:
        return None


class TestReceive:
    def test_an_empty_queue_is_not_an_error(self, server: Slotted) -> None:
        assert server.slots.receive() == 0
        assert server.slots.errors == 0

    def test_a_closed_socket_is_counted_as_an_error(self, server: Slotted) -> None:
        server.sock.close()
        assert server.slots.receive() == 0
        assert server.slots.errors == 1

    def test_packets_beyond_the_slots_wait_for_the_next_call(self, server: Slotted) -> None:
        client = server.client()
        for i in range(SLOTS + 3):
            client.send(bytes([i]))
        server.receive(SLOTS)
        assert server.slots.blob(SLOTS)[::STRIDE] == bytes(range(SLOTS))
        server.receive(3)
        assert server.slots.lengths(3) == [1, 1, 1]

    @pytest.mark.parametrize("size", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, MAX_PACKET - 1])
    def test_a_packet_of_any_size_arrives_whole(self, server: Slotted, size: int) -> None:
        packet = bytes(i * 31 & 0xFF for i in range(size))
        first, second = server.client(), server.client()
        first.send(b"before")
        second.send(packet)
        server.receive(2)
        assert server.slots.lengths(2) == [6, size]
        assert server.slots.packet(1, size) == packet
        assert server.slots.blob(2)[STRIDE:][: min(size, STRIDE)] == packet[:STRIDE]

    @pytest.mark.parametrize("size", [MAX_PACKET, MAX_PACKET + 1, 65_507])
    def test_a_packet_that_is_too_long_has_the_largest_size(
        self, server: Slotted, size: int
    ) -> None:
        server.client().send(bytes(size))
        server.receive(1)
        assert server.slots.lengths(1) == [MAX_PACKET]

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
    def test_clients_and_peers_are_the_senders(self, kind: type[Slots], host: str) -> None:
        server = Slotted(kind, host)
        to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        clients = [server.client(to) for _ in range(2)]
        for client in clients:
            client.send(b"?")
        server.receive(2)
        packed = socket.inet_pton(server.sock.family, to)
        assert server.slots.clients(2) == [packed, packed]
        peers = [server.slots.peer(i) for i in range(2)]
        assert [peer.address for peer in peers] == [c.getsockname() for c in clients]
        assert [peer.packed for peer in peers] == [packed, packed]
        assert all(bool(peer.ancillary) == is_wildcard(server.sock) for peer in peers)
        server.close()


class TestSend:
    @pytest.mark.parametrize("n", [1, 2, SLOTS])
    def test_each_client_gets_its_reply(self, server: Slotted, n: int) -> None:
        clients = [server.client() for _ in range(n)]
        for i, client in enumerate(clients):
            client.send(bytes([i]))
        server.receive(n)
        assert server.slots.send([bytes([i]) * (i + 1) for i in range(n)]) == n
        assert [got(client) for client in clients] == [bytes([i]) * (i + 1) for i in range(n)]

    def test_a_batch_without_replies_sends_nothing(self, server: Slotted) -> None:
        client = server.client()
        client.send(b"?")
        server.receive(1)
        assert server.slots.send([None]) == 0
        assert got(client) is None

    def test_only_bytes_are_sent(self, server: Slotted) -> None:
        clients = [server.client() for _ in range(4)]
        for round_ in ([None, b"1", object(), b"3"], [b"4", b"5", b"6", b"7"]):
            for client in clients:
                client.send(b"?")
            server.receive(4)
            replies = [r if isinstance(r, bytes) else None for r in round_]
            assert server.slots.send(round_) == sum(r is not None for r in replies)
            assert [got(client) for client in clients] == replies

    @pytest.mark.parametrize("bad", [(0,), (1,), (3,), (0, 1), (1, 2), (0, 3), (0, 1, 2, 3)])
    def test_a_reply_that_cannot_be_sent_does_not_hold_up_the_rest(
        self, server: Slotted, bad: tuple[int, ...]
    ) -> None:
        clients = [server.client() for _ in range(4)]
        for client in clients:
            client.send(b"?")
        server.receive(4)
        # No datagram holds this much: EMSGSIZE.
        replies = [bytes(70_000) if i in bad else b"ok" for i in range(4)]
        assert server.slots.send(replies) == 4 - len(bad)
        assert server.slots.errors == len(bad)
        assert [got(c) for c in clients] == [None if i in bad else b"ok" for i in range(4)]

    def test_an_error_of_the_socket_drops_the_batch(self, server: Slotted) -> None:
        client = server.client()
        for _ in range(3):
            client.send(b"?")
        server.receive(3)
        server.sock.close()
        assert server.slots.send([b"1", None, b"3"]) == 0
        assert server.slots.errors == 2

    @settings(max_examples=30, deadline=None)
    @given(
        rounds=st.lists(
            st.lists(st.none() | st.binary(min_size=1, max_size=1500), min_size=1, max_size=SLOTS),
            min_size=1,
            max_size=4,
        )
    )
    @pytest.mark.parametrize("which", [Mmsg, Plain])
    def test_any_mix_of_outcomes_reaches_the_right_clients(
        self, which: type[Slots], rounds: list[list[bytes | None]]
    ) -> None:
        server = Slotted(which)
        clients = [server.client() for _ in range(max(map(len, rounds)))]
        for replies in rounds:
            asking = clients[: len(replies)]
            for client in asking:
                client.send(b"?")
            server.receive(len(replies))
            assert server.slots.send(replies) == sum(r is not None for r in replies)
            assert [got(client) for client in asking] == replies
        server.close()


class TestReplyLeavesFromTheQueriedAddress:
    @pytest.mark.parametrize("mixed", [False, True])
    def test_a_reply_on_the_ipv4_wildcard(self, kind: type[Slots], mixed: bool) -> None:
        # A connected socket takes replies only from the address that it queried.
        server = Slotted(kind, "0.0.0.0")
        clients = [server.client(f"127.0.0.{i}") for i in range(1, 6)]
        for _ in range(2):
            for client in clients:
                client.send(b"?")
            server.receive(5)
            replies = [None if mixed and i == 2 else bytes([i]) for i in range(5)]
            server.slots.send(replies)
            assert [got(client) for client in clients] == replies
        server.close()

    @pytest.mark.parametrize(("host", "at"), [("0.0.0.0", 0), ("::", 16)])
    def test_the_routing_table_chooses_the_interface(
        self, kind: type[Slots], host: str, at: int
    ) -> None:
        server = Slotted(kind, host)
        server.client({"::": "::1"}.get(host, "127.0.0.4")).send(b"?")
        server.receive(1)
        ((_, _, data),) = server.slots.peer(0).ancillary
        assert data[at : at + 4] == bytes(4)
        assert any(data)
        server.close()

    def test_a_reply_on_the_ipv6_wildcard(self, kind: type[Slots]) -> None:
        server = Slotted(kind, "::")
        client = server.client("::1")
        client.send(b"?")
        server.receive(1)
        assert server.slots.send([b"!"]) == 1
        assert got(client) == b"!"
        assert server.slots.errors == 0
        server.close()
