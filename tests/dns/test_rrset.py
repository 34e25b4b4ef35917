"""RRsets: equal sets compare equal."""

from __future__ import annotations

from dnsd.dns.names import ROOT
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type


def test_rdatas_are_sorted_and_distinct() -> None:
    assert rrset(ROOT, Type.A, 5, [b"b", b"a", b"b"]) == RRset(ROOT, 1, 5, (b"a", b"b"))
