"""Ports that are busy, shared, or chosen by the system, and sockets that a worker inherits."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from dnsd.answer.transport import Transport
from dnsd.dns.addresses import Address
from dnsd.transport.listener import (
    CannotListen,
    Listener,
    adopt,
    bind,
    bind_group,
    close,
    endpoints,
)
from dnsd.transport.registry import PLAIN, TCP, TRANSPORTS, UDP

LOOPBACK = Address("127.0.0.1", 0)


@contextmanager
def group(
    address: Address = LOOPBACK, transports: Sequence[Transport] = PLAIN, workers: int = 1
) -> Iterator[list[list[Listener]]]:
    slots = bind_group(address, transports, workers)
    try:
        yield slots
    finally:
        close(listener for listeners in slots for listener in listeners)


class TestBind:
    @pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda one: one.name)
    def test_a_busy_port_is_named_with_its_transport(self, transport: Transport) -> None:
        first = bind(LOOPBACK, transport)
        with first.socket, pytest.raises(CannotListen) as caught:
            bind(first.address, transport)
        assert caught.value.errno == errno.EADDRINUSE
        assert f"{first.address} ({transport.label})" in str(caught.value)

    @pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda one: one.name)
    def test_sockets_do_not_block(self, transport: Transport) -> None:
        listener = bind(LOOPBACK, transport)
        with listener.socket as sock, pytest.raises(BlockingIOError):
            sock.recv(1) if transport.datagram else sock.accept()

    def test_an_address_of_another_host_is_refused(self) -> None:
        with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0 .*does not have that address"):
            bind(Address("192.0.2.1", 0), UDP)

    def test_the_address_of_a_link_local_listener_has_its_interface(self) -> None:
        """With a multicast address, for which no host needs a link-local one."""
        listener = bind(Address("ff02::1%lo", 0), UDP)
        with listener.socket as sock:
            assert str(listener.address) == f"[ff02::1%lo]:{sock.getsockname()[1]}"

    @pytest.mark.parametrize(
        ("host", "why"),
        [("fe80::1", "its interface is missing"), ("fe80::1%nosuch0", "has no such interface")],
    )
    def test_the_error_of_a_missing_interface_says_so(self, host: str, why: str) -> None:
        with pytest.raises(CannotListen, match=why):
            bind(Address(host, 0), UDP)

    def test_udp_has_room_for_a_burst(self) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as usual,
            bind(LOOPBACK, UDP).socket as large,
        ):
            sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in (usual, large)]
        assert sizes[1] > sizes[0]


class TestGroup:
    def test_port_0_is_one_port_for_all_transports(self) -> None:
        with group() as (listeners,):
            assert [one.transport for one in listeners] == list(PLAIN)
            assert len({one.address for one in listeners}) == 1
            assert listeners[0].address.port != 0

    @pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda one: one.name)
    @pytest.mark.parametrize("workers", [1, 2])
    def test_one_transport_alone_leaves_the_port_to_the_others(
        self, transport: Transport, workers: int
    ) -> None:
        others = [one for one in TRANSPORTS if one != transport]
        for attempt in range(10):
            with group(LOOPBACK, (transport,), workers) as slots:
                assert [[one.transport for one in slot] for slot in slots] == [
                    [transport]
                ] * workers
                try:
                    with group(slots[0][0].address, others):
                        return
                except CannotListen:  # another program has it, if not each time
                    assert attempt < 9

    def test_a_transport_whose_port_is_busy_gives_the_others_back(self) -> None:
        busy = bind(LOOPBACK, TCP)
        with busy.socket:
            with pytest.raises(CannotListen, match="TCP"):
                bind_group(busy.address, PLAIN, 2)
            bind(busy.address, UDP).socket.close()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_wildcard_group_has_the_port_of_every_address(self, workers: int) -> None:
        with group(Address("0.0.0.0", 0), PLAIN, workers) as slots, pytest.raises(CannotListen):
            bind_group(Address("127.0.0.1", slots[0][0].address.port), PLAIN, workers)

    def test_the_wildcard_of_ipv6_leaves_ipv4_alone(self) -> None:
        for attempt in range(10):
            with group(Address("::", 0)) as (six,):
                try:
                    with group(Address("0.0.0.0", six[0].address.port)) as (four,):
                        assert four[0].address.port == six[0].address.port
                        return
                except CannotListen:  # another program has it, if not each time
                    assert attempt < 9

    def test_a_second_server_does_not_join_without_an_error(self) -> None:
        with group(workers=2) as slots:
            address = slots[0][0].address
            for workers in (1, 2):
                with pytest.raises(CannotListen, match=str(address)):
                    bind_group(address, PLAIN, workers)

    def test_every_worker_gets_a_share_of_the_clients(self) -> None:
        with group(workers=3) as slots:
            address = (slots[0][0].address.host, slots[0][0].address.port)
            clients = []
            for _ in range(100):
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                client.sendto(b"?", address)
                clients += [client, socket.create_connection(address)]
            for udp, tcp in slots:
                assert udp.socket.recv(1) == b"?"
                tcp.socket.accept()[0].close()
            for client in clients:
                client.close()


class TestEndpoints:
    def test_all_plain_transports_are_one_address(self) -> None:
        with group() as (listeners,):
            assert [str(one) for one in endpoints(listeners)] == [str(listeners[0].address)]

    @pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda one: one.name)
    def test_one_transport_has_its_scheme(self, transport: Transport) -> None:
        with group(LOOPBACK, (transport,)) as (listeners,):
            (found,) = endpoints(listeners)
            assert str(found) == f"{transport.name}://{listeners[0].address}"


class TestAdopt:
    def test_an_inherited_descriptor_serves_on(self) -> None:
        with group() as (listeners,):
            udp = listeners[0].socket
            fd = os.dup(udp.fileno())
            os.set_inheritable(fd, True)
            with adopt(fd) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"?", udp.getsockname())
                assert sock.recv(10) == b"?"
                assert sock.family == socket.AF_INET
                assert not sock.get_inheritable()
                assert sock.gettimeout() == 0.0

    def test_a_descriptor_that_is_not_a_socket_is_refused(self) -> None:
        reader, writer = os.pipe()
        with pytest.raises(OSError, match="ocket"):
            adopt(reader)
        os.close(reader)
        os.close(writer)
