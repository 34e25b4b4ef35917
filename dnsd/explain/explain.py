"""Explain why a name resolves or does not: one sentence, and the facts behind it.

In `explain/` (control plane: pure). Change here: verdicts and their steps.

`interpret` finds which name a question means: the name as given, or a candidate of the search list
of a Pod. `explain` analyzes that name by the grammar of the schema, and adds a `Step` for each
part: the zone, the namespace, the Service, the port, the endpoint and its readiness, the upstream
servers of an external name, and the policies for the client. The first step that fails is the
reason in the verdict.

All facts come from a `Pipeline`, so `dnsd explain --manifests DIR` needs no server. What only a
running dnsd has is passed in: a `Runtime`, and entries of the history. `lookup` computes the
answer, and a test compares it with the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from msgspec import Struct

from dnsd.dns.addresses import address_text, pack_address
from dnsd.dns.names import Name, text_of
from dnsd.dns.networks import EVERYONE, Networks
from dnsd.dns.rdata import BadRecord, type_number
from dnsd.dns.rrset import RRset
from dnsd.dns.text import values_of
from dnsd.dns.types import Type, type_text
from dnsd.explain import external, inside
from dnsd.explain.lookup import EXTERNAL, Found, lookup
from dnsd.explain.search_list import Candidate, domains, expand, name_or_none, pod_of
from dnsd.explain.suggestions import Near, suggestions
from dnsd.explain.trace import Cited, Step, Trace
from dnsd.observe.history import Entry, from_changes
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.views import View
from dnsd.zone.zone import Zone

_JOURNAL_LIMIT = 2000  # changes of the journal that are searched without a history
_SHOWN = 8  # values in a sentence


class BadQuestion(ValueError):
    """A part of a question is invalid. `field`: "name", "type", or "client"."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class Question(Struct, frozen=True):
    """A question. `client`: packed address of the client, b"" for any client.

    `namespace`: of the client's Pod, if its address does not identify a Pod.
    """

    name: str
    type: int = int(Type.A)
    client: bytes = b""
    namespace: str = "default"


class ClientViews(Protocol):
    """The views of clients, and the zone of each (`control/` implements it)."""

    def of_client(self, address: bytes) -> View: ...

    def zone_for(self, view: View) -> Zone | None: ...


class Runtime(Struct, frozen=True):
    """The facts that only a running dnsd has.

    `data`: "fresh", "stale", "not ready", or "not known" (no source covers this part of the zone).
    `upstream`: a clause with the servers for the name, "" if the name is refused.
    `cached`: a clause with the state of the cache, "" for no information.
    `view_zones`: None if all clients see everything.
    """

    data: str = "fresh"
    upstream: str = ""
    cached: str = ""
    allow_query: tuple[str, ...] = EVERYONE
    allow_recursion: tuple[str, ...] = EVERYONE
    view_zones: ClientViews | None = None


class Interpretation(Struct, frozen=True):
    """The name that a question means. `searched`: it is a candidate of the search list."""

    question: Question
    name: Name
    searched: bool
    search: tuple[Candidate, ...]
    namespace: str


class Before(Struct, frozen=True):
    """The last change of the name: its time, cause, and the records before and after."""

    at: float
    serial: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    type: str
    cause: Cited


class Explanation(Struct, frozen=True):
    """The complete explanation, as in the API. Times are in seconds since the epoch."""

    asked: str
    name: str
    type: str
    verdict: str
    rcode: str
    outcome: str
    answer: tuple[str, ...]
    steps: tuple[Step, ...]
    objects: tuple[Cited, ...]
    nearest: tuple[Near, ...]
    search: tuple[Candidate, ...]
    changed: Before | None
    serial: int


def type_of(text: str) -> int:
    """The number of a record type. Raises BadQuestion."""
    if text.upper() in Type.__members__:
        return int(Type[text.upper()])
    try:
        return type_number(text)[0]
    except BadRecord as error:
        raise BadQuestion("type", f"{text!r} is not a record type") from error


def client_of(text: str) -> bytes:
    """The packed address of a client; b"" for "". Raises BadQuestion."""
    try:
        return pack_address(text) if text else b""
    except ValueError as error:
        raise BadQuestion("client", f"{text!r} is not an IP address") from error


def interpret(pipeline: Pipeline, question: Question) -> Interpretation:
    """The name that a question means. Raises BadQuestion.

    A name without a trailing dot may be relative (`web`, `web.prod`). Then it means the first
    candidate of the Pod's search list that exists, or else the most likely one.
    """
    text = question.name.strip()
    absolute = name_or_none(text if text.endswith(".") else text + ".")
    if absolute is None or not text:
        raise BadQuestion("name", f"{question.name!r} is not a domain name")
    zone = pipeline.zone
    pod = pod_of(pipeline.state, question.client) if question.client else None
    namespace = pod.namespace if pod else question.namespace
    searches = domains(zone, namespace, pod)
    search = tuple(expand(zone, text, question.type, searches))
    name = absolute
    if not text.endswith(".") and zone.zone_of(absolute) is None:
        meant = next((one.name for one in search if one.used), "")
        meant = meant or _likely(pipeline, text, searches)
        name = (name_or_none(meant) if meant else None) or absolute
    return Interpretation(question, name, name != absolute, search, namespace)


def _likely(pipeline: Pipeline, text: str, searches: Sequence[str]) -> str:
    """The most likely candidate if none exists; "" for the name as given."""
    labels = text.lower().split(".")
    if not searches:
        return ""
    if len(labels) == 1:
        return f"{text}.{searches[0]}"
    state = pipeline.state
    spaces = {*(one.name for one in state.namespaces()), *state.service_counts()}
    if labels[-1] == "svc" and len(labels) > 2:
        return f"{text}.{searches[-1]}"
    return f"{text}.{searches[1]}" if labels[-1] in spaces and len(searches) > 1 else ""


def explain(
    pipeline: Pipeline,
    meant: Interpretation,
    runtime: Runtime | None = None,
    history: Sequence[Entry] | None = None,
) -> Explanation:
    """Why this name has its answer.

    `history`: the changes of the name, newest first; None for those in the pipeline's journal.
    """
    runtime = runtime or Runtime()
    question, zone = meant.question, pipeline.zone
    visible, view = _visible(runtime, question, zone)
    found = lookup(visible, meant.name, question.type)
    trace = Trace(pipeline, meant.name, question.type, found)
    _preconditions(trace, runtime, meant)
    apex = zone.zone_of(meant.name)
    if apex is None:
        served = ", ".join(map(text_of, (*zone.config.zones, *zone.external)))
        trace.step("zone", None, f"{text_of(found.end)} lies in no zone of dnsd ({served})")
    else:
        trace.step("zone", True, f"{text_of(meant.name)} lies in the zone {text_of(apex)}")
        if view:
            hidden = lookup(zone, meant.name, question.type).answer != found.answer
            trace.step("view", None if not hidden else False, view)
            if hidden:
                trace.because(f"{view}, which hides it")
        _pinned(trace)
        (external if apex in zone.external else inside).analyze(trace, apex)
        if found.left:
            target = text_of(found.end)
            trace.step("alias", None, f"the target {target} lies in no zone of dnsd")
    if found.left:
        _forwarding(trace, runtime)
    entries = _from_journal(pipeline, meant.name) if history is None else history
    rcode, outcome = _outcome(found, runtime, trace)
    return Explanation(
        asked=question.name,
        name=text_of(meant.name),
        type=type_text(question.type),
        verdict=_verdict(trace, meant, rcode, runtime),
        rcode=rcode,
        outcome=outcome,
        answer=_lines(*found.answer) if rcode != "SERVFAIL" else (),
        steps=tuple(trace.steps),
        objects=tuple(trace.objects.values()),
        nearest=suggestions(trace) if outcome in ("nxdomain", EXTERNAL) else (),
        search=meant.search,
        changed=_last_change(entries[0]) if entries else None,
        serial=zone.serial,
    )


# ---------------------------------------------------------------------------------------
# Steps that do not depend on the name.


def _visible(runtime: Runtime, question: Question, zone: Zone) -> tuple[Zone, str]:
    """The zone that the client sees, and a clause that describes the view; "": everything."""
    if runtime.view_zones is None or not question.client:
        return zone, ""
    view = runtime.view_zones.of_client(question.client)
    visible = runtime.view_zones.zone_for(view)
    if visible is None or visible is zone:
        return zone, ""
    parts = []
    if view.inside != view.external:
        parts.append("only the zones of the cluster" if view.inside else "only the external zones")
    if view.namespaces is not None:
        shown = ", ".join(sorted(view.namespaces)[:_SHOWN]) or "none"
        parts.append(f"only names of these namespaces: {shown}")
    return visible, f"{address_text(question.client)} sees {' and '.join(parts)} (views, policies)"


def _preconditions(trace: Trace, runtime: Runtime, meant: Interpretation) -> None:
    """How the name was found, the state of the data, and whether the client may query."""
    question = meant.question
    if meant.searched:
        text = (
            f"{question.name} has no trailing dot, so a Pod in namespace {meant.namespace} expands"
            f" it by its search list (ndots:5); this explains {text_of(meant.name)}"
        )
        trace.step("search", True, text)
    serial = trace.pipeline.zone.serial
    ok, text = {
        "not ready": (False, "the sources are not synced: names in the zones get SERVFAIL"),
        "not known": (
            None,
            "no source covers this part of the zone: a missing name gets SERVFAIL;"
            " the status of the sources gives the reason",
        ),
        "stale": (None, "the source is unreachable: answers are stale, and marked as stale"),
    }.get(runtime.data, (True, f"the zone is complete at serial {serial}"))
    trace.step("data", ok, text)
    networks = Networks(runtime.allow_query)
    if question.client and not networks.everyone:
        client = address_text(question.client)
        trace.refused = question.client not in networks
        verb = "does not allow" if trace.refused else "allows"
        trace.step("policy", not trace.refused, f"allow_query {verb} {client}")


def _pinned(trace: Trace) -> None:
    """Records pinned by hand, and objects that own the same name."""
    zone = trace.pipeline.zone
    contributors = zone.contributors(trace.name)
    pinned = [one for one in contributors if one.kind == "Record"]
    for one in pinned:
        trace.step("record", True, f"{one.name} is pinned by hand (API /records)")
        trace.objects[one] = Cited(*one, origin="admin API")
        type_ = one.name.rpartition("/")[2]
        if type_ == type_text(trace.type) and trace.found.kind == "answer":
            trace.because("the record is pinned by hand")
    if pinned and len(contributors) > len(pinned) and zone.zone_of(trace.name) not in zone.external:
        others = ", ".join(str(one) for one in contributors if one.kind != "Record")
        text = f"the name also belongs to {others}; dnsd serves the records of both"
        trace.step("conflict", None, text)


def _forwarding(trace: Trace, runtime: Runtime) -> None:
    """Where an external name, or the external target of an alias, is resolved."""
    if not runtime.upstream:
        trace.step("upstream", False, "forwarding is off: no upstream server is configured")
        return
    trace.step("upstream", True, runtime.upstream)
    if not Networks(runtime.allow_recursion).everyone:
        allowed = ", ".join(runtime.allow_recursion) or "no client"
        trace.step("policy", None, f"allow_recursion only allows {allowed}")
    if runtime.cached:
        trace.step("cache", True, runtime.cached)


# ---------------------------------------------------------------------------------------
# The verdict.


def _outcome(found: Found, runtime: Runtime, trace: Trace) -> tuple[str, str]:
    """The response code ("" for an upstream server's), and the outcome."""
    if trace.refused:
        return "REFUSED", "refused"
    own = found.kind != EXTERNAL
    if runtime.data == "not ready" and own:
        return "SERVFAIL", "not ready"
    if runtime.data == "not known" and found.rcode == "NXDOMAIN":
        return "SERVFAIL", "not ready"
    if not own and runtime.upstream:
        return "", "forwarded"
    return found.rcode, found.kind


def _verdict(trace: Trace, meant: Interpretation, rcode: str, runtime: Runtime) -> str:
    name, kind, found = text_of(meant.name), type_text(meant.question.type), trace.found
    reason = trace.reason
    if trace.refused:
        return f"{name} {kind} gets REFUSED: {trace.last('policy')}."
    if rcode == "SERVFAIL" and runtime.data in ("not ready", "not known"):
        return f"{name} {kind} gets SERVFAIL: {trace.last('data')}."
    match found.kind:
        case "answer":
            text = f"{name} {kind} resolves to {_values(found.answer[-1])}"
        case "alias":
            text = f"{name} {kind} is an alias of {text_of(found.end)}"
            reason = "; ".join(filter(None, (reason, trace.last("upstream"))))
        case "nodata":
            text = f"{name} exists and has no {kind} record (NODATA)"
        case "nxdomain":
            text = f"{name} does not exist (NXDOMAIN)"
        case "servfail":
            text = f"{name} {kind} gets SERVFAIL"
        case _:
            text = f"{name} is an external name" + ("" if runtime.upstream else " (REFUSED)")
            reason = trace.last("upstream")
    sentence = f"{text}: {reason}" if reason else text
    return f"{sentence.removesuffix('.')}."


def _values(rrset: RRset) -> str:
    texts = values_of(rrset)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _lines(*rrsets: RRset | None) -> tuple[str, ...]:
    return tuple(
        f"{text_of(one.name)} {one.ttl} IN {type_text(one.type)} {value}"
        for one in rrsets
        if one is not None
        for value in values_of(one)
    )


# ---------------------------------------------------------------------------------------
# The last change.


def _from_journal(pipeline: Pipeline, name: Name) -> list[Entry]:
    if pipeline.journal is None:
        return []
    return from_changes(islice(pipeline.journal.latest(), _JOURNAL_LIMIT), name, 1)


def _last_change(last: Entry) -> Before:
    cause = last.cause
    return Before(
        at=last.at,
        serial=last.serial,
        before=_lines(last.before),
        after=_lines(last.after),
        type=type_text(last.type),
        cause=Cited(*cause.key, version=cause.version, origin=cause.origin),
    )
