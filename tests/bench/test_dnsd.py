"""dnsd, as the bench runs it: every case is answered, a change is followed and timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import churn, latency, names, peers, start, wire

POPULATION = names.Population(20, endpoints=2, changing=3)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_dnsd_answers_every_case_and_follows_changes(form: str, tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, form, zones=False)
    with peers.serving("dnsd", site) as server:
        for case in ("hit", "nodata", "nxdomain", "srv"):
            wire.check(server.title, server.port, names.questions(POPULATION, (case,), 10))
        with wire.Client(server.port) as client:
            taken = start.one_change(client, POPULATION, site.manifests, 1, 1)
        assert 0 < taken < start.PATIENCE
        with churn.changes(site, server, 20, generation=1) as writer:
            asked = names.questions(POPULATION, latency.MIX, 30)
            wire.check(server.title, server.port, asked)
        assert writer.failed is None


def test_a_worker_that_is_killed_has_a_successor_and_the_gap_is_timed(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with peers.serving("dnsd", site) as server, wire.Client(server.port) as client:
        control, worker = server.pids()
        taken = start.one_succession(server, client, peers.last_question(site))
        assert 0 < taken < start.PATIENCE
        assert server.pids()[0] == control
        assert worker not in server.pids()
