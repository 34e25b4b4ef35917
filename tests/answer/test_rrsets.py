"""RRsets of several records: what equal ones share, and what a reply gets of them."""

from __future__ import annotations

from struct import pack

import pytest

from dnsd.answer.rrsets import CompiledRRset, Compiler, kind_of
from dnsd.dns.names import Name, name_from_text
from dnsd.dns.types import Type
from dnsd.zone.frame import RRsetBody

POINTER = b"\xc0\x0c"
TARGET = name_from_text("web.test.")
OWNERS = [name_from_text(f"_{port}._tcp.web.test.") for port in ("http", "a")]
ADDRESS = b"\x0a\0\0\1"


def srv(owner: Name, port: int = 80, address: bytes = ADDRESS) -> RRsetBody:
    """One SRV record of `owner` with one address, as `zone/compile.py` compiles it."""
    rdata = pack("!HHH", 0, 100, port) + TARGET
    body = POINTER + pack("!HHIH", Type.SRV, 1, 5, len(rdata)) + rdata
    target = pack("!H", 0xC000 | (12 + len(owner) + 4 + 18))
    additional = target + pack("!HHIH", Type.A, 1, 5, 4) + address
    return RRsetBody(int(Type.SRV), 1, 0, body, 1, additional)


def whole(rrset: CompiledRRset, owner: Name) -> tuple[bytes, bytes]:
    """Type and class of the question with the body, and the additional section."""
    return rrset.layout.head + rrset.body, rrset.additional_section(owner)


@pytest.mark.parametrize("owner", OWNERS)
def test_a_single_srv_record_with_its_address_is_the_same_in_a_reply(owner: Name) -> None:
    found = srv(owner)
    rrset = Compiler({}).rrset(found, owner)
    assert whole(rrset, owner) == (kind_of(Type.SRV) + found.body, found.additional)
    assert (rrset.body, rrset.additional) == (TARGET, ADDRESS)


def test_names_with_the_same_srv_record_share_one_object() -> None:
    compiler = Compiler({})
    first, second = (compiler.rrset(srv(owner), owner) for owner in OWNERS)
    assert first is second
    assert compiler.rrset(srv(OWNERS[0], port=81), OWNERS[0]) is not first


def test_the_target_is_the_object_that_is_the_name_of_the_frame() -> None:
    name, address = bytes(bytearray(TARGET)), bytes(bytearray(ADDRESS))
    rrset = Compiler({name: name, address: address}).rrset(srv(OWNERS[0]), OWNERS[0])
    assert rrset.body is name
    assert rrset.additional is address


def test_an_additional_record_that_points_elsewhere_is_stored_whole() -> None:
    found = srv(OWNERS[0])
    rrset = Compiler({}).rrset(found, OWNERS[1])
    assert whole(rrset, OWNERS[1]) == (kind_of(Type.SRV) + found.body, found.additional)
    assert rrset.body == found.body


def test_rrsets_of_one_layout_share_it() -> None:
    def addresses(*last: int) -> RRsetBody:
        records = [POINTER + pack("!HHIH", 1, 1, 5, 4) + bytes((10, 0, 0, n)) for n in last]
        return RRsetBody(1, len(last), 16, b"".join(records))

    compiler = Compiler({})
    first, second = (compiler.rrset(one, TARGET) for one in (addresses(1, 2), addresses(3, 4)))
    assert first.layout is second.layout
    assert (first.layout.unit, first.layout.answers) == (16, 2)
    assert first.layout.full == pack("!HHHH", 1, 2, 0, 0)
    assert first.layout.bare_opt == pack("!HHHH", 1, 2, 0, 1)
