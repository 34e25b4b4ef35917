"""Pinned names: the `hosts` setting, and files in the format of /etc/hosts.

In `upstream/` (data plane: external names). Change here: how names are pinned to addresses.

dnsd answers every type of a pinned name itself, because an upstream's HTTPS or MX records would
lead past the pinned address. The PTR of an address is its first name in a file, or the first name
with this address in the setting. Lines that cannot be read are skipped and reported, so that a
typing error does not remove the other names. The size of a file is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from dnsd.cluster.objects import is_host_name
from dnsd.dns.addresses import is_address, pack_address
from dnsd.dns.message import Rcode
from dnsd.dns.names import Name, name_from_text, reverse_name
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer
from dnsd.upstream.spec import BadUpstream
from dnsd.upstream.special_use import empty_zone_soa

MAX_FILE = 16 << 20  # octets; large block lists have 5 MiB
_MAX_PROBLEMS = 20  # reported of one file
_SIZES = {int(Type.A): 4, int(Type.AAAA): 16}

Pins = dict[Name, tuple[bytes, ...]]


class Hosts(Struct, frozen=True):
    """Pinned names with their addresses, and the names of these addresses."""

    addresses: Pins = {}
    names: dict[Name, Name] = {}  # reverse name -> name
    ttl: int = 60

    def answer(self, name: Name, type_: int) -> Answer | None:
        """The answer for a pinned name (lower case); None if it is not pinned."""
        addresses = self.addresses.get(name)
        if addresses is None:
            target = self.names.get(name)
            if target is None:
                return None
            rdatas = [target] if type_ in (Type.PTR, Type.ANY) else []
            return self._answer(name, [(int(Type.PTR), rdata) for rdata in rdatas])
        found = [
            (kind, address)
            for kind, size in _SIZES.items()
            if type_ in (kind, Type.ANY)
            for address in addresses
            if len(address) == size
        ]
        return self._answer(name, found)

    def _answer(self, name: Name, found: list[tuple[int, bytes]]) -> Answer:
        if not found:
            return Answer(Rcode.NOERROR, authority=(empty_zone_soa(name, self.ttl),))
        return Answer(
            Rcode.NOERROR, tuple(Record(name, kind, self.ttl, rdata) for kind, rdata in found)
        )


def from_setting(hosts: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[bytes, Name]]:
    """(address, name) pairs of the `hosts` setting; raises `BadUpstream`."""
    for name, addresses in hosts.items():
        if not is_host_name(name) or is_address(name):
            raise BadUpstream(f"{name!r} is not a host name")
        if not addresses:
            raise BadUpstream(f"{name}: no address")
        for address in addresses:
            if not is_address(address):
                raise BadUpstream(f"{name}: {address!r} is not an IP address")
            yield pack_address(address), name_from_text(name)


def read_file(path: str) -> tuple[list[tuple[bytes, Name]], list[str]]:
    """(address, name) pairs of a file, and the problems of the lines left out.

    Raises `BadUpstream` if the file cannot be read or is too big.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise BadUpstream(f"{path}: {error.strerror}") from error
    if len(raw) > MAX_FILE:
        raise BadUpstream(f"{path}: over {MAX_FILE} octets")
    pairs: list[tuple[bytes, Name]] = []
    problems: list[str] = []
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
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


def load(setting: Mapping[str, tuple[str, ...]], files: tuple[str, ...], ttl: int) -> Hosts:
    """All pinned names: those of the setting first, then those of the files in their order.

    Raises `BadUpstream`. Only `read_file` reports the problems of single lines.
    """
    return collect([*from_setting(setting), *(p for f in files for p in read_file(f)[0])], ttl)


def collect(pairs: list[tuple[bytes, Name]], ttl: int) -> Hosts:
    """The pinned names of (address, name) pairs: each address of a name once, first name first."""
    addresses: dict[Name, dict[bytes, None]] = {}
    names: dict[Name, Name] = {}
    for address, name in pairs:
        addresses.setdefault(name, {})[address] = None
        names.setdefault(reverse_name(address), name)
    return Hosts({name: tuple(found) for name, found in addresses.items()}, names, ttl)
