"""`python -m bench`: measure, print, and write docs/performance.md.

In `bench/` (measurements). Change here: the parts of the bench, their effort, and its flags.
"""

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

PARTS = ("cpu", "latency", "slow", "start")


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, seconds of a measurement, changes, kills, and sizes of zones (Services)."""

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
    parser.add_argument("parts", nargs="*", help=f"one or more of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="short runs, printed only")
    parser.add_argument("--servers", default=",".join(peers.SERVERS), help="default: %(default)s")
    parser.add_argument("--services", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--endpoints", type=int, default=5, help="per Service; default: %(default)s"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="another checkout of dnsd, measured in turn with this one; prints only",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each part, 1 to 100")
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        help="write docs/performance.md (default: write, except with --quick)",
    )
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    if unknown := set(chosen.servers.split(",")) - set(peers.SERVERS):
        wrong = ", ".join(sorted(unknown))
        parser.error(f"--servers {wrong}: not one of {', '.join(peers.SERVERS)}")
    if chosen.against and not (chosen.against / "dnsd" / "__init__.py").is_file():
        parser.error(f"--against {chosen.against}: not a checkout of dnsd; name its directory")
    if chosen.rounds is not None and not 1 <= chosen.rounds <= 100:
        parser.error(f"--rounds {chosen.rounds}: not between 1 and 100")
    return chosen


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measurements(
    site: peers.Site, servers: list[str], effort: Effort, rounds: int | None
) -> dict[str, Callable[[], str]]:
    population = site.population

    def measure_cpu() -> str:
        runs = cpu.run(site, servers, rounds or effort.rounds, effort.seconds, _progress)
        return cpu.report(runs, population)

    def measure_latency() -> str:
        times = rounds or effort.latency_rounds
        runs = latency.run(site, servers, times, effort.latency_seconds, _progress)
        return latency.report(runs, population)

    def measure_slow() -> str:
        times = rounds or effort.latency_rounds
        runs = slow.run(site, servers, times, effort.latency_seconds, _progress)
        return slow.report(runs, population)

    def measure_start() -> str:
        times = rounds or effort.starts
        found = start.run(
            site, servers, times, effort.changes, effort.kills, effort.sizes, _progress
        )
        return start.report(found)

    return {
        "cpu": measure_cpu,
        "latency": measure_latency,
        "slow": measure_slow,
        "start": measure_start,
    }


def _bench(chosen: argparse.Namespace, command: str) -> None:
    procs.client_core()  # raises BenchError at once on a machine with one core
    # An installed dnsd has compiled bytecode, so measure starts with it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(__file__).parent.parent / "dnsd", quiet=1)
    before = chosen.against.resolve() if chosen.against else None
    servers, reasons = peers.available(chosen.servers.split(","))
    for name, why in reasons.items():
        _progress(f"omits {peers.TITLES[name]}: {why}")
    if not servers:
        raise procs.BenchError("none of the servers is installed")
    if before is not None:
        compileall.compile_dir(before / "dnsd", quiet=1)
        servers.append(peers.BEFORE)
    population = names.Population(chosen.services, chosen.endpoints)
    effort = QUICK if chosen.quick else FULL
    versions = [f"{peers.TITLES[name]}: {peers.version(name)}" for name in servers]
    footer = f"{table.machine(versions)}\nRepeat: `{command}`."
    write = chosen.write if chosen.write is not None else not (chosen.quick or before)
    # In memory if possible, as the volumes of ConfigMaps are, so that no disk is measured.
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as directory:
        _progress(f"writing {population.services:,} Services")
        site = peers.prepare(population, Path(directory), before=before)
        measurements = _measurements(site, servers, effort, chosen.rounds)
        for part in chosen.parts or PARTS:
            block = f"{measurements[part]()}\n\n{footer}"
            print(f"\n## {part}\n\n{block}", flush=True)
            if write:
                text = table.PERFORMANCE.read_text(encoding="utf-8")
                table.PERFORMANCE.write_text(table.replace(text, part, block), encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 measured, 1 failed (one line gives the reason), 130 interrupted."""
    chosen = _arguments(argv)
    # SIGTERM must end the servers too, so it unwinds the stack.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _bench(chosen, shlex.join(["python", "-m", "bench", *argv]))
    except (procs.BenchError, table.MarkerMissing, ValueError) as error:
        _progress(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
