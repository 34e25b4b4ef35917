"""Each deferred query gets one reply; pinned names follow their files."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import dns.message

from dnsd.answer.outcome import Forward
from dnsd.transport.registry import UDP
from dnsd.upstream import forwarder as module
from dnsd.upstream.forwarder import Forwarder, raise_file_limit
from dnsd.upstream.settings import UpstreamConfig
from tests.helpers import eventually
from tests.upstream.building import ForwardingServer, forwarding
from tests.upstream.scripted import address, upstream


def outcome(server: ForwardingServer, name: str) -> Forward:
    packet = dns.message.make_query(name, "A").to_wire()
    found = server.engine.answer(packet, b"\x7f\0\0\1", UDP)
    assert isinstance(found, Forward)
    return found


async def test_each_query_gets_its_reply_exactly_once() -> None:
    async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
        forwarder = Forwarder(server.resolver)
        replies: list[bytes | None] = []
        forwarder.forward(outcome(server, "localhost.x."), replies.append)  # is forwarded
        assert not replies
        await eventually(lambda: replies)
        forwarder.forward(outcome(server, "localhost.x."), replies.append)  # is cached
        forwarder.forward(outcome(server, "localhost."), replies.append)  # a special-use name
        assert len(replies) == 3
        assert all(replies)
        await forwarder.close()


async def test_waiting_clients_get_no_reply_when_the_forwarder_closes() -> None:
    async with upstream(lambda q, _: []) as up, forwarding(servers=(up.url,)) as server:
        forwarder = Forwarder(server.resolver)
        replies: list[bytes | None] = []
        for number in range(5):
            forwarder.forward(outcome(server, f"n{number}.example."), replies.append)
        await eventually(lambda: len(up.received) == 5)
        await forwarder.close()
        assert replies == [None] * 5
        assert server.resolver.active == 0


async def test_changed_files_are_read_and_bad_files_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("10.0.0.1 a.example\n")
    files = (str(path),)
    async with forwarding(servers=("udp://127.0.0.1:1",), hosts_files=files) as server:
        forwarder = Forwarder(server.resolver, interval=0.01)
        forwarder.start()

        def pinned() -> set[bytes]:
            return {
                address for found in server.resolver.hosts.addresses.values() for address in found
            }

        assert pinned() == {b"\x0a\0\0\1"}
        path.write_text("10.0.0.2 a.example\n10.0.0.3 b.example\n")
        await eventually(lambda: pinned() == {b"\x0a\0\0\2", b"\x0a\0\0\3"})
        path.unlink()
        checks = forwarder.checks
        await eventually(lambda: forwarder.checks > checks + 1)
        assert pinned() == {b"\x0a\0\0\2", b"\x0a\0\0\3"}
        other = tmp_path / "new"
        other.write_text("10.0.0.4 a.example\n")
        os.replace(other, path)  # as editors and ConfigMaps do it
        await eventually(lambda: pinned() == {b"\x0a\0\0\4"})
        await forwarder.close()


def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        raise_file_limit(UpstreamConfig(max_in_flight=100))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        needed = 200 + module._OTHER_FILES
        assert soft == (needed if hard == resource.RLIM_INFINITY else min(needed, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
