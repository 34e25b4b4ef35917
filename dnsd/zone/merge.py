"""What is served when several contributors meet at one name.

Inside the cluster names belong to their objects, and where contributors meet (a Pod behind two
Services has two PTR records) both are right: rdatas by union, the TTL the smallest. A CNAME
stands alone (RFC 2181 10.1): when the first contributor in the order of Keys, the apex before all,
has one, it is all that is served, and otherwise CNAMEs are left out.

In the outside zones a host is what somebody wished for, and two wishes contradict each other.
There one contributor has the name: the first by age (`metadata.creationTimestamp`; who has none
comes after those who have), then by Key. What the zone has by itself stays, and the first
contributor adds the types it lacks. The records pinned at a name are one contributor. Whoever says
something else and is not heard is in `dispute`.

Everywhere a name of the setting `hosts` gives way to all other contributors, or with
`hosts_override` takes the name from them: for every type, as a pin does outside our zones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dnsd.cluster.objects import Key
from dnsd.dns.rrset import RRset, rrset
from dnsd.dns.types import Type

APEX = Key("Zone", "", "apex")  # the contributor of what the zones have by themselves
# Contributors of pinned names are Key(HOSTS, how, name), `how` one of these.
HOSTS = "Hosts"
RECORD = "Record"  # contributors of records pinned by the admin API, one a name and type
GIVES_WAY, OVERRIDES = "", "override"
_CNAME = int(Type.CNAME)

Parts = Mapping[Key, tuple[RRset, ...]]


def precedence(contributor: Key) -> tuple[bool, Key]:
    """Sorts contributors where their records are merged."""
    return (contributor != APEX, contributor)


def seniority(contributor: Key, ages: Mapping[Key, str]) -> tuple[bool, bool, str, Key]:
    """Sorts contributors where one has the name; `ages`: RFC 3339 in UTC, as the API writes it."""
    age = ages.get(contributor, "")
    return (contributor != APEX, not age, age, contributor)


def merged(parts: Parts) -> tuple[RRset, ...]:
    """What is served inside when these contributors meet at one name."""
    parts = _without_pins(parts)
    order = sorted(parts, key=precedence)
    if order and any(one.type == _CNAME for one in parts[order[0]]):
        return parts[order[0]]
    return union([one for contributor in order for one in parts[contributor] if one.type != _CNAME])


def won(parts: Parts, ages: Mapping[Key, str]) -> tuple[tuple[RRset, ...], tuple[Key, ...]]:
    """What is served outside, and the dispute: who has the name, then who is not heard.

    The dispute is empty when nobody says anything else than what is served.
    """
    parts = _without_pins(parts)
    order = sorted(parts, key=lambda contributor: seniority(contributor, ages))
    own = parts.get(APEX, ())
    rivals = [contributor for contributor in order if contributor != APEX]
    served = own
    if rivals:
        taken = {one.type for one in own}
        first = [
            one
            for contributor in rivals
            if _allied(contributor, rivals[0])
            for one in parts[contributor]
        ]
        served = union((*own, *(one for one in first if _fits_beside(one, taken))))
    unheard = [
        contributor
        for contributor in rivals
        if any(one not in served for one in parts[contributor])
    ]
    if not unheard:
        return served, ()
    return served, (order[0], *(one for one in unheard if one != order[0]))


def _without_pins(parts: Parts) -> Parts:
    """The contributors that count once it is settled what becomes of a pin."""
    pin = next((contributor for contributor in parts if contributor.kind == HOSTS), None)
    if pin is None:
        return parts
    if pin.namespace == OVERRIDES:
        return {pin: parts[pin]}
    return {contributor: sets for contributor, sets in parts.items() if contributor != pin} or parts


def _allied(contributor: Key, first: Key) -> bool:
    """Whether two contributors speak with one voice: pinned records of a name, one of each type."""
    return contributor == first or contributor.kind == first.kind == RECORD


def _fits_beside(one: RRset, taken: set[int]) -> bool:
    return not taken or (one.type != _CNAME and one.type not in taken)


def union(rrsets: Iterable[RRset]) -> tuple[RRset, ...]:
    """One RRset a type, ascending: rdatas by union, the smallest TTL."""
    by_type: dict[int, RRset] = {}
    for one in rrsets:
        known = by_type.get(one.type)
        if known is not None and known != one:
            one = rrset(one.name, one.type, min(known.ttl, one.ttl), known.rdatas + one.rdatas)
        by_type[one.type] = one
    return tuple([by_type[type_] for type_ in sorted(by_type)])
