"""The settings of zones, views, and policies: what their text means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.control.settings import Settings
from dnsd.dns.names import name_from_text
from dnsd.settings.kinds import BadValue
from dnsd.settings.load import load
from dnsd.settings.schema import declared
from dnsd.zone.settings import ExternalZone, PolicyRule, ViewConfig, ViewRule

K8S = name_from_text("k8s.example.com.")
SERVER = (name_from_text("ns1.k8s.example.com."), (b"\xc0\x00\x02\x35",))
ZONE = ExternalZone(K8S, (SERVER,), 60)
FILE = """
outside_zones:
  - {name: K8s.example.com., ns: {ns1.k8s.example.com: [192.0.2.53]}, ttl: 60}
  - other.example
views:
  - {networks: ["10.0.0.0/8"], see: both}
policies:
  - {namespaces: ["*"], see: [own]}
  - {networks: ["10.244.0.0/16"], see: []}
"""


def parse(name: str, value: object) -> object:
    return declared(Settings)[name].setting.kind.parse(value)


def test_zones_views_and_policies_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "dnsd.yaml"
    path.write_text(FILE)
    found = load(Settings, {"config": str(path)}, {})
    other = ExternalZone(name_from_text("other.example."))
    assert found.schema.external.zones == (ZONE, other)
    assert found.views == ViewConfig(
        (ViewRule(("10.0.0.0/8",), "both"),),
        (PolicyRule(namespaces=("*",), see=("own",)), PolicyRule(networks=("10.244.0.0/16",))),
    )


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ({"ns1.a.example": ["192.0.2.53"]}, (b"\xc0\x00\x02\x35",)),
        ({"ns1.a.example": "192.0.2.53"}, (b"\xc0\x00\x02\x35",)),
        ({"ns1.a.example": None}, ()),
        (["ns1.a.example"], ()),
    ],
)
def test_name_servers_have_addresses_or_not(value: object, addresses: tuple[bytes, ...]) -> None:
    zone = ExternalZone(
        name_from_text("a.example."), ((name_from_text("ns1.a.example."), addresses),)
    )
    assert parse("outside_zones", [{"name": "a.example", "ns": value}]) == (zone,)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("outside_zones", [{"ns": {}}], "has no name"),
        ("outside_zones", [{"name": "a..b"}], "(name) is not a domain name"),
        ("outside_zones", [{"name": "a.example", "zone": 1}], "is not one of name, ns, ttl"),
        ("outside_zones", [{"name": "a.example", "ttl": 9999}], "(ttl) is not in 0 to 3600"),
        ("outside_zones", [{"name": "a.example", "ns": 7}], "(ns) is not a mapping"),
        ("outside_zones", [{"name": "a.example", "ns": {"x.b": ["none"]}}], "is not an IP address"),
        ("views", [{"see": "both"}], "has no networks"),
        ("views", [{"networks": ["10.0.0.0/8"]}], "has no see"),
        ("views", [{"networks": ["10.0.0.1/8"], "see": "both"}], "(networks) has host bits set"),
        ("views", [{"networks": ["10.0.0.0/8"], "see": "all"}], "(see) is not one of"),
        ("policies", [{"see": ["a"]}], "does not name clients"),
        ("policies", [{"namespaces": ["A_b"], "see": []}], "(namespaces) is not a namespace"),
        ("policies", "team-a", "is not a mapping"),
    ],
)
def test_a_bad_value_is_refused(name: str, value: object, problem: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse(name, value)
    assert problem in str(caught.value)


_networks = st.lists(
    st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]), min_size=1, max_size=3, unique=True
).map(tuple)
_spaces = st.lists(st.sampled_from(["*", "a", "own", "1"]), max_size=3, unique=True).map(tuple)
_zones = st.builds(
    ExternalZone,
    st.sampled_from([K8S, name_from_text("a.example."), name_from_text("b.example.")]),
    st.just((SERVER,)),
    st.integers(-1, 3600),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_zones, max_size=3),
    st.lists(st.builds(ViewRule, _networks, st.sampled_from(["inside", "both"])), max_size=3),
    st.lists(st.builds(PolicyRule, _spaces, _networks, _spaces), max_size=3),
)
def test_what_is_shown_is_read_back(
    zones: list[ExternalZone], views: list[ViewRule], policies: list[PolicyRule]
) -> None:
    for name, value in (("outside_zones", zones), ("views", views), ("policies", policies)):
        shown = declared(Settings)[name].setting.kind.show(tuple(value))
        assert parse(name, yaml.safe_load(shown)) == tuple(dict.fromkeys(value))


def test_views_are_on_with_a_view_or_a_policy() -> None:
    assert not Settings().views.on
    assert ViewConfig(views=(ViewRule(("10.0.0.0/8",), "inside"),)).on
    assert ViewConfig(policies=(PolicyRule(("a",)),)).on
