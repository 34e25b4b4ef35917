"""The index of names: canonical order, through every change of the zone."""

from __future__ import annotations

import pytest

from dnsd.admin.names import NameIndex, key_of, name_of_key
from dnsd.cluster.objects import Key
from dnsd.dns.names import ROOT, Name, name_from_text
from dnsd.sources.source import Batch
from tests.answer.building import pipeline_of
from tests.cases import cluster


def names_of(index: NameIndex) -> list[Name]:
    """All names in the order of the index, in pages of seven."""
    found: list[Name] = []
    after = b""
    while True:
        names, after = index.page(ROOT, after, 7, lambda _: True)
        found += names
        if not after:
            return found


async def test_the_index_follows_every_change() -> None:
    pipeline = pipeline_of(cluster.objects())
    index = NameIndex(pipeline)
    await index.ready()
    for plain in cluster.objects():
        meta = plain["metadata"]
        key = Key(plain["kind"], meta.get("namespace", ""), meta["name"])
        pipeline.feed(Batch((key,)), 0.0)
    assert names_of(index) == sorted(pipeline.zone.names(), key=key_of)


async def test_a_rebuilt_zone_is_indexed_again() -> None:
    pipeline = pipeline_of(cluster.objects())
    index = NameIndex(pipeline)
    await index.ready()
    pipeline.reconfigure(type(pipeline.zone.config)(zones=(name_from_text("other."),)))
    await index.ready()
    assert names_of(index) == sorted(pipeline.zone.names(), key=key_of)
    assert index.count(name_from_text("cluster.local.")) == 0


async def test_a_page_starts_below_its_name_and_after_its_key() -> None:
    pipeline = pipeline_of(cluster.objects())
    index = NameIndex(pipeline)
    await index.ready()
    prod = name_from_text("prod.svc.cluster.local.")
    first, after = index.page(prod, b"", 1, lambda _: True)
    assert first == [prod]
    second, _ = index.page(prod, after, 1, lambda _: True)
    assert second != first
    assert index.count(prod) == len([name for name in names_of(index) if name.endswith(prod)])


@pytest.mark.parametrize("text", [".", "a.", "web.default.svc.cluster.local.", "a\\.b.c."])
def test_a_key_holds_its_name(text: str) -> None:
    assert name_of_key(key_of(name_from_text(text))) == name_from_text(text)


@pytest.mark.parametrize("key", [b"\x05ab", b"\x00", b"\x40" + b"a" * 64])
def test_other_bytes_are_not_the_key_of_a_name(key: bytes) -> None:
    with pytest.raises(ValueError, match="not the key"):
        name_of_key(key)
