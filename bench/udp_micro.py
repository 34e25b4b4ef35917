"""What the UDP transport costs by itself: CPU microseconds a query, with an engine that echoes.

    python bench/udp_micro.py [--variant mmsg|plain|floor] [--loop asyncio|uvloop] [--seconds 3]

The server runs on core 0, dnsperf on core 1; the CPU time is the server process' own (user
and system), divided by the queries it received. `floor` is floor.c, the same in C.
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

HERE = Path(__file__).parent


class Echo:
    """Sets QR and AA: the least an engine can do for a query."""

    needs_client = False

    def answer(self, packet: bytes, client: bytes, transport: object) -> object:  # noqa: ARG002
        return packet[:2] + b"\x85\x00" + packet[4:]

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,  # noqa: ARG002
        transport: object,  # noqa: ARG002
    ) -> Sequence[object]:
        out = []
        at = 0
        for length in lengths:
            out.append(b"%b\x85\x00%b" % (blob[at : at + 2], blob[at + 4 : at + length]))
            at += stride
        return out


async def serve(sock: socket.socket, batched: bool) -> None:
    """Answer until SIGTERM, then print what was received and what it cost."""
    from dnsd.transport.registry import UDP
    from dnsd.transport.udp import Udp

    udp = Udp(sock, UDP, Echo(), batched=batched)
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
    os.sched_setaffinity(0, {0})
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(socket.socket(fileno=fd), batched))


def load(port: int, seconds: float, options: list[str]) -> tuple[float, float]:
    """Queries a second answered, and the share lost, as dnsperf saw them."""
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
        f"{variant:6} {loop:8} {spent / received * 1e6:6.2f} us/query  {qps:9.0f} qps  "
        f"{received / batches:5.1f} a batch  lost {lost}%"
    )


def measure_floor(seconds: float, options: list[str]) -> str:
    compiler = shutil.which("cc") or "gcc"
    with tempfile.TemporaryDirectory() as there:
        program = Path(there, "floor")
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
    return f"floor  C        {each:6.2f} us/query  {qps:9.0f} qps  lost {lost}%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=["mmsg", "plain", "floor"], action="append")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], action="append")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("dnsperf", nargs="*", help="options for dnsperf, after --")
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
