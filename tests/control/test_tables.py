"""The tables of workers under changes: any course of events ends as a build from scratch.

The workers of these tests apply frames at once. A real one has them in its queue, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import chain

import dns.message
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.answer.settings import EngineConfig
from dnsd.answer.shared import Shared
from dnsd.answer.views import Views
from dnsd.cluster.objects import Event, Key, Pod, Service
from dnsd.control.views import ViewZones
from dnsd.dns.addresses import pack_address
from dnsd.dns.names import name_from_text, text_of
from dnsd.sources.source import Batch
from dnsd.transport.registry import TRANSPORTS, UDP
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import FRESH, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import PolicyRule, ViewConfig, ViewRule
from tests.control.test_views import SCHEMA, cluster

SCHEMAS = (SCHEMA, msgspec.structs.replace(SCHEMA, zones=(name_from_text("other."),), ttl=7))
VIEWS = ViewConfig(
    views=(ViewRule(("10.0.3.0/24",), "outside"),),
    policies=(
        PolicyRule(namespaces=("*",), see=("own", "shared")),
        PolicyRule(networks=("10.0.1.0/24",), see=("a",)),
    ),
)
CLIENTS = tuple(
    pack_address(text)
    for text in ("10.0.0.1", "10.0.1.1", "10.0.3.1", "10.1.1.7", "10.1.2.7", "10.2.0.1")
)
OBJECTS = (
    *(one for one in cluster() if not isinstance(one, Key)),
    Service("shared", "far", cluster_ips=(pack_address("10.200.0.1"),)),  # alone in its zone
    Pod("a", "moves", (pack_address("10.2.0.1"),), "Running"),
    Pod("b", "moves", (pack_address("10.2.0.1"),), "Running"),
)
EVENTS: list[Event] = [*OBJECTS, *(one.key for one in OBJECTS)]


class Worker:
    """The tables of a worker, and the rest of the load that it takes part in."""

    def __init__(self) -> None:
        self.engine = Views(Shared(EngineConfig(views=True), TRANSPORTS))
        self.load: Iterator[bytes] = iter(())


class Course:
    """A control process and its workers, in steps that a test chooses."""

    def __init__(self) -> None:
        self.pipeline = Pipeline(SCHEMA, 1)
        self.view_zones = ViewZones(VIEWS, self.pipeline)
        self.view_zones.compiling = True
        self.frames: list[bytes] = []
        self.workers: list[Worker] = []
        self.rebuilding: Iterator[None] = iter(())
        self.pipeline.on_change.append(
            lambda change: self.frames.append(compile_change(change, self.pipeline.zone))
        )
        self.pipeline.on_rebuild.append(lambda _: self.reload())
        self.feed([])
        self.join()

    def send(self) -> None:
        """What the control process broadcasts at the end of a step."""
        frames, self.frames = [*self.frames, *self.view_zones.take()], []
        for worker in self.workers:
            for frame in frames:
                worker.engine.apply(frame)

    def feed(self, events: list[Event]) -> None:
        self.pipeline.feed(Batch(tuple(events)), 0.0)
        self.view_zones.follow(one if isinstance(one, Key) else one.key for one in events)
        self.send()

    def build(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self.view_zones.build()
        self.send()

    def table(self) -> Iterator[bytes]:
        zone = self.pipeline.zone
        return chain(compile_all(zone, 5), self.view_zones.tables(), [compile_state(FRESH)])

    def join(self) -> None:
        worker = Worker()
        worker.load = self.table()
        self.workers.append(worker)

    def end(self) -> None:
        """A worker is killed, also during its load."""
        del self.workers[:1]

    def reload(self) -> None:
        for worker in self.workers:
            worker.load = self.table()

    def load(self, frames: int = 1) -> None:
        """Each worker that loads a table gets the next frames."""
        for worker in self.workers:
            for _ in range(frames):
                frame = next(worker.load, None)
                if frame is not None:
                    worker.engine.apply(frame)

    def begin_rebuild(self) -> None:
        """Another schema: zones go and others come."""
        for _ in self.rebuilding:
            pass
        current = self.pipeline.zone.config
        (other,) = (one for one in SCHEMAS if one != current)
        self.rebuilding = self.pipeline.reconfigure_slowly(other)

    def rebuild(self, pieces: int = 3) -> None:
        for _ in range(pieces):
            next(self.rebuilding, None)
        self.send()

    def finish(self) -> None:
        for _ in self.rebuilding:
            pass
        self.send()
        while self.view_zones.building:
            self.build()
        self.load(10_000)
        self.send()


def replies(engine: Views, packets: list[bytes]) -> Iterator[object]:
    """The replies without the order of their records and without the serial, which differ."""
    for packet in packets:
        for client in CLIENTS:
            reply = engine.answer(packet, client, UDP)
            assert isinstance(reply, bytes)
            if int.from_bytes(reply[6:8], "big"):
                text = dns.message.from_wire(reply).to_text()
                yield sorted(line for line in text.splitlines() if " SOA " not in line)
            else:
                yield reply[2:12]


@cache
def queries() -> list[bytes]:
    """A query for each name of all objects by all schemas, so also for names that are gone."""
    names: set[str] = set()
    for schema in SCHEMAS:
        pipeline = Pipeline(schema, 1)
        pipeline.feed(Batch(OBJECTS), 0.0)
        names |= {text_of(name) for name in pipeline.zone.names()}
    types = {name: "PTR" if name.endswith(".arpa.") else "A" for name in names}
    types |= {name: "SRV" for name in names if name.startswith("_")}
    return [dns.message.make_query(name, types[name], id=1).to_wire() for name in sorted(names)]


STEPS: list[Callable[[Course], None]] = [
    *(partial(Course.build, pieces=number) for number in (1, 1, 5, 9)),
    *(partial(Course.load, frames=number) for number in (1, 7, 99, 99)),
    Course.join,
    Course.end,
    Course.reload,
    Course.begin_rebuild,
    *(partial(Course.rebuild, pieces=number) for number in (3, 99)),
]


def check(course: Course) -> None:
    """All workers end as one whose tables are built from scratch."""
    course.finish()
    scratch = Course()
    if course.pipeline.zone.config != SCHEMA:
        scratch.begin_rebuild()
        scratch.finish()
    scratch.feed(list(course.pipeline.state.objects()))
    scratch.finish()
    packets = queries()
    expected = list(replies(scratch.workers[0].engine, packets))
    for worker in course.workers:
        assert list(replies(worker.engine, packets)) == expected


def begun(events: Sequence[Event] = OBJECTS) -> Course:
    """A course whose first worker has its table, and whose new views are being built."""
    course = Course()
    course.finish()
    course.feed(list(events))
    return course


# Pieces of the builds of `begun`, and frames of a load then: more than there are.
PIECES, FRAMES = 30, 40


def test_a_worker_may_load_its_table_at_any_piece_of_a_build() -> None:
    for pieces in range(PIECES):
        course = begun()
        course.build(pieces)
        course.join()
        course.load(FRAMES)
        check(course)
    assert not course.view_zones.building


def test_a_build_may_end_during_a_load_that_began_during_the_build() -> None:
    for pieces in range(PIECES):
        course = begun()
        course.build(pieces)
        course.join()
        course.load(FRAMES // 2)  # into the tables of the views
        course.build(PIECES)
        check(course)


def test_names_may_come_and_go_at_any_piece_of_a_build() -> None:
    for pieces in range(PIECES):
        course = begun()
        course.build(pieces)
        course.feed([one.key for one in OBJECTS[::2]])
        course.build()
        course.feed([*OBJECTS[:6], *(one.key for one in OBJECTS[-4:])])
        check(course)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(STEPS), st.lists(st.sampled_from(EVENTS), min_size=1, max_size=4)
        ),
        min_size=10,
        max_size=60,
    )
)
def test_any_course_of_events_ends_with_the_tables_of_a_build_from_scratch(
    steps: list[Callable[[Course], None] | list[Event]],
) -> None:
    course = begun()
    for step in steps:
        if isinstance(step, list):
            course.feed(step)
        else:
            step(course)
    course.join()
    check(course)
