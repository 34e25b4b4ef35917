"""Names of record types (RFC 3597 5)."""

from __future__ import annotations

from dnsd.dns.types import type_text


def test_a_type_without_a_name_is_written_as_rfc3597_requires() -> None:
    assert [type_text(type_) for type_ in (1, 33, 1000)] == ["A", "SRV", "TYPE1000"]
