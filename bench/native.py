"""The two C programs: compiled when they are needed, into a directory that goes away."""

from __future__ import annotations

import array
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench import procs

_HERE = Path(__file__).parent


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


@dataclass(frozen=True, slots=True)
class Samples:
    """What the probe saw: `latencies` of answered queries, in ns, sorted; `worst_at` in seconds."""

    sent: int
    answered: int
    late_ns: int
    latencies: array.array[int]
    worst_at: float

    @property
    def lost(self) -> int:
        return self.sent - self.answered


def read_samples(path: Path) -> tuple[array.array[int], float]:
    """The latencies in a file of (sent, latency) pairs, sorted, and when the worst was sent."""
    pairs = array.array("Q")
    pairs.frombytes(path.read_bytes())
    sent, latencies = pairs[0::2], pairs[1::2]
    worst = max(range(len(latencies)), key=latencies.__getitem__, default=None)
    at = 0.0 if worst is None else sent[worst] / 1e9
    return array.array("Q", sorted(latencies)), at


def probe(work: Path, port: int, qps: int, seconds: float, queries: Path) -> Samples:
    """Runs the probe on the clients' core. Raises `BenchError` when it fails."""
    program = compiled("probe", work)
    file = work / "samples.bin"
    arguments = (port, qps, seconds, procs.client_core(), queries, file)
    printed = procs.output([str(program), *map(str, arguments)], seconds + 30)
    said = json.loads(printed)
    latencies, worst_at = read_samples(file)
    file.unlink()
    return Samples(said["sent"], said["answered"], said["late_ns"], latencies, worst_at)
