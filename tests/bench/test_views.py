"""The memory of views."""

from __future__ import annotations

import pytest

from bench import views


def test_a_view_takes_under_30_kb_in_addition_to_its_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    views.main(["--views", "100", "--names", "5"])
    *_, last = capsys.readouterr().out.splitlines()
    title, _, number = last.removesuffix(" kB").rpartition(" ")
    assert title.strip() == "a view in addition to its names"
    assert float(number) < 30
