"""Health of a server: suspect after failures, down after a failed probe."""

from __future__ import annotations

from dnsd.upstream.health import SUSPECT, Health


class TestHealth:
    def test_latency_is_smoothed(self) -> None:
        health = Health()
        for _ in range(50):
            health.answered(0.1)
        health.answered(0.9)
        assert 0.15 < health.latency < 0.25
        assert health.patience(5.0) > health.latency
        assert health.patience(0.1) == 0.1

    def test_a_matching_reply_ends_suspicion(self) -> None:
        health = Health()
        for _ in range(SUSPECT):
            assert not health.suspect
            health.failed()
        assert health.suspect
        assert health.probe_failed() == 0.5
        assert [health.probe_failed() for _ in range(5)] == [1, 2, 4, 5, 5]
        assert health.down
        health.answered(0.1)
        assert (health.down, health.suspect) == (False, False)
        assert health.probe_failed() == 0.5
