"""Why a name resolves, or does not: one sentence, and everything it rests on.

The walk is the one of a query, told in words. `read` finds out which name is meant (as it
stands, or what a Pod's search list makes of it), `explain` takes that name apart by the
schema's own grammar and looks at each part: the zone, the namespace, the Service, the port,
the endpoint and its readiness; for names of others the upstream; and the policy for the
client. Each becomes a `Step`; the first that went wrong is the reason in the verdict.

Everything comes from a `Pipeline` alone, so `dnsd explain --manifests DIR` needs no server.
What only a running dnsd knows (whether data is stale, what is forwarded where, who may ask)
is handed in as `Circumstances`, and what was said before as the entries of the history.

What is claimed to be answered is worked out by `lookup`, which is held against the engine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.control.views import ViewZones
from dnsd.dns.addresses import address_text
from dnsd.dns.names import Name, text_of
from dnsd.dns.networks import EVERYONE, Networks
from dnsd.dns.rrset import RRset
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.explain import inside
from dnsd.explain.inside import Cited, Step, Trace
from dnsd.explain.lookup import Found, lookup
from dnsd.explain.nearest import nearest
from dnsd.explain.search_list import Asked, domains, name_or_none, pod_of, walk
from dnsd.observe.history import Entry, from_changes
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.zone import Zone

_JOURNAL_LOOKED_AT = 2000  # changes; what `explain` without a history walks at most
_SHOWN = 8  # values in a sentence


class BadQuestion(ValueError):
    """A question that cannot be asked: says what is wrong with it."""


class Question(Struct, frozen=True):
    """What is asked. `client`: packed address of who asks, b"" for anybody.

    `namespace`: of the Pod that asks, when its address does not tell.
    """

    name: str
    type: int = int(Type.A)
    client: bytes = b""
    namespace: str = "default"


class Circumstances(Struct, frozen=True):
    """What a running dnsd knows beside the zone. `data`: "fresh", "stale", "not ready", or
    "not known" where nobody knows whether there is more than what is served.

    `upstream`: a clause on where other names are asked, "" when they are refused;
    `cached`: a clause on what the cache holds, "" when there is nothing to say.
    """

    data: str = "fresh"
    upstream: str = ""
    cached: str = ""
    allow_query: tuple[str, ...] = EVERYONE
    allow_recursion: tuple[str, ...] = ()
    view_zones: ViewZones | None = None  # who sees what, if not everybody sees everything


class Reading(Struct, frozen=True):
    """The name that a question is about, and how it was found."""

    question: Question
    name: Name
    searched: bool  # it is one of the search list's, not what was typed
    search: tuple[Asked, ...]
    namespace: str


class Near(Struct, frozen=True):
    """A name that exists, and why it may have been meant."""

    name: str
    why: str


class Before(Struct, frozen=True):
    """The last change of the name: when, by what, and what was said before and after."""

    at: float
    serial: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    type: str
    cause: Cited


class Explanation(Struct, frozen=True):
    """The whole answer to "why". Times in seconds since the epoch."""

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
    search: tuple[Asked, ...]
    changed: Before | None
    serial: int


def read(pipeline: Pipeline, question: Question) -> Reading:
    """Which name a question is about. Raises BadQuestion.

    `web` and `web.prod` are not names of ours as they stand; what a Pod would have asked
    instead is looked through, and the first that exists is taken, else the one most alike.
    """
    text = question.name.strip()
    plain = name_or_none(text if text.endswith(".") else text + ".")
    if plain is None or not text:
        raise BadQuestion(f"{question.name!r} is no domain name")
    zone = pipeline.zone
    pod = pod_of(pipeline.state, question.client) if question.client else None
    namespace = pod.namespace if pod else question.namespace
    searches = domains(zone, namespace, pod)
    search = tuple(walk(zone, text, question.type, searches))
    if text.endswith(".") or zone.zone_of(plain) is not None:
        return Reading(question, plain, False, search, namespace)
    meant = next((one.name for one in search if one.used), "") or _guess(pipeline, text, searches)
    name = name_or_none(meant) if meant else None
    if name is None or name == plain:
        return Reading(question, plain, False, search, namespace)
    return Reading(question, name, True, search, namespace)


def _guess(pipeline: Pipeline, text: str, searches: Sequence[str]) -> str:
    """The candidate that was probably meant, of those that all do not exist; "": as it is."""
    labels = text.lower().split(".")
    if not searches:
        return ""
    if len(labels) == 1:
        return f"{text}.{searches[0]}"
    spaces = {one.name for one in pipeline.state.namespaces()}
    spaces |= set(pipeline.state.service_counts())
    if labels[-1] == "svc" and len(labels) > 2:
        return f"{text}.{searches[-1]}"
    return f"{text}.{searches[1]}" if labels[-1] in spaces and len(searches) > 1 else ""


def explain(
    pipeline: Pipeline,
    reading: Reading,
    circumstances: Circumstances | None = None,
    history: Sequence[Entry] | None = None,
) -> Explanation:
    """Why this name is answered as it is.

    `history`: its last changes, newest first; None: what the pipeline's journal has.
    """
    around = circumstances or Circumstances()
    question, zone = reading.question, pipeline.zone
    visible, view = _visible(around, question, zone)
    found = lookup(visible, reading.name, question.type)
    trace = Trace(pipeline, reading.name, question.type, found)
    if reading.searched:
        trace.step("search", True, _searched(reading))
    _data(trace, around, pipeline)
    _policy(trace, around, question)
    apex = zone.zone_of(reading.name)
    if apex is None:
        _not_ours(trace, around, found)
    else:
        trace.step("zone", True, f"{text_of(reading.name)} lies in the zone {text_of(apex)}")
        if view:
            hidden = lookup(zone, reading.name, question.type).answer != found.answer
            trace.step("view", None if not hidden else False, view)
            trace.because(f"{view}, which hides it" if hidden else "")
        inside.walk(trace, apex)
        _elsewhere(trace, around, found)
    entries = _journal(pipeline, reading.name) if history is None else history
    rcode, outcome = _outcome(found, around, trace)
    return Explanation(
        asked=question.name,
        name=text_of(reading.name),
        type=type_text(question.type),
        verdict=_verdict(trace, reading, found, rcode, around),
        rcode=rcode,
        outcome=outcome,
        answer=tuple(_lines(found.answer)) if rcode != "SERVFAIL" else (),
        steps=tuple(trace.steps),
        objects=tuple(trace.objects.values()),
        nearest=tuple(_nearest(pipeline, trace)) if outcome in ("nxdomain", "not ours") else (),
        search=reading.search,
        changed=_changed(entries),
        serial=zone.serial,
    )


# ---------------------------------------------------------------------------------------
# Steps that are not about the name.


def _visible(around: Circumstances, question: Question, zone: Zone) -> tuple[Zone, str]:
    """The zone that the client sees, and a clause on what that is; "": everything."""
    if around.view_zones is None or not question.client:
        return zone, ""
    view = around.view_zones.of_client(question.client)
    visible = around.view_zones.zone_for(view)
    if visible is None or visible is zone:
        return zone, ""
    sides = {(True, False): "the cluster's zones only", (False, True): "the outside zones only"}
    parts_ = [sides.get((view.inside, view.external), "")]
    if view.namespaces is not None:
        shown = ", ".join(sorted(view.namespaces)[:_SHOWN]) or "none"
        parts_.append(f"names of the namespaces {shown} only")
    what = " and ".join(part for part in parts_ if part)
    return visible, f"{address_text(question.client)} sees {what} (views, policies)"


def _searched(reading: Reading) -> str:
    typed, name = reading.question.name, text_of(reading.name)
    return (
        f"{typed} has no dot at its end, so a Pod in namespace {reading.namespace} asks its "
        f"search list (ndots:5); {name} is the one explained"
    )


def _data(trace: Trace, around: Circumstances, pipeline: Pipeline) -> None:
    if around.data == "not ready":
        trace.step("data", False, "not everything is known yet: all our names get SERVFAIL")
    elif around.data == "not known":
        why = "what there is here is not known: what is not served gets SERVFAIL"
        trace.step("data", None, f"{why}; the status of the sources says why")
    elif around.data == "stale":
        trace.step("data", None, "the source is out of reach: answers are from before, and say so")
    else:
        trace.step("data", True, f"the zone is complete, its serial is {pipeline.zone.serial}")


def _policy(trace: Trace, around: Circumstances, question: Question) -> None:
    networks = Networks(around.allow_query)
    if networks.everyone or not question.client:
        return
    client = address_text(question.client)
    if question.client in networks:
        trace.step("policy", True, f"{client} may ask (allow_query)")
    else:
        trace.step("policy", False, f"{client} is in none of the networks of allow_query")
        trace.refused = True


def _not_ours(trace: Trace, around: Circumstances, found: Found) -> None:
    served = trace.pipeline.zone
    ours = ", ".join(text_of(zone) for zone in (*served.config.zones, *served.external))
    trace.step("zone", None, f"{text_of(found.end)} lies in none of our zones ({ours})")
    _forwarded(trace, around)


def _elsewhere(trace: Trace, around: Circumstances, found: Found) -> None:
    """The target of an alias that leads out of our zones."""
    if found.left:
        trace.step("alias", None, f"the target {text_of(found.end)} lies in none of our zones")
        _forwarded(trace, around)


def _forwarded(trace: Trace, around: Circumstances) -> None:
    if not around.upstream:
        trace.step("upstream", False, "nothing is forwarded: no upstream server is configured")
        return
    trace.step("upstream", True, f"it is asked {around.upstream}")
    if around.allow_recursion:
        networks = ", ".join(around.allow_recursion)
        trace.step("policy", None, f"only for {networks} (allow_recursion)")
    if around.cached:
        trace.step("cache", True, around.cached)


# ---------------------------------------------------------------------------------------
# The verdict.


def _outcome(found: Found, around: Circumstances, trace: Trace) -> tuple[str, str]:
    if trace.refused:
        return "REFUSED", "refused"
    ours = found.kind != "not ours"
    if around.data == "not ready" and ours:
        return "SERVFAIL", "not ready"
    if around.data == "not known" and found.rcode == "NXDOMAIN":
        return "SERVFAIL", "not ready"
    if not ours and around.upstream:
        return "", "forwarded"
    return found.rcode, found.kind


def _verdict(
    trace: Trace, reading: Reading, found: Found, rcode: str, around: Circumstances
) -> str:
    name, kind = text_of(reading.name), type_text(reading.question.type)
    reason = trace.reason
    if trace.refused:
        return f"{name} {kind} is refused: {trace.last('policy')}."
    if rcode == "SERVFAIL" and around.data in ("not ready", "not known"):
        return f"{name} {kind} gets SERVFAIL: {trace.last('data')}."
    match found.kind:
        case "answer":
            text = f"{name} {kind} is answered {_values(found.answer[-1])}"
        case "alias":
            text = f"{name} {kind} is an alias of {text_of(found.end)}"
            reason = f"{reason}; {trace.last('upstream')}" if reason else trace.last("upstream")
        case "nodata":
            text = f"{name} exists and has no {kind} record (NODATA)"
        case "nxdomain":
            text = f"{name} does not exist (NXDOMAIN)"
        case "servfail":
            text = f"{name} {kind} gets SERVFAIL"
        case _:
            text = f"{name} is not ours" + ("" if around.upstream else " (REFUSED)")
            reason = trace.last("upstream")
    return f"{text}: {reason}." if reason else f"{text}."


def _values(rrset: RRset) -> str:
    texts = [rdata_text(rrset.type, rdata) for rdata in rrset.rdatas]
    if len(texts) > _SHOWN:
        return f"{', '.join(texts[:_SHOWN])} and {len(texts) - _SHOWN} more"
    return ", ".join(texts)


def _lines(rrsets: Sequence[RRset]) -> list[str]:
    return [
        f"{text_of(one.name)} {one.ttl} IN {type_text(one.type)} {rdata_text(one.type, rdata)}"
        for one in rrsets
        for rdata in one.rdatas
    ]


# ---------------------------------------------------------------------------------------
# Names nearby, and what was before.


def _nearest(pipeline: Pipeline, trace: Trace) -> list[Near]:
    """Names that exist and differ in the part that was missing."""
    state, target = pipeline.state, trace.target
    if target is None:
        return []
    tail = text_of(target.apex)
    prefix = f"{target.rest}." if target.rest else ""
    out: list[Near] = []
    if target.service:
        spaces = sorted({one.name for one in state.namespaces()} | trace.namespaces())
        for space in spaces:
            if space != target.namespace and state.get(Key("Service", space, target.service)):
                name = f"{prefix}{target.service}.{space}.svc.{tail}"
                out.append(Near(name, f"the same Service in namespace {space}"))
        mine = [one.name for one in state.services(target.namespace)]
        known = set(mine)
        for near in nearest(target.service, known.__contains__, lambda: mine):
            name = f"{prefix}{near}.{target.namespace}.svc.{tail}"
            out.append(Near(name, f"Service {near} in the same namespace"))
        if not known:
            there = set(spaces)
            for near in nearest(target.namespace, there.__contains__, lambda: spaces):
                if state.get(Key("Service", near, target.service)):
                    name = f"{prefix}{target.service}.{near}.svc.{tail}"
                    out.append(Near(name, f"namespace {near}"))
    out += [Near(name, why) for name, why in trace.siblings()]
    zone = pipeline.zone
    unique = {near.name: near for near in reversed(out)}
    exists = [
        near for near in reversed(unique.values()) if zone.exists(name_or_none(near.name) or b"")
    ]
    return list(islice(exists, 8))


def _journal(pipeline: Pipeline, name: Name) -> list[Entry]:
    journal = pipeline.journal
    if journal is None:
        return []
    return from_changes(islice(journal.latest(), _JOURNAL_LOOKED_AT), name, 1)


def _changed(entries: Sequence[Entry]) -> Before | None:
    if not entries:
        return None
    last = entries[0]
    cause = last.cause
    return Before(
        at=last.at,
        serial=last.serial,
        before=tuple(_lines([last.before] if last.before else [])),
        after=tuple(_lines([last.after] if last.after else [])),
        type=type_text(last.type),
        cause=Cited(*cause.key, version=cause.version, origin=cause.origin),
    )


def age(at: float, now: float = 0.0) -> str:
    """How long ago `at` was, in the largest unit that fits: "3 min"."""
    seconds = max(0.0, (now or time.time()) - at)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
