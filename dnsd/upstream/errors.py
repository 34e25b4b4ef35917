"""Why an upstream gave no answer, told apart by what the client is told (RFC 8914 4)."""

from __future__ import annotations

from dnsd.dns.message import Ede


class UpstreamFailure(Exception):
    """No usable answer. `code` is the extended error for the client, the text says why."""

    code = Ede.NO_REACHABLE_AUTHORITY


class NoReply(UpstreamFailure):
    """Nothing that could be believed came in time."""


class Unusable(UpstreamFailure):
    """A reply that does not help: REFUSED, SERVFAIL, a referral, a looping chain.

    `errors` are the extended errors it carried, worth passing on.
    """

    def __init__(self, text: str, errors: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(text)
        self.errors = errors


class NetworkError(UpstreamFailure):
    """The network said no: unreachable, refused, closed, a certificate that is not good."""

    code = Ede.NETWORK_ERROR
