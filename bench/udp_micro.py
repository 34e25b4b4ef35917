"""CPU time of the UDP transport alone, per query, with an engine that echoes.

In `bench/` (measurements). Change here: the variants of the UDP transport that are compared.

    python bench/udp_micro.py [--variant mmsg|plain|floor] [--loop asyncio|uvloop] [--seconds 3]

The server runs on core 0, and dnsperf on core 1. The CPU time is the user and system time of the
server process, divided by the queries that it received. `floor` is floor.c, the same loop in C.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnsd.answer.transport import Transport

HERE = Path(__file__).parent


class Echo:
    """An engine that sets QR and AA, the least work for a reply."""

    needs_client = False

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> bytes:  # noqa: ARG002
        return packet[:2] + b"\x85\x00" + packet[4:]

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,  # noqa: ARG002
        transport: Transport,  # noqa: ARG002
    ) -> Sequence[bytes]:
        out = []
        at = 0
        for length in lengths:
            out.append(b"%b\x85\x00%b" % (blob[at : at + 2], blob[at + 4 : at + length]))
            at += stride
        return out


async def serve(sock: socket.socket, batched: bool) -> None:
    """Answer until SIGTERM, then print the counters and the CPU time."""
    from dnsd.transport.answering import Answering
    from dnsd.transport.registry import UDP
    from dnsd.transport.udp import Udp

    udp = Udp(sock, Answering(UDP, Echo()), batched=batched)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = used.ru_utime + used.ru_stime
    udp.start()
    await stop.wait()
    used = resource.getrusage(resource.RUSAGE_SELF)
    counters = udp.counters()
    spent = used.ru_utime + used.ru_stime - before
    print(counters.received, counters.batches, spent, counters.errors, flush=True)


def child(fd: int, batched: bool, loop: str) -> None:
    """Run the server on an inherited socket, on core 0."""
    os.sched_setaffinity(0, {0})
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(socket.socket(fileno=fd), batched))


def load(port: int, seconds: float, options: list[str]) -> tuple[float, float]:
    """Answered queries per second, and the lost share in percent, from dnsperf."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as queries:
        queries.writelines(f"svc-{i}.default.svc.cluster.local A\n" for i in range(10_000))
        queries.flush()
        command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", queries.name]
        command += ["-l", str(seconds), *options]
        done = subprocess.run(
            ["taskset", "-c", "1", *command], capture_output=True, text=True, check=True
        )
    qps = re.search(r"Queries per second:\s+([\d.]+)", done.stdout)
    lost = re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", done.stdout)
    assert qps, done.stdout
    assert lost, done.stdout
    return float(qps[1]), float(lost[1])


def measure_python(variant: str, loop: str, seconds: float, options: list[str]) -> str:
    """Measure a variant of the transport on a loop; one line of figures."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    fd = sock.fileno()
    command = [sys.executable, __file__, "--fd", str(fd), "--variant", variant, "--loop", loop]
    with subprocess.Popen(command, pass_fds=(fd,), stdout=subprocess.PIPE, text=True) as server:
        try:
            qps, lost = load(sock.getsockname()[1], seconds, options)
        finally:
            server.terminate()
        out = server.communicate()[0].split()
    received, batches, spent = int(out[0]), int(out[1]), float(out[2])
    return (
        f"{variant:6} {loop:8} {spent / received * 1e6:6.2f} µs per query  {qps:9.0f} qps  "
        f"{received / batches:5.1f} per batch  lost {lost}%"
    )


def measure_floor(seconds: float, options: list[str]) -> str:
    """Measure floor.c; one line of figures."""
    compiler = shutil.which("cc") or "gcc"
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "floor")
        subprocess.run([compiler, "-O2", "-o", program, HERE / "floor.c"], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        with subprocess.Popen(["taskset", "-c", "0", program, str(port)]) as server:
            try:
                qps, lost = load(port, seconds, options)
                stat = Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
            finally:
                server.terminate()
    spent = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    each = spent / (qps * seconds) * 1e6
    return f"floor  C        {each:6.2f} µs per query  {qps:9.0f} qps  lost {lost}%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=["mmsg", "plain", "floor"], action="append")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], action="append")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("dnsperf", nargs="*", help="options of dnsperf, after --")
    args = parser.parse_args()
    if args.fd is not None:
        child(args.fd, args.variant[0] == "mmsg", args.loop[0])
        return
    for variant in args.variant or ["floor", "mmsg", "plain"]:
        if variant == "floor":
            print(measure_floor(args.seconds, args.dnsperf), flush=True)
            continue
        for loop in args.loop or ["asyncio", "uvloop"]:
            print(measure_python(variant, loop, args.seconds, args.dnsperf), flush=True)


if __name__ == "__main__":
    main()
