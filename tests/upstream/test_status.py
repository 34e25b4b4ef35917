"""Types shared with the control process: counters, and how frames are distinguished."""

from __future__ import annotations

from dnsd.upstream.clients import compile_clients
from dnsd.upstream.status import is_clients_frame
from dnsd.zone.compile import compile_all


def test_frames_of_clients_differ_from_frames_of_tables() -> None:
    from tests.answer.building import pipeline_of

    assert is_clients_frame(compile_clients({}))
    assert not any(map(is_clients_frame, compile_all(pipeline_of([]).zone)))
