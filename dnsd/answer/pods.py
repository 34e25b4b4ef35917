"""Pod names that are names by form: `10-1-2-3.ns.pod.Z` in mode `insecure`.

Kubernetes DNS-Based Service Discovery 2.6 (deprecated there, relied upon by programs): the
first label is an address with dashes for dots or colons, and any address will do. What has
the dots or colons themselves (they may be in a label), or a zone index, is no such label.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

_OTHERS = frozenset(b":.%")  # what ipaddress reads besides dashes, once they are colons


def address_of(label: bytes) -> bytes | None:
    """The packed address that a label spells, 4 or 16 octets; None when it spells none."""
    if not _OTHERS.isdisjoint(label):
        return None
    try:
        text = label.decode("ascii")
    except UnicodeDecodeError:
        return None
    try:
        if text.count("-") == 3 and "--" not in text:
            return IPv4Address(text.replace("-", ".")).packed
    except ValueError:
        pass
    try:
        return IPv6Address(text.replace("-", ":")).packed
    except ValueError:
        return None
