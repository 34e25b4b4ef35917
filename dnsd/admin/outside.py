"""A name of the view from outside taken apart: who has it, who else wants it, what is awaited.

Which names exist there follows from objects, not from a grammar: any host may be wished for.
So the walk begins with the owners, and only for a name that nobody has, `svc.ns.OUT` and
`node.nodes.OUT` are tried.
"""

from __future__ import annotations

from dnsd.admin.parts import Cited, Trail
from dnsd.cluster.objects import Key, Node, RouteSubject, ServiceSubject, Subject
from dnsd.zone.compose import MARKER
from dnsd.zone.outside import standing
from dnsd.zone.rrset import Name, labels_of, text_of
from dnsd.zone.zone import APEX

_LEFT_OUT = 8  # owners named in a sentence


def walk_outside(trail: Trail, apex: Name) -> None:
    """Takes the trail's name, which lies in the outside zone `apex`, apart."""
    pipeline, zone = trail.pipeline, trail.pipeline.zone
    trail.step("view", None, f"{text_of(apex)} shows the cluster from outside")
    owners = zone.owners(trail.name)
    for owner in owners[:1]:
        _owner(trail, owner)
    dispute = zone.disputes.get(trail.name)
    if dispute:
        others = ", ".join(map(str, dispute[1 : 1 + _LEFT_OUT]))
        who = "the zone itself" if dispute[0] == APEX else str(dispute[0])
        trail.step(
            "conflict",
            False,
            f"{others} want the name too; {who} has it: first by age, then by key",
        )
    if not owners:
        _nobody(trail, apex)
    elif trail.found.kind == "nodata":
        trail.because(f"{owners[0]} has other records there")
    if not pipeline.zone.exists(trail.name):
        trail.because("no object has this name outside")


def _owner(trail: Trail, owner: Key) -> None:
    if owner == APEX:
        trail.step("owner", True, "the zone has it by itself")
        trail.because("it is the zone itself, or one of its name servers")
        return
    subject = trail.pipeline.state.subject(owner)
    if subject is None:
        trail.step("owner", True, f"{owner} has the name")
        trail.objects[owner] = Cited(*owner, origin="admin API")
        return
    _cite(trail, subject)
    trail.step("owner", True, f"{owner} has the name")
    if trail.found.kind == "answer":
        trail.because(f"{owner} has it outside")


def _cite(trail: Trail, subject: Subject) -> None:
    """The objects behind a subject, and what there is to say of it."""
    if isinstance(subject, ServiceSubject):
        trail.cite(subject.service)
        for piece in subject.slices:
            trail.cite(piece)
        for node in subject.nodes:
            if (known := trail.pipeline.state.get(node.key)) is not None:
                trail.cite(known)
    elif isinstance(subject, RouteSubject):
        trail.cite(subject.route)
        for gateway in subject.gateways:
            trail.cite(gateway)
    else:
        trail.cite(subject)
    for sentence in standing(subject, trail.pipeline.zone.config):
        trail.step("outside", None, sentence)
        if trail.found.kind == "nxdomain" or sentence.startswith("pending"):
            trail.because(sentence)
    for problem in trail.pipeline.problems.get(subject.key, ()):
        trail.step("outside", False, problem)


def _nobody(trail: Trail, apex: Name) -> None:
    """A name without owner: a Service or Node that has nothing to show, or a marker's."""
    labels = [label.decode("ascii", "backslashreplace") for label in labels_of(trail.name)]
    own = labels[: len(labels) - len(list(labels_of(apex)))]
    candidates = [Key("Service", own[-1], own[-2])] if len(own) > 1 else []
    if own[-1:] == ["nodes"]:
        candidates.append(Key("Node", "", ".".join(own[:-1])))
    # Who waits for addresses holds its name without records, and owns nothing at it.
    config = trail.pipeline.zone.config
    for key in candidates:
        subject = trail.pipeline.state.subject(key)
        if subject is None:
            continue
        if isinstance(subject, Node) and "nodes" not in config.outside.names:
            trail.fail("owner", f"{key} exists, and outside_names does not have nodes")
            return
        _cite(trail, subject)
        trail.step("owner", None, f"{key} exists")
        return
    waiting = _waiting(trail)
    for key in waiting[:_LEFT_OUT]:
        subject = trail.pipeline.state.subject(key)
        if subject is not None:
            _cite(trail, subject)
    if not waiting and not trail.reason and trail.pipeline.zone.exists(trail.name):
        trail.because("it is only the way to names below it")


def _waiting(trail: Trail) -> list[Key]:
    """Who says that the name exists, without records. Looks through all owners."""
    return [
        owner
        for owner, sets, _ in trail.pipeline.zone.contributions()
        if any(one.type == MARKER and one.name == trail.name for one in sets)
    ]
