"""Search-path completion: five round trips become one.

A pod's resolver (`ndots:5`) turns `example.com` into `example.com.NS.svc.Z`, `example.com.svc.Z`,
`example.com.Z`, the node's own search domains and at last `example.com`, each asked for A and
for AAAA. All but the last are usually NXDOMAIN. The first of these names tells what the client
is about to do, and dnsd, which knows the pod behind the address and so its search list, does
it at once: the answer is a CNAME from the asked name to the first name of the list that has
an answer, with that answer.

When this is allowed (everything else is answered as if the feature were off):

* the name is NXDOMAIN in our zones, and is PREFIX.NS.svc.Z, where NS is the namespace of the
  pod behind the client's address, and PREFIX is what an application would ask for: at least
  one label and at most NDOTS - 1 dots (with more, the client asks for the bare name first);
* exactly one running pod that is not on its host's network has that address, and its
  dnsPolicy gives it the cluster's search list. An address that was just handed from one pod to
  another belongs to the new one's namespace, or for a moment to nobody;
* a host-network pod shares its node's address with the node itself and with others: who asks
  cannot be told, so nothing is completed.

Which name it is (resolver(5), as glibc and musl do it): the first of the list with records of
the type; else the first that exists (NODATA ends up as NODATA). If none exists, or one that
comes before could not be looked up, the answer is the plain NXDOMAIN of our zone: a client
then walks its list itself, and a failure is never turned into a denial of something else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from dnsd.dns.message import Rcode
from dnsd.dns.names import MAX_NAME, Name, is_below, labels_of, name_of
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Part

# A Service created a moment from now may take the name: as short as the schema's own TTL.
ALIAS_TTL = 5
NDOTS = 5  # what kubelet writes into a pod's resolv.conf
_SVC = name_of("svc")[:-1]
_SEARCHING = ("ClusterFirst", "ClusterFirstWithHostNet")


class Client(Struct, frozen=True):
    """The pod behind an address. `searches`: its own dnsConfig.searches, in wire form."""

    namespace: str
    searches: tuple[Name, ...] = ()
    host_network: bool = False
    dns_policy: str = "ClusterFirst"


class Completion(Struct, frozen=True):
    """What a question may be completed to: the names of the search list, best first."""

    asked: Name
    candidates: tuple[Name, ...]


def completion(
    name: Name, client: Client | None, zones: tuple[Name, ...], domains: tuple[Name, ...]
) -> Completion | None:
    """What a pod that asks `name` (lower case) would ask next; None when it cannot be told.

    `zones`: the cluster's, `domains`: the search domains of the nodes.
    """
    if client is None or client.host_network or client.dns_policy not in _SEARCHING:
        return None
    home = name_of(client.namespace)[:-1] + _SVC
    for zone in zones:
        if is_below(name, home + zone) and name != home + zone:
            prefix = name[: len(name) - len(home) - len(zone)]
            dots = sum(1 for _ in labels_of(prefix + b"\0")) - 1
            if dots >= NDOTS:
                return None
            suffixes = (_SVC + zone, zone, *domains, *client.searches, b"\0")
            names = (prefix + suffix for suffix in dict.fromkeys(suffixes))
            return Completion(name, tuple(one for one in names if len(one) <= MAX_NAME))
    return None


Look = Callable[[Name], Awaitable[Part | None]]


async def complete(found: Completion, look: Look) -> Part | None:
    """The answer to a completed question; None when the plain NXDOMAIN is to be given.

    `look` gives the whole answer for a name (chain followed), None when there is no telling.
    """
    nodata: tuple[Name, Part] | None = None
    for name in found.candidates:
        part = await look(name)
        if part is None:
            return None
        if part.rcode == Rcode.NOERROR and not part.negative:
            return _aliased(found.asked, name, part)
        if part.rcode == Rcode.NOERROR and nodata is None:
            nodata = name, part
    return _aliased(found.asked, *nodata) if nodata else None


def _aliased(asked: Name, name: Name, part: Part) -> Part:
    alias = Record(asked, int(Type.CNAME), ALIAS_TTL, name)
    return Part(part.rcode, (alias, *part.answer), part.authority, errors=part.errors)
