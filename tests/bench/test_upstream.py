"""The parts of the upstream bench that need no servers."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import upstream


def test_zipf_draws_the_first_names_most_and_the_same_ones_every_time() -> None:
    draws = list(upstream._zipf(1_000, 20_000))
    counts = Counter(draws)
    assert draws == list(upstream._zipf(1_000, 20_000))
    assert set(draws) <= set(range(1_000))
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.2)


def test_both_caches_hold_what_they_are_told() -> None:
    for cache in (upstream._Ours(100), upstream._Lru(100)):
        assert not cache.ask(1)
        assert cache.ask(1)
        for name in range(2, 1_000):
            cache.ask(name)
        assert not cache.ask(1_001)


def test_a_word_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        upstream.main(["zipff"])
    assert "none of hit" in capsys.readouterr().err
