"""`python -m bench.upstream`: names that are not ours. Prints, and writes docs/upstream.md.

Four questions, each answered as a ratio taken within its own run:

* *hit*: what a reply out of the cache costs, in that of a local address. dnsd, with an NSD
  behind it, answers both in turn (dnsperf, one core each), beside a dnsd without upstreams.
* *miss*: what a client waits for a name nobody asked before, beyond the upstream's own time:
  the same number of fresh names asked of NSD and of dnsd, one at a time, in turn.
* *zipf*: how many questions the cache answers when it holds a part of the names only, beside
  an LRU list and the best that any choice of names could do; with and without a flood of
  random names in between. No servers: the cache alone, driven by draws with a fixed seed.
* *blackhole*: p99 of our own names while every upstream is silent and others ask for foreign
  names all the time, in that of the same server without these.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from dnslib import DNSRecord

from bench import cpu, names, native, peers, procs, wire
from bench.procs import LOOPBACK, BenchError
from bench.table import Goal, goals, machine, noise, number, percentile, replace, table
from dnsd.dns.message import Rcode
from dnsd.dns.names import name_from_text
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.cache import Cache, Entry, key_of
from dnsd.upstream.chain import Answer

DOCUMENT = Path(__file__).parent.parent / "docs" / "upstream.md"
WHAT = ("hit", "miss", "zipf", "blackhole")
ORIGIN = "bench.example"
FOREIGN = 1_000  # names of the hit case; they fit the cache
FRESH = 200_000  # names below a wildcard's name: as many as the miss case wants
QPS = 5_000  # paced load of the black hole case
FLOOD = 2_000  # foreign questions a second beside it

_NSD = """\
server:
  server-count: 1
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  zonesdir: "{home}"
  zonelistfile: "{home}/zone.list"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  database: ""
  pidfile: ""
  minimal-responses: yes
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "{origin}"
  zonefile: "zone"
"""


@contextmanager
def _nsd(work: Path) -> Iterator[int]:
    """The port of an NSD that serves `n0` to `n999` and everything below `wild`."""
    home, port = work / "nsd", procs.free_port()
    home.mkdir()
    records = "".join(f"n{i} 3600 A 192.0.{i >> 8}.{i & 255}\n" for i in range(FOREIGN))
    (home / "zone").write_text(
        f"$ORIGIN {ORIGIN}.\n@ 3600 SOA ns hostmaster 1 7200 1800 86400 60\n"
        f"@ 3600 NS ns\nns 3600 A 192.0.2.53\n*.wild 3600 A 192.0.2.1\n{records}"
    )
    text = _NSD.format(address=LOOPBACK, port=port, home=home, origin=ORIGIN)
    (home / "nsd.conf").write_text(text)
    argv = [peers._program("nsd"), "-d", "-c", str(home / "nsd.conf")]
    with procs.running(argv, home / "log", procs.cores()[-1:]) as process:
        question = names.Question(f"n1.{ORIGIN}", "A", "NOERROR", "192.0.0.1")
        if wire.wait_right(port, question, lambda: process.poll() is None, 30) is None:
            raise BenchError(f"NSD did not come up: {(home / 'log').read_text()[-500:]}")
        yield port


@contextmanager
def _dnsd(site: peers.Site, *flags: str, on: Sequence[int]) -> Iterator[peers.Server]:
    """A dnsd with these flags more, answering."""
    home, port = site.work / f"dnsd-{time.monotonic_ns()}", procs.free_port()
    home.mkdir()
    argv = [*peers._dnsd(site, port, home), *flags]
    with procs.running(argv, home / "log", on) as process:
        asked, alive = peers.last_question(site), lambda: process.poll() is None
        if wire.wait_right(port, asked, alive, peers.READY) is None:
            raise BenchError(f"dnsd did not come up: {(home / 'log').read_text()[-500:]}")
        yield peers.Server("dnsd", port, process, 0.0)


# -- hit -----------------------------------------------------------------------------------


def hit(site: peers.Site, rounds: int, seconds: int) -> tuple[str, list[Goal]]:
    """CPU of a kept reply in that of a local one."""
    local, foreign = site.work / "queries-local", site.work / "queries-foreign"
    names.write_queries(local, names.questions(site.population, ("hit",), cpu.QUERIES))
    draw = random.Random(1035)
    asked = [
        names.Question(f"n{draw.randrange(FOREIGN)}.{ORIGIN}", "A", "NOERROR")
        for _ in range(cpu.QUERIES)
    ]
    names.write_queries(foreign, asked)
    core = [procs.server_core()]
    found: dict[str, list[float]] = {"plain": [], "local": [], "cached": [], "edns": []}
    cases = {
        "local": (local, cpu.Case("local", "A hit", "hit")),
        "cached": (foreign, cpu.Case("cached", "cached", "hit")),
        "edns": (foreign, cpu.Case("edns", "cached, EDNS", "hit", flags=("-e",))),
    }
    with (
        _nsd(site.work) as port,
        _dnsd(site, on=core) as plain,
        _dnsd(site, "--upstream", f"udp://{LOOPBACK}:{port}", on=core) as server,
    ):
        for queries, case in cases.values():
            cpu.measure(server, queries, case, 1)  # fills the cache
        others = []
        for _ in range(rounds):
            turns = [("plain", plain, cases["local"])]
            turns += [(key, server, case) for key, case in cases.items()]
            for key, asked_one, (queries, case) in turns:
                one = cpu.measure(asked_one, queries, case, seconds)
                found[key].append(one.micros)
                others.append(one.others)
    titles = {
        "plain": "local address, no upstream set",
        "local": "local address",
        "cached": "kept reply",
        "edns": "kept reply, EDNS",
    }
    ratios = {
        key: median(a / b for a, b in zip(times, found["local"], strict=True))
        for key, times in found.items()
    }
    rows = [
        (titles[key], number(median(times)), f"{ratios[key]:.2f} x") for key, times in found.items()
    ]
    promised = [
        Goal("kept reply, times a local address", 1.5, ratios["cached"]),
        Goal("kept reply, EDNS, times a local address", 1.5, ratios["edns"]),
    ]
    block = table(("CPU of all processes", "µs a query", "ratio"), rows)
    return "\n\n".join([block, *noise(others)]), promised


# -- miss ----------------------------------------------------------------------------------


def miss(site: peers.Site, count: int) -> tuple[str, list[Goal]]:
    """How long a fresh name takes, asked of the upstream itself and through dnsd."""
    core = [procs.server_core()]
    fresh = (f"m{i}.wild.{ORIGIN}" for i in range(FRESH))
    waits: dict[str, list[float]] = {"upstream": [], "dnsd": []}
    with (
        _nsd(site.work) as port,
        _dnsd(site, "--upstream", f"udp://{LOOPBACK}:{port}", on=core) as server,
        wire.Client(port) as direct,
        wire.Client(server.port) as through,
    ):
        for name in itertools.islice(fresh, 2 * count):
            for key, client in (("upstream", direct), ("dnsd", through)):
                start = time.perf_counter()
                reply = client.ask(DNSRecord.question(name).pack(), 5)
                waits[key].append((time.perf_counter() - start) * 1e6)
                if reply is None or reply.rcode != "NOERROR":
                    raise BenchError(f"{key}: no answer for {name}")
    for times in waits.values():
        del times[:count]  # warm
        times.sort()
    rows = [
        (key, *(number(percentile(times, share), 0) for share in (0.5, 0.9, 0.99)))
        for key, times in waits.items()
    ]
    more = [percentile(waits["dnsd"], p) - percentile(waits["upstream"], p) for p in (0.5, 0.99)]
    rows.append(("dnsd's share", number(more[0], 0), "", number(more[1], 0)))
    return table(("µs until the answer", "p50", "p90", "p99"), rows), []


# -- zipf ----------------------------------------------------------------------------------


class _Lru:
    """The cache that everybody builds, for comparison."""

    def __init__(self, size: int) -> None:
        self.size, self.kept = size, OrderedDict[int, None]()

    def ask(self, name: int) -> bool:
        if name in self.kept:
            self.kept.move_to_end(name)
            return True
        self.kept[name] = None
        if len(self.kept) > self.size:
            self.kept.popitem(last=False)
        return False


class _Ours:
    """dnsd's cache, asked as the resolver asks it."""

    def __init__(self, size: int) -> None:
        self.cache = Cache(size, 1 << 40)
        self.answer = Answer(
            Rcode.NOERROR, (Record(name_from_text("n.example."), Type.A, 3600, bytes(4)),)
        )

    def ask(self, name: int) -> bool:
        key = key_of(b"\x08%08x\x00" % name, b"\x00\x01\x00\x01", False, False)
        entry = self.cache.get(key, 0.0)
        if entry is not None:
            entry.hits += 1
            return True
        self.cache.put(Entry(key, self.answer, 3600.0, 0.0, prefetch=False))
        return False


def _zipf(count: int, draws: int) -> Iterator[int]:
    """Names by Zipf's law (exponent 1), the most popular first, with a fixed seed."""
    bounds = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))
    dice = random.Random(1035)
    for _ in range(draws):
        yield bisect(bounds, dice.random() * bounds[-1])


def zipf(draws: int) -> tuple[str, list[Goal]]:
    """Hit rates with room for a part of the names, quiet and flooded."""
    count = 100_000
    weights = [1 / rank for rank in range(1, count + 1)]
    rows = []
    worst = 1.0
    for share, flood in itertools.product((0.01, 0.05, 0.2), (False, True)):
        size = int(count * share)
        best = sum(weights[:size]) / sum(weights)
        caches: dict[str, _Ours | _Lru] = {"dnsd": _Ours(size), "LRU": _Lru(size)}
        rates = {}
        for key, cache in caches.items():
            orphans = itertools.count(count)
            hits = asked = 0
            for turn, name in enumerate(_zipf(count, draws)):
                found = cache.ask(name)
                if flood:
                    cache.ask(next(orphans))
                if turn > draws // 4:  # warm by then
                    hits += found
                    asked += 1
            rates[key] = hits / asked
        worst = min(worst, rates["dnsd"] / best)
        rows.append(
            (
                f"{share:.0%}" + (", as many random names between" if flood else ""),
                *(f"{rates[key]:.1%}" for key in ("dnsd", "LRU")),
                f"{best:.1%}",
            )
        )
    return table(("room for", "dnsd", "LRU", "best fixed choice"), rows), []


# -- blackhole -----------------------------------------------------------------------------


@contextmanager
def _silence() -> Iterator[int]:
    """The port of an upstream that takes everything and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        yield int(sock.getsockname()[1])


@contextmanager
def _flood(port: int, work: Path) -> Iterator[None]:
    """Foreign names, each once, asked all the time at a fixed rate."""
    queries = work / "queries-flood"
    queries.write_text("".join(f"f{i}.flood.example A\n" for i in range(FRESH)))
    core = str(procs.client_core())
    argv = ["taskset", "-c", core, "dnsperf", "-s", LOOPBACK, "-p", str(port), "-d", str(queries)]
    argv += ["-Q", str(FLOOD), "-q", "5000", "-l", "600", "-t", "5"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(1.0)  # in flight is full by then
            yield
        finally:
            process.terminate()


def blackhole(site: peers.Site, rounds: int, seconds: int) -> tuple[str, list[Goal]]:
    """p99 of our own names with silent upstreams, flooded and not."""
    queries = site.work / "queries-own"
    names.write_queries(queries, names.questions(site.population, ("hit", "nodata"), 20_000))
    found: dict[str, list[tuple[float, float]]] = {"quiet": [], "flooded": []}
    others: list[float] = []
    with (
        _silence() as port,
        _dnsd(site, "--upstream", f"udp://{LOOPBACK}:{port}", on=[procs.server_core()]) as server,
    ):
        for _ in range(rounds):
            native.probe(site.work, server.port, QPS, 1, queries)
            for key in found:
                if key == "flooded":
                    with _flood(server.port, site.work):
                        samples = native.probe(site.work, server.port, QPS, seconds, queries)
                else:
                    samples, bill = procs.billed(
                        server.pids(),
                        lambda: native.probe(site.work, server.port, QPS, seconds, queries),
                    )
                    others.append(bill.others)
                if samples.lost:
                    raise BenchError(f"{key}: {samples.lost} answers to own names were lost")
                p50, p99 = (percentile(samples.latencies, p) / 1e3 for p in (0.5, 0.99))
                found[key].append((p50, p99))
    ratio = median(b[1] / a[1] for a, b in zip(found["quiet"], found["flooded"], strict=True))
    rows = [
        (title, *(number(median(one[i] for one in found[key]), 0) for i in (0, 1)))
        for key, title in (
            ("quiet", f"{QPS:,} own names a second"),
            ("flooded", f"the same, and {FLOOD:,} foreign ones a second into silence"),
        )
    ]
    goal = Goal("p99 of own names while upstreams are silent, times quiet", 2.0, ratio)
    return "\n\n".join([table(("µs", "p50", "p99"), rows), *noise(others)]), [goal]


# -- all -----------------------------------------------------------------------------------


def _run(what: Sequence[str], quick: bool) -> str:
    """The block of docs/upstream.md."""
    procs.client_core()
    rounds, seconds = (1, 1) if quick else (5, 3)
    blocks: list[str] = []
    promised: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        site = peers.prepare(names.Population(1_000, 2), Path(directory), zones=False)
        todo: dict[str, Callable[[], tuple[str, list[Goal]]]] = {
            "hit": lambda: hit(site, rounds, seconds),
            "miss": lambda: miss(site, 200 if quick else 3_000),
            "zipf": lambda: zipf(50_000 if quick else 400_000),
            "blackhole": lambda: blackhole(site, rounds, 2 if quick else 5),
        }
        for key in what:
            print(f"measuring {key}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="bench-") as room:
                site = peers.Site(site.population, Path(room), site.manifests, site.zones)
                block, goal = todo[key]()
            blocks.append(block)
            promised += goal
    versions = [f"NSD: {peers.version('nsd')}"] if {"hit", "miss"} & set(what) else []
    repeat = shlex.join(["python", "-m", "bench.upstream", *what])
    ending = f"{machine(versions)}\nRepeat: `{repeat}`."
    return "\n\n".join([*blocks, *([goals(promised)] if promised else []), ending])


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 measured, 1 could not be (one line says why)."""
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"any of {', '.join(WHAT)}; none: all")
    parser.add_argument("--quick", action="store_true", help="short runs, nothing is written")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.what) - set(WHAT):
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(WHAT)}")
    what = chosen.what or WHAT
    try:
        block = _run(what, chosen.quick)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(block)
    if not chosen.quick and list(what) == list(WHAT):
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replace(text, "upstream", block), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
