"""Pod names by form: the address in `10-1-2-3.ns.pod.ZONE`, for `pods: insecure`.

In `answer/` (pure: query bytes to reply bytes). Change here: which labels contain an address.

Kubernetes DNS-Based Service Discovery 2.6 (deprecated there, and still in use): the first label
is an address with dashes for its dots or colons, and any address is valid. A label that contains
dots, colons, or a zone index itself is not such a label.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

_FORBIDDEN = frozenset(b":.%")  # ipaddress would read them


def address_of(label: bytes) -> bytes | None:
    """The packed address in a label, 4 or 16 octets; None for any other label."""
    if not label.isascii() or not _FORBIDDEN.isdisjoint(label):
        return None
    text = label.decode()
    for version, separator in ((IPv4Address, "."), (IPv6Address, ":")):
        with suppress(ValueError):
            return version(text.replace("-", separator)).packed
    return None
