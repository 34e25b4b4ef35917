"""A hidden name is answered exactly like a name that does not exist, on every path."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import dnsd.control.views
from dnsd.answer.engine import Engine
from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.transport import Transport
from dnsd.answer.views import Views
from dnsd.cluster.objects import Event, Key, Namespace, Pod, from_plain
from dnsd.control.views import ViewZones
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.sources.source import Batch
from dnsd.transport.registry import TCP, TRANSPORTS, UDP
from dnsd.zone.change import Cause
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, NOT_READY, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.schema import examine
from dnsd.zone.settings import (
    ExternalConfig,
    ExternalZone,
    PolicyRule,
    SchemaConfig,
    ViewConfig,
    ViewRule,
)
from dnsd.zone.views import EVERYTHING, View, visible_rrsets
from dnsd.zone.zone import Zone
from tests.cases.external import balancer, ingress
from tests.serving import serving

OUT = name_from_text("k8s.example.com.")
SCHEMA = SchemaConfig(
    zones=(name_from_text("cluster.local."),),
    pods="verified",
    ns_addresses=(b"\x7f\0\0\1",),
    external=ExternalConfig(
        (ExternalZone(OUT, ttl=5),), ("nodes", "ingresses", "dnsendpoints"), node_pointers=True
    ),
)
ZONES = (*SCHEMA.zones, OUT)
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "ANY", "MX")


def thing(kind: str, name: str, ns: str, api: str = "v1", **more: Any) -> dict[str, Any]:
    meta = {"name": name} | ({"namespace": ns} if ns else {})
    return {"apiVersion": api, "kind": kind, "metadata": meta, **more}


def team(ns: str, number: int) -> list[dict[str, Any]]:
    """A namespace: a Service, a headless one, an alias into the other, a load balancer."""
    other = "b" if ns == "a" else "a"
    port = {"port": 80, "name": "http"}
    labels = {"kubernetes.io/service-name": "db"}
    pieces = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "db-x", "namespace": ns, "labels": labels},
        "addressType": "IPv4",
        # 10.1.0.9 is behind both: two names point back to one address.
        "endpoints": [
            {"addresses": [f"10.1.{number}.1"], "hostname": "db-0"},
            {"addresses": ["10.1.0.9"], "hostname": "db-1"},
        ],
        "ports": [port],
    }
    status = {"loadBalancer": {"ingress": [{"ip": f"192.0.2.{number}"}]}}
    public = {"type": "LoadBalancer", "clusterIP": f"10.96.0.{number}", "ports": [port]}
    record = {
        "dnsName": f"to-{other}.k8s.example.com",
        "recordType": "SRV",
        "targets": [f"0 1 80 db.{other}.svc.cluster.local"],
    }
    return [
        thing("Namespace", ns, ""),
        thing("Service", "web", ns, spec=public, status=status),
        thing("Service", "db", ns, spec={"clusterIP": "None", "ports": [port]}),
        pieces,
        thing(
            "Service",
            "there",
            ns,
            spec={"type": "ExternalName", "externalName": f"web.{other}.svc.cluster.local"},
        ),
        thing(
            "Ingress",
            "shop",
            ns,
            "networking.k8s.io/v1",
            spec={"rules": [{"host": "shop.k8s.example.com"}]},
            status=status,
        ),
        thing("DNSEndpoint", "e", ns, "externaldns.k8s.io/v1alpha1", spec={"endpoints": [record]}),
        thing(
            "Pod",
            "p",
            ns,
            status={"podIP": f"10.1.{number}.7", "phase": "Running"},
        ),
    ]


def cluster() -> list[Event]:
    node = thing(
        "Node",
        "n1",
        "",
        status={
            "addresses": [{"type": "InternalIP", "address": "172.16.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )
    plain = [*team("a", 1), *team("b", 2), node]
    return [event for one in plain for event in from_plain(one)]


class Served:
    """A pipeline and the workers' side of it, with nothing but frames between them."""

    def __init__(self, config: ViewConfig, events: Sequence[Event] = ()) -> None:
        self.pipeline = Pipeline(SCHEMA, 1)
        self.view_zones = ViewZones(config, self.pipeline)
        self.view_zones.compiling = True
        self.frames: list[bytes] = []
        self.pipeline.on_change.append(
            lambda change: self.frames.append(compile_change(change, self.pipeline.zone))
        )
        self.engine = self.fresh()
        self.feed(*events)

    def fresh(self) -> Views:
        """An engine that gets the whole table now."""
        engine = Views(Shared(EngineConfig(views=True), TRANSPORTS))
        assert isinstance(engine, Views)
        for frame in compile_all(self.pipeline.zone):
            engine.apply(frame)
        for frame in self.view_zones.tables():
            engine.apply(frame)
        engine.apply(compile_state(FRESH))
        return engine

    def feed(self, *events: Event) -> None:
        """One batch, in the order of the control plane."""
        self.frames.clear()
        self.view_zones.take()
        self.pipeline.feed(Batch(tuple(events), synced=True), 0.0)
        self._pass_on(events)

    def set_ns_addresses(self, address: str) -> None:
        """The address of the name server changes."""
        self.frames.clear()
        self.view_zones.take()
        self.pipeline.set_ns_addresses(
            (pack_address(address),), Cause(Key("Service", "dns", "dnsd"))
        )
        self._pass_on(())

    def _pass_on(self, events: Sequence[Event]) -> None:
        self.view_zones.follow(one if isinstance(one, Key) else one.key for one in events)
        self.view_zones.finish()
        for frame in self.frames:
            self.engine.apply(frame)
        for frame in self.view_zones.take():
            self.engine.apply(frame)


def lines_of(
    engine: Engine | Views,
    name: str,
    type_: str,
    client: str = "10.0.0.1",
    transport: Transport = UDP,
) -> list[str]:
    """The reply as sorted lines, without the serial of the zone."""
    query = dns.message.make_query(name, type_, use_edns=0)
    query.id = 1
    reply = engine.answer(query.to_wire(), pack_address(client), transport)
    assert isinstance(reply, bytes)
    text = dns.message.from_wire(reply).to_text()
    return sorted(re.sub(r"(SOA \S+ \S+) \d+", r"\1 *", line) for line in text.splitlines())


def never_was(view: View, events: Iterable[Event]) -> Engine:
    """An engine whose zone was built of the visible names only."""
    pipeline = Pipeline(SCHEMA, 1)
    pipeline.feed(Batch(tuple(events), synced=True), 0.0)
    zone = Zone(SCHEMA, 1)
    for event in events:
        if isinstance(event, Key) or (subject := pipeline.state.subject(event.key)) is None:
            continue
        visible = visible_rrsets(view, event.key, examine(subject, SCHEMA)[0], SCHEMA)
        zone.replace(event.key, visible, Cause(event.key))
    engine = Engine(Shared(EngineConfig(), TRANSPORTS))
    for frame in compile_all(zone):
        engine.apply(frame)
    engine.apply(compile_state(FRESH))
    return engine


def rules(*policies: PolicyRule, views: tuple[ViewRule, ...] = ()) -> ViewConfig:
    return ViewConfig(views, policies)


# Clients by network: 10.0.1.x sees team a, .2 the cluster's zones, .3 those outside, .4 team b
# outside, .5 nothing, .0 everything.
CONFIG = rules(
    PolicyRule(networks=("10.0.1.0/24",), see=("a",)),
    PolicyRule(networks=("10.0.4.0/24",), see=("b",)),
    PolicyRule(networks=("10.0.5.0/24",), see=()),
    views=(
        ViewRule(("10.0.2.0/24",), "inside"),
        ViewRule(("10.0.3.0/24", "10.0.4.0/24"), "outside"),
    ),
)
SIGHTS = {
    "10.0.0.1": EVERYTHING,
    "10.0.1.1": View(namespaces=frozenset({"a"})),
    "10.0.2.1": View(external=False),
    "10.0.3.1": View(inside=False),
    "10.0.4.1": View(inside=False, namespaces=frozenset({"b"})),
    "10.0.5.1": View(namespaces=frozenset()),
}


@pytest.fixture(scope="module")
def served() -> Served:
    return Served(CONFIG, cluster())


def test_each_network_has_its_view(served: Served) -> None:
    for client, view in SIGHTS.items():
        assert served.view_zones.of_client(pack_address(client)) == view


@pytest.mark.parametrize(
    ("client", "transport"), [*((client, UDP) for client in SIGHTS), ("10.0.1.1", TCP)]
)
def test_a_hidden_name_is_answered_like_a_name_that_does_not_exist(
    served: Served, client: str, transport: Transport
) -> None:
    """Every name that exists, and one below and beside each, for every type."""
    other = never_was(SIGHTS[client], cluster())
    names = {text_of(name) for name in served.pipeline.zone.names()}
    names |= {"nobody." + name for name in names}
    differing = [
        (name, type_)
        for name in sorted(names)
        for type_ in TYPES
        if lines_of(served.engine, name, type_, client, transport)
        != lines_of(other, name, type_, client, transport)
    ]
    assert differing == []


def test_every_view_has_the_new_address_of_the_name_server() -> None:
    """The zones themselves stay, also the external ones."""
    served = Served(CONFIG, cluster())
    at = [(client, f"ns.dns.{zone}", zone) for client in SIGHTS for zone in map(text_of, ZONES)]
    before = {client: lines_of(served.engine, zone, "NS", client) for client, _, zone in at}
    served.set_ns_addresses("10.96.0.53")
    fresh = served.fresh()
    for client, server, zone in at:
        for type_ in ("A", "AAAA"):
            lines = lines_of(served.engine, server, type_, client)
            assert lines == lines_of(fresh, server, type_, client)
            assert (f"{server} 5 IN A 10.96.0.53" in lines) is (type_ == "A")
        assert lines_of(served.engine, zone, "SOA", client) == lines_of(fresh, zone, "SOA", client)
    after = {client: lines_of(served.engine, zone, "NS", client) for client, _, zone in at}
    assert after == before


NX, NODATA, REFUSED = "NXDOMAIN", "NODATA", "REFUSED"
ROOT = "10.in-addr.arpa"
# Path, name, type; what who may see all of it gets; what who sees only team b gets.
PATHS = [
    ("A", "web.a.svc.cluster.local", "A", "10.96.0.1", NX),
    ("A of an endpoint", "db-0.db.a.svc.cluster.local", "A", "10.1.1.1", NX),
    ("A of a pod", "10-1-1-7.a.pod.cluster.local", "A", "10.1.1.7", NX),
    ("AAAA", "web.a.svc.cluster.local", "AAAA", NODATA, NX),
    ("SRV", "_http._tcp.db.a.svc.cluster.local", "SRV", "db-0.db.a.svc.cluster.local.", NX),
    ("PTR of a ClusterIP", f"1.0.96.{ROOT}", "PTR", "web.a.svc.cluster.local.", NX),
    ("PTR of an endpoint", f"1.1.1.{ROOT}", "PTR", "db-0.db.a.svc.cluster.local.", NX),
    ("PTR of two", f"9.0.1.{ROOT}", "PTR", "db-1.db.a.svc.cluster.local.", "db-1.db.b"),
    ("CNAME", "there.a.svc.cluster.local", "CNAME", "web.b.svc.cluster.local.", NX),
    ("a chase", "there.b.svc.cluster.local", "A", "10.96.0.1", NX),
    ("ANY", "web.a.svc.cluster.local", "ANY", "HINFO", NX),
    ("an empty non-terminal", "_tcp.web.a.svc.cluster.local", "A", NODATA, NX),
    ("the namespace", "a.svc.cluster.local", "A", NODATA, NX),
    ("SOA below", "web.a.svc.cluster.local", "SOA", NODATA, NX),
    ("case", "WEB.A.svc.cluster.local", "A", "10.96.0.1", NX),
    ("outside", "web.a.k8s.example.com", "A", "192.0.2.1", NX),
    ("outside SRV", "_http._tcp.web.a.k8s.example.com", "SRV", "web.a.k8s.example.com.", NX),
    ("a host of both", "shop.k8s.example.com", "A", "192.0.2.1", "192.0.2.2"),
    ("own", "web.b.svc.cluster.local", "A", "10.96.0.2", "10.96.0.2"),
    ("the zone", "cluster.local", "SOA", "ns.dns.cluster.local.", "ns.dns.cluster.local."),
    ("its server", "ns.dns.cluster.local", "A", "127.0.0.1", "127.0.0.1"),
    ("a transfer", "cluster.local", "AXFR", REFUSED, REFUSED),
    ("a transfer of changes", "cluster.local", "IXFR", REFUSED, REFUSED),
]


@pytest.fixture(scope="module")
def of_b() -> Served:
    return Served(rules(PolicyRule(networks=("10.0.9.0/24",), see=("b",))), cluster())


@pytest.mark.parametrize("allowed", [True, False], ids=["allow", "deny"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[0])
def test_every_path_for_a_client_that_sees_the_name_and_one_that_does_not(
    of_b: Served, path: tuple[str, ...], allowed: bool
) -> None:
    _, name, type_, may, may_not = path
    lines = lines_of(of_b.engine, name, type_, "10.0.0.1" if allowed else "10.0.9.1")
    expected = may if allowed else may_not
    if expected == NODATA:
        assert "rcode NOERROR" in lines
        records = [line for line in lines if re.match(r"\S+ \d+ IN ", line)]
        assert [line.split()[3] for line in records] == ["SOA"]
    elif expected in (NX, REFUSED):
        assert f"rcode {expected}" in lines
    else:
        assert "rcode NOERROR" in lines
        assert any(expected in line for line in lines if " IN " in line)
    if not allowed:
        text = "\n".join(line for line in lines if not line.lower().startswith(name.lower()))
        assert "10.96.0.1" not in text
        assert "192.0.2.1\n" not in text + "\n"


def test_additional_records_hold_nothing_hidden(of_b: Served) -> None:
    """A record of b's own that points to a: its target is text, and no address comes along."""
    for client in ("10.0.0.1", "10.0.9.1"):
        lines = lines_of(of_b.engine, "to-a.k8s.example.com", "SRV", client)
        assert any("db.a.svc.cluster.local." in line for line in lines)
        assert not any("10.1." in line for line in lines)
    own = lines_of(of_b.engine, "_http._tcp.web.b.k8s.example.com", "SRV", "10.0.9.1")
    assert "web.b.k8s.example.com. 5 IN A 192.0.2.2" in own


class TestPods:
    """Clients that dnsd identifies by their pod."""

    OWN = rules(
        PolicyRule(namespaces=("*",), see=("own", "shared")),
        PolicyRule(networks=("10.1.0.0/16",), see=()),
    )
    WEB_A, WEB_B = "web.a.svc.cluster.local", "web.b.svc.cluster.local"

    def visible(self, served: Served, name: str, client: str) -> bool:
        lines = lines_of(served.engine, name, "A", client)
        assert lines == lines_of(served.fresh(), name, "A", client)
        return "rcode NOERROR" in lines

    def test_a_pod_sees_its_own_namespace_and_shared_ones(self) -> None:
        served = Served(self.OWN, cluster())
        assert self.visible(served, self.WEB_A, "10.1.1.7")
        assert not self.visible(served, self.WEB_B, "10.1.1.7")
        assert self.visible(served, self.WEB_B, "10.1.2.7")
        shared = [event for one in team("shared", 3) for event in from_plain(one)]
        served.feed(*shared)
        assert self.visible(served, "web.shared.svc.cluster.local", "10.1.1.7")

    def test_a_policy_of_its_network_decides_for_a_client_that_is_not_a_known_pod(self) -> None:
        served = Served(self.OWN, cluster())
        assert not self.visible(served, self.WEB_A, "10.1.9.9")

    def test_a_new_pod_sees_only_what_every_pod_sees_until_its_event(self) -> None:
        shared = [event for one in team("shared", 3) for event in from_plain(one)]
        served = Served(self.OWN, (*cluster(), *shared))
        address = "192.168.1.1"
        assert not self.visible(served, self.WEB_A, address)
        assert self.visible(served, "web.shared.svc.cluster.local", address)
        served.feed(Pod("a", "new", (pack_address(address),), "Running"))
        assert self.visible(served, self.WEB_A, address)
        served.feed(Key("Pod", "a", "new"))
        assert not self.visible(served, self.WEB_A, address)

    def test_the_address_of_a_node_is_not_one_of_a_new_pod(self) -> None:
        served = Served(self.OWN, cluster())
        node, other = "172.16.0.1", "172.16.0.2"  # of the Node n1, and of no object
        assert self.visible(served, self.WEB_A, node)
        assert not self.visible(served, self.WEB_A, other)
        served.feed(Pod("b", "agent", (pack_address(other),), "Running", host_network=True))
        assert self.visible(served, self.WEB_A, other)
        served.feed(Key("Node", "", "n1"))
        assert not self.visible(served, self.WEB_A, node)

    def test_the_network_decides_alone_where_the_setting_says_so(self) -> None:
        config = msgspec.structs.replace(self.OWN, unknown_pods="network")
        served = Served(config, cluster())
        assert self.visible(served, self.WEB_A, "192.168.1.1")
        assert not self.visible(served, self.WEB_A, "10.1.9.9")

    def test_an_address_that_goes_to_another_pod_goes_to_its_namespace(self) -> None:
        served = Served(self.OWN, cluster())
        taken = Pod("b", "next", (pack_address("10.1.1.7"),), "Running")
        served.feed(taken)  # both have it for a moment: neither counts
        assert not self.visible(served, self.WEB_A, "10.1.1.7")
        assert not self.visible(served, self.WEB_B, "10.1.1.7")
        served.feed(Key("Pod", "a", "p"))
        assert self.visible(served, self.WEB_B, "10.1.1.7")
        served.feed(taken.key)
        assert not self.visible(served, self.WEB_B, "10.1.1.7")

    def test_a_pod_with_host_network_and_a_finished_pod_are_treated_by_network(self) -> None:
        served = Served(self.OWN, cluster())
        ip = pack_address("10.1.1.8")
        served.feed(Pod("a", "host", (ip,), "Running", host_network=True))
        assert not self.visible(served, self.WEB_A, "10.1.1.8")
        served.feed(Pod("a", "host", (ip,), "Running"))
        assert self.visible(served, self.WEB_A, "10.1.1.8")
        served.feed(Pod("a", "host", (ip,), "Succeeded"))
        assert not self.visible(served, self.WEB_A, "10.1.1.8")

    def test_a_view_ends_with_its_last_pod(self) -> None:
        served = Served(self.OWN, cluster())
        with_pods = len(served.view_zones)
        served.feed(Key("Pod", "a", "p"))
        assert len(served.view_zones) == with_pods - 1
        served.feed(Pod("a", "p", (pack_address("10.1.1.7"),), "Running"))
        assert len(served.view_zones) == with_pods
        assert self.visible(served, self.WEB_A, "10.1.1.7")

    def test_the_number_of_views_is_bounded(self) -> None:
        served = Served(self.OWN)
        limit = dnsd.control.views.MAX_VIEWS
        with capture_logs() as logs:
            for i in range(limit + 2):
                ip = (10 << 24 | 2 << 16 | i).to_bytes(4, "big")
                served.pipeline.feed(Batch((Pod(f"n{i}", "p", (ip,), "Running"),), True), 0.0)
                served.view_zones.follow([Key("Pod", f"n{i}", "p")])
                served.view_zones.finish()
        assert len(served.view_zones) <= limit + 1
        assert [log["event"] for log in logs if log["log_level"] == "error"] == [
            "too many views; pods with a new view see nothing"
        ]
        engine = served.fresh()
        ip_text = f"10.2.{(limit + 1) >> 8}.{(limit + 1) & 255}"
        assert "rcode NXDOMAIN" in lines_of(engine, f"n{limit + 1}.pod.cluster.local", "A", ip_text)


class TestViews:
    def test_without_the_table_of_a_client_the_answer_is_servfail(self) -> None:
        engine = Views(Shared(EngineConfig(views=True), TRANSPORTS))
        for frame in compile_all(Zone(SCHEMA, 1)):
            engine.apply(frame)
        engine.apply(compile_state(FRESH))
        assert "rcode SERVFAIL" in lines_of(engine, "cluster.local", "SOA")

    def test_all_tables_have_one_claim(self, served: Served) -> None:
        served.engine.apply(compile_state(NOT_READY))
        for client in SIGHTS:
            assert "rcode SERVFAIL" in lines_of(served.engine, "cluster.local", "SOA", client)
        served.engine.apply(compile_state(FRESH))
        for client in SIGHTS:
            assert "rcode NOERROR" in lines_of(served.engine, "cluster.local", "SOA", client)

    @pytest.mark.parametrize("clients", [["10.0.0.1"] * 4, ["10.0.0.1", "10.0.1.1"] * 2])
    def test_a_batch_is_answered_like_single_queries(
        self, served: Served, clients: list[str]
    ) -> None:
        names = ("web.a", "web.b", "db.a", "db.b")
        packets = [
            dns.message.make_query(f"{name}.svc.cluster.local", "TXT").to_wire() for name in names
        ]
        blob = b"".join(packet.ljust(512, b"\0") for packet in packets)
        packed = [pack_address(client) for client in clients]
        replies = served.engine.answer_batch(blob, [len(one) for one in packets], 512, packed, UDP)
        alone = [
            served.engine.answer(packet, client, UDP)
            for packet, client in zip(packets, packed, strict=True)
        ]
        assert replies == alone

    def test_without_rules_there_is_one_engine(self) -> None:
        assert not ViewConfig().on
        assert not EngineConfig().views
        assert not Engine(Shared(EngineConfig(), TRANSPORTS)).needs_client

    def test_counters_include_all_engines(self, served: Served) -> None:
        before = sum(served.engine.counters())
        for client in SIGHTS:
            lines_of(served.engine, "cluster.local", "SOA", client)
        assert sum(served.engine.counters()) == before + len(SIGHTS)


_EVENTS = [*cluster(), *(event.key for event in cluster() if not isinstance(event, Key))]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.sampled_from(_EVENTS), max_size=8), max_size=5))
def test_any_order_of_events_ends_with_the_tables_of_a_new_worker(
    batches: list[list[Event]],
) -> None:
    served = Served(
        rules(
            PolicyRule(namespaces=("*",), see=("own",)),
            PolicyRule(networks=("10.0.1.0/24",), see=("a",)),
            views=(ViewRule(("10.0.3.0/24",), "outside"),),
        )
    )
    for batch in batches:
        served.feed(*batch)
    fresh = served.fresh()
    names = [text_of(name) for name in served.pipeline.zone.names()]
    for client in ("10.0.0.1", "10.0.1.1", "10.0.3.1", "10.1.1.7", "10.1.2.7"):
        for name in names:
            for type_ in ("A", "PTR", "SRV"):
                assert lines_of(served.engine, name, type_, client) == lines_of(
                    fresh, name, type_, client
                )


def test_another_schema_keeps_the_view_of_each_client() -> None:
    served = Served(CONFIG, cluster())
    served.pipeline.reconfigure(msgspec.structs.replace(SCHEMA, ttl=77))
    served.view_zones.finish()
    engine = served.fresh()
    allowed = lines_of(engine, "web.a.svc.cluster.local", "A", "10.0.1.1")
    assert "web.a.svc.cluster.local. 77 IN A 10.96.0.1" in allowed
    assert "rcode NXDOMAIN" in lines_of(engine, "web.b.svc.cluster.local", "A", "10.0.1.1")


def test_what_is_in_no_namespace_is_hidden_by_views_only(served: Served) -> None:
    name = "n1.nodes.k8s.example.com"
    assert "rcode NOERROR" in lines_of(served.engine, name, "A", "10.0.1.1")
    assert "rcode NXDOMAIN" in lines_of(served.engine, name, "A", "10.0.2.1")


def test_pinned_names_are_visible_to_all_clients() -> None:
    served = Served(CONFIG, [Namespace("a")])
    contributor = Key("Hosts", "", "pinned.cluster.local")
    pinned = RRset(name_from_text("pinned.cluster.local."), Type.A, 5, (b"\x0a\0\0\x07",))
    served.pipeline.put(contributor, [pinned], Cause(contributor))
    for frame in served.view_zones.take():
        served.engine.apply(frame)
    for client, view in SIGHTS.items():
        expected = "NOERROR" if view.inside else "NXDOMAIN"
        if client != "10.0.0.1":
            lines = lines_of(served.engine, "pinned.cluster.local", "A", client)
            assert f"rcode {expected}" in lines


# ---------------------------------------------------------------------------------------
# From outside: a process, its settings, two client addresses.


def ask_from(source: str, port: int, name: str) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    for _ in range(9):
        try:
            return dns.query.udp(query, "127.0.0.1", port=port, timeout=1, source=source)
        except dns.exception.Timeout:
            continue
    return dns.query.udp(query, "127.0.0.1", port=port, timeout=1, source=source)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs 127.0.0.0/8")
def test_serve_with_an_outside_zone_and_views(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    site = balancer("site", {"ip": "192.0.2.1"}, ip="10.97.0.1")
    shop = ingress("shop", "shop.k8s.example.com", "192.0.2.7", "2026-01-01T00:00:00Z")
    for i, plain in enumerate((site, shop)):
        (manifests / f"{i}.json").write_bytes(msgspec.json.encode(plain))
    config = tmp_path / "dnsd.yaml"
    config.write_text(
        """
outside_zones:
  - name: k8s.example.com
    ns: {ns1.k8s.example.com: [192.0.2.53]}
outside_names: [ingresses]
views:
  - {networks: [127.0.0.2/32], see: outside}
  - {networks: [127.0.0.3/32], see: inside}
policies:
  - {networks: [127.0.0.4/32], see: [other]}
"""
    )
    options = ["--config", str(config), "--manifests", str(manifests)]
    rows = {
        "site.edge.svc.cluster.local": {"1": True, "2": False, "3": True, "4": False},
        "site.edge.k8s.example.com": {"1": True, "2": True, "3": False, "4": False},
        "shop.k8s.example.com": {"1": True, "2": True, "3": False, "4": False},
        "ns1.k8s.example.com": {"1": True, "2": True, "3": True, "4": True},
    }
    with serving(*options) as dnsd_:
        for name, row in rows.items():
            for last, visible in row.items():
                reply = ask_from(f"127.0.0.{last}", dnsd_.port, name)
                assert bool(reply.answer) == visible, (name, last)
                assert (reply.rcode() == dns.rcode.NXDOMAIN) == (not visible)
