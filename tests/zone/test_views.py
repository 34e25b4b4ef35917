from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.cluster.objects import Key
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text, reverse_name
from dnsd.dns.networks import NetworkMap
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.frame import compile_state
from dnsd.zone.settings import (
    ExternalConfig,
    ExternalZone,
    PolicyRule,
    SchemaConfig,
    ViewConfig,
    ViewRule,
)
from dnsd.zone.views import (
    EVERYTHING,
    NOTHING,
    Rules,
    View,
    ViewFrame,
    compile_view_frame,
    is_view_frame,
    namespace_of,
    read_view_frame,
    visible_rrsets,
)
from tests.zone.made import Z, packed

OUT = name_from_text("k8s.example.com.")
CONFIG = SchemaConfig(zones=(Z,), external=ExternalConfig((ExternalZone(OUT, ttl=5),)))


def of(config: ViewConfig, address: str, namespace: str = "") -> View:
    rules, packed_ = Rules(config), pack_address(address)
    return rules.of_pod(packed_, namespace) if namespace else rules.of_host(packed_)


def spaces(*names: str) -> View:
    return View(namespaces=frozenset(names))


class TestViews:
    VIEWS = ViewConfig(
        views=(
            ViewRule(("0.0.0.0/0",), "outside"),
            ViewRule(("10.1.0.0/16", "fd00::/8"), "both"),
            ViewRule(("10.0.0.0/8",), "inside"),
        )
    )

    @pytest.mark.parametrize(
        ("address", "view"),
        [
            ("192.0.2.1", View(inside=False)),
            ("10.2.0.1", View(external=False)),
            ("10.1.0.1", EVERYTHING),
            ("fd00::1", EVERYTHING),
            ("2001:db8::1", EVERYTHING),  # in none
        ],
    )
    def test_the_most_specific_network_decides_in_any_order(self, address: str, view: View) -> None:
        assert of(self.VIEWS, address) == view
        assert of(ViewConfig(tuple(reversed(self.VIEWS.views))), address) == view


class TestPolicies:
    POLICIES = ViewConfig(
        policies=(
            PolicyRule(namespaces=("a", "b"), see=("own",)),
            PolicyRule(namespaces=("b",), see=("shared",)),
            PolicyRule(namespaces=("ops",), see=("*",)),
            PolicyRule(networks=("10.0.0.0/8",), see=()),
            PolicyRule(networks=("10.1.0.0/16",), see=("dns", "own")),
        )
    )

    @pytest.mark.parametrize(
        ("address", "namespace", "view"),
        [
            ("192.0.2.1", "", EVERYTHING),
            ("192.0.2.1", "other", EVERYTHING),
            ("192.0.2.1", "a", spaces("a")),
            ("192.0.2.1", "b", spaces("b", "shared")),
            ("10.2.0.1", "", spaces()),
            ("10.2.0.1", "other", spaces()),
            ("10.2.0.1", "a", spaces("a")),
            ("10.1.0.1", "", spaces("dns")),  # a client without a namespace
            ("10.1.0.1", "other", spaces("dns", "other")),
            ("10.1.0.1", "ops", EVERYTHING),
        ],
    )
    def test_a_client_of_several_policies_sees_their_union(
        self, address: str, namespace: str, view: View
    ) -> None:
        assert of(self.POLICIES, address, namespace) == view

    def test_own_is_the_namespace_of_each_pod(self) -> None:
        own = ViewConfig(policies=(PolicyRule(namespaces=("*",), see=("own",)),))
        assert of(own, "10.0.0.1", "x") == spaces("x")
        assert of(own, "10.0.0.1") == EVERYTHING


_spaces = st.sampled_from(["a", "b", "*"])
_pod_policies = st.builds(
    PolicyRule,
    namespaces=st.lists(_spaces, min_size=1, max_size=2).map(tuple),
    networks=st.sampled_from([(), ("10.0.0.0/8",)]),
    see=st.lists(st.sampled_from(["a", "b", "c", "own", "*"]), max_size=3).map(tuple),
)


class TestUnknownPods:
    POLICIES = (
        PolicyRule(namespaces=("a",), see=("own", "shared", "b")),
        PolicyRule(namespaces=("b",), see=("own", "shared")),
        PolicyRule(networks=("10.0.0.0/8",), see=("dns",)),
    )

    def view(self, mode: str, address: str, policies: tuple[PolicyRule, ...] = POLICIES) -> View:
        return Rules(ViewConfig((), policies, mode)).of_unknown(pack_address(address))

    @pytest.mark.parametrize(
        ("mode", "view"),
        [
            ("network", EVERYTHING),
            ("narrowest", spaces("shared")),
            ("auto", spaces("shared")),
            ("nothing", spaces()),
        ],
    )
    def test_the_setting_decides_where_no_policy_names_the_network(
        self, mode: str, view: View
    ) -> None:
        assert self.view(mode, "192.0.2.1") == view
        assert self.view(mode, "10.0.0.1") == spaces("dns")

    def test_without_policies_for_pods_the_default_is_the_network(self) -> None:
        assert self.view("auto", "192.0.2.1", self.POLICIES[2:]) == EVERYTHING

    @pytest.mark.parametrize("mode", ["narrowest", "nothing"])
    def test_without_policies_nothing_is_hidden_by_namespace(self, mode: str) -> None:
        views = (ViewRule(("192.0.2.0/24",), "inside"),)
        rules = Rules(ViewConfig(views, (), mode))
        assert rules.of_unknown(pack_address("192.0.2.1")) == View(external=False)

    def test_policies_for_all_pods_limit_the_narrowest_view_to_what_all_of_them_see(self) -> None:
        policies = (
            PolicyRule(namespaces=("*",), see=("own", "shared")),
            PolicyRule(namespaces=("ops",), see=("*",)),
        )
        assert self.view("auto", "192.0.2.1", policies) == spaces("shared")

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(_pod_policies, max_size=5).map(tuple),
        st.sampled_from(["192.0.2.1", "10.0.0.1"]),
        st.sampled_from(["a", "b", "other"]),
    )
    def test_a_pod_never_sees_less_once_it_is_known(
        self, policies: tuple[PolicyRule, ...], address: str, namespace: str
    ) -> None:
        rules = Rules(ViewConfig((), policies, "narrowest"))
        before = rules.of_unknown(pack_address(address)).namespaces
        after = rules.of_pod(pack_address(address), namespace).namespaces
        assert after is None or (before is not None and before <= after)


_nets = st.builds(
    lambda number, length: str(ip_network((number << 24, length), strict=False)),
    st.integers(0, 255),
    st.sampled_from([0, 4, 6, 8]),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(PolicyRule, networks=st.tuples(_nets), see=st.tuples(st.sampled_from("abc"))),
        max_size=5,
    ),
    st.integers(0, 255),
)
def test_the_longest_network_tells_all_that_hold_an_address(
    policies: list[PolicyRule], first: int
) -> None:
    address = ip_address(first << 24 | 1)
    visible = {
        space
        for policy in policies
        if any(address in ip_network(net) for net in policy.networks)
        for space in policy.see
    }
    expected = spaces(*visible) if visible else EVERYTHING
    rules = Rules(ViewConfig(policies=tuple(policies)))
    assert rules.of_host(address.packed) == expected
    assert NetworkMap(rules.networks()).get(address.packed) == expected


SERVICE, NODE = Key("Service", "a", "web"), Key("Node", "", "n")


class TestVisibleRRsets:
    def at(self, text: str) -> RRset:
        return RRset(name_from_text(text), Type.A, 5, packed("10.0.0.1"))

    def test_a_ptr_belongs_to_the_side_of_its_target(self) -> None:
        inside, external = self.at("web.a.svc.cluster.local."), self.at("web.a.k8s.example.com.")
        reverse = reverse_name(b"\x0a\0\0\1")
        to_in = RRset(reverse, Type.PTR, 5, (inside.name,))
        to_out = RRset(reverse, Type.PTR, 5, (external.name,))
        every = (inside, external, to_in, to_out)
        assert visible_rrsets(EVERYTHING, SERVICE, every, CONFIG) == every
        assert visible_rrsets(View(external=False), SERVICE, every, CONFIG) == (inside, to_in)
        assert visible_rrsets(View(inside=False), SERVICE, every, CONFIG) == (external, to_out)
        assert visible_rrsets(NOTHING, SERVICE, every, CONFIG) == ()

    @pytest.mark.parametrize(
        ("contributor", "namespace"),
        [
            (SERVICE, "a"),
            (Key("Namespace", "", "a"), "a"),
            (Key("Ingress", "a", "i"), "a"),
            (NODE, None),
            (Key("Record", "cluster.local.", "x/A"), None),
            (Key("Hosts", "", "x"), None),
        ],
    )
    def test_the_namespace_of_a_contributor(self, contributor: Key, namespace: str | None) -> None:
        assert namespace_of(contributor) == namespace
        assert spaces("a").visible(contributor)
        assert spaces("b").visible(contributor) == (namespace is None)


def test_a_view_frame_is_read_back_and_differs_from_a_frame_of_a_table() -> None:
    step = ViewFrame(3, b"frame", True, (("0.0.0.0/0", 1),), ((b"\x0a\0\0\1", 2),), (b"x",), (4,))
    frame = compile_view_frame(step)
    assert is_view_frame(frame)
    assert read_view_frame(frame) == step
    assert not is_view_frame(compile_state(1))
