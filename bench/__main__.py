"""`python -m bench`: measures, prints, and writes docs/performance.md."""

from __future__ import annotations

import argparse
import compileall
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import cpu, latency, names, peers, procs, slow, start, table

WHAT = ("cpu", "latency", "slow", "start")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long everything takes: rounds, seconds a measurement, changes, kills, sizes of zones."""

    rounds: int
    seconds: int
    latency_rounds: int
    latency_seconds: int
    starts: int
    changes: int
    kills: int
    sizes: tuple[int, ...]


FULL = Effort(7, 3, 3, 10, 5, 300, 10, (1_000, 10_000, 100_000))
QUICK = Effort(1, 1, 1, 2, 1, 20, 2, (1_000, 10_000))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(WHAT)}; none: all")
    parser.add_argument("--quick", action="store_true", help="short runs, for a first look")
    parser.add_argument("--servers", default=",".join(peers.SERVERS), help="default: %(default)s")
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--endpoints", type=int, default=5, help="a Service; default: %(default)s")
    parser.add_argument("--rounds", type=int, help="instead of the usual number")
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        help="write docs/performance.md (default: unless --quick)",
    )
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.what) - set(WHAT):
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(WHAT)}")
    if unknown := set(chosen.servers.split(",")) - set(peers.SERVERS):
        parser.error(f"--servers {', '.join(sorted(unknown))}: none of {', '.join(peers.SERVERS)}")
    if chosen.rounds is not None and not 1 <= chosen.rounds <= 100:
        parser.error(f"--rounds {chosen.rounds}: not in 1 to 100")
    return chosen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measurements(
    site: peers.Site, servers: list[str], effort: Effort, rounds: int | None
) -> dict[str, Callable[[], str]]:
    population = site.population

    def measure_cpu() -> str:
        runs = cpu.run(site, servers, rounds or effort.rounds, effort.seconds, _say)
        return cpu.report(runs, population)

    def measure_latency() -> str:
        times = rounds or effort.latency_rounds
        runs = latency.run(site, servers, times, effort.latency_seconds, _say)
        return latency.report(runs, population)

    def measure_slow() -> str:
        times = rounds or effort.latency_rounds
        runs = slow.run(site, servers, times, effort.latency_seconds, _say)
        return slow.report(runs, population)

    def measure_start() -> str:
        times = rounds or effort.starts
        found = start.run(site, servers, times, effort.changes, effort.kills, effort.sizes, _say)
        return start.report(found)

    return {
        "cpu": measure_cpu,
        "latency": measure_latency,
        "slow": measure_slow,
        "start": measure_start,
    }


def _bench(chosen: argparse.Namespace, command: str) -> None:
    procs.client_core()  # says so at once when there is no core for the clients
    # As it is where dnsd is installed: nobody compiles it at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(__file__).parent.parent / "dnsd", quiet=1)
    servers, absent = peers.present(chosen.servers.split(","))
    for name, why in absent.items():
        _say(f"without {peers.TITLES[name]}: {why}")
    if not servers:
        raise procs.BenchError("there is no server to measure")
    population = names.Population(chosen.services, chosen.endpoints)
    effort = QUICK if chosen.quick else FULL
    versions = [f"{peers.TITLES[name]}: {peers.version(name)}" for name in servers]
    footer = f"{table.machine(versions)}\nRepeat: `{command}`."
    write = chosen.write if chosen.write is not None else not chosen.quick
    # In memory where that can be, as the volumes of ConfigMaps are: no disk is measured here.
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as directory:
        _say(f"writing {population.services:,} Services")
        site = peers.prepare(population, Path(directory))
        todo = _measurements(site, servers, effort, chosen.rounds)
        for what in chosen.what or WHAT:
            block = f"{todo[what]()}\n\n{footer}"
            print(f"\n## {what}\n\n{block}", flush=True)
            if write:
                text = table.PERFORMANCE.read_text(encoding="utf-8")
                table.PERFORMANCE.write_text(table.replace(text, what, block), encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 measured, 1 could not be (one line says why), 130 interrupted."""
    chosen = _arguments(argv)
    # Ended from outside, the servers must be ended too: unwind instead of dying.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _bench(chosen, shlex.join(["python", "-m", "bench", *argv]))
    except (procs.BenchError, table.NoMarker, ValueError) as error:
        _say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
