"""The three formats of the same manifests, and the time of a change."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from bench import manifests
from dnsd.sources.manifests.source import load


def test_each_format_holds_the_same_objects(tmp_path: Path) -> None:
    found = [
        {one.key: replace(one, origin="") for one in load(path).objects}
        for path in manifests.write(tmp_path, 12).values()
    ]
    assert len(found[0]) == 24
    assert found[0] == found[1] == found[2]


async def test_each_change_is_published(tmp_path: Path) -> None:
    seconds = await manifests.change_seconds(tmp_path, 3)
    assert len(seconds) == 3
    assert seconds == sorted(seconds)
    assert "10.104.0.2" in (tmp_path / "changing.yaml").read_text()
