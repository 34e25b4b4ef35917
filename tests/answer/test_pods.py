"""Labels that spell addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.pods import address_of
from dnsd.zone.building import address_label


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses())
def test_every_address_has_a_label(address: object) -> None:
    packed = ip_address(str(address)).packed
    assert address_of(address_label(packed)[1:]) == packed


@pytest.mark.parametrize(
    "label",
    [
        *(
            b"",
            b"web",
            b"1-2-3",
            b"1-2-3-4-5",
            b"1-2-3-256",
            b"01-2-3-4",
            b"1--2--3",
            b"\xff",
            b"-",
        ),
        # What the textual forms of addresses have, and a label may have too.
        *(b"::1", b"fe80::1", b"fd00--1:2", b"fe80--1%eth0", b"fe80--1%", b"1.2.3.4"),
        b"--ffff-1.2.3.4",
    ],
)
def test_what_spells_none(label: bytes) -> None:
    assert address_of(label) is None
