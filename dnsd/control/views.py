"""The zones of all sights, kept in step with the one that holds everything.

`zone/sight.py` has the rules. Here is what lives: for each sight that some client has, a zone
of what it sees; and who has which, pods by address and everybody else by network. Both go to
the workers as frames, in the order in which they came to be.

* The sights of networks follow from the configuration and are there always. Those of pods come
  with the first pod that has them and go with the last.
* A contributor that changes is put into the zones of those who see it: the schema has been asked
  once, for all of them. What that costs: one edit a sight that sees the contributor's namespace.
* There are at most `MAX_VIEWS`, beyond which a pod sees nothing, which is said in the log. A
  cluster in which every namespace sees itself and a few shared ones has as many sights as
  namespaces with pods, each with few names.
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
    """The zone of one sight; `number` is the number it has with the workers."""

    number: int
    zone: Zone
    clients: int  # addresses of pods that have it; networks count once each


class ViewZones:
    """The sights of one pipeline. `compiling`: whether frames are wanted (see `take`)."""

    def __init__(self, config: ViewConfig, pipeline: Pipeline) -> None:
        """Raises ValueError for a network that is none."""
        self.compiling = False
        self._pipeline = pipeline
        self._rules = Rules(config)
        self._tables: dict[View, _Table] = {}
        self._next = 1
        self._frames: list[bytes] = []
        self._pods: dict[bytes, View] = {}  # by address, those that are pods' own
        self._addresses: dict[Key, tuple[bytes, ...]] = {}  # of pods and Nodes, as last seen
        self._nodes: Counter[bytes] = Counter()  # how many Nodes have an address
        self._full = False  # said that there are too many
        self._networks = list(self._rules.networks())
        for _, view in self._networks:
            self._hold(view)
        pipeline.on_contribution.append(self._renewed)
        pipeline.on_rebuild.append(self.rebuild)

    # -- what is asked -----------------------------------------------------------------------

    def __len__(self) -> int:
        """How many sights there are, besides that of everything."""
        return len(self._tables)

    def last_serial(self, serial: int) -> int:
        """The last of `serial` and those of all our zones (RFC 1982)."""
        for table in self._tables.values():
            if newer(table.zone.serial, serial):
                serial = table.zone.serial
        return serial

    def zone_for(self, view: View) -> Zone | None:
        """The zone of a sight that somebody has; None when nobody does."""
        if view == EVERYTHING:
            return self._pipeline.zone
        table = self._tables.get(view)
        return table.zone if table else None

    def of_client(self, address: bytes) -> View:
        """The sight of the client at this packed address."""
        return self._pods.get(address) or self._rules.of_unknown(address)

    # -- what follows the pipeline -------------------------------------------------------------

    def _renewed(self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str) -> None:
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
        """These Pods and Nodes came, changed, or went. Keys of other kinds are ignored."""
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
        """The view of the pod or node with this address; None: it is not known which it is."""
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
                clients.append((address, self._view(held)))
        dropped = tuple([number for view in left if (number := self._release(view))])
        if self.compiling:
            step = ViewFrame(clients=tuple(clients), forgotten=tuple(forgotten), dropped=dropped)
            self._frames.append(compile_view_frame(step))

    # -- sights come and go ----------------------------------------------------------------------

    def _view(self, view: View) -> int:
        return 0 if view == EVERYTHING else self._tables[view].number

    def _hold(self, view: View) -> View:
        """One client more; a new table if need be. NOTHING when there are too many."""
        if view == EVERYTHING:
            return view
        table = self._tables.get(view)
        if table is None and len(self._tables) >= MAX_VIEWS and view != NOTHING:
            if not self._full:
                self._full = True
                log.error("too many different sights; more pods see nothing", limit=MAX_VIEWS)
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
        """One client less; the number of its table if that was the last, else 0."""
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
        """A zone of what a sight sees, from what there is now."""
        full = self._pipeline.zone
        zone = Zone(full.config, serial)
        for contributor, sets, age in full.contributions():
            if visible := visible_rrsets(view, contributor, sets, full.config):
                zone.replace(contributor, visible, Cause(contributor), age)
        zone.serial = serial % 2**32
        return zone

    # -- to the workers -----------------------------------------------------------------------

    def take(self) -> list[bytes]:
        """The frames of what happened since the last call."""
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
        networks = tuple([(text, self._view(view)) for text, view in self._networks])
        clients = tuple([(address, self._view(view)) for address, view in self._pods.items()])
        yield compile_view_frame(ViewFrame(reset=True, networks=networks, clients=clients))


def _whole(number: int, zone: Zone) -> Iterator[bytes]:
    return (compile_view_frame(ViewFrame(number, frame)) for frame in compile_all(zone))


def _addresses_of(thing: Object | None) -> tuple[bytes, ...]:
    if isinstance(thing, Pod):
        return thing.ips
    return (*thing.internal_ips, *thing.external_ips) if isinstance(thing, Node) else ()
