"""Which scopes the start waits for, and which kinds stay unknown.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: when the source
is synced although a resource cannot be watched.

* Services, EndpointSlices, Namespaces, and the kinds that are `needed` must be listed first.
* Any other resource does not delay the start if it is absent or forbidden, or if it fails FAILURES
  times in a row while the needed ones are listed. Failures from before that, when perhaps nothing
  was reachable, count with the next one.
* One namespace that is forbidden does not delay the start either, if others are listed.
* What is unknown for such a reason is reported with each batch, unless the resource is absent.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dnsd.cluster.objects import Key
from dnsd.sources.kubernetes.informer import Informer

# More failures keep all names unanswered for longer if one resource is broken; fewer deny its names
# because of one brief failure.
FAILURES = 3


class Readiness:
    """The scopes of one source. `unknown`: see `Batch`."""

    def __init__(self, informers: Sequence[Informer], needed: Collection[str]) -> None:
        self._informers = informers
        self.needed = frozenset(needed)
        self.unknown: tuple[Key, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the start waits for no scope."""
        return all(informer.ready for informer in self._informers)

    @property
    def partial(self) -> bool:
        """Whether one scope fails while another one is listed."""
        return any(informer.synced for informer in self._informers) and any(
            informer.status.state == "failing" for informer in self._informers
        )

    def update(self, tried: Informer) -> bool:
        """Find the scopes that the start need not wait for, after `tried` was tried.

        Returns whether that, or `unknown`, has changed.
        """
        excused = [
            informer
            for informer in self._informers
            if not informer.ready and self._may_lack(informer, informer is tried)
        ]
        for informer in excused:
            informer.excused = True
        return self.update_unknown() or bool(excused)

    def update_unknown(self) -> bool:
        """Compute `unknown` again. Returns whether it has changed."""
        before = self.unknown
        self.unknown = tuple(
            Key(*one.list_watch.scope.place, "")
            for one in self._informers
            if (one.excused or one.not_in_snapshot)
            and not one.synced
            and one.status.state != "absent"
        )
        return before != self.unknown

    def _may_lack(self, informer: Informer, tried: bool) -> bool:
        if informer.kind in self.needed:
            alike = (one for one in self._informers if one.kind == informer.kind)
            return informer.forbidden and any(one.synced for one in alike)
        needed = (one for one in self._informers if one.kind in self.needed)
        return (
            informer.status.state == "absent"
            or informer.forbidden
            or (tried and informer.failures >= FAILURES and all(one.ready for one in needed))
        )
