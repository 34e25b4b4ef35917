"""The writer of changes."""

from __future__ import annotations

from pathlib import Path

from bench import churn, names, peers
from tests.helpers import until

POPULATION = names.Population(20, endpoints=1, changing=3)


def test_writer_changes_the_services_in_turn(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with churn.Writer(site, 1000, generation=4) as writer:
        until(lambda: writer.written >= 7, "seven changes")
    assert writer.failed is None
    last = writer.last()
    i = (writer.written - 1) % POPULATION.changing
    assert last.first.encode() in names.changing_file(site.manifests, i).read_bytes()
    assert last.first == names.changing(POPULATION, i, writer.generation).address
    assert writer.generation == 4 + -(-writer.written // POPULATION.changing)


def test_writer_that_cannot_write_says_so(tmp_path: Path) -> None:
    gone = peers.Site(POPULATION, tmp_path, tmp_path / "gone", tmp_path)
    with churn.Writer(gone, 1000, generation=0) as writer:
        until(lambda: writer.failed, "the error")
    assert isinstance(writer.failed, FileNotFoundError)
