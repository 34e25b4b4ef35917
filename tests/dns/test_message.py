"""The complete parser against an independent one, and the records it writes."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.dns.message import Malformed, ede, opt_record, option, parse, question_end

labels = st.binary(min_size=1, max_size=20)
names = st.lists(labels, min_size=0, max_size=6).map(lambda parts: dns.name.Name([*parts, b""]))


@settings(max_examples=200, deadline=None)
@given(
    names,
    st.integers(1, 65535),
    st.sampled_from([1, 3, 254]),
    st.booleans(),
    st.none() | st.integers(0, 65535),
    st.lists(st.tuples(st.sampled_from([3, 10, 11, 65001]), st.binary(max_size=12)), max_size=3),
)
def test_a_query_of_dnspython_is_read(
    name: dns.name.Name,
    type_: int,
    cls: int,
    do: bool,
    size: int | None,
    options: list[tuple[int, bytes]],
) -> None:
    query = dns.message.make_query(name, type_, cls)
    if size is not None:
        flags = dns.flags.DO if do else 0
        generic = [dns.edns.GenericOption(code, data) for code, data in options]
        query.use_edns(0, flags, size, options=generic)
    wire = query.to_wire()
    read = parse(wire)
    assert read.id == query.id.to_bytes(2, "big")
    assert (read.type, read.cls) == (type_, cls)
    assert read.name == name.to_wire().lower()
    assert read.question == wire[12 : question_end(wire)]
    if size is None:
        assert read.edns is None
    else:
        assert read.edns is not None
        assert (read.edns.size, read.edns.version, read.edns.do) == (size, 0, do)
        assert read.edns.options == tuple(options)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_query_is_read_or_refused(data: st.DataObject) -> None:
    """A query that dnsd accepts is accepted by dnspython too, with the same question.

    The OPT stays an OPT: as another record its data would mean something to that parser.
    """
    wire = bytearray(
        dns.message.make_query("web.prod.svc.cluster.local.", "A", use_edns=0).to_wire()
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(wire) - 1).filter(lambda at: at not in (44, 45, 46)))
        wire[at] = data.draw(st.integers(0, 255))
    try:
        read = parse(bytes(wire))
    except Malformed:
        return
    other = dns.message.from_wire(bytes(wire))
    assert len(other.question) == 1
    assert other.question[0].rdtype == read.type
    assert other.question[0].rdclass == read.cls


@pytest.mark.parametrize("end", range(12, 55))
def test_a_query_cut_anywhere_is_malformed(end: int) -> None:
    wire = dns.message.make_query("web.prod.svc.cluster.local.", "A", use_edns=0).to_wire()
    assert len(wire) > end
    with pytest.raises(Malformed):
        parse(wire[:end])


def test_dnspython_reads_the_opt_record() -> None:
    """Read back by an independent parser."""
    reply = dns.message.make_query("a.", "A")
    wire = bytearray(reply.to_wire())
    wire[11] = 1
    wire += opt_record(1232, True, 1, ede(14) + option(3, b"me"))
    parsed = dns.message.from_wire(bytes(wire))
    assert parsed.payload == 1232
    assert parsed.ednsflags & dns.flags.DO
    assert parsed.rcode() == 16
    assert [(one.otype, one.to_wire()) for one in parsed.options] == [(15, b"\0\x0e"), (3, b"me")]


def with_records(*records: bytes) -> bytes:
    """A query with these additional records."""
    wire = bytearray(dns.message.make_query("web.prod.svc.cluster.local.", "A").to_wire())
    wire[10:12] = len(records).to_bytes(2, "big")
    return bytes(wire) + b"".join(records)


A_RECORD = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"  # without its owner
LONGEST = (
    b"\x3f" + b"a" * 63 + b"\x3f" + b"b" * 63 + b"\x3f" + b"c" * 63 + b"\x3d" + b"d" * 61 + b"\0"
)


class TestBounds:
    """A message over TCP may have 65,535 octets; the work must not grow with them."""

    def test_a_query_has_at_most_16_additional_records(self) -> None:
        assert parse(with_records(*[b"\0" + A_RECORD] * 16)).edns is None
        with pytest.raises(Malformed, match="at most 16 additional records"):
            parse(with_records(*[b"\0" + A_RECORD] * 17))

    def test_only_one_owner_of_additional_records_can_have_the_longest_name(self) -> None:
        assert len(LONGEST) == 255
        parse(with_records(LONGEST + A_RECORD, *[b"\0" + A_RECORD] * 15))
        with pytest.raises(Malformed, match="owners of additional records"):
            parse(with_records(LONGEST + A_RECORD, LONGEST + A_RECORD))

    def test_an_opt_record_has_at_most_32_options(self) -> None:
        edns = parse(with_records(opt_record(1232, False, options=option(65001, b"x") * 32))).edns
        assert edns is not None
        assert len(edns.options) == 32
        with pytest.raises(Malformed, match="at most 32 EDNS options"):
            parse(with_records(opt_record(1232, False, options=option(65001, b"") * 33)))

    def test_one_option_may_fill_the_message(self) -> None:
        edns = parse(
            with_records(opt_record(1232, False, options=option(65001, bytes(65_000))))
        ).edns
        assert edns is not None
        assert edns.options == ((65001, bytes(65_000)),)

    def test_two_opt_records_are_malformed(self) -> None:
        with pytest.raises(Malformed, match="two OPT records"):
            parse(with_records(opt_record(1232, False), opt_record(1232, False)))

    def test_an_opt_record_of_another_owner_is_malformed(self) -> None:
        opt = b"\x01a\0" + opt_record(1232, False)[1:]
        with pytest.raises(Malformed, match="the owner of OPT is the root"):
            parse(with_records(opt))
