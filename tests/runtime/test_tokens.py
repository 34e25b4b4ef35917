"""Token buckets: the rate, the burst, and what is left."""

from __future__ import annotations

from dnsd.runtime.tokens import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_full_bucket_grants_its_burst_and_no_more() -> None:
    bucket = TokenBucket(rate=10, burst=3, clock=Clock())
    assert bucket.take(2) == 2
    assert bucket.take(5) == 1
    assert bucket.take(1) == 0


def test_tokens_come_back_with_the_rate_up_to_the_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=8, burst=3, clock=clock)
    assert bucket.take(3) == 3
    clock.now += 0.0625
    assert bucket.take(1) == 0  # half a token
    clock.now += 0.0625
    assert bucket.take(2) == 1
    clock.now += 3600
    assert bucket.take(10) == 3


def test_a_bucket_without_a_rate_stays_empty() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=0, burst=0, clock=clock)
    clock.now += 3600
    assert bucket.take(1) == 0
