"""The metrics in the text format of Prometheus (docs/metrics.md describes each one).

In `observe/` (control plane). Change here: names, labels, and values of metrics.

This module counts nothing. Workers count in plain integers, the control process has its zone and
its sources, and `Facts` holds all values at one moment. `families` converts them when Prometheus
scrapes. So a scrape costs a millisecond, and there is no cost without one.

Cardinality is bounded: labels are transports, the counted query types, response codes, reasons,
kinds of objects, sources, workers, and upstream servers; never a name, a client, or a namespace.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dnsd.observe.facts import Facts
from dnsd.observe.histogram import Histogram
from dnsd.transport.registry import TRANSPORTS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# The response code of each outcome of the engine.
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
# The reason of a drop by the counter of a transport, for streams and for datagrams.
_REASONS = (
    {
        "refused": "{}_refused",
        "evicted": "{}_evicted",
        "timeouts": "{}_timeout",
        "malformed": "{}_malformed",
    },
    {"truncated": "oversized_datagram", "errors": "send_failed"},
)
SOURCE_STATES = ("starting", "synced", "stale", "failing", "absent")

_Labels = str | tuple[str, ...]
_Rows = Iterable[tuple[_Labels, float]]


def families(facts: Facts) -> Iterator[Metric]:
    """All metric families of these facts."""
    yield InfoMetricFamily(
        "dnsd_build",
        "The running version.",
        {"version": facts.version, "python": platform.python_version()},
    )
    yield _gauge("dnsd_start_time_seconds", "Start of dnsd, since the epoch.", facts.started_at)
    yield _gauge("dnsd_ready", "1 if clients should send queries to this dnsd.", facts.ready)
    yield _gauge("dnsd_stale", "1 if a source is unreachable and answers are stale.", facts.stale)
    yield from _queries(facts.counters)
    yield from _transports(facts.counters)
    yield from _workers(facts)
    yield from _zone(facts)
    yield from _changes(facts)
    yield from _sources(facts)
    yield from _upstream(facts)
    yield _gauge("dnsd_history_changes", "Changes in the history.", facts.history_changes)
    yield _gauge("dnsd_history_bytes", "Size of the history in bytes.", facts.history_bytes)
    yield _counter(
        "dnsd_history_lost", "Changes that could not be written to the history.", facts.history_lost
    )
    yield _gauge("dnsd_query_streams", "Open live query streams.", facts.streams)
    yield _counter("dnsd_query_samples", "Sampled queries.", facts.samples)


def _queries(counters: Mapping[str, int]) -> Iterator[Metric]:
    split = ((name.split("."), count) for name, count in counters.items())
    yield _counters(
        "dnsd_queries",
        "Queries answered, by transport, type, and response code.",
        ("transport", "type", "rcode", "outcome"),
        (
            ((parts[1], parts[2], _RCODES.get(parts[3], "OTHER"), parts[3]), count)
            for parts, count in split
            if parts[0] == "queries" and len(parts) == 4
        ),
    )
    yield _counters(
        "dnsd_drops",
        "Packets and connections without a reply, by reason.",
        "reason",
        _drops(counters).items(),
    )
    yield _counter(
        "dnsd_truncated_replies",
        "Replies over UDP with TC set; the client queries again over TCP.",
        counters.get("truncated", 0),
    )
    yield _counter(
        "dnsd_engine_failures",
        "Queries that were not answered because of a bug.",
        sum(counters.get(f"{one.name}.failures", 0) for one in TRANSPORTS),
    )


def _drops(counters: Mapping[str, int]) -> Counter[str]:
    drops = Counter(not_a_query=counters.get("dropped", 0))
    for one in TRANSPORTS:
        for suffix, reason in _REASONS[one.datagram].items():
            drops[reason.format(one.name)] += counters.get(f"{one.name}.{suffix}", 0)
    drops["upstream_overloaded"] = counters.get("upstream.overloaded", 0)
    return drops


def _transports(counters: Mapping[str, int]) -> Iterator[Metric]:
    def count(*names: str) -> _Rows:
        for one in TRANSPORTS:
            yield one.name, sum(counters.get(f"{one.name}.{name}", 0) for name in names)

    yield _counters(
        "dnsd_received_messages", "Messages received, by transport.", "transport", count("received")
    )
    yield _counters(
        "dnsd_sent_messages", "Replies sent, by transport.", "transport", count("sent", "late")
    )
    for one in TRANSPORTS:
        if one.datagram:
            text, batches = f"Batches of {one.label} messages received.", f"{one.name}.batches"
            yield _counter(f"dnsd_{one.name}_batches", text, counters.get(batches, 0))
        else:
            text, accepted = f"{one.label} connections accepted.", f"{one.name}.accepted"
            yield _counter(f"dnsd_{one.name}_connections", text, counters.get(accepted, 0))


def _workers(facts: Facts) -> Iterator[Metric]:
    def rows(field: str) -> _Rows:
        return ((str(one.index), getattr(one, field)) for one in facts.workers)

    yield _gauges("dnsd_worker_up", "1 if the worker answers.", "worker", rows("open"))
    yield _gauges("dnsd_worker_age_seconds", "Age of the worker process.", "worker", rows("age"))
    yield _gauges(
        "dnsd_worker_lag_seconds", "Latest delay of its event loop.", "worker", rows("lag")
    )
    yield _counters(
        "dnsd_worker_restarts", "Replacements of the worker.", "worker", rows("restarts")
    )


def _zone(facts: Facts) -> Iterator[Metric]:
    yield _gauge("dnsd_zone_serial", "Serial of the zones.", facts.serial)
    yield _gauge("dnsd_zone_names", "Names in the zones.", facts.names)
    yield _gauges("dnsd_objects", "Objects in memory, by kind.", "kind", facts.objects.items())
    yield _gauges("dnsd_services", "Services in memory, by type.", "type", facts.services.items())
    yield _gauge(
        "dnsd_owners_with_problems", "Objects that are not served completely.", facts.problems
    )
    yield _gauge(
        "dnsd_disputed_names",
        "External names claimed by several objects; the oldest object wins.",
        facts.disputes,
    )
    yield _counter(
        "dnsd_owner_failures", "Objects whose names could not be computed, a bug.", facts.failures
    )


def _changes(facts: Facts) -> Iterator[Metric]:
    yield _counter("dnsd_zone_changes", "Changes of the zone.", facts.changes)
    yield _histogram(
        "dnsd_change_seconds",
        "From the event of a source to the answer by every worker.",
        facts.change_seconds,
    )
    programming = HistogramMetricFamily(
        "dnsd_programming_seconds",
        "From the change in the cluster (last-change-trigger-time) to the answer by every worker.",
        labels=("service_kind",),
    )
    for kind, histogram in facts.programming_seconds.items():
        programming.add_metric((kind,), histogram.cumulative(), histogram.total)
    yield programming
    yield _histogram(
        "dnsd_answer_seconds",
        "Time in the engine for the batch of a sampled query.",
        facts.answer_seconds,
    )


def _sources(facts: Facts) -> Iterator[Metric]:
    sources = facts.sources

    def ages(field: str) -> _Rows:
        for one in sources:
            if at := getattr(one, field):
                yield one.name, max(0.0, facts.now - at)

    def rows(field: str) -> _Rows:
        return ((one.name, getattr(one, field)) for one in sources)

    yield _gauges(
        "dnsd_source_state",
        "1 for the current state of the source.",
        ("source", "state"),
        (((one.name, state), one.state == state) for one in sources for state in SOURCE_STATES),
    )
    yield _gauges(
        "dnsd_source_last_event_age_seconds", "Since the last event.", "source", ages("last_event")
    )
    yield _gauges(
        "dnsd_source_last_contact_age_seconds",
        "Since the last response.",
        "source",
        ages("last_contact"),
    )
    yield _gauges("dnsd_source_objects", "Objects of the source.", "source", rows("objects"))
    for field, text in (
        ("relists", "Lists that started again from the beginning."),
        ("reconciles", "Comparisons with a complete list."),
        ("corrections", "Differences found by these comparisons."),
        ("errors", "Errors."),
    ):
        yield _counters(f"dnsd_source_{field}", text, "source", rows(field))


def _upstream(facts: Facts) -> Iterator[Metric]:
    def count(name: str) -> int:
        return facts.counters.get(f"upstream.{name}", 0)

    results = (("hit", "hits"), ("miss", "misses"), ("stale", "stale"))
    yield _counters(
        "dnsd_cache_lookups",
        "Lookups in the cache of upstream replies.",
        "result",
        ((result, count(name)) for result, name in results),
    )
    for name, text in (
        ("coalesced", "Queries that waited for the same query in flight."),
        ("prefetches", "Replies refreshed before they expired."),
        ("evictions", "Replies evicted from a full cache."),
        ("loops", "Queries that came back to dnsd."),
        ("failures", "Queries that no upstream server answered."),
    ):
        yield _counter(f"dnsd_upstream_{name}", text, count(name))
    yield _counter(
        "dnsd_upstream_questions",
        "Queries for external names.",
        facts.counters.get("asked_upstream", 0),
    )

    def rows(field: str) -> _Rows:
        return ((one.address, getattr(one, field)) for one in facts.servers)

    yield _gauges("dnsd_upstream_up", "1 if the server answers.", "server", rows("up"))
    yield _gauges(
        "dnsd_upstream_latency_seconds",
        "Smoothed latency of the server.",
        "server",
        rows("latency"),
    )
    yield _counters(
        "dnsd_upstream_server_queries", "Queries sent to the server.", "server", rows("queries")
    )
    yield _counters(
        "dnsd_upstream_server_failures",
        "Queries that the server did not answer.",
        "server",
        rows("failures"),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, labels: _Labels, rows: _Rows) -> Metric:
    return _labeled(GaugeMetricFamily, name, text, labels, rows)


def _counters(name: str, text: str, labels: _Labels, rows: _Rows) -> Metric:
    return _labeled(CounterMetricFamily, name, text, labels, rows)


def _labeled(family: Any, name: str, text: str, labels: _Labels, rows: _Rows) -> Metric:
    made = family(name, text, labels=_several(labels))
    for values, number in rows:
        made.add_metric(_several(values), number)
    return made  # type: ignore[no-any-return]


def _several(labels: _Labels) -> tuple[str, ...]:
    return (labels,) if isinstance(labels, str) else labels


def _histogram(name: str, text: str, values: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, buckets=values.cumulative(), sum_value=values.total)


class _FactsCollector(Collector):
    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        return families(self._facts())

    def describe(self) -> Iterable[Metric]:
        return ()  # a registry calls it at registration; it must not collect facts


def registry(facts: Callable[[], Facts]) -> CollectorRegistry:
    """A registry (not the global one) that collects facts at each scrape."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_FactsCollector(facts))
    return made


def exposition(facts: Facts) -> bytes:
    """The text that Prometheus reads (content type CONTENT_TYPE)."""
    return generate_latest(registry(lambda: facts))


def sample_names(facts: Facts) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The type, help, and labels of each family by its exported name."""
    found = {}
    for family in families(facts):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = tuple(getattr(family, "_labelnames", ()))
        found[family.name + suffix] = family.type, family.documentation, labels
    return found


def reference() -> str:
    """The text of docs/metrics.md."""
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

`GET /metrics` at the admin address returns the metrics in the text format of Prometheus. It
requires no token. Counters continue when a worker is replaced, and start at zero with dnsd.

* `dnsd_queries_total`: `type` is A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, SVCB (TYPE64), HTTPS,
  ANY, or other. `outcome` separates answers from NODATA, which have the same response code NOERROR.
* `dnsd_change_seconds` starts when a source hands in an event, and ends when every worker answers
  by it. `dnsd_programming_seconds` starts in the cluster, with the annotation
  `endpoints.kubernetes.io/last-change-trigger-time` of EndpointSlices; `service_kind` is `headless`
  or `cluster_ip`. Neither includes the objects that exist at the start.
* `dnsd_answer_seconds` is sampled (`query_samples`, by default 100 queries per second and worker).
  It is the time that the engine takes for the batch of the sampled query, without the time that the
  query waits in the kernel.
* `dnsd_source_state` is 1 for the state of a source: starting, synced, stale, failing, or absent
  (the API server does not have the resource, for example because its CRD is not installed).

| name | type | labels | meaning |
|---|---|---|---|
ROWS

No label holds a name, a client, or a namespace. This table is generated from
`dnsd/observe/metrics.py` (`make docs`), and a test compares the two.
"""

if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
