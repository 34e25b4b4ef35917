"""`dnsd serve` from outside: real processes, real sockets, a real directory."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from structlog.testing import capture_logs

from dnsd.answer.transport import Transport
from dnsd.control.serve import Serve, build
from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address, Endpoint
from dnsd.runtime.priority import NICE
from dnsd.transport.listener import bind
from dnsd.transport.registry import TRANSPORTS
from tests.helpers import eventually, until
from tests.serving import SEED, alive, dnsd, service, serving, started

WEB = "web.default.svc.cluster.local"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(service("web", "10.96.0.1"))
    return folder


class TestSeed:
    """The example manifests of dnsd, which a user sees first."""

    def test_the_example_manifests_are_answered_over_udp_and_tcp(self) -> None:
        with serving("--manifests", str(SEED)) as server:
            first, second = server.stdout.splitlines()
            assert "8 Services" in first
            assert f"127.0.0.1:{server.port} (UDP and TCP)" in first
            assert second.startswith(f"try: dig -p {server.port} @127.0.0.1 ")
            for tcp in (False, True):
                reply = server.query("webui-svc.default.svc.cluster.local", tcp=tcp)
                assert [rdata.to_text() for rdata in reply.answer[0]] == ["10.96.100.100"]
                assert reply.flags & dns.flags.AA
            reply = server.query("externalname-svc.default.svc.cluster.local")
            assert reply.answer[0].to_text().endswith("IN CNAME google.com.")
            assert server.query("none.default.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN
            server.signal(signal.SIGTERM)
            assert server.ended() == 0, server.stderr

    @pytest.mark.needs("dig")
    def test_the_command_it_prints_works(self) -> None:
        import subprocess

        with serving("--manifests", str(SEED)) as server:
            dig = server.stdout.splitlines()[1].removeprefix("try: ").split()
            found = subprocess.run([*dig, "+short"], capture_output=True, text=True, check=True)
            assert found.stdout.strip()

    def test_changes_of_the_directory_are_answered(self, manifests: Path) -> None:
        with serving("--manifests", str(manifests)) as server:
            (manifests / "more.yaml").write_text(service("more", "10.96.0.2"))
            until(lambda: server.values("more.default.svc.cluster.local") == ["10.96.0.2"])
            (manifests / "web.yaml").write_text(service("web", "10.96.0.3"))
            until(lambda: server.values(WEB) == ["10.96.0.3"])
            (manifests / "web.yaml").unlink()
            until(lambda: server.query(WEB).rcode() == dns.rcode.NXDOMAIN)

    def test_ipv4_and_ipv6_and_several_zones(self, manifests: Path) -> None:
        flags = ["--listen", "[::1]:0", "--listen", "127.0.0.1:0", "--zone", "a.example"]
        flags += ["--zone", "b.example", "--manifests", str(manifests)]
        with serving(*flags) as server:
            assert server.host == "::1"
            assert server.values("web.default.svc.a.example") == ["10.96.0.1"]
            assert server.values("web.default.svc.b.example") == ["10.96.0.1"]
            assert server.values("1.0.96.10.in-addr.arpa", "PTR") == ["web.default.svc.a.example."]
            assert server.query(WEB).rcode() == dns.rcode.REFUSED
            assert server.values("ns.dns.a.example", "AAAA") == ["::1"]

    def test_an_empty_directory_serves_the_zone_itself(self, tmp_path: Path) -> None:
        with serving("--manifests", str(tmp_path)) as server:
            assert "0 Services" in server.stdout
            assert "only the zone itself" in server.stdout
            assert server.query("cluster.local", "SOA").answer
            assert server.query(WEB).rcode() == dns.rcode.NXDOMAIN

    def test_a_broken_manifest_is_reported_and_the_rest_is_served(self, manifests: Path) -> None:
        (manifests / "broken.yaml").write_text("kind: Service\nspec: [\n")
        with serving("--manifests", str(manifests)) as server:
            assert server.values(WEB) == ["10.96.0.1"]
            (line,) = server.logged("manifest refused")
            assert line["file"] == "broken.yaml"
            assert line["line"]

    def test_all_workers_answer_by_the_same_zone(self, manifests: Path) -> None:
        with serving("--manifests", str(manifests), "--workers", "2", "--uvloop", "off") as server:
            assert len(server.workers()) == 2
            (manifests / "more.yaml").write_text(service("more", "10.96.0.2"))
            name = "more.default.svc.cluster.local"
            until(lambda: server.values(name) == ["10.96.0.2"])
            # Each question comes from another port, so the kernel deals them to both.
            assert {tuple(server.values(name)) for _ in range(20)} <= {("10.96.0.2",), ()}
            until(lambda: all(server.values(name) == ["10.96.0.2"] for _ in range(20)))


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda one: one.name)
class TestOneTransport:
    """A listener with a scheme serves one transport, from the first line to the last reply."""

    def test_it_serves_replaces_a_worker_and_drains(
        self, manifests: Path, transport: Transport
    ) -> None:
        listen = f"{transport.name}://127.0.0.1:0"
        with serving("--manifests", str(manifests), "--listen", listen) as server:
            first, second = server.stdout.splitlines()
            assert f"127.0.0.1:{server.port} ({transport.label}):" in first
            option = "" if transport.datagram else f"+{transport.name} "
            assert second.startswith(f"try: dig {option}-p {server.port} @127.0.0.1 ")
            tcp = not transport.datagram
            assert server.query(WEB, tcp=tcp).answer
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)
            until(lambda: server.workers() not in ([], [worker]))
            assert server.query(WEB, tcp=tcp).answer
            server.signal(signal.SIGTERM)
            assert server.ended() == 0, server.stderr

    def test_a_busy_port_is_named(self, manifests: Path, transport: Transport) -> None:
        with bind(Address("127.0.0.1", 0), transport).socket as other:
            place = f"127.0.0.1:{other.getsockname()[1]}"
            listen = f"{transport.name}://{place}"
            found = dnsd("serve", "--manifests", str(manifests), "--listen", listen)
        assert found.stderr.startswith(
            f"dnsd: --listen: cannot listen on {place} ({transport.label}): another program"
        )
        assert found.returncode == 2


def test_listeners_of_different_transports_are_named_one_by_one(manifests: Path) -> None:
    flags = ["--listen", "udp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"]
    with serving("--manifests", str(manifests), *flags) as server:
        assert re.search(r"127.0.0.1:\d+ \(UDP\), 127.0.0.1:\d+ \(TCP\): ", server.stdout)


class TestWorkersDie:
    def test_a_killed_worker_is_replaced_and_loses_no_queued_query(self, manifests: Path) -> None:
        """Queries that arrive between two workers wait in the socket, which dnsd holds open."""
        with serving("--manifests", str(manifests)) as server:
            (worker,) = server.workers()
            assert server.values(WEB)  # it is idle now, no packet is in its hands
            os.kill(worker, signal.SIGSTOP)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect((server.host, server.port))
                client.settimeout(20)
                sent = set()
                for number in range(200):  # what any receive buffer holds
                    query = dns.message.make_query(WEB, "A", id=number)
                    client.send(query.to_wire())
                    sent.add(number)
                    if number == 100:
                        os.kill(worker, signal.SIGKILL)
                received = {dns.message.from_wire(client.recv(4096)).id for _ in sent}
            assert received == sent
            assert not alive(worker)
            (line,) = server.logged("a worker ended and is being replaced")
            assert line["reason"] == "it was ended by SIGKILL"

    @pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
    def test_the_control_process_gives_way_and_no_worker_does(self, manifests: Path) -> None:
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        with serving("--manifests", str(manifests)) as dnsd:
            dnsd.wait_until_it_answers()
            (first,) = dnsd.workers()
            os.kill(first, signal.SIGKILL)
            (second,) = until(lambda: [one for one in dnsd.workers() if one != first])
            assert os.getpriority(os.PRIO_PROCESS, second) == usual
            wanted = min(usual + NICE, 19)
            until(lambda: os.getpriority(os.PRIO_PROCESS, dnsd.process.pid) == wanted)
            os.kill(second, signal.SIGKILL)
            (third,) = until(lambda: [one for one in dnsd.workers() if one != second])
            assert os.getpriority(os.PRIO_PROCESS, third) == usual

    def test_a_replacement_has_the_changes_before_it(self, manifests: Path) -> None:
        with serving("--manifests", str(manifests)) as server:
            (worker,) = server.workers()
            (manifests / "web.yaml").write_text(service("web", "10.96.0.7"))
            until(lambda: server.values(WEB) == ["10.96.0.7"])
            os.kill(worker, signal.SIGKILL)
            assert server.values(WEB) == ["10.96.0.7"]
            until(lambda: server.workers() not in ([], [worker]))

    def test_workers_end_when_the_control_process_is_killed(self, manifests: Path) -> None:
        with serving("--manifests", str(manifests), "--workers", "2") as server:
            workers = server.workers()
            assert len(workers) == 2
            server.signal(signal.SIGKILL)
            server.ended()
            until(lambda: not any(map(alive, workers)), "the workers are gone")

    def test_a_worker_gets_nothing_of_the_environment_that_may_be_secret(
        self, manifests: Path
    ) -> None:
        with serving("--manifests", str(manifests), environ={"AWS_SECRET": "hush"}) as server:
            (worker,) = server.workers()
            variables = Path(f"/proc/{worker}/environ").read_bytes()
            assert b"PATH=" in variables
            assert b"hush" not in variables


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_and_the_exit_code_is_0(
        self, manifests: Path, number: signal.Signals
    ) -> None:
        flags = ("--manifests", str(manifests), "--drain-quiet", "10ms")
        with serving(*flags) as server:
            workers = server.workers()
            server.signal(number)
            assert server.ended() == 0, server.stderr
            assert not any(map(alive, workers))
            assert not server.logged("a worker ended and is being replaced")

    def test_it_answers_while_it_drains_and_a_second_signal_ends_that(
        self, manifests: Path
    ) -> None:
        flags = ("--drain-quiet", "10m", "--drain-limit", "10m")
        with serving("--manifests", str(manifests), *flags) as server:
            idle = socket.create_connection((server.host, server.port))
            server.signal(signal.SIGTERM)
            with idle:
                idle.settimeout(20)
                assert idle.recv(1) == b""  # the worker drains: idle connections are closed
            assert server.values(WEB) == ["10.96.0.1"]
            server.signal(signal.SIGTERM)
            assert server.ended() == 0, server.stderr

    def test_signals_that_repeat_until_the_end_do_not_change_the_exit_code(
        self, manifests: Path
    ) -> None:
        flags = ("--drain-quiet", "10ms", "--drain-limit", "20ms", "--workers", "2")
        with serving("--manifests", str(manifests), *flags) as server:

            def has_ended() -> bool:
                server.signal(signal.SIGTERM)
                return server.process.poll() is not None

            until(has_ended)
            assert server.ended() == 0, server.stderr
            assert "Traceback" not in server.stderr

    def test_the_limit_ends_a_drain_during_which_queries_arrive(self, manifests: Path) -> None:
        flags = ("--drain-quiet", "10m", "--drain-limit", "200ms")
        with serving("--manifests", str(manifests), *flags) as server:
            stop = threading.Event()
            asker = threading.Thread(target=_ask_until, args=(server.host, server.port, stop))
            asker.start()
            try:
                server.signal(signal.SIGTERM)
                assert server.ended() == 0, server.stderr
            finally:
                stop.set()
                asker.join()

    def test_a_signal_before_the_start_is_complete_stops_dnsd(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "endless.yaml")
        with started("serve", "--manifests", str(tmp_path), "--listen", "127.0.0.1:0") as server:
            until(lambda: server.workers(), "it has begun")
            server.signal(signal.SIGTERM)
            assert server.ended() == 0, server.stderr


def _ask_until(host: str, port: int, stop: threading.Event) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        while not stop.wait(0.01):
            client.sendto(dns.message.make_query(WEB, "A").to_wire(), (host, port))


class TestReload:
    def test_sighup_applies_a_new_configuration(self, manifests: Path, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(f"manifests: {manifests}\nttl: 30\n")
        with serving("--config", str(config)) as server:
            (worker,) = server.workers()
            assert server.query(WEB).answer[0].ttl == 30
            config.write_text(f"manifests: {manifests}\nttl: 60\nworkers: 2\n")
            server.signal(signal.SIGHUP)
            until(lambda: server.query(WEB).answer[0].ttl == 60)
            until(lambda: server.logged("reloaded"))
            (line,) = server.logged("these settings need a restart")
            assert line["settings"] == ["workers"]
            assert server.workers() == [worker]  # the zone is new, the worker is not

    def test_sighup_before_the_sources_are_synced_is_applied(
        self, manifests: Path, tmp_path: Path
    ) -> None:
        os.mkfifo(manifests / "endless.yaml")
        config = tmp_path / "dnsd.yaml"
        settings = f"manifests: {manifests}\nlisten: 127.0.0.1:0\ndrain_quiet: 10ms\n"
        config.write_text(settings + "ttl: 30\n")
        with started("serve", "--config", str(config)) as server:
            until(lambda: server.workers(), "it has begun")
            config.write_text(settings + "ttl: 60\nversion_text: new\n")
            server.signal(signal.SIGHUP)
            (line,) = until(lambda: server.logged("reloaded"))
            assert line["changed"] == ["ttl", "version_text"]
            assert not server.logged("a worker ended and is being replaced")
            server.signal(signal.SIGTERM)
            assert server.ended() == 0, server.stderr

    def test_workers_with_new_settings_take_over_without_a_gap(
        self, manifests: Path, tmp_path: Path
    ) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(f"manifests: {manifests}\n")
        with serving("--config", str(config)) as server:
            (former,) = server.workers()
            config.write_text(f"manifests: {manifests}\nversion_text: new\n")
            server.signal(signal.SIGHUP)

            def version() -> str:
                query = dns.message.make_query("version.bind", "TXT", "CH")
                return dns.query.udp(query, server.host, port=server.port, timeout=5).to_text()

            until(lambda: '"new"' in version())
            until(lambda: not alive(former))
            assert server.values(WEB) == ["10.96.0.1"]
            assert not server.logged("a worker ended and is being replaced")

    def test_a_configuration_with_errors_is_reported_and_not_used(
        self, manifests: Path, tmp_path: Path
    ) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text(f"manifests: {manifests}\nttl: 30\n")
        with serving("--config", str(config)) as server:
            config.write_text(f"manifests: {manifests}\nttl: 30000\n")
            server.signal(signal.SIGHUP)
            until(lambda: server.logged("the new configuration is not used"))
            (line,) = server.logged("the new configuration is not used")
            assert line["problem"] == f"{config}:2: ttl: 30000 is not in 0 to 3600"
            assert server.query(WEB).answer[0].ttl == 30

    def test_a_configuration_that_is_refused_late_changes_nothing(
        self, manifests: Path, tmp_path: Path
    ) -> None:
        """All settings of a configuration are applied, or none."""
        junk = tmp_path / "ca.pem"
        junk.write_text("junk")
        usual = f"manifests: {manifests}\nttl: 30\n"
        other = usual.replace("30", "77") + "log_level: error\nworkers: 2\n"
        other += f'upstream: ["tls://192.0.2.1"]\nupstream_tls_ca: {junk}\n'
        config = tmp_path / "dnsd.yaml"
        config.write_text(usual)
        with serving("--config", str(config)) as server:
            config.write_text(other)
            server.signal(signal.SIGHUP)
            until(lambda: server.logged("the new configuration is not used"))
            assert server.query(WEB).answer[0].ttl == 30
            assert not server.logged("these settings need a restart")
            config.write_text(usual)
            server.signal(signal.SIGHUP)
            until(lambda: server.logged("reloaded"))
            (line,) = server.logged("reloaded")
            assert line["changed"] == []

    async def test_a_bug_during_a_reload_is_logged(self, manifests: Path) -> None:
        def reread() -> Settings:
            raise RuntimeError("a bug")

        listen = (Endpoint(Address("127.0.0.1", 0)),)
        plane = await build(Settings.of(manifests=str(manifests), listen=listen))
        try:
            with capture_logs() as logs:
                Serve(plane.settings, reread, print).request_reload(plane)
                await eventually(lambda: logs)
            (line,) = logs
            assert "a bug" in line["event"]
            assert line["exc_info"]
        finally:
            await plane.supervisor.stop()


class TestState:
    def test_the_serial_continues_after_a_restart(self, manifests: Path, tmp_path: Path) -> None:
        state = tmp_path / "state"
        state.mkdir()
        (state / "serial").write_text("4000000000\n")  # ahead of the clock
        flags = ("--manifests", str(manifests), "--state-dir", str(state), "--drain-quiet", "0")
        serials = []
        for _ in range(2):
            with serving(*flags) as server:
                (soa,) = server.query("cluster.local", "SOA").answer[0]
                serials.append(soa.serial)
                server.signal(signal.SIGTERM)
                assert server.ended() == 0, server.stderr
        assert 4000000000 < serials[0] < serials[1] < 4000000100


class TestWrongStarts:
    """One line on stderr that names the flag and the value, exit code 2."""

    def test_a_busy_port(self, manifests: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{other.getsockname()[1]}"
            found = dnsd("serve", "--manifests", str(manifests), "--listen", place)
        (line,) = found.stderr.splitlines()
        assert line.startswith(f"dnsd: --listen: cannot listen on {place} (UDP): another program")
        assert found.returncode == 2

    def test_a_busy_port_from_a_variable(self, manifests: Path) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            place = f"127.0.0.1:{other.getsockname()[1]}"
            environ = {"DNSD_LISTEN": place, "DNSD_MANIFESTS": str(manifests)}
            found = dnsd("serve", environ=environ)
        assert found.stderr.startswith(f"dnsd: DNSD_LISTEN: cannot listen on {place} (TCP)")
        assert found.returncode == 2

    @pytest.mark.parametrize(
        ("flags", "line"),
        [
            ((), "no source of Services; give --manifests DIR"),
            (("--manifests", "/nonexistent"), "--manifests: /nonexistent does not exist"),
            (("--manifests", ".", "--listen", "192.0.2.1:1053"), "--listen: cannot listen on 192."),
            (
                ("--manifests", ".", "--listen", "tls://127.0.0.1:853"),
                "--listen: tls://127.0.0.1:853 has a scheme that is not one of udp://, tcp://",
            ),
            (("--manifests", ".", "--kubernetes"), "--manifests and --kubernetes: give one"),
        ],
    )
    def test_other_problems_of_the_configuration(self, flags: tuple[str, ...], line: str) -> None:
        found = dnsd("serve", *flags)
        assert found.stderr.startswith(f"dnsd: {line}")
        assert found.stderr.count("\n") == 1
        assert found.stdout == ""
        assert found.returncode == 2

    def test_a_state_directory_that_cannot_be_used(self, manifests: Path, tmp_path: Path) -> None:
        place = tmp_path / "file"
        place.write_text("")
        found = dnsd("serve", "--manifests", str(manifests), "--state-dir", str(place))
        assert found.stderr == f"dnsd: --state-dir: {place} is not a directory\n"
        assert found.returncode == 2
