"""Settings that are lists of sections: from YAML, flags and variables to what dnsd is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.control.settings import schema_config, view_config
from dnsd.control.sources import kinds_of
from dnsd.dns.names import name_from_text
from dnsd.settings.kinds import BadValue, Kind
from dnsd.settings.load import load
from dnsd.settings.schema import Settings, SettingsError
from dnsd.settings.sections import POLICIES, VIEWS, ZONES, PolicySection, ViewSection, ZoneSection
from dnsd.zone.views import PolicyRule, ViewConfig, ViewRule

ZONE = ZoneSection("k8s.example.com", (("ns1.k8s.example.com", ("192.0.2.53",)),), 60)
FILE = """
outside_zones:
  - {name: K8s.example.com., ns: {ns1.k8s.example.com: [192.0.2.53]}, ttl: 1m}
  - other.example
views:
  - {networks: ["10.0.0.0/8"], see: both}
policies:
  - {namespaces: ["*"], see: [own]}
  - {networks: ["10.244.0.0/16"], see: []}
""".replace("ttl: 1m", "ttl: 60")


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "dnsd.yaml"
    path.write_text(FILE)
    found = load({"config": str(path)}, {})
    assert found.outside_zones == (ZONE, ZoneSection("other.example"))
    assert found.views == (ViewSection(("10.0.0.0/8",), "both"),)
    assert found.policies == (
        PolicySection(namespaces=("*",), see=("own",)),
        PolicySection(networks=("10.244.0.0/16",)),
    )


def test_from_flags_and_variables() -> None:
    flags = {"outside_zones": ["{name: k8s.example.com, ttl: 5}", "b.example"]}
    variables = {"DNSD_VIEWS": '[{"networks": ["10.0.0.0/8"], "see": "inside"}]'}
    found = load(flags, variables)
    assert [zone.name for zone in found.outside_zones] == ["k8s.example.com", "b.example"]
    assert found.outside_zones[0].ttl == 5
    assert found.views == (ViewSection(("10.0.0.0/8",), "inside"),)


@pytest.mark.parametrize(
    ("value", "servers"),
    [
        ({"ns1.a.example": ["192.0.2.1"]}, (("ns1.a.example", ("192.0.2.1",)),)),
        ({"ns1.a.example": "192.0.2.1"}, (("ns1.a.example", ("192.0.2.1",)),)),
        ({"ns1.a.example": None}, (("ns1.a.example", ()),)),
        (["ns1.a.example", "ns2.b.example"], (("ns1.a.example", ()), ("ns2.b.example", ()))),
    ],
)
def test_name_servers_with_and_without_addresses(value: object, servers: object) -> None:
    (zone,) = ZONES.parse([{"name": "a.example", "ns": value}])
    assert zone.ns == servers


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (ZONES, [{"ns": {}}], "has no name"),
        (ZONES, [{"name": "a..b"}], "(name) is no domain name"),
        (ZONES, [{"name": "a.example", "zone": 1}], "is none of name, ns, ttl"),
        (ZONES, [{"name": "a.example", "ttl": 9999}], "(ttl) is not in 0 to 3600"),
        (ZONES, [{"name": "a.example", "ns": 7}], "(ns) is no mapping"),
        (ZONES, [{"name": "a.example", "ns": {"x.example": ["none"]}}], "is no IP address"),
        (ZONES, [7], "is no mapping of name, ns, ttl"),
        (ZONES, "{name: ", "is no YAML in one line"),
        (ZONES, "{" + "x" * 70_000, "the limit is"),
        (ZONES, [{"name": f"z{i}.example"} for i in range(1001)], "the limit is 1000"),
        (VIEWS, [{"see": "both"}], "has no networks"),
        (VIEWS, [{"networks": ["10.0.0.0/8"]}], "has no see"),
        (VIEWS, [{"networks": ["10.0.0.1/8"], "see": "both"}], "(networks) has host bits set"),
        (VIEWS, [{"networks": ["10.0.0.0/8"], "see": "all"}], "(see) is none of"),
        (POLICIES, [{"see": ["a"]}], "names no clients"),
        (POLICIES, [{"namespaces": ["A_b"], "see": []}], "(namespaces) is no namespace"),
        (POLICIES, "team-a", "is no mapping"),
    ],
)
def test_what_is_wrong_is_said(kind: Kind, value: object, words: str) -> None:
    with pytest.raises(BadValue) as caught:
        kind.parse(value)
    assert words in str(caught.value)


_names = st.sampled_from(["a.example", "b.example", "k8s.example.com"])
_networks = st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"])
_several = st.lists(_networks, min_size=1, max_size=3, unique=True).map(tuple)
_spaces = st.lists(st.sampled_from(["*", "a", "own", "1"]), max_size=3, unique=True).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.builds(ZoneSection, _names, st.just(ZONE.ns), st.integers(-1, 3600)), max_size=3),
    st.lists(st.builds(ViewSection, _several, st.sampled_from(["inside", "both"])), max_size=3),
    st.lists(st.builds(PolicySection, _spaces, _several, _spaces), max_size=3),
)
def test_what_is_shown_is_read_again(
    zones: list[ZoneSection], views: list[ViewSection], policies: list[PolicySection]
) -> None:
    for kind, value in ((ZONES, zones), (VIEWS, views), (POLICIES, policies)):
        shown = kind.show(tuple(value))
        assert kind.parse(yaml.safe_load(shown)) == tuple(dict.fromkeys(value))
        if value:
            assert kind.parse(shown) == tuple(dict.fromkeys(value))


class TestWhatTheyMean:
    def test_an_outside_zone_in_the_schema(self) -> None:
        config = schema_config(Settings(ttl=7, outside_zones=(ZONE, ZoneSection("b.example"))), ())
        first, second = config.external.zones
        assert first.name == name_from_text("k8s.example.com.")
        assert first.servers == ((name_from_text("ns1.k8s.example.com."), (b"\xc0\x00\x02\x35",)),)
        assert (first.ttl, second.ttl) == (60, 7)

    @pytest.mark.parametrize("names", [("cluster.local",), ("b.example", "b.example")])
    def test_an_outside_zone_that_is_one_already(self, names: tuple[str, ...]) -> None:
        zones = tuple(ZoneSection(name, ttl=i) for i, name in enumerate(names))
        with pytest.raises(SettingsError, match="is a zone already"):
            schema_config(Settings(outside_zones=zones), ())

    def test_views_and_policies(self) -> None:
        found = view_config(
            Settings(
                views=(ViewSection(("10.0.0.0/8",), "inside"),),
                policies=(PolicySection(("a",), (), ("own",)),),
            )
        )
        assert found == ViewConfig(
            (ViewRule(("10.0.0.0/8",), "inside"),), (PolicyRule(("a",), (), ("own",)),)
        )
        assert not view_config(Settings()).on

    def test_only_what_is_of_use_is_watched(self) -> None:
        usual = {"Namespace", "Service", "EndpointSlice"}
        zones = (ZoneSection("b.example"),)
        assert set(kinds_of(Settings())) == usual
        assert set(kinds_of(Settings(policies=(PolicySection(("a",)),)))) == {*usual, "Pod"}
        assert set(kinds_of(Settings(outside_names=("ingresses",)))) == usual
        assert set(kinds_of(Settings(outside_zones=zones))) == {*usual, "Node"}
        assert set(kinds_of(Settings(outside_zones=zones, outside_names=("ingresses",)))) == {
            *usual,
            "Node",
            "Ingress",
        }
        routes = Settings(outside_zones=zones, outside_names=("routes", "dnsendpoints"))
        assert {"Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "DNSEndpoint"} < set(
            kinds_of(routes)
        )
