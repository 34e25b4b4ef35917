"""The objects of the cluster, stripped to the fields that DNS needs: one file per kind.

In `cluster/objects/` (control plane: the state of the cluster). Change here: which names other
packages import.
"""

from dnsd.cluster.objects.dnsendpoint import DNSEndpoint as DNSEndpoint
from dnsd.cluster.objects.dnsendpoint import StatedRecords as StatedRecords
from dnsd.cluster.objects.endpointslice import Endpoint as Endpoint
from dnsd.cluster.objects.endpointslice import EndpointPort as EndpointPort
from dnsd.cluster.objects.endpointslice import EndpointSlice as EndpointSlice
from dnsd.cluster.objects.gateway import ROUTE_KINDS as ROUTE_KINDS
from dnsd.cluster.objects.gateway import Gateway as Gateway
from dnsd.cluster.objects.gateway import Listener as Listener
from dnsd.cluster.objects.gateway import Parent as Parent
from dnsd.cluster.objects.gateway import Route as Route
from dnsd.cluster.objects.ingress import Ingress as Ingress
from dnsd.cluster.objects.kind import Event as Event
from dnsd.cluster.objects.kind import Kind as Kind
from dnsd.cluster.objects.kind import Object as Object
from dnsd.cluster.objects.load_balancer import LoadBalancerIngress as LoadBalancerIngress
from dnsd.cluster.objects.namespace import Namespace as Namespace
from dnsd.cluster.objects.node import Node as Node
from dnsd.cluster.objects.pod import Pod as Pod
from dnsd.cluster.objects.service import Service as Service
from dnsd.cluster.objects.service import ServicePort as ServicePort
from dnsd.cluster.objects.subject import RouteSubject as RouteSubject
from dnsd.cluster.objects.subject import ServiceSubject as ServiceSubject
from dnsd.cluster.objects.subject import Subject as Subject
from dnsd.cluster.objects.table import CLUSTER_SCOPED as CLUSTER_SCOPED
from dnsd.cluster.objects.table import CONTRIBUTOR_KINDS as CONTRIBUTOR_KINDS
from dnsd.cluster.objects.table import KINDS as KINDS
from dnsd.cluster.objects.table import RESOURCES as RESOURCES
from dnsd.cluster.objects.table import TABLE as TABLE
from dnsd.cluster.objects.table import from_json as from_json
from dnsd.cluster.objects.table import from_plain as from_plain
from dnsd.cluster.validation import BadObject as BadObject
from dnsd.cluster.validation import Key as Key
from dnsd.cluster.validation import is_host_name as is_host_name
