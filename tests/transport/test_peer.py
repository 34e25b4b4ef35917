"""Peers, read from structures of the kernel and from results of the socket module."""

from __future__ import annotations

import socket
import struct
import sys

import pytest

from dnsd.dns.addresses import Address
from dnsd.transport.listener import bind
from dnsd.transport.peer import IP_PKTINFO, is_wildcard, peer_from, peer_of
from dnsd.transport.registry import UDP


class TestPeerOf:
    def test_an_ipv4_sockaddr_is_read(self) -> None:
        name = struct.pack("@H", socket.AF_INET) + b"\x04\x1d" + bytes([127, 0, 0, 9]) + bytes(8)
        peer = peer_of(name, b"")
        assert peer.address == ("127.0.0.9", 1053)
        assert peer.packed == bytes([127, 0, 0, 9])
        assert peer.ancillary == []

    def test_an_ipv6_sockaddr_keeps_flow_and_scope(self) -> None:
        packed = socket.inet_pton(socket.AF_INET6, "fe80::1")
        name = struct.pack("@H", socket.AF_INET6) + struct.pack("!HI", 1053, 7) + packed
        peer = peer_of(name + (3).to_bytes(4, sys.byteorder), b"")
        assert peer.address == ("fe80::1", 1053, 7, 3)
        assert peer.packed == packed

    def test_a_control_message_is_kept_for_the_reply(self) -> None:
        data = bytes(range(12))
        control = struct.pack("@Nii", 28, socket.IPPROTO_IP, IP_PKTINFO) + data + bytes(4)
        peer = peer_of(bytes(16), control)
        assert peer.ancillary == [(socket.IPPROTO_IP, IP_PKTINFO, data)]

    @pytest.mark.parametrize("length", [0, 15, 33, 2**62])
    def test_a_control_message_of_an_invalid_length_is_left_out(self, length: int) -> None:
        control = struct.pack("@Nii", length, 0, 0) + bytes(16)
        assert peer_of(bytes(16), control).ancillary == []


class TestPeerFrom:
    def test_a_scoped_address_keeps_its_interface(self) -> None:
        peer = peer_from(socket.AF_INET6, ("fe80::1%lo", 53, 0, 1), [])
        assert peer.packed == socket.inet_pton(socket.AF_INET6, "fe80::1")
        assert peer.address == ("fe80::1%lo", 53, 0, 1)

    def test_other_control_messages_are_unchanged(self) -> None:
        other = (socket.SOL_SOCKET, 99, b"\1\2\3\4")
        assert peer_from(socket.AF_INET, ("127.0.0.1", 53), [other]).ancillary == [other]


@pytest.mark.parametrize(
    ("host", "wildcard"), [("127.0.0.1", False), ("0.0.0.0", True), ("::1", False), ("::", True)]
)
def test_only_an_unspecified_address_is_a_wildcard(host: str, wildcard: bool) -> None:
    with bind(Address(host, 0), UDP).socket as sock:
        assert is_wildcard(sock) is wildcard
