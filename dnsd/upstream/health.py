"""The health of an upstream server, judged by the replies to queries of clients.

In `upstream/` (data plane: external names). Change here: when a server is suspect or down.

Any matching reply, whatever its rcode, is a sign of life. Timeouts and network errors are failures.
After `SUSPECT` failures in a row a server is *suspect*: it is queried after the others, and probes
begin (a plain query that every server can answer), because the names in the queries may be the
reason for the timeouts. A probe that fails makes it *down*: it is not queried until a probe, sent
again at growing intervals, or a late reply finds it alive.

The latency is smoothed as in TCP (RFC 6298 2).
"""

from __future__ import annotations

SUSPECT = 3
_FIRST_WAIT, _LAST_WAIT = 0.5, 5.0  # seconds between probes
_MIN_PATIENCE = 0.2


class Health:
    """The health of one server. Times in seconds."""

    __slots__ = ("answers", "down", "failures", "latency", "probe_wait", "timeouts", "variation")

    def __init__(self) -> None:
        self.latency = 0.0  # smoothed; 0.0: unknown
        self.variation = 0.0
        self.failures = 0  # in a row
        self.down = False
        self.probe_wait = _FIRST_WAIT
        self.answers = self.timeouts = 0  # totals

    @property
    def suspect(self) -> bool:
        """Whether it is queried only after the other servers."""
        return self.failures >= SUSPECT

    def answered(self, latency: float) -> None:
        """Counts a matching reply, `latency` after its query."""
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
        """Counts no reply within `patience`, or a network error."""
        self.failures += 1
        self.timeouts += 1
        # As if a reply had taken twice as long, so the policy `fastest` selects other servers.
        self.latency = min(2 * self.latency, 5.0) if self.latency else 1.0

    def probe_failed(self) -> float:
        """Counts a failed probe; returns the seconds until the next one."""
        self.down = True
        wait = self.probe_wait
        self.probe_wait = min(2 * wait, _LAST_WAIT)
        return wait

    def patience(self, limit: float) -> float:
        """How long to wait for a reply before another server is queried too, at most `limit`."""
        if not self.latency:
            return limit
        return min(limit, max(_MIN_PATIENCE, self.latency + 4 * self.variation))
