"""`python -m bench.views`: memory of a worker per view, with 1,000 views.

In `bench/` (measurements). Change here: the number and the content of the measured views.

It measures the `Views` of a worker, without sockets. Each row has its own child process, so that
no row uses memory that another one has freed. Each view has its own namespace. One client per view
sends each query twice, so that engines, shapes, and remembered replies exist. A table alone with
the same frames gives the memory of the names. The figures are proportional set sizes (PSS).
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.table import Table
from dnsd.answer.views import Views
from dnsd.cluster.objects import Key
from dnsd.dns.message import query
from dnsd.dns.names import Name, name_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.change import Cause
from dnsd.zone.compile import compile_all
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.views import ViewFrame, compile_view_frame
from dnsd.zone.zone import Zone

ZONE = name_of("cluster", "local")
STRIDE = 512


def names_of(view: int, names: int) -> list[Name]:
    """The names of the Services of a view."""
    return [name_of(f"s{i}", f"team-{view}", "svc", below=ZONE) for i in range(names)]


def frames_of(view: int, names: int) -> list[bytes]:
    """The frames of the table of a view."""
    zone = Zone(SchemaConfig(zones=(ZONE,)), 1)
    for i, name in enumerate(names_of(view, names)):
        owner = Key("Service", f"team-{view}", f"s{i}")
        address = bytes((10, 96, i >> 8, i & 255))
        zone.replace(owner, (RRset(name, Type.A, 5, (address,)),), Cause(owner))
    return list(compile_all(zone))


def client(view: int) -> bytes:
    """The address of a client of a view."""
    return ip_address(f"10.{view >> 8}.{view & 255}.1").packed


def views_of(count: int, names: int) -> Views:
    """`count` views with `names` names each, after the queries of one client of each view."""
    views = Views(Shared(EngineConfig(views=True), TRANSPORTS))
    networks = tuple((f"10.{one >> 8}.{one & 255}.0/24", one) for one in range(1, count + 1))
    for view in range(1, count + 1):
        for frame in frames_of(view, names):
            views.apply(compile_view_frame(ViewFrame(view, frame)))
    views.apply(compile_view_frame(ViewFrame(reset=True, networks=networks)))
    views.apply(compile_state(FRESH))
    for view in range(1, count + 1):
        for name in (*names_of(view, names), ZONE):
            packet = query(b"\0\0", name + b"\0\1\0\1")
            for _ in range(2):
                views.answer_batch(packet, [len(packet)], STRIDE, [client(view)], UDP)
    return views


def tables_of(count: int, names: int) -> list[Table]:
    """`count` tables alone, with `names` names each."""
    tables = []
    for view in range(1, count + 1):
        table = Table()
        for frame in frames_of(view, names):
            table.apply(frame)
        tables.append(table)
    return tables


def pss() -> int:
    """The proportional set size of this process, in octets."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/smaps_rollup has no line Pss")


ROWS: dict[str, tuple[str, Callable[[int, int], object]]] = {
    "views": ("one view", views_of),
    "tables": ("the names of a view (a table alone)", tables_of),
}


def measure(row: str, count: int, names: int) -> float:
    """Octets per view or table, with `count` of them and `names` names each."""
    argv = [sys.executable, "-m", "bench.views", "--row", row]
    argv += ["--views", str(count), "--names", str(names)]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def main(arguments: Sequence[str]) -> None:
    """`python -m bench.views`."""
    parser = argparse.ArgumentParser(prog="python -m bench.views", description=__doc__)
    parser.add_argument("--views", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--names", type=int, default=10, help="per view; default: %(default)s")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.row is not None:
        make = ROWS[chosen.row][1]
        make(2, 1)  # modules and objects that exist once
        before = pss()
        made = make(chosen.views, chosen.names)
        print((pss() - before) / chosen.views)
        del made
        return
    found = {row: measure(row, chosen.views, chosen.names) for row in ROWS}
    for row, (title, _) in ROWS.items():
        print(f"{title:36} {found[row] / 1000:7.1f} kB")
    added = found["views"] - found["tables"]
    print(f"{'a view in addition to its names':36} {added / 1000:7.1f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
