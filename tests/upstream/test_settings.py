"""The settings of forwarding: servers, rules, and names with fixed addresses."""

from __future__ import annotations

import pytest
import yaml

from dnsd.settings.kinds import BadValue
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
        "corp.example": ("udp://192.0.2.1:53",),
        ".": ("none",),
    }


def test_a_name_with_fixed_addresses_is_not_the_root() -> None:
    with pytest.raises(BadValue, match="below the root"):
        HOSTS.parse({".": "10.0.0.1"})
