"""Subjects: one contributor of names, with the objects that its names depend on.

In `cluster/objects/` (control plane: one file per kind of object). Change here: what the schema
receives for a contributor.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.cluster.objects.endpointslice import EndpointSlice
from dnsd.cluster.objects.gateway import Gateway, Route
from dnsd.cluster.objects.kind import Object
from dnsd.cluster.objects.node import Node
from dnsd.cluster.objects.service import Service
from dnsd.cluster.validation import Key


class ServiceSubject(Struct, frozen=True):
    """A Service with all the EndpointSlices that name it, ordered by name.

    `nodes`: all Nodes ordered by name, if the external names of the Service depend on them.
    Their `version`, `uid`, and `origin` are empty, so that a heartbeat of a Node changes nothing.
    """

    service: Service
    slices: tuple[EndpointSlice, ...] = ()
    nodes: tuple[Node, ...] = ()

    @property
    def key(self) -> Key:
        """The key of the Service."""
        return self.service.key


class RouteSubject(Struct, frozen=True):
    """A route with those of its parents that exist, ordered by namespace and name."""

    route: Route
    gateways: tuple[Gateway, ...] = ()

    @property
    def key(self) -> Key:
        """The key of the route."""
        return self.route.key


# Any other contributor is its own subject.
Subject = ServiceSubject | RouteSubject | Object
