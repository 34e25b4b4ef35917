"""From nothing to an answer, from a change to its answer, and what it takes to be there.

*Start*: from exec until the last Service's address is answered, asked every millisecond;
anything else before (no socket yet, SERVFAIL) is waited over. *Memory*: proportional set
size of all processes together, once they use no CPU. Both also for NSD and Knot, which read
zone files: easier than manifests, and a figure to be measured against.

*Change*: a Service's manifest is replaced by one with another address, and the Service is
asked until that address comes. It takes the watch, reading, the schema, the zone, the way to
the worker, and a query: all a pod would wait. Done with zones of three sizes, because what
a change costs must not depend on how many Services do not change.
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
from bench.peers import TITLES, Server, Site, last_question, prepare, serving
from bench.procs import BenchError
from bench.table import Goal, goals, number, percentile, table

PATIENCE = 10.0  # seconds until a change counts as not followed
GAP = 0.0002  # seconds between two questions for a change; what the figures are exact to
AGAIN = 0.05  # seconds until a question that nobody has answered yet is asked once more


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to the first right answer, bytes once quiet, process by process."""

    title: str
    ready: float
    each: tuple[int, ...]  # as the process tree has them: the one we started first

    @property
    def memory(self) -> int:
        return sum(self.each)


@dataclass(frozen=True, slots=True)
class Changes:
    """Sorted seconds from a change to its answer, with so many Services standing by."""

    services: int
    seconds: tuple[float, ...]


def settle(server: Server, seconds: float = 30.0) -> None:
    """Waits until the server's processes use less than 2 % of a core, or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pids = server.pids()
        before = sum(procs.cpu_of(pids).values())
        time.sleep(1.0)
        if sum(procs.cpu_of(pids).values()) - before < 0.02:
            return


def starts(
    site: Site, name: str, title: str, rounds: int, say: Callable[[str], None]
) -> list[Start]:
    """Starts a server so many times, on all cores."""
    found = []
    for n in range(rounds):
        with serving(name, site) as server:
            settle(server)
            each = tuple(procs.pss(pid) for pid in server.pids())
            found.append(Start(title, server.ready, each))
        say(
            f"start {n + 1}/{rounds} {title:22} {found[-1].ready:.2f} s"
            f" {found[-1].memory / 1e6:.0f} MB"
        )
    return found


def one_change(
    client: wire.Client, population: Population, directory: Path, i: int, generation: int
) -> float:
    """Seconds from replacing a manifest to its answer. Raises `BenchError` when none comes."""
    wanted = names.changing(population, i, generation)
    question = names.Question(wanted.host, "A", "NOERROR", wanted.address)
    query = wire.packed(question.name, question.type)
    # The answer that is waited for ends with the address; parsing every reply would take
    # longer than the server does.
    address = bytes(int(part) for part in wanted.address.split("."))
    start = time.monotonic()
    names.write_change(population, directory, i, generation)
    while (now := time.monotonic()) < start + PATIENCE:
        reply = client.ask_raw(query, 1.0)
        if reply is not None and address in reply:
            now = time.monotonic()
            if not wire.is_right(client.ask(query), question):
                raise BenchError(f"{question.name}: the changed answer is not {question.first}")
            return now - start
        time.sleep(GAP)
    raise BenchError(f"{question.name}: not {question.first} after {PATIENCE:g} s")


def changes(site: Site, count: int, say: Callable[[str], None]) -> Changes:
    """Lets `count` Services change, one after the other."""
    population, draw, seconds = site.population, random.Random(1035), []
    with (
        native.awake(site.work),
        serving("dnsd", site) as server,
        wire.Client(server.port) as client,
    ):
        settle(server)
        for n in range(count):
            i, generation = n % population.changing, 1 + n // population.changing
            seconds.append(one_change(client, population, site.manifests, i, generation))
            # Not in step with any timer that the server may have.
            time.sleep(draw.uniform(0.01, 0.05))
    found = tuple(sorted(seconds))
    say(
        f"change {population.services:7,} Services p50 {percentile(found, 0.5) * 1e3:.2f} ms"
        f" p99 {percentile(found, 0.99) * 1e3:.2f} ms"
    )
    return Changes(population.services, found)


def one_succession(server: Server, client: wire.Client, asked: names.Question) -> float:
    """Seconds from the SIGKILL of dnsd's only worker to the first answer of its successor.

    Raises `BenchError` when none comes.
    """
    query = wire.packed(asked.name, asked.type)
    _, worker = server.pids()
    start = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    while procs.tree(worker):  # until it is gone it may answer
        pass
    while (now := time.monotonic()) < start + PATIENCE:
        if wire.is_right(client.ask(query, AGAIN), asked):
            return time.monotonic() - start
    raise BenchError(f"{asked.name}: nobody answers {now - start:.0f} s after a worker's end")


def successions(site: Site, count: int, say: Callable[[str], None]) -> tuple[float, ...]:
    """Kills dnsd's worker `count` times, once the one before has come to rest; sorted seconds.

    dnsd replaces a worker 20 times in a row without a pause: `count` is less.
    """
    seconds = []
    with serving("dnsd", site) as server, wire.Client(server.port) as client:
        for _ in range(count):
            settle(server)
            seconds.append(one_succession(server, client, last_question(site)))
    found = tuple(sorted(seconds))
    say(f"succession {count} times p50 {median(found):.2f} s worst {found[-1]:.2f} s")
    return found


@dataclass(frozen=True, slots=True)
class Results:
    population: Population
    starts: tuple[Start, ...]
    changes: tuple[Changes, ...]
    successions: tuple[float, ...] = ()  # sorted seconds


def run(
    site: Site,
    servers: Sequence[str],
    rounds: int,
    count: int,
    kills: int,
    sizes: Sequence[int],
    say: Callable[[str], None],
) -> Results:
    """Starts of all servers and successions at the site's size, and changes at all `sizes`."""
    population = site.population
    started: list[Start] = []
    changed: list[Changes] = []
    for name in servers:
        if name == "dnsd":
            yaml = prepare(population, site.work, "yaml", zones=False)
            started += starts(site, name, "dnsd, JSON", rounds, say)
            started += starts(yaml, name, "dnsd, YAML", rounds, say)
            shutil.rmtree(yaml.manifests)
        elif name != "floor":
            started += starts(site, name, f"{TITLES[name]}, zone files", rounds, say)
    for size in sizes if "dnsd" in servers else ():
        work = site.work / f"of-{size}"
        sized = Population(size, population.endpoints, population.changing)
        changed.append(changes(prepare(sized, work, zones=False), count, say))
        shutil.rmtree(work)
    succeeded = successions(site, kills, say) if "dnsd" in servers else ()
    return Results(population, tuple(started), tuple(changed), succeeded)


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


def promises(results: Results) -> list[Goal]:
    """The goals that these results decide."""
    ours = _by_title(results.starts).get("dnsd, JSON")
    ready = median(one.ready for one in ours) if ours else None
    memory = median(one.memory for one in ours) / 1e6 if ours else None
    size = results.population.services
    at = {one.services: one.seconds for one in results.changes}
    p99 = percentile(at[size], 0.99) * 1e3 if size in at else None
    growth = None
    if len(at) > 1:
        growth = percentile(at[max(at)], 0.5) / percentile(at[min(at)], 0.5)
    gap = results.successions[-1] if results.successions else None
    return [
        Goal(f"start to first answer, {size:,} Services", 2.0, ready, "s"),
        Goal("proportional set size, all processes", 120.0, memory, "MB"),
        Goal(f"change to answer, p99, {size:,} Services", 50.0, p99, "ms"),
        Goal("change, p50: most Services by fewest", 1.5, growth),
        Goal("a worker is killed: until its successor answers, worst", 1.0, gap, "s"),
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
    if results.successions:
        found = results.successions
        line = (
            "a worker is killed: until its successor answers",
            *(number(one) for one in (median(found), found[-1])),
            str(len(found)),
        )
        paragraphs.append(table(("succession", "p50, s", "worst, s", "times"), [line]))
    paragraphs.append(goals(promises(results)))
    return "\n\n".join(paragraphs)
