"""What a worker counts, as one tuple of totals that goes up with each pulse.

The names are fixed by the code of this version, which both ends run, so only numbers
travel. The control process adds up the tuples of all workers, and those of workers that
are gone, element by element.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import TYPE_CHECKING

from msgspec.structs import astuple, fields

from dnsd.answer.outcome import counter_names
from dnsd.transport.counting import TcpCounters, UdpCounters
from dnsd.transport.registry import TRANSPORTS
from dnsd.upstream.status import COUNTER_NAMES as UPSTREAM_NAMES

if TYPE_CHECKING:
    from dnsd.answer.engine import Engine
    from dnsd.answer.views import Views
    from dnsd.transport.tcp import Tcp
    from dnsd.transport.udp import Udp
    from dnsd.upstream.resolver import Resolver

Totals = tuple[int, ...]

_UDP = tuple(f"udp.{field.name}" for field in fields(UdpCounters))
_TCP = tuple(f"tcp.{field.name}" for field in fields(TcpCounters))
_UPSTREAM = tuple(f"upstream.{name}" for name in UPSTREAM_NAMES)
NAMES: tuple[str, ...] = (*counter_names(TRANSPORTS), *_UDP, *_TCP, *_UPSTREAM)
ZERO: Totals = (0,) * len(NAMES)


def collect(
    engine: Engine | Views, udp: Iterable[Udp], tcp: Iterable[Tcp], resolver: Resolver | None = None
) -> Totals:
    """The totals of this process, in the order of NAMES."""
    datagrams = _sum((astuple(one.counters()) for one in udp), len(_UDP))
    streams = _sum((astuple(one.counters()) for one in tcp), len(_TCP))
    outside = resolver.counters() if resolver is not None else (0,) * len(_UPSTREAM)
    return (*engine.counters(), *datagrams, *streams, *outside)


def summed(several: Iterable[Totals]) -> Totals:
    """Element-wise sum; tuples of another length (a worker gone astray) count nothing."""
    return _sum((one for one in several if len(one) == len(NAMES)), len(NAMES))


def _sum(several: Iterable[Totals], length: int) -> Totals:
    total: Totals = (0,) * length
    for one in several:
        total = tuple(map(add, total, one))
    return total
