"""Time of a start, of a change, and of the replacement of a worker; memory when idle.

In `bench/` (measurements). Change here: how starts, changes, and replacements are timed.

*Start*: from exec to the correct address of the last Service, queried every millisecond. SERVFAIL
and a missing socket do not end the wait. *Memory*: the proportional set size (PSS) of all processes
together, when they are idle. NSD and Knot are measured too. They read zone files, which are easier
to read than manifests.

*Change*: the bench replaces the manifest of a Service by one with another address, and queries the
Service until the reply has that address. The time contains the file event, reading, the schema, the
zone, the message to the worker, and the query: all that a pod waits for. It is measured with zones
of three sizes, because the cost of a change must not depend on the Services that do not change.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import names, native, procs, wire
from bench.names import Population
from bench.peers import BEFORE, TITLES, Server, Site, prepare, readiness_question, serving
from bench.procs import BenchError
from bench.table import Goal, goal_table, number, percentile, table

TIMEOUT = 10.0  # seconds until a change counts as missed
POLL_INTERVAL = 0.0002  # seconds between two queries for a change; the precision of the figures
RETRY_AFTER = 0.05  # seconds until a query without a reply is sent again


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to the first correct answer, and bytes of each process when idle."""

    title: str
    ready: float
    each: tuple[int, ...]  # in the order of the process tree: the started process first

    @property
    def memory(self) -> int:
        return sum(self.each)


@dataclass(frozen=True, slots=True)
class Changes:
    """Sorted seconds from a change to its answer, with this number of Services."""

    services: int
    seconds: tuple[float, ...]


def starts(
    site: Site, name: str, title: str, rounds: int, progress: Callable[[str], None]
) -> list[Start]:
    """Start a server `rounds` times, on all cores."""
    found = []
    for n in range(rounds):
        with serving(name, site) as server:
            procs.wait_until_idle(server.process.pid)
            each = tuple(procs.pss(pid) for pid in server.pids())
            found.append(Start(title, server.ready, each))
        progress(
            f"start {n + 1}/{rounds} {title:22} {found[-1].ready:.2f} s"
            f" {found[-1].memory / 1e6:.0f} MB"
        )
    return found


def time_change(
    client: wire.Client, population: Population, directory: Path, i: int, generation: int
) -> float:
    """Seconds from the replacement of a manifest to its answer. Raises `BenchError`."""
    wanted = names.changing(population, i, generation)
    question = names.Question(wanted.host, "A", "NOERROR", wanted.address)
    query = wire.query_packet(question.name, question.type)
    # A search for the address in the packet: parsing each reply takes longer than the server.
    address = bytes(int(part) for part in wanted.address.split("."))
    start = time.monotonic()
    names.write_change(population, directory, i, generation)
    while (now := time.monotonic()) < start + TIMEOUT:
        reply = client.exchange(query, 1.0)
        if reply is not None and address in reply:
            now = time.monotonic()
            if not wire.is_correct(client.query(query), question):
                raise BenchError(f"{question.name}: the changed answer is not {question.first}")
            return now - start
        time.sleep(POLL_INTERVAL)
    raise BenchError(f"{question.name}: not {question.first} after {TIMEOUT:g} s")


def changes(site: Site, count: int, progress: Callable[[str], None]) -> Changes:
    """Change `count` Services, one after the other."""
    population, draw, seconds = site.population, random.Random(1035), []
    with (
        native.cores_awake(site.work),
        serving("dnsd", site) as server,
        wire.Client(server.port) as client,
    ):
        procs.wait_until_idle(server.process.pid)
        for n in range(count):
            i, generation = n % population.changing, 1 + n // population.changing
            seconds.append(time_change(client, population, site.manifests, i, generation))
            # A random pause, so that changes do not follow a timer of the server.
            time.sleep(draw.uniform(0.01, 0.05))
    found = tuple(sorted(seconds))
    progress(
        f"change {population.services:7,} Services p50 {percentile(found, 0.5) * 1e3:.2f} ms"
        f" p99 {percentile(found, 0.99) * 1e3:.2f} ms"
    )
    return Changes(population.services, found)


def time_replacement(server: Server, client: wire.Client, question: names.Question) -> float:
    """Seconds from the SIGKILL of the only worker of dnsd to the first answer of the next one.

    Raises `BenchError` without an answer.
    """
    query = wire.query_packet(question.name, question.type)
    _, worker = server.pids()
    start = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    while procs.tree(worker):  # it may answer until it has ended
        pass
    while (now := time.monotonic()) < start + TIMEOUT:
        if wire.is_correct(client.query(query, RETRY_AFTER), question):
            return time.monotonic() - start
    raise BenchError(f"{question.name}: no answer {now - start:.0f} s after the end of a worker")


def replacements(site: Site, count: int, progress: Callable[[str], None]) -> tuple[float, ...]:
    """Kill the worker of dnsd `count` times, each time when it is idle; sorted seconds.

    `count` is below 20, because dnsd pauses after 20 replacements in a row.
    """
    seconds = []
    with serving("dnsd", site) as server, wire.Client(server.port) as client:
        for _ in range(count):
            procs.wait_until_idle(server.process.pid)
            seconds.append(time_replacement(server, client, readiness_question(site)))
    found = tuple(sorted(seconds))
    progress(f"succession {count} times p50 {median(found):.2f} s worst {found[-1]:.2f} s")
    return found


@dataclass(frozen=True, slots=True)
class Results:
    population: Population
    starts: tuple[Start, ...]
    changes: tuple[Changes, ...]
    replacements: tuple[float, ...] = ()  # sorted seconds


def run(
    site: Site,
    servers: Sequence[str],
    rounds: int,
    count: int,
    kills: int,
    sizes: Sequence[int],
    progress: Callable[[str], None],
) -> Results:
    """Starts of all servers and replacements with the site, and changes with all `sizes`."""
    population = site.population
    started: list[Start] = []
    changed: list[Changes] = []
    for name in servers:
        if name in ("dnsd", BEFORE):
            yaml = prepare(population, site.work, "yaml", zones=False, before=site.before)
            started += starts(site, name, f"{TITLES[name]}, JSON", rounds, progress)
            started += starts(yaml, name, f"{TITLES[name]}, YAML", rounds, progress)
            shutil.rmtree(yaml.manifests)
        elif name != "floor":
            started += starts(site, name, f"{TITLES[name]}, zone files", rounds, progress)
    for size in sizes if "dnsd" in servers else ():
        work = site.work / f"of-{size}"
        sized = Population(size, population.endpoints, population.changing)
        changed.append(changes(prepare(sized, work, zones=False), count, progress))
        shutil.rmtree(work)
    replaced = replacements(site, kills, progress) if "dnsd" in servers else ()
    return Results(population, tuple(started), tuple(changed), replaced)


def _by_title(found: Sequence[Start]) -> dict[str, list[Start]]:
    titles = dict.fromkeys(one.title for one in found)
    return {title: [one for one in found if one.title == title] for title in titles}


def _start_row(title: str, found: Sequence[Start]) -> tuple[str, str, str, str]:
    middle = sorted(found, key=lambda one: one.memory)[len(found) // 2]
    return (
        title,
        number(median(one.ready for one in found)),
        number(median(one.memory for one in found) / 1e6, 0),
        " + ".join(number(each / 1e6, 0) for each in middle.each),
    )


def goals_of(results: Results) -> list[Goal]:
    """The goals with the figures of these results."""
    dnsd = _by_title(results.starts).get("dnsd, JSON")
    ready = median(one.ready for one in dnsd) if dnsd else None
    memory = median(one.memory for one in dnsd) / 1e6 if dnsd else None
    size = results.population.services
    at = {one.services: one.seconds for one in results.changes}
    p99 = percentile(at[size], 0.99) * 1e3 if size in at else None
    growth = None
    if len(at) > 1:
        growth = percentile(at[max(at)], 0.5) / percentile(at[min(at)], 0.5)
    gap = results.replacements[-1] if results.replacements else None
    return [
        Goal(f"start to first answer, {size:,} Services", 2.0, ready, "s"),
        Goal("proportional set size, all processes", 120.0, memory, "MB"),
        Goal(f"change to answer, p99, {size:,} Services", 50.0, p99, "ms"),
        Goal("change to answer, p50, most Services, times fewest", 1.5, growth),
        Goal("worker replacement, worst", 1.0, gap, "s"),
    ]


def report(results: Results) -> str:
    """The block for docs/performance.md."""
    population = results.population
    endpoints = population.services * population.endpoints
    paragraphs = [f"{population.services:,} Services, {endpoints:,} endpoints; medians."]
    if results.starts:
        rows = [_start_row(title, found) for title, found in _by_title(results.starts).items()]
        head = ("start", "s to first answer", "MB (PSS)", "by process")
        paragraphs.append(table(head, rows))
    if results.changes:
        lines = [
            (
                f"{one.services:,}",
                *(number(percentile(one.seconds, part) * 1e3) for part in (0.5, 0.99, 1.0)),
                str(len(one.seconds)),
            )
            for one in results.changes
        ]
        paragraphs.append(table(("Services", "p50, ms", "p99, ms", "worst, ms", "changes"), lines))
    if results.replacements:
        found = results.replacements
        line = (
            "SIGKILL to the first answer of the next worker",
            *(number(one) for one in (median(found), found[-1])),
            str(len(found)),
        )
        paragraphs.append(table(("worker replacement", "p50, s", "worst, s", "count"), [line]))
    paragraphs.append(goal_table(goals_of(results)))
    return "\n\n".join(paragraphs)
