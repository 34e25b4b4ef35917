"""Each name and each address belongs to one object; a second one is reported, and waits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dnsd.cluster.objects import Key, Object, Service, ServicePort
from dnsd.cluster.store import unpack_events
from dnsd.dns.addresses import address_text
from dnsd.sources.manifests.allocate import NODE_PORTS
from dnsd.sources.manifests.problems import Problems
from dnsd.sources.manifests.registry import Registry
from tests.sources.manifests.building import manifests, svc

V4, V6 = "10.96.0.0/12", "fd00:10::/108"


class Files:
    """A registry, and what its files declare."""

    def __init__(self, *cidrs: str) -> None:
        self.registry = Registry(cidrs or (V4,))

    def put(self, **files: Sequence[Object]) -> list[Object | Key]:
        content = {f"{name}.yaml": manifests(f"{name}.yaml", *files[name]) for name in files}
        return unpack_events(self.registry.update(content))

    def ips(self) -> dict[str, list[str]]:
        return {
            one.name: [address_text(ip) for ip in one.cluster_ips]
            for one in self.registry.objects()
            if isinstance(one, Service)
        }

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.registry.problems()]


class TestNames:
    def test_an_unchanged_file_causes_no_event(self) -> None:
        files = Files()
        assert len(files.put(a=[svc("x", "10.96.0.1")])) == 1
        assert files.put(a=[svc("x", "10.96.0.1")]) == []

    def test_of_two_files_that_declare_one_service_the_first_by_path_is_used(self) -> None:
        files = Files()
        first, second = svc("x", "10.96.0.1"), svc("x", "10.96.0.2")
        assert files.put(b=[second], a=[first]) == [first]
        (problem,) = files.problems()
        assert problem.startswith("b.yaml:10: Service default/x: metadata.name: is in a.yaml#1")

    def test_the_second_declaration_is_used_when_the_first_is_gone(self) -> None:
        files = Files()
        second = svc("x", "10.96.0.2")
        files.put(a=[svc("x", "10.96.0.1")], b=[second])
        assert files.put(a=[]) == [second]
        assert files.problems() == []

    def test_the_manifest_in_use_stays_in_use(self) -> None:
        files = Files()
        there = svc("x", "10.96.0.2")
        files.put(b=[there])
        assert files.put(a=[svc("x", "10.96.0.1")]) == []
        assert files.problems()[0].startswith("a.yaml:10: ")
        edited = svc("x", "10.96.0.3")
        assert files.put(b=[edited]) == [edited]

    def test_of_two_declarations_in_one_file_the_first_is_used(self) -> None:
        files = Files()
        first = svc("x", "10.96.0.1")
        assert files.put(a=[first, svc("x", "10.96.0.2")]) == [first]
        (problem,) = files.problems()
        assert problem.startswith("a.yaml:20: ")
        assert "a.yaml#1" in problem

    def test_the_event_of_an_object_that_is_gone_is_its_key(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1"), svc("y", "10.96.0.2")])
        assert files.put(a=[svc("y", "10.96.0.2")]) != []
        assert list(files.ips()) == ["y"]
        assert files.put(a=[]) == [Key("Service", "default", "y")]
        assert len(files.registry) == 0

    def test_a_service_that_moves_to_another_file_unchanged_causes_no_event(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")])
        assert files.put(a=[], b=[svc("x", "10.96.0.1")]) == []  # origin aside, it is the same


class TestStatedAddresses:
    def test_a_service_has_both_addresses_that_it_states(self) -> None:
        files = Files()
        files.put(a=[svc("x", "fd00:10::1", "10.96.0.1")])
        assert files.put(b=[svc("y", "10.96.0.1"), svc("z", "fd00:10::1")]) == []
        assert len(files.problems()) == 2
        events = files.put(a=[])
        assert {one.name for one in events} == {"x", "y", "z"}
        assert files.problems() == []

    def test_an_address_stated_twice_belongs_to_the_first_by_path(self) -> None:
        files = Files()
        files.put(b=[svc("y", "10.96.0.1")], a=[svc("x", "10.96.0.1")])
        assert files.ips() == {"x": ["10.96.0.1"]}
        (problem,) = files.problems()
        assert problem.startswith("b.yaml:10: Service default/y: spec.clusterIP: 10.96.0.1 is the")
        assert "Service default/x (a.yaml#1)" in problem

    def test_the_service_that_has_an_address_keeps_it(self) -> None:
        files = Files()
        files.put(b=[svc("y", "10.96.0.1")])
        assert files.put(a=[svc("x", "10.96.0.1")]) == []
        edited = svc("y", "10.96.0.1", version="2")
        assert files.put(b=[edited], a=[svc("x", "10.96.0.1", version="2")]) == [edited]

    def test_the_refused_service_is_used_when_the_conflict_ends(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")], b=[svc("y", "10.96.0.1")], c=[svc("z", "10.96.0.1")])
        files.put(a=[svc("x", "10.96.0.2")])
        assert files.ips() == {"x": ["10.96.0.2"], "y": ["10.96.0.1"]}
        files.put(b=[])
        assert files.ips() == {"x": ["10.96.0.2"], "z": ["10.96.0.1"]}
        assert files.problems() == []

    def test_an_edit_into_a_conflict_keeps_the_last_good_version(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")], b=[svc("y", "10.96.0.2")])
        assert files.put(b=[svc("y", "10.96.0.1")]) == []
        assert files.ips() == {"x": ["10.96.0.1"], "y": ["10.96.0.2"]}
        assert len(files.problems()) == 1
        files.put(a=[])
        assert files.ips() == {"y": ["10.96.0.1"]}

    def test_two_services_can_exchange_their_addresses(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")], b=[svc("y", "10.96.0.2")])
        files.put(a=[svc("x", "10.96.0.2")], b=[svc("y", "10.96.0.1")])
        assert files.ips() == {"x": ["10.96.0.2"], "y": ["10.96.0.1"]}
        assert files.problems() == []

    def test_one_address_in_conflict_refuses_the_whole_service(self) -> None:
        files = Files(V4, V6)
        files.put(a=[svc("x", "fd00::1")], b=[svc("y", "10.96.0.1", "fd00::1")])
        assert files.ips() == {"x": ["fd00::1"]}
        files.put(c=[svc("z", "10.96.0.1")])  # the other address of the refused Service is free
        assert len(files.problems()) == 1
        files.put(a=[])
        assert len(files.problems()) == 1  # now y waits for z
        files.put(c=[])
        assert files.ips() == {"y": ["10.96.0.1", "fd00::1"]}


class TestAllocatedAddresses:
    def test_services_with_a_cluster_ip_are_allocated_one_and_others_are_not(self) -> None:
        files = Files()
        files.put(
            a=[
                svc("cluster"),
                svc("node", type="NodePort"),
                svc("balanced", type="LoadBalancer"),
                svc("headless", headless="yes"),
                svc("external", type="ExternalName", external="example.com"),
                svc("stated", "10.96.0.1"),
            ]
        )
        found = files.ips()
        assert found["headless"] == found["external"] == []
        assert found["stated"] == ["10.96.0.1"]
        for name in ("cluster", "node", "balanced"):
            (ip,) = found[name]
            assert ip_address(ip) in ip_network(V4)
        allocated = {
            o.name for o in files.registry.objects() if isinstance(o, Service) and o.allocated
        }
        assert allocated == {"cluster", "node", "balanced"}

    def test_the_order_of_files_does_not_change_the_addresses(self) -> None:
        services = [svc(f"s{i}") for i in range(40)]
        seen = []
        for seed in range(5):
            random.Random(seed).shuffle(services)
            files = Files("10.0.0.0/26")
            for i, one in enumerate(services):
                files.put(**{f"f{i}": [one]})
            seen.append(files.ips())
        assert all(one == seen[0] for one in seen)

    def test_a_stated_address_displaces_an_allocated_one(self) -> None:
        files = Files()
        files.put(a=[svc("x")])
        (allocated,) = files.ips()["x"]
        events = files.put(b=[svc("y", allocated)])
        assert {event.key.name for event in events if not isinstance(event, Key)} == {"x", "y"}
        assert files.ips()["y"] == [allocated]
        assert files.ips()["x"] != [allocated]
        files.put(b=[])
        assert files.ips() == {"x": [allocated]}
        assert files.problems() == []

    def test_a_service_that_gets_no_address_is_used_without_and_reported(self) -> None:
        files = Files("10.0.0.0/30")
        files.put(a=[svc("x"), svc("y"), svc("z")])
        (problem,) = files.problems()
        assert "10.0.0.0/30" in problem
        assert sum(bool(ips) for ips in files.ips().values()) == 2
        files.put(a=[svc("x"), svc("y")])
        assert files.problems() == []

    def test_a_service_that_gets_no_node_port_is_reported(self) -> None:
        files = Files()
        all_ports = svc("all", type="NodePort")
        stated_ports = tuple(
            ServicePort(f"p{i}", "TCP", i + 1, NODE_PORTS[0] + i) for i in range(NODE_PORTS[1])
        )
        files.put(a=[replace(all_ports, ports=stated_ports)])
        late = replace(svc("late", type="LoadBalancer"), ports=(ServicePort("", "TCP", 80),))
        files.put(b=[late])
        (problem,) = files.problems()
        assert problem.startswith(
            "b.yaml:10: Service default/late: spec.ports[0].nodePort: no node"
        )
        assert "30000 to 32767" in problem
        files.put(a=[replace(all_ports, ports=stated_ports[1:])])
        assert files.problems() == []

    def test_without_networks_no_address_is_allocated(self) -> None:
        registry = Registry([])
        registry.update({"a": manifests("a", svc("x"))})
        assert [one.cluster_ips for one in registry.objects() if isinstance(one, Service)] == [()]
        assert registry.problems() == []

    @pytest.mark.parametrize(
        ("policy", "families", "stated", "cidrs", "versions"),
        [
            ("", (), (), (V4, V6), [4]),
            ("", (), (), (V6, V4), [6]),
            ("SingleStack", ("IPv6",), (), (V4, V6), [6]),
            ("PreferDualStack", (), (), (V4, V6), [4, 6]),
            ("PreferDualStack", (), (), (V4,), [4]),
            ("PreferDualStack", ("IPv6", "IPv4"), (), (V4, V6), [6, 4]),
            ("RequireDualStack", (), (), (V4, V6), [4, 6]),
            ("RequireDualStack", ("IPv6",), (), (V4, V6), [6, 4]),
            ("RequireDualStack", (), ("10.96.0.1",), (V4, V6), [4, 6]),
            ("RequireDualStack", (), ("10.96.0.1", "fd00::1"), (V4,), [4, 6]),
            ("SingleStack", (), ("fd00::1",), (V4, V6), [6]),
        ],
    )
    def test_the_families_are_those_the_api_server_would_choose(
        self,
        policy: str,
        families: tuple[str, ...],
        stated: tuple[str, ...],
        cidrs: tuple[str, ...],
        versions: list[int],
    ) -> None:
        files = Files(*cidrs)
        files.put(a=[svc("x", *stated, policy=policy, families=families)])
        assert files.problems() == []
        assert [6 if ":" in ip else 4 for ip in files.ips()["x"]] == versions

    def test_the_error_of_a_missing_network_names_the_setting(self) -> None:
        files = Files(V4)
        files.put(a=[svc("x", policy="RequireDualStack")])
        assert "service_cidr has no such network; add one" in files.problems()[0]

    @pytest.mark.parametrize(
        ("policy", "families", "field"),
        [
            ("RequireDualStack", (), "spec.ipFamilyPolicy"),
            ("SingleStack", ("IPv6",), "spec.ipFamilies"),
            ("", ("IPv5",), "spec.ipFamilies[0]"),
        ],
    )
    def test_a_required_family_without_a_network_is_refused(
        self, policy: str, families: tuple[str, ...], field: str
    ) -> None:
        files = Files(V4)
        files.put(a=[svc("x", policy=policy, families=families)])
        assert files.ips() == {}
        assert f": {field}: " in files.problems()[0]
        files.put(a=[svc("x")])
        assert files.problems() == []


# ---------------------------------------------------------------------------------------
# Any history leads to a state without contradictions, and every change has an event.

_services = st.builds(
    lambda name, ips: svc(name, *ips),
    st.sampled_from("xyz"),
    st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2"]), max_size=1),
)
_files = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.lists(_services, max_size=3), min_size=1, max_size=3
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_files, max_size=6))
def test_any_history_is_consistent(steps: list[dict[str, list[Service]]]) -> None:
    files, problems = Files("10.0.0.0/29"), Problems()
    now: dict[Key, Object] = {}
    stated: dict[str, list[Service]] = {}
    for step in steps:
        for event in files.put(**step):
            if isinstance(event, Key):
                del now[event]
            else:
                assert now.get(event.key) != event
                now[event.key] = event
        stated |= step
        assert now == {one.key: one for one in files.registry.objects()}
        problems.apply(files.registry.changes())
        assert list(problems) == files.registry.problems()
        held = [ip for ips in files.ips().values() for ip in ips]
        assert len(held) == len(set(held))
        _each_refused_service_has_a_rival(files, stated)
    files.put(a=[], b=[], c=[])
    assert len(files.registry) == 0
    assert files.problems() == []


def _each_refused_service_has_a_rival(files: Files, stated: dict[str, list[Service]]) -> None:
    """A Service that is declared once and not used has a rival, and is reported."""
    claimed = [one.name for services in stated.values() for one in services]
    for one in (one for services in stated.values() for one in services):
        if claimed.count(one.name) == 1 and one.name not in files.ips():
            (ip,) = (address_text(ip) for ip in one.cluster_ips)
            assert any(ip in ips for ips in files.ips().values())
            assert any(f"default/{one.name}: spec.clusterIP" in text for text in files.problems())
