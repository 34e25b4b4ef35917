"""The C programs compile and run: the floor echoes, and the probe measures it."""

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


def test_the_floor_echoes_each_query_over_udp_and_tcp(site: peers.Site) -> None:
    query = wire.query_packet("a.example", "A")
    back = query[:2] + bytes((query[2] | 0x80,)) + query[3:]
    with peers.serving("floor", site) as server:
        with wire.Client(server.port) as client:
            reply = until(lambda: client.exchange(query, 1.0), "the floor answers")
            assert reply[2:] == back[2:]
        with socket.create_connection((procs.LOOPBACK, server.port), 10) as stream:
            frame = len(query).to_bytes(2, "big") + query
            # Three pieces; one cut is within the length field of the second message.
            whole = frame + frame
            for piece in (whole[:5], whole[5 : len(frame) + 1], whole[len(frame) + 1 :]):
                stream.sendall(piece)
            got = b""
            while len(got) < len(whole) and (more := stream.recv(4096)):
                got += more
            assert got == (frame[:2] + back) * 2


@pytest.mark.skipif(len(procs.cores()) < 2, reason="the probe needs its own core")
def test_the_probe_counts_each_query_and_reports_the_worst(site: peers.Site) -> None:
    queries = site.work / "queries"
    names.write_queries(queries, names.questions(POPULATION, latency.MIX, 30))
    with peers.serving("floor", site) as server:
        samples = native.probe(site.work, server.port, 500, 0.4, queries)
    assert samples.sent == 200
    assert samples.answered == len(samples.latencies) == samples.sent - samples.lost
    assert samples.answered > 0
    assert list(samples.latencies) == sorted(samples.latencies)
    assert 0 <= samples.worst_at < 20


def test_without_polling_a_process_on_each_core_keeps_it_awake(tmp_path: Path) -> None:
    def cores_awake() -> list[int]:
        below = procs.tree(os.getpid())[1:]
        return [pid for pid in below if os.sched_getscheduler(pid) == os.SCHED_IDLE]

    with native.cores_awake(tmp_path, polling=tmp_path / "no-such-state"):
        until(lambda: len(cores_awake()) == len(procs.cores()), "each core has its process")
        assert {frozenset(os.sched_getaffinity(pid)) for pid in cores_awake()} == {
            frozenset({core}) for core in procs.cores()
        }
    assert cores_awake() == []


def test_with_polling_the_wake_up_time_of_idle_cores_is_set_to_zero(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    device.write_bytes(b"\xff" * 4)
    with native.cores_awake(tmp_path, device, polling=tmp_path):
        assert device.read_bytes() == bytes(4)
    assert list(tmp_path.iterdir()) == [device]  # no program was compiled


def test_latencies_are_grouped_by_the_second_of_their_query(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    file.write_bytes(array.array("Q", [0, 30, 1_000_000_000, 90, 999, 10]).tobytes())
    pairs = native.read_pairs(file)
    assert pairs.worst_at() == 1.0
    assert pairs.by_second(2) == (array.array("Q", [10, 30]), array.array("Q", [90]))
    assert pairs.by_second(1) == (array.array("Q", [10, 30]),)
    file.write_bytes(b"")
    assert native.read_pairs(file).worst_at() == 0.0
    assert native.read_pairs(file).by_second(1) == (array.array("Q"),)
