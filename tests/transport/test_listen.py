"""Addresses as people write them, and ports that are busy, shared or any."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from dnsd.transport.listen import (
    Address,
    BadAddress,
    CannotListen,
    Pair,
    adopt,
    bind_group,
    bind_tcp,
    bind_udp,
    join,
    parse,
)

LOOPBACK = Address("127.0.0.1", 0)


def closed(pairs: list[Pair]) -> None:
    for pair in pairs:
        pair.close()


class TestParse:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("127.0.0.1:1053", "127.0.0.1", 1053),
            ("0.0.0.0:0", "0.0.0.0", 0),
            ("[::1]:53", "::1", 53),
            ("[0:0::1]:65535", "::1", 65535),
            (" 127.0.0.1:53\n", "127.0.0.1", 53),
        ],
    )
    def test_address_and_port(self, text: str, host: str, port: int) -> None:
        assert parse(text) == Address(host, port)

    @pytest.mark.parametrize("text", ["127.0.0.1:53", "[::1]:53"])
    def test_an_address_prints_as_it_was_written(self, text: str) -> None:
        assert str(parse(text)) == text

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (":1053", "want ADDRESS:PORT"),
            ("127.0.0.1", "want ADDRESS:PORT"),
            ("", "want ADDRESS:PORT"),
            ("127.0.0.1:", "not a number"),
            ("127.0.0.1:65536", "not a number"),
            ("127.0.0.1:99999999999999999999", "not a number"),
            ("127.0.0.1:-1", "not a number"),
            ("127.0.0.1:²", "not a number"),
            ("127.0.0.1:dns", "not a number"),
            ("::1:53", r"write \[::1\]:53"),
            ("[127.0.0.1]:53", "write 127.0.0.1:53"),
            ("localhost:53", "not looked up"),
            ("127.0.0.256:53", "not an IP address"),
        ],
    )
    def test_other_text_is_refused_and_quoted(self, text: str, says: str) -> None:
        with pytest.raises(BadAddress, match=says) as caught:
            parse(text)
        assert repr(text) in str(caught.value)


class TestOverlap:
    @pytest.mark.parametrize(
        ("one", "other", "overlap"),
        [
            ("0.0.0.0:53", "127.0.0.1:53", True),
            ("[::]:53", "[::1]:53", True),
            ("127.0.0.1:53", "127.0.0.1:53", True),
            ("127.0.0.1:53", "127.0.0.2:53", False),
            ("0.0.0.0:53", "127.0.0.1:54", False),
            ("0.0.0.0:53", "[::]:53", False),
            ("0.0.0.0:53", "[::1]:53", False),
            ("0.0.0.0:0", "127.0.0.1:0", False),
            ("[fe80::1%eth0]:53", "[fe80::1%eth1]:53", False),
        ],
    )
    def test_of_two_addresses(self, one: str, other: str, overlap: bool) -> None:
        assert parse(one).overlaps(parse(other)) is overlap
        assert parse(other).overlaps(parse(one)) is overlap

    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_kernel_sees_it_so_too(self, workers: int) -> None:
        """However many share the port: the first of a group asks for it alone."""
        pairs = bind_group(Address("0.0.0.0", 0), workers)
        with pytest.raises(CannotListen):
            bind_group(Address("127.0.0.1", pairs[0].address.port), workers)
        closed(pairs)


class TestBind:
    def test_port_0_is_one_port_for_both(self) -> None:
        (pair,) = bind_group(LOOPBACK)
        assert pair.address.port != 0
        assert pair.tcp.getsockname() == pair.udp.getsockname()
        closed([pair])

    @pytest.mark.parametrize("bind", [bind_udp, bind_tcp])
    def test_a_busy_port_is_named(self, bind: type) -> None:
        first = bind(LOOPBACK)
        address = Address("127.0.0.1", first.getsockname()[1])
        with first, pytest.raises(CannotListen) as caught:
            bind(address)
        assert caught.value.errno == errno.EADDRINUSE
        assert str(address) in str(caught.value)

    def test_tcp_busy_alone_is_noticed_and_udp_given_back(self) -> None:
        with bind_tcp(LOOPBACK) as busy:
            address = Address("127.0.0.1", busy.getsockname()[1])
            with pytest.raises(CannotListen, match="TCP"):
                bind_group(address, 2)
            bind_udp(address).close()

    def test_an_address_that_is_not_ours(self) -> None:
        with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0 .*does not have that address"):
            bind_group(Address("192.0.2.1", 0))

    def test_an_interface_is_named(self) -> None:
        """With a multicast address, for which no host needs a link-local one."""
        with bind_udp(Address("ff02::1%lo", 0)) as udp:
            address = Pair(udp, udp).address
            assert str(address) == f"[ff02::1%lo]:{udp.getsockname()[1]}"

    @pytest.mark.parametrize(
        ("host", "why"),
        [("fe80::1", "its interface is missing"), ("fe80::1%nosuch0", "has no such interface")],
    )
    def test_an_interface_that_is_missing_is_said(self, host: str, why: str) -> None:
        with pytest.raises(CannotListen, match=why):
            bind_group(Address(host, 0))

    def test_the_wildcard_of_ipv6_leaves_ipv4_alone(self) -> None:
        for attempt in range(10):
            pairs = bind_group(Address("::", 0))
            port = pairs[0].address.port
            try:
                pairs += bind_group(Address("0.0.0.0", port))
                assert [pair.address.port for pair in pairs] == [port, port]
                break
            except CannotListen:  # somebody else's, if not each time
                if attempt == 9:
                    raise
            finally:
                closed(pairs)

    def test_sockets_do_not_block(self) -> None:
        (pair,) = bind_group(LOOPBACK)
        with pytest.raises(BlockingIOError):
            pair.udp.recv(1)
        with pytest.raises(BlockingIOError):
            pair.tcp.accept()
        closed([pair])

    def test_udp_has_room_for_a_burst(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as usual, bind_udp(LOOPBACK) as ours:
            sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in (usual, ours)]
        assert sizes[1] > sizes[0]


class TestGroup:
    def test_a_second_server_does_not_join_in_silently(self) -> None:
        pairs = bind_group(LOOPBACK, 2)
        for workers in (1, 2):
            with pytest.raises(CannotListen, match=str(pairs[0].address)):
                bind_group(pairs[0].address, workers)
        closed(pairs)

    def test_all_members_get_a_share(self) -> None:
        pairs = bind_group(LOOPBACK, 3)
        address = (pairs[0].address.host, pairs[0].address.port)
        clients = []
        for _ in range(100):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.sendto(b"?", address)
            clients += [client, socket.create_connection(address)]
        for pair in pairs:
            assert pair.udp.recv(1) == b"?"
            pair.tcp.accept()[0].close()
        for client in clients:
            client.close()
        closed(pairs)

    def test_a_member_can_be_added_later(self) -> None:
        pairs = bind_group(LOOPBACK, 2)
        pairs.append(join(pairs[0].address))
        assert pairs[2].address == pairs[0].address
        closed(pairs)


class TestAdopt:
    def test_an_inherited_descriptor_serves_on(self) -> None:
        (pair,) = bind_group(LOOPBACK)
        fd = os.dup(pair.udp.fileno())
        os.set_inheritable(fd, True)
        with adopt(fd) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", pair.udp.getsockname())
            assert sock.recv(10) == b"?"
            assert sock.family == socket.AF_INET
            assert not sock.get_inheritable()
            assert sock.gettimeout() == 0.0
        closed([pair])

    def test_what_is_no_socket_is_refused(self) -> None:
        reader, writer = os.pipe()
        with pytest.raises(OSError, match="ocket"):
            adopt(reader)
        os.close(reader)
        os.close(writer)
