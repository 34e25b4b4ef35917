"""The settings of forwarding: servers, rules, and names with fixed addresses."""

from __future__ import annotations

import pytest
import yaml

from dnsd.dns.names import ROOT, name_from_text
from dnsd.settings.kinds import BadValue, Kind
from dnsd.upstream.settings import HOSTS, RULES, UPSTREAM


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("192.0.2.1", "udp://192.0.2.1:53"),
        (" tls://192.0.2.1#dns.example ", "tls://192.0.2.1:853#dns.example"),
        ("none", "none"),
        ("resolv.conf", "resolv.conf"),
    ],
)
def test_an_upstream_has_its_scheme_and_its_port(text: str, value: str) -> None:
    assert UPSTREAM.parse(text) == value
    assert UPSTREAM.parse(yaml.safe_load(UPSTREAM.show(value))) == value


@pytest.mark.parametrize("value", ["dns.example", "https://192.0.2.1", 53, ["192.0.2.1"]])
def test_another_value_is_not_an_upstream(value: object) -> None:
    with pytest.raises(BadValue):
        UPSTREAM.parse(value)


def test_a_rule_is_for_a_suffix_and_a_dot_is_every_name() -> None:
    assert RULES.parse({"Corp.example.": "192.0.2.1", ".": ["none"]}) == {
        name_from_text("corp.example"): ("udp://192.0.2.1:53",),
        ROOT: ("none",),
    }


@pytest.mark.parametrize(
    ("hosts", "problem"),
    [
        ({".": "10.0.0.1"}, "below the root"),
        ({"10.0.0.1": "10.0.0.1"}, "not a host name"),
        ({"fd00::1": "10.0.0.1"}, "not a host name"),
        ({"a b": "10.0.0.1"}, "not a host name"),
        ({"a.example": "nope"}, "nope is not an IP address"),
        ({"a.example": []}, "has no value"),
    ],
)
def test_a_pinned_name_is_a_host_name_with_addresses(
    hosts: dict[str, object], problem: str
) -> None:
    with pytest.raises(BadValue, match=problem):
        HOSTS.parse(hosts)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(HOSTS, {"a.example": ["10.0.0.1", "fd00::1"]}), (RULES, {".": "none", "b.example": "none"})],
)
def test_what_is_shown_is_read_as_the_same_value(kind: Kind, value: dict[str, object]) -> None:
    parsed = kind.parse(value)
    assert kind.parse(yaml.safe_load(kind.show(parsed))) == parsed
