"""IP addresses as text: the same as the standard library, on every Python."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.dns.addresses import (
    Address,
    Endpoint,
    address_text,
    is_address,
    pack_address,
    pack_addresses,
)


@pytest.mark.parametrize("text", ["10.0.0.1", "fd00::1", "::"])
def test_the_text_of_a_packed_address_is_the_text_it_was_read_from(text: str) -> None:
    assert address_text(pack_address(text)) == text
    assert is_address(text)


@given(
    st.one_of(
        st.ip_addresses().map(str),
        st.sampled_from(["", "10.0.0", "010.0.0.1", "fe80::1%1", "a", "1"]),
        st.text(alphabet="0123456789.", max_size=16),
        st.text(alphabet="0123456789abcdef:.%", max_size=12),
    )
)
def test_only_what_the_standard_library_reads_without_a_zone_is_an_address(text: str) -> None:
    try:
        expected = ip_address(text).packed if "%" not in text else None
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(ValueError, match=r"address|identifier"):
            pack_address(text)
    else:
        assert pack_address(text) == expected


def test_the_text_of_mapped_addresses_is_the_same_on_every_python() -> None:
    assert address_text(ip_address("::ffff:1.2.3.4").packed) == "::ffff:102:304"


def test_a_list_is_packed_only_if_every_address_has_the_width() -> None:
    four, six = pack_address("10.0.0.1"), pack_address("fd00::1")
    assert pack_addresses(["10.0.0.1", "fd00::1"]) == (four, six)
    assert pack_addresses(["10.0.0.1"], 4) == (four,)
    assert pack_addresses(["10.0.0.1", "fd00::1"], 4) is None
    assert pack_addresses(["10.0.0.1", "x"]) is None
    assert pack_addresses(None) == pack_addresses([]) == ()


def endpoint(text: str) -> Endpoint:
    scheme, _, place = text.rpartition("://")
    host, _, port = place.rpartition(":")
    return Endpoint(Address(host.strip("[]"), int(port)), scheme)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:53", "[::1]:53", "udp://127.0.0.1:53", "tcp://[fe80::1%eth0]:53"]
)
def test_an_endpoint_prints_as_the_settings_read_it(text: str) -> None:
    assert str(endpoint(text)) == text


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("0.0.0.0:53", "127.0.0.1:53", True),
        ("[::]:53", "[::1]:53", True),
        ("127.0.0.1:53", "127.0.0.1:53", True),
        ("127.0.0.1:53", "127.0.0.2:53", False),
        ("0.0.0.0:53", "127.0.0.1:54", False),
        ("0.0.0.0:53", "[::]:53", False),
        ("0.0.0.0:53", "[::1]:53", False),
        ("0.0.0.0:0", "127.0.0.1:0", False),
        ("[fe80::1%eth0]:53", "[fe80::1%eth1]:53", False),
        ("udp://127.0.0.1:53", "tcp://127.0.0.1:53", False),
        ("udp://127.0.0.1:53", "udp://0.0.0.0:53", True),
        ("udp://127.0.0.1:53", "127.0.0.1:53", True),
    ],
)
def test_two_endpoints_overlap_if_only_one_can_be_bound(
    one: str, other: str, overlap: bool
) -> None:
    assert endpoint(one).overlaps(endpoint(other)) is overlap
    assert endpoint(other).overlaps(endpoint(one)) is overlap
