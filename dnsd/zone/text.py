"""A zone as zone-file text (RFC 1035 5).

In `zone/` (control plane: the names that exist). Change here: the order of the records of a zone.

Records are in canonical order (RFC 4034 6.1) after the SOA, so two zones with the same records
have the same text and `diff` shows their differences. dnsd never reads this text.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.dns.names import Name
from dnsd.dns.text import canonical, rrset_text
from dnsd.dns.types import Type
from dnsd.zone.zone import Zone


def zone_text(zone: Zone, apex: Name) -> Iterator[str]:
    """The lines of one zone, each with its newline, the SOA first; none if it does not exist."""
    if apex not in zone.apexes():
        return
    rrsets = [rrset for rrset in zone.rrsets() if zone.zone_of(rrset.name) == apex]
    rrsets.sort(key=lambda rrset: (rrset.type != Type.SOA, canonical(rrset.name), rrset.type))
    for rrset in rrsets:
        yield from rrset_text(rrset)
