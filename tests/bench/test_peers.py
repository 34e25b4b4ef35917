"""Each compared server starts as the bench configures it, and answers each case."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import names, peers, procs, wire

POPULATION = names.Population(20, endpoints=2, changing=2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nsd", marks=pytest.mark.needs("nsd")),
        pytest.param("knot", marks=pytest.mark.needs("knotd")),
        "dnsd",
    ],
)
def test_a_server_answers_each_case_and_ends_with_the_block(name: str, tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path)
    with peers.serving(name, site, [procs.server_core()]) as server:
        for case in ("hit", "nodata", "nxdomain", "srv"):
            wire.check(server.title, server.port, names.questions(POPULATION, (case,), 10))
        assert 0 < server.ready < peers.READY_TIMEOUT
        assert all(procs.pss(pid) > 0 for pid in server.pids())
        pids = server.pids()
    assert not [pid for pid in pids if procs.tree(pid)]


def test_each_server_is_available_or_has_a_reason() -> None:
    available, reasons = peers.available(peers.SERVERS)
    assert {*available, *reasons} == set(peers.SERVERS)
    assert all(reasons.values())
