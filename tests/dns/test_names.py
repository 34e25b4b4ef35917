"""Domain names: wire form, text, and ancestors. Cross-checked with dnspython."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.dns.names import (
    MAX_NAME,
    ROOT,
    BadName,
    is_below,
    labels_of,
    longest_suffix,
    name_end,
    name_from_text,
    name_of,
    parent_of,
    reverse_name,
    text_of,
)

labels = st.lists(st.binary(min_size=1, max_size=20), max_size=8)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("www.corp.example.", "corp.example."),
        ("corp.example.", "corp.example."),
        ("acorp.example.", "example."),
        ("c.d.", "."),
        (".", "."),
    ],
)
def test_the_longest_suffix_of_a_name_begins_at_a_label(name: str, suffix: str) -> None:
    suffixes = [name_from_text(text) for text in (".", "example.", "corp.example.", "b.c.d.")]
    assert longest_suffix(name_from_text(name), suffixes) == name_from_text(suffix)


def test_a_name_outside_every_suffix_has_none() -> None:
    suffixes = {name_from_text("example.")}
    assert longest_suffix(name_from_text("a.test."), suffixes) is None
    assert longest_suffix(ROOT, suffixes) is None


class TestNames:
    def test_labels_are_lower_cased_and_put_before_the_rest(self) -> None:
        assert name_of("Web", b"NS", below=name_of("z")) == b"\x03web\x02ns\x01z\x00"

    @pytest.mark.parametrize("label", ["", "x" * 64])
    def test_a_label_has_1_to_63_octets(self, label: str) -> None:
        with pytest.raises(BadName, match="must have 1 to 63"):
            name_of(label)

    def test_a_name_has_at_most_255_octets(self) -> None:
        longest = name_of("a" * 63, "b" * 63, "c" * 63, "d" * 61)
        assert len(longest) == MAX_NAME
        with pytest.raises(BadName, match="257 octets"):
            name_of("x", below=longest)

    @given(labels)
    def test_text_is_read_back_as_the_same_name(self, some: list[bytes]) -> None:
        name = name_of(*some)
        assert name_from_text(text_of(name)) == name

    @given(labels)
    def test_text_means_the_same_to_dnspython(self, some: list[bytes]) -> None:
        name = name_of(*some)
        assert dns.name.from_text(text_of(name)).to_wire() == name

    @given(labels)
    def test_labels_and_parents_take_a_name_apart(self, some: list[bytes]) -> None:
        name = name_of(*some)
        parts = list(labels_of(name))
        assert name_of(*parts) == name
        for _ in parts:
            assert is_below(name, parent_of(name))
            name = parent_of(name)
        assert name == ROOT == parent_of(ROOT)

    def test_a_name_is_below_another_at_a_label_boundary(self) -> None:
        assert is_below(name_of("a", "bc"), name_of("bc"))
        assert is_below(name_of("bc"), name_of("bc"))
        assert not is_below(name_of("abc"), name_of("bc"))
        # The last octets are those of the name `c`, but they are inside a label.
        assert not is_below(name_of(b"ab\x01c"), name_of("c"))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a..b", "empty label"),
            ("a\\", "inside an escape"),
            ("\\256", "over 255"),
            ("ä", "A-label"),
        ],
    )
    def test_text_that_is_not_a_name_is_refused(self, text: str, problem: str) -> None:
        with pytest.raises(BadName, match=problem):
            name_from_text(text)

    def test_text_without_a_dot_at_its_end_is_relative(self) -> None:
        zone = name_of("z")
        assert name_from_text("a", zone) == name_of("a", "z")
        assert name_from_text("a.", zone) == name_of("a")
        assert name_from_text("@", zone) == name_from_text("", zone) == zone
        assert name_from_text(".", zone) == ROOT

    @given(labels, st.binary(max_size=5))
    def test_the_end_of_a_name_in_longer_data_is_found(
        self, some: list[bytes], tail: bytes
    ) -> None:
        name = name_of(*some)
        assert name_end(b"xy" + name + tail, 2) == 2 + len(name)


class TestReverseNames:
    @given(st.ip_addresses())
    def test_a_reverse_name_is_that_of_the_standard_library(
        self, address: IPv4Address | IPv6Address
    ) -> None:
        assert reverse_name(address.packed) == name_from_text(address.reverse_pointer + ".")
