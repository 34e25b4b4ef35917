"""The metrics in the text format of Prometheus (docs/metrics.md describes each one).

In `observe/` (control plane). Change here: names, labels, and values of metrics.

This module counts nothing. Workers count in plain integers, the control process has its zone and
its sources, and `Facts` holds all values at one moment. `families` converts them when Prometheus
scrapes: a scrape costs a millisecond, and dnsd spends nothing between two scrapes.

Cardinality is bounded: labels are transports, the counted query types, response codes, reasons,
kinds of objects, sources, workers, and upstream servers; never a name, a client, or a namespace.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
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

# Tables of metrics: family, name, field, and help.
_Row = tuple[type[GaugeMetricFamily | CounterMetricFamily], str, str, str]
_Rows = Iterable[tuple[tuple[str, ...], float]]
_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily

_PROCESS: tuple[_Row, ...] = (
    (_GAUGE, "start_time_seconds", "started_at", "Start of dnsd, since the epoch."),
    (_GAUGE, "ready", "ready", "1 if clients should send queries to this dnsd."),
    (_GAUGE, "stale", "stale", "1 if a source is unreachable and answers are stale."),
)
_ZONE: tuple[_Row, ...] = (
    (_GAUGE, "zone_serial", "serial", "Serial of the zones."),
    (_GAUGE, "zone_names", "names", "Names in the zones."),
    (_GAUGE, "owners_with_problems", "problems", "Objects that are not served completely."),
    (
        _GAUGE,
        "disputed_names",
        "disputes",
        "External names claimed by several objects; the oldest wins.",
    ),
    (_COUNTER, "owner_failures", "failures", "Objects whose names could not be computed, a bug."),
    (_COUNTER, "zone_changes", "changes", "Changes of the zone."),
)
_HISTORY: tuple[_Row, ...] = (
    (_GAUGE, "history_changes", "changes", "Changes in the history."),
    (_GAUGE, "history_bytes", "bytes", "Size of the history in bytes."),
    (_COUNTER, "history_lost", "lost", "Changes that could not be written to the history."),
)
_SAMPLES: tuple[_Row, ...] = (
    (_GAUGE, "query_streams", "streams", "Open live query streams."),
    (_COUNTER, "query_samples", "samples", "Sampled queries."),
)
_WORKERS: tuple[_Row, ...] = (
    (_GAUGE, "worker_up", "open", "1 if the worker answers."),
    (_GAUGE, "worker_age_seconds", "age", "Age of the worker process."),
    (_GAUGE, "worker_lag_seconds", "lag", "Latest delay of its event loop."),
    (_COUNTER, "worker_restarts", "restarts", "Replacements of the worker."),
)
_SOURCES: tuple[_Row, ...] = (
    (_GAUGE, "source_objects", "objects", "Objects of the source."),
    (_COUNTER, "source_relists", "relists", "Lists that started again from the beginning."),
    (_COUNTER, "source_reconciles", "reconciles", "Comparisons with a complete list."),
    (_COUNTER, "source_corrections", "corrections", "Differences found by these comparisons."),
    (_COUNTER, "source_errors", "errors", "Errors."),
)
_UPSTREAM: tuple[_Row, ...] = (
    (_COUNTER, "coalesced", "coalesced", "Queries that waited for the same query in flight."),
    (_COUNTER, "prefetches", "prefetches", "Replies refreshed before they expired."),
    (_COUNTER, "evictions", "evictions", "Replies evicted from a full cache."),
    (_COUNTER, "loops", "loops", "Queries that came back to dnsd."),
    (_COUNTER, "failures", "failures", "Queries that no upstream server answered."),
)
_SERVERS: tuple[_Row, ...] = (
    (_GAUGE, "upstream_up", "up", "1 if the server answers."),
    (_GAUGE, "upstream_latency_seconds", "latency", "Smoothed latency of the server."),
    (_COUNTER, "upstream_server_queries", "queries", "Queries sent to the server."),
    (_COUNTER, "upstream_server_failures", "failures", "Queries that the server did not answer."),
)


def families(facts: Facts) -> Iterator[Metric]:
    """All metric families of these facts."""
    build = {"version": facts.version, "python": platform.python_version()}
    yield InfoMetricFamily("dnsd_build", "The running version.", build)
    yield from _families(_PROCESS, {(): facts})
    yield from _queries(facts.counters)
    yield from _transports(facts.counters)
    yield from _families(_WORKERS, {(str(one.index),): one for one in facts.workers}, "worker")
    yield from _families(_ZONE, {(): facts})
    for noun, kind, counts in (
        ("Objects", "kind", facts.objects),
        ("Services", "type", facts.services),
    ):
        rows = (((key,), number) for key, number in counts.items())
        name, text = f"dnsd_{noun.lower()}", f"{noun} in memory, by {kind}."
        yield _labeled(_GAUGE, name, text, (kind,), rows)
    yield from _latencies(facts)
    yield from _sources(facts)
    yield from _upstream(facts)
    yield from _families(_HISTORY, {(): facts.history})
    yield from _families(_SAMPLES, {(): facts})


def _families(
    table: Iterable[_Row], items: Mapping[tuple[str, ...], object], *labels: str
) -> Iterator[Metric]:
    """One family for each row. Its values are a field of each item, by the values of the labels."""
    for family, name, field, text in table:
        rows = ((values, getattr(item, field)) for values, item in items.items())
        yield _labeled(family, f"dnsd_{name}", text, labels, rows)


def _labeled(
    family: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    text: str,
    labels: tuple[str, ...],
    rows: _Rows,
) -> Metric:
    made = family(name, text, labels=labels)
    for values, number in rows:
        made.add_metric(values, number)
    return made


def _queries(counters: Mapping[str, int]) -> Iterator[Metric]:
    split = ((name.split("."), count) for name, count in counters.items())
    yield _labeled(
        _COUNTER,
        "dnsd_queries",
        "Queries answered, by transport, type, and response code.",
        ("transport", "type", "rcode", "outcome"),
        (
            ((parts[1], parts[2], _RCODES.get(parts[3], "OTHER"), parts[3]), count)
            for parts, count in split
            if parts[0] == "queries" and len(parts) == 4
        ),
    )
    drops = (((reason,), count) for reason, count in _drops(counters).items())
    text = "Packets and connections without a reply, by reason."
    yield _labeled(_COUNTER, "dnsd_drops", text, ("reason",), drops)
    text = "Replies over UDP with TC set; the client queries again over TCP."
    yield _COUNTER("dnsd_truncated_replies", text, value=counters.get("truncated", 0))
    failures = sum(counters.get(f"{one.name}.failures", 0) for one in TRANSPORTS)
    text = "Queries that were not answered because of a bug."
    yield _COUNTER("dnsd_engine_failures", text, value=failures)


def _drops(counters: Mapping[str, int]) -> Counter[str]:
    drops = Counter(not_a_query=counters.get("dropped", 0))
    for one in TRANSPORTS:
        for suffix, reason in _REASONS[one.datagram].items():
            drops[reason.format(one.name)] += counters.get(f"{one.name}.{suffix}", 0)
    drops["upstream_overloaded"] = counters.get("upstream.overloaded", 0)
    return drops


def _transports(counters: Mapping[str, int]) -> Iterator[Metric]:
    def rows(*names: str) -> _Rows:
        for one in TRANSPORTS:
            yield (one.name,), sum(counters.get(f"{one.name}.{name}", 0) for name in names)

    for name, text, count in (
        ("dnsd_received_messages", "Messages received, by transport.", rows("received")),
        ("dnsd_sent_messages", "Replies sent, by transport.", rows("sent", "late")),
    ):
        yield _labeled(_COUNTER, name, text, ("transport",), count)
    for one in TRANSPORTS:
        noun, counted, text = (
            ("batches", "batches", f"Batches of {one.label} messages received.")
            if one.datagram
            else ("connections", "accepted", f"{one.label} connections accepted.")
        )
        count_ = counters.get(f"{one.name}.{counted}", 0)
        yield _COUNTER(f"dnsd_{one.name}_{noun}", text, value=count_)


def _latencies(facts: Facts) -> Iterator[Metric]:
    kinds = facts.programming_seconds
    change = "From the event of a source to the answer by every worker."
    programming = (
        "From the change in the cluster (last-change-trigger-time) to the answer by every worker."
    )
    answer = "Time in the engine for the batch of a sampled query."
    yield _histogram("dnsd_change_seconds", change, {"": facts.change_seconds})
    yield _histogram("dnsd_programming_seconds", programming, kinds, ("service_kind",))
    yield _histogram("dnsd_answer_seconds", answer, {"": facts.answer_seconds})


def _histogram(
    name: str, text: str, values: Mapping[str, Histogram], labels: tuple[str, ...] = ()
) -> Metric:
    made = HistogramMetricFamily(name, text, labels=labels)
    for key, one in values.items():
        made.add_metric((key,) if labels else (), one.cumulative(), one.total)
    return made


def _sources(facts: Facts) -> Iterator[Metric]:
    states = (
        ((one.name, state), one.state == state) for one in facts.sources for state in SOURCE_STATES
    )
    text = "1 for the current state of the source."
    yield _labeled(_GAUGE, "dnsd_source_state", text, ("source", "state"), states)
    for field, text in (
        ("last_event", "Since the last event."),
        ("last_contact", "Since the last response."),
    ):
        times = ((one.name, getattr(one, field)) for one in facts.sources)
        ages = (((name,), max(0.0, facts.now - at)) for name, at in times if at)
        yield _labeled(_GAUGE, f"dnsd_source_{field}_age_seconds", text, ("source",), ages)
    yield from _families(_SOURCES, {(one.name,): one for one in facts.sources}, "source")


def _upstream(facts: Facts) -> Iterator[Metric]:
    def count(name: str) -> int:
        return facts.counters.get(f"upstream.{name}", 0)

    results = (("hit", "hits"), ("miss", "misses"), ("stale", "stale"))
    lookups = (((result,), count(name)) for result, name in results)
    text = "Lookups in the cache of upstream replies."
    yield _labeled(_COUNTER, "dnsd_cache_lookups", text, ("result",), lookups)
    for family, name, field, text in _UPSTREAM:
        yield family(f"dnsd_upstream_{name}", text, value=count(field))
    questions = facts.counters.get("asked_upstream", 0)
    yield _COUNTER("dnsd_upstream_questions", "Queries for external names.", value=questions)
    yield from _families(_SERVERS, {(one.address,): one for one in facts.servers}, "server")


class _Collector(Collector):
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        return families(self._facts)


def exposition(facts: Facts) -> bytes:
    """The text that Prometheus reads (content type CONTENT_TYPE)."""
    return generate_latest(_Collector(facts))


def sample_names(facts: Facts) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The type, help, and labels of each family by its exported name."""
    found = {}
    for family in families(facts):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = tuple(getattr(family, "_labelnames", ()))
        found[family.name + suffix] = family.type, family.documentation, labels
    return found


def table() -> str:
    """The rows of the table in docs/metrics.md."""
    return "".join(
        f"| `{name}` | {type_} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"
        for name, (type_, text, labels) in sample_names(Facts()).items()
    )


def with_table(page: str) -> str:
    """The text of docs/metrics.md with the rows as they are now."""
    head, rows = page.split("|---|---|---|---|\n")
    tail = rows.rpartition("|\n")[2]
    return f"{head}|---|---|---|---|\n{table()}{tail}"


if __name__ == "__main__":
    import sys
    from pathlib import Path

    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
