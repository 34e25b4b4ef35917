"""The record of one explanation: steps, objects, and the reason for the outcome.

In `explain/` (control plane: pure). Change here: what an explanation holds.

`inside` and `external` analyze a name and write what they find into a `Trace`. The `reason` is a
clause that can follow a colon. The first reason stays, because a label that is missing further to
the right also explains what is missing to its left.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.cluster.objects import Key, Object
from dnsd.dns.names import Name
from dnsd.explain.lookup import Found
from dnsd.zone.pipeline import Pipeline

MAX_CITED = 20  # objects of one kind in an explanation


class Step(Struct, frozen=True):
    """One check. `ok`: True for passed, False for failed, None for information."""

    what: str
    ok: bool | None
    said: str


class Cited(Struct, frozen=True):
    """An object behind an answer. `version` is its resourceVersion, `origin` its manifest."""

    kind: str
    namespace: str
    name: str
    version: str = ""
    origin: str = ""
    uid: str = ""


class Target(Struct, frozen=True):
    """The parts of a name below svc.ZONE. `rest`: the labels in front of the Service."""

    apex: Name
    namespace: str = ""
    service: str = ""
    rest: str = ""


class Trace:
    """What the analysis of one name and type found so far."""

    def __init__(self, pipeline: Pipeline, name: Name, type_: int, found: Found) -> None:
        self.pipeline, self.name, self.type, self.found = pipeline, name, type_, found
        self.steps: list[Step] = []
        self.objects: dict[Key, Cited] = {}
        self.reason = ""
        self.refused = False
        self.target: Target | None = None

    def step(self, what: str, ok: bool | None, text: str) -> None:
        self.steps.append(Step(what, ok, text))

    def because(self, reason: str) -> None:
        self.reason = self.reason or reason

    def fail(self, what: str, text: str) -> None:
        """Add a failed step that is the reason."""
        self.step(what, False, text)
        self.because(text)

    def last(self, what: str) -> str:
        """The sentence of the last step of this kind, "" without one."""
        return next((one.said for one in reversed(self.steps) if one.what == what), "")

    def cite(self, *objects: Object) -> None:
        for one in objects:
            if sum(cited.kind == one.kind for cited in self.objects.values()) < MAX_CITED:
                self.objects[one.key] = Cited(*one.key, one.version, one.origin, one.uid)
