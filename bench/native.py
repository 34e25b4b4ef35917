"""The C programs: compiled when they are needed, into a directory that goes away."""

from __future__ import annotations

import array
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import procs

_HERE = Path(__file__).parent
_LONGEST = 3600  # seconds that cores are kept awake
LATENCY = Path("/dev/cpu_dma_latency")  # what idle cores may take to wake up
POLLING = Path("/sys/devices/system/cpu/cpu0/cpuidle/state0")  # there if they can poll


def compiled(name: str, into: Path) -> Path:
    """The program made of `bench/<name>.c`. Raises `BenchError` without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise procs.BenchError("no C compiler (cc): install gcc or clang")
    program = into / name
    if not program.exists():
        flags = ("-O2", "-Wall", "-Wextra", "-Werror")
        procs.output([compiler, *flags, "-o", str(program), str(_HERE / f"{name}.c")], 60)
    return program


@contextmanager
def awake(work: Path, latency: Path = LATENCY, polling: Path = POLLING) -> Iterator[None]:
    """Keeps all cores awake meanwhile, for what is measured in microseconds of waiting.

    A core with nothing to do goes to sleep. To wake it up takes a few microseconds on a
    machine of one's own, and on a shared one until the hypervisor has a core to spare, which
    says nothing of the server that waits for it. So idle cores are asked to poll instead, by
    `latency` (PM QoS). Where the kernel has no such state, or we may not ask, a process of
    the lowest kind (awake.c) spins on each; that one is there for the scheduler, which beside
    it lets a nice process compute on now and then while somebody waits.
    """
    with ExitStack() as stack:
        if polling.exists() and os.access(latency, os.W_OK):
            # 0 µs, as long as the file is open: Linux, Documentation/power/pm_qos_interface.
            stack.enter_context(latency.open("r+b", buffering=0)).write(bytes(4))
        else:
            program = compiled("awake", work)
            for core in procs.cores():
                argv = [str(program), str(core), str(_LONGEST)]
                stack.enter_context(procs.running(argv, work / "awake.log"))
        yield


@dataclass(frozen=True, slots=True)
class Samples:
    """What the probe saw: `latencies` of answered queries, in ns, sorted; `worst_at` in seconds.

    `seconds`: the same latencies, second by second, the whole ones.
    """

    sent: int
    answered: int
    late_ns: int
    latencies: array.array[int]
    worst_at: float
    seconds: tuple[array.array[int], ...] = ()

    @property
    def lost(self) -> int:
        return self.sent - self.answered


@dataclass(frozen=True, slots=True)
class Pairs:
    """The (sent, latency) pairs of a run, in the order in which replies came; in ns."""

    sent: array.array[int]
    latencies: array.array[int]

    def worst_at(self) -> float:
        """When the query was sent that waited longest, in seconds; 0.0 without any."""
        found = self.latencies
        worst = max(range(len(found)), key=found.__getitem__, default=None)
        return 0.0 if worst is None else self.sent[worst] / 1e9

    def by_second(self, seconds: int) -> tuple[array.array[int], ...]:
        """The latencies of the queries sent in each of the first `seconds`, sorted."""
        found = [array.array("Q") for _ in range(seconds)]
        for sent, latency in zip(self.sent, self.latencies, strict=True):
            if sent < seconds * 10**9:
                found[sent // 10**9].append(latency)
        return tuple(array.array("Q", sorted(one)) for one in found)


def read_pairs(path: Path) -> Pairs:
    """The pairs in a file that the probe wrote."""
    pairs = array.array("Q")
    pairs.frombytes(path.read_bytes())
    return Pairs(pairs[0::2], pairs[1::2])


def probe(work: Path, port: int, qps: int, seconds: float, queries: Path) -> Samples:
    """Runs the probe on the clients' core. Raises `BenchError` when it fails."""
    program = compiled("probe", work)
    file = work / "samples.bin"
    arguments = (port, qps, seconds, procs.client_core(), queries, file)
    printed = procs.output([str(program), *map(str, arguments)], seconds + 30)
    said = json.loads(printed)
    pairs = read_pairs(file)
    file.unlink()
    return Samples(
        said["sent"],
        said["answered"],
        said["late_ns"],
        array.array("Q", sorted(pairs.latencies)),
        pairs.worst_at(),
        pairs.by_second(int(seconds)),
    )
