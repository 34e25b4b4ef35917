"""What every source of objects has in common: where `Batch`es come from.

A source runs until it is cancelled and hands over what it learns in `Batch`es: objects as
they now are, and Keys of those that are gone. The control loop applies a batch in one
step, so a source that has much to say says it in several, and lets the loop breathe
between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from dnsd.cluster.objects import Event, Key


class SourceError(Exception):
    """What no retry can mend: a directory that is not there, a kubeconfig that cannot be read.

    The message names the thing and says what to do; the command line shows it as it is.
    """


class Batch(Struct, frozen=True):
    """Events that belong together, in order.

    `synced`: with this batch, all that existed when the source started has been said. It
    stays true in the batches after it, unless what was said turns out to be of no use.

    `stale`: what has been said until now can be answered with, but is of an earlier run, or
    of before the source fell silent; the next batch that is not stale takes that back. A
    batch without events may say no more than this.

    `unknown`: kinds of objects (Keys without a name, and without a namespace where it is all)
    that others do not wait for and of which nobody knows whether there are more.
    """

    events: tuple[Event, ...] = ()
    synced: bool = False
    stale: bool = False
    unknown: tuple[Key, ...] = ()


class SourceStatus(Struct):
    """How a source is doing, for readiness, metrics, `/sources` and `explain`.

    Times are seconds since the epoch, 0.0 for never.
    """

    name: str  # "manifests", "kubernetes/services" …
    state: str  # "starting", "synced", "stale", "failing"
    detail: str = ""  # one sentence: the directory, the last error and what to do about it
    objects: int = 0
    last_event: float = 0.0
    last_contact: float = 0.0  # event, bookmark, successful reconnect, completed scan
    resource_version: str = ""
    relists: int = 0
    reconciles: int = 0
    corrections: int = 0
    errors: int = 0


class Source(Protocol):
    """A source of objects: a directory of manifests, an API server."""

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish batches until cancelled. Raises only for what no retry can mend."""

    def status(self) -> list[SourceStatus]:
        """One status a kind or directory that is followed."""

    def reload(self) -> None:
        """Look at everything again soon (SIGHUP)."""
