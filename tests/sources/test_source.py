"""What a source publishes and reports: a batch claims only what it states."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.cluster.objects import Key
from dnsd.sources.manifests.source import Manifests
from dnsd.sources.source import Batch, Source, SourceStatus


def test_a_batch_without_a_statement_claims_nothing() -> None:
    batch = Batch((Key("Service", "default", "web"),))
    assert (batch.synced, batch.stale, batch.unknown) == (False, False, ())


def test_a_batch_cannot_be_changed_after_it_is_published() -> None:
    with pytest.raises(AttributeError):
        Batch().synced = True  # type: ignore[misc]


def test_a_status_that_reports_no_time_means_never() -> None:
    status = SourceStatus("manifests", "starting")
    assert (status.last_event, status.last_contact) == (0.0, 0.0)


def test_a_source_has_a_status_before_it_runs(tmp_path: Path) -> None:
    source: Source = Manifests(tmp_path)
    (status,) = source.status()
    assert (status.state, status.objects, status.errors) == ("starting", 0, 0)
    assert str(tmp_path) in status.detail
