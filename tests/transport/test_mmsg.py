"""Slots, filled and answered: many datagrams a call, and one by one, must not differ."""

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


class WorkerProcess:
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
def link(kind: type[Slots]) -> Iterator[WorkerProcess]:
    link = WorkerProcess(kind)
    yield link
    link.close()


def got(client: socket.socket) -> bytes | None:
    try:
        return client.recv(65_535)
    except BlockingIOError:
        return None


class TestReceive:
    def test_nothing_queued_is_no_error(self, link: WorkerProcess) -> None:
        assert link.slots.receive() == 0
        assert link.slots.errors == 0

    def test_a_closed_socket_is_an_error_that_is_counted(self, link: WorkerProcess) -> None:
        link.sock.close()
        assert link.slots.receive() == 0
        assert link.slots.errors == 1

    def test_more_than_the_slots_hold_waits_for_the_next_call(self, link: WorkerProcess) -> None:
        client = link.client()
        for i in range(SLOTS + 3):
            client.send(bytes([i]))
        link.receive(SLOTS)
        assert link.slots.blob(SLOTS)[::STRIDE] == bytes(range(SLOTS))
        link.receive(3)
        assert link.slots.lengths(3) == [1, 1, 1]

    @pytest.mark.parametrize("size", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, MAX_PACKET - 1])
    def test_every_size_arrives_whole(self, link: WorkerProcess, size: int) -> None:
        packet = bytes(i * 31 & 0xFF for i in range(size))
        first, second = link.client(), link.client()
        first.send(b"before")
        second.send(packet)
        link.receive(2)
        assert link.slots.lengths(2) == [6, size]
        assert link.slots.packet(1, size) == packet
        assert link.slots.blob(2)[STRIDE:][: min(size, STRIDE)] == packet[:STRIDE]

    @pytest.mark.parametrize("size", [MAX_PACKET, MAX_PACKET + 1, 65_507])
    def test_too_long_shows_as_the_largest_size(self, link: WorkerProcess, size: int) -> None:
        link.client().send(bytes(size))
        link.receive(1)
        assert link.slots.lengths(1) == [MAX_PACKET]

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
    def test_who_sent_it(self, kind: type[Slots], host: str) -> None:
        link = WorkerProcess(kind, host)
        to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        clients = [link.client(to) for _ in range(2)]
        for client in clients:
            client.send(b"?")
        link.receive(2)
        packed = socket.inet_pton(link.sock.family, to)
        assert link.slots.clients(2) == [packed, packed]
        peers = [link.slots.peer(i) for i in range(2)]
        assert [peer.address for peer in peers] == [c.getsockname() for c in clients]
        assert [peer.packed for peer in peers] == [packed, packed]
        assert all(bool(peer.ancillary) == is_wildcard(link.sock) for peer in peers)
        link.close()


class TestSend:
    @pytest.mark.parametrize("n", [1, 2, SLOTS])
    def test_each_client_gets_its_reply(self, link: WorkerProcess, n: int) -> None:
        clients = [link.client() for _ in range(n)]
        for i, client in enumerate(clients):
            client.send(bytes([i]))
        link.receive(n)
        assert link.slots.send([bytes([i]) * (i + 1) for i in range(n)]) == n
        assert [got(client) for client in clients] == [bytes([i]) * (i + 1) for i in range(n)]

    def test_no_reply_at_all(self, link: WorkerProcess) -> None:
        client = link.client()
        client.send(b"?")
        link.receive(1)
        assert link.slots.send([None]) == 0
        assert got(client) is None

    def test_what_is_not_bytes_is_no_reply(self, link: WorkerProcess) -> None:
        clients = [link.client() for _ in range(4)]
        for round_ in ([None, b"1", object(), b"3"], [b"4", b"5", b"6", b"7"]):
            for client in clients:
                client.send(b"?")
            link.receive(4)
            replies = [r if isinstance(r, bytes) else None for r in round_]
            assert link.slots.send(round_) == sum(r is not None for r in replies)
            assert [got(client) for client in clients] == replies

    @pytest.mark.parametrize("bad", [(0,), (1,), (3,), (0, 1), (1, 2), (0, 3), (0, 1, 2, 3)])
    def test_one_that_cannot_be_sent_does_not_keep_back_the_rest(
        self, link: WorkerProcess, bad: tuple[int, ...]
    ) -> None:
        clients = [link.client() for _ in range(4)]
        for client in clients:
            client.send(b"?")
        link.receive(4)
        # No datagram holds this much: EMSGSIZE.
        replies = [bytes(70_000) if i in bad else b"ok" for i in range(4)]
        assert link.slots.send(replies) == 4 - len(bad)
        assert link.slots.errors == len(bad)
        assert [got(c) for c in clients] == [None if i in bad else b"ok" for i in range(4)]

    def test_an_error_of_the_socket_gives_up_the_batch(self, link: WorkerProcess) -> None:
        client = link.client()
        for _ in range(3):
            client.send(b"?")
        link.receive(3)
        link.sock.close()
        assert link.slots.send([b"1", None, b"3"]) == 0
        assert link.slots.errors == 2

    @settings(max_examples=30, deadline=None)
    @given(
        rounds=st.lists(
            st.lists(st.none() | st.binary(min_size=1, max_size=1500), min_size=1, max_size=SLOTS),
            min_size=1,
            max_size=4,
        )
    )
    @pytest.mark.parametrize("which", [Mmsg, Plain])
    def test_any_mix_of_replies_and_none(
        self, which: type[Slots], rounds: list[list[bytes | None]]
    ) -> None:
        link = WorkerProcess(which)
        clients = [link.client() for _ in range(max(map(len, rounds)))]
        for replies in rounds:
            asking = clients[: len(replies)]
            for client in asking:
                client.send(b"?")
            link.receive(len(replies))
            assert link.slots.send(replies) == sum(r is not None for r in replies)
            assert [got(client) for client in asking] == replies
        link.close()


class TestReplyLeavesFromTheAddressAsked:
    @pytest.mark.parametrize("mixed", [False, True])
    def test_ipv4_wildcard(self, kind: type[Slots], mixed: bool) -> None:
        # A connected socket takes replies only from the address it asked.
        link = WorkerProcess(kind, "0.0.0.0")
        clients = [link.client(f"127.0.0.{i}") for i in range(1, 6)]
        for _ in range(2):
            for client in clients:
                client.send(b"?")
            link.receive(5)
            replies = [None if mixed and i == 2 else bytes([i]) for i in range(5)]
            link.slots.send(replies)
            assert [got(client) for client in clients] == replies
        link.close()

    @pytest.mark.parametrize(("host", "at"), [("0.0.0.0", 0), ("::", 16)])
    def test_the_interface_is_left_to_the_routes(
        self, kind: type[Slots], host: str, at: int
    ) -> None:
        link = WorkerProcess(kind, host)
        link.client({"::": "::1"}.get(host, "127.0.0.4")).send(b"?")
        link.receive(1)
        ((_, _, data),) = link.slots.peer(0).ancillary
        assert data[at : at + 4] == bytes(4)
        assert any(data)
        link.close()

    def test_ipv6_wildcard(self, kind: type[Slots]) -> None:
        link = WorkerProcess(kind, "::")
        client = link.client("::1")
        client.send(b"?")
        link.receive(1)
        assert link.slots.send([b"!"]) == 1
        assert got(client) == b"!"
        assert link.slots.errors == 0
        link.close()
