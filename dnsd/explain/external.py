"""Analyze a name in an external zone: its contributor, conflicts, and pending addresses.

In `explain/` (control plane: pure). Change here: why an external name exists.

Names in external zones follow from objects and not from a grammar: an object may request each host.
So the analysis starts with the contributors of the name. `SERVICE.NAMESPACE.ZONE` and
`NODE.nodes.ZONE` are tried only for a name without one.
"""

from __future__ import annotations

from dnsd.cluster.objects import Key, Node, RouteSubject, ServiceSubject, Subject
from dnsd.dns.names import Name, text_of
from dnsd.explain.inside import labels_below
from dnsd.explain.trace import Cited, Trace
from dnsd.zone.building import MARKER
from dnsd.zone.external import exposure_notes
from dnsd.zone.merge import APEX_KEY

_LISTED = 8  # contributors in a sentence


def analyze(trace: Trace, apex: Name) -> None:
    """Add the steps of the trace's name, which lies in the external zone `apex`."""
    zone = trace.pipeline.zone
    trace.step("view", None, f"{text_of(apex)} is an external zone of the cluster")
    contributors = zone.contributors(trace.name)
    for contributor in contributors[:1]:
        _contributor(trace, contributor)
    if dispute := zone.disputes.get(trace.name):
        winner, *others = dispute
        holder = "the zone itself" if winner == APEX_KEY else str(winner)
        listed = ", ".join(map(str, others[:_LISTED]))
        text = f"name also claimed by {listed}; {holder} wins: the oldest, then the first by key"
        trace.step("conflict", False, text)
    if not contributors:
        _without_contributor(trace, apex)
    elif trace.found.kind == "nodata":
        trace.because(f"{contributors[0]} has other records there")
    if not zone.exists(trace.name):
        trace.because("no object has this external name")


def _contributor(trace: Trace, contributor: Key) -> None:
    if contributor == APEX_KEY:
        trace.step("owner", True, "dnsd generates it for the zone")
        trace.because("it is the zone apex, or one of its name servers")
        return
    subject = trace.pipeline.state.subject(contributor)
    if subject is None:
        trace.objects[contributor] = Cited(*contributor, origin="admin API")
    else:
        _cite(trace, subject)
    trace.step("owner", True, f"{contributor} has the name")
    if subject is not None and trace.found.kind == "answer":
        trace.because(f"it is an external name of {contributor}")


def _cite(trace: Trace, subject: Subject) -> None:
    """Cite the objects of a subject, and add what the schema reports of it."""
    if isinstance(subject, ServiceSubject):
        nodes = (trace.pipeline.state.get(node.key) for node in subject.nodes)
        trace.cite(subject.service, *subject.slices, *(one for one in nodes if one is not None))
    elif isinstance(subject, RouteSubject):
        trace.cite(subject.route, *subject.gateways)
    else:
        trace.cite(subject)
    for sentence in exposure_notes(subject, trace.pipeline.zone.config):
        trace.step("outside", None, sentence)  # the kind of the step, as API clients know it
        if trace.found.kind == "nxdomain" or sentence.startswith("pending"):
            trace.because(sentence)
    for problem in trace.pipeline.problems.get(subject.key, ()):
        trace.step("outside", False, problem)


def _without_contributor(trace: Trace, apex: Name) -> None:
    """A name that no object owns: of a Service or Node without addresses, or only claimed."""
    state, zone = trace.pipeline.state, trace.pipeline.zone
    own = labels_below(trace.name, apex)
    candidates = [Key("Service", own[-1], own[-2])] if len(own) > 1 else []
    if own[-1:] == ["nodes"]:
        candidates.append(Key("Node", "", ".".join(own[:-1])))
    for key in candidates:
        subject = state.subject(key)
        if subject is None:
            continue
        if isinstance(subject, Node) and "nodes" not in zone.config.external.names:
            trace.fail("owner", f"{key} exists, and outside_names does not include nodes")
            return
        _cite(trace, subject)
        trace.step("owner", None, f"{key} exists")
        return
    # An object that waits for an address holds its name with a marker, and has no records there.
    waiting = [
        contributor
        for contributor, sets, _ in zone.contributions()
        if any(one.type == MARKER and one.name == trace.name for one in sets)
    ]
    for key in waiting[:_LISTED]:
        if (subject := state.subject(key)) is not None:
            _cite(trace, subject)
    if not waiting and not trace.reason and zone.exists(trace.name):
        trace.because("it only has names below it")
