"""The parts of the upstream bench that need no servers."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import upstream


def test_zipf_draws_are_repeatable_and_favor_the_first_names() -> None:
    draws = list(upstream.zipf_draws(1_000, 20_000))
    counts = Counter(draws)
    assert draws == list(upstream.zipf_draws(1_000, 20_000))
    assert set(draws) <= set(range(1_000))
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.2)


def test_both_caches_hold_a_name_after_its_first_lookup() -> None:
    for cache in (upstream.DnsdCache(100), upstream.LruCache(100)):
        assert not cache.lookup(1)
        assert cache.lookup(1)
        for name in range(2, 1_000):
            cache.lookup(name)
        assert not cache.lookup(1_001)


def test_an_unknown_part_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        upstream.main(["zipff"])
    assert "not one of hit" in capsys.readouterr().err
