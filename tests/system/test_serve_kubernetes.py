"""`dnsd serve --kubernetes` as a process with a fake API server, queried over the network."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsd.sources.kubernetes.snapshot import FILE
from tests.fakekube import plain
from tests.fakekube.background import Background, background
from tests.helpers import until
from tests.serving import Serving, dnsd, serving, started

WEB = "web.default.svc.cluster.local"
NEW = "new.default.svc.cluster.local"

NOT_SYNCED = "the sources are not synced yet; until then every answer is SERVFAIL"


@pytest.fixture
def kube(tmp_path) -> Iterator[Background]:
    with background(uid="cluster-one") as server:
        server.do(lambda kube: kube.store.put("services", plain.service("web", "10.96.0.1")))
        write(server, tmp_path)
        yield server


def write(server: Background, folder: Path) -> None:
    (folder / "config").write_text(server.kube.kubeconfig())


def flags(folder: Path, *more: str) -> list[str]:
    quick = ["--admin", "off", "--drain-quiet", "0s"]
    return ["--kubernetes", "--kubeconfig", str(folder / "config"), *quick, *more]


def errors(reply: dns.message.Message) -> set[int]:
    """The extended errors (RFC 8914) of a reply."""
    return {int(one.code) for one in reply.options if isinstance(one, dns.edns.EDEOption)}


def ask(server: Serving, name: str) -> dns.message.Message:
    query = dns.message.make_query(name, "A", use_edns=0)
    return dns.query.tcp(query, server.host, port=server.port, timeout=10)


def stop(server: Serving) -> None:
    server.signal(signal.SIGTERM)
    assert server.ended() == 0


def test_it_answers_from_the_api_server_and_follows_its_changes(kube, tmp_path):
    with serving(*flags(tmp_path)) as server:
        assert server.values(WEB) == ["10.96.0.1"]
        kube.do(lambda kube: kube.store.put("services", plain.service("new", "10.96.0.2")))
        until(lambda: server.values(NEW) == ["10.96.0.2"])
        kube.do(lambda kube: kube.store.delete("services", "web", "default"))
        until(lambda: server.query(WEB).rcode() == dns.rcode.NXDOMAIN)
        stop(server)


def test_the_kubeconfig_of_the_environment_is_used(kube, tmp_path):
    environ = {"KUBECONFIG": str(tmp_path / "config"), "KUBERNETES_SERVICE_HOST": ""}
    with serving("--kubernetes", "--admin", "off", environ=environ) as server:
        assert server.values(WEB) == ["10.96.0.1"]


@contextmanager
def not_yet_synced(kube: Background, folder: Path) -> Iterator[Serving]:
    """A server with an API server that forbids the Services."""
    kube.do(lambda kube: kube.forbidden.update({("list", "services"), ("watch", "services")}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listen = ("--listen", f"127.0.0.1:{port}", "--log-format", "json")
    with started("serve", *flags(folder, *listen)) as server:
        server.host, server.port = "127.0.0.1", port
        until(lambda: server.logged(NOT_SYNCED))
        yield server


def test_until_synced_every_answer_is_servfail_with_not_ready(kube, tmp_path):
    with not_yet_synced(kube, tmp_path) as server:
        for name in (WEB, "nothing.default.svc.cluster.local"):
            reply = until(lambda name=name: _try(server, name))
            assert reply.rcode() == dns.rcode.SERVFAIL
            assert errors(reply) == {14}
        (problem,) = {str(line["problem"]) for line in server.logged("cannot be watched")}
        assert 'resources: ["services"], verbs: ["list", "watch"]' in problem
        kube.do(lambda kube: kube.forbidden.clear())
        until(lambda: ask(server, WEB).rcode() == dns.rcode.NOERROR)


def _try(server: Serving, name: str) -> dns.message.Message | None:
    try:
        return ask(server, name)
    except OSError:  # the workers have not opened yet
        return None


def test_a_snapshot_answers_at_once_as_stale_and_its_watches_resume(kube, tmp_path):
    state = ("--state-dir", str(tmp_path / "state"))
    with serving(*flags(tmp_path, *state)) as server:
        assert errors(ask(server, WEB)) == set()
        stop(server)
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600
    kube.wait_for(kube.kube.stop())
    with serving(*flags(tmp_path, *state)) as server:
        reply = ask(server, WEB)
        assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == ["10.96.0.1"]
        assert errors(reply) == {3}
        kube.do(lambda kube: kube.seen.clear())
        kube.do(lambda kube: kube.store.put("services", plain.service("new", "10.96.0.2")))
        kube.do(lambda kube: kube.store.delete("services", "web", "default"))
        kube.wait_for(kube.kube.start())
        until(lambda: errors(ask(server, NEW)) == set())
        assert server.values(NEW) == ["10.96.0.2"]
        assert server.query(WEB).rcode() == dns.rcode.NXDOMAIN
        asked = kube.do(lambda kube: [one for one in kube.seen if one.verb != "get"])
        assert all("resourceVersion" in one.params for one in asked if one.verb == "watch")
        assert all(one.params == {"limit": "1"} for one in asked if one.verb == "list")
        stop(server)


def test_a_running_dnsd_writes_the_snapshot_periodically(kube, tmp_path):
    state = ("--state-dir", str(tmp_path / "state"), "--snapshot-every", "100ms")
    with serving(*flags(tmp_path, *state)):
        path = tmp_path / "state" / FILE
        until(path.exists)
        first = path.stat().st_mtime_ns
        kube.do(lambda kube: kube.store.put("services", plain.service("new", "10.96.0.2")))
        until(lambda: path.stat().st_mtime_ns > first)


@pytest.mark.parametrize(
    ("spoil", "more", "reason"),
    [
        (lambda data: data[:-1], (), "corrupt"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), (), "checksum"),
        (lambda data: data[:11] + b"\x63" + data[12:], (), "another version"),
        (lambda data: data, ("--snapshot-max-age", "0s"), "too old"),
        (lambda data: data, ("--service-selector", "app!=x"), "other kinds or filters"),
    ],
)
def test_a_corrupt_or_unsuitable_snapshot_is_refused(kube, tmp_path, spoil, more, reason):
    state = ("--state-dir", str(tmp_path / "state"))
    with serving(*flags(tmp_path, *state)) as server:
        stop(server)
    path = tmp_path / "state" / FILE
    path.write_bytes(spoil(path.read_bytes()))
    with serving(*flags(tmp_path, *state, *more)) as server:
        (line,) = server.logged("the snapshot is not served")
        assert reason in str(line["reason"])
        assert errors(ask(server, WEB)) == set()


def test_a_snapshot_of_another_cluster_is_not_served(kube, tmp_path):
    state = ("--state-dir", str(tmp_path / "state"))
    with serving(*flags(tmp_path, *state)) as server:
        assert server.values(WEB) == ["10.96.0.1"]
        stop(server)
    with background(uid="cluster-two") as other:
        other.do(lambda kube: kube.store.put("services", plain.service("new", "10.96.9.9")))
        write(other, tmp_path)
        with serving(*flags(tmp_path, *state)) as server:
            assert server.query(WEB).rcode() == dns.rcode.NXDOMAIN
            assert server.values(NEW) == ["10.96.9.9"]
            assert "another cluster" in str(server.logged("the snapshot is not served"))


def test_answers_are_stale_when_the_api_server_is_unreachable(kube, tmp_path):
    kube.kube.bookmark_every = 0.1
    with serving(*flags(tmp_path, "--stale-after", "2s")) as server:
        assert errors(ask(server, WEB)) == set()
        kube.wait_for(kube.kube.stop())
        until(lambda: errors(ask(server, WEB)) == {3})
        assert server.values(WEB) == ["10.96.0.1"]
        kube.wait_for(kube.kube.start())
        until(lambda: errors(ask(server, WEB)) == set())


def test_pods_are_watched_when_their_names_are_served(kube, tmp_path):
    kube.do(lambda kube: kube.store.put("pods", plain.pod("p", "10.1.2.3")))
    with serving(*flags(tmp_path, "--pods", "verified")) as server:
        assert server.values("10-1-2-3.default.pod.cluster.local") == ["10.1.2.3"]


def test_names_that_dnsd_may_not_read_are_servfail(kube, tmp_path):
    """dnsd has no Role in one namespace, and may not list Pods, so it cannot deny their names."""

    def forbid(kube) -> None:
        kube.store.put("namespaces", plain.namespace("team-b"))
        kube.store.put("services", plain.service("web", "10.96.0.9", namespace="team-b"))
        kube.store.put("pods", plain.pod("p", "10.1.2.3"))
        kube.forbidden_namespaces = {"team-b"}
        kube.forbidden = {("list", "pods"), ("watch", "pods")}

    kube.do(forbid)
    more = ("--pods", "verified", "--namespaces", "default", "--namespaces", "team-b")
    with serving(*flags(tmp_path, *more)) as server:
        assert server.values(WEB) == ["10.96.0.1"]
        for name in ("web.team-b.svc", "10-1-2-3.default.pod"):
            reply = ask(server, f"{name}.cluster.local")
            assert (reply.rcode(), errors(reply)) == (dns.rcode.SERVFAIL, {14})
        for name in ("nope.default.svc", "web.team-c.svc"):
            assert ask(server, f"{name}.cluster.local").rcode() == dns.rcode.NXDOMAIN
        kube.do(lambda kube: (kube.forbidden_namespaces.clear(), kube.forbidden.clear()))
        until(lambda: server.values("web.team-b.svc.cluster.local") == ["10.96.0.9"])
        until(lambda: server.values("10-1-2-3.default.pod.cluster.local") == ["10.1.2.3"])
        nope = "nope.team-b.svc.cluster.local"
        until(lambda: ask(server, nope).rcode() == dns.rcode.NXDOMAIN)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kubeconfig", "nowhere"], ["nowhere"]),
        (["--context", "production"], ["production"]),
    ],
)
def test_unusable_credentials_end_with_exit_code_2(kube, tmp_path, arguments, words):
    done = dnsd("serve", *flags(tmp_path), "--listen", "127.0.0.1:0", *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words)


def test_manifests_and_kubernetes_together_are_refused(kube, tmp_path):
    done = dnsd("serve", *flags(tmp_path, "--manifests", str(tmp_path)))
    assert done.returncode == 2
    assert "not both" in done.stderr
