"""Hostile input: after a million mutated messages the server answers as before.

A real `dnsd serve` gets 900,000 messages over UDP and 100,000 over TCP. They are real queries with
octets that are changed, cut, doubled, or spliced, and with random counts and flags, so that most of
them pass the first checks.
"""

from __future__ import annotations

import errno
import gc
import random
import select
import socket
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.message
import dns.rcode
import msgspec
import pytest

from dnsd.transport.registry import TRANSPORTS, UDP
from tests.cases.cluster import objects
from tests.cases.raw import LARGEST, MOST_LABELS, QUESTION, RAW, TXT, message, opt, option
from tests.commands.running import Running, running
from tests.helpers import lines_of, until
from tests.serving import Serving, service, serving
from tests.system.test_cases import build

OVER_UDP, OVER_TCP = 900_000, 100_000
RSS_GROWTH = 5 << 20  # octets
_AT_ONCE = 200  # messages sent before looking whether replies came

NAMES = ("web.prod", "nope.prod", "_http._tcp.web.prod", "db.prod", "big.prod", "google.prod")
SEEDS = [raw.packet for raw in RAW] + [
    dns.message.make_query(f"{name}.svc.cluster.local.", type_, use_edns=edns).to_wire()
    for name in NAMES
    for type_ in ("A", "AAAA", "SRV", "ANY", "TYPE4711")
    for edns in (False, 0)
]


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged messages, the same ones in each run."""
    rng = random.Random(seed)
    random_int, random_bytes, choice = rng.randrange, rng.randbytes, rng.choice
    for i in range(count):
        packet = bytearray(choice(SEEDS))
        size = len(packet)
        damage = i % 6
        if damage == 0 and size:
            packet[random_int(size)] = random_int(256)
        elif damage == 1 and size:
            for _ in range(4):
                packet[random_int(size)] ^= 1 << random_int(8)
        elif damage == 2:
            del packet[random_int(size + 1) :]
        elif damage == 3:
            packet[2:12] = random_bytes(10)
        elif damage == 4:
            packet += choice(SEEDS)[random_int(20) :]
        else:
            at = random_int(size + 1)
            packet[at:at] = random_bytes(random_int(40))
        if len(packet) > 2:
            packet[2] &= 0x7F if i % 50 else 0xFF  # mostly no responses: they are dropped at once
        yield bytes(packet)


def rss(server: Serving) -> int:
    """Bytes of resident memory of all processes of a server."""
    return sum(map(rss_of, (server.process.pid, *server.workers())))


def rss_of(pid: int) -> int:
    """Bytes of resident memory of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def send_udp(port: int, count: int, seed: int) -> int:
    """Send damaged messages over UDP, and return the number of replies."""
    replies = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        for i, packet in enumerate(mutated(count, seed)):
            try:
                sock.send(packet)
            except BlockingIOError:
                select.select([], [sock], [], 1.0)
            if i % _AT_ONCE == 0:
                replies += drain(sock)
    return replies


def drain(sock: socket.socket) -> int:
    """Read the replies that have arrived. Each must be a response."""
    replies = 0
    try:
        while True:
            reply = sock.recv(65535)
            assert reply[2] & 0x80, "not a response"
            replies += 1
    except BlockingIOError:
        return replies


def send_tcp(port: int, count: int, seed: int) -> int:
    """Send them in pipelines of a few hundred, each on a new connection; octets of the replies.

    A message too short to have a header ends the connection, so those come last in each.
    """
    octets = 0
    packets = mutated(count, seed)
    while batch := [packet for _, packet in zip(range(250), packets, strict=False)]:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            try:
                for packet in sorted(batch, key=lambda packet: len(packet) < 12):
                    sock.sendall(len(packet).to_bytes(2, "big") + packet)
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(1 << 20):
                    octets += len(data)
            except OSError as error:  # it hung up while we were sending the short ones
                if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                    raise
    return octets


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_mutated_messages_end_no_worker_and_use_no_memory(tmp_path: Path) -> None:
    for i, plain in enumerate(objects()):
        (tmp_path / f"{i}.json").write_bytes(msgspec.json.encode(plain))
    with serving("--manifests", str(tmp_path)) as server:
        workers = server.workers()
        assert send_udp(server.port, 30_000, 1)
        assert send_tcp(server.port, 5_000, 2)
        before = rss(server)
        assert send_udp(server.port, OVER_UDP, 3) > OVER_UDP // 10
        assert send_tcp(server.port, OVER_TCP, 4)
        assert server.values("web.prod.svc.cluster.local") == ["10.96.0.10"]
        assert server.query("web.prod.svc.cluster.local", tcp=True).answer
        assert server.workers() == workers, "a worker was replaced"
        assert rss(server) - before < RSS_GROWTH
        assert not [line for line in server.log() if line["level"] in ("error", "critical")]


def test_the_engine_never_raises() -> None:
    engine = build()
    for transport in TRANSPORTS:
        for packet in mutated(20_000, transport.index):
            reply = engine.answer(packet, b"", transport)
            assert reply is None or isinstance(reply, bytes)
            assert reply is None or reply[:2] == packet[:2]


def test_the_work_of_a_message_is_bounded() -> None:
    """No message makes the engine execute many times the lines of a usual query.

    The bound is on lines, which do not depend on the machine: 20 times the median's, as for
    the time. The longest names, most labels, most records and most options are among the
    messages, and those that have more of them and more octets than a query may.
    """
    engine = build()
    longest = b"\x01a" * 120 + b"\x04prod\x03svc\x00"
    labels = b"\x01a" * 110 + b"\x03svc\x07cluster\x05local\0\0\1\0\1"
    subnet = option(8, b"\x00\x01\x17\x00\xc0\x00\x02")
    worst = [
        message(longest[:254] + b"\0\0\1\0\1"),
        message(labels),
        message(QUESTION)[:-4],
        message(QUESTION + opt(subnet * 32), ar=1),
        message(QUESTION + opt(subnet * 33), ar=1),
        *(raw.packet for raw in LARGEST),
    ]
    packets = [*SEEDS, *worst, *mutated(500, 5)]
    lines_of(partial(engine.answer, SEEDS[-1], b"", UDP))  # what is done once, for all that follow
    lines = sorted(lines_of(partial(engine.answer, packet, b"", UDP)) for packet in packets)
    median = lines[len(lines) // 2]
    assert lines[-1] < 20 * median
    # All at once. Most of it is walks along labels, whose lines take the least time of all.
    more = MOST_LABELS + TXT + (b"\0" + TXT) * 14 + opt(subnet * 32)
    dearest = message(labels + more, ar=16)
    assert lines_of(partial(engine.answer, dearest, b"", UDP)) < 40 * median


def test_names_that_do_not_exist_use_no_memory() -> None:
    """100,000 different names that do not exist: the engine holds no additional object."""
    engine = build()
    template = dns.message.make_query("x" * 8 + ".prod.svc.cluster.local.", "A").to_wire()

    def flood(count: int) -> None:
        for i in range(count):
            packet = template.replace(b"x" * 8, b"%08d" % i)
            engine.answer_batch(packet, [len(packet)], len(packet), None, UDP)

    flood(1_000)
    gc.collect()
    before = len(gc.get_objects())
    flood(100_000)
    gc.collect()
    assert len(gc.get_objects()) - before < 50


FLOOD, WARM_UP = 100_000, 20_000
FLOOD_GROWTH = 3 << 20  # octets a process; a name that left 100 behind would take 10 MB
_UNANSWERED = 100  # queries under way: what a socket's buffer holds in any case


def flood(port: int, names: range) -> int:
    """Query these names, which do not exist, and return the number of replies."""
    template = dns.message.make_query("x" * 8 + ".prod.svc.cluster.local.", "A").to_wire()
    before, after = template.split(b"x" * 8)
    replies = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.2)
        for first in names[::_UNANSWERED]:
            for i in range(first, min(first + _UNANSWERED, names.stop)):
                sock.send(before + b"%08d" % i + after)
            try:
                for _ in range(_UNANSWERED):
                    assert sock.recv(512)[3] & 15 == dns.rcode.NXDOMAIN
                    replies += 1
            except TimeoutError:  # some were lost
                pass
    return replies


def test_a_flood_of_names_that_do_not_exist_uses_no_memory(tmp_path: Path) -> None:
    """100,000 sampled queries at the full rate of one client: neither process grows.

    With the API on, each worker hands samples to the top names of the control process.
    """
    manifests = {"web": service("web", "10.96.0.10", "prod")}
    with running(tmp_path, "--query-samples", "1000", **manifests) as dnsd:
        server = dnsd.server
        pids = (server.process.pid, *server.workers())
        assert len(pids) == 2
        until(lambda: flood(server.port, range(WARM_UP)) and sampled(dnsd), "queries are sampled")
        before = {pid: rss_of(pid) for pid in pids}
        assert flood(server.port, range(WARM_UP, WARM_UP + FLOOD)) > FLOOD // 2
        assert sampled(dnsd)
        grown = {pid: rss_of(pid) - before[pid] for pid in pids}
        assert all(grow < FLOOD_GROWTH for grow in grown.values()), grown
        assert (server.process.pid, *server.workers()) == pids


def sampled(dnsd: Running) -> object:
    """The top names that do not exist, from the API."""
    token = {"Authorization": f"Bearer {dnsd.token}"}
    request = urllib.request.Request(f"{dnsd.url}/api/v1/queries/top", headers=token)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return msgspec.json.decode(reply.read())["nxdomains"]
