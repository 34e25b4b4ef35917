from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key, pack_address
from dnsd.zone.compile import compile_state
from dnsd.zone.compose import OutsideConfig, OutsideZone, SchemaConfig
from dnsd.zone.rrset import RRset, Type, name_from_text, reverse_name
from dnsd.zone.sight import (
    EVERYTHING,
    NOTHING,
    Nested,
    Policy,
    Rules,
    Sight,
    SightConfig,
    Sighted,
    View,
    compile_sighted,
    namespace_of,
    read_sighted,
    seen,
    tells_of_sights,
)
from tests.zone.made import Z, packed

OUT = name_from_text("k8s.example.com.")
CONFIG = SchemaConfig(zones=(Z,), outside=OutsideConfig((OutsideZone(OUT),)))


def of(config: SightConfig, address: str, namespace: str = "") -> Sight:
    rules, packed_ = Rules(config), pack_address(address)
    return rules.of_pod(packed_, namespace) if namespace else rules.of_network(packed_)


def spaces(*names: str) -> Sight:
    return Sight(namespaces=frozenset(names))


class TestViews:
    VIEWS = SightConfig(
        views=(
            View(("0.0.0.0/0",), "outside"),
            View(("10.1.0.0/16", "fd00::/8"), "both"),
            View(("10.0.0.0/8",), "inside"),
        )
    )

    @pytest.mark.parametrize(
        ("address", "sight"),
        [
            ("192.0.2.1", Sight(inside=False)),
            ("10.2.0.1", Sight(outside=False)),
            ("10.1.0.1", EVERYTHING),
            ("fd00::1", EVERYTHING),
            ("2001:db8::1", EVERYTHING),  # in none
        ],
    )
    def test_the_most_specific_network_decides_in_any_order(
        self, address: str, sight: Sight
    ) -> None:
        assert of(self.VIEWS, address) == sight
        assert of(SightConfig(tuple(reversed(self.VIEWS.views))), address) == sight


class TestPolicies:
    POLICIES = SightConfig(
        policies=(
            Policy(namespaces=("a", "b"), see=("own",)),
            Policy(namespaces=("b",), see=("shared",)),
            Policy(namespaces=("ops",), see=("*",)),
            Policy(networks=("10.0.0.0/8",), see=()),
            Policy(networks=("10.1.0.0/16",), see=("dns", "own")),
        )
    )

    @pytest.mark.parametrize(
        ("address", "namespace", "sight"),
        [
            ("192.0.2.1", "", EVERYTHING),
            ("192.0.2.1", "other", EVERYTHING),
            ("192.0.2.1", "a", spaces("a")),
            ("192.0.2.1", "b", spaces("b", "shared")),
            ("10.2.0.1", "", spaces()),
            ("10.2.0.1", "other", spaces()),
            ("10.2.0.1", "a", spaces("a")),
            ("10.1.0.1", "", spaces("dns")),  # nobody's own
            ("10.1.0.1", "other", spaces("dns", "other")),
            ("10.1.0.1", "ops", EVERYTHING),
        ],
    )
    def test_a_client_sees_what_any_policy_that_names_it_lets_it_see(
        self, address: str, namespace: str, sight: Sight
    ) -> None:
        assert of(self.POLICIES, address, namespace) == sight

    def test_any_namespace(self) -> None:
        own = SightConfig(policies=(Policy(namespaces=("*",), see=("own",)),))
        assert of(own, "10.0.0.1", "x") == spaces("x")
        assert of(own, "10.0.0.1") == EVERYTHING


_nets = st.builds(
    lambda number, length: str(ip_network((number << 24, length), strict=False)),
    st.integers(0, 255),
    st.sampled_from([0, 4, 6, 8]),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(Policy, networks=st.tuples(_nets), see=st.tuples(st.sampled_from("abc"))),
        max_size=5,
    ),
    st.integers(0, 255),
)
def test_the_longest_network_tells_all_that_hold_an_address(
    policies: list[Policy], first: int
) -> None:
    address = ip_address(first << 24 | 1)
    said = {
        space
        for policy in policies
        if any(address in ip_network(net) for net in policy.networks)
        for space in policy.see
    }
    expected = spaces(*said) if said else EVERYTHING
    rules = Rules(SightConfig(policies=tuple(policies)))
    assert rules.of_network(address.packed) == expected
    assert Nested(rules.networks()).get(address.packed) == expected


SERVICE, NODE = Key("Service", "a", "web"), Key("Node", "", "n")


class TestSeen:
    def at(self, text: str) -> RRset:
        return RRset(name_from_text(text), Type.A, 5, packed("10.0.0.1"))

    def test_sides_by_name_and_ptr_by_what_it_points_to(self) -> None:
        inside, outside = self.at("web.a.svc.cluster.local."), self.at("web.a.k8s.example.com.")
        reverse = reverse_name(b"\x0a\0\0\1")
        to_in = RRset(reverse, Type.PTR, 5, (inside.name,))
        to_out = RRset(reverse, Type.PTR, 5, (outside.name,))
        every = (inside, outside, to_in, to_out)
        assert seen(EVERYTHING, SERVICE, every, CONFIG) == every
        assert seen(Sight(outside=False), SERVICE, every, CONFIG) == (inside, to_in)
        assert seen(Sight(inside=False), SERVICE, every, CONFIG) == (outside, to_out)
        assert seen(NOTHING, SERVICE, every, CONFIG) == ()

    @pytest.mark.parametrize(
        ("owner", "namespace"),
        [
            (SERVICE, "a"),
            (Key("Namespace", "", "a"), "a"),
            (Key("Ingress", "a", "i"), "a"),
            (NODE, None),
            (Key("Record", "cluster.local.", "x/A"), None),
            (Key("Hosts", "", "x"), None),
        ],
    )
    def test_the_namespace_of_an_owner(self, owner: Key, namespace: str | None) -> None:
        assert namespace_of(owner) == namespace
        assert spaces("a").sees(owner)
        assert spaces("b").sees(owner) == (namespace is None)


def test_frames_are_told_apart_and_read_again() -> None:
    step = Sighted(3, b"frame", True, (("0.0.0.0/0", 1),), ((b"\x0a\0\0\1", 2),), (b"x",), (4,))
    frame = compile_sighted(step)
    assert tells_of_sights(frame)
    assert read_sighted(frame) == step
    assert not tells_of_sights(compile_state(1))
