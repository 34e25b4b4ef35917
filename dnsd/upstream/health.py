"""How a server fares, judged by answers to real questions.

Any matching reply, whatever its rcode, is a sign of life; silence and network errors are
failures. After `SUSPECT` failures in a row a server is *suspect*: it is asked after the
others, and probes begin (a plain question that every server can answer somehow), because
silence may be the fault of the names that were asked for. A probe that fails as well makes
it *down*: it is not asked at all until a probe, sent again and again at growing distances,
or a late reply finds it alive.

The latency is smoothed as TCP does it (RFC 6298 2).
"""

from __future__ import annotations

SUSPECT = 3
_FIRST_WAIT, _LAST_WAIT = 0.5, 5.0  # seconds between probes
_MIN_PATIENCE = 0.2


class Health:
    """The record of one server. Times in seconds."""

    __slots__ = ("answers", "down", "failures", "latency", "probe_wait", "timeouts", "variation")

    def __init__(self) -> None:
        self.latency = 0.0  # smoothed; 0.0: not known yet
        self.variation = 0.0
        self.failures = 0  # in a row
        self.down = False
        self.probe_wait = _FIRST_WAIT
        self.answers = self.timeouts = 0  # totals

    @property
    def suspect(self) -> bool:
        """Whether it is asked only when the others do not help."""
        return self.failures >= SUSPECT

    def answered(self, latency: float) -> None:
        """A matching reply came, `latency` after its question."""
        if self.latency:
            self.variation += (abs(latency - self.latency) - self.variation) / 4
            self.latency += (latency - self.latency) / 8
        else:
            self.latency, self.variation = latency, latency / 2
        self.answers += 1
        self.failures = 0
        self.down = False
        self.probe_wait = _FIRST_WAIT

    def failed(self) -> None:
        """Silence for longer than `patience`, or a network error."""
        self.failures += 1
        self.timeouts += 1
        # As if an answer had taken twice as long: the fastest policy turns to others.
        self.latency = min(2 * self.latency, 5.0) if self.latency else 1.0

    def probe_failed(self) -> float:
        """Seconds until the next probe."""
        self.down = True
        wait = self.probe_wait
        self.probe_wait = min(2 * wait, _LAST_WAIT)
        return wait

    def patience(self, limit: float) -> float:
        """How long to wait for it before another is asked as well, at most `limit`."""
        if not self.latency:
            return limit
        return min(limit, max(_MIN_PATIENCE, self.latency + 4 * self.variation))
