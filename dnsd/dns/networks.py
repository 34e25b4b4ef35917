"""Networks that packed addresses are looked up in; the longest prefix decides.

In `dns/` (pure: wire format and addresses). Change here: how a client is matched to networks.

Clients are matched by `allow_query` and `allow_recursion` (a set of networks), and by views and
policies (a value for each network). An empty set contains no address.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Generic, TypeVar

EVERYONE = ("0.0.0.0/0", "::/0")
# RFC 1918, RFC 6598 (shared address space), RFC 4193 (unique local).
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
# RFC 1122 and RFC 4291 (loopback), RFC 3927 and RFC 4291 (link-local).
LOCAL = ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10")
T = TypeVar("T")


class NetworkMap(Generic[T]):
    """A value for each IPv4 or IPv6 network.

    A lookup costs one masked lookup for each prefix length in use, not for each network. Raises
    ValueError for text that is not a network (`10.0.0.0/8`, `::1`).
    """

    __slots__ = ("_masks",)

    def __init__(self, networks: Iterable[tuple[str, T]]) -> None:
        masks: dict[tuple[int, int], dict[int, T]] = {}
        for text, value in networks:
            network = ip_network(text, strict=False)
            key = (network.max_prefixlen // 8, int(network.netmask))
            masks.setdefault(key, {})[int(network.network_address)] = value
        # The longest prefix first: it has the largest mask.
        self._masks = sorted(
            ((octets, mask, values) for (octets, mask), values in masks.items()),
            key=lambda item: item[1],
            reverse=True,
        )

    def get(self, address: bytes) -> T | None:
        """The value of the longest network that contains a packed address (4 or 16 octets)."""
        number, octets = int.from_bytes(address, "big"), len(address)
        for width, mask, values in self._masks:
            if width == octets and (value := values.get(number & mask)) is not None:
                return value
        return None


class Networks(NetworkMap[bool]):
    """A set of networks. `everyone`: whether it contains every IPv4 and every IPv6 address."""

    __slots__ = ("everyone",)

    def __init__(self, networks: Iterable[str]) -> None:
        texts = tuple(networks)
        super().__init__((text, True) for text in texts)
        parsed = [ip_network(text, strict=False) for text in texts]
        four = collapse_addresses(net for net in parsed if isinstance(net, IPv4Network))
        six = collapse_addresses(net for net in parsed if isinstance(net, IPv6Network))
        self.everyone = {str(net) for net in (*four, *six)} == set(EVERYONE)

    def __contains__(self, address: bytes) -> bool:
        return self.get(address) is not None
