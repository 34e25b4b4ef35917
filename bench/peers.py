"""The compared servers: the floor, NSD, Knot, and dnsd.

In `bench/` (measurements). Change here: how a server is configured and started.

Each server runs as the current user, on its own loopback port, with its files in the temporary
directory of the bench. For a fair comparison, one process or thread answers, rate limits and DNSSEC
are off, and responses are minimal if the server has a setting for it. dnsd runs with its defaults,
which include the admin API and the metrics.
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
BEFORE = "before"  # another checkout of dnsd (--against)
TITLES = {
    "floor": "C echo (floor)",
    "nsd": "NSD",
    "knot": "Knot",
    "dnsd": "dnsd",
    BEFORE: "dnsd, before",
}
READY_TIMEOUT = 300.0  # seconds that a start may take; 100,000 Services in YAML are slow


@dataclass(frozen=True, slots=True)
class Site:
    """The served population and the directories of its files. `work` takes all other files.

    `before`: another checkout of dnsd, which is the server `BEFORE`.
    """

    population: names.Population
    work: Path
    manifests: Path
    zones: Path
    before: Path | None = None


def prepare(
    population: names.Population,
    work: Path,
    form: str = "json",
    zones: bool = True,
    before: Path | None = None,
) -> Site:
    """Write manifests and, with `zones`, zone files into new directories below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    site = Site(population, work, work / f"manifests-{form}", work / "zones", before)
    names.write_manifests(population, site.manifests, form)
    if zones:
        names.write_zones(population, site.zones)
    return site


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers. `ready`: seconds from its start to its first correct answer."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready: float

    @property
    def title(self) -> str:
        return TITLES[self.name]

    def pids(self) -> list[int]:
        """The processes of the server, the started one first."""
        return procs.tree(self.process.pid)

    def is_alive(self) -> bool:
        """Whether the started process runs."""
        return self.process.poll() is None


def _floor(site: Site, port: int, _home: Path) -> list[str]:
    return [str(native.compile_program("floor", site.work)), str(port)]


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
    return [program("nsd"), "-d", "-c", str(config)]


def _knot(site: Site, port: int, home: Path) -> list[str]:
    config = _configured(_KNOT, _KNOT_ZONE, site, port, home)
    return [program("knotd"), "-c", str(config)]


def dnsd_command(site: Site, port: int, home: Path) -> list[str]:
    """The command that starts dnsd on a port, with its state in `home`."""
    listen, admin = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{procs.free_port()}"
    return [
        *(sys.executable, "-m", "dnsd", "serve", "--manifests", str(site.manifests)),
        *("--listen", listen, "--admin", admin, "--workers", "1"),
        *("--state-dir", str(home)),
    ]


def before_command(site: Site, port: int, home: Path) -> list[str]:
    """The command that starts the dnsd of another checkout, `site.before`."""
    python, *arguments = dnsd_command(site, port, home)
    # A working directory without a package `dnsd`: Python looks there first.
    return ["env", "-C", str(home), f"PYTHONPATH={site.before}", python, *arguments]


_COMMANDS: dict[str, Callable[[Site, int, Path], list[str]]] = {
    "floor": _floor,
    "nsd": _nsd,
    "knot": _knot,
    "dnsd": dnsd_command,
    BEFORE: before_command,
}
_PROGRAMS = {"nsd": "nsd", "knot": "knotd"}


def program(name: str) -> str:
    """The path of an installed program. Raises `BenchError`."""
    # Debian installs servers in sbin, which the PATH of a user may lack.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchError(f"{name} is not installed")
    return found


def reason_missing(name: str) -> str | None:
    """Why a server cannot run, in one clause; None if it can."""
    try:
        if name in _PROGRAMS:
            program(_PROGRAMS[name])
        elif name == "floor" and shutil.which("cc") is None:
            return "there is no C compiler (cc)"
        elif name == "dnsd":
            procs.output([sys.executable, "-m", "dnsd", "--version"])
    except BenchError as error:
        return str(error)
    return None


def version(name: str) -> str:
    """The version that the server prints."""
    if name == "floor":
        return procs.output([shutil.which("cc") or "cc", "--version"]).splitlines()[0] + " -O2"
    if name in ("dnsd", BEFORE):
        return procs.output([sys.executable, "-m", "dnsd", "--version"]).strip()
    if name == "nsd":
        return procs.output([program("nsd"), "-v"]).splitlines()[0]
    return procs.output([program("knotd"), "--version"]).strip()


def readiness_question(site: Site) -> names.Question:
    """The query that shows whether a server is ready: the last Service with a ClusterIP."""
    return names.question(site.population, "hit", site.population.services - 2)


@contextmanager
def serving(
    name: str, site: Site, on: Iterable[int] | None = None, more: Sequence[str] = ()
) -> Iterator[Server]:
    """A server that answers during the block, on the cores `on`, with `more` arguments.

    Raises `BenchError` with the end of its log if it does not start.
    """
    home = site.work / f"{name}-{time.monotonic_ns()}"
    home.mkdir()
    log = home / "log"
    port = procs.free_port()
    argv = [*_COMMANDS[name](site, port, home), *more]
    start = time.monotonic()
    with procs.running(argv, log, on) as process:
        question = _EMPTY if name == "floor" else readiness_question(site)
        at = wire.wait_until_correct(port, question, lambda: process.poll() is None, READY_TIMEOUT)
        if at is None:
            printed = log.read_text(errors="replace").strip()[-1000:]
            raise BenchError(f"{TITLES[name]} did not start: {printed or 'it printed nothing'}")
        yield Server(name, port, process, at - start)


# The floor echoes each query: NOERROR without records.
_EMPTY = names.Question(names.ZONE, "A", "NOERROR")


def available(wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The servers of `wanted` that can run, and why the others cannot."""
    missing = {name: why for name in wanted if (why := reason_missing(name)) is not None}
    return [name for name in wanted if name not in missing], missing
