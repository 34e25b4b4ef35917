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
