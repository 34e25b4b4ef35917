"""Kinds: text of a kind becomes a value, and other text is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dnsd.control.settings import Settings
from dnsd.dns.addresses import Address
from dnsd.settings.kinds import BadValue, duration, show_duration, show_size, size
from dnsd.settings.schema import declared

NAMES = list(declared(Settings))


class TestKinds:
    @given(st.integers(1, 10**9))
    @hypothesis_settings(max_examples=50, deadline=None)
    def test_a_duration_is_read_as_it_is_shown(self, milliseconds: int) -> None:
        value = duration(0, 10**9).parse(show_duration(milliseconds / 1000))
        assert value == pytest.approx(milliseconds / 1000, rel=1e-5)

    @given(st.integers(0, 2**40))
    @hypothesis_settings(max_examples=50, deadline=None)
    def test_a_size_is_read_as_it_is_shown(self, octets: int) -> None:
        assert size(0, 2**40).parse(show_size(octets)) == octets

    @pytest.mark.parametrize(
        ("text", "seconds"), [("1m30s", 90), ("2", 2), (0.5, 0.5), ("1.5s", 1.5), ("1d", 86400)]
    )
    def test_a_duration_is_a_sum_of_units_or_a_number_of_seconds(
        self, text: object, seconds: float
    ) -> None:
        assert duration(0, 10**6).parse(text) == seconds

    @given(
        st.sampled_from(NAMES),
        st.one_of(
            st.text(max_size=20),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.none(),
            st.lists(st.text(max_size=5), max_size=3),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
            st.dates(),
        ),
    )
    @hypothesis_settings(max_examples=300, deadline=None)
    def test_every_other_value_is_refused_with_a_reason(self, name: str, value: object) -> None:
        kind = declared(Settings)[name].setting.kind
        try:
            read = kind.parse(value)
        except BadValue as error:
            read = str(error)[:500]
        assert type(read) in (
            str,
            bytes,
            int,
            float,
            bool,
            tuple,
            dict,
            Address,
            type(None),
        )
        assert read not in ("", b"") or value == ""
