"""The C programs of the bench, compiled into a temporary directory on first use.

In `bench/` (measurements). Change here: how the C programs are compiled, started, and read.
"""

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
_MAX_SECONDS = 3600  # seconds that cores are kept awake
LATENCY = Path("/dev/cpu_dma_latency")  # the wake-up time of an idle core (PM QoS)
POLLING = Path("/sys/devices/system/cpu/cpu0/cpuidle/state0")  # exists if idle cores can poll


def compile_program(name: str, into: Path) -> Path:
    """The program compiled from `bench/NAME.c`. Raises `BenchError` without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise procs.BenchError("no C compiler (cc): install gcc or clang")
    program = into / name
    if not program.exists():
        flags = ("-O2", "-Wall", "-Wextra", "-Werror")
        procs.output([compiler, *flags, "-o", str(program), str(_HERE / f"{name}.c")], 60)
    return program


@contextmanager
def cores_awake(work: Path, latency: Path = LATENCY, polling: Path = POLLING) -> Iterator[None]:
    """Keep all cores awake during the block, for measurements of microseconds.

    An idle core sleeps. To wake it up takes a few microseconds on a dedicated machine. On a
    virtual machine it takes until the hypervisor has a free core, which is not a property of the
    measured server. So `latency` (PM QoS) makes idle cores poll instead. Without the right to
    write it, or without a polling state, a process of the lowest priority (awake.c) spins on each
    core. The scheduler counts that process: beside it, a nice process sometimes keeps its core
    while another process waits.
    """
    with ExitStack() as stack:
        if polling.exists() and os.access(latency, os.W_OK):
            # 0 µs, while the file is open: Linux, Documentation/power/pm_qos_interface.
            stack.enter_context(latency.open("r+b", buffering=0)).write(bytes(4))
        else:
            program = compile_program("awake", work)
            for core in procs.cores():
                argv = [str(program), str(core), str(_MAX_SECONDS)]
                stack.enter_context(procs.running(argv, work / "awake.log"))
        yield


@dataclass(frozen=True, slots=True)
class Samples:
    """Results of the probe: sorted `latencies` of answered queries in ns, `worst_at` in seconds.

    `seconds`: the same latencies for each complete second.
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
    """The (sent, latency) pairs of a run in ns, in the order of the replies."""

    sent: array.array[int]
    latencies: array.array[int]

    def worst_at(self) -> float:
        """Send time of the query with the longest latency, in seconds; 0.0 without queries."""
        found = self.latencies
        worst = max(range(len(found)), key=found.__getitem__, default=None)
        return 0.0 if worst is None else self.sent[worst] / 1e9

    def by_second(self, seconds: int) -> tuple[array.array[int], ...]:
        """The sorted latencies of the queries sent in each of the first `seconds`."""
        found = [array.array("Q") for _ in range(seconds)]
        for sent, latency in zip(self.sent, self.latencies, strict=True):
            if sent < seconds * 10**9:
                found[sent // 10**9].append(latency)
        return tuple(array.array("Q", sorted(one)) for one in found)


def read_pairs(path: Path) -> Pairs:
    """The pairs in a file that the probe has written."""
    pairs = array.array("Q")
    pairs.frombytes(path.read_bytes())
    return Pairs(pairs[0::2], pairs[1::2])


def probe(work: Path, port: int, qps: int, seconds: float, queries: Path) -> Samples:
    """Run the probe on the core of the clients. Raises `BenchError` if it fails."""
    program = compile_program("probe", work)
    file = work / "samples.bin"
    arguments = (port, qps, seconds, procs.client_core(), queries, file)
    printed = procs.output([str(program), *map(str, arguments)], seconds + 30)
    result = json.loads(printed)
    pairs = read_pairs(file)
    file.unlink()
    return Samples(
        result["sent"],
        result["answered"],
        result["late_ns"],
        array.array("Q", sorted(pairs.latencies)),
        pairs.worst_at(),
        pairs.by_second(int(seconds)),
    )
