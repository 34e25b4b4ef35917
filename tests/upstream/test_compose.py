"""The reply a client gets: sections, OPT, limits."""

from __future__ import annotations

import dns.flags
import dns.message
from msgspec.structs import replace

from dnsd.answer.outcome import Forward
from dnsd.dns.message import Ede, Rcode
from dnsd.dns.names import name_from_text
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer
from dnsd.upstream.compose import compose, own_chain, servfail
from tests.upstream.building import errors, texts

NAME = name_from_text("www.example.")
QUESTION = NAME + b"\x00\x01\x00\x01"
ASK = Forward(
    packet=b"\x12\x34" + bytes(10) + QUESTION,
    question=QUESTION,
    name=NAME,
    type=Type.A,
    client=b"",
    limit=1232,
    rd=True,
    cd=False,
    do=False,
    edns=True,
)
ANSWER = Answer(
    Rcode.NOERROR,
    tuple(Record(NAME, Type.A, 60, bytes((192, 0, 2, n))) for n in range(20)),
    errors=((3, "a long story"), (3, "a long story"), (22, "")),
)


def parsed(query: Forward, answer: Answer) -> dns.message.Message:
    data = compose(query, answer, 1232)
    assert len(data) <= query.limit
    return dns.message.from_wire(data)


def test_a_reply_has_its_sections_options_and_each_error_once() -> None:
    query = replace(ASK, do=True, options=b"\x00\x03\x00\x01x")
    reply = parsed(query, ANSWER)
    assert len(texts(reply)) == 20
    assert [option.otype for option in reply.options] == [3, 15, 15]
    assert errors(reply) == [3, 22]
    assert (reply.payload, reply.ednsflags & 0x8000) == (1232, 0x8000)
    assert reply.id == 0x1234


def test_without_edns_there_are_no_errors() -> None:
    assert parsed(replace(ASK, edns=False), ANSWER).edns == -1


def test_extended_errors_are_dropped_before_records_and_records_before_tc() -> None:
    whole = len(compose(ASK, ANSWER, 1232))
    bare = len(compose(ASK, replace(ANSWER, errors=()), 1232))
    reply = parsed(replace(ASK, limit=whole - 1), ANSWER)
    assert (len(texts(reply)), errors(reply)) == (20, [])
    reply = parsed(replace(ASK, limit=bare - 1), ANSWER)
    assert reply.flags & dns.flags.TC
    assert texts(reply) == []


def test_the_local_cnames_are_dropped_only_if_they_do_not_fit() -> None:
    alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x09\x07target1\x00"
    query = replace(ASK, local=True, chain=alias, chained=1, name=name_from_text("target1."))
    assert own_chain(query) == (Record(NAME, Type.CNAME, 5, name_from_text("target1.")),)
    answer = replace(ANSWER, answer=(*own_chain(query), *ANSWER.answer))
    reply = parsed(replace(query, limit=120), answer)
    assert (reply.flags & dns.flags.TC, texts(reply)) == (
        dns.flags.TC,
        ["www.example. CNAME target1."],
    )
    reply = parsed(replace(query, limit=60), answer)
    assert (reply.flags & dns.flags.TC, texts(reply)) == (dns.flags.TC, [])
    assert reply.flags & dns.flags.AA


def test_servfail_carries_the_reason() -> None:
    answer = servfail(Ede.NETWORK_ERROR, "broken")
    reply = parsed(ASK, replace(answer, errors=(*answer.errors, (6, "bogus"))))
    assert [(int(one.code), one.text) for one in reply.extended_errors()] == [
        (23, "broken"),
        (6, "bogus"),
    ]
