"""Search-list completion: five round trips become one.

In `upstream/` (data plane: external names). Change here: which queries are completed, and how.

The resolver of a pod (`ndots:5`) turns `example.com` into `example.com.NS.svc.Z`,
`example.com.svc.Z`, `example.com.Z`, the search domains of the node, and at last `example.com`,
each with a query for A and for AAAA. All but the last are usually NXDOMAIN. The first of these
names shows what the client will query next. dnsd has the pod behind the address and therefore its
search list, and walks the list at once: the answer is a CNAME from the queried name to the first
name of the list that has an answer, with that answer.

The conditions (every other query is answered as if the feature were off):

* The name is NXDOMAIN in the zones of dnsd, and is PREFIX.NS.svc.Z. NS is the namespace of the pod
  behind the client's address. PREFIX is what an application would query: at least one label, and at
  most NDOTS - 1 dots (with more, the client queries the bare name first).
* Exactly one running pod that is not on the network of its host has that address, and its
  dnsPolicy gives it the search list of the cluster. An address that was just reassigned from one
  pod to another belongs to the namespace of the new one, or for a moment to no pod.
* A pod on the host's network shares its address with the node and with other pods. The client
  cannot be identified, so nothing is completed.

The chosen name (resolver(5), as in glibc and musl) is the first of the list with records of the
type, or else the first that exists (NODATA). If none exists, or if a name before it could not be
looked up, the answer is the plain NXDOMAIN of the zone. Then the client walks its list itself, and
a failure never becomes the denial of another name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from dnsd.dns.message import Rcode
from dnsd.dns.names import MAX_NAME, Name, is_below, labels_of, name_of
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer

# Seconds; a Service created a moment from now may take the name. The default TTL of the schema.
ALIAS_TTL = 5
NDOTS = 5  # kubelet writes this into the resolv.conf of a pod
_SVC = name_of("svc")[:-1]
_SEARCHING = ("ClusterFirst", "ClusterFirstWithHostNet")


class Client(Struct, array_like=True, frozen=True):
    """The pod behind an address. `searches`: its own dnsConfig.searches, in wire form."""

    namespace: str
    searches: tuple[Name, ...] = ()
    host_network: bool = False
    dns_policy: str = "ClusterFirst"


def candidates(
    name: Name, client: Client | None, zones: tuple[Name, ...], domains: tuple[Name, ...]
) -> tuple[Name, ...]:
    """The names that a pod queries after `name` (lower case), in order; empty if unknown.

    `zones`: those of the cluster, `domains`: the search domains of the nodes.
    """
    if client is None or client.host_network or client.dns_policy not in _SEARCHING:
        return ()
    suffix = name_of(client.namespace)[:-1] + _SVC
    for zone in zones:
        if is_below(name, suffix + zone) and name != suffix + zone:
            prefix = name[: len(name) - len(suffix) - len(zone)]
            dots = sum(1 for _ in labels_of(prefix + b"\0")) - 1
            if dots >= NDOTS:
                return ()
            searches = (_SVC + zone, zone, *domains, *client.searches, b"\0")
            names = (prefix + search for search in dict.fromkeys(searches))
            return tuple(candidate for candidate in names if len(candidate) <= MAX_NAME)
    return ()


LookUp = Callable[[Name], Awaitable[Answer | None]]


async def complete(queried: Name, names: tuple[Name, ...], look_up: LookUp) -> Answer | None:
    """The answer for `queried` from its candidates; None if it is the plain NXDOMAIN.

    `look_up` returns the whole answer for a name (chain followed), None if it failed.
    """
    nodata: tuple[Name, Answer] | None = None
    for name in names:
        answer = await look_up(name)
        if answer is None:
            return None
        if answer.rcode == Rcode.NOERROR and not answer.negative:
            return _aliased(queried, name, answer)
        if answer.rcode == Rcode.NOERROR and nodata is None:
            nodata = name, answer
    return _aliased(queried, *nodata) if nodata else None


def _aliased(queried: Name, name: Name, answer: Answer) -> Answer:
    alias = Record(queried, int(Type.CNAME), ALIAS_TTL, name)
    return Answer(answer.rcode, (alias, *answer.answer), answer.authority, errors=answer.errors)
