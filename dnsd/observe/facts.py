"""The values of all metrics at one moment.

In `observe/` (control plane). Change here: which values metrics.py exports.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dnsd.observe.histogram import Histogram
from dnsd.sources.source import SourceStatus


class WorkerStatus(Struct, frozen=True):
    """One slot, for status pages and metrics. Times in seconds."""

    index: int
    pid: int
    state: str  # of dnsd.worker.process.State; "waiting" between two workers
    age: float
    lag: float
    restarts: int
    last_end: str

    @property
    def open(self) -> bool:
        """Whether the worker answers."""
        return self.state == "open"


class ServerFacts(Struct, frozen=True):
    """One upstream server over all workers. `latency`: smoothed, in seconds."""

    address: str
    up: bool
    latency: float
    queries: int
    failures: int


class HistoryStatus(Struct, frozen=True):
    """The extent of the history. `lost`: changes that could not be written."""

    changes: int
    bytes: int
    oldest: float  # seconds since the epoch, 0.0 for none
    lost: int
    on_disk: bool


class Facts(Struct, frozen=True):
    """The values at one moment. Times are in seconds since the epoch."""

    version: str = ""
    now: float = 0.0
    started_at: float = 0.0
    ready: bool = False
    stale: bool = False
    counters: Mapping[str, int] = {}  # of all workers, by dnsd.worker.counters.names
    workers: tuple[WorkerStatus, ...] = ()
    serial: int = 0
    names: int = 0
    objects: Mapping[str, int] = {}  # kind -> number
    services: Mapping[str, int] = {}  # type -> number
    problems: int = 0
    failures: int = 0
    changes: int = 0
    change_seconds: Histogram = Histogram((1.0,))
    programming_seconds: Mapping[str, Histogram] = {}  # kind of Service -> histogram
    answer_seconds: Histogram = Histogram((1.0,))
    sources: tuple[SourceStatus, ...] = ()
    servers: tuple[ServerFacts, ...] = ()
    history: HistoryStatus = HistoryStatus(0, 0, 0.0, 0, False)
    disputes: int = 0
    streams: int = 0
    samples: int = 0
