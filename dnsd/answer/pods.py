"""Pod names by form: the address in `10-1-2-3.ns.pod.ZONE`, for `pods: insecure`.

In `answer/` (pure: query bytes to reply bytes). Change here: which labels contain an address.

Kubernetes DNS-Based Service Discovery 2.6 (deprecated there, and still in use): the first label
is an address with dashes for its dots or colons, and any address is valid. A label that contains
dots, colons, or a zone index itself is not such a label.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

_FORBIDDEN = frozenset(b":.%")  # ipaddress would read them


def address_of(label: bytes) -> bytes | None:
    """The packed address in a label, 4 or 16 octets; None for any other label."""
    if not _FORBIDDEN.isdisjoint(label):
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
