"""Pod names by form: labels that contain addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.pods import address_of
from dnsd.zone.building import address_label


@settings(max_examples=200, deadline=None)
@given(st.ip_addresses())
def test_the_label_of_an_address_contains_it(address: object) -> None:
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
        # Characters of textual addresses that a label may contain.
        *(b"::1", b"fe80::1", b"fd00--1:2", b"fe80--1%eth0", b"fe80--1%", b"1.2.3.4"),
        b"--ffff-1.2.3.4",
    ],
)
def test_a_label_of_another_form_contains_no_address(label: bytes) -> None:
    assert address_of(label) is None
