"""Forwarding: what a process answers for external names, and what its settings resolve to."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import pytest

from dnsd.control.forwarding import upstream_config
from dnsd.control.settings import Settings
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import ROOT, name_from_text
from dnsd.settings.load import load
from dnsd.settings.schema import SettingsError
from tests.helpers import until
from tests.serving import dnsd, serving
from tests.upstream.nsd import nsd
from tests.upstream.scripted import Upstream, address, upstream

ZONE = """
$ORIGIN example.org.
$TTL 300
@    SOA ns hostmaster 1 7200 1800 86400 60
@    NS ns
ns   A 192.0.2.53
www  CNAME web
web  A 192.0.2.1
web  AAAA 2001:db8::1
home CNAME webui.default.svc.cluster.local.
"""

MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: default}
spec: {type: ExternalName, externalName: www.example.org}
---
apiVersion: v1
kind: Service
metadata: {name: gone, namespace: default}
spec: {type: ExternalName, externalName: nope.example.org}
---
apiVersion: v1
kind: Service
metadata: {name: webui, namespace: default}
spec: {clusterIP: 10.96.100.100, ports: [{port: 80}]}
"""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "all.yaml").write_text(MANIFESTS)
    return folder


@contextmanager
def scripted() -> Iterator[Upstream]:
    """A scripted upstream with an event loop of its own, beside a test that blocks."""
    loop = asyncio.new_event_loop()
    ready: list[Upstream] = []
    over = asyncio.Event()

    async def live() -> None:
        async with upstream(lambda query, _: address(query)) as up:
            ready.append(up)
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        until(lambda: ready)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def lines(reply: dns.message.Message) -> list[str]:
    return [
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in reply.answer
        for rdata in rrset
    ]


def test_an_external_name_ends_in_addresses(manifests: Path, tmp_path: Path) -> None:
    with nsd(tmp_path, "example.org", ZONE) as port:
        flags = ("--manifests", str(manifests), "--upstream", f"udp://127.0.0.1:{port}")
        with serving(*flags) as server:
            for tcp in (False, True):
                reply = server.query("ext.default.svc.cluster.local", tcp=tcp)
                assert lines(reply) == [
                    "ext.default.svc.cluster.local. CNAME www.example.org.",
                    "www.example.org. CNAME web.example.org.",
                    "web.example.org. A 192.0.2.1",
                ]
                assert reply.flags & dns.flags.RA
                assert reply.flags & dns.flags.AA
            assert lines(server.query("home.example.org"))[-1].endswith("A 10.96.100.100")
            gone = server.query("gone.default.svc.cluster.local")
            assert gone.rcode() == dns.rcode.NXDOMAIN
            assert lines(gone) == ["gone.default.svc.cluster.local. CNAME nope.example.org."]
            assert server.query("web.example.org").answer  # asked
            assert server.query("web.example.org").answer  # kept
            assert server.query("localhost").answer


def test_without_an_upstream_recursion_is_not_available(manifests: Path) -> None:
    with serving("--manifests", str(manifests)) as server:
        reply = server.query("ext.default.svc.cluster.local")
        assert lines(reply) == ["ext.default.svc.cluster.local. CNAME www.example.org."]
        assert not reply.flags & dns.flags.RA
        assert server.query("www.example.org").rcode() == dns.rcode.REFUSED


def test_a_client_outside_allow_recursion_is_refused_with_error_18(manifests: Path) -> None:
    flags = ("--upstream", "udp://127.0.0.1:1", "--allow-recursion", "10.0.0.0/8")
    with serving("--manifests", str(manifests), *flags) as server:
        query = dns.message.make_query("www.example.org", "A", use_edns=0)
        reply = dns.query.udp(query, server.host, port=server.port, timeout=5)
        assert reply.rcode() == dns.rcode.REFUSED
        assert [int(error.code) for error in reply.extended_errors()] == [18]
        assert not reply.flags & dns.flags.RA
        own = server.query("webui.default.svc.cluster.local")
        assert own.answer
        assert not own.flags & dns.flags.RA
        ext = server.query("ext.default.svc.cluster.local")
        assert lines(ext) == ["ext.default.svc.cluster.local. CNAME www.example.org."]


def test_changes_of_a_hosts_file_are_followed(manifests: Path, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("10.0.0.1 db.corp.example\n")
    config = tmp_path / "dnsd.yaml"
    with scripted() as up:
        config.write_text(
            f"upstream: [udp://127.0.0.1:{up.port}]\nhosts_files: [{hosts}]\n"
            "hosts: {mail.corp.example: [10.0.0.9]}\nforward: {ads.example: none}\n"
        )
        with serving("--manifests", str(manifests), "--config", str(config)) as server:
            assert server.values("db.corp.example") == ["10.0.0.1"]
            assert server.values("mail.corp.example") == ["10.0.0.9"]
            assert server.values("new.corp.example") == ["192.0.2.1"]
            assert server.query("x.ads.example").rcode() == dns.rcode.NXDOMAIN
            hosts.write_text("10.0.0.2 new.corp.example\n")
            until(lambda: server.values("new.corp.example") == ["10.0.0.2"], "the file was read")
            assert server.values("db.corp.example") == ["192.0.2.1"]


def test_the_address_of_dnsd_as_an_upstream_is_not_fatal(manifests: Path) -> None:
    from tests.upstream.scripted import unused_port

    port = unused_port()
    address = f"127.0.0.1:{port}"
    flags = ("--manifests", str(manifests), "--listen", address, "--upstream", f"udp://{address}")
    with serving(*flags) as server:
        name = "a-name-with-many-letters.example.org"
        assert server.query(name).rcode() == dns.rcode.SERVFAIL
        until(lambda: server.logged("upstream forwards queries back to this server"), "a loop")
        assert server.values("webui.default.svc.cluster.local") == ["10.96.100.100"]
        assert server.query(name).rcode() == dns.rcode.SERVFAIL


def test_hosts_override_the_names_of_services_only_if_set(manifests: Path, tmp_path: Path) -> None:
    webui, new = "webui.default.svc.cluster.local", "new.default.svc.cluster.local"
    config = tmp_path / "dnsd.yaml"
    pins = f"hosts: {{{webui}: [10.9.9.9], {new}: [10.9.9.8, 'fd00::8']}}\n"
    config.write_text(pins)
    with serving("--manifests", str(manifests), "--config", str(config)) as server:
        assert server.values(webui) == ["10.96.100.100"]
        assert server.values(new) == ["10.9.9.8"]
        assert server.values(new, "AAAA") == ["fd00::8"]
        service = MANIFESTS.rpartition("---")[2].replace("webui", "new").replace(".100}", ".101}")
        (manifests / "new.yaml").write_text(service.replace("100.100", "100.101"))
        until(lambda: server.values(new) == ["10.96.100.101"], "the Service has its name")
        assert server.values(new, "AAAA") == []
        config.write_text(pins + "hosts_override: true\n")
        server.signal(signal.SIGHUP)
        until(lambda: server.values(webui) == ["10.9.9.9"], "pins override")
        assert server.values(new) == ["10.9.9.8"]
        assert server.values(webui, "SRV") == []
        config.write_text("ttl: 5\n")
        server.signal(signal.SIGHUP)
        until(lambda: server.values(webui) == ["10.96.100.100"], "nothing is pinned")


POD = """
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: default}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}
"""


def test_dnsd_walks_the_search_list_of_a_pod(manifests: Path, tmp_path: Path) -> None:
    (manifests / "pod.yaml").write_text(POD)
    with nsd(tmp_path, "example.org", ZONE) as port:
        flags = ("--upstream", f"udp://127.0.0.1:{port}", "--pods", "verified")
        # Without it, the host's own search domains would be asked for at an NSD that knows none.
        flags = (*flags, "--search-domains", "org.invalid")
        with serving("--manifests", str(manifests), *flags, "--search-completion") as server:
            name = "web.example.org.default.svc.cluster.local"
            for tcp in (False, True):
                assert lines(server.query(name, tcp=tcp)) == [
                    f"{name}. CNAME web.example.org.",
                    "web.example.org. A 192.0.2.1",
                ]
            (manifests / "pod.yaml").write_text(POD.replace("Running", "Succeeded"))
            until(lambda: server.query(name).rcode() == dns.rcode.NXDOMAIN, "the pod is gone")


class TestSettings:
    @staticmethod
    def config(**flags: object):
        return upstream_config(load(Settings, flags, {}))

    def test_without_a_setting_external_names_are_refused(self) -> None:
        assert self.config() is None
        assert self.config(upstream="none") is None

    def test_with_a_cluster_the_servers_are_those_of_the_system(self) -> None:
        config = self.config(kubernetes=True)
        assert config is None or all(one.startswith("udp://") for one in config.servers)

    def test_rules_and_hosts_are_flags_too(self) -> None:
        config = self.config(
            forward=["corp.example=192.0.2.1+tcp://192.0.2.2", ".=tls://192.0.2.3#dns.example"],
            hosts=["a.example=10.0.0.1+fd00::1"],
        )
        assert config is not None
        assert config.forward == {
            name_from_text("corp.example"): ("udp://192.0.2.1:53", "tcp://192.0.2.2:53"),
            ROOT: ("tls://192.0.2.3:853#dns.example",),
        }
        assert config.hosts == {
            name_from_text("a.example"): (pack_address("10.0.0.1"), pack_address("fd00::1"))
        }

    @pytest.mark.parametrize(
        ("setting", "value", "problem"),
        [
            ("upstream", "dns.example", "not an IP address"),
            ("upstream", "none,192.0.2.1", "must be alone"),
            ("forward", "corp.example", "NAME=VALUE"),
            ("forward", "corp.example=", "has no value"),
            ("forward", "corp.example=https://192.0.2.1", "one of udp"),
            ("hosts", "a.example=nope", "not an IP address"),
            ("hosts", "10.0.0.1", "NAME=VALUE"),
            ("hosts", "10.0.0.1=10.0.0.1", "not a host name"),
            ("upstream_policy", "luckiest", "not one of"),
            ("never_leave", "a..b", "not a domain name"),
            ("search_completion", True, "needs pods: verified"),
        ],
    )
    def test_a_bad_value_is_refused_with_the_reason(
        self, setting: str, value: str, problem: str
    ) -> None:
        with pytest.raises(SettingsError, match=problem):
            self.config(**{setting: value})

    def test_check_reports_it_too(self, tmp_path: Path) -> None:
        config = tmp_path / "dnsd.yaml"
        config.write_text("upstream: [none, 192.0.2.1]\n")
        run = dnsd("check", "--config", str(config))
        assert (run.returncode, "must be alone" in run.stderr) == (2, True)
        config.write_text("upstream: [192.0.2.1]\nforward: {corp.example: [192.0.2.2]}\n")
        assert dnsd("check", "--config", str(config)).returncode == 0

    def test_an_error_names_the_origin_of_the_value(self, tmp_path: Path) -> None:
        junk = tmp_path / "ca.pem"
        junk.write_text("junk")
        flags = {"upstream": "tls://192.0.2.1", "upstream_tls_ca": str(junk)}
        with pytest.raises(SettingsError, match=rf"^--upstream-tls-ca: {junk} has no certificates"):
            self.config(**flags)
        ttls = {"upstream": "192.0.2.1", "cache_min_ttl": "60", "cache_max_ttl": "59"}
        with pytest.raises(SettingsError, match=r"^--cache-min-ttl: 60 is more than cache_max_ttl"):
            self.config(**ttls)

    def test_serve_reports_it_in_one_line(self, manifests: Path) -> None:
        run = dnsd("serve", "--manifests", str(manifests), "--upstream", "tls://dns.example")
        assert run.returncode == 2
        assert "not an IP address" in run.stderr
        assert "Traceback" not in run.stderr
