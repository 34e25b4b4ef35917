"""The servers that take turns: the floor, NSD, Knot, dnsd.

Each runs as the current user, on a loopback port of its own, with its files in the bench's
temporary directory, and with what a fair comparison asks for: one process or thread that
answers, rate limits off, no DNSSEC, answers without records nobody asked for where it has
a setting for that. dnsd runs with its defaults, admin API and metrics included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import names, native, procs, wire
from bench.procs import LOOPBACK, BenchError

SERVERS = ("floor", "nsd", "knot", "dnsd")
TITLES = {"floor": "C echo (floor)", "nsd": "NSD", "knot": "Knot", "dnsd": "dnsd"}
READY = 300.0  # seconds a server may take; long, for YAML by the hundred thousand


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the population and where its files are. `work` takes the rest."""

    population: names.Population
    work: Path
    manifests: Path
    zones: Path


def prepare(
    population: names.Population, work: Path, form: str = "json", zones: bool = True
) -> Site:
    """Writes manifests, and zone files if asked, into directories of their own below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    site = Site(population, work, work / f"manifests-{form}", work / "zones")
    names.write_manifests(population, site.manifests, form)
    if zones:
        names.write_zones(population, site.zones)
    return site


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers. `ready` is the seconds from its start to its first right answer."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready: float

    @property
    def title(self) -> str:
        return TITLES[self.name]

    def pids(self) -> list[int]:
        return procs.tree(self.process.pid)


def _floor(site: Site, port: int, _home: Path) -> list[str]:
    return [str(native.compiled("floor", site.work)), str(port)]


_NSD = """\
server:
  server-count: 1
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  zonesdir: "{zones}"
  zonelistfile: "{home}/zone.list"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  database: ""
  pidfile: ""
  minimal-responses: yes
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  tcp-count: 100
remote-control:
  control-enable: no
"""

_NSD_ZONE = 'zone:\n  name: "{origin}"\n  zonefile: "{origin}.zone"\n'

_KNOT = """\
server:
  rundir: "{home}"
  listen: {address}@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  automatic-acl: off
control:
  listen: "{home}/knot.sock"
database:
  storage: "{home}"
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: "{zones}"
    journal-content: none
    zonefile-sync: -1
    semantic-checks: off
zone:
"""

_KNOT_ZONE = '  - domain: "{origin}"\n    file: "{origin}.zone"\n'


def _configured(text: str, zone: str, site: Site, port: int, home: Path) -> Path:
    config = home / "server.conf"
    head = text.format(address=LOOPBACK, port=port, home=home, zones=site.zones)
    zones = "".join(zone.format(origin=origin) for origin in (names.ZONE, names.REVERSE))
    config.write_text(head + zones)
    return config


def _nsd(site: Site, port: int, home: Path) -> list[str]:
    config = _configured(_NSD, _NSD_ZONE, site, port, home)
    return [_program("nsd"), "-d", "-c", str(config)]


def _knot(site: Site, port: int, home: Path) -> list[str]:
    config = _configured(_KNOT, _KNOT_ZONE, site, port, home)
    return [_program("knotd"), "-c", str(config)]


def _dnsd(site: Site, port: int, home: Path) -> list[str]:
    listen, admin = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{procs.free_port()}"
    return [
        *(sys.executable, "-m", "dnsd", "serve", "--manifests", str(site.manifests)),
        *("--listen", listen, "--admin", admin, "--workers", "1"),
        *("--state-dir", str(home)),
    ]


_COMMANDS: dict[str, Callable[[Site, int, Path], list[str]]] = {
    "floor": _floor,
    "nsd": _nsd,
    "knot": _knot,
    "dnsd": _dnsd,
}
_PROGRAMS = {"nsd": "nsd", "knot": "knotd"}


def _program(name: str) -> str:
    # Debian puts servers into sbin, which is not on every user's path.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError(f"{name} is not installed")
    return found


def missing(name: str) -> str | None:
    """Why a server cannot take part, in one clause; None when it can."""
    try:
        if name in _PROGRAMS:
            _program(_PROGRAMS[name])
        elif name == "floor" and shutil.which("cc") is None:
            return "no C compiler (cc)"
        elif name == "dnsd":
            procs.output([sys.executable, "-m", "dnsd", "--version"])
    except BenchError as error:
        return str(error)
    return None


def version(name: str) -> str:
    """A server's version, as it says itself."""
    if name == "floor":
        return procs.output([shutil.which("cc") or "cc", "--version"]).splitlines()[0] + " -O2"
    if name == "dnsd":
        return procs.output([sys.executable, "-m", "dnsd", "--version"]).strip()
    if name == "nsd":
        return procs.output([_program("nsd"), "-v"]).splitlines()[0]
    return procs.output([_program("knotd"), "--version"]).strip()


def last_question(site: Site) -> names.Question:
    """What is asked to see whether a server is up: the last ClusterIP Service's address."""
    return names.question(site.population, "hit", site.population.services - 2)


@contextmanager
def serving(
    name: str, site: Site, on: Iterable[int] | None = None, more: Sequence[str] = ()
) -> Iterator[Server]:
    """One server that answers, bound to the cores `on`; `more`: arguments besides the usual.

    Raises `BenchError` with the end of its log when it does not come up.
    """
    home = site.work / f"{name}-{time.monotonic_ns()}"
    home.mkdir()
    log = home / "log"
    port = procs.free_port()
    argv = [*_COMMANDS[name](site, port, home), *more]
    start = time.monotonic()
    with procs.running(argv, log, on) as process:
        asked = _EMPTY if name == "floor" else last_question(site)
        at = wire.wait_right(port, asked, lambda: process.poll() is None, READY)
        if at is None:
            said = log.read_text(errors="replace").strip()[-1000:]
            raise BenchError(f"{TITLES[name]} did not come up: {said or 'it printed nothing'}")
        yield Server(name, port, process, at - start)


# The floor sends back what it is asked: no error, no records.
_EMPTY = names.Question(names.ZONE, "A", "NOERROR")


def present(wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Those of `wanted` that can take part, and why the others cannot."""
    absent = {name: why for name in wanted if (why := missing(name)) is not None}
    return [name for name in wanted if name not in absent], absent
