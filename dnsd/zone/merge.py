"""Merging: what is served when several contributors have records at one name.

In `zone/` (control plane: the names that exist). Change here: which contributor has precedence.

In the zones of the cluster, several contributors may have one name (a Pod behind two
Services has two PTR records): the rdatas are united, with the smallest TTL. A CNAME must be alone
(RFC 2181 10.1): if the first contributor has one, it is all that is served, otherwise CNAMEs are
left out. The apex is first, then contributors in the order of their Keys.

In external zones, two claims on one host contradict each other. There the oldest contributor has
the name (`metadata.creationTimestamp`; a contributor without one comes last), then the first by
Key. The records of the zone itself stay, and the oldest contributor adds the types that it lacks.
The records pinned at a name count as one contributor. Contributors with other records are left
out, and reported as a dispute.

In every zone, a name of the setting `hosts` yields to all other contributors, or with
`hosts_override` replaces them for every type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type

APEX_KEY = Key("Zone", "", "apex")  # the contributor of the records that zones have without objects
HOSTS = "Hosts"  # contributors of pinned names are Key(HOSTS, YIELDS or OVERRIDES, name)
RECORD = "Record"  # contributors of records pinned by the admin API, one for each name and type
YIELDS, OVERRIDES = "", "override"
_CNAME = int(Type.CNAME)

Contributions = Mapping[Key, tuple[RRset, ...]]  # at one name


def precedence(contributor: Key) -> tuple[bool, Key]:
    """The sort key of contributors whose records are merged."""
    return (contributor != APEX_KEY, contributor)


def seniority(contributor: Key, ages: Mapping[Key, str]) -> tuple[bool, bool, str, Key]:
    """The sort key of contributors of which one has the name; `ages`: RFC 3339 in UTC."""
    age = ages.get(contributor, "")
    return (contributor != APEX_KEY, not age, age, contributor)


def merged(found: Contributions) -> tuple[RRset, ...]:
    """The RRsets that a name in a zone of the cluster serves."""
    found = _apply_hosts(found)
    order = sorted(found, key=precedence)
    if order and any(one.type == _CNAME for one in found[order[0]]):
        return found[order[0]]
    return union([one for contributor in order for one in found[contributor] if one.type != _CNAME])


def won(found: Contributions, ages: Mapping[Key, str]) -> tuple[tuple[RRset, ...], tuple[Key, ...]]:
    """The RRsets that an external name serves, and the dispute.

    The dispute has the contributor with the name, then those with records that are left out. It
    is empty if nothing is left out.
    """
    found = _apply_hosts(found)
    order = sorted(found, key=lambda contributor: seniority(contributor, ages))
    own = found.get(APEX_KEY, ())
    claimants = [contributor for contributor in order if contributor != APEX_KEY]
    served = own
    if claimants:
        taken = {one.type for one in own}
        first = [
            one
            for contributor in claimants
            if _same_claim(contributor, claimants[0])
            for one in found[contributor]
        ]
        served = union((*own, *(one for one in first if _fits_beside(one, taken))))
    left_out = [
        contributor
        for contributor in claimants
        if any(one not in served for one in found[contributor])
    ]
    if not left_out:
        return served, ()
    return served, (order[0], *(one for one in left_out if one != order[0]))


def _apply_hosts(found: Contributions) -> Contributions:
    """The contributions that count: a name of `hosts` replaces the others, or yields to them."""
    pin = next((contributor for contributor in found if contributor.kind == HOSTS), None)
    if pin is None:
        return found
    if pin.namespace == OVERRIDES:
        return {pin: found[pin]}
    return {contributor: sets for contributor, sets in found.items() if contributor != pin} or found


def _same_claim(contributor: Key, first: Key) -> bool:
    """Whether two contributors count as one: a pinned name has one for each type."""
    return contributor == first or contributor.kind == first.kind == RECORD


def _fits_beside(one: RRset, taken: set[int]) -> bool:
    return not taken or (one.type != _CNAME and one.type not in taken)


def union(rrsets: Iterable[RRset]) -> tuple[RRset, ...]:
    """One RRset for each type, ascending: the rdatas united, the smallest TTL."""
    by_type: dict[int, RRset] = {}
    for one in rrsets:
        known = by_type.get(one.type)
        if known is not None and known != one:
            one = rrset(one.name, one.type, min(known.ttl, one.ttl), known.rdatas + one.rdatas)
        by_type[one.type] = one
    return tuple([by_type[type_] for type_ in sorted(by_type)])
