"""The interface between the control process and a source of objects.

In `sources/` (control plane: objects of the cluster). Change here: what a source publishes.

A source runs until it is cancelled, and publishes `Batch`es: objects as they are now, and the Keys
of objects that are gone. The control loop applies a small batch in one step, and a large
one in several. A source splits many events into several batches, because all events of a batch are
in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from dnsd.cluster.objects import Event, Key


class SourceError(Exception):
    """An error that no retry can fix: a missing directory, an unreadable kubeconfig.

    The message names the cause and the action to take. The command line prints it unchanged.
    """


class Batch(Struct, frozen=True):
    """Events that belong together, in order.

    `synced`: with this batch, all objects that existed when the source started are published. It
    stays true in later batches, unless the published objects turn out to be unusable.

    `stale`: the objects published so far are usable, but are from an earlier run, or from before
    the source lost its connection. The next batch that is not stale ends this. A batch without
    events may change only this.

    `unknown`: kinds (Keys without a name, and without a namespace if all of the kind are meant) for
    which the source cannot tell whether more objects exist. The other kinds do not wait for them.
    """

    events: tuple[Event, ...] = ()
    synced: bool = False
    stale: bool = False
    unknown: tuple[Key, ...] = ()


class SourceStatus(Struct):
    """The state of a source, for readiness, metrics, `/sources`, and `explain`.

    Times are seconds since the epoch; 0.0: never.
    """

    name: str  # "manifests", "kubernetes/services", ...
    state: str  # "starting", "synced", "stale", "failing"
    detail: str = ""  # one sentence: the directory, or the last error and the action to take
    objects: int = 0
    last_event: float = 0.0
    last_contact: float = 0.0  # event, bookmark, reconnect, or completed update of a directory
    resource_version: str = ""
    relists: int = 0
    reconciles: int = 0  # comparisons of everything
    corrections: int = 0  # events that a comparison found and no watch reported
    errors: int = 0


class Source(Protocol):
    """A source of objects: a directory of manifests, or an API server."""

    async def run(self, publish: Callable[[Batch], None]) -> None:
        """Publish batches until cancelled. Raises only for errors that no retry can fix."""

    def status(self) -> list[SourceStatus]:
        """One status for each kind or directory that the source follows."""

    def reload(self) -> None:
        """Read everything again soon (SIGHUP)."""
