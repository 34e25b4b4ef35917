"""The zone of each view, kept in step with the zone that has all names.

In `control/` (control process). Change here: which views exist, and which clients have them.

zone/views.py has the rules. For each view that a client has, `ViewZones` holds a zone of the names
that are visible in the view. It also assigns the view to each client: to pods and nodes by their
address, to other clients by their network. The workers get both as frames, in order.

* The views of networks follow from the configuration and always exist. The view of a pod exists
  from the first pod that has it to the last.
* When a contributor changes, the schema runs once, and the zone of each view in which the
  contributor is visible gets one edit.
* At most `MAX_VIEWS` views exist. Beyond that a pod sees nothing, and the log reports it. A cluster
  in which every namespace sees itself and a few shared ones has as many views as namespaces with
  pods, each with few names.
* dnsd knows a pod from the event that brings its address. Before that the client has the view that
  `unknown_pods` gives it, by its network. So where that is not the view of a host of the network,
  the addresses of nodes are assigned like those of pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import structlog
from msgspec import Struct

from dnsd.cluster.objects import Key, Node, Object, Pod
from dnsd.dns.rrset import RRset
from dnsd.zone.change import Cause, newer
from dnsd.zone.compile import compile_all, compile_change
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


class _Table(Struct):
    """The zone of one view. The workers identify it by `number`."""

    number: int
    zone: Zone
    clients: int  # addresses of pods and nodes with this view, and networks


class ViewZones:
    """The views of one pipeline. `compiling`: whether the workers need frames (see `take`)."""

    def __init__(self, config: ViewConfig, pipeline: Pipeline) -> None:
        """Raises ValueError for text that is not a network."""
        self.compiling = False
        self._pipeline = pipeline
        self._rules = Rules(config)
        self._tables: dict[View, _Table] = {}
        self._next = 1
        self._frames: list[bytes] = []
        self._pods: dict[bytes, View] = {}  # by address of a pod or node
        self._addresses: dict[Key, tuple[bytes, ...]] = {}  # of pods and Nodes, as last seen
        self._nodes: Counter[bytes] = Counter()  # how many Nodes have an address
        self._full = False  # the limit was logged
        self._networks = list(self._rules.networks())
        for _, view in self._networks:
            self._hold(view)
        pipeline.on_contribution.append(self._replace)
        pipeline.on_rebuild.append(self.rebuild)

    # -- lookups -----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many views there are, without the one of all names."""
        return len(self._tables)

    def last_serial(self, serial: int) -> int:
        """The latest of `serial` and the serials of all views (RFC 1982)."""
        for table in self._tables.values():
            if newer(table.zone.serial, serial):
                serial = table.zone.serial
        return serial

    def zone_for(self, view: View) -> Zone | None:
        """The zone of a view; None if no client has the view."""
        if view == EVERYTHING:
            return self._pipeline.zone
        table = self._tables.get(view)
        return table.zone if table else None

    def of_client(self, address: bytes) -> View:
        """The view of the client at this packed address."""
        return self._pods.get(address) or self._rules.of_unknown(address)

    # -- changes -----------------------------------------------------------------------------

    def _replace(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str) -> None:
        for view, table in self._tables.items():
            if not view.visible(contributor):
                continue
            table.zone.config = self._pipeline.zone.config
            visible = visible_rrsets(view, contributor, rrsets, table.zone.config)
            change = table.zone.replace(contributor, visible, cause, age)
            if change is not None and self.compiling:
                frame = compile_change(change, table.zone)
                self._frames.append(compile_view_frame(ViewFrame(table.number, frame)))

    def rebuild(self, zone: Zone) -> None:
        """Build the zones of all views anew from `zone`; the workers then need whole tables."""
        for view, table in self._tables.items():
            serial = (table.zone.serial + 1) % 2**32
            later = zone.serial if newer(zone.serial, serial) else serial
            table.zone = self._built(view, later)

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
        given = {address: self._view_of(address) for address in touched}
        changed = {ip: view for ip, view in given.items() if self._pods.get(ip) != view}
        if changed:
            self._assign(changed)

    def _view_of(self, address: bytes) -> View | None:
        """The view of the pod or node with this address; None: it is unknown."""
        found = [pod for pod in self._pipeline.pods_with(address) if pod.running]
        if self._nodes[address] > 0 or any(pod.host_network for pod in found):
            host, unknown = self._rules.of_host(address), self._rules.of_unknown(address)
            return host if host != unknown else None
        namespaces = {pod.namespace for pod in found}
        if len(namespaces) != 1:
            return None
        return self._rules.of_pod(address, namespaces.pop())

    def _assign(self, changed: dict[bytes, View | None]) -> None:
        clients, forgotten, left = [], [], []
        for address, view in changed.items():
            before = self._pods.pop(address, None)
            if before is not None:
                left.append(before)
            if view is None:
                forgotten.append(address)
            else:
                held = self._hold(view)
                self._pods[address] = held
                clients.append((address, self._number(held)))
        dropped = tuple([number for view in left if (number := self._release(view))])
        if self.compiling:
            step = ViewFrame(clients=tuple(clients), forgotten=tuple(forgotten), dropped=dropped)
            self._frames.append(compile_view_frame(step))

    # -- views begin and end -----------------------------------------------------------------

    def _number(self, view: View) -> int:
        return 0 if view == EVERYTHING else self._tables[view].number

    def _hold(self, view: View) -> View:
        """Count a client of a view, with a new table if it is the first.

        Returns the view, or NOTHING if there are too many views.
        """
        if view == EVERYTHING:
            return view
        table = self._tables.get(view)
        if table is None and len(self._tables) >= MAX_VIEWS and view != NOTHING:
            if not self._full:
                self._full = True
                log.error("too many views; pods with a new view see nothing", limit=MAX_VIEWS)
            return self._hold(NOTHING)
        if table is None:
            zone = self._built(view, self._pipeline.zone.serial)
            table = self._tables[view] = _Table(self._next, zone, 0)
            self._next += 1
            if self.compiling:
                self._frames += _whole(table.number, zone)
        table.clients += 1
        return view

    def _release(self, view: View) -> int:
        """Count one client less. Returns the number of its table if that was the last, else 0."""
        if view == EVERYTHING:
            return 0
        table = self._tables[view]
        table.clients -= 1
        if table.clients:
            return 0
        del self._tables[view]
        self._full = False
        return table.number

    def _built(self, view: View, serial: int) -> Zone:
        """A zone of the names that are visible in a view now."""
        full = self._pipeline.zone
        zone = Zone(full.config, serial)
        for contributor, sets, age in full.contributions(view.visible):
            if visible := visible_rrsets(view, contributor, sets, full.config):
                zone.replace(contributor, visible, Cause(contributor), age)
        zone.serial = serial % 2**32
        return zone

    # -- to the workers -----------------------------------------------------------------------

    def take(self) -> list[bytes]:
        """The frames of the changes since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def tables(self) -> Iterator[bytes]:
        """The frames that build all tables and assign the clients to them.

        Views and zones may change between two frames; `take` has the frames of those changes.
        """
        for view, table in list(self._tables.items()):
            for frame in _whole(table.number, table.zone):
                if self._tables.get(view) is not table:  # the last client of the view has gone
                    break
                yield frame
        networks = tuple([(text, self._number(view)) for text, view in self._networks])
        clients = tuple([(address, self._number(view)) for address, view in self._pods.items()])
        yield compile_view_frame(ViewFrame(reset=True, networks=networks, clients=clients))


def _whole(number: int, zone: Zone) -> Iterator[bytes]:
    return (compile_view_frame(ViewFrame(number, frame)) for frame in compile_all(zone))


def _addresses_of(thing: Object | None) -> tuple[bytes, ...]:
    if isinstance(thing, Pod):
        return thing.ips
    return (*thing.internal_ips, *thing.external_ips) if isinstance(thing, Node) else ()
