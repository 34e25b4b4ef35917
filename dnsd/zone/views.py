"""Views and policies: which part of the zones a client sees.

In `zone/` (control plane: the names that exist). Change here: which names are visible to a client.

A *view* is what a client sees: the zones of the cluster, the external zones, or both, and the names
of which namespaces. A hidden name does not exist: each view has its own zone, made of the visible
contributions only. So a hidden name is answered exactly like a name that never existed, for every
query (A, PTR, SRV and its additional records, CNAME chains, ANY, a transfer). No other check is
needed. The price is memory, a node for each visible name and view; the schema runs once for all.

* The zones themselves are always visible: their apex, NS, and the names of their servers. A zone
  whose names are all hidden is an empty zone, so a query for a hidden name is never forwarded.
* `views` match by network. The most specific network that contains the client decides. A client
  matched by no view sees both sides.
* `policies` make namespaces visible: to a pod by its namespace, to any client by its network. A
  client matched by several policies sees their union; a client matched by none sees everything.
* A pod is identified by its address, which must be its own. A pod on the network of its node, or an
  address that pods of two namespaces have, matches by network only.
* Contributors without a namespace (Nodes, pinned names) are hidden by views only.

Two networks are nested or disjoint. So the longest network of the rules that contains a client
determines all that do, and each of these networks has one view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network

import msgspec
from msgspec import Struct

from dnsd.cluster.objects import CLUSTER_SCOPED, CONTRIBUTOR_KINDS, Key
from dnsd.dns.names import Name, is_below
from dnsd.dns.networks import EVERYONE, NetworkMap
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.merge import APEX_KEY
from dnsd.zone.settings import ANY, BOTH, INSIDE, OUTSIDE, OWN, PolicyRule, SchemaConfig, ViewConfig

_PTR = int(Type.PTR)


class View(Struct, frozen=True):
    """What a client sees; `namespaces` None: all of them."""

    inside: bool = True
    external: bool = True
    namespaces: frozenset[str] | None = None

    def visible(self, contributor: Key) -> bool:
        """Whether the namespace of this contributor is visible."""
        if self.namespaces is None:
            return True
        space = namespace_of(contributor)
        return space is None or space in self.namespaces


EVERYTHING = View()
NOTHING = View(False, False, frozenset())


def namespace_of(contributor: Key) -> str | None:
    """The namespace of a contributor; None if it has no namespace."""
    if contributor.kind == "Namespace":
        return contributor.name
    namespaced = contributor.kind in CONTRIBUTOR_KINDS and contributor.kind not in CLUSTER_SCOPED
    return contributor.namespace if namespaced else None


def visible_rrsets(
    view: View, contributor: Key, rrsets: Iterable[RRset], config: SchemaConfig
) -> tuple[RRset, ...]:
    """The RRsets of a contributor that are visible in a view."""
    if not view.visible(contributor):
        return ()
    if (view.inside and view.external) or contributor == APEX_KEY:  # the zones themselves
        return tuple(rrsets)
    zones = tuple(zone.name for zone in config.external.zones)
    return tuple(
        rrset for rrset in rrsets if (view.external if _is_external(rrset, zones) else view.inside)
    )


def _is_external(rrset: RRset, zones: tuple[Name, ...]) -> bool:
    """Whether an RRset belongs to an external zone: a PTR does if its target does."""
    name = rrset.rdatas[0] if rrset.type == _PTR else rrset.name
    return any(is_below(name, zone) for zone in zones)


class _Place(Struct, frozen=True):
    """The rules of a network: the side of its view, and its policies by index."""

    see: str
    policies: frozenset[int]


class Rules:
    """The views of clients by these rules."""

    def __init__(self, config: ViewConfig) -> None:
        """Raises ValueError for text that is not a network."""
        self._policies = config.policies
        mentioned = {net for view in config.views for net in view.networks}
        mentioned |= {net for policy in config.policies for net in policy.networks}
        everywhere = dict.fromkeys((*EVERYONE, *sorted(mentioned)))
        self._places = {text: _place(text, config) for text in everywhere}
        self._by_network = NetworkMap(self._places.items())
        by_pod = any(policy.namespaces for policy in config.policies)
        default = "narrowest" if by_pod else "network"
        self._unknown = default if config.unknown_pods == "auto" else config.unknown_pods
        if not config.policies:
            self._unknown = "network"  # no name is hidden by its namespace
        self._narrowest = frozenset() if self._unknown == "nothing" else self._in_every_namespace()

    def _in_every_namespace(self) -> frozenset[str] | None:
        """The namespaces that the pods of every namespace see; None: all.

        "" stands for a namespace that no policy names. OWN counts as nothing.
        """
        named = {space for policy in self._policies for space in policy.namespaces} - {ANY}
        seen = [_union(self._for(space)) for space in (*named, "")]
        limited = [spaces for spaces in seen if spaces is not None]
        return frozenset.intersection(*limited) if limited else None

    def networks(self) -> Iterator[tuple[str, View]]:
        """Each network of a rule, and the view of a client there that may be an unknown pod."""
        for text, place in self._places.items():
            yield text, self._of_unknown(place)

    def of_host(self, address: bytes) -> View:
        """The view of a client at this packed address that is not a pod."""
        return self._view(self._place(address), self._at(self._place(address)))

    def of_unknown(self, address: bytes) -> View:
        """The view of a client at this packed address that may be a pod that is not known yet."""
        return self._of_unknown(self._place(address))

    def of_pod(self, address: bytes, namespace: str) -> View:
        """The view of a pod of this namespace at this packed address."""
        place = self._place(address)
        return self._view(place, [*self._at(place), *self._for(namespace)], namespace)

    def _of_unknown(self, place: _Place) -> View:
        """A policy of the network holds for every client there; else `unknown_pods` decides."""
        view = self._view(place, self._at(place))
        if place.policies or self._unknown == "network":
            return view
        return msgspec.structs.replace(view, namespaces=self._narrowest)

    def _place(self, address: bytes) -> _Place:
        place = self._by_network.get(address)
        assert place is not None  # noqa: S101 - EVERYONE contains every address
        return place

    def _at(self, place: _Place) -> list[PolicyRule]:
        return [self._policies[number] for number in sorted(place.policies)]

    def _for(self, namespace: str) -> list[PolicyRule]:
        return [policy for policy in self._policies if {ANY, namespace} & {*policy.namespaces}]

    @staticmethod
    def _view(place: _Place, policies: Sequence[PolicyRule], namespace: str = "") -> View:
        return View(place.see != OUTSIDE, place.see != INSIDE, _union(policies, namespace))


def _union(policies: Sequence[PolicyRule], own: str = "") -> frozenset[str] | None:
    """The namespaces that these policies let a client see together; None: all."""
    spaces = {space for policy in policies for space in policy.see}
    if not policies or ANY in spaces:
        return None
    return frozenset(spaces - {OWN} | ({own} if OWN in spaces and own else set()))


def _place(text: str, config: ViewConfig) -> _Place:
    see, longest = BOTH, -1
    for rule in config.views:
        for net in rule.networks:
            length = ip_network(net).prefixlen
            if length > longest and _holds(net, text):
                see, longest = rule.see, length
    policies = (
        i
        for i, policy in enumerate(config.policies)
        if any(_holds(net, text) for net in policy.networks)
    )
    return _Place(see, frozenset(policies))


def _holds(outer: str, inner: str) -> bool:
    a, b = ip_network(outer), ip_network(inner)
    return a.overlaps(b) and a.prefixlen <= b.prefixlen  # false if the versions differ


# ---------------------------------------------------------------------------------------
# Frames for the workers. Their first octet is not that of a frame of a table.

_FIRST_OCTET = b"V"


class ViewFrame(Struct, array_like=True, frozen=True, gc=False):
    """A step of the tables of views; table 0 is that of clients that see everything.

    `frame` is for table `number`. `networks` and `clients` map clients to tables. `reset`: these
    are the only ones, and tables without a client are dropped. `forgotten`: clients without an
    entry from now on; `dropped`: tables that are dropped.
    """

    number: int = 0
    frame: bytes = b""
    reset: bool = False
    networks: tuple[tuple[str, int], ...] = ()
    clients: tuple[tuple[bytes, int], ...] = ()
    forgotten: tuple[bytes, ...] = ()
    dropped: tuple[int, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ViewFrame).decode


def compile_view_frame(step: ViewFrame) -> bytes:
    """The frame of a step."""
    return _FIRST_OCTET + _encode(step)


def is_view_frame(frame: bytes) -> bool:
    """Whether a frame is one of these."""
    return frame[:1] == _FIRST_OCTET


def read_view_frame(frame: bytes) -> ViewFrame:
    """The step of a frame. Raises msgspec.DecodeError."""
    return _decode(memoryview(frame)[1:])
