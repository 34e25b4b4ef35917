"""A token bucket: a bound on how often something may happen, with bursts.

In `runtime/` (both planes; imports no other package of dnsd). Change here: how rates are bounded.
"""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Gets `rate` tokens per second, and holds `burst` tokens at most. It is full at the start.

    `clock` returns seconds, and never goes back.
    """

    __slots__ = ("_at", "_clock", "burst", "left", "rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self.left, self._at = burst, clock()

    def take(self, wanted: int) -> int:
        """Take up to `wanted` tokens. The number that was taken."""
        now = self._clock()
        self.left = min(self.burst, self.left + (now - self._at) * self.rate)
        self._at = now
        granted = min(wanted, int(self.left))
        self.left -= granted
        return granted
