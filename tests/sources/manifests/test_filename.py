"""Names of files as text."""

from __future__ import annotations

import os

import pytest

from dnsd.sources.manifests.filename import shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a.yaml", "a.yaml"),
        ("dnsd-größe/é.yaml".encode(), "dnsd-größe/é.yaml"),
        (b"\xff/\xe9 \xc3\xa9.yaml", r"\xff/\xe9 é.yaml"),
        (b"", ""),
    ],
)
def test_shown(name: bytes, text: str) -> None:
    assert shown(os.fsdecode(name)) == text
    assert shown(os.fsdecode(name)).encode() == text.encode()
