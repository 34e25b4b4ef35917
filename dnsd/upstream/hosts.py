"""Pinned names: the `hosts` setting, and files in the format of /etc/hosts.

In `upstream/` (data plane: external names). Change here: how names are pinned to addresses.

dnsd answers every type of a pinned name itself, because an upstream's HTTPS or MX records would
lead past the pinned address. The PTR of an address is its first name in a file, or the first name
with this address in the setting. Lines that cannot be read are skipped and reported, so that a
typing error does not remove the other names. The size of a file is bounded.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.cluster.objects import is_host_name
from dnsd.dns.addresses import address_type, is_address, pack_address
from dnsd.dns.message import Rcode
from dnsd.dns.names import Name, name_from_text, reverse_name
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer
from dnsd.upstream.spec import read_lines
from dnsd.upstream.special_use import empty_zone_soa

MAX_FILE = 16 << 20  # octets; large block lists have 5 MiB
_MAX_PROBLEMS = 20  # reported of one file

Pins = dict[Name, tuple[bytes, ...]]


class Hosts(Struct, frozen=True):
    """Pinned names with their addresses, and the names of these addresses."""

    addresses: Pins = {}
    names: dict[Name, Name] = {}  # reverse name -> name
    ttl: int = 60

    def answer(self, name: Name, type_: int) -> Answer | None:
        """The answer for a pinned name (lower case); None if it is not pinned."""
        if name in self.addresses:
            rdatas = [(address_type(address), address) for address in self.addresses[name]]
        elif name in self.names:
            rdatas = [(int(Type.PTR), self.names[name])]
        else:
            return None
        records = tuple(
            Record(name, kind, self.ttl, rdata)
            for kind, rdata in rdatas
            if type_ in (kind, Type.ANY)
        )
        return Answer(Rcode.NOERROR, records, () if records else (empty_zone_soa(name, self.ttl),))


def read_file(path: str) -> tuple[list[tuple[bytes, Name]], list[str]]:
    """(address, name) pairs of a file, and the problems of the lines left out.

    Raises `BadUpstream` if the file cannot be read or is too big.
    """
    pairs: list[tuple[bytes, Name]] = []
    problems: list[str] = []
    for number, line in enumerate(read_lines(path, MAX_FILE), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        problem = _line(words, pairs)
        if problem and len(problems) < _MAX_PROBLEMS:
            problems.append(f"{path}:{number}: {problem}")
    return pairs, problems


def _line(words: list[str], pairs: list[tuple[bytes, Name]]) -> str:
    """Adds the pairs of one line; returns its problem, or nothing."""
    if not is_address(words[0]) or "%" in words[0]:
        return f"{words[0]!r} is not an IP address"
    if len(words) == 1:
        return "no name after the address"
    address = pack_address(words[0])
    problem = ""
    for word in words[1:]:
        if is_host_name(word) and not is_address(word):
            pairs.append((address, name_from_text(word)))
        else:
            problem = f"{word!r} is not a host name"
    return problem


def load(setting: Pins, files: tuple[str, ...], ttl: int) -> Hosts:
    """All pinned names: those of the setting first, then those of the files in their order.

    Raises `BadUpstream`. Only `read_file` reports the problems of single lines.
    """
    pairs = [(address, name) for name, addresses in setting.items() for address in addresses]
    for path in files:
        pairs += read_file(path)[0]
    return collect(pairs, ttl)


def collect(pairs: list[tuple[bytes, Name]], ttl: int) -> Hosts:
    """The pinned names of (address, name) pairs: each address of a name once, first name first."""
    addresses: dict[Name, dict[bytes, None]] = {}
    names: dict[Name, Name] = {}
    for address, name in pairs:
        addresses.setdefault(name, {})[address] = None
        names.setdefault(reverse_name(address), name)
    # IPv4 first, as RRsets of one type are together in a message.
    return Hosts(
        {name: tuple(sorted(some, key=len)) for name, some in addresses.items()}, names, ttl
    )
