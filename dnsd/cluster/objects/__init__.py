"""The objects of the cluster, stripped to the fields that DNS needs: one file per kind.

In `cluster/objects/` (control plane: the state of the cluster). Change here: which names other
packages import.
"""

from dnsd.cluster.objects.dnsendpoint import DNSEndpoint, StatedRecords
from dnsd.cluster.objects.endpointslice import Endpoint, EndpointPort, EndpointSlice
from dnsd.cluster.objects.gateway import ROUTE_KINDS, Gateway, Listener, Parent, Route
from dnsd.cluster.objects.ingress import Ingress
from dnsd.cluster.objects.kind import Event, Kind, Object
from dnsd.cluster.objects.load_balancer import LoadBalancerIngress
from dnsd.cluster.objects.namespace import Namespace
from dnsd.cluster.objects.node import Node
from dnsd.cluster.objects.pod import Pod
from dnsd.cluster.objects.service import Service, ServicePort
from dnsd.cluster.objects.subject import RouteSubject, ServiceSubject, Subject
from dnsd.cluster.objects.table import (
    CLUSTER_SCOPED,
    CONTRIBUTOR_KINDS,
    KINDS,
    RESOURCES,
    TABLE,
    from_json,
    from_plain,
)
from dnsd.cluster.validation import BadObject, Key, is_host_name
