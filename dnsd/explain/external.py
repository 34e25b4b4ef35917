"""A name of the view from outside taken apart: who has it, who else wants it, what is awaited.

Which names exist there follows from objects, not from a grammar: any host may be wished for.
So the walk begins with the contributors, and only for a name that nobody has, `svc.ns.OUT` and
`node.nodes.OUT` are tried.
"""

from __future__ import annotations

from dnsd.cluster.objects import Key, Node, RouteSubject, ServiceSubject, Subject
from dnsd.dns.names import Name, labels_of, text_of
from dnsd.explain.inside import Cited, Trace
from dnsd.zone.building import MARKER
from dnsd.zone.external import exposure_notes
from dnsd.zone.merge import APEX

_LEFT_OUT = 8  # contributors named in a sentence


def walk_external(trace: Trace, apex: Name) -> None:
    """Takes the trail's name, which lies in the outside zone `apex`, apart."""
    pipeline, zone = trace.pipeline, trace.pipeline.zone
    trace.step("view", None, f"{text_of(apex)} shows the cluster from outside")
    contributors = zone.contributors(trace.name)
    for contributor in contributors[:1]:
        _contributor(trace, contributor)
    dispute = zone.disputes.get(trace.name)
    if dispute:
        others = ", ".join(map(str, dispute[1 : 1 + _LEFT_OUT]))
        who = "the zone itself" if dispute[0] == APEX else str(dispute[0])
        trace.step(
            "conflict",
            False,
            f"{others} want the name too; {who} has it: first by age, then by key",
        )
    if not contributors:
        _nobody(trace, apex)
    elif trace.found.kind == "nodata":
        trace.because(f"{contributors[0]} has other records there")
    if not pipeline.zone.exists(trace.name):
        trace.because("no object has this name outside")


def _contributor(trace: Trace, contributor: Key) -> None:
    if contributor == APEX:
        trace.step("owner", True, "the zone has it by itself")
        trace.because("it is the zone itself, or one of its name servers")
        return
    subject = trace.pipeline.state.subject(contributor)
    if subject is None:
        trace.step("owner", True, f"{contributor} has the name")
        trace.objects[contributor] = Cited(*contributor, origin="admin API")
        return
    _cite(trace, subject)
    trace.step("owner", True, f"{contributor} has the name")
    if trace.found.kind == "answer":
        trace.because(f"{contributor} has it outside")


def _cite(trace: Trace, subject: Subject) -> None:
    """The objects behind a subject, and what there is to say of it."""
    if isinstance(subject, ServiceSubject):
        trace.cite(subject.service)
        for piece in subject.slices:
            trace.cite(piece)
        for node in subject.nodes:
            if (known := trace.pipeline.state.get(node.key)) is not None:
                trace.cite(known)
    elif isinstance(subject, RouteSubject):
        trace.cite(subject.route)
        for gateway in subject.gateways:
            trace.cite(gateway)
    else:
        trace.cite(subject)
    for sentence in exposure_notes(subject, trace.pipeline.zone.config):
        trace.step("outside", None, sentence)
        if trace.found.kind == "nxdomain" or sentence.startswith("pending"):
            trace.because(sentence)
    for problem in trace.pipeline.problems.get(subject.key, ()):
        trace.step("outside", False, problem)


def _nobody(trace: Trace, apex: Name) -> None:
    """A name without contributor: a Service or Node that has nothing to show, or a marker's."""
    labels = [label.decode("ascii", "backslashreplace") for label in labels_of(trace.name)]
    own = labels[: len(labels) - len(list(labels_of(apex)))]
    candidates = [Key("Service", own[-1], own[-2])] if len(own) > 1 else []
    if own[-1:] == ["nodes"]:
        candidates.append(Key("Node", "", ".".join(own[:-1])))
    # Who waits for addresses holds its name without records, and owns nothing at it.
    config = trace.pipeline.zone.config
    for key in candidates:
        subject = trace.pipeline.state.subject(key)
        if subject is None:
            continue
        if isinstance(subject, Node) and "nodes" not in config.external.names:
            trace.fail("owner", f"{key} exists, and outside_names does not have nodes")
            return
        _cite(trace, subject)
        trace.step("owner", None, f"{key} exists")
        return
    waiting = _waiting(trace)
    for key in waiting[:_LEFT_OUT]:
        subject = trace.pipeline.state.subject(key)
        if subject is not None:
            _cite(trace, subject)
    if not waiting and not trace.reason and trace.pipeline.zone.exists(trace.name):
        trace.because("it is only the way to names below it")


def _waiting(trace: Trace) -> list[Key]:
    """Who says that the name exists, without records. Looks through all contributors."""
    return [
        contributor
        for contributor, sets, _ in trace.pipeline.zone.contributions()
        if any(one.type == MARKER and one.name == trace.name for one in sets)
    ]
