"""Networks: the longest prefix that contains an address decides."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.networks import EVERYONE, NetworkMap, Networks

_NETWORKS = st.one_of(
    st.builds(
        lambda a, n: str(ip_network((a, n), strict=False)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda a, n: str(ip_network((a.packed, n), strict=False)),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
)


def test_a_set_contains_addresses_of_both_families() -> None:
    networks = Networks(["10.0.0.0/8", "192.168.1.7", "fd00::/8"])
    assert b"\x0a\x01\x02\x03" in networks
    assert b"\xc0\xa8\x01\x07" in networks
    assert b"\xc0\xa8\x01\x08" not in networks
    assert b"\xfd" + bytes(15) in networks
    assert b"\xfe" + bytes(15) not in networks


def test_the_first_octets_of_an_ipv6_address_are_not_an_ipv4_address() -> None:
    assert b"\x0a" + bytes(15) not in Networks(["10.0.0.0/8"])


def test_an_empty_set_contains_no_address() -> None:
    networks = Networks(())
    assert not networks.everyone
    assert bytes(4) not in networks
    assert bytes(16) not in networks
    assert b"" not in networks


@pytest.mark.parametrize(
    ("networks", "everyone"),
    [
        (EVERYONE, True),
        (("0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8", "::/0"), True),
        (("0.0.0.0/0",), False),
        (("::/0",), False),
        (("0.0.0.0/1", "::/0"), False),
    ],
)
def test_everyone_is_all_addresses_of_both_families(
    networks: tuple[str, ...], everyone: bool
) -> None:
    assert Networks(networks).everyone == everyone


def test_text_that_is_not_a_network_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        Networks(["10.0.0.0/33"])


@settings(max_examples=200, deadline=None)
@given(st.lists(_NETWORKS, max_size=8), st.ip_addresses())
def test_the_longest_network_that_contains_an_address_decides(
    texts: list[str], address: object
) -> None:
    one = ip_address(str(address))
    containing = [ip_network(text) for text in texts if one in ip_network(text)]
    expected = max(containing, key=lambda network: network.prefixlen, default=None)
    found = NetworkMap((text, text) for text in texts).get(one.packed)
    assert found == (None if expected is None else str(expected))
    assert (one.packed in Networks(texts)) == bool(containing)
