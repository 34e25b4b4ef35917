"""Names and addresses have one holder each; who comes second is told, and waits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dnsd.cluster.objects import Key, Object, Service, ServicePort
from dnsd.cluster.store import unpack_events
from dnsd.dns.addresses import address_text, pack_address
from dnsd.sources.manifests.allocate import NODE_PORTS
from dnsd.sources.manifests.file import Entry, stated
from dnsd.sources.manifests.problems import Ledger
from dnsd.sources.manifests.registry import Catalogue, networks_of
from dnsd.sources.source import SourceError

V4, V6 = "10.96.0.0/12", "fd00:10::/108"


def entries(file: str, *objects: Object) -> tuple[Entry, ...]:
    return tuple(
        stated(thing, file, number, -1, number * 10) for number, thing in enumerate(objects, 1)
    )


def svc(
    name: str, *ips: str, policy: str = "", families: Sequence[str] = (), **more: str
) -> Service:
    return Service(
        "default",
        name,
        cluster_ips=tuple(pack_address(ip) for ip in ips),
        ip_family_policy=policy,
        ip_families=tuple(families),
        version=more.get("version", ""),
        type=more.get("type", "ClusterIP"),
        headless="headless" in more,
        external_name=more.get("external", ""),
    )


class Files:
    """A catalogue with the files it was last given."""

    def __init__(self, *cidrs: str) -> None:
        self.catalogue = Catalogue(networks_of(cidrs or (V4,)))

    def put(self, **files: Sequence[Object]) -> list[Object | Key]:
        said = {f"{name}.yaml": entries(f"{name}.yaml", *files[name]) for name in files}
        return unpack_events(self.catalogue.update(said))

    def ips(self) -> dict[str, list[str]]:
        return {
            one.name: [address_text(ip) for ip in one.cluster_ips]
            for one in self.catalogue.objects()
            if isinstance(one, Service)
        }

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.catalogue.problems()]


class TestClaims:
    """An entry says what is claimed, so that few Services have to be unpacked."""

    @pytest.mark.parametrize(
        ("ips", "more", "claims"),
        [
            (["10.96.0.1"], {}, "10.96.0.1"),
            (["fd00:10::1"], {}, "fd00:10::1"),
            (["fd00:10::1", "10.96.0.1"], {}, "10.96.0.1 fd00:10::1"),
            (["10.96.0.1"], {"families": ["IPv6"]}, "10.96.0.1"),
            ([], {"headless": "yes"}, ""),
            ([], {"type": "ExternalName", "external": "a.example"}, ""),
            ([], {}, None),
            (["10.96.0.1", "10.96.0.2"], {}, None),
            (["10.96.0.1"], {"type": "NodePort"}, None),
            (["10.96.0.1"], {"families": ["IPv5"]}, None),
            (["10.96.0.1"], {"families": ["IPv4", "IPv6"]}, None),
            (["10.96.0.1"], {"policy": "PreferDualStack"}, None),
            (["10.96.0.1"], {"policy": "RequireDualStack"}, None),
        ],
    )
    def test_of_a_service(self, ips: list[str], more: dict[str, Any], claims: str | None) -> None:
        (entry,) = entries("a.yaml", svc("x", *ips, **more))
        expected = None if claims is None else b"".join(map(pack_address, claims.split()))
        assert entry.claims == expected

    def test_both_addresses_of_a_service_are_taken(self) -> None:
        files = Files()
        files.put(a=[svc("x", "fd00:10::1", "10.96.0.1")])
        assert files.put(b=[svc("y", "10.96.0.1"), svc("z", "fd00:10::1")]) == []
        assert len(files.problems()) == 2
        events = files.put(a=[])
        assert {one.name for one in events} == {"x", "y", "z"}
        assert files.problems() == []


class TestNames:
    def test_an_unchanged_file_says_nothing(self) -> None:
        files = Files()
        assert len(files.put(a=[svc("x", "10.96.0.1")])) == 1
        assert files.put(a=[svc("x", "10.96.0.1")]) == []

    def test_two_files_name_one_service(self) -> None:
        files = Files()
        first, second = svc("x", "10.96.0.1"), svc("x", "10.96.0.2")
        assert files.put(b=[second], a=[first]) == [first]
        (problem,) = files.problems()
        assert problem.startswith("b.yaml:10: Service default/x: metadata.name: is in a.yaml#1")

    def test_the_second_comes_in_when_the_first_goes(self) -> None:
        files = Files()
        second = svc("x", "10.96.0.2")
        files.put(a=[svc("x", "10.96.0.1")], b=[second])
        assert files.put(a=[]) == [second]
        assert files.problems() == []

    def test_the_one_that_is_there_keeps_it(self) -> None:
        files = Files()
        there = svc("x", "10.96.0.2")
        files.put(b=[there])
        assert files.put(a=[svc("x", "10.96.0.1")]) == []
        assert files.problems()[0].startswith("a.yaml:10: ")
        edited = svc("x", "10.96.0.3")
        assert files.put(b=[edited]) == [edited]

    def test_twice_in_one_file(self) -> None:
        files = Files()
        first = svc("x", "10.96.0.1")
        assert files.put(a=[first, svc("x", "10.96.0.2")]) == [first]
        (problem,) = files.problems()
        assert problem.startswith("a.yaml:20: ")
        assert "a.yaml#1" in problem

    def test_gone_is_a_key(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1"), svc("y", "10.96.0.2")])
        assert files.put(a=[svc("y", "10.96.0.2")]) != []
        assert list(files.ips()) == ["y"]
        assert files.put(a=[]) == [Key("Service", "default", "y")]
        assert len(files.catalogue) == 0

    def test_a_service_that_moves_to_another_file(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")])
        assert files.put(a=[], b=[svc("x", "10.96.0.1")]) == []  # origin aside, it is the same


class TestStatedAddresses:
    def test_an_address_used_twice(self) -> None:
        files = Files()
        files.put(b=[svc("y", "10.96.0.1")], a=[svc("x", "10.96.0.1")])
        assert files.ips() == {"x": ["10.96.0.1"]}
        (problem,) = files.problems()
        assert problem.startswith("b.yaml:10: Service default/y: spec.clusterIP: 10.96.0.1 is the")
        assert "Service default/x (a.yaml#1)" in problem

    def test_the_one_that_is_there_keeps_it(self) -> None:
        files = Files()
        files.put(b=[svc("y", "10.96.0.1")])
        assert files.put(a=[svc("x", "10.96.0.1")]) == []
        edited = svc("y", "10.96.0.1", version="2")
        assert files.put(b=[edited], a=[svc("x", "10.96.0.1", version="2")]) == [edited]

    def test_the_second_comes_in_when_the_conflict_goes(self) -> None:
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

    def test_two_services_exchange_their_addresses(self) -> None:
        files = Files()
        files.put(a=[svc("x", "10.96.0.1")], b=[svc("y", "10.96.0.2")])
        files.put(a=[svc("x", "10.96.0.2")], b=[svc("y", "10.96.0.1")])
        assert files.ips() == {"x": ["10.96.0.2"], "y": ["10.96.0.1"]}
        assert files.problems() == []

    def test_one_of_two_addresses_in_conflict_refuses_the_whole(self) -> None:
        files = Files(V4, V6)
        files.put(a=[svc("x", "fd00::1")], b=[svc("y", "10.96.0.1", "fd00::1")])
        assert files.ips() == {"x": ["fd00::1"]}
        files.put(c=[svc("z", "10.96.0.1")])  # what the refused one stated is free
        assert len(files.problems()) == 1
        files.put(a=[])
        assert len(files.problems()) == 1  # y waits for z now
        files.put(c=[])
        assert files.ips() == {"y": ["10.96.0.1", "fd00::1"]}


class TestGivenAddresses:
    def test_who_needs_one(self) -> None:
        files = Files()
        files.put(
            a=[
                svc("cluster"),
                svc("node", type="NodePort"),
                svc("balanced", type="LoadBalancer"),
                svc("headless", headless="yes"),
                svc("outside", type="ExternalName", external="example.com"),
                svc("stated", "10.96.0.1"),
            ]
        )
        given = files.ips()
        assert given["headless"] == given["outside"] == []
        assert given["stated"] == ["10.96.0.1"]
        for name in ("cluster", "node", "balanced"):
            (ip,) = given[name]
            assert ip_address(ip) in ip_network(V4)
        allocated = {
            o.name for o in files.catalogue.objects() if isinstance(o, Service) and o.allocated
        }
        assert allocated == {"cluster", "node", "balanced"}

    def test_the_order_of_files_does_not_matter(self) -> None:
        services = [svc(f"s{i}") for i in range(40)]
        seen = []
        for seed in range(5):
            random.Random(seed).shuffle(services)
            files = Files("10.0.0.0/26")
            for i, one in enumerate(services):
                files.put(**{f"f{i}": [one]})
            seen.append(files.ips())
        assert all(one == seen[0] for one in seen)

    def test_a_statement_that_comes_later_displaces(self) -> None:
        files = Files()
        files.put(a=[svc("x")])
        (mine,) = files.ips()["x"]
        events = files.put(b=[svc("y", mine)])
        assert {event.key.name for event in events if not isinstance(event, Key)} == {"x", "y"}
        assert files.ips()["y"] == [mine]
        assert files.ips()["x"] != [mine]
        files.put(b=[])
        assert files.ips() == {"x": [mine]}
        assert files.problems() == []

    def test_none_is_left(self) -> None:
        files = Files("10.0.0.0/30")
        files.put(a=[svc("x"), svc("y"), svc("z")])
        (problem,) = files.problems()
        assert "10.0.0.0/30" in problem
        assert sum(bool(ips) for ips in files.ips().values()) == 2
        files.put(a=[svc("x"), svc("y")])
        assert files.problems() == []

    def test_no_node_port_is_left(self) -> None:
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

    def test_without_networks_none_is_given(self) -> None:
        catalogue = Catalogue([])
        catalogue.update({"a": entries("a", svc("x"))})
        assert [one.cluster_ips for one in catalogue.objects() if isinstance(one, Service)] == [()]
        assert catalogue.problems() == []

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
    def test_families(
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

    @pytest.mark.parametrize(
        ("policy", "families", "field"),
        [
            ("RequireDualStack", (), "spec.ipFamilyPolicy"),
            ("SingleStack", ("IPv6",), "spec.ipFamilies"),
            ("", ("IPv5",), "spec.ipFamilies[0]"),
        ],
    )
    def test_a_family_that_cannot_be_had(
        self, policy: str, families: tuple[str, ...], field: str
    ) -> None:
        files = Files(V4)
        files.put(a=[svc("x", policy=policy, families=families)])
        assert files.ips() == {}
        assert f": {field}: " in files.problems()[0]
        files.put(a=[svc("x")])
        assert files.problems() == []

    @pytest.mark.parametrize("cidr", ["10.96.0.0/33", "ten", "10.96.0.1/12"])
    def test_a_bad_network(self, cidr: str) -> None:
        with pytest.raises(SourceError, match="service_cidrs"):
            networks_of([cidr])


# ---------------------------------------------------------------------------------------
# Any history leads to a state without contradictions, and says every change.

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
    files, ledger = Files("10.0.0.0/29"), Ledger()
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
        assert now == {one.key: one for one in files.catalogue.objects()}
        ledger.apply(files.catalogue.changes())
        assert list(ledger) == files.catalogue.problems()
        held = [ip for ips in files.ips().values() for ip in ips]
        assert len(held) == len(set(held))
        _nobody_waits_in_vain(files, stated)
    files.put(a=[], b=[], c=[])
    assert len(files.catalogue) == 0
    assert files.problems() == []


def _nobody_waits_in_vain(files: Files, stated: dict[str, list[Service]]) -> None:
    """A Service that is stated once and not served has a rival, and is reported."""
    claimed = [one.name for services in stated.values() for one in services]
    for one in (one for services in stated.values() for one in services):
        if claimed.count(one.name) == 1 and one.name not in files.ips():
            (ip,) = (address_text(ip) for ip in one.cluster_ips)
            assert any(ip in ips for ips in files.ips().values())
            assert any(f"default/{one.name}: spec.clusterIP" in text for text in files.problems())
