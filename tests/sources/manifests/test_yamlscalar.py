"""Plain scalars mean what they mean to Kubernetes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.manifests.yamlscalar import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("On", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("0777", 511),
        ("0o777", 511),
        ("0x1F", 31),
        ("0b101", 5),
        ("-12", -12),
        ("1_000", 1000),
        ("0", 0),
        ("08", 8.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("80:80", "80:80"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("10.96.0.1", "10.96.0.1"),
        ("fd00::1", "fd00::1"),
        ("y", "y"),
        ("+", "+"),
        ("0x_", "0x_"),
        ("1" * 41, "1" * 41),
        ("nullable", "nullable"),
    ],
)
def test_a_plain_scalar(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(resolve(".NaN"))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789+-._:xobeEinfNaA~", max_size=45) | st.text(max_size=10))
def test_any_text_means_something(text: str) -> None:
    value = resolve(text)
    assert isinstance(value, bool | int | float | str | None)
    if isinstance(value, str):
        assert value is text
