"""What dnsd may claim of its data: fresh, stale, or not ready, and below which names it has none.

In `control/` (control process). Change here: how the claims of several sources are combined.

Each source has one claim, which its last batch gives. The workers answer by the join of all
claims, because a zone that several sources fill is as good as its worst source:

* FRESH < STALE < NOT_READY, and the join is the highest. A name may have records of any source,
  and a negative answer denies that any source has the name. So beside a stale source every answer
  may be stale (EDE 3 and 19, RFC 8914), and beside a source that is not ready every answer may be
  wrong (SERVFAIL with EDE 14).
* What is unknown to one source is unknown: the join has the union.

The join is associative, commutative, and idempotent, so the order in which batches of several
sources arrive does not matter, and no source overrides the claim of another.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.sources.source import Batch
from dnsd.zone.frame import FRESH, NOT_READY, STALE

_ORDER = (FRESH, STALE, NOT_READY)


class Claim(Struct, frozen=True):
    """`state`: FRESH, STALE, or NOT_READY of dnsd.zone.frame. `unknown`: see `Batch.unknown`."""

    state: int = NOT_READY
    unknown: tuple[Key, ...] = ()


def claim_of(batch: Batch) -> Claim:
    """The claim of a source once its batch is in the zone."""
    if batch.stale:
        return Claim(STALE, batch.unknown)
    return Claim(FRESH if batch.synced else NOT_READY, batch.unknown)


def join(claims: Iterable[Claim]) -> Claim:
    """The claim of a zone that all these sources fill; not ready without a source."""
    claims = tuple(claims)
    state = max((claim.state for claim in claims), key=_ORDER.index, default=NOT_READY)
    return Claim(state, tuple(sorted({key for claim in claims for key in claim.unknown})))
