from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dnsd.cluster.objects import (
    DNSEndpoint,
    EndpointSlice,
    Gateway,
    Ingress,
    Key,
    Listener,
    LoadBalancerIngress,
    Namespace,
    Node,
    Parent,
    Pod,
    Route,
    RouteSubject,
    Service,
    ServicePort,
    ServiceSubject,
    StatedRecords,
    Subject,
)
from dnsd.dns.names import is_below, name_from_text, text_of
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type
from dnsd.zone.change import Cause
from dnsd.zone.external import exposure_notes, external_apex, external_rrsets
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.schema import examine
from dnsd.zone.settings import ExternalConfig, ExternalZone, SchemaConfig
from dnsd.zone.zone import Zone
from tests.zone.made import CONFIG, Z, endpoint, packed, piece, service, table

OUT = name_from_text("k8s.example.com.")
ALL = ("nodes", "ingresses", "routes", "dnsendpoints")


def external(**more: Any) -> SchemaConfig:
    zones = more.pop("zones", (ExternalZone(OUT, ttl=5),))
    config = ExternalConfig(zones=zones, **{"names": ALL, **more})
    return SchemaConfig(zones=(Z,), external=config)


CONFIG_OUT = external()


def points(*texts: str) -> tuple[LoadBalancerIngress, ...]:
    """Addresses, and what is none is a host name."""
    return tuple(
        LoadBalancerIngress(hostname=text)
        if text[-1].isalpha()
        else LoadBalancerIngress(packed(text)[0])
        for text in texts
    )


def balancer(*ingress: str, **more: Any) -> Service:
    return service("web", **{"type": "LoadBalancer", "ingress": points(*ingress), **more})


def seen(subject: Subject | Service, config: SchemaConfig = CONFIG_OUT) -> dict[str, list[str]]:
    """What is outside, as a table; names without `.k8s.example.com.`."""
    if isinstance(subject, Service):
        subject = ServiceSubject(subject)
    problems: list[str] = []
    found = table(external_rrsets(subject, config, problems))
    assert problems == []
    return {key.replace(".k8s.example.com.", ""): value for key, value in found.items()}


def trouble(subject: Subject, config: SchemaConfig = CONFIG_OUT) -> str:
    problems: list[str] = []
    external_rrsets(subject, config, problems)
    return "; ".join(problems)


class TestApex:
    def test_ns_names_and_addresses_come_from_the_configuration(self) -> None:
        servers = (
            (name_from_text("ns1.k8s.example.com."), packed("192.0.2.53", "2001:db8::53")),
            (name_from_text("ns.example.net."), packed("192.0.2.54")),
        )
        config = external(zones=(ExternalZone(OUT, servers, 30),))
        assert table(external_apex(config)) == {
            "k8s.example.com. NS": ["ns.example.net.", "ns1.k8s.example.com."],
            "ns1.k8s.example.com. A": ["192.0.2.53"],
            "ns1.k8s.example.com. AAAA": ["2001:db8::53"],
        }
        soa = Zone(config, 7).rrset(OUT, Type.SOA)
        assert soa is not None
        assert soa.ttl == 30
        assert rdata_text(Type.SOA, soa.rdatas[0]) == (
            "ns1.k8s.example.com. hostmaster.k8s.example.com. 7 7200 1800 86400 30"
        )

    def test_without_servers_the_name_server_is_ns_dns(self) -> None:
        config = SchemaConfig(
            zones=(Z,), ns_addresses=packed("127.0.0.1"), external=CONFIG_OUT.external
        )
        assert table(external_apex(config)) == {
            "k8s.example.com. NS": ["ns.dns.k8s.example.com."],
            "ns.dns.k8s.example.com. A": ["127.0.0.1"],
        }

    def test_each_external_zone_has_its_names(self) -> None:
        other = name_from_text("k8s.example.net.")
        config = external(zones=(ExternalZone(OUT, ttl=5), ExternalZone(other, ttl=5)))
        assert set(Zone(config, 1).apexes()) == {Z, OUT, other}
        assert external_apex(CONFIG) == []
        assert seen(balancer("192.0.2.1"), CONFIG) == {}


class TestLoadBalancers:
    def test_a_load_balancer_has_the_addresses_of_its_status_and_the_service_ports(self) -> None:
        ports = ("http/TCP/80", "dns/UDP/53")
        assert seen(balancer("192.0.2.1", "2001:db8::1", ports=ports)) == {
            "web.default A": ["192.0.2.1"],
            "web.default AAAA": ["2001:db8::1"],
            "_http._tcp.web.default SRV": ["0 100 80 web.default.k8s.example.com."],
            "_dns._udp.web.default SRV": ["0 100 53 web.default.k8s.example.com."],
        }

    def test_unnamed_ports_have_no_srv(self) -> None:
        assert seen(balancer("192.0.2.1", ports=("/TCP/80",))) == {"web.default A": ["192.0.2.1"]}

    def test_a_host_name_is_a_cname_and_srv_point_past_it(self) -> None:
        assert seen(balancer("lb.example.net", ports=("http/TCP/80",))) == {
            "web.default CNAME": ["lb.example.net."],
            "_http._tcp.web.default SRV": ["0 100 80 lb.example.net."],
        }

    def test_addresses_have_precedence_over_host_names(self) -> None:
        subject = ServiceSubject(balancer("lb.example.net", "192.0.2.1"))
        assert "must be alone" in trouble(subject)
        sets = external_rrsets(subject, CONFIG_OUT, [])
        assert [one.type for one in sets] == [Type.A]

    def test_of_two_host_names_the_first_is_served(self) -> None:
        subject = ServiceSubject(balancer("b.example.net", "a.example.net"))
        assert "b.example.net cannot be served beside a.example.net" in trouble(subject)

    def test_a_pending_load_balancer_is_a_name_without_records(self) -> None:
        subject = ServiceSubject(balancer(ports=("http/TCP/80",)))
        assert seen(subject) == {"web.default -": []}
        assert exposure_notes(subject, CONFIG_OUT) == [
            "pending: status.loadBalancer.ingress is empty"
        ]
        assert exposure_notes(ServiceSubject(balancer("192.0.2.1")), CONFIG_OUT) == []

    def test_load_balancer_ip_counts_in_a_manifest_only(self) -> None:
        (wanted,) = packed("192.0.2.9")
        asked = balancer(load_balancer_ip=wanted)
        assert seen(asked) == {"web.default -": []}
        manifest = balancer(load_balancer_ip=wanted, origin="web.yaml#1")
        assert seen(manifest) == {"web.default A": ["192.0.2.9"]}

    def test_names_of_the_annotations_inside_the_zone(self) -> None:
        hosts = ("www.k8s.example.com", "WWW.k8s.example.com.", "shop.example.org")
        one = balancer("192.0.2.1", hostnames=hosts, ports=("http/TCP/80",))
        assert seen(one) == {
            "web.default A": ["192.0.2.1"],
            "_http._tcp.web.default SRV": ["0 100 80 web.default.k8s.example.com."],
            "www A": ["192.0.2.1"],
            "_http._tcp.www SRV": ["0 100 80 www.k8s.example.com."],
        }
        assert exposure_notes(ServiceSubject(one), CONFIG_OUT) == [
            "shop.example.org (annotation) is in none of the external zones"
        ]

    def test_wildcards_and_text_that_is_not_a_name_are_problems(self) -> None:
        one = ServiceSubject(balancer("192.0.2.1", hostnames=("*.k8s.example.com", "a..b")))
        assert "*.k8s.example.com. is not served: dnsd does not support wildcards" in trouble(one)
        assert "'a..b' is not a domain name" in trouble(one)

    def test_the_zone_itself_can_have_addresses_and_no_alias(self) -> None:
        at = ("k8s.example.com",)
        assert seen(balancer("192.0.2.1", hostnames=at))["k8s.example.com. A"] == ["192.0.2.1"]
        alias = ServiceSubject(balancer("lb.example.net", hostnames=at))
        assert "it is the zone itself" in trouble(alias)

    def test_an_annotated_name_is_in_the_longest_zone(self) -> None:
        inner = name_from_text("eu.k8s.example.com.")
        config = external(zones=(ExternalZone(OUT, ttl=5), ExternalZone(inner, ttl=60)))
        sets = external_rrsets(
            ServiceSubject(balancer("192.0.2.1", hostnames=("www.eu.k8s.example.com",))),
            config,
            [],
        )
        assert {text_of(one.name): one.ttl for one in sets} == {
            "web.default.k8s.example.com.": 5,
            "web.default.eu.k8s.example.com.": 60,
            "www.eu.k8s.example.com.": 60,
        }


class TestServicesWithoutAddress:
    @pytest.mark.parametrize(
        "one",
        [
            service("web", "10.96.0.1"),
            service("web", headless=True),
            service("web", type="ExternalName", external_name="example.org"),
        ],
        ids=["ClusterIP", "headless", "ExternalName"],
    )
    def test_a_service_that_is_not_exposed_has_no_external_name(self, one: Service) -> None:
        assert seen(one) == {}
        (why,) = exposure_notes(ServiceSubject(one), CONFIG_OUT)
        assert "not exposed" in why

    @pytest.mark.parametrize("type_", ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])
    def test_external_ips_expose_every_type(self, type_: str) -> None:
        one = service("web", type=type_, external_ips=packed("198.51.100.1"))
        assert seen(one)["web.default A"] == ["198.51.100.1"]

    @pytest.mark.parametrize("thing", [Namespace("team"), Pod("default", "p", packed("10.1.0.1"))])
    def test_namespaces_and_pods_have_no_external_names(self, thing: Subject) -> None:
        assert seen(thing) == {}
        assert exposure_notes(thing, CONFIG_OUT) == []


def node(name: str, *internal: str, external: tuple[str, ...] = (), **more: Any) -> Node:
    return Node(name, packed(*internal), packed(*external), **{"ready": True, **more})


NODES = (
    node("n1", "10.0.0.1", external=("192.0.2.1",)),
    node("n2", "10.0.0.2", "fd00::2"),
    node("n3", "10.0.0.3", ready=False),
)
NODE_PORTS = (ServicePort("http", "TCP", 80, 30080), ServicePort("adm", "TCP", 81, 0))


def at_nodes(*slices: EndpointSlice, **more: Any) -> ServiceSubject:
    one = service("web", **{"type": "NodePort"} | more)
    if "ports" not in more:
        one = replace(one, ports=NODE_PORTS)
    return ServiceSubject(one, slices, NODES)


class TestNodePorts:
    def test_a_node_port_has_the_addresses_of_ready_nodes_and_its_srv(self) -> None:
        assert seen(at_nodes()) == {
            "web.default A": ["10.0.0.2", "192.0.2.1"],
            "web.default AAAA": ["fd00::2"],
            "_http._tcp.web.default SRV": ["0 100 30080 web.default.k8s.example.com."],
        }

    def test_with_local_traffic_only_nodes_with_a_ready_endpoint_are_served(self) -> None:
        ends = piece(
            endpoint("10.1.0.1", node="n1", ready=False),
            endpoint("10.1.0.2", node="n2"),
            endpoint("10.1.0.3", node="n3"),
        )
        local = at_nodes(ends, external_traffic_policy="Local")
        assert seen(local)["web.default A"] == ["10.0.0.2"]
        local = at_nodes(external_traffic_policy="Local")
        assert seen(local) == {"web.default -": []}
        assert exposure_notes(local, CONFIG_OUT) == [
            "pending: no ready Node has a ready endpoint (externalTrafficPolicy: Local)"
        ]

    def test_internal_addresses_have_precedence_by_option(self) -> None:
        internal = external(node_addresses="internal")
        assert seen(at_nodes(), internal)["web.default A"] == ["10.0.0.1", "10.0.0.2"]

    def test_node_addresses_are_of_the_families_of_the_service(self) -> None:
        six = at_nodes(cluster_ips=packed("fd00:96::1"))
        assert seen(six).keys() == {"web.default AAAA", "_http._tcp.web.default SRV"}

    def test_a_node_port_without_ready_node_or_port_is_pending(self) -> None:
        alone = ServiceSubject(at_nodes().service)
        assert seen(alone) == {"web.default -": []}
        assert exposure_notes(alone, CONFIG_OUT) == ["pending: no Node is ready"]
        unallocated = at_nodes(ports=("http/TCP/80",))
        assert seen(unallocated) == {"web.default -": []}
        assert exposure_notes(unallocated, CONFIG_OUT) == ["pending: no nodePort is allocated"]

    def test_a_node_port_chosen_by_dnsd_is_reported(self) -> None:
        chosen = at_nodes()
        service_ = replace(chosen.service, ports_allocated=True)
        (said,) = exposure_notes(ServiceSubject(service_, (), NODES), CONFIG_OUT)
        assert said == "dnsd chose its nodePort, because its manifest names none"

    def test_external_ips_are_served_beside_the_nodes(self) -> None:
        both = at_nodes(external_ips=packed("198.51.100.1"))
        assert seen(both)["web.default A"] == ["10.0.0.2", "192.0.2.1", "198.51.100.1"]

    @pytest.mark.parametrize(
        ("asked", "assigned", "addresses"),
        [
            ("never", (), None),
            ("pending", (), ["10.0.0.2", "192.0.2.1"]),
            ("pending", ("203.0.113.1",), ["203.0.113.1"]),
            ("always", ("203.0.113.1",), ["10.0.0.2", "192.0.2.1"]),
        ],
    )
    def test_a_load_balancer_is_served_at_its_node_ports_by_option(
        self, asked: str, assigned: tuple[str, ...], addresses: list[str] | None
    ) -> None:
        config = external(balancer_ports=asked)
        one = at_nodes(type="LoadBalancer", ingress=points(*assigned))
        found = seen(one, config)
        assert found.get("web.default A") == addresses
        if addresses:
            port = 80 if addresses == ["203.0.113.1"] else 30080
            assert found["_http._tcp.web.default SRV"] == [
                f"0 100 {port} web.default.k8s.example.com."
            ]

    def test_services_whose_names_depend_on_nodes(self) -> None:
        assert CONFIG.external.node_port_types == ()
        assert CONFIG_OUT.external.node_port_types == ("NodePort",)
        asked = external(balancer_ports="pending").external
        assert asked.node_port_types == ("NodePort", "LoadBalancer")


class TestNodes:
    def test_each_node_has_a_name_below_nodes(self) -> None:
        assert seen(NODES[0]) == {"n1.nodes A": ["192.0.2.1"]}
        assert seen(NODES[1]) == {"n2.nodes A": ["10.0.0.2"], "n2.nodes AAAA": ["fd00::2"]}
        assert seen(NODES[2]) == {"n3.nodes A": ["10.0.0.3"]}
        assert seen(node("bare")) == {"bare.nodes -": []}

    def test_a_node_name_may_have_dots(self) -> None:
        assert seen(node("ip-10-0-0-1.Ec2.internal", "10.0.0.1")) == {
            "ip-10-0-0-1.ec2.internal.nodes A": ["10.0.0.1"]
        }

    def test_nodes_have_pointers_by_option_in_covered_networks(self) -> None:
        config = external(node_pointers=True)
        assert "2.0.0.10.in-addr.arpa. PTR" not in seen(NODES[1])
        assert seen(NODES[1], config)["2.0.0.10.in-addr.arpa. PTR"] == ["n2.nodes.k8s.example.com."]
        # 192.0.2.1 is outside the reverse zones of dnsd.
        assert seen(NODES[0], config) == {"n1.nodes A": ["192.0.2.1"]}

    def test_a_kind_has_external_names_only_by_option(self) -> None:
        assert seen(NODES[0], external(names=())) == {}


INGRESS = Ingress("default", "site", ("www.k8s.example.com", "x.example.org"), points("192.0.2.7"))


class TestIngresses:
    def test_hosts_of_an_ingress_have_the_addresses_of_its_status(self) -> None:
        assert seen(INGRESS) == {"www A": ["192.0.2.7"]}
        assert seen(Ingress("d", "i", ("a.k8s.example.com",), points("lb.example.net"))) == {
            "a CNAME": ["lb.example.net."]
        }

    def test_a_load_balancer_without_address_is_pending_at_its_node_ports(self) -> None:
        waiting = Ingress("default", "site", ("www.k8s.example.com",))
        assert seen(waiting) == {"www -": []}
        assert exposure_notes(waiting, CONFIG_OUT) == [
            "pending: status.loadBalancer.ingress is empty"
        ]

    def test_a_wildcard_host_is_a_problem(self) -> None:
        wild = Ingress("default", "site", ("*.k8s.example.com",), points("192.0.2.7"))
        assert "not support wildcards" in trouble(wild)

    def test_a_kind_has_external_names_only_by_option(self) -> None:
        assert seen(INGRESS, external(names=())) == {}
        assert exposure_notes(Ingress("d", "i"), external(names=())) == []


def gateway(
    *listeners: Listener, name: str = "gate", at: tuple[str, ...] = ("192.0.2.8",)
) -> Gateway:
    return Gateway("default", name, listeners or (Listener("any"),), points(*at))


def routed(
    *hosts: str, gateways: tuple[Gateway, ...] = (), kind: str = "HTTPRoute", **more: Any
) -> RouteSubject:
    gateways = gateways or (gateway(),)
    parents = tuple(Parent(one.namespace, one.name, **more) for one in gateways)
    return RouteSubject(Route(kind, "default", "site", hosts, parents), gateways)


class TestRoutes:
    @pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute", "TLSRoute"])
    def test_hosts_of_a_route_have_the_addresses_of_its_gateways(self, kind: str) -> None:
        two = (gateway(), gateway(name="two", at=("192.0.2.9", "2001:db8::9")))
        assert seen(routed("www.k8s.example.com", gateways=two, kind=kind)) == {
            "www A": ["192.0.2.8", "192.0.2.9"],
            "www AAAA": ["2001:db8::9"],
        }

    @pytest.mark.parametrize(
        ("hosts", "listener", "names"),
        [
            (("a.k8s.example.com",), "", {"a"}),
            (("a.k8s.example.com",), "*.k8s.example.com", {"a"}),
            (("a.b.k8s.example.com",), "*.k8s.example.com", {"a.b"}),
            (("a.k8s.example.com",), "b.k8s.example.com", set()),
            (("*.k8s.example.com",), "b.k8s.example.com", {"b"}),
            ((), "b.k8s.example.com", {"b"}),
            ((), "", set()),
            (("k8s.example.com",), "*.k8s.example.com", set()),
        ],
    )
    def test_a_gateway_must_listen_for_the_host_of_a_route(
        self, hosts: tuple[str, ...], listener: str, names: set[str]
    ) -> None:
        found = seen(routed(*hosts, gateways=(gateway(Listener("l", listener)),)))
        assert {key.split()[0] for key in found} == names

    def test_section_and_port_select_the_listeners_of_a_route(self) -> None:
        gate = gateway(
            Listener("a", "a.k8s.example.com", 80), Listener("b", "b.k8s.example.com", 443)
        )
        assert seen(routed(gateways=(gate,), section="a")).keys() == {"a A"}
        assert seen(routed(gateways=(gate,), port=443)).keys() == {"b A"}
        assert seen(routed(gateways=(gate,))).keys() == {"a A", "b A"}

    def test_a_route_is_pending_until_a_gateway_accepts_it_and_has_addresses(self) -> None:
        bare = routed("www.k8s.example.com", gateways=(gateway(at=()),))
        assert seen(bare) == {"www -": []}
        assert exposure_notes(bare, CONFIG_OUT) == [
            "pending: its Gateways have no status.addresses"
        ]
        alone = RouteSubject(bare.route)
        assert seen(alone) == {}
        assert exposure_notes(alone, CONFIG_OUT) == [
            "pending: no Gateway that exists has accepted it"
        ]
        assert exposure_notes(routed("www.k8s.example.com"), CONFIG_OUT) == []


def stated(name: str, type_: str, *targets: str, ttl: int = 0) -> StatedRecords:
    return StatedRecords(name, type_, targets, ttl)


class TestDNSEndpoints:
    def test_a_dnsendpoint_has_its_records_in_external_zones(self) -> None:
        records = (
            stated("a.k8s.example.com", "A", "192.0.2.1", "192.0.2.2", ttl=300),
            stated("a.k8s.example.com.", "AAAA", "2001:db8::1"),
            stated("c.k8s.example.com", "CNAME", "Elsewhere.example.net"),
            stated("t.k8s.example.com", "TXT", '"v=spf1 -all"', "plain"),
            stated("_x._tcp.k8s.example.com", "SRV", "1 2 8080 a.k8s.example.com"),
            stated("k8s.example.com", "MX", "10 mail.example.net."),
        )
        assert seen(DNSEndpoint("default", "e", records)) == {
            "a A": ["192.0.2.1", "192.0.2.2"],
            "a AAAA": ["2001:db8::1"],
            "c CNAME": ["elsewhere.example.net."],
            "t TXT": ['"plain"', '"v=spf1 -all"'],
            "_x._tcp SRV": ["1 2 8080 a.k8s.example.com."],
            "k8s.example.com. MX": ["10 mail.example.net."],
        }
        (first, *_) = external_rrsets(DNSEndpoint("default", "e", records), CONFIG_OUT, [])
        assert first.ttl == 300

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            (stated("a.example.org", "A", "192.0.2.1"), "is in none of the external zones"),
            (stated("a.k8s.example.com", "A", "2001:db8::1"), "is not an IPv4 address"),
            (stated("a.k8s.example.com", "A"), "has 0 targets"),
            (stated("a.k8s.example.com", "NS", "ns.example.net"), "'NS' is not supported"),
            (stated("*.k8s.example.com", "A", "192.0.2.1"), "not support wildcards"),
            (stated("a..k8s.example.com", "A", "192.0.2.1"), "is not a domain name"),
            (stated("", "A", "192.0.2.1"), "is in none"),
            (stated("a.k8s.example.com", "CNAME", "b.example.", "c.example."), "only record"),
            (stated("k8s.example.com", "CNAME", "b.example."), "only record"),
            (stated("a.k8s.example.com", "CNAME", ""), "is missing"),
            (stated("a.k8s.example.com", "SRV", "1 2 a.example"), "PRIORITY WEIGHT PORT TARGET"),
            (stated("a.k8s.example.com", "MX", "70000 a.example"), "not in 0 to 65535"),
            (stated("a.k8s.example.com", "TXT", "x" * 20_000), "the limit is"),
        ],
    )
    def test_what_cannot_be_served_is_explained_and_the_rest_is_served(
        self, record: StatedRecords, why: str
    ) -> None:
        good = stated("good.k8s.example.com", "A", "192.0.2.9")
        one = DNSEndpoint("default", "e", (record, good))
        assert why in trouble(one)
        assert "DNSEndpoint default/e" in trouble(one)
        sets = external_rrsets(one, CONFIG_OUT, [])
        assert [text_of(some.name) for some in sets] == ["good.k8s.example.com."]

    def test_a_cname_beside_other_records_is_left_out(self) -> None:
        both = (
            stated("a.k8s.example.com", "CNAME", "b.example."),
            stated("a.k8s.example.com", "A", "192.0.2.1"),
        )
        one = DNSEndpoint("default", "e", both)
        assert "must be the only record" in trouble(one)
        assert [some.type for some in external_rrsets(one, CONFIG_OUT, [])] == [Type.A]

    def test_sets_of_one_name_and_type_are_joined(self) -> None:
        both = (
            stated("a.k8s.example.com", "A", "192.0.2.1", ttl=60),
            stated("a.k8s.example.com", "A", "192.0.2.2", ttl=30),
        )
        (one,) = external_rrsets(DNSEndpoint("default", "e", both), CONFIG_OUT, [])
        assert (one.ttl, len(one.rdatas)) == (30, 2)


class TestDisputes:
    """First by age, then by key."""

    NAME = name_from_text("www.k8s.example.com.")
    A, B, C = (Key("Ingress", "default", letter) for letter in "abc")

    def zone(self) -> Zone:
        return Zone(CONFIG_OUT, 1)

    def put(self, zone: Zone, contributor: Key, ip: str, age: str = "") -> None:
        sets = [RRset(self.NAME, Type.A, 5, packed(ip))] if ip else []
        zone.replace(contributor, sets, Cause(contributor), age)

    def served(self, zone: Zone) -> list[str]:
        found = zone.rrset(self.NAME, Type.A)
        return [rdata_text(Type.A, one) for one in found.rdatas] if found else []

    def test_the_oldest_contributor_has_the_name_and_then_the_next(self) -> None:
        zone = self.zone()
        self.put(zone, self.A, "192.0.2.1", "2026-02-01T00:00:00Z")
        self.put(zone, self.B, "192.0.2.2", "2026-01-01T00:00:00Z")
        self.put(zone, self.C, "192.0.2.3")
        assert self.served(zone) == ["192.0.2.2"]
        assert zone.disputes == {self.NAME: (self.B, self.A, self.C)}
        assert zone.contributors(self.NAME) == (self.B, self.A, self.C)
        self.put(zone, self.B, "")
        assert self.served(zone) == ["192.0.2.1"]
        assert zone.disputes == {self.NAME: (self.A, self.C)}
        self.put(zone, self.A, "")
        assert self.served(zone) == ["192.0.2.3"]
        assert zone.disputes == {}

    def test_of_contributors_of_one_age_the_first_key_wins(self) -> None:
        zone = self.zone()
        self.put(zone, self.B, "192.0.2.2")
        self.put(zone, self.A, "192.0.2.1")
        assert self.served(zone) == ["192.0.2.1"]

    def test_equal_records_of_two_contributors_are_not_a_dispute(self) -> None:
        zone = self.zone()
        self.put(zone, self.B, "192.0.2.1")
        self.put(zone, self.A, "192.0.2.1")
        assert zone.disputes == {}

    def test_a_changed_age_alone_can_move_a_claimed_name(self) -> None:
        zone = self.zone()
        self.put(zone, self.A, "192.0.2.1", "2026-01-01T00:00:00Z")
        self.put(zone, self.B, "192.0.2.2", "2026-02-01T00:00:00Z")
        self.put(zone, self.A, "192.0.2.1", "2026-03-01T00:00:00Z")  # made anew
        assert self.served(zone) == ["192.0.2.2"]

    def test_the_records_of_the_zone_stay_beside_those_of_the_oldest(self) -> None:
        zone = self.zone()
        sets = [
            RRset(OUT, Type.A, 5, packed("192.0.2.1")),
            RRset(OUT, Type.NS, 5, (name_from_text("evil.example."),)),
        ]
        zone.replace(self.A, sets, Cause(self.A))
        assert zone.types(OUT) == (Type.A, Type.NS, Type.SOA)
        found = zone.rrset(OUT, Type.NS)
        assert found is not None
        assert found.rdatas == (name_from_text("ns.dns.k8s.example.com."),)
        assert zone.disputes == {OUT: (APEX_KEY, self.A)}

    def test_records_pinned_at_a_name_are_one_contributor(self) -> None:
        zone = self.zone()
        a, txt = (Key("Record", "k8s.example.com.", f"www/{kind}") for kind in ("A", "TXT"))
        zone.replace(a, [RRset(self.NAME, Type.A, 5, packed("192.0.2.9"))], Cause(a))
        zone.replace(txt, [RRset(self.NAME, Type.TXT, 5, (b"\x02hi",))], Cause(txt))
        assert zone.types(self.NAME) == (Type.A, Type.TXT)
        assert zone.disputes == {}
        self.put(zone, self.A, "192.0.2.1", "2026-01-01T00:00:00Z")
        assert zone.types(self.NAME) == (Type.A,)
        assert zone.disputes == {self.NAME: (self.A, a, txt)}

    def test_contributors_in_cluster_zones_are_merged(self) -> None:
        zone = self.zone()
        name = name_from_text("shared.default.svc.cluster.local.")
        for contributor, ip in ((self.A, "10.0.0.1"), (self.B, "10.0.0.2")):
            zone.replace(contributor, [RRset(name, Type.A, 5, packed(ip))], Cause(contributor))
        found = zone.rrset(name, Type.A)
        assert found is not None
        assert len(found.rdatas) == 2
        assert zone.disputes == {}

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([A, B, C]),
                st.sampled_from(["", "192.0.2.1", "192.0.2.2"]),
                st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
            ),
            max_size=12,
        ),
        st.randoms(use_true_random=False),
    )
    def test_any_order_ends_where_a_build_from_scratch_does(
        self, edits: list[tuple[Key, str, str]], random: Any
    ) -> None:
        zone, fresh = self.zone(), self.zone()
        for edit in edits:
            self.put(zone, *edit)
        final = [edit for edit in {edit[0]: edit for edit in edits}.values() if edit[1]]
        random.shuffle(final)
        for edit in final:
            self.put(fresh, *edit)
        assert self.served(zone) == self.served(fresh)
        assert zone.disputes == fresh.disputes
        assert zone.contributors(self.NAME) == fresh.contributors(self.NAME)
        assert set(zone.names()) == set(fresh.names())


def test_the_rrsets_of_a_subject_include_its_external_rrsets() -> None:
    one = ServiceSubject(balancer("192.0.2.1", cluster_ips=packed("10.96.0.1")))
    sets, _ = examine(one, CONFIG_OUT)
    inside, _ = examine(one, CONFIG)
    assert sets == inside + external_rrsets(one, CONFIG_OUT, [])
    assert all(is_below(some.name, OUT) for some in sets[len(inside) :])
