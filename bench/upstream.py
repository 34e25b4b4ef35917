"""`python -m bench.upstream`: forwarding and the cache. It prints, and writes docs/upstream.md.

In `bench/` (measurements). Change here: what is measured of external names.

Four parts, each a ratio within its own run:

* *hit*: the cost of a reply from the cache, divided by that of a local address. A dnsd that
  forwards to an NSD answers both in turn (dnsperf, one core each), beside a dnsd without upstream
  servers.
* *miss*: the latency of a new name through dnsd in addition to the time of the upstream server.
  NSD and dnsd get the same number of new names, one at a time, in turn.
* *zipf*: the hit rate of the cache with room for a part of the names, compared with an LRU cache
  and with the best fixed set of names, with and without a flood of random names. It uses the cache
  alone, without servers, with random draws of a fixed seed.
* *blackhole*: the p99 of names in the zones of dnsd (*local names*) while each upstream server is
  silent and another client queries external names, divided by the p99 without that client.
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
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

from dnslib import DNSRecord

from bench import cpu, names, native, peers, procs, wire
from bench.procs import LOOPBACK, BenchError
from bench.table import Goal, goal_table, machine, noise, number, percentile, replace, table
from dnsd.dns.message import Rcode
from dnsd.dns.names import name_from_text
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.cache import Cache, Entry, key_of
from dnsd.upstream.chain import Answer

DOCUMENT = Path(__file__).parent.parent / "docs" / "upstream.md"
PARTS = ("hit", "miss", "zipf", "blackhole")
ORIGIN = "bench.example"
EXTERNAL_NAMES = 1_000  # names of the hit part; the cache has room for them
WILDCARD_NAMES = 200_000  # names below a wildcard, for the miss part
QPS = 5_000  # queries per second for names in the zones of dnsd, in the blackhole part
FLOOD = 2_000  # queries per second for external names beside them

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
    """The port of an NSD that serves `n0` to `n999` and all names below `wild`."""
    home, port = work / "nsd", procs.free_port()
    home.mkdir()
    records = "".join(f"n{i} 3600 A 192.0.{i >> 8}.{i & 255}\n" for i in range(EXTERNAL_NAMES))
    (home / "zone").write_text(
        f"$ORIGIN {ORIGIN}.\n@ 3600 SOA ns hostmaster 1 7200 1800 86400 60\n"
        f"@ 3600 NS ns\nns 3600 A 192.0.2.53\n*.wild 3600 A 192.0.2.1\n{records}"
    )
    text = _NSD.format(address=LOOPBACK, port=port, home=home, origin=ORIGIN)
    (home / "nsd.conf").write_text(text)
    argv = [peers.program("nsd"), "-d", "-c", str(home / "nsd.conf")]
    with procs.running(argv, home / "log", procs.cores()[-1:]) as process:
        question = names.Question(f"n1.{ORIGIN}", "A", "NOERROR", "192.0.0.1")
        if wire.wait_until_correct(port, question, lambda: process.poll() is None, 30) is None:
            raise BenchError(f"NSD did not start: {(home / 'log').read_text()[-500:]}")
        yield port


def _forwarding(site: peers.Site, port: int) -> AbstractContextManager[peers.Server]:
    """A dnsd on the core of the servers that forwards to a port of loopback."""
    upstream = ("--upstream", f"udp://{LOOPBACK}:{port}")
    return peers.serving("dnsd", site, [procs.server_core()], upstream)


# -- hit -----------------------------------------------------------------------------------


def hit(site: peers.Site, rounds: int, seconds: int) -> tuple[str, list[Goal]]:
    """CPU time of a cached reply, divided by that of a local address."""
    local, external = site.work / "queries-local", site.work / "queries-external"
    names.write_queries(local, names.questions(site.population, ("hit",), cpu.QUERIES))
    draw = random.Random(1035)
    questions = [
        names.Question(f"n{draw.randrange(EXTERNAL_NAMES)}.{ORIGIN}", "A", "NOERROR")
        for _ in range(cpu.QUERIES)
    ]
    names.write_queries(external, questions)
    found: dict[str, list[float]] = {"plain": [], "local": [], "cached": [], "edns": []}
    cases = {
        "local": (local, cpu.Case("local", "A hit", "hit")),
        "cached": (external, cpu.Case("cached", "cached", "hit")),
        "edns": (external, cpu.Case("edns", "cached, EDNS", "hit", flags=("-e",))),
    }
    with (
        _nsd(site.work) as port,
        peers.serving("dnsd", site, [procs.server_core()]) as plain,
        _forwarding(site, port) as server,
    ):
        for queries, case in cases.values():
            cpu.measure(server, queries, case, 1)  # fills the cache
        others = []
        for _ in range(rounds):
            turns = [("plain", plain, cases["local"])]
            turns += [(key, server, case) for key, case in cases.items()]
            for key, measured, (queries, case) in turns:
                one = cpu.measure(measured, queries, case, seconds)
                found[key].append(one.micros)
                others.append(one.others)
    titles = {
        "plain": "local address, no upstream server",
        "local": "local address",
        "cached": "cached reply",
        "edns": "cached reply, EDNS",
    }
    ratios = {
        key: median(a / b for a, b in zip(times, found["local"], strict=True))
        for key, times in found.items()
    }
    rows = [
        (titles[key], number(median(times)), f"{ratios[key]:.2f} x") for key, times in found.items()
    ]
    goal_rows = [
        Goal("cached reply, times a local address", 1.5, ratios["cached"]),
        Goal("cached reply, EDNS, times a local address", 1.5, ratios["edns"]),
    ]
    block = table(("CPU of all processes", "µs per query", "ratio"), rows)
    return "\n\n".join([block, *noise(others)]), goal_rows


# -- miss ----------------------------------------------------------------------------------


def miss(site: peers.Site, count: int) -> tuple[str, list[Goal]]:
    """Latency of a new name from the upstream server directly and through dnsd."""
    fresh = (f"m{i}.wild.{ORIGIN}" for i in range(WILDCARD_NAMES))
    waits: dict[str, list[float]] = {"upstream": [], "dnsd": []}
    with (
        _nsd(site.work) as port,
        _forwarding(site, port) as server,
        wire.Client(port) as direct,
        wire.Client(server.port) as through,
    ):
        for name in itertools.islice(fresh, 2 * count):
            for key, client in (("upstream", direct), ("dnsd", through)):
                start = time.perf_counter()
                reply = client.query(DNSRecord.question(name).pack(), 5)
                waits[key].append((time.perf_counter() - start) * 1e6)
                if reply is None or reply.rcode != "NOERROR":
                    raise BenchError(f"{key}: no answer for {name}")
    for times in waits.values():
        del times[:count]  # the first half warms up
        times.sort()
    rows = [
        (key, *(number(percentile(times, share), 0) for share in (0.5, 0.9, 0.99)))
        for key, times in waits.items()
    ]
    more = [percentile(waits["dnsd"], p) - percentile(waits["upstream"], p) for p in (0.5, 0.99)]
    rows.append(("added by dnsd", number(more[0], 0), "", number(more[1], 0)))
    return table(("µs to the answer", "p50", "p90", "p99"), rows), []


# -- zipf ----------------------------------------------------------------------------------


class LruCache:
    """A cache that evicts the least recently used name."""

    def __init__(self, size: int) -> None:
        self.size, self.kept = size, OrderedDict[int, None]()

    def lookup(self, name: int) -> bool:
        """Whether the cache holds the name; it does from now on."""
        if name in self.kept:
            self.kept.move_to_end(name)
            return True
        self.kept[name] = None
        if len(self.kept) > self.size:
            self.kept.popitem(last=False)
        return False


class DnsdCache:
    """The cache of dnsd, used as the resolver uses it."""

    def __init__(self, size: int) -> None:
        self.cache = Cache(size, 1 << 40)
        self.answer = Answer(
            Rcode.NOERROR, (Record(name_from_text("n.example."), Type.A, 3600, bytes(4)),)
        )

    def lookup(self, name: int) -> bool:
        """Whether the cache holds the name; it may from now on."""
        key = key_of(b"\x08%08x\x00" % name, b"\x00\x01\x00\x01", False, False)
        entry = self.cache.get(key, 0.0)
        if entry is not None:
            entry.hits += 1
            return True
        self.cache.put(Entry(key, self.answer, 3600.0, 0.0, prefetch=False))
        return False


def zipf_draws(count: int, draws: int) -> Iterator[int]:
    """Names by Zipf's law (exponent 1), the most popular first, with a fixed seed."""
    bounds = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))
    dice = random.Random(1035)
    for _ in range(draws):
        yield bisect(bounds, dice.random() * bounds[-1])


def zipf(draws: int) -> tuple[str, list[Goal]]:
    """Hit rates with room for a part of the names, with and without a flood."""
    count = 100_000
    weights = [1 / rank for rank in range(1, count + 1)]
    rows = []
    for share, flood in itertools.product((0.01, 0.05, 0.2), (False, True)):
        size = int(count * share)
        best = sum(weights[:size]) / sum(weights)
        caches: dict[str, DnsdCache | LruCache] = {"dnsd": DnsdCache(size), "LRU": LruCache(size)}
        rates = {}
        for key, cache in caches.items():
            random_names = itertools.count(count)
            hits = lookups = 0
            for turn, name in enumerate(zipf_draws(count, draws)):
                found = cache.lookup(name)
                if flood:
                    cache.lookup(next(random_names))
                if turn > draws // 4:  # the first quarter warms up
                    hits += found
                    lookups += 1
            rates[key] = hits / lookups
        rows.append(
            (
                f"{share:.0%}" + (", as many random names between them" if flood else ""),
                *(f"{rates[key]:.1%}" for key in ("dnsd", "LRU")),
                f"{best:.1%}",
            )
        )
    return table(("room for", "dnsd", "LRU", "best fixed choice"), rows), []


# -- blackhole -----------------------------------------------------------------------------


@contextmanager
def _silent_upstream() -> Iterator[int]:
    """The port of an upstream server that never replies."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        yield int(sock.getsockname()[1])


@contextmanager
def _flood(port: int, work: Path) -> Iterator[None]:
    """Queries for external names, each once, at a fixed rate, during the block."""
    queries = work / "queries-flood"
    queries.write_text("".join(f"f{i}.flood.example A\n" for i in range(WILDCARD_NAMES)))
    core = str(procs.client_core())
    argv = ["taskset", "-c", core, "dnsperf", "-s", LOOPBACK, "-p", str(port), "-d", str(queries)]
    argv += ["-Q", str(FLOOD), "-q", "5000", "-l", "600", "-t", "5"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(1.0)  # until `max_in_flight` is reached
            yield
        finally:
            process.terminate()


def blackhole(site: peers.Site, rounds: int, seconds: int) -> tuple[str, list[Goal]]:
    """p99 of local names while upstream servers are silent, with and without a flood."""
    queries = site.work / "queries-local"
    names.write_queries(queries, names.questions(site.population, ("hit", "nodata"), 20_000))
    found: dict[str, list[tuple[float, float]]] = {"quiet": [], "flooded": []}
    others: list[float] = []
    with (
        _silent_upstream() as port,
        _forwarding(site, port) as server,
    ):
        for _ in range(rounds):
            native.probe(site.work, server.port, QPS, 1, queries)
            for key in found:
                if key == "flooded":
                    with _flood(server.port, site.work):
                        samples = native.probe(site.work, server.port, QPS, seconds, queries)
                else:
                    samples, usage = procs.usage_of(
                        server.pids(),
                        lambda: native.probe(site.work, server.port, QPS, seconds, queries),
                    )
                    others.append(usage.others)
                if samples.lost:
                    raise BenchError(
                        f"{key}: {samples.lost} replies for names in the zones of dnsd were lost"
                    )
                p50, p99 = (percentile(samples.latencies, p) / 1e3 for p in (0.5, 0.99))
                found[key].append((p50, p99))
    ratio = median(b[1] / a[1] for a, b in zip(found["quiet"], found["flooded"], strict=True))
    rows = [
        (title, *(number(median(one[i] for one in found[key]), 0) for i in (0, 1)))
        for key, title in (
            ("quiet", f"{QPS:,} qps, local names"),
            ("flooded", f"{QPS:,} qps, local names; {FLOOD:,} qps, external names, no replies"),
        )
    ]
    goal = Goal(
        "p99 of local names with silent upstreams and a flood, times without a flood", 2.0, ratio
    )
    return "\n\n".join([table(("µs", "p50", "p99"), rows), *noise(others)]), [goal]


# -- all -----------------------------------------------------------------------------------


def _run(chosen: Sequence[str], quick: bool) -> str:
    """The block of docs/upstream.md."""
    procs.client_core()
    rounds, seconds = (1, 1) if quick else (5, 3)
    blocks: list[str] = []
    goal_rows: list[Goal] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        site = peers.prepare(names.Population(1_000, 2), Path(directory), zones=False)
        parts: dict[str, Callable[[], tuple[str, list[Goal]]]] = {
            "hit": lambda: hit(site, rounds, seconds),
            "miss": lambda: miss(site, 200 if quick else 3_000),
            "zipf": lambda: zipf(50_000 if quick else 400_000),
            "blackhole": lambda: blackhole(site, rounds, 2 if quick else 5),
        }
        for key in chosen:
            print(f"measuring {key}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="bench-") as work:
                site = peers.Site(site.population, Path(work), site.manifests, site.zones)
                block, goals = parts[key]()
            blocks.append(block)
            goal_rows += goals
    versions = [f"NSD: {peers.version('nsd')}"] if {"hit", "miss"} & set(chosen) else []
    repeat = shlex.join(["python", "-m", "bench.upstream", *chosen])
    ending = f"{machine(versions)}\nRepeat: `{repeat}`."
    return "\n\n".join([*blocks, *([goal_table(goal_rows)] if goal_rows else []), ending])


def main(argv: Sequence[str]) -> int:
    """Return the exit code: 0 measured, 1 failed (one line gives the reason)."""
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"one or more of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="short runs, printed only")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    parts = list(chosen.parts or PARTS)
    try:
        block = _run(parts, chosen.quick)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(block)
    if not chosen.quick and parts == list(PARTS):
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replace(text, "upstream", block), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
