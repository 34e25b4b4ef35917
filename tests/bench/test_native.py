"""The C programs compile, and the probe measures a server that answers."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path

import pytest

from bench import latency, names, native, peers, procs, wire
from tests.helpers import until

POPULATION = names.Population(20)
pytestmark = pytest.mark.needs("cc")


@pytest.fixture
def site(tmp_path: Path) -> peers.Site:
    return peers.prepare(POPULATION, tmp_path, zones=False)


def test_floor_returns_what_it_gets_over_udp_and_tcp(site: peers.Site) -> None:
    query = wire.packed("a.example", "A")
    back = query[:2] + bytes((query[2] | 0x80,)) + query[3:]
    with peers.serving("floor", site) as server:
        with wire.Client(server.port) as client:
            reply = until(lambda: client.ask_raw(query, 1.0), "the floor answers")
            assert reply[2:] == back[2:]
        with socket.create_connection((procs.LOOPBACK, server.port), 10) as stream:
            frame = len(query).to_bytes(2, "big") + query
            # Two messages in three pieces: the second one is cut in its length.
            whole = frame + frame
            for piece in (whole[:5], whole[5 : len(frame) + 1], whole[len(frame) + 1 :]):
                stream.sendall(piece)
            got = b""
            while len(got) < len(whole) and (more := stream.recv(4096)):
                got += more
            assert got == (frame[:2] + back) * 2


@pytest.mark.skipif(
    len(procs.cores()) < 2, reason="the probe wants a core that is not the server's"
)
def test_probe_counts_every_query_and_names_the_worst(site: peers.Site) -> None:
    queries = site.work / "queries"
    names.write_queries(queries, names.questions(POPULATION, latency.MIX, 30))
    with peers.serving("floor", site) as server:
        samples = native.probe(site.work, server.port, 500, 0.4, queries)
    assert samples.sent == 200
    assert samples.answered == len(samples.latencies) == samples.sent - samples.lost
    assert samples.answered > 0
    assert list(samples.latencies) == sorted(samples.latencies)
    assert 0 <= samples.worst_at < 20


def test_cores_are_kept_awake_and_released_where_they_cannot(tmp_path: Path) -> None:
    def awake() -> list[int]:
        below = procs.tree(os.getpid())[1:]
        return [pid for pid in below if os.sched_getscheduler(pid) == os.SCHED_IDLE]

    with native.awake(tmp_path, polling=tmp_path / "no-such-state"):
        until(lambda: len(awake()) == len(procs.cores()), "there is one for each core")
        assert {frozenset(os.sched_getaffinity(pid)) for pid in awake()} == {
            frozenset({core}) for core in procs.cores()
        }
    assert awake() == []


def test_cores_are_asked_to_poll_where_they_can(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    device.write_bytes(b"\xff" * 4)
    with native.awake(tmp_path, device, polling=tmp_path):
        assert device.read_bytes() == bytes(4)
    assert list(tmp_path.iterdir()) == [device]  # nothing was compiled


def test_pairs_are_told_apart_by_seconds(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    file.write_bytes(array.array("Q", [0, 30, 1_000_000_000, 90, 999, 10]).tobytes())
    pairs = native.read_pairs(file)
    assert pairs.worst_at() == 1.0
    assert pairs.by_second(2) == (array.array("Q", [10, 30]), array.array("Q", [90]))
    assert pairs.by_second(1) == (array.array("Q", [10, 30]),)
    file.write_bytes(b"")
    assert native.read_pairs(file).worst_at() == 0.0
    assert native.read_pairs(file).by_second(1) == (array.array("Q"),)


def test_a_wrong_answer_is_found_before_anything_is_timed(site: peers.Site) -> None:
    # The floor echoes; as a server of names it never has the right answer.
    with (
        peers.serving("floor", site) as server,
        pytest.raises(procs.BenchError, match=r"expected NOERROR 10\.96\.0\.1, got Reply"),
    ):
        wire.check("floor", server.port, [names.question(POPULATION, "hit", 0)])
