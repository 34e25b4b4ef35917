"""The metrics, in Prometheus' words (docs/metrics.md describes each one).

Nothing is counted here. Workers count in plain ints, the control process knows its zone and
its sources, and `Facts` is all of that at one moment; `families` turns it into metric
families when somebody scrapes. So a scrape costs a millisecond, and no scrape costs nothing.

Cardinality is bounded: labels are transports, the twelve counted query types, rcodes,
reasons, kinds of objects, sources and workers. Never a name, a client, a namespace.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dnsd.observe.facts import Facts, WorkerFacts
from dnsd.observe.histogram import Histogram
from dnsd.transport.registry import TRANSPORTS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# What an outcome of the engine is as a response code.
_RCODES = {
    "answer": "NOERROR",
    "nodata": "NOERROR",
    "nxdomain": "NXDOMAIN",
    "servfail": "SERVFAIL",
    "refused": "REFUSED",
    "formerr": "FORMERR",
    "notimp": "NOTIMP",
    "badvers": "BADVERS",
}
SOURCE_STATES = ("starting", "synced", "stale", "failing", "absent")


def families(facts: Facts) -> Iterator[Metric]:
    """Every metric family of these facts."""
    yield InfoMetricFamily(
        "dnsd_build",
        "The running version.",
        {"version": facts.version, "python": platform.python_version()},
    )
    yield _gauge("dnsd_start_time_seconds", "When dnsd started, since the epoch.", facts.started_at)
    yield _gauge("dnsd_ready", "Whether queries should be sent here.", facts.ready)
    yield _gauge("dnsd_stale", "Whether answers are from before a source fell silent.", facts.stale)
    yield from _queries(facts.counters)
    yield from _transports(facts.counters)
    yield from _workers(facts.workers)
    yield from _zone(facts)
    yield from _changes(facts)
    yield from _sources(facts)
    yield from _upstream(facts)
    yield _gauge("dnsd_history_changes", "Changes in the history.", facts.history_changes)
    yield _gauge("dnsd_history_bytes", "Size of the history.", facts.history_bytes)
    yield _counter(
        "dnsd_history_lost", "Changes that are missing from the history.", facts.history_lost
    )
    yield _gauge("dnsd_query_streams", "Live query streams that are open.", facts.streams)
    yield _counter("dnsd_query_samples", "Queries that were sampled.", facts.samples)


def _queries(counters: Mapping[str, int]) -> Iterator[Metric]:
    queries = CounterMetricFamily(
        "dnsd_queries",
        "Queries answered, by transport, type and response code.",
        labels=("transport", "type", "rcode", "outcome"),
    )
    for name, count in counters.items():
        parts = name.split(".")
        if parts[0] == "queries" and len(parts) == 4:
            _, transport, type_, outcome = parts
            queries.add_metric((transport, type_, _RCODES.get(outcome, "OTHER"), outcome), count)
    yield queries
    drops = CounterMetricFamily(
        "dnsd_drops", "Packets and connections that got no reply, by reason.", labels=("reason",)
    )
    for reason, count in _drops(counters).items():
        drops.add_metric((reason,), count)
    yield drops
    yield _counter(
        "dnsd_truncated_replies",
        "Replies over UDP that carried TC, to be asked again over TCP.",
        counters.get("truncated", 0),
    )
    yield _counter(
        "dnsd_engine_failures",
        "Queries that could not be answered because of a bug.",
        sum(counters.get(f"{transport.name}.failures", 0) for transport in TRANSPORTS),
    )


def _drops(counters: Mapping[str, int]) -> Counter[str]:
    drops = Counter(not_a_query=counters.get("dropped", 0))
    for transport in TRANSPORTS:
        for suffix, reason in _REASONS[transport.datagram].items():
            reason = reason.format(transport.name)
            drops[reason] += counters.get(f"{transport.name}.{suffix}", 0)
    drops["upstream_overloaded"] = counters.get("upstream.overloaded", 0)
    return drops


# The reason of a drop by a transport's counter, for streams and for datagrams.
_REASONS = (
    {
        "refused": "{}_refused",
        "evicted": "{}_evicted",
        "timeouts": "{}_timeout",
        "malformed": "{}_malformed",
    },
    {"truncated": "oversized_datagram", "errors": "send_failed"},
)


def _transports(counters: Mapping[str, int]) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "dnsd_received_messages", "Messages received, by transport.", labels=("transport",)
    )
    sent = CounterMetricFamily(
        "dnsd_sent_messages", "Replies sent, by transport.", labels=("transport",)
    )
    extra: list[Metric] = []
    for transport in TRANSPORTS:
        name = transport.name
        received.add_metric((name,), counters.get(f"{name}.received", 0))
        replies = counters.get(f"{name}.sent", 0) + counters.get(f"{name}.late", 0)
        sent.add_metric((name,), replies)
        if transport.datagram:
            text = f"Batches that {transport.label} messages came in."
            extra.append(_counter(f"dnsd_{name}_batches", text, counters.get(f"{name}.batches", 0)))
        else:
            text = f"{transport.label} connections accepted."
            accepted = counters.get(f"{name}.accepted", 0)
            extra.append(_counter(f"dnsd_{name}_connections", text, accepted))
    yield received
    yield sent
    yield from extra


def _workers(workers: Iterable[WorkerFacts]) -> Iterator[Metric]:
    up = GaugeMetricFamily("dnsd_worker_up", "Whether the worker answers.", labels=("worker",))
    age = GaugeMetricFamily(
        "dnsd_worker_age_seconds", "How long the worker's process runs.", labels=("worker",)
    )
    lag = GaugeMetricFamily(
        "dnsd_worker_lag_seconds", "How late its event loop was last.", labels=("worker",)
    )
    restarts = CounterMetricFamily(
        "dnsd_worker_restarts", "How often the worker was replaced.", labels=("worker",)
    )
    for worker in workers:
        label = (str(worker.index),)
        up.add_metric(label, worker.open)
        age.add_metric(label, worker.age)
        lag.add_metric(label, worker.lag)
        restarts.add_metric(label, worker.restarts)
    yield from (up, age, lag, restarts)


def _zone(facts: Facts) -> Iterator[Metric]:
    yield _gauge("dnsd_zone_serial", "Serial of the zones.", facts.serial)
    yield _gauge("dnsd_zone_names", "Names that exist.", facts.names)
    yield _by("dnsd_objects", "Objects known, by kind.", "kind", facts.objects)
    yield _by("dnsd_services", "Services known, by type.", "type", facts.services)
    yield _gauge(
        "dnsd_owners_with_problems", "Objects of which something cannot be served.", facts.problems
    )
    yield _gauge(
        "dnsd_disputed_names",
        "Names outside that several objects want; the oldest has each.",
        facts.disputes,
    )
    yield _counter(
        "dnsd_owner_failures", "Objects whose names could not be computed, a bug.", facts.failures
    )


def _changes(facts: Facts) -> Iterator[Metric]:
    yield _counter("dnsd_zone_changes", "Changes of the zone.", facts.changes)
    yield HistogramMetricFamily(
        "dnsd_change_seconds",
        "From an event handed in to its answer by every worker.",
        buckets=facts.change_seconds.cumulative(),
        sum_value=facts.change_seconds.total,
    )
    programming = HistogramMetricFamily(
        "dnsd_programming_seconds",
        "From the change in the cluster (last-change-trigger-time) to its answer by every worker.",
        labels=("service_kind",),
    )
    for kind, histogram in facts.programming_seconds.items():
        programming.add_metric((kind,), histogram.cumulative(), histogram.total)
    yield programming
    yield HistogramMetricFamily(
        "dnsd_answer_seconds",
        "Time in the engine of sampled queries, that of their whole batch.",
        buckets=facts.answer_seconds.cumulative(),
        sum_value=facts.answer_seconds.total,
    )


def _sources(facts: Facts) -> Iterator[Metric]:
    label = ("source",)
    state = GaugeMetricFamily(
        "dnsd_source_state", "1 for the state a source is in.", labels=("source", "state")
    )
    event = GaugeMetricFamily(
        "dnsd_source_last_event_age_seconds", "Since the last event.", labels=label
    )
    contact = GaugeMetricFamily(
        "dnsd_source_last_contact_age_seconds", "Since the last sign of life.", labels=label
    )
    objects = GaugeMetricFamily("dnsd_source_objects", "Objects of a source.", labels=label)
    counts = {
        name: CounterMetricFamily(f"dnsd_source_{name}", text, labels=label)
        for name, text in (
            ("relists", "Lists that had to begin anew."),
            ("reconciles", "Comparisons with all there is."),
            ("corrections", "Differences that comparisons found."),
            ("errors", "Errors."),
        )
    }
    for source in facts.sources:
        for one in SOURCE_STATES:
            state.add_metric((source.name, one), source.state == one)
        if source.last_event:
            event.add_metric((source.name,), max(0.0, facts.now - source.last_event))
        if source.last_contact:
            contact.add_metric((source.name,), max(0.0, facts.now - source.last_contact))
        objects.add_metric((source.name,), source.objects)
        for name, family in counts.items():
            family.add_metric((source.name,), getattr(source, name))
    yield from (state, event, contact, objects, *counts.values())


def _upstream(facts: Facts) -> Iterator[Metric]:
    counters = facts.counters
    cache = CounterMetricFamily(
        "dnsd_cache_lookups", "Lookups in the cache of upstream replies.", labels=("result",)
    )
    for result, name in (("hit", "hits"), ("miss", "misses"), ("stale", "stale")):
        cache.add_metric((result,), counters.get(f"upstream.{name}", 0))
    yield cache
    for name, text in (
        ("coalesced", "Questions that waited for one that was already asked."),
        ("prefetches", "Replies asked for anew before their time was over."),
        ("evictions", "Replies that had to make room in the cache."),
        ("loops", "Questions that came back to dnsd."),
        ("failures", "Questions that no upstream answered."),
    ):
        yield _counter(f"dnsd_upstream_{name}", text, counters.get(f"upstream.{name}", 0))
    yield _counter(
        "dnsd_upstream_questions", "Questions for upstreams.", counters.get("asked_upstream", 0)
    )
    label = ("server",)
    up = GaugeMetricFamily("dnsd_upstream_up", "Whether the server answers.", labels=label)
    latency = GaugeMetricFamily(
        "dnsd_upstream_latency_seconds", "Smoothed latency of the server.", labels=label
    )
    queries = CounterMetricFamily(
        "dnsd_upstream_server_queries", "Questions sent to the server.", labels=label
    )
    failures = CounterMetricFamily(
        "dnsd_upstream_server_failures", "Questions the server did not answer.", labels=label
    )
    for server in facts.servers:
        up.add_metric((server.address,), server.up)
        latency.add_metric((server.address,), server.latency)
        queries.add_metric((server.address,), server.queries)
        failures.add_metric((server.address,), server.failures)
    yield from (up, latency, queries, failures)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


class _Once(Collector):
    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        return families(self._facts())

    def describe(self) -> Iterable[Metric]:
        return ()  # what a registry asks at registration; it would cost a set of facts


def registry(facts: Callable[[], Facts]) -> CollectorRegistry:
    """A registry of its own (never the global one) that asks for facts when it is scraped."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Once(facts))
    return made


def exposition(facts: Facts) -> bytes:
    """The text that Prometheus reads (content type CONTENT_TYPE)."""
    return generate_latest(registry(lambda: facts))


def sample_names(facts: Facts) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Every family of these facts as it is written: name -> (type, help, labels)."""
    found = {}
    for family in families(facts):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = tuple(getattr(family, "_labelnames", ()))
        found[family.name + suffix] = family.type, family.documentation, labels
    return found


def reference() -> str:
    """docs/metrics.md."""
    rows = "\n".join(
        f"| `{name}` | {type_} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        for name, (type_, text, labels) in sample_names(_EMPTY).items()
    )
    return _PAGE.replace("ROWS", rows)


_EMPTY = Facts(
    version="",
    now=0.0,
    started_at=0.0,
    ready=False,
    stale=False,
    counters={},
    workers=(),
    serial=0,
    names=0,
    objects={},
    services={},
    problems=0,
    failures=0,
    changes=0,
    change_seconds=Histogram((1.0,)),
    programming_seconds={},
    answer_seconds=Histogram((1.0,)),
    sources=(),
)

_PAGE = """\
# Metrics

`GET /metrics` on the admin address, in Prometheus' text format, without a token. Counters go
on when a worker is replaced; they begin at zero with dnsd.

* `dnsd_queries_total`: `type` is one of A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, SVCB
  (TYPE64), HTTPS, ANY and other; `outcome` tells an answer from NODATA, which share the
  response code NOERROR.
* `dnsd_change_seconds` begins when a source hands an event in, and ends when every worker
  answers by it. `dnsd_programming_seconds` begins in the cluster, with the annotation
  `endpoints.kubernetes.io/last-change-trigger-time` of EndpointSlices; `service_kind` is
  `headless` or `cluster_ip`. What was there at the start is in neither.
* `dnsd_answer_seconds` is sampled (`query_samples`, by default 100 queries a second and
  worker): the time the engine took for the batch of queries that the sampled one came in.
  Waiting in the kernel is not in it.
* `dnsd_source_state` is 1 for the state a source is in: starting, synced, stale, failing,
  or absent (a resource that the API server does not have, such as a CRD nobody installed).

| name | type | labels | meaning |
|---|---|---|---|
ROWS

No label holds a name, a client or a namespace. This table is generated from
`dnsd/observe/metrics.py` (`make docs`), and a test compares the two.
"""

if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
