"""Lookups equal the answers of the engine, for all names, types, and configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator

import dns.rdatatype
import pytest

from dnsd.answer.engine import Engine
from dnsd.dns.names import Name, name_from_text, text_of
from dnsd.dns.text import rdata_text
from dnsd.dns.types import Type, type_text
from dnsd.explain.lookup import lookup
from dnsd.transport.registry import TCP
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import SCHEMA, ZONE, engine_of, pipeline_of, reply_to
from tests.cases import cluster

TYPES = (Type.A, Type.AAAA, Type.SRV, Type.CNAME, Type.TXT, Type.PTR, Type.SOA, Type.NS, Type.ANY)
CONFIGS = {
    "as it comes": SCHEMA,
    "pods by form": SchemaConfig(zones=(ZONE,), pods="insecure", empty_services="nxdomain"),
    "two zones": SchemaConfig(zones=(ZONE, name_from_text("example.")), endpoint_records=False),
}
MISSING = (
    "wbe.prod.svc.cluster.local.",
    "web.nowhere.svc.cluster.local.",
    "_http._udp.web.prod.svc.cluster.local.",
    "x.google.prod.svc.cluster.local.",
    "10-1-2-3.prod.pod.cluster.local.",
    "10-1-2-3.nowhere.pod.cluster.local.",
    "x.10-1-2-3.prod.pod.cluster.local.",
    "nothing.cluster.local.",
    "1.2.3.10.in-addr.arpa.",
    "www.example.org.",
    ".",
)


def some_names(pipeline: Pipeline) -> list[str]:
    """Every name but those of 190 endpoints that are like ten others."""
    there = [text_of(name) for name in pipeline.zone.names()]
    many = re.compile(r"10-244-9-\d\d|\d\d\.9\.244\.10\.")
    return [*(text for text in there if not many.match(text)), *MISSING]


def questions(pipeline: Pipeline) -> Iterator[tuple[Name, Type]]:
    names = map(name_from_text, some_names(pipeline))
    return ((name, type_) for name in names for type_ in TYPES)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_it_says_what_the_engine_says(config: SchemaConfig) -> None:
    pipeline = pipeline_of(cluster.objects(), config)
    engine = engine_of(pipeline)
    different = [
        difference
        for name, type_ in questions(pipeline)
        if (difference := compare(pipeline, engine, name, type_))
    ]
    assert different == []


def compare(pipeline: Pipeline, engine: Engine, name: Name, type_: Type) -> str:
    """What is different between the two, "" when nothing is."""
    found = lookup(pipeline.zone, name, type_)
    reply = reply_to(engine, text_of(name), type_text(type_), transport=TCP)
    actual = sorted(
        f"{rrset.name.to_text().lower()} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
        for rrset in reply.answer
        for rdata in rrset
    )
    expected = sorted(
        f"{text_of(one.name)} {type_text(one.type)} {rdata_text(one.type, rdata)}"
        for one in found.answer
        for rdata in one.rdatas
    )
    if type_ == Type.ANY:  # HINFO's text form differs, and that an answer is there is enough
        actual, expected = [str(len(actual))], [str(len(expected))]
    rcode = reply.rcode().to_text(reply.rcode())
    if (rcode, actual) == (found.rcode, expected):
        return ""
    return f"{text_of(name)} {type_.name}: {rcode} {actual}, not {found.rcode} {expected}"


@pytest.mark.parametrize(
    ("name", "type_", "kind"),
    [
        ("web.prod.svc.cluster.local.", Type.A, "answer"),
        ("web.prod.svc.cluster.local.", Type.AAAA, "nodata"),
        ("wbe.prod.svc.cluster.local.", Type.A, "nxdomain"),
        ("google.prod.svc.cluster.local.", Type.A, "alias"),
        ("ring-a.prod.svc.cluster.local.", Type.A, "servfail"),
        ("inside-none.prod.svc.cluster.local.", Type.A, "nxdomain"),
        ("www.example.org.", Type.A, "not ours"),
    ],
)
def test_kinds(name: str, type_: Type, kind: str) -> None:
    pipeline = pipeline_of(cluster.objects())
    assert lookup(pipeline.zone, name_from_text(name), type_).kind == kind
