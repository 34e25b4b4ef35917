"""Failures of upstream servers, by the extended error that the client gets (RFC 8914 4).

In `upstream/` (data plane: external names). Change here: which failure becomes which extended
error.
"""

from __future__ import annotations

from dnsd.dns.message import Ede


class UpstreamFailure(Exception):
    """No usable reply. `code` is the extended error for the client, the text is the reason.

    `errors`: the extended errors of the server, which the client gets too.
    """

    code = Ede.NO_REACHABLE_AUTHORITY

    def __init__(self, reason: str, errors: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(reason)
        self.errors = errors


class NoReply(UpstreamFailure):
    """No trustworthy reply came in time."""


class Unusable(UpstreamFailure):
    """A reply that is not usable: REFUSED, SERVFAIL, a referral, a looping chain."""


class NetworkError(UpstreamFailure):
    """Unreachable, refused, closed, or a certificate that is not valid."""

    code = Ede.NETWORK_ERROR
