"""The counters of a worker, as one tuple of totals that each heartbeat carries.

In `worker/` (data plane: processes). Change here: add a group of counters.

Both ends run the same version, which fixes the names, so only numbers cross the process boundary.
The control process adds up the tuples of all workers, and those of workers that have ended,
element by element.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from operator import add
from typing import TYPE_CHECKING

from msgspec.structs import astuple, fields

from dnsd.answer.outcome import counter_names
from dnsd.answer.transport import Transport
from dnsd.transport.registry import TRANSPORTS, Server
from dnsd.upstream.status import COUNTER_NAMES as UPSTREAM_NAMES

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views
    from dnsd.upstream.resolver import Resolver

Totals = tuple[int, ...]


def names() -> tuple[str, ...]:
    """What each counter of a tuple counts: `queries.udp.A.answer`, `tcp.accepted`."""
    return _names(tuple(TRANSPORTS))


@functools.cache
def _names(transports: tuple[Transport, ...]) -> tuple[str, ...]:
    return (
        *counter_names(transports),
        *(
            f"{transport.name}.{field.name}"
            for transport in transports
            for field in fields(TRANSPORTS[transport]().counters_type)
        ),
        *(f"upstream.{name}" for name in UPSTREAM_NAMES),
    )


def zero() -> Totals:
    """The totals of a worker that has not answered yet."""
    return (0,) * len(names())


def collect(
    engine: Engine | Views, servers: Collection[Server], resolver: Resolver | None = None
) -> Totals:
    """The totals of this process, in the order of `names`."""
    totals = list(engine.counters())
    for transport, server_type in TRANSPORTS.items():
        counts = (
            astuple(server.counters())
            for server in servers
            if server.answering.transport == transport
        )
        totals += _sum(counts, len(fields(server_type().counters_type)))
    totals += resolver.counters() if resolver is not None else (0,) * len(UPSTREAM_NAMES)
    return tuple(totals)


def summed(several: Iterable[Totals]) -> Totals:
    """The element-wise sum. Tuples of another length, from a faulty worker, count as zero."""
    length = len(names())
    return _sum((totals for totals in several if len(totals) == length), length)


def queries(totals: Totals) -> int:
    """How many queries these totals count: all but the dropped ones."""
    return sum(totals[: names().index("dropped")])


def _sum(several: Iterable[Totals], length: int) -> Totals:
    total: Totals = (0,) * length
    for totals in several:
        total = tuple(map(add, total, totals))
    return total
