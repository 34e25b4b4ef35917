"""The writer that changes manifests during a measurement."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import churn, latency, names, peers, procs, wire
from tests.helpers import until

POPULATION = names.Population(20, endpoints=1, changing=3)


def test_a_writer_changes_the_services_in_turn(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with churn.Writer(site, 1000, generation=4) as writer:
        until(lambda: writer.written >= 7, "the writer has written seven changes")
    assert writer.failed is None
    last = writer.last_question()
    i = (writer.written - 1) % POPULATION.changing
    assert last.first.encode() in names.changing_file(site.manifests, i).read_bytes()
    assert last.first == names.changing(POPULATION, i, writer.generation).address
    assert writer.generation == 4 + -(-writer.written // POPULATION.changing)


def test_a_write_error_ends_the_writer_and_is_kept(tmp_path: Path) -> None:
    site = peers.Site(POPULATION, tmp_path, tmp_path / "missing", tmp_path)
    with churn.Writer(site, 1000, generation=0) as writer:
        until(lambda: writer.failed, "the writer fails")
    assert isinstance(writer.failed, FileNotFoundError)


def test_dnsd_answers_the_last_change_of_the_block(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with peers.serving("dnsd", site) as server:
        with churn.changes(site, server, 20, generation=1) as writer:
            questions = names.questions(POPULATION, latency.MIX, 30)
            wire.check(server.title, server.port, questions)
        assert writer.failed is None
        wire.check(server.title, server.port, [writer.last_question()])


def test_a_write_error_during_the_block_is_an_error_of_the_bench(tmp_path: Path) -> None:
    site = peers.prepare(POPULATION, tmp_path, zones=False)
    with peers.serving("dnsd", site) as server:
        wrong = peers.Site(POPULATION, tmp_path, tmp_path / "missing", tmp_path)
        with (
            pytest.raises(procs.BenchError, match="cannot write manifests"),
            churn.changes(wrong, server, 1000, generation=0) as writer,
        ):
            until(lambda: writer.failed, "the writer fails")
