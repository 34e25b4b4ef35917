"""The zone of each view, kept in step with the zone that has all names.

In `control/` (control process). Change here: which views exist, and which clients have them.

zone/views.py has the rules. For each view that a client has, `ViewZones` holds a zone of the names
that are visible in the view. It also assigns the view to each client: to pods and nodes by their
address, to other clients by their network. The workers get both as frames, in order.

* The views of networks follow from the configuration and always exist. The view of a pod exists
  from the first pod that has it to the last.
* When a contributor changes, the schema runs once, and the zone of each view in which the
  contributor is visible gets one edit.
* A new view may have as many names as the zone. So its table is built and sent in pieces (`build`),
  and its clients get it when it is complete. Until then they have the view of an unknown client.
  After the zone was rebuilt, each view gets a new table in the same way, and its clients keep the
  former one until then.
* At most `MAX_VIEWS` views exist. Beyond that a pod sees nothing, and the log reports it. A cluster
  in which every namespace sees itself and a few shared ones has as many views as namespaces with
  pods, each with few names.
* dnsd knows a pod from the event that brings its address. Before that the client has the view that
  `unknown_pods` gives it, by its network. So where that is not the view of a host of the network,
  the addresses of nodes are assigned like those of pods.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key, Node, Object, Pod
from dnsd.dns.rrset import RRset
from dnsd.zone.change import Cause, newer
from dnsd.zone.compile import compile_all, compile_change
from dnsd.zone.frame import UNCHANGED, compile_state
from dnsd.zone.pipeline import Pipeline
from dnsd.zone.settings import ViewConfig
from dnsd.zone.views import (
    EVERYTHING,
    NOTHING,
    Rules,
    View,
    ViewFrame,
    compile_view_frame,
    visible_rrsets,
)
from dnsd.zone.zone import Zone

log = structlog.get_logger(__name__)

MAX_VIEWS = 1000


class _Table(Struct, eq=False):
    """A zone of a view. The workers identify it by `number`; `sent`: they need its changes."""

    number: int
    zone: Zone
    sent: bool = False


class _Clients(Struct):
    """The clients of a view: `addresses` of pods and nodes, and `networks`.

    `table` is what they have, None for nothing yet; `next` is being built.
    """

    networks: bool = False
    addresses: set[bytes] = msgspec.field(default_factory=set)
    table: _Table | None = None
    next: _Table | None = None


class ViewZones:
    """The views of one pipeline. `compiling`: whether the workers need frames (see `take`)."""

    def __init__(self, config: ViewConfig, pipeline: Pipeline) -> None:
        """Raises ValueError for text that is not a network."""
        self.compiling = False
        self._pipeline = pipeline
        self._rules = Rules(config)
        self._views: dict[View, _Clients] = {}
        self._builds: dict[View, Iterator[None]] = {}  # under way, the oldest first
        self._numbers = itertools.count(1)
        self._resets = 0  # whole tables that were sent
        self._frames: list[bytes] = []
        self._pods: dict[bytes, View] = {}  # by address of a pod or node
        self._addresses: dict[Key, tuple[bytes, ...]] = {}  # of pods and Nodes, as last seen
        self._nodes: Counter[bytes] = Counter()  # how many Nodes have an address
        self._full = False  # the limit was logged
        self._networks = list(self._rules.networks())
        for _, view in self._networks:
            if view != EVERYTHING:
                self._view(view).networks = True
        self.finish()
        pipeline.on_contribution.append(self._replace)
        pipeline.on_rebuild.append(self.rebuild)

    # -- lookups -----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many views there are, without the one of all names."""
        return len(self._views)

    def last_serial(self, serial: int) -> int:
        """The latest of `serial` and the serials of all views (RFC 1982)."""
        for view in self._views:
            table = self._table(view)
            if table is not None and newer(table.zone.serial, serial):
                serial = table.zone.serial
        return serial

    def zone_for(self, view: View) -> Zone | None:
        """The zone of a view; None if no client has the view."""
        if view == EVERYTHING:
            return self._pipeline.zone
        table = self._table(view)
        return None if table is None else table.zone

    def _table(self, view: View) -> _Table | None:
        """The table that the clients of a view have."""
        clients = self._views.get(view)
        return None if clients is None else clients.table

    def of_client(self, address: bytes) -> View:
        """The view of the client at this packed address."""
        view = self._pods.get(address)
        if view is None or self._number(view) is None:
            return self._rules.of_unknown(address)
        return view

    # -- changes -----------------------------------------------------------------------------

    def _replace(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str) -> None:
        config = self._pipeline.zone.config
        for view, clients in self._views.items():
            if not view.visible(contributor):
                continue
            visible = visible_rrsets(view, contributor, rrsets, config)
            for table in (clients.table, clients.next):
                if table is None:
                    continue
                table.zone.config = config
                change = table.zone.replace(contributor, visible, cause, age)
                if change is not None and table.sent:
                    self._send(table, compile_change(change, table.zone))

    def rebuild(self, _zone: Zone) -> None:
        """Build the tables of all views anew; the workers then need whole tables."""
        for view in self._views:
            self._begin_build(view)

    def follow(self, keys: Iterable[Key]) -> None:
        """These Pods and Nodes were added, changed, or removed. Other kinds are ignored."""
        touched: dict[bytes, None] = {}
        for key in keys:
            thing = self._pipeline.get(key) if key.kind in ("Pod", "Node") else None
            now = tuple(dict.fromkeys(_addresses_of(thing)))
            before = self._addresses.pop(key, ())
            touched |= dict.fromkeys((*before, *now))
            if now:
                self._addresses[key] = now
            if key.kind == "Node":
                self._nodes.subtract(before)
                self._nodes.update(now)
        views = {address: self._view_of(address) for address in touched}
        changed = {ip: view for ip, view in views.items() if self._pods.get(ip) != view}
        if changed:
            self._assign(changed)

    def _view_of(self, address: bytes) -> View | None:
        """The view of the pod or node with this address; None: it is unknown."""
        pods = [pod for pod in self._pipeline.pods_with(address) if pod.running]
        if self._nodes[address] > 0 or any(pod.host_network for pod in pods):
            host, unknown = self._rules.of_host(address), self._rules.of_unknown(address)
            return host if host != unknown else None
        namespaces = {pod.namespace for pod in pods}
        if len(namespaces) != 1:
            return None
        return self._rules.of_pod(address, namespaces.pop())

    def _assign(self, changed: dict[bytes, View | None]) -> None:
        assigned, forgotten, left = [], [], []
        for address, wanted in changed.items():
            before = self._pods.pop(address, None)
            view = None if wanted is None else self._admitted(wanted)
            if before is not None and before != view:
                left.append((before, address))
            number = None
            if view is not None:
                self._pods[address] = view
                if view != EVERYTHING:
                    self._view(view).addresses.add(address)
                number = self._number(view)
            if number is None:  # until its table is complete
                forgotten.append(address)
            else:
                assigned.append((address, number))
        dropped = [number for view, address in left for number in self._leave(view, address)]
        self._send_step(
            ViewFrame(clients=tuple(assigned), forgotten=tuple(forgotten), dropped=tuple(dropped))
        )

    # -- views begin and end -----------------------------------------------------------------

    def _number(self, view: View) -> int | None:
        """The number of the table that clients of a view have; None: they have none yet."""
        if view == EVERYTHING:
            return 0
        table = self._table(view)
        return None if table is None else table.number

    def _admitted(self, view: View) -> View:
        """The view; NOTHING instead of a new one if there are too many."""
        if view in (EVERYTHING, NOTHING) or view in self._views or len(self._views) < MAX_VIEWS:
            return view
        if not self._full:
            self._full = True
            log.error("too many views; pods with a new view see nothing", limit=MAX_VIEWS)
        return NOTHING

    def _view(self, view: View) -> _Clients:
        """The clients of a view, whose table is built if they are the first."""
        clients = self._views.get(view)
        if clients is None:
            clients = self._views[view] = _Clients()
            self._begin_build(view)
        return clients

    def _leave(self, view: View, address: bytes) -> list[int]:
        """A client has left a view. Returns the numbers of its tables if it was the last."""
        if view == EVERYTHING:
            return []
        clients = self._views[view]
        clients.addresses.discard(address)
        if clients.addresses or clients.networks:
            return []
        del self._views[view]
        self._builds.pop(view, None)
        self._full = False
        return [table.number for table in (clients.table, clients.next) if table is not None]

    # -- tables in pieces --------------------------------------------------------------------

    @property
    def building(self) -> bool:
        """Whether `build` has work to do."""
        return bool(self._builds)

    def build(self) -> bool:
        """Do a piece of the tables that are being built. Returns False if nothing is left."""
        while self._builds:
            view, pieces = next(iter(self._builds.items()))
            for _ in pieces:
                return True
            del self._builds[view]
        return False

    def finish(self) -> None:
        """Do all that is left to build."""
        while self.build():
            pass

    def _begin_build(self, view: View) -> None:
        """Build a table of a view beside the one that its clients have."""
        zone = Zone(self._pipeline.zone.config, 0)
        self._views[view].next = table = _Table(next(self._numbers), zone)
        self._builds[view] = self._build(view, table)

    def _build(self, view: View, table: _Table) -> Iterator[None]:
        full, zone, clients = self._pipeline.zone, table.zone, self._views[view]
        for contributor, sets, age in full.contributions(view.visible):
            if visible := visible_rrsets(view, contributor, sets, full.config):
                zone.replace(contributor, visible, Cause(contributor), age)
            yield
        yield from self._send_table(table)
        serial, former = self._pipeline.zone.serial, clients.table
        if former is not None and not newer(serial, former.zone.serial):
            serial = (former.zone.serial + 1) % 2**32
        zone.serial = serial
        self._send(table, compile_state(UNCHANGED, serial))
        clients.table, clients.next = table, None
        table.sent = True
        assigned = tuple([(address, table.number) for address in clients.addresses])
        networks = self._assigned_networks() if clients.networks else ()
        dropped = () if former is None else (former.number,)
        self._send_step(ViewFrame(networks=networks, clients=assigned, dropped=dropped))

    def _send_table(self, table: _Table) -> Iterator[None]:
        """Send a table that no client has. A worker drops it when it gets all tables anew."""
        resets = -1
        while self.compiling and resets != self._resets:
            resets, table.sent = self._resets, True
            for frame in compile_all(table.zone):
                self._send(table, frame)
                yield

    # -- to the workers -----------------------------------------------------------------------

    def _send(self, table: _Table, frame: bytes) -> None:
        self._send_step(ViewFrame(table.number, frame))

    def _send_step(self, step: ViewFrame) -> None:
        if self.compiling:
            self._frames.append(compile_view_frame(step))

    def take(self) -> list[bytes]:
        """The frames of the changes since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def tables(self) -> Iterator[bytes]:
        """The frames that build all tables and assign the clients to them.

        Views and zones may change between two frames; `take` has the frames of those changes.
        """
        done: set[int] = set()
        while left := [
            table
            for view in self._views
            if (table := self._table(view)) is not None and table.number not in done
        ]:
            for table in left:
                done.add(table.number)
                for frame in compile_all(table.zone):
                    yield compile_view_frame(ViewFrame(table.number, frame))
        self._resets += 1
        assigned = [
            (address, number)
            for address, view in self._pods.items()
            if (number := self._number(view)) is not None
        ]
        networks = self._assigned_networks()
        yield compile_view_frame(ViewFrame(reset=True, networks=networks, clients=tuple(assigned)))

    def _assigned_networks(self) -> tuple[tuple[str, int], ...]:
        numbers = [(text, self._number(view)) for text, view in self._networks]
        return tuple([(text, number) for text, number in numbers if number is not None])


def _addresses_of(thing: Object | None) -> tuple[bytes, ...]:
    if isinstance(thing, Pod):
        return thing.ips
    return (*thing.internal_ips, *thing.external_ips) if isinstance(thing, Node) else ()
